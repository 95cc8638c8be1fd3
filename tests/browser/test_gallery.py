"""The gallery, the viewer's ways to compare, the forecast as a list, templates, models on the canvas."""

import json
import sqlite3
import time

import pytest

from tests.browser.test_results import press, run

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


def made(editor, *prompts):
    for prompt in prompts:
        editor.type_prompt(prompt)
        run(editor)
        editor.script("document.activeElement?.blur?.()")  # what completes words must not lie over the next click
    editor.until(lambda: editor.forecast() == "everything is up to date", "the plan")


def open_gallery(editor):
    editor.script("document.activeElement?.blur?.()")
    editor.keys("g")
    editor.until(lambda: editor.all(".thumb-cell .shot"), "the pictures")


def found(editor, words, count):
    field = editor.one(".gallery-view input[type=search]")
    field.clear()
    field.send_keys(words)
    editor.until(lambda: len(editor.all(".thumb-cell .shot")) == count, f"{count} with the words {words!r}")


def test_the_gallery_finds_compares_stars_and_throws_away_with_a_way_back(editor):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    made(editor, "gallery of foxes", "gallery of geese")
    open_gallery(editor)
    assert editor.one(".gallery-view h3").text.startswith("Today")
    found(editor, "gallery foxes", 1)
    found(editor, "gallery of", 2)
    shots = editor.all(".thumb-cell .shot")
    ActionChains(editor.browser).key_down(Keys.CONTROL).click(shots[0]).click(shots[1]).key_up(Keys.CONTROL).perform()
    assert editor.one(".gallery-view .deeds [role=status]").text == "2 chosen"
    editor.keys("c")
    rows = editor.until(lambda: editor.all(".viewer .differences tr"), "what differs")
    assert [row.text.replace("\n", " ") for row in rows] == ["prompt.text “gallery of geese” → “gallery of foxes”"]
    editor.keys("escape")
    editor.until(lambda: not editor.all(".viewer"), "the viewer to close")
    editor.one(".gallery-view").send_keys("f")
    editor.until(lambda: len(editor.all(".thumb-cell .star")) == 2, "two stars")
    editor.one(".gallery-view .deeds [aria-label='Delete (Del)']").click()
    editor.until(lambda: not editor.all(".thumb-cell .shot"), "them to be gone")
    press(editor, ".toast button", "undo")
    editor.until(lambda: len(editor.all(".thumb-cell .shot")) == 2, "them to be back")
    editor.one(".gallery-view .shot").click()
    editor.one(".gallery-view .about [aria-label='Delete (Del)']").click()
    editor.until(lambda: len(editor.all(".thumb-cell .shot")) == 1, "one to be gone")
    time.sleep(9)  # the grace is over: the server forgets it
    editor.open()
    open_gallery(editor)
    found(editor, "gallery of", 1)
    assert editor.complaints() == []


def test_a_result_gives_its_graph_its_seed_and_itself_as_an_input(editor):
    editor.set_number("sample", "seed", "4711")
    made(editor, "to be used again")
    editor.set_number("sample", "seed", "1")
    editor.until(lambda: "sample" in editor.will_run(), "the plan")
    open_gallery(editor)
    found(editor, "again 4711", 1)
    editor.one(".gallery-view .shot").click()
    editor.until(lambda: "4711" in editor.one(".gallery-view .about").text, "what it was made with")
    press(editor, ".gallery-view .about button", "Reuse this seed")
    editor.until(lambda: [e for e in editor.all(".toast") if "The seed is 4711 now." in e.text], "the word of it")
    drop = """
        const data = new DataTransfer();
        const shot = document.querySelector('.gallery-view .shot');
        shot.dispatchEvent(new DragEvent('dragstart', {bubbles: true, dataTransfer: data}));
        const canvas = document.querySelector('.react-flow__pane');
        const box = canvas.getBoundingClientRect();
        canvas.dispatchEvent(new DragEvent('drop', {bubbles: true, cancelable: true, dataTransfer: data,
          clientX: box.x + box.width / 2, clientY: box.y + 80}));
        shot.dispatchEvent(new DragEvent('dragend', {bubbles: true, dataTransfer: data}));
    """
    editor.script(drop)
    editor.until(lambda: not editor.all(".gallery-view"), "the canvas to be seen again")
    editor.until(lambda: editor.all("[data-node=load2] .thumb img, [data-node^=load] .thumb img"), "the picture loaded")
    editor.until(
        lambda: editor.forecast() == "everything is up to date", "the plan: the old seed, its picture is there"
    )
    nodes = editor.until(
        lambda: {n: v for n, v in editor.document()["nodes"].items() if v["type"] == "image.load"}, "the node"
    )
    assert len(nodes) == 1
    editor.keys("control", "z")
    editor.until(lambda: not editor.all("[data-node^=load] .thumb img"), "one undo to take it back")


def test_two_thousand_pictures_are_scrolled_through_with_few_of_them_on_the_page(editor):
    made(editor, "one of very many")
    db = sqlite3.connect(editor.weft.home / "state" / "jobs.sqlite", timeout=20)
    columns = [row[1] for row in db.execute("PRAGMA table_info(jobs)")]
    found_one = "SELECT * FROM jobs WHERE found LIKE '%blob%' ORDER BY finished DESC"
    row = dict(zip(columns, db.execute(found_one).fetchone(), strict=True))
    now = time.time()
    copies = [
        {**row, "id": f"copy{i:05}", "key": None, "title": "a copy", "finished": now - 86_400 - i * 60}
        for i in range(2000)
    ]
    marks = ", ".join(f":{name}" for name in columns)
    with db:
        db.executemany(f"INSERT INTO jobs VALUES ({marks})", copies)
    try:
        editor.open()
        open_gallery(editor)
        area = editor.one(".gallery-view .pictures")
        most = 0
        tall = editor.script("return arguments[0].scrollHeight", area)
        for _ in range(60):
            editor.script("arguments[0].scrollTop = arguments[0].scrollHeight", area)
            time.sleep(0.12)
            most = max(most, editor.script("return document.querySelectorAll('.gallery-view *').length"))
            now_tall = editor.script("return arguments[0].scrollHeight", area)
            assert editor.script("return document.querySelectorAll('.gallery-view .line').length")
            tall = now_tall
        grid = "getComputedStyle(document.querySelector('.gallery-view .line')).gridTemplateColumns"
        columns_now = editor.script(f"return {grid}.split(' ').length")
        assert tall > 2000 / columns_now * 90, "all of them were reached"
        assert most < 1500, "elements on the page"
    finally:
        with db:
            db.execute("DELETE FROM jobs WHERE id LIKE 'copy%'")
        db.close()


def test_the_forecast_lists_what_will_run_and_why_and_leads_to_the_node(editor):
    from selenium.webdriver.common.action_chains import ActionChains

    made(editor, "before the edit")
    editor.type_prompt("after the edit")
    editor.until(lambda: "sample" in editor.will_run(), "the plan")
    ActionChains(editor.browser).move_to_element(editor.one(".forecast-box")).perform()
    rows = editor.until(lambda: editor.all("[data-due] li"), "the list")
    words = [row.text for row in rows]
    assert len(rows) == len(editor.will_run())
    assert any("text changed" in text for text in words), words
    assert any("changed (from prompt)" in text for text in words), words
    next(row for row in rows if "sample" in row.text).find_element("css selector", "button").click()
    editor.until(lambda: editor.all("[data-node=sample].selected"), "the node")
    assert not editor.all("[data-due]")


def test_the_tab_of_the_browser_says_how_far_the_run_is(editor):
    plain = editor.one("link[rel=icon]").get_attribute("href")
    editor.script(
        "window.titles = new Set(); window.icons = new Set();"
        "new MutationObserver(() => { window.titles.add(document.title);"
        " window.icons.add(document.querySelector('link[rel=icon]').href.slice(0, 20)); })"
        ".observe(document.head, {subtree: true, childList: true, attributes: true, characterData: true})"
    )
    editor.set_number("sample", "steps", "30")
    made(editor, "seen from another tab")
    titles, icons = editor.script("return [[...window.titles], [...window.icons]]")
    assert any("% · " in title for title in titles), titles
    assert any(icon.startswith("data:image/png") for icon in icons), icons
    assert editor.browser.title == "Text to image" and editor.one("link[rel=icon]").get_attribute("href") == plain


def test_a_template_is_chosen_by_eye_and_says_which_model_it_needs(editor):
    editor.keys("control", "o")
    editor.until(lambda: len(editor.all(".template")) >= 40, "the templates")
    picture = editor.one(".template img")
    editor.until(lambda: picture.get_property("naturalWidth") > 0, "its picture")
    flux = next(e for e in editor.all(".template") if "Flux from split files" in e.text)
    flux.find_element("css selector", "summary").click()
    assert "weft models get black-forest-labs/FLUX.1-dev" in flux.text
    editor.write("outpaint")
    editor.until(lambda: [e.text.split("\n")[0] for e in editor.all(".template")] == ["Outpaint"], "the one found")
    editor.press("enter")
    editor.until(lambda: editor.all("[role=application][aria-label='Graph: Outpaint']"), "its graph")
    assert not editor.all("dialog[open]") and editor.complaints() == []


def test_a_model_tells_its_words_and_dragged_onto_the_canvas_brings_its_loader(editor):
    folder = editor.weft.home / "models" / "loras"
    folder.mkdir(parents=True, exist_ok=True)
    told = {"modelspec.trigger_phrase": "inkwash", "modelspec.title": "Ink wash"}
    header = json.dumps({"__metadata__": told}).encode()
    (folder / "inks.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    try:
        editor.one(".rail [aria-label=Models]").click()
        row = editor.one("[data-model='inks.safetensors']")
        row.click()
        editor.until(lambda: "inkwash" in editor.one(".models .details").text, "its words")
        editor.script(
            """
            const data = new DataTransfer();
            document.querySelector("[data-model='inks.safetensors']")
              .dispatchEvent(new DragEvent('dragstart', {bubbles: true, dataTransfer: data}));
            const pane = document.querySelector('.react-flow__pane');
            const box = pane.getBoundingClientRect();
            pane.dispatchEvent(new DragEvent('drop', {bubbles: true, cancelable: true, dataTransfer: data,
              clientX: box.x + box.width / 2, clientY: box.y + 60}));
            """
        )
        nodes = editor.until(
            lambda: [n for n in editor.document()["nodes"].values() if n["type"] == "lora.load"], "its loader"
        )
        assert [node["inputs"]["lora"] for node in nodes] == ["inks.safetensors"]
    finally:
        (folder / "inks.safetensors").unlink()


def test_two_pictures_are_held_against_each_other_in_four_ways(editor):
    made(editor, "four ways one", "four ways two")
    open_gallery(editor)
    found(editor, "four ways", 2)
    editor.one(".gallery-view").send_keys("c")
    editor.until(lambda: len(editor.all(".viewer .stage img")) == 2, "both")
    press(editor, ".viewer .ways button", "Side by side")
    panes = editor.until(lambda: len(editor.all(".viewer .pane")) == 2 and editor.all(".viewer .pane img"), "two panes")
    editor.keys("1")

    def transforms():
        return editor.script(
            "return [...document.querySelectorAll('.viewer .pane img')].map((image) => image.style.transform)"
        )

    editor.until(lambda: "scale(1)" in transforms()[0], "full size")
    assert len(panes) == 2 and transforms()[0] == transforms()[1], "zoomed and moved together"
    press(editor, ".viewer .ways button", "Difference")
    blend = "return getComputedStyle(document.querySelector('.viewer .over')).mixBlendMode"
    editor.until(lambda: editor.script(blend) == "difference", "the difference")
    press(editor, ".viewer .ways button", "Blink")
    seen = set()

    def both():
        seen.add(editor.script("return document.querySelector('.viewer .over').style.visibility"))
        return len(seen) == 2

    editor.until(both, "one and then the other")
    assert editor.complaints() == []


def test_a_problem_is_mended_with_one_press_and_can_be_told_to_somebody_else(editor):
    # A latent where a picture is asked for: the mend puts the decode between them.
    editor.open_document(
        "wrong ends",
        {
            "nodes": {
                "load": {"type": "load.model", "inputs": {"model": "starter/unet"}},
                "empty": {"type": "latent.empty", "inputs": {"model": {"from": "load.model"}}},
                "save": {"type": "image.save", "inputs": {"image": {"from": "empty.latent"}}},
            }
        },
    )
    editor.until(lambda: editor.forecast().startswith("1 problem"), "the problem")
    editor.one(".rail [aria-label=Problems]").click()
    row = editor.one(".problem-room li.wrong")
    assert row.text.startswith("save.image")
    editor.script("navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve(); }")
    row.find_element("css selector", ".copy").click()
    report = editor.until(lambda: editor.script("return window.copied"), "the report")
    assert "at save.image" in report and "Weft" in report and "next step:" in report
    row.find_element("css selector", ".mend").click()
    editor.until(lambda: not editor.all(".problem-room li.wrong .item b"), "the problem to be gone")
    editor.one("[aria-label='Close Problems']").click()


def test_what_is_forgotten_in_the_history_comes_back_when_asked(editor):
    made(editor, "nearly forgotten")
    editor.one(".rail [aria-label=History]").click()
    editor.one(".panel .search input").send_keys("nearly forgotten")
    editor.until(lambda: len(editor.all(".result")) == 1, "the result")
    editor.one(".result [aria-label='Forget it']").click()
    editor.until(lambda: not editor.all(".result"), "it to be gone")
    press(editor, ".toast button", "undo")
    editor.until(lambda: len(editor.all(".result")) == 1, "it to be back")
