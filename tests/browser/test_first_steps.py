"""The page of first steps, done in a real browser. Its pictures are made here: `make screens` renews them.

Without that they are compared with what the editor shows now: the same places, the same things, roughly. Figures that
change from run to run (seconds) do not matter, a panel that is gone or moved does.
"""

import io
import re
import time
from pathlib import Path

import numpy
import PIL.Image
import pytest

from tests.browser.test_many import menu, run_many, values
from tests.browser.test_painter import open_painter, stroke

pytestmark = [pytest.mark.browser, pytest.mark.timeout(420)]
DOCS = Path(__file__).parent.parent.parent / "docs"
SCREENS = DOCS / "screens"
DESK, PHONE = (1280, 720), (390, 844)
LARGEST = 160_000  # bytes of one picture
FAR = 0.045  # mean difference of the small gray versions, 0..1; another panel is more


def shape(picture):
    """Small, gray and soft: what is where."""
    wide = 64 if picture.width > picture.height else 32
    small = picture.convert("L").resize((wide, round(wide * picture.height / picture.width)), PIL.Image.Resampling.BOX)
    return numpy.asarray(small) / 255


class Camera:
    """Takes the pictures of the page, or holds what it sees against them."""

    def __init__(self, editor, renew):
        self.editor, self.renew = editor, renew
        self.stale = []
        self.taken = []

    def size(self, width, height, phone=False):
        self.editor.browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone},
        )

    def take(self, name):
        self.editor.script("document.activeElement?.blur?.()")
        self.editor.until(lambda: not self.editor.all(".toast"), "messages to go", 20)
        time.sleep(0.4)  # pictures fade in, fonts settle
        seen = PIL.Image.open(io.BytesIO(self.editor.browser.get_screenshot_as_png())).convert("RGB")
        path = SCREENS / f"{name}.png"
        self.taken.append(path.name)
        if self.renew:
            SCREENS.mkdir(exist_ok=True)
            seen.quantize(192, dither=PIL.Image.Dither.NONE).save(path, optimize=True)
            return
        with PIL.Image.open(path) as kept:
            if kept.size != seen.size or numpy.abs(shape(kept) - shape(seen)).mean() > FAR:
                self.stale.append(path.name)


@pytest.fixture
def camera(studio, update_golden):
    made = Camera(studio, update_golden)
    made.size(*DESK)
    studio.open()
    yield made
    studio.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def run(editor):
    editor.until(lambda: "sample" in editor.will_run(), "the plan")
    editor.forget_diary()
    editor.keys("control", "enter")
    editor.wait_for_the_end()
    editor.until(lambda: editor.forecast() == "everything is up to date", "the plan after it")


def press(editor, css, text):
    editor.until(lambda: [e for e in editor.all(css) if e.text == text], text)[0].click()


def fit(editor):
    editor.script("document.activeElement?.blur?.()")
    editor.keys("escape")
    editor.one(".rail [aria-label='Show the whole graph (.)']").click()


def test_what_the_page_of_first_steps_says_can_be_done_and_its_pictures_show_it(studio, camera):
    camera.take("start")

    run(studio)
    fit(studio)
    camera.take("run")

    studio.type_prompt("a yellow cylinder left of a blue cube on a gray background")
    studio.until(lambda: studio.forecast().startswith("4 of 6 nodes"), "the plan of the edit")
    fit(studio)
    camera.take("edit")

    studio.set_number("sample", "steps", "12")
    menu(studio, "sample", "cfg", "Sweep")
    values(studio, 0, "1, 2, 3, 5, 8")
    from selenium.webdriver.support.ui import Select

    Select(studio.one(".sweep .add-axis")).select_by_value("prompt.text")
    studio.until(lambda: len(studio.all(".sweep .axis")) == 2, "the second axis")
    press(studio, ".sweep .modes button", "swap words")
    values(studio, 1, "yellow, green, red")
    studio.until(lambda: studio.one("[data-cost]").text.startswith("5 × 3 = 15 items"), "the cost")
    run_many(studio, "sweep", 15)
    studio.until(lambda: len(studio.all(".sheet-view .cell img")) == 15, "the pictures")
    camera.take("sweep")
    studio.keys("escape")

    studio.one(".rail [aria-label='Look at many seeds']").click()
    studio.until(lambda: "more for each you finish" in studio.one(".cull [data-cost]").text, "the cost")
    run_many(studio, "cull", 16)
    for number in (0, 5, 9):
        studio.all(".sheet-view .cell")[number].click()
    camera.take("cull")
    studio.one("[aria-label='Close the sheet (Esc)']").click()
    studio.one("[aria-label='Close Look at many seeds']").click()

    studio.set_number("sample", "cfg", "6")
    run(studio)
    studio.one(".rail [aria-label=History]").click()
    studio.until(lambda: len(studio.all(".result")) >= 3, "the results")
    results = studio.all(".result")
    single = [r for r in results if not r.find_elements("css selector", "[aria-label='Open the sheet']")]
    single[0].find_element("css selector", "[aria-label='Compare with another']").click()
    single[1].find_element("css selector", ".gallery button").click()
    studio.until(lambda: studio.all(".viewer .differences tr"), "what differs")
    camera.take("compare")
    studio.keys("escape")
    studio.one("[aria-label='Close History']").click()

    studio.open_workflow("Inpaint")
    sheet = open_painter(studio, "picture")
    for _ in range(4):
        studio.keys("]")
    stroke(studio, sheet, (0.60, 0.38), (0.78, 0.38), (0.78, 0.62), (0.60, 0.62), (0.68, 0.5))
    camera.take("mask")
    studio.keys("escape")

    studio.open()
    camera.size(*PHONE, phone=True)
    run_or_not = studio.forecast()
    studio.one("[data-action=run]").click()
    studio.until(lambda: studio.forecast() == "everything is up to date", f"the run ({run_or_not})", 60)
    studio.one(".rail [aria-label=Form]").click()
    studio.one(".panel .form")
    camera.take("phone")

    named = set(re.findall(r"screens/([\w-]+\.png)", (DOCS / "first-steps.md").read_text("utf-8")))
    assert named == set(camera.taken), "the page and the test show different pictures"
    assert {path.name for path in SCREENS.glob("*")} == named, "a picture that no page shows"
    large = [path.name for path in SCREENS.glob("*.png") if path.stat().st_size > LARGEST]
    assert not large, f"more than {LARGEST:,} bytes: {large}"
    assert not camera.stale, f"the editor looks otherwise now: {camera.stale}; renew them with `make screens`"
