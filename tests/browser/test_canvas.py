"""The hands on the canvas: wires taken up and moved, bends, copies, titles, finding, going back, sub-graphs."""

import re

import pytest

from tests.browser.conftest import TEMPLATE
from tests.browser.test_editing import chain, middle_of, select, socket

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
SHIFT, ALT, CONTROL = "\ue008", "\ue00a", "\ue009"


def nodes(editor):
    """As the last autosave has them; before the first edit they are the template's."""
    return editor.document()["nodes"] or TEMPLATE["nodes"]


def source(editor, node, name):
    held = nodes(editor).get(node, {"inputs": {}})["inputs"].get(name)
    return held["from"] if isinstance(held, dict) else None


def drag(editor, start, end, key=None):
    """With the mouse from the middle of one thing to the middle of another, perhaps with a key held."""
    moves = chain(editor)
    if key:
        moves.key_down(key)
    moves.click_and_hold(start).move_by_offset(9, 5).move_to_element(end).move_by_offset(1, 0).release()
    if key:
        moves.key_up(key)
    moves.perform()


def undo(editor):
    editor.script("document.activeElement.blur()")
    editor.keys("control", "z")


def menu(editor, element, word):
    chain(editor).context_click(element).perform()
    rows = editor.until(lambda: editor.all("[role=menu] button"), "the menu")
    next(row for row in rows if row.text.split("\n")[0].strip("✓ ").startswith(word)).click()


def test_a_wired_input_is_dragged_with_its_wire_and_on_nothing_the_wire_is_cut(editor):
    positive, negative = socket(editor, "sample", "positive", "left"), socket(editor, "sample", "negative", "left")
    drag(editor, positive, negative)
    editor.until(lambda: source(editor, "sample", "negative") == "prompt.conditioning", "the wire's new end")
    assert source(editor, "sample", "positive") is None
    undo(editor)
    editor.until(lambda: source(editor, "sample", "positive") == "prompt.conditioning", "one undo step")
    assert source(editor, "sample", "negative") == "negative.conditioning"
    pane = editor.one(".react-flow__pane")
    moves = chain(editor).click_and_hold(positive).move_by_offset(-8, 4)
    moves.move_to_element_with_offset(pane, -700, -440).move_by_offset(2, 0).release().perform()
    editor.until(lambda: source(editor, "sample", "positive") is None, "the cut")
    assert not editor.all("dialog")
    undo(editor)
    editor.until(lambda: "sample|positive" in editor.wires(), "the wire to come back")


def test_shift_moves_all_wires_of_an_output_where_they_fit_and_says_why_not(editor):
    before = nodes(editor)
    drag(editor, socket(editor, "load", "text_encoder", "right"), socket(editor, "load", "vae", "right"), SHIFT)
    editor.until(lambda: [toast for toast in editor.all(".toast.error") if "does not fit" in toast.text], "the reason")
    assert nodes(editor) == before
    drag(editor, socket(editor, "sample", "latent", "right"), socket(editor, "sample", "denoised", "right"), SHIFT)
    editor.until(lambda: source(editor, "decode", "latent") == "sample.denoised", "the wires to move")


def test_a_wire_dropped_on_a_value_wires_that_value(editor):
    pane = editor.one(".react-flow__pane")
    chain(editor).move_to_element_with_offset(pane, -60, 300).perform()
    editor.script("document.activeElement.blur()")
    editor.press("space")
    editor.choose("values.int", "Whole number")
    editor.until(lambda: editor.focused().startswith("Whole number"), "the node to have the focus")
    chain(editor).pause(0.5).perform()
    row = editor.one("[data-node=sample] [data-input=steps]")
    drag(editor, socket(editor, "int", "value", "right"), row)
    editor.until(lambda: source(editor, "sample", "steps") == "int.value", "the value wired")


def test_a_value_becomes_a_node_and_is_typed_again(editor):
    before = nodes(editor)
    menu(editor, editor.one("[data-node=sample] [data-input=steps]"), "As a node of its own")
    editor.until(lambda: source(editor, "sample", "steps") == "steps.value", "the node")
    assert nodes(editor)["steps"]["inputs"] == {"value": 20}
    menu(editor, socket(editor, "sample", "steps", "left"), "Type it in here again")
    editor.until(lambda: nodes(editor) == before, "the value typed in again, the node gone")


def test_a_bend_is_made_by_a_double_click_dragged_and_deleted_and_the_wire_stays(editor):
    before = editor.wires()
    x, y = middle_of(editor, "decode|latent")
    pane = editor.one(".react-flow__pane")
    area = pane.rect
    at = (int(x - area["x"] - area["width"] / 2), int(y - area["y"] - area["height"] / 2))
    chain(editor).move_to_element_with_offset(pane, *at).double_click().perform()
    bend = editor.until(lambda: editor.all("[data-node=reroute]"), "the bend")[0]
    editor.until(lambda: source(editor, "decode", "latent") == "reroute.value", "its wires")
    was = bend.rect
    chain(editor).click_and_hold(bend).move_by_offset(3, 3).move_by_offset(30, 60).release().perform()
    editor.until(lambda: editor.one("[data-node=reroute]").rect["y"] > was["y"] + 30, "it to move")
    editor.press("delete")
    editor.until(lambda: editor.wires() == before, "the whole wire")


def test_a_node_is_taken_out_and_its_wires_are_joined(editor):
    pane = editor.one(".react-flow__pane")

    def menu_of_the_wire():
        x, y = middle_of(editor, "save|image")  # again each time: the view may be settling still
        area = pane.rect
        at = (int(x - area["x"] - area["width"] / 2), int(y - area["y"] - area["height"] / 2))
        chain(editor).move_to_element_with_offset(pane, *at).context_click().pause(0.2).perform()
        return editor.all("[role=menu] button")

    rows = editor.until(menu_of_the_wire, "the menu")
    next(row for row in rows if row.text.startswith("Put a node into the wire")).click()
    editor.choose("image.blur", "lur")
    editor.until(lambda: source(editor, "save", "image") == "blur.image", "the node in the wire")
    editor.keys("control", "delete")
    editor.until(lambda: source(editor, "save", "image") == "decode.image", "the wires joined")
    assert "blur" not in nodes(editor)


def test_alt_and_a_drag_take_a_wired_copy_along_as_one_undo_step(editor):
    head = editor.one("[data-node=prompt] .title")
    before = editor.one("[data-id=prompt]").rect
    moves = chain(editor).key_down(ALT).click_and_hold(head).move_by_offset(6, 6)
    moves.move_by_offset(10, 40).pause(0.3).move_by_offset(10, 200).pause(0.1).release().key_up(ALT).perform()
    copy = editor.until(lambda: editor.all("[data-id=prompt_2]"), "the copy")[0]
    assert editor.one("[data-id=prompt]").rect == before
    editor.until(lambda: copy.rect["y"] > before["y"] + 100, "the copy to be where the pointer is")
    assert source(editor, "prompt_2", "encoder") == "load.text_encoder"
    editor.until(lambda: "prompt_2" in editor.document().get("view", {}).get("nodes", {}), "its place")
    undo(editor)
    editor.until(lambda: not editor.all("[data-id=prompt_2]"), "one undo step")


def test_titles_are_written_on_the_card_by_key_and_by_double_click(editor):
    select(editor, "negative")
    editor.press("f2")
    editor.until(lambda: editor.focused() == "Title of the node", "the field")
    editor.write("What not <b>")
    editor.press("enter")
    title = editor.one("[data-node=negative] .title")
    editor.until(lambda: editor.one("[data-node=negative] .title").text == "What not <b>", "the title, as text")
    chain(editor).double_click(title).perform()
    editor.until(lambda: editor.focused() == "Title of the node", "the field")
    editor.write("other")
    editor.press("escape")
    editor.until(lambda: editor.all("[data-node=negative] .title"), "the title")
    assert editor.one("[data-node=negative] .title").text == "What not <b>"


def test_a_node_inside_a_sub_graph_is_found_by_what_is_typed_in_it(editor):
    select(editor, "negative", "prompt")
    editor.keys("control", "shift", "e")
    editor.one("[data-node=group]")
    editor.keys("control", "f")
    editor.until(lambda: editor.all("dialog[aria-label='Find a node']"), "the search")
    editor.choose("blue prompt", "rompt")
    editor.until(lambda: editor.all(".crumbs") and editor.all("[data-id=prompt].selected"), "the node inside")
    assert editor.focused().endswith(", prompt")


def test_sockets_of_a_sub_graph_are_named_inside_and_an_instance_is_made_unique(editor):
    select(editor, "negative", "prompt")
    editor.keys("control", "shift", "e")
    instance = editor.one("[data-node=group]")
    editor.keys("control", "d")
    editor.until(lambda: "group_2" in nodes(editor), "a second instance")
    menu(editor, instance.find_element("css selector", ".title"), "Enter the sub-graph")
    tags = editor.until(lambda: editor.all(".end-tag"), "the tags of its sockets")
    tag = next(tag for tag in tags if tag.text.startswith("encoder"))
    tag.click()
    editor.until(lambda: editor.all("dialog.ask"), "the question")
    editor.write("words")
    editor.press("enter")
    editor.until(lambda: "words" in nodes(editor)["group"]["inputs"], "the new name at the instance")
    assert "words" in nodes(editor)["group_2"]["inputs"] and "encoder" not in nodes(editor)["group"]["inputs"]
    editor.one(".crumbs button").click()
    editor.until(lambda: not editor.all(".crumbs"), "the outside")
    menu(editor, editor.one("[data-node=group_2] .title"), "A graph of its own")
    editor.until(lambda: len(editor.document()["graphs"]) == 2, "two graphs")
    for _ in range(4):
        undo(editor)
    editor.until(lambda: "prompt" in nodes(editor) and not editor.document().get("graphs"), "all of it undone")


def test_the_edits_are_a_list_that_leads_back_and_forth(editor):
    start = nodes(editor)
    select(editor, "negative")
    editor.keys("control", "m")
    editor.keys("control", "d")
    editor.until(lambda: "negative_2" in nodes(editor), "the copy")
    end = nodes(editor)
    editor.press("u")
    rows = editor.until(lambda: editor.all(".steps button"), "the edits")
    assert [row.text for row in rows] == ["pasted", "muted", "as it was opened"]
    rows[-1].click()
    editor.until(lambda: nodes(editor) == start, "the beginning")
    editor.all(".steps button")[0].click()
    editor.until(lambda: nodes(editor) == end, "the end again")


def test_views_are_kept_and_come_back(editor):
    def view():
        moved = editor.script("return document.querySelector('.react-flow__viewport').style.transform")
        return [float(number) for number in re.findall(r"-?[\d.]+", moved)]

    editor.script("document.activeElement.blur()")
    editor.keys("alt", "3")
    editor.until(lambda: editor.document().get("view", {}).get("marks"), "the mark in the file")
    before = view()
    editor.press("-", "-")
    editor.until(lambda: view() != before, "another view")
    editor.press("3")
    editor.until(lambda: all(abs(a - b) < 2 for a, b in zip(before, view(), strict=True)), "the kept view")


def test_a_bypassed_node_shows_what_it_hands_on(editor):
    select(editor, "sample")
    editor.keys("control", "b")
    editor.until(lambda: editor.all("[data-node=sample] .passing path"), "the line")
    assert len(editor.all("[data-node=sample] .passing path")) == 2


def test_boxes_select_what_they_touch_or_only_what_they_hold(editor):
    def around(inside):
        box = editor.one("[data-id=save]").rect
        pane = editor.one(".react-flow__pane")
        area = pane.rect
        left, top = box["x"] - 20 - area["x"] - area["width"] / 2, box["y"] - 20 - area["y"] - area["height"] / 2
        across, down = (box["width"] + 30, box["height"] + 30) if inside else (60, box["height"] / 2)
        chain(editor).key_down(SHIFT).move_to_element_with_offset(
            pane, int(left), int(top)
        ).click_and_hold().move_by_offset(8, 8).move_by_offset(int(across), int(down)).release().key_up(SHIFT).perform()

    def chosen():
        return [card.get_attribute("data-id") for card in editor.all(".react-flow__node.selected")]

    around(False)
    editor.until(lambda: chosen() == ["save"], "the touched node")
    editor.keys("control", "k")
    editor.choose("A box selects", "A box selects")
    editor.press("escape")
    around(False)
    assert chosen() == []
    around(True)
    editor.until(lambda: chosen() == ["save"], "the held node")


def test_wires_are_there_from_far_away_and_go_round_cards(editor):
    """From far away a node is a box without sockets; its wires are drawn all the same."""
    count = len(editor.wires())
    for _ in range(6):
        editor.press("-")
    editor.until(lambda: editor.all(".card.far"), "plain boxes")
    assert len(editor.wires()) == count
    editor.press(".")
    clear = editor.script(
        """
        const nodes = [...document.querySelectorAll('.react-flow__node')];
        const cards = nodes.map((e) => [e.dataset.id, e.getBoundingClientRect()]);
        return [...document.querySelectorAll('.react-flow__edge')].filter((edge) => {
          const path = edge.querySelector('.react-flow__edge-path');
          const [source, target] = edge.getAttribute('aria-label').match(/from (\\S+) to (\\S+)/).slice(1);
          const m = path.getScreenCTM();
          const at = (i) => path.getPointAtLength(path.getTotalLength() * i / 59);
          return Array.from({length: 60}, (_, i) => at(i)).some((p) => {
            const [x, y] = [p.x * m.a + m.e, p.y * m.d + m.f];
            const inside = ([id, r]) => x > r.left + 2 && x < r.right - 2 && y > r.top + 2 && y < r.bottom - 2;
            return cards.some((card) => card[0] !== source && card[0] !== target && inside(card));
          });
        }).map((edge) => edge.dataset.id);
        """
    )
    assert clear == []
