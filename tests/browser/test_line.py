"""The line between editor and server: killed in the middle of a run, and a queue that is put into another order."""

import pytest

from engine.client import Client
from tests.browser.conftest import TOKEN

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


def client(editor):
    return Client(editor.weft.url, TOKEN)


def test_a_server_killed_in_the_middle_of_a_run_goes_on_with_it_and_nothing_typed_is_lost(editor):
    editor.type_prompt("typed before the end")
    editor.set_number("sample", "seed", "4711")
    editor.set_number("sample", "steps", "120")
    editor.until(lambda: "sample" in editor.will_run(), "the plan")
    editor.keys("control", "enter")
    far = "return window.diary.some((e) => e.event === 'step_progress' && e.path === 'sample' && e.done >= 20)"
    editor.until(lambda: editor.script(far), "the run to be under way")
    with client(editor) as weft:
        (job,) = [one for one in weft.jobs() if one.state == "running"]
    editor.weft.kill()
    try:
        editor.until(lambda: "reconnecting" in editor.one(".run-bar").text, "the editor to notice")
        # The card may be drawn anew under the hand, as what it knew of the run goes.
        editor.until(lambda: editor.type_prompt("typed while it was away") is None, "the prompt to be typed")
    finally:
        editor.weft.start()
    editor.until(lambda: "reconnecting" not in editor.one(".run-bar").text, "the line to stand again")
    with client(editor) as weft:
        editor.until(lambda: weft.job(job.id).finished, f"the job to go on: {weft.job(job.id)}", 90)
        done = weft.job(job.id)
        assert (done.state, done.title) == ("succeeded", job.title)
        assert [one.id for one in weft.history() if one.title == job.title][:1] == [job.id]
        graph = weft.graph(job.id)
        assert graph["nodes"]["prompt"]["inputs"]["text"] == "typed before the end"
    blob = done.outputs["image"][0].blob
    seen = f"[data-node=save] img[src*='{blob}']"
    editor.until(lambda: editor.all(seen), "the picture of the run on its node")
    assert editor.prompt() == "typed while it was away"
    editor.until(lambda: "sample" in editor.will_run(), "the plan of what was typed meanwhile")


def waiting(editor):
    return [row.text.split("\n")[0] for row in editor.all(".queue li[draggable]")]


def test_the_queue_takes_any_order_by_keys_by_drag_and_in_every_browser(editor):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    with client(editor) as weft:
        weft.queue(paused=True)
        try:
            document = weft.workflow("template:text_to_image").workflow
            jobs = [weft.submit(document, {"seed": seed}, title=f"job {seed}") for seed in (1, 2, 3, 4)]
            editor.one(".rail [aria-label='Queue']").click()
            editor.until(lambda: waiting(editor) == ["job 1", "job 2", "job 3", "job 4"], "the queue")
            assert "paused" in editor.one(".panel").text

            editor.one("[aria-label^='job 4: earlier']").click()
            editor.until(lambda: waiting(editor) == ["job 1", "job 2", "job 4", "job 3"], "one up")
            button = editor.one("[aria-label^='job 3: earlier']")
            button.send_keys(Keys.ALT, Keys.HOME)
            editor.until(lambda: waiting(editor) == ["job 3", "job 1", "job 2", "job 4"], "to the front")
            rows = editor.all(".queue li[draggable]")
            ActionChains(editor.browser).drag_and_drop(rows[0], rows[2]).perform()
            editor.until(lambda: waiting(editor) == ["job 1", "job 2", "job 3", "job 4"], "the drag")
            assert [job.title for job in weft.state().queue.jobs] == waiting(editor)

            weft.move(jobs[0].id, 3)  # another browser, a script
            editor.until(lambda: waiting(editor) == ["job 2", "job 3", "job 4", "job 1"], "an order from elsewhere")
            editor.one("[aria-label='Cancel job 3']").click()
            editor.until(lambda: waiting(editor) == ["job 2", "job 4", "job 1"], "the cancelled one to go")
            next(b for b in editor.all(".panel button") if b.text == "Cancel what waits").click()
            editor.until(lambda: not waiting(editor), "the queue to be empty")
            assert {weft.job(job.id).state for job in jobs} == {"cancelled"}
            next(b for b in editor.all(".panel button") if b.text == "Go on").click()
            editor.until(lambda: not weft.state().queue.paused, "the queue to go on")
        finally:
            weft.queue(paused=False, clear=True)


def test_what_is_kept_between_runs_is_told_and_given_back_and_the_plan_knows(editor):
    editor.type_prompt("to be forgotten")
    editor.until(lambda: "sample" in editor.will_run(), "the plan")
    editor.keys("control", "enter")
    editor.wait_for_the_end()
    editor.until(lambda: editor.will_run() == [], "nothing left to run")
    editor.keys("control", ",")
    for kind in ("values", "models", "disk"):
        button = editor.one(f".setting[data-kept={kind}] button")
        if kind != "disk" or button.is_enabled():  # what is made in a moment is not kept on disk
            button.click()
            editor.until(lambda button=button: not button.is_enabled(), f"no {kind} any more")
    assert "0 models in memory" in editor.one(".setting[data-kept=models]").text
    assert editor.will_run() == [], "the picture is there still"
    editor.type_prompt("another", "negative")
    editor.until(lambda: {"prompt", "sample"} <= set(editor.will_run()), "the plan to know")
    assert str(editor.weft.home) in editor.one(".folders").text


def test_what_is_set_holds_at_once_and_over_a_reload_and_the_machine_is_told(editor):
    from selenium.webdriver.support.ui import Select

    editor.keys("control", "k")
    editor.choose("Settings", "Settings")
    panel = editor.one(".panel[aria-label='Settings']")
    editor.until(lambda: "Weft 0." in panel.text and "cpu" in panel.text, "what the server says of itself")
    Select(panel.find_element("css selector", "select")).select_by_visible_text("Light")
    editor.until(lambda: editor.script("return document.documentElement.dataset.theme") == "light", "the theme")
    box = "Show pictures while they are made"
    tick = f"[...document.querySelectorAll('.setting')].find((e) => e.textContent === '{box}').querySelector('input')"
    editor.script(f"{tick}.click()")
    editor.open(fresh=False)
    assert editor.script("return document.documentElement.dataset.theme") == "light"
    editor.keys("control", "k")
    editor.choose("Settings", "Settings")
    editor.one(".panel .setting")
    assert editor.script(f"return {tick}.checked") is False
    editor.type_prompt("no picture is made of the steps of this")
    editor.until(lambda: "sample" in editor.will_run(), "the plan")
    editor.keys("control", "enter")
    editor.wait_for_the_end()
    assert not editor.all("[data-node=sample] img[src^='blob:']")
