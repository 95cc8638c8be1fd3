"""Results: looked at, compared, found again; and how runs are asked for beside the Run button."""

import pytest

from engine.client import Client
from tests.browser.conftest import TEMPLATE, TOKEN

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


def run(editor):
    editor.until(lambda: "sample" in editor.will_run(), "the plan")
    editor.forget_diary()
    editor.keys("control", "enter")
    editor.wait_for_the_end()


def press(editor, css, text):
    editor.until(lambda: [b for b in editor.all(css) if b.text == text], text)[0].click()


def seed(editor):
    return editor.script(
        "const at = document.querySelector('[data-node=sample] [data-input=seed]');"
        "return at.querySelector('input')?.value ?? at.querySelector('.value').textContent"
    )


def test_a_result_is_found_by_its_words_and_its_exact_graph_comes_back(editor):
    editor.type_prompt("a heron at dusk")
    run(editor)
    editor.type_prompt("a lighthouse")
    run(editor)
    editor.one(".rail [aria-label=History]").click()
    editor.until(lambda: len(editor.all(".result")) >= 2, "the results")
    editor.one(".panel .search input").send_keys("heron dusk")
    editor.until(lambda: len(editor.all(".result")) == 1, "only the one with these words")
    editor.one(".result [aria-label='Open the graph that made it']").click()
    editor.until(lambda: len(editor.all(".tab")) == 2, "a tab of its own")
    editor.until(lambda: editor.prompt() == "a heron at dusk", "the graph")
    editor.until(lambda: editor.forecast() == "everything is up to date", "the plan: nothing has to run")


def test_two_results_are_compared_as_pictures_and_as_graphs(editor):
    for cfg in ("2", "6"):
        editor.type_prompt("to be compared")
        editor.set_number("sample", "cfg", cfg)
        run(editor)
    editor.one(".rail [aria-label=History]").click()
    editor.one(".panel .search input").send_keys("compared")
    editor.until(lambda: len(editor.all(".result")) >= 2, "the results")
    editor.all(".result")[0].find_element("css selector", "[aria-label='Compare with another']").click()
    editor.all(".result .gallery button")[1].click()
    rows = editor.until(lambda: editor.all(".viewer .differences tr"), "what differs")
    assert [row.text.replace("\n", " ") for row in rows] == ["sample.cfg 2 → 6"]
    rows[0].find_element("css selector", "button").click()
    editor.until(lambda: editor.all("[data-node=sample].selected"), "the node of the difference")
    assert editor.complaints() == []


def test_a_result_of_the_history_is_its_own_item_also_where_an_item_before_it_has_no_picture(editor):
    flow = {"weft": 1, **TEMPLATE, "title": "one of these is gone"}
    with Client(editor.weft.url, TOKEN) as client:
        rows = [{"sample.seed": 40, "sample.steps": 2}, {"sample.seed": 41, "sample.steps": 2}]
        job = client.wait(client.submit(flow, rows=rows).id)
        client.forget_picture(job.id, 0)
    editor.one(".rail [aria-label=History]").click()
    editor.one(".panel .search input").send_keys("one of these is gone")
    editor.until(lambda: len(editor.all(".result")) == 1, "the result")
    editor.until(lambda: len(editor.all(".result .gallery button")) == 1, "its one picture")
    editor.one(".result .gallery button").click()
    editor.one(".viewer .stage img")
    editor.press("g")
    editor.until(lambda: editor.all("[role=application][aria-label^='Graph: one of these is gone']"), "its graph")
    editor.until(lambda: seed(editor) == "41", "the graph of the second item")


def test_a_picture_is_looked_at_at_full_size_starred_and_its_steps_gone_through(editor):
    with Client(editor.weft.url, TOKEN) as client:
        client.settings({"favourites": []})  # what other tests starred
    editor.set_number("sample", "steps", "6")
    editor.type_prompt("to be looked at")
    run(editor)
    editor.one("[data-node=decode] .thumb").click()
    editor.one(".viewer .stage img")
    editor.keys("1")
    editor.until(lambda: editor.all(".viewer header button")[0].text == "100 %", "full size")
    wide = editor.script(
        "const i = document.querySelector('.viewer .stage img'); return [i.naturalWidth, i.clientWidth]"
    )
    assert wide[0] == wide[1]
    editor.keys("f")
    editor.one(".viewer [aria-label^='No favourite any more']")
    film = editor.one(".viewer .film input")
    shown = editor.one(".viewer .stage img").get_attribute("src")
    editor.script(
        "const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set;"
        "set.call(arguments[0], '0'); arguments[0].dispatchEvent(new Event('input', {bubbles: true}))",
        film,
    )
    editor.until(lambda: editor.one(".viewer .stage img").get_attribute("src").startswith("blob:"), "a step")
    assert editor.one(".viewer .film span").text.startswith("step ")
    assert shown.startswith("http")
    editor.keys("escape")
    editor.open()
    editor.one(".rail [aria-label=History]").click()
    editor.one("[aria-label='Favourites only']").click()
    editor.until(lambda: len(editor.all(".result")) == 1, "the favourite, after a reload")


def test_a_batch_beside_the_run_button_goes_on_from_the_seed_that_is_there(editor):
    from selenium.webdriver.common.keys import Keys

    editor.set_number("sample", "seed", "500")
    field = editor.one(".count input")
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys("3")
    run(editor)
    editor.one("[data-action=sheet]").click()
    editor.until(lambda: len(editor.all(".sheet-view .cell img")) == 3, "three pictures")
    assert [e.text for e in editor.all(".sheet-view .cell .name")] == ["seed 500", "seed 501", "seed 502"]


def test_a_roll_is_no_undo_step_and_a_random_seed_can_be_had_again(editor):
    from selenium.webdriver.common.action_chains import ActionChains

    editor.type_prompt("rolled")
    for _ in range(2):
        ActionChains(editor.browser).move_to_element(editor.one("[data-node=sample] [data-input=seed]")).perform()
        before = seed(editor)
        editor.one("[data-node=sample] [aria-label$='another seed']").click()
        editor.until(lambda before=before: seed(editor) != before, "another seed")
    rolled = seed(editor)
    ActionChains(editor.browser).move_to_element(editor.one("[data-node=prompt] .head")).click().perform()
    editor.keys("control", "z")
    editor.until(lambda: editor.prompt() != "rolled", "undo to take back the prompt, not the roll")
    assert seed(editor) == rolled
    ActionChains(editor.browser).context_click(editor.one("[data-node=sample] [data-input=seed]")).perform()
    press(editor, ".menu [role=menuitem]", "Random each run")
    run(editor)
    drawn = next(e for e in editor.diary() if e["event"] == "job_started")["drawn"]["sample.seed"]
    ActionChains(editor.browser).context_click(editor.one("[data-node=sample] [data-input=seed]")).perform()
    press(editor, ".menu [role=menuitem]", f"The last run’s seed again: {drawn}")
    editor.until(lambda: seed(editor) == str(drawn), "the seed of before")
    editor.until(lambda: editor.forecast() == "everything is up to date", "the plan: its picture is there")


def test_live_runs_after_an_edit_by_itself_and_only_once(editor):
    press(editor, ".chip.live", "live")
    editor.forget_diary()
    editor.type_prompt("live and kicking")
    editor.wait_for_the_end()
    editor.until(lambda: editor.forecast() == "everything is up to date", "the plan")
    assert [e["event"] for e in editor.diary() if e["event"] == "job_queued"] == ["job_queued"]
    press(editor, ".chip.live", "live")


def test_an_edit_that_goes_back_shows_the_picture_it_comes_back_to_without_a_run(editor):
    def picture():
        found = editor.all("[data-node=save] img")
        return found[0].get_attribute("src") if found else None

    def turn(seed):
        editor.set_number("sample", "seed", seed)
        editor.until(lambda: editor.forecast() not in ("", "planning…"), "the plan")

    turn("8001")
    editor.keys("control", "enter")
    editor.wait_for_the_end()
    first = editor.until(picture, "the first picture")
    turn("8002")
    editor.until(lambda: "sample" in editor.will_run(), "the plan of the edit")
    editor.keys("control", "enter")
    editor.wait_for_the_end()
    editor.until(lambda: picture() not in (None, first), "the second picture")
    editor.forget_diary()
    turn("8001")
    editor.until(lambda: picture() == first, "the first picture again")
    assert editor.ran() == []

    editor.open(fresh=False)
    editor.until(lambda: picture() == first, "the picture in a page that was opened just now")
    assert editor.ran() == []


def test_a_run_stands_on_the_workflow_that_sent_it_and_not_on_another_with_nodes_of_the_same_names(editor):
    editor.set_number("sample", "seed", "8101")
    editor.keys("control", "enter")
    editor.wait_for_the_end()
    editor.until(lambda: editor.all("[data-node=save] img"), "the picture")
    document = editor.document()
    editor.open_document("the same names", {**document, "title": "the same names", "nodes": seeded(document, 8102)})
    editor.until(lambda: "sample" in editor.will_run(), "its plan")
    assert not editor.all("[data-node] img"), "nothing of it was ever seen"
    editor.one(".tab:not(.active) .name").click()
    editor.until(lambda: editor.all("[data-node=save] img"), "the first workflow's picture again")


def seeded(document, seed):
    node = document["nodes"]["sample"]
    return {**document["nodes"], "sample": {**node, "inputs": {**node["inputs"], "seed": seed}}}
