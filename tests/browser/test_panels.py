"""Panels and fields: pictures that nodes load, the form as a page of its own, models, templates."""

import pytest

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
