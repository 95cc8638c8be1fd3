"""`weft check`, `weft plan`, `weft why`: what is wrong, what would run and why, without running it."""

import json
from pathlib import Path

from engine.cli import check
from engine.plan import Plan, PlanStep
from tests.engine.cli.conftest import changed, put, words

W = words()


def test_a_file_without_mistakes_is_fine(weft):
    told = weft("check", put(W))
    assert (told.code, told.out, told.err) == (0, "words.json: fine\n", "")


def test_every_file_is_checked_and_one_bad_one_decides(weft):
    put(W)
    put(changed(W, "mark", strength=2), "bad.json")
    told = weft("check", "bad.json", "words.json")
    assert told.code == 2
    assert told.out == "words.json: fine\n"
    assert told.err.startswith("error: bad.json:")


def test_advice_is_no_mistake(weft):
    record = json.loads(json.dumps(W))
    record["nodes"]["advise"] = {"type": "desk/word.advise", "inputs": {"text": "x"}}
    told = weft("check", put(record))
    assert told.code == 0
    assert told.out == "words.json: fine, 1 note\n"
    assert "note: words.json:" in told.err and "this is a long word" in told.err
    (problem,) = weft("check", "words.json", "--json").json[0]["problems"]
    assert problem["severity"] == "lint"


def test_a_mistake_inside_a_graph_is_found_where_it_is_written(weft):
    record = {
        "weft": 1,
        "nodes": {"all": {"type": "map", "body": "#one", "inputs": {"text": ["a", "b"]}}},
        "outputs": {"all": "all.said"},
        "graphs": {
            "one": {
                "nodes": {"mark": {"type": "desk/word.mark", "inputs": {"strength": 9}}},
                "parameters": {"text": {"to": ["mark.text"]}},
                "outputs": {"said": "mark.out"},
            }
        },
    }
    text = json.dumps(record, indent=1)
    line = next(i for i, row in enumerate(text.splitlines(), 1) if '"strength"' in row)
    told = weft("check", put(text))
    assert f"words.json:{line}:" in told.err


def test_check_does_not_draw_or_remember_anything(weft, home):
    weft("check", put(changed(W, "mark", seed="random")))
    assert not (home / "state").exists()


# --- plan and why --------------------------------------------------------------------------------------------------


def rows(told) -> dict[str, str]:
    """The table: step to state."""
    return {line.split()[0]: line.split()[1] for line in told.lines[1:-1]}


def test_a_plan_says_what_would_run_and_runs_nothing(weft, home):
    told = weft("plan", put(W))
    assert told.code == 0
    assert rows(told) == {"say": "light", "mark": "run", "write": "maybe"}
    assert told.lines[-1].startswith("1 to run, 0 known before, 1 to be seen")
    assert not (home / "output").exists()


def test_a_plan_after_a_run_knows_what_is_in_place(weft):
    weft("run", put(W))
    told = weft("plan", "words.json")
    assert rows(told)["write"] == "saved"
    assert "0 to run" in told.lines[-1]


def test_a_plan_says_which_input_changed_and_how_long_it_takes(weft):
    weft("run", put(W))
    steps = {step["path"]: step for step in weft("plan", "words.json", "--set", "strength=1", "--json").json["steps"]}
    assert (steps["mark"]["status"], steps["mark"]["why"]) == ("run", "strength changed")
    assert 0 < steps["mark"]["seconds"] < 1


def test_what_cannot_run_is_in_the_plan_and_told(weft):
    record = {
        "weft": 1,
        "nodes": {
            "m": {"type": "desk/word.model", "inputs": {"name": "no.safetensors"}},
            "w": {"type": "desk/word.write", "inputs": {"text": {"from": "m"}}},
        },
    }
    told = weft("plan", put(record))
    assert told.code == 2
    assert rows(told) == {"m": "failed", "w": "failed"}
    assert "error: words.json:" in told.err


def test_a_resumed_step_says_how_many_of_its_steps_are_left():
    made = Plan((PlanStep("sample", "denoise.sample", "run", "steps changed", 1.5, steps=20, resumed=14),))
    table = check.plan_table(made)
    assert "run 6 of 20" in table
    assert "steps changed; goes on after step 14 of 20" in table
    assert check.summary(made) == "1 to run, 0 known before, about 1.5 s"


def test_why_goes_back_to_what_changed(weft):
    record = json.loads(json.dumps(W))
    record["nodes"]["mark"]["type"] = "desk/word.mark"
    record["nodes"]["again"] = {"type": "desk/word.mark", "inputs": {"text": {"from": "mark"}}}
    record["outputs"]["again"] = "again.out"
    weft("run", put(record))
    told = weft("why", "words.json", "again", "--set", "strength=1")
    assert told.code == 0
    assert told.lines[0].startswith("again: maybe")
    assert told.lines[1] == "because of:"
    assert told.lines[2].split() == ["mark", "run", "strength", "changed"]
    chain = weft("why", "words.json", "again", "--set", "strength=1", "--json").json
    assert [step["path"] for step in chain] == ["again", "mark"]


def test_why_of_what_nobody_asked_for(weft):
    told = weft("why", put(W), "write", "--to", "mark")
    assert (told.code, told.out) == (0, "write: not needed, nothing that was asked for depends on it\n")


def test_every_shipped_workflow_has_the_form_of_one(weft):
    from engine import workflow

    found = sorted((Path(__file__).parents[3] / "workflows").glob("*.json"))
    assert len(found) >= 8
    for path in found:
        assert workflow.read(path).about, path.name
