"""`weft run`: a workflow becomes files, once or many times, and says what it did."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine import workflow
from engine.places import Places
from tests.engine.cli.conftest import changed, put, words

W = words()


def test_a_run_prints_the_paths_it_saved(weft):
    told = weft("run", put(W), "--out", "out")
    assert told.code == 0
    assert told.lines == ["said = hello!7", os.path.join("out", "note_00001_.txt")]
    assert Path(told.lines[-1]).read_text() == "hello!7"
    assert "2 ran, 0 known before" in told.err


def test_a_second_run_finds_its_file_in_place(weft):
    weft("run", put(W), "--out", "out")
    told = weft("run", "words.json", "--out", "out")
    assert told.code == 0
    assert told.lines[-1] == os.path.join("out", "note_00001_.txt")
    assert "already saved" in told.err
    assert len(list(Path("out").iterdir())) == 1
    assert weft("run", "words.json", "--out", "out", "--again").lines[-1] == os.path.join("out", "note_00002_.txt")


def test_values_are_read_by_the_type_of_their_input(weft):
    told = weft("run", put(W), "--json", "--set", "word=true", "seed=18446744073709551615", "how=quiet", "polite=yes")
    assert told.json["outputs"] == {"said": "true.18446744073709551615"}
    assert weft("run", "words.json", "--json", "--set", "say.text=7").json["outputs"] == {"said": "7!7"}
    assert weft("run", "words.json", "--json", "--set", "word=a=b", "say.times=2").json["outputs"] == {
        "said": "a=ba=b!7"
    }


def test_the_file_may_follow_the_values(weft):
    put(W)
    assert weft("run", "--set", "word=x", "words.json", "--json").json["outputs"] == {"said": "x!7"}


def test_a_workflow_may_come_from_stdin(weft, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(W).encode())))
    assert weft("run", "-", "--json").json["outputs"] == {"said": "hello!7"}


def test_a_target_leaves_the_rest_alone(weft, home):
    told = weft("run", put(W), "--to", "mark", "--json")
    assert told.code == 0
    assert list(told.json["steps"]) == ["mark"]
    assert not (home / "output").exists()


def test_the_summary_is_one_object(weft):
    record = weft("run", put(W), "--json", "--set", "seed=8").json
    assert (record["state"], record["file"]) == ("succeeded", "words.json")
    assert record["parameters"]["seed"] == 8
    assert record["steps"]["mark"]["status"] == "ran"
    assert record["steps"]["mark"]["why"]
    assert [Path(file).name for file in record["files"]] == ["note_00001_.txt"]


def test_a_drawn_seed_is_told_and_gives_the_same_again(weft):
    told = weft("run", put(changed(W, "mark", seed="random")), "--json").json
    (seed,) = told["seeds"].values()
    assert told["outputs"]["said"] == f"hello!{seed}"
    assert weft("run", "words.json", "--set", f"seed={seed}", "--json").json["outputs"] == told["outputs"]
    assert weft("run", "words.json", "--set", "seed=random", "--json").json["outputs"] != told["outputs"]


def test_events_are_lines_of_json(weft):
    events = [json.loads(line) for line in weft("run", put(W), "--events").lines]
    kinds = [event["event"] for event in events]
    assert kinds[0] == "job_queued" and kinds[-1] == "job_finished"
    assert [e["path"] for e in events if e["event"] == "step_finished"] == ["mark", "write"]


def test_what_failed_is_one_line_and_exit_code_1(weft):
    told = weft("run", put(W), "--set", "word=bad")
    assert told.code == 1
    (line,) = [line for line in told.err.splitlines() if line.startswith("error:")]
    assert "words.json:" in line and "mark" in line and "this word is not said -> say another" in line
    assert "not run" in told.err and "because mark failed" in told.err
    assert told.out == ""


def test_a_node_that_crashes_is_told_without_a_traceback(weft):
    told = weft("run", put(W), "--set", "word=crash")
    assert told.code == 1
    assert "ZeroDivisionError: words cannot be divided" in told.err
    assert "Traceback" not in told.err
    record = weft("run", "words.json", "--set", "word=crash", "--json").json
    assert "Traceback" in record["problems"][0]["report"]


def test_a_failed_branch_leaves_the_others_and_gives_3(weft):
    record = json.loads(json.dumps(W))
    record["nodes"]["other"] = {"type": "desk/word.mark", "inputs": {"text": "bad"}}
    record["nodes"]["lost"] = {"type": "desk/word.write", "inputs": {"text": {"from": "other"}}}
    told = weft("run", put(record), "--out", "out")
    assert told.code == 3
    assert told.lines[-1] == os.path.join("out", "note_00001_.txt")


def test_a_required_parameter_must_be_given(weft):
    record = json.loads(json.dumps(W))
    del record["nodes"]["say"]["inputs"]["text"]
    record["parameters"]["word"]["required"] = True
    told = weft("run", put(record))
    assert told.code == 2
    assert "parameter 'word' is required -> --set word=..." in told.err
    assert weft("run", "words.json", "--set", "word=x").code == 0
    assert weft("check", "words.json").code == 0


READ = {
    "weft": 1,
    "nodes": {"read": {"type": "desk/word.read", "inputs": {"name": "a.txt"}}},
    "parameters": {"file": {"to": ["read.name"]}},
    "outputs": {"said": "read.out"},
}


def test_a_file_named_by_its_path_is_brought_into_the_input_folder(weft, home, tmp_path):
    away = tmp_path / "away"
    away.mkdir()
    (away / "a.txt").write_text("one")
    told = weft("run", put(READ), "--set", f"file={away / 'a.txt'}")
    assert told.lines == ["said = one"]
    assert (home / "input" / "a.txt").read_text() == "one"
    assert "copied to" in told.err
    again = weft("run", "words.json", "--set", f"file={away / 'a.txt'}")
    assert again.lines == ["said = one"] and "copied" not in again.err
    (away / "a.txt").write_text("two")
    assert weft("run", "words.json", "--set", f"file={away / 'a.txt'}").lines == ["said = two"]
    assert (home / "input" / "a.txt").read_text() == "one"
    assert len(list((home / "input").iterdir())) == 2


def test_a_file_beside_the_workflow_is_taken_as_it_is(weft, home):
    Path("a.txt").write_text("here")
    assert weft("run", put(READ)).lines == ["said = here"]
    assert weft("run", "words.json", "--set", "file=a.txt").lines == ["said = here"]
    assert not (home / "input").exists()


def test_a_file_that_is_nowhere_is_told(weft):
    told = weft("run", put(READ), "--set", "file=b.txt")
    assert told.code == 2
    assert "read.name: there is no file 'b.txt'" in told.err


def test_advice_is_told_and_stands_in_the_summary(weft):
    record = json.loads(json.dumps(W))
    record["nodes"]["say"]["type"] = "desk/word.advise"
    told = weft("run", put(record), "--json")
    assert [note["message"] for note in told.json["notes"]] == ["this is a long word"]
    assert "note      this is a long word" in weft("run", "words.json").err


def test_programs_are_told_of_mistakes_in_json(weft):
    record = weft("run", "none.json", "--json").json
    assert (record["state"], record["problems"][0]["code"]) == ("failed", "file.missing")
    (event,) = map(json.loads, weft("run", "none.json", "--events").lines)
    assert (event["event"], event["problems"][0]["code"]) == ("job_finished", "file.missing")


def test_the_name_of_a_template_says_how_to_have_it(weft):
    assert "-> weft new text_to_image.json --template text_to_image" in weft("run", "text_to_image").err


# --- many runs -----------------------------------------------------------------------------------------------------


def test_each_row_is_a_run(weft):
    put('word,seed\nx,1\n"y, z",2\n,3\n', "jobs.csv")
    told = weft("run", put(W), "--rows", "jobs.csv", "--json").json
    assert [run["outputs"]["said"] for run in told["runs"]] == ["x!1", "y, z!2", "hello!3"]
    assert [run["name"] for run in told["runs"]] == ["row 1", "row 2", "row 3"]
    assert len(told["files"]) == 3 and told["state"] == "succeeded"


def test_rows_may_be_lines_of_json(weft):
    put('{"word": "x", "seed": 1}\n\n{"seed": "random"}\n', "jobs.jsonl")
    told = weft("run", put(W), "--rows", "jobs.jsonl", "--json").json
    assert told["runs"][0]["outputs"] == {"said": "x!1"}
    assert told["runs"][1]["seeds"]


def test_a_column_called_name_names_the_row_and_its_files(weft):
    put("name;seed\nfirst;1\nsecond;2\n", "jobs.csv")
    told = weft("run", put(W), "--rows", "jobs.csv", "--out", "out")
    assert sorted(path.name for path in Path("out").iterdir()) == ["first_00001_.txt", "second_00001_.txt"]
    assert told.lines[0].split() == ["run", "state", "time", "result"]
    assert told.lines[1].split()[:2] == ["first", "done"]
    assert told.lines[2].endswith(os.path.join("out", "second_00001_.txt"))


def test_a_row_that_fails_does_not_stop_the_rest(weft):
    put("word,strength\nx,0.1\nbad,0.2\ny,7\nz,0.3\n", "jobs.csv")
    told = weft("run", put(W), "--rows", "jobs.csv", "--out", "out")
    assert told.code == 3
    assert [line.split()[:3] for line in told.lines[1:]] == [
        ["row", "1", "done"],
        ["row", "2", "failed"],
        ["row", "3", "failed"],
        ["row", "4", "done"],
    ]
    assert "row 2: this word is not said" in told.err
    assert "jobs.csv:4 strength: row 3: 'strength' must be at most 1, got 7" in told.err
    assert len(list(Path("out").iterdir())) == 2


def test_rows_that_all_fail_give_1(weft):
    put("word\nbad\nbad\n", "jobs.csv")
    assert weft("run", put(W), "--rows", "jobs.csv").code == 1


def test_sweeps_give_every_combination(weft):
    told = weft("run", put(W), "--sweep", "seed=1..3", "word=a,b", "--json").json
    assert [run["outputs"]["said"] for run in told["runs"]] == ["a!1", "b!1", "a!2", "b!2", "a!3", "b!3"]
    assert told["runs"][1]["name"] == "seed=1, word=b"


@pytest.mark.parametrize(
    ("sweep", "values"),
    [
        ("strength=0..1:0.25", [0, 0.25, 0.5, 0.75, 1]),
        ("strength=0.1..0.3:0.1", [0.1, 0.2, 0.3]),
        ("seed=3..1", [3, 2, 1]),
        ("seed=5", [5]),
        ('word=["a, b","c"]', ["a, b", "c"]),
        ("seed=1,2", [1, 2]),
    ],
)
def test_a_sweep_is_a_range_or_a_list(weft, sweep, values):
    name = sweep.partition("=")[0]
    runs = weft("run", put(W), "--sweep", sweep, "--to", "say", "--json").json["runs"]
    assert [run["parameters"][name] for run in runs] == values


def test_rows_times_sweeps(weft):
    put("name,word\np,x\nq,y\n", "jobs.csv")
    told = weft("run", put(W), "--rows", "jobs.csv", "--sweep", "seed=1..2", "--json").json
    assert [run["name"] for run in told["runs"]] == ["p seed=1", "p seed=2", "q seed=1", "q seed=2"]


def test_what_rows_share_runs_once(weft):
    put("strength\n0.1\n0.2\n", "jobs.csv")
    record = json.loads(json.dumps(W))
    record["nodes"]["before"] = {"type": "desk/word.mark", "inputs": {"text": "x"}}
    record["nodes"]["mark"]["inputs"]["text"] = {"from": "before.out"}
    record["parameters"].pop("word")
    first, second = weft("run", put(record), "--rows", "jobs.csv", "--json").json["runs"]
    assert first["steps"]["before"]["status"] == "ran"
    assert [path for path, step in second["steps"].items() if step["status"] == "ran"] == ["mark"]


# --- pictures that carry their workflow ----------------------------------------------------------------------------

GREY = {
    "weft": 1,
    "title": "Grey",
    "nodes": {
        "mask": {"type": "mask.solid", "inputs": {"width": 32, "height": 16, "value": 0.5}},
        "seed": {"type": "values.seed", "inputs": {"value": "random"}},
        "picture": {"type": "image.from_mask", "inputs": {"mask": {"from": "mask"}}},
        "save": {"type": "image.save", "inputs": {"image": {"from": "picture"}, "name": "grey %seed%"}},
    },
    "parameters": {"value": {"to": ["mask.value"]}, "seed": {"to": ["seed.value"], "default": "random"}},
    "outputs": {"seed": "seed.value"},
}


@pytest.mark.parametrize("ending", ["png", "webp", "jpeg"])
def test_a_saved_picture_gives_its_workflow_back(weft, ending):
    record = changed(GREY, "save", format=ending)
    first = weft("run", put(record), "--out", "out", "--set", "value=0.25", "--json").json
    (picture,) = first["files"]
    (seed,) = {*first["seeds"].values()}
    again = weft("run", picture, "--out", "out2", "--json").json
    assert again["outputs"] == first["outputs"] == {"seed": seed}
    assert again["parameters"]["value"] == 0.25
    changed_one = weft("run", picture, "--out", "out2", "--set", "value=0.75", "--json").json
    assert changed_one["state"] == "succeeded" and changed_one["parameters"]["value"] == 0.75
    assert weft("diff", picture, picture).code == 0


def test_a_picture_without_its_workflow_says_so(weft):
    put(changed(GREY, "save", metadata="parameters"))
    (picture,) = weft("run", "words.json", "--out", "out", "--json").json["files"]
    told = weft("run", picture)
    assert told.code == 2
    assert "only the values it was made with -> save pictures with metadata: full" in told.err


# --- stopping ------------------------------------------------------------------------------------------------------


def slow(**inputs: object) -> dict:
    record = json.loads(json.dumps(W))
    record["nodes"]["slow"] = {"type": "desk/word.slow", "inputs": {"text": {"from": "mark.out"}, **inputs}}
    record["nodes"]["last"] = {"type": "desk/word.write", "inputs": {"text": {"from": "slow"}, "name": "last"}}
    return record


def start(*command: str) -> subprocess.Popen[str]:
    # Its own group: Ctrl-C is for it alone.
    return subprocess.Popen(
        [sys.executable, "-m", "engine.cli", "run", *command, "--events", "--out", "out"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(workflow.__file__).parents[2])},
        start_new_session=True,
    )


def until(process: subprocess.Popen[str], kind: str) -> list[dict]:
    """The events up to the first of this kind."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(json.loads(line))
        if seen[-1]["event"] == kind:
            break
    return seen


def test_ctrl_c_ends_at_the_next_step_and_keeps_what_is_finished(home):
    process = start(put(slow(steps=1000)))
    until(process, "step_progress")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert json.loads(out.splitlines()[-1])["state"] == "cancelled"
    assert [path.name for path in Path("out").iterdir()] == ["note_00001_.txt"]
    assert "stopping after the current step" in err and "Traceback" not in err


def test_a_second_ctrl_c_leaves_at_once(home):
    process = start(put(slow(steps=1000, deaf=True)))
    until(process, "saved")
    time.sleep(0.2)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_ctrl_c_leaves_out_the_rows_that_have_not_begun(home):
    put("seed\n1\n2\n3\n", "jobs.csv")
    process = start(put(slow(steps=1000)), "--rows", "jobs.csv")
    until(process, "step_progress")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert {json.loads(line)["run"] for line in out.splitlines()} == {1}


def test_weft_home_decides_where_results_go(weft, home):
    (file,) = weft("run", put(W), "--json").json["files"]
    assert Path(file).parent == Places().output == home / "output"


def test_runs_that_share_their_work_are_told_and_saved_one_by_one(weft):
    put(W)
    told = weft("run", "words.json", "--sweep", "seed=1..5", "--together", "2", "--json", "--out", "out")
    assert told.code == 0
    assert [run["outputs"]["said"] for run in told.json["runs"]] == [f"hello!{seed}" for seed in range(1, 6)]
    assert [run["parameters"]["seed"] for run in told.json["runs"]] == [1, 2, 3, 4, 5]
    assert len(told.json["files"]) == len(set(told.json["files"])) == 5


def test_a_bad_row_of_those_that_share_fails_alone(weft):
    put(W)
    Path("rows.csv").write_text("word\ngood\nbad\ncrash\nfine\n")
    told = weft("run", "words.json", "--rows", "rows.csv", "--together", "4", "--json")
    assert told.code == 3
    assert [run["state"] for run in told.json["runs"]] == ["succeeded", "failed", "failed", "succeeded"]
    assert "row 2: this word is not said" in told.err
    assert weft("run", "words.json", "--together", "4").code == 2
