"""The editor in a real Chromium, on a real server: what a person does, and what the diary says of it."""

import json
import re

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


def drag(editor, source, target):
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(editor.browser, duration=60).click_and_hold(source).move_by_offset(12, 6).move_to_element(
        target
    ).release().perform()


def socket(editor, node, name, side):
    return editor.one(f"[data-node={node}] .react-flow__handle-{side}[data-handleid='{name}']")


def wires(editor):
    return sorted(e.get_attribute("data-id") for e in editor.all(".react-flow__edge"))


def test_the_starter_runs_and_after_an_edit_only_what_the_plan_showed_runs(editor):
    editor.type_prompt("a red cube, quite new")
    editor.until(lambda: editor.will_run()[-2:] == ["sample", "save"], "the plan of the edit")
    editor.keys("control", "enter")
    editor.wait_for_the_end()
    editor.until(lambda: editor.all("[data-node=save] img"), "the picture on the node")
    assert editor.script("return document.querySelector('[data-node=decode] img').naturalWidth") > 0
    editor.until(lambda: editor.forecast() == "everything is up to date", "the plan after the run")

    editor.forget_diary()
    editor.type_prompt("a blue sphere, newer still")
    planned = ["decode", "prompt", "sample", "save"]
    editor.until(lambda: editor.will_run() == planned, "the plan to show what the edit costs")
    assert editor.forecast().startswith("4 of 6 nodes")
    editor.keys("control", "enter")
    editor.wait_for_the_end()
    assert editor.ran() == planned
    assert editor.complaints() == []


def test_undoing_everything_leads_back_to_where_nothing_has_to_run_for_the_edits(editor):
    before = editor.marks()
    text = editor.prompt()
    editor.type_prompt("something else")
    editor.one("[data-node=negative] .head").click()
    editor.keys("delete")
    editor.until(lambda: not editor.all("[data-node=negative]"), "the node to go")
    editor.one("[data-node=decode] .head").click()
    editor.keys("control", "b")
    editor.until(lambda: editor.all("[data-node=decode].bypass"), "the bypass")
    while editor.one("[aria-label='Undo (Ctrl+Z)']").is_enabled():
        editor.keys("control", "z")
    assert editor.prompt() == text
    editor.until(lambda: editor.marks() == before, "the plan of the start")
    assert len(wires(editor)) == 10


def test_a_cut_wire_is_an_error_on_its_socket_and_drawing_it_again_mends_it(editor):
    editor.one("[aria-label='Show the whole graph (.)']").click()
    drawn = wires(editor)
    editor.script(
        "const path = document.querySelector(\"[data-id='save|image'] .react-flow__edge-interaction\");"
        "path.dispatchEvent(new MouseEvent('click', {bubbles: true}))"
    )
    editor.keys("delete")
    editor.until(lambda: "save|image" not in wires(editor), "the wire to go")
    said = editor.one("[data-node=save] .complaint").text
    assert "image" in said and "Image" in said
    assert editor.forecast() == "1 problem"
    drag(editor, socket(editor, "decode", "image", "right"), socket(editor, "save", "image", "left"))
    editor.until(lambda: wires(editor) == drawn, "the wire to be there again")
    editor.until(lambda: not editor.all(".complaint"), "the complaint to go")


def test_a_wire_that_does_not_fit_is_not_made_and_its_socket_says_why(editor):
    from selenium.webdriver.common.action_chains import ActionChains

    drawn = wires(editor)
    source, wrong = socket(editor, "prompt", "conditioning", "right"), socket(editor, "decode", "latent", "left")
    held = ActionChains(editor.browser, duration=60).click_and_hold(source).move_by_offset(12, 6).move_to_element(wrong)
    held.perform()
    editor.until(lambda: "no" in wrong.get_attribute("class").split(), "the socket to be greyed")
    assert wrong.get_attribute("data-why") == "the wire carries Conditioning, the socket takes Latent"
    ActionChains(editor.browser).release().perform()
    assert wires(editor) == drawn


def test_a_node_is_found_by_another_tools_name_and_a_dropped_wire_offers_what_takes_it(editor):
    editor.one(".react-flow__pane")
    editor.keys("space")
    editor.one("[cmdk-input]").send_keys("KSampler")
    assert editor.one("[cmdk-item]").text.startswith("Denoise")
    editor.keys("enter")
    editor.until(lambda: editor.all("[data-node=sample_2]"), "the node")
    editor.keys("control", "z")
    editor.until(lambda: not editor.all("[data-node=sample_2]"), "the node to go")

    from selenium.webdriver.common.action_chains import ActionChains

    source = socket(editor, "decode", "image", "right")
    ActionChains(editor.browser, duration=60).click_and_hold(source).move_by_offset(10, 60).move_by_offset(
        10, 260
    ).release().perform()
    editor.one("[cmdk-input]").send_keys("blur")
    editor.keys("enter")
    editor.until(lambda: "blur|image" in wires(editor), "the new node, wired")


def test_a_dragged_node_really_moves_and_wires_end_where_the_sockets_are(editor):
    from selenium.webdriver.common.action_chains import ActionChains

    head = editor.one("[data-node=decode] .head")
    before = head.rect
    ActionChains(editor.browser, duration=60).click_and_hold(head).move_by_offset(2, 2).move_by_offset(
        80, 64
    ).release().perform()
    after = editor.one("[data-node=decode] .head").rect
    assert 50 < after["x"] - before["x"] < 110 and 40 < after["y"] - before["y"] < 90
    # The geometry that nothing measures, against what the browser drew: within a pixel.
    ends = editor.script(
        """
        const [, x, y, zoom] = /translate\\(([-\\d.]+)px, ([-\\d.]+)px\\) scale\\(([\\d.]+)\\)/
          .exec(document.querySelector('.react-flow__viewport').style.transform).map(Number);
        const pane = document.querySelector('.react-flow').getBoundingClientRect();
        return [...document.querySelectorAll('.react-flow__edge')].map((edge) => {
          const [node, slot] = edge.dataset.id.split('|');
          const path = edge.querySelector('.react-flow__edge-path').getAttribute('d');
          const numbers = path.match(/-?[\\d.]+/g).map(Number);
          const left = `.react-flow__handle-left[data-handleid="${slot}"]`;
          const handle = document.querySelector(`[data-node=${node}] ${left}`);
          const box = handle.getBoundingClientRect();
          const [ex, ey] = numbers.slice(-2);
          return [pane.x + x + ex * zoom - box.x, pane.y + y + ey * zoom - (box.y + box.height / 2), box.width];
        })
        """
    )
    assert len(ends) == 10
    for across, down, width in ends:
        assert -1.5 < across < width + 1.5 and abs(down) < 1.5


def test_markup_in_prompts_and_titles_stays_text(editor):
    nasty = "<img src=x onerror='window.hurt=1'><b>bold</b>"
    editor.type_prompt(nasty)
    editor.one("[data-node=prompt] .head").click()
    title = editor.one("[aria-label='Title']")
    title.send_keys(nasty)
    editor.until(lambda: nasty in editor.one("[data-node=prompt] .title").text, "the title on the node")
    assert editor.script("return window.hurt") is None
    assert editor.all("[data-node=prompt] b") == [] and editor.all(".title img") == []


def test_a_reload_in_the_middle_of_a_run_keeps_the_edit_and_shows_the_result(editor):
    editor.type_prompt("kept over the reload")
    editor.until(lambda: "sample" in editor.will_run(), "the plan")
    editor.keys("control", "enter")
    editor.until(lambda: any(e["event"] == "job_started" for e in editor.diary()), "the start")
    editor.open(fresh=False)
    assert editor.prompt() == "kept over the reload"
    editor.until(lambda: editor.forecast() == "everything is up to date", "the run to end", 90)
    editor.until(lambda: editor.all("[data-node=save] img"), "the picture")


def test_a_saved_picture_dropped_on_the_canvas_brings_its_graph_back(editor):
    editor.type_prompt("to be found in the picture")
    editor.until(lambda: "save" in editor.will_run(), "the plan")
    editor.keys("control", "enter")
    editor.wait_for_the_end()
    saved = next(event["files"][0] for event in editor.diary() if event["event"] == "saved")
    file = next(path for path in (editor.weft.home / "output").rglob("*.png") if path.name == saved.rpartition("/")[2])
    editor.open()
    assert editor.prompt() != "to be found in the picture"
    editor.script(
        """
        const bytes = Uint8Array.from(arguments[0]);
        const data = new DataTransfer();
        data.items.add(new File([bytes], 'result.png', {type: 'image/png'}));
        document.querySelector('.react-flow__pane').dispatchEvent(
          new DragEvent('drop', {bubbles: true, cancelable: true, dataTransfer: data, clientX: 500, clientY: 300}));
        """,
        list(file.read_bytes()),
    )
    editor.until(lambda: editor.prompt() == "to be found in the picture", "the graph of the picture")
    assert len(wires(editor)) == 10


def test_the_server_may_be_killed_and_come_back(editor):
    editor.weft.kill()
    editor.until(lambda: "reconnecting" in editor.one(".run-bar").text, "the editor to notice")
    editor.weft.start()
    editor.until(lambda: "reconnecting" not in editor.one(".run-bar").text, "the line to stand again")
    editor.type_prompt("after the server came back")
    editor.until(lambda: "sample" in editor.will_run(), "the plan of the new server")


def test_a_graph_of_five_hundred_nodes_mounts_few_of_them(editor):
    nodes = {f"text_{i}": {"type": "values.text", "version": 1, "inputs": {"value": f"number {i}"}} for i in range(500)}
    view = {"nodes": {f"text_{i}": {"x": i % 25 * 300, "y": i // 25 * 200} for i in range(500)}}
    folder = editor.weft.home / "workflows"
    folder.mkdir(exist_ok=True)
    (folder / "many.json").write_text(json.dumps({"weft": 1, "title": "Many", "nodes": nodes, "view": view}))
    editor.one("[aria-label='Workflows']").click()
    editor.until(lambda: [item for item in editor.all(".panel .item") if item.text.startswith("Many")], "the row")[
        0
    ].click()
    editor.until(lambda: editor.all("[data-node^=text_]"), "the graph")
    editor.one("[aria-label='Close Workflows']").click()
    shown = editor.script(
        "return [document.querySelectorAll('.react-flow__node').length, document.querySelectorAll('*').length]"
    )
    assert 0 < shown[0] < 60
    assert shown[1] < 5000


def test_every_control_has_a_name_and_every_picture_a_text(editor):
    editor.one("[data-node=sample] .head").click()
    for panel in ("Workflows", "Form", "History", "Queue", "Models", "Problems"):
        editor.one(f".rail [aria-label='{panel}']").click()
        editor.one(f".panel[aria-label='{panel}']")
        nameless = editor.script(
            """
            const named = (e) => e.getAttribute('aria-label') || e.getAttribute('title') || e.textContent.trim()
              || e.closest('label') || e.getAttribute('placeholder');
            return [...document.querySelectorAll('button, input, select, textarea, a')]
              .filter((e) => !named(e)).map((e) => e.outerHTML.slice(0, 120))
              .concat([...document.querySelectorAll('img:not([alt])')].map((e) => e.outerHTML.slice(0, 120)));
            """
        )
        assert nameless == [], panel


def test_text_stands_out_from_its_ground_in_both_themes(editor):
    def contrast(a: str, b: str) -> float:
        def light(colour: str) -> float:
            parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
            linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
            return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

        high, low = sorted((light(a), light(b)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    for theme in ("dark", "light"):
        editor.script("document.documentElement.dataset.theme = arguments[0]", theme)
        colours = editor.script(
            "const s = getComputedStyle(document.documentElement);"
            "return Object.fromEntries(['ground','card','raise','well','text','quiet','accent','bad','good','warn']"
            ".map((n) => [n, s.getPropertyValue('--' + n).trim()]))"
        )
        assert all(re.fullmatch(r"#[0-9a-f]{6}", value) for value in colours.values()), colours
        for front in ("text", "quiet", "accent", "bad"):
            for back in ("ground", "card", "well"):
                assert contrast(colours[front], colours[back]) >= 4.5, (theme, front, back)
