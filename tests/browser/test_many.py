"""Many runs at once: sweeps as a labelled grid, the cull sheet, and the trail of values that were tried."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


def menu(editor, node, name, row):
    """The right button over a field, and a row of its menu."""
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(editor.browser).context_click(editor.one(f"[data-node={node}] [data-input={name}]")).perform()
    editor.until(lambda: [b for b in editor.all(".menu [role=menuitem]") if b.text.startswith(row)], row)[0].click()


def values(editor, axis, text):
    from selenium.webdriver.common.keys import Keys

    field = editor.until(lambda: editor.all(".sweep textarea")[axis : axis + 1], "the axis")[0]
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(text)


def cost(editor):
    return editor.one("[data-cost]").text


def run_many(editor, action, count):
    editor.until(lambda: editor.one(f"[data-action={action}]").is_enabled(), "the run button")
    editor.one(f"[data-action={action}]").click()
    done = f"{count} item{'' if count == 1 else 's'}"
    editor.until(lambda: [e for e in editor.all(".sheet-view .done") if e.text == done], "every item", 120)


def started(editor, path):
    return [e for e in editor.diary() if e["event"] == "step_started" and e["path"] == path]


def shown(editor, node, name):
    return editor.script(
        "const at = document.querySelector(`[data-node=${arguments[0]}] [data-input=${arguments[1]}]`);"
        "return at.querySelector('input')?.value ?? at.querySelector('.value').textContent",
        node,
        name,
    )


def test_a_sweep_from_a_field_is_a_labelled_grid_and_each_cell_gives_its_values_back(editor):
    editor.type_prompt("a red cube in a sweep")
    editor.set_number("sample", "steps", "3")
    menu(editor, "sample", "cfg", "Sweep")
    values(editor, 0, "2, 4")
    from selenium.webdriver.support.ui import Select

    Select(editor.one(".sweep .add-axis")).select_by_value("prompt.text")
    editor.until(lambda: len(editor.all(".sweep .axis")) == 2, "the second axis")
    next(b for b in editor.all(".sweep .modes button") if b.text == "swap words").click()
    values(editor, 1, "red, blue, green")
    editor.until(lambda: "of 18 steps" in cost(editor), "the cost")
    assert cost(editor).startswith("2 × 3 = 6 items, 18 of 18 steps")
    editor.forget_diary()
    run_many(editor, "sweep", 6)
    assert [h.text for h in editor.all(".sheet-view thead th[scope=col]")] == ["2", "4"]
    assert [h.text for h in editor.all(".sheet-view tbody th")] == ["red", "blue", "green"]
    assert len(editor.all(".sheet-view .cell img")) == 6
    assert len(started(editor, "sample")) == 6, "every combination runs once"
    assert len(started(editor, "prompt")) == 3, "what items share is computed once"

    editor.forget_diary()
    editor.keys("arrow_down")
    editor.keys("arrow_right")
    editor.keys("u")
    editor.keys("escape")
    editor.until(lambda: not editor.all(".sheet-view"), "the sheet to close")
    editor.until(lambda: editor.prompt() == "a blue cube in a sweep", "the values of the cell")
    assert shown(editor, "sample", "cfg") == "4"
    editor.until(lambda: editor.forecast() == "everything is up to date", "the plan")
    assert editor.ran() == []
    editor.keys("control", "z")
    editor.until(lambda: editor.prompt() == "a red cube in a sweep", "one undo for all of the values")
    assert editor.complaints() == []


def test_what_is_wrong_with_the_values_of_an_axis_is_said_and_nothing_can_be_run(editor):
    menu(editor, "sample", "steps", "Sweep")
    values(editor, 0, "4, many")
    assert "“many” is no number" in editor.one(".sweep .axis .wrong").text
    assert not editor.one("[data-action=sweep]").is_enabled()
    values(editor, 0, "1..4")
    editor.until(lambda: "4 items" in cost(editor), "the cost")


def test_only_the_chosen_of_many_seeds_are_finished_and_their_first_steps_are_not_run_again(editor):
    from selenium.webdriver.common.keys import Keys

    editor.type_prompt("a cull")
    editor.set_number("sample", "steps", "5")
    menu(editor, "sample", "seed", "Look at many seeds")
    editor.one(".cull .two")
    for label, number in (("seeds", "6"), ("stop after step", "2")):
        field = next(e for e in editor.all(".cull .two label") if e.text.startswith(label))
        field = field.find_element("css selector", "input")
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(number)
    editor.until(lambda: cost(editor).startswith("6 items, 12 steps now"), "the cost")
    assert cost(editor).endswith("3 more for each you finish")
    editor.forget_diary()
    run_many(editor, "cull", 6)
    assert len(editor.all(".sheet-view .cell img")) == 6
    assert [e["event"] for e in editor.diary() if e["event"] == "saved"] == [], "a look saves nothing"

    editor.forget_diary()
    editor.all(".sheet-view .cell")[1].click()
    editor.keys("arrow_right")
    editor.keys("space")
    editor.until(lambda: len(editor.all(".sheet-view .cell.chosen")) == 2, "two to be chosen")
    editor.keys("f")
    editor.until(lambda: [e for e in editor.all(".sheet-view .done") if e.text == "2 items"], "both to be finished", 90)
    runs = started(editor, "sample")
    assert [(e["resumed"], e["steps"]) for e in runs] == [(2, 5), (2, 5)]
    assert len([e for e in editor.diary() if e["event"] == "saved"]) == 2


def test_a_field_shows_what_was_tried_in_it_and_goes_back_without_a_run(editor):
    from selenium.webdriver.common.action_chains import ActionChains

    editor.type_prompt("a trail")
    for cfg in ("2", "5"):
        editor.set_number("sample", "cfg", cfg)
        editor.until(lambda: "sample" in editor.will_run(), "the plan")
        editor.forget_diary()
        editor.keys("control", "enter")
        editor.wait_for_the_end()
    editor.forget_diary()
    ActionChains(editor.browser).move_to_element(editor.one("[data-node=sample] .head")).perform()
    ActionChains(editor.browser).move_to_element(editor.one("[data-node=sample] [data-input=cfg]")).perform()
    tried = editor.until(lambda: editor.all(".trail li button"), "the trail")
    assert [e.text for e in tried] == ["2", "5"]
    assert "held" in tried[1].get_attribute("class")
    tried[0].click()
    editor.until(lambda: shown(editor, "sample", "cfg") == "2", "the value of before")
    editor.until(lambda: editor.forecast() == "everything is up to date", "the plan")
    assert editor.ran() == []


def test_items_share_forwards_when_the_switch_says_so_and_what_that_saves_is_told_before(editor):
    def told():
        return editor.one(".sweep [data-sharing]").text

    editor.type_prompt("a red cube together")
    editor.set_number("sample", "steps", "3")
    menu(editor, "sample", "seed", "Sweep")
    values(editor, 0, "1..4")
    editor.until(lambda: "of 12 steps" in cost(editor), "the cost")
    assert "quicker, equal but for rounding" in told()
    editor.one(".sweep [data-action=sharing]").click()
    editor.until(lambda: told() == "3 forwards instead of 12; pictures may differ in the last bit", "what it saves")
    editor.forget_diary()
    run_many(editor, "sweep", 4)
    begun = started(editor, "sample")
    assert [(e["sharing"], e["steps"], e["resumed"]) for e in begun] == [(4, 3, 0)] * 4
    assert sum((e["steps"] - e["resumed"]) / e["sharing"] for e in begun) == 3, "as many forwards as were told"
    assert len(editor.all(".sheet-view .cell img")) == 4
    editor.keys("escape")
    # The run bar has the same switch, when a run makes several pictures.
    editor.script("document.querySelector('.run-bar .count input').focus()")
    editor.keys("control", "a")
    editor.write("3")
    editor.until(lambda: editor.all(".run-bar [data-sharing]"), "the cost in the run bar")
    assert editor.one(".run-bar [data-action=sharing]").get_attribute("aria-pressed") == "true"
    editor.one(".run-bar [data-action=sharing]").click()
    editor.until(lambda: not editor.all(".run-bar [data-sharing]"), "the cost to go with the switch")
    assert editor.complaints() == []
