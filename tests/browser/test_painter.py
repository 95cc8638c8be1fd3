"""The mask painter in a real Chromium: what is painted is what changes, and nothing else."""

from pathlib import Path

import numpy
import PIL.Image
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
ORIGINAL = Path(__file__).parent.parent.parent / "workflows" / "assets" / "red_sphere_blue_cube.png"


def pixels(path):
    with PIL.Image.open(path) as picture:
        return numpy.asarray(picture.convert("RGB")).astype(int)


def open_painter(editor, node):
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(editor.browser).move_to_element(editor.one(f"[data-node={node}] [data-input=name]")).perform()
    editor.one(f"[data-node={node}] [aria-label^='Paint a mask']").click()
    editor.one(".painter .stage[aria-busy=false]")
    return editor.one(".painter .sheet")


def stroke(editor, sheet, *points):
    """Drag over the picture; points are shares of its width and height from the top left."""
    from selenium.webdriver.common.action_chains import ActionChains

    # The sheet is scaled by CSS, which the driver's own offsets do not know: from the stage's middle, in screen pixels.
    spots = editor.script(
        """
        const [sheet, stage, points] = arguments;
        const box = sheet.getBoundingClientRect(), around = stage.getBoundingClientRect();
        return points.map(([x, y]) => [
          Math.round(box.x + x * box.width - around.x - around.width / 2),
          Math.round(box.y + y * box.height - around.y - around.height / 2)]);
        """,
        sheet,
        editor.one(".painter .stage"),
        points,
    )
    chain = ActionChains(editor.browser, duration=40)
    for index, (x, y) in enumerate(spots):
        chain.move_to_element_with_offset(editor.one(".painter .stage"), x, y)
        if index == 0:
            chain.click_and_hold()
    chain.release().perform()


def share(editor):
    return editor.one(".painter .share").text


def test_only_what_was_painted_changes_in_an_inpainting(studio):
    studio.open_workflow("Inpaint")
    studio.set_number("sample", "steps", "8")
    sheet = open_painter(studio, "picture")
    for _ in range(4):
        studio.keys("]")
    stroke(studio, sheet, (0.62, 0.35), (0.80, 0.35), (0.80, 0.60), (0.62, 0.60))
    studio.until(lambda: "marked" in share(studio), "the paint to be counted")
    studio.one(".painter .run-button").click()
    studio.wait_for_the_end()
    assert {"painted mask", "encode", "sample", "decode", "merge", "save"} <= set(studio.ran())
    assert not studio.all("[data-node=area]"), "the rectangle that the paint replaced is still there"

    saved = next(event["files"][0] for event in studio.diary() if event["event"] == "saved")
    made = next(p for p in (studio.weft.home / "output").rglob("*.png") if p.name == saved.rpartition("/")[2])
    (painted,) = (studio.weft.home / "input").glob("mask of picture*.png")
    with PIL.Image.open(painted) as picture:
        mask = 255 - numpy.asarray(picture.convert("RGBA"))[..., 3].astype(int)
    assert mask.shape == (128, 128) and 0.05 < (mask > 0).mean() < 0.5
    assert mask[int(0.35 * 128), int(0.7 * 128)] == 255, "where the brush went there is no paint"
    assert mask[10, 10] == 0 and mask[64, 30] == 0
    before, after = pixels(ORIGINAL), pixels(made)
    differs = (before != after).any(axis=2)
    # The mask's edge is feathered by two pixels' radius in this workflow: nothing beyond a few of them may differ.
    wide = numpy.asarray(PIL.Image.fromarray((mask > 0).astype("uint8") * 255).resize((128, 128))) > 0
    for _ in range(9):
        wide = wide | numpy.roll(wide, 1, 0) | numpy.roll(wide, -1, 0)
        wide = wide | numpy.roll(wide, 1, 1) | numpy.roll(wide, -1, 1)
    assert not (differs & ~wide).any(), "something outside the mask changed"
    assert (numpy.abs(before - after).max(axis=2)[mask == 255] > 8).mean() > 0.3, "the masked part is as it was"


def test_painting_again_changes_the_same_mask_and_undo_leads_back_to_the_rectangle(studio):
    studio.open_workflow("Inpaint")
    sheet = open_painter(studio, "picture")
    stroke(studio, sheet, (0.3, 0.3), (0.5, 0.5))
    studio.until(lambda: "marked" in share(studio), "the paint")
    first = share(studio)
    studio.one(".painter .keep").click()
    studio.until(lambda: studio.all("[data-node='painted mask']"), "the mask's node")

    studio.one("[aria-label='Show the whole graph (.)']").click()
    sheet = open_painter(studio, "picture")
    studio.until(lambda: share(studio) == first, "the paint of before")
    studio.keys("i")
    studio.until(lambda: share(studio) != first, "the inverse")
    studio.one(".painter .keep").click()
    studio.until(lambda: not studio.all(".painter"), "the painter to close")
    assert len(studio.all("[data-node='painted mask']")) == 1
    studio.keys("control", "z")
    studio.keys("control", "z")
    studio.until(lambda: studio.all("[data-node=area]"), "the rectangle")
    assert not studio.all("[data-node='painted mask']")


def test_the_painters_keys_and_its_undo(studio):
    studio.open_workflow("Inpaint")
    sheet = open_painter(studio, "picture")

    def size():
        return int(studio.one(".painter .slide output").text.split()[0])

    def tool():
        return studio.one(".painter .tools [aria-pressed=true]").get_attribute("aria-label")

    before = size()
    studio.keys("]")
    studio.until(lambda: size() > before, "a larger brush")
    studio.keys("[")
    studio.keys("[")
    studio.until(lambda: size() < before, "a smaller brush")
    studio.keys("x")
    assert tool().startswith("Eraser")
    studio.keys("x")
    assert tool().startswith("Brush")
    shares = [share(studio)]
    for points in ([(0.2, 0.2), (0.4, 0.2)], [(0.2, 0.6), (0.7, 0.6)]):
        stroke(studio, sheet, *points)
        studio.until(lambda: share(studio) != shares[-1], "the stroke to be counted")
        shares.append(share(studio))
    studio.keys("e")
    stroke(studio, sheet, (0.2, 0.2), (0.4, 0.2))
    studio.until(lambda: share(studio) != shares[-1], "the eraser")
    studio.keys("control", "z")
    studio.until(lambda: share(studio) == shares[2], "the eraser's undo")
    studio.keys("control", "z")
    studio.until(lambda: share(studio) == shares[1], "the stroke's undo")
    studio.keys("control", "y")
    studio.until(lambda: share(studio) == shares[2], "redo")
    studio.keys("delete")
    studio.until(lambda: share(studio) == shares[0], "an empty mask")
    # By the keyboard alone: the arrows move the brush, Enter lets it down.
    studio.keys("b")
    studio.keys("arrow_left")
    studio.keys("enter")
    studio.until(lambda: "marked" in share(studio), "a dab by the keyboard")
    studio.keys("escape")
    studio.until(lambda: not studio.all(".painter"), "the painter to close")
    studio.until(lambda: "paint on" in studio.one(".toasts").text, "a way back")
    assert studio.all("[data-node=area]"), "leaving without keeping changed the graph"
