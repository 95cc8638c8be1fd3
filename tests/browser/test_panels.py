"""Panels and fields: pictures that nodes load, the form as a page of its own, models, templates."""

import pytest
from selenium.webdriver.common.actions.action_builder import ActionBuilder

from tests.browser.conftest import TOKEN

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
ORIGINAL = "workflows/assets/red_sphere_blue_cube.png"


def test_a_picture_to_load_is_seen_before_anything_runs_and_one_dropped_on_its_node_takes_its_place(editor):
    from pathlib import Path

    editor.open_workflow("Inpaint")
    seen = editor.one("[data-node=picture] .thumb img")
    editor.until(lambda: seen.get_property("naturalWidth") == 128, "the picture of the file")
    assert editor.ran() == []
    data = (Path(__file__).parent.parent.parent / ORIGINAL).read_bytes()
    editor.script(
        """
        const data = new DataTransfer();
        data.items.add(new File([Uint8Array.from(arguments[0])], 'dropped.png', {type: 'image/png'}));
        const card = document.querySelector('[data-node=picture] .head');
        const box = card.getBoundingClientRect();
        card.dispatchEvent(new DragEvent('drop',
          {bubbles: true, cancelable: true, dataTransfer: data, clientX: box.x + 5, clientY: box.y + 5}));
        """,
        list(data),
    )
    editor.until(
        lambda: "dropped.png" in editor.one("[data-node=picture] .thumb img").get_attribute("src"), "the dropped one"
    )
    editor.keys("control", "z")
    editor.until(lambda: "dropped.png" not in editor.one("[data-node=picture] .thumb img").get_attribute("src"), "undo")


def test_the_form_at_an_address_of_its_own_runs_the_workflow_and_shows_its_picture(editor):
    editor.browser.get(f"{editor.weft.url}/?token={TOKEN}&form=template:text_to_image")
    editor.until(lambda: editor.forecast() not in ("", "planning…"), "the plan")
    assert not editor.one("main").is_displayed() and not editor.one(".rail").is_displayed()
    field = editor.one(".panel textarea")
    field.clear()
    field.send_keys("asked for in the form")
    editor.until(lambda: "nodes" in editor.forecast(), "the plan of the edit")
    editor.one("[data-action=run]").click()
    editor.until(lambda: editor.forecast() == "everything is up to date", "the run", 90)
    editor.until(lambda: editor.all(".panel .results img"), "the picture")
    assert editor.complaints() == []
    editor.open()
    assert editor.prompt() != "asked for in the form", "the page of the form has changed the editor's own tabs"


def test_models_are_listed_with_their_family_and_templates_with_their_picture(editor):
    editor.one(".rail [aria-label=Models]").click()
    editor.until(lambda: editor.all(".models li .family"), "the family of the model")
    assert "starter/unet" in editor.one(".models").text
    editor.one("[aria-label='Search models']").send_keys("no such model")
    editor.until(lambda: "No model is called that" in editor.one(".models").text, "the empty list to say so")
    editor.one(".rail [aria-label=Workflows]").click()
    picture = editor.one(".panel .item img")
    editor.until(lambda: picture.get_property("naturalWidth") > 0, "the picture of a template")


def test_a_graph_of_comfyui_that_is_dropped_opens_laid_out_and_runs(editor):
    import json

    from tests.nodes.comfyui.graphs import text_to_image

    graph = text_to_image(n30=("FaceDetailer", {"image": ["8", 0]}))
    graph["4"]["inputs"]["ckpt_name"] = "starter/unet"
    editor.script(
        """
        const data = new DataTransfer();
        data.items.add(new File([arguments[0]], 'portrait.json', {type: 'application/json'}));
        document.querySelector('.react-flow__pane').dispatchEvent(
          new DragEvent('drop', {bubbles: true, cancelable: true, dataTransfer: data, clientX: 500, clientY: 300}));
        """,
        json.dumps(graph),
    )
    editor.until(lambda: editor.all("[role=application][aria-label='Graph: portrait']"), "the graph")
    assert "1 thing to look at" in editor.one(".toasts").text
    editor.until(lambda: "FaceDetailer" in editor.one(".react-flow__node-note").text, "the note")
    spots = [tuple(card.rect.values()) for card in editor.all("[data-node]")]
    assert len(set(spots)) == len(spots) == 8
    editor.one("[data-node=facedetailer] .head").click()
    editor.keys("delete")
    editor.until(lambda: "sample" in editor.will_run(), "the plan")
    editor.keys("control", "enter")
    editor.wait_for_the_end()
    editor.until(lambda: editor.all("[data-node=save] img"), "the picture")


def test_the_map_is_shown_only_while_a_part_of_the_graph_is_off_the_screen(editor):
    editor.script("document.activeElement.blur()")
    editor.press(".")
    editor.until(lambda: not editor.all(".graph-map"), "no map over a graph that is all there")
    pane = editor.one(".react-flow__pane")
    start = ActionBuilder(editor.browser)
    x, y = int(pane.rect["x"] + 8), int(pane.rect["y"] + pane.rect["height"] - 8)
    start.pointer_action.move_to_location(x, y).pointer_down().move_to_location(x + 300, y).move_to_location(x + 900, y)
    start.pointer_action.pointer_up()
    start.perform()
    editor.until(lambda: editor.all(".graph-map"), "the map, once cards are off the screen")


def test_a_notice_of_the_browsers_is_asked_leave_for_only_when_wanted_and_tells_an_unseen_end(editor):
    def leave(setting):
        editor.browser.execute_cdp_cmd(
            "Browser.setPermission",
            {"permission": {"name": "notifications"}, "setting": setting, "origin": editor.weft.url},
        )

    def box():
        return editor.one(".setting[data-setting=notify] input")

    leave("denied")
    editor.keys("control", ",")
    box().click()
    editor.until(lambda: [e for e in editor.all(".toast") if "does not allow" in e.text], "why it stays off")
    assert not box().is_selected()
    leave("granted")
    box().click()
    editor.until(lambda: box().is_selected(), "it to be on")
    editor.script(
        "window.notices = [];"
        "window.Notification = class { static permission = 'granted';"
        " constructor(title, more) { window.notices.push([title, more.body]); } close() {} };"
        "Object.defineProperty(document, 'hidden', {value: true, configurable: true})"
    )
    editor.set_number("sample", "steps", "2")
    editor.type_prompt("told when nobody looks")
    editor.until(lambda: "sample" in editor.will_run(), "the plan")
    editor.forget_diary()
    editor.keys("control", "enter")
    editor.wait_for_the_end()
    told = editor.until(lambda: editor.script("return window.notices"), "the notice")
    assert [body for _, body in told] == ["done"]
