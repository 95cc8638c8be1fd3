"""Editing a graph: frames, notes, stubs, cutting, splicing, sub-graphs, conversions, the clipboard."""

import json
from itertools import pairwise

import pytest

from tests.browser.conftest import TEMPLATE

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


def chain(editor, duration=50):
    from selenium.webdriver.common.action_chains import ActionChains

    return ActionChains(editor.browser, duration=duration)


def socket(editor, node, name, side):
    return editor.one(f"[data-node={node}] .react-flow__handle-{side}[data-handleid='{name}']")


def select(editor, *names):
    editor.script("document.activeElement.blur()")
    editor.press("escape", "escape")
    for name in names:
        moves = chain(editor)
        if name != names[0]:
            moves.key_down("\ue009")
        moves.click(editor.one(f"[data-node={name}] .title")).key_up("\ue009").perform()
    editor.until(lambda: len(editor.all(".card.selected")) == len(names), "the selection")


def middle_of(editor, wire):
    """Where on the screen the middle of a wire is."""
    return editor.script(
        "const p = document.querySelector(`.react-flow__edge[data-id='${arguments[0]}'] .react-flow__edge-path`);"
        "const m = p.getScreenCTM(), q = p.getPointAtLength(p.getTotalLength() / 2);"
        "return [q.x * m.a + m.e, q.y * m.d + m.f]",
        wire,
    )


def test_a_frame_takes_its_nodes_along_and_mutes_them_as_one(editor):
    select(editor, "negative", "prompt")
    editor.keys("control", "g")
    editor.until(lambda: editor.focused() == "Title of the frame", "the title to be written")
    editor.write("Prompts <b>")
    editor.press("enter")
    head = editor.one("[data-frame] .frame-head")
    assert head.text == "Prompts <b>" and not head.find_elements("css selector", "b")
    before = {name: editor.one(f"[data-id={name}]").rect for name in ("negative", "prompt", "sample")}
    box = head.rect
    chain(editor).move_to_element_with_offset(head, int(box["width"] / 2) - 8, 0).click_and_hold().move_by_offset(
        -4, 4
    ).move_by_offset(-20, 60).release().perform()

    def moved(name):
        return editor.one(f"[data-id={name}]").rect["y"] - before[name]["y"]

    editor.until(lambda: moved("prompt") > 40, "the frame to move")
    assert moved("negative") == moved("prompt") and moved("sample") == 0
    editor.keys("control", "m")
    editor.until(lambda: len(editor.all(".card.mute")) == 2, "both to be mute")
    editor.keys("control", "z")
    editor.keys("control", "z")
    editor.until(lambda: moved("prompt") == 0 and moved("negative") == 0, "one undo step for the frame and its nodes")


def test_a_note_is_markdown_and_never_markup(editor):
    editor.script("document.activeElement.blur()")
    editor.press("n")
    editor.until(lambda: "markdown" in editor.focused(), "the note to be written")
    editor.write("# Big\n- one\n<img src=x onerror=window.hurt=1>")
    editor.press("escape")
    note = editor.one("[data-note] .markdown")
    assert next(e.text for e in note.find_elements("css selector", "h3, li")) == "Big"
    assert "<img" in note.text and not note.find_elements("css selector", "img")
    assert editor.script("return window.hurt") is None
    assert editor.until(lambda: editor.document().get("view", {}).get("notes"), "the note in the file")["note"]["text"]


def test_a_wire_that_does_not_fit_offers_what_converts_it(editor):
    source, target = socket(editor, "sample", "latent", "right"), socket(editor, "save", "image", "left")
    chain(editor).click_and_hold(source).move_by_offset(12, 6).move_to_element(target).release().perform()
    assert editor.one("dialog .why").text == "Latent does not fit Image. Put between them:"
    editor.choose("", "VAE decode")
    editor.until(lambda: {"decode_2|latent", "decode_2|vae"} <= set(editor.wires()), "the decoder, wired")
    editor.keys("control", "z")
    editor.until(lambda: not editor.all("[data-node=decode_2]"), "one undo step")


def test_a_node_dropped_on_a_wire_goes_into_it(editor):
    pane = editor.one(".react-flow__pane")
    chain(editor).move_to_element_with_offset(pane, 0, 380).perform()
    editor.script("document.activeElement.blur()")
    editor.press("space")
    editor.choose("image.blur", "Blur image")
    head = editor.one("[data-node=blur] .title")
    x, y = middle_of(editor, "save|image")
    box = head.rect
    across, down = int(x - box["x"] - box["width"] / 2), int(y - box["y"] - box["height"] / 2)
    chain(editor, 80).click_and_hold(head).move_by_offset(6, -6).move_by_offset(across - 6, down + 6).perform()
    editor.until(lambda: editor.all(".wire.into"), "the wire to say so")
    chain(editor).release().perform()
    editor.until(lambda: "blur|image" in editor.wires(), "the node in the wire")
    editor.until(lambda: editor.document()["nodes"]["save"]["inputs"]["image"] == {"from": "blur.image"}, "its end")


def test_wires_are_cut_with_a_drag_and_come_back_with_undo(editor):
    drawn = editor.wires()
    editor.one("[aria-label='Show the whole graph (.)']").click()
    editor.script("document.activeElement.blur()")
    box = editor.one("[data-id=sample]").rect
    editor.press("y")
    pane = editor.one(".react-flow__pane")
    area = pane.rect
    left = int(box["x"] - 14 - area["x"] - area["width"] / 2)
    top = int(box["y"] - 10 - area["y"] - area["height"] / 2)
    chain(editor).move_to_element_with_offset(pane, left, top).click_and_hold().move_by_offset(0, 60).move_by_offset(
        0, int(box["height"])
    ).release().perform()
    editor.until(lambda: not [wire for wire in editor.wires() if wire.startswith("sample|")], "the wires to go")
    editor.keys("control", "z")
    editor.until(lambda: editor.wires() == drawn, "the wires to come back")


def test_stubs_show_names_instead_of_lines_and_change_nothing_that_runs(editor):
    before = editor.marks()
    select(editor, "load")
    editor.keys("alt", "s")
    editor.until(lambda: len(editor.all(".stub-name")) == 5, "the stubs")
    assert {e.text for e in editor.all(".stub-name")} == {"load.model", "load.text_encoder", "load.vae"}
    assert len(editor.wires()) == 10 and editor.marks() == before
    editor.until(
        lambda: editor.document()["nodes"] == TEMPLATE["nodes"], "the nodes to be as they were, in the autosave"
    )
    editor.keys("alt", "s")
    editor.until(lambda: not editor.all(".stub-name"), "whole wires again")


def test_a_sub_graph_is_made_entered_left_and_unpacked(editor):
    before = editor.wires()
    select(editor, "negative", "prompt")
    editor.keys("control", "shift", "e")
    instance = editor.until(lambda: editor.all("[data-node=group]"), "the instance")[0]
    assert not editor.all("[data-node=prompt]")
    chain(editor).double_click(instance.find_element("css selector", ".title")).perform()
    editor.until(lambda: editor.all(".crumbs") and editor.all("[data-node=prompt]"), "the inside")
    editor.script("document.activeElement.blur()")
    editor.press("escape", "escape", "escape")
    editor.until(lambda: not editor.all(".crumbs"), "the outside")
    select(editor, "group")
    editor.keys("control", "shift", "u")
    editor.until(lambda: editor.all("[data-node=prompt]"), "the nodes again")
    editor.until(lambda: editor.wires() == before, "the wires again")


def test_a_node_is_replaced_and_keeps_the_wires_that_fit(editor):
    select(editor, "canvas")
    editor.press("r")
    editor.until(lambda: editor.all("dialog[aria-label='Replace a node'] [cmdk-item]"), "the palette")
    names = [row.text.split("\n")[0] for row in editor.all("dialog [cmdk-item]")]
    assert names and "Empty latent" not in names and "Save image" not in names
    editor.press("escape")


def test_the_clipboard_is_text_that_another_tab_takes_with_its_sub_graphs(editor):
    """The browser's own copy and paste events: they work on plain http, and between windows."""
    select(editor, "negative", "prompt")
    editor.keys("control", "shift", "e")
    editor.one("[data-node=group]")
    select(editor, "group")
    text = editor.script(
        """
        const data = new DataTransfer();
        document.dispatchEvent(new ClipboardEvent('copy', {clipboardData: data, bubbles: true, cancelable: true}));
        return data.getData('text/plain');
        """
    )
    clip = json.loads(text)
    assert list(clip["nodes"]) == ["group"] and sorted(clip["graphs"]["group"]["nodes"]) == ["negative", "prompt"]
    paste = """
        const data = new DataTransfer();
        data.setData('text/plain', arguments[0]);
        document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true, cancelable: true}));
        """
    editor.open()  # another window: nothing is remembered here
    editor.new_workflow()
    editor.script(paste, text)
    editor.until(lambda: editor.all("[data-node=group]"), "the pasted instance")
    editor.until(lambda: sorted(editor.document().get("graphs", {})) == ["group"], "its sub-graph")
    editor.script(paste, json.dumps({"weft": 1, "title": "Pasted whole", "nodes": clip["graphs"]["group"]["nodes"]}))
    editor.until(lambda: editor.all("[role=application][aria-label='Graph: Pasted whole']"), "a tab of its own")
    assert editor.complaints() == []


def test_nodes_align_and_lie_evenly(editor):
    select(editor, "load", "canvas", "prompt")
    assert editor.one(".selection-bar .count").text == "3 nodes"
    editor.one(".selection-bar [aria-label^='Align left edges']").click()

    def lefts():
        return {round(editor.one(f"[data-id={name}]").rect["x"]) for name in ("load", "canvas", "prompt")}

    editor.until(lambda: len(lefts()) == 1, "one left edge")
    editor.one(".selection-bar [aria-label^='Equal gaps down']").click()

    def gaps():
        boxes = sorted(
            (editor.one(f"[data-id={name}]").rect for name in ("load", "canvas", "prompt")), key=lambda r: r["y"]
        )
        return [b["y"] - a["y"] - a["height"] for a, b in pairwise(boxes)]

    editor.until(lambda: abs(gaps()[0] - gaps()[1]) < 2, "even gaps")
