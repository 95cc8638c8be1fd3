"""A user's mistake is one clear line and an exit code, and leaves nothing behind."""

import errno
import io
import json
import os
import sys
import tempfile
from pathlib import Path

import pytest

from tests.engine.cli.conftest import changed, put, words


def one_error(told, *parts: str, code: int = 2) -> None:
    """Exactly one line that says all this, the exit code, and nothing on stdout."""
    assert "Traceback" not in told.err
    errors = [line for line in told.err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1, told.err
    for part in parts:
        assert part in errors[0], errors[0]
    assert told.code == code
    assert told.out == ""


def nothing_written(home: Path) -> None:
    assert not (home / "output").exists()
    assert not list(Path.cwd().rglob("*.part"))


W = words()
DEEP = '{"weft": 1, "nodes": ' + '{"a": ' * 5000 + "1" + "}" * 5001
BAD_FILES = {
    "empty": ("", "empty.json:1:1", "not JSON"),
    "truncated": (json.dumps(W, indent=1)[:200], ":1", "ends too early"),
    "deep": (DEEP, "nested more than"),
    "brackets for ever": ("[" * 100_000, "nested more than"),
    "a huge number": ('{"weft": 1, "nodes": {"a": {"type": "x", "inputs": {"n": 1' + "0" * 400 + "}}}}", "too large"),
    "an infinite number": ('{"weft": 1, "x": 1e999}', "too large"),
    "NaN": ('{"weft": 1,\n "x": NaN}', ":2:", "NaN is not JSON"),
    "a key twice": ('{"weft": 1,\n "nodes": {},\n "nodes": {}}', ":3:", "'nodes' stands twice"),
    "a list": ("[1, 2]", "a workflow is an object, not a list"),
    "no workflow": ('{"a": 1}', "no Weft workflow", '{"weft": 1'),
    "another editor's": ('{"nodes": [], "links": []}', "ComfyUI editor file"),
    "newer": ('{"weft": 99}', "format 99", "update weft"),
    "not text": (b"\xff\xfe\x00", "not UTF-8"),
    "a node without a type": ('{"weft": 1,\n "nodes": {"a": {}}}', ":2:", "no 'type'"),
    "a wire that is a number": (changed(W, "mark", text={"from": 3}), "'from' must be text"),
    "an unknown node": (
        {**W, "nodes": {"a": {"type": "desk/word.sai"}}, "parameters": {}, "outputs": {}},
        "no node is",
    ),
    "a newer node": (
        {**W, "nodes": {**W["nodes"], "say": {"type": "desk/word.say", "version": 9}}},
        ":5:",
        "version 9, the installed pack has 1",
    ),
    "an unknown input": (changed(W, "mark", strenght=1), "no input 'strenght'", "Did you mean 'strength'?"),
    "a wrong type": (changed(W, "mark", strength="much"), "mark.strength", "needs a number, got 'much'"),
    "out of range": (changed(W, "mark", strength=2), "must be at most 1, got 2"),
    "a link to nowhere": (changed(W, "mark", text={"from": "sai.out"}), "'sai', which is not there", "'say'?"),
    "an output that is not there": (changed(W, "mark", text={"from": "say.word"}), "no output 'word'", "out"),
    "a circle": (changed(W, "say", text={"from": "mark.out"}), "form a circle", "say", "mark"),
    "a missing input": ({**W, "nodes": {**W["nodes"], "mark": {"type": "desk/word.mark"}}}, "'text' needs a str"),
    "a missing model": (
        {
            "weft": 1,
            "nodes": {
                "m": {"type": "desk/word.model", "inputs": {"name": "no.safetensors"}},
                "w": {"type": "desk/word.write", "inputs": {"text": {"from": "m"}}},
            },
        },
        "no lora named 'no.safetensors'",
        "--models DIR",
    ),
    "a model outside": (
        {
            "weft": 1,
            "nodes": {
                "m": {"type": "desk/word.model", "inputs": {"name": "../../etc/passwd"}},
                "w": {"type": "desk/word.write", "inputs": {"text": {"from": "m"}}},
            },
        },
        "is not a name inside its folder",
    ),
    "a parameter to nowhere": ({**W, "parameters": {"p": {"to": ["say.texd"]}}}, "leads to 'say.texd'", "'say.text'?"),
    "a graph that is not there": (
        {**W, "nodes": {**W["nodes"], "g": {"type": "#nope"}}},
        "no graph '#nope'",
    ),
    "a graph in itself": (
        {**W, "nodes": {**W["nodes"], "g": {"type": "#g"}}, "graphs": {"g": {"nodes": {"x": {"type": "#g"}}}}},
        "contains itself",
    ),
}


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize("case", BAD_FILES)
def test_a_file_that_is_wrong(weft, home, command, case):
    record, *parts = BAD_FILES[case]
    name = "empty.json" if case == "empty" else "bad.json"
    if isinstance(record, bytes):
        Path(name).write_bytes(record)
    else:
        put(record, name)
    one_error(weft(command, name), name, *parts)
    nothing_written(home)


CORE = {
    "weft": 1,
    "nodes": {
        "load": {"type": "load.model", "inputs": {"model": "tiny"}},
        "canvas": {"type": "latent.empty", "inputs": {"model": {"from": "load.model"}}},
    },
}


@pytest.mark.parametrize(("width", "told"), [(0, "at least 16, got 0"), (10**9, "at most 16384, got 1000000000")])
def test_a_size_that_no_picture_has(weft, width, told):
    one_error(weft("run", put(changed(CORE, "canvas", width=width))), "canvas.width", told)


def test_every_mistake_is_told_at_once(weft):
    told = weft("check", put(changed(changed(W, "mark", strength=2), "say", times=0)))
    assert told.code == 2
    assert len([line for line in told.err.splitlines() if line.startswith("error:")]) == 2


def test_problems_are_data_too(weft):
    (record,) = weft("check", put(changed(W, "mark", strength=2)), "--json").json
    assert record["ok"] is False
    (problem,) = record["problems"]
    assert (problem["code"], problem["where"]["path"], problem["where"]["socket"]) == (
        "graph.value",
        "mark",
        "strength",
    )
    assert problem["where"]["line"] > 1


# --- arguments -----------------------------------------------------------------------------------------------------

BAD_WORDS = {
    "no such command": (["rum"], "Did you mean 'run'?"),
    "no file": (["run"], "needs a workflow FILE"),
    "a missing file": (["run", "wordz.json"], "No such file", "Did you mean 'words.json'?"),
    "a folder": (["run", "."], "cannot read it"),
    "no such option": (["run", "words.json", "--sed", "7"], "Did you mean '--set'?"),
    "a file too many": (["run", "words.json", "other.json"], "other.json"),
    "set without =": (["run", "words.json", "--set", "seed"], "not of the form name=value"),
    "set without a name": (["run", "words.json", "--set", "=7"], "not of the form name=value"),
    "set what is not there": (["run", "words.json", "--set", "sed=7"], "no parameter 'sed'", "Did you mean 'seed'?"),
    "set an input that is not there": (["run", "words.json", "--set", "mark.sed=7"], "mark.sed", "'mark.seed'?"),
    "set words for a number": (
        ["run", "words.json", "--set", "strength=much"],
        "--set strength=much",
        "needs a number",
    ),
    "set too much": (["run", "words.json", "--set", "strength=1e400"], "finite"),
    "set a negative seed": (["run", "words.json", "--set", "seed=-1"], "at least 0, got -1"),
    "set a fraction": (["run", "words.json", "--set", "seed=1.5"], "needs a whole number, got 1.5"),
    "set a wrong choice": (["run", "words.json", "--set", "how=lout"], "Did you mean 'loud'?"),
    "set maybe": (["run", "words.json", "--set", "polite=maybe"], "needs true or false"),
    "set endless brackets": (["run", "words.json", "--set", "seed=" + "[" * 9999], "needs a whole number"),
    "set a number without end": (["run", "words.json", "--set", "seed=" + "9" * 5000], "--set seed=999"),
    "an unknown target": (["run", "words.json", "--to", "marc"], "no node or output 'marc'", "Did you mean 'mark'?"),
    "a device of no kind": (["run", "words.json", "--device", "toaster"], "--device toaster"),
    "a device without a number": (["run", "words.json", "--device", "cuda:x"], "--device cuda:x"),
    "a dtype of no kind": (["run", "words.json", "--dtype", "float8"], "'--dtype float8'"),
    "a models folder that is not there": (["run", "words.json", "--models", "nope"], "--models nope", "no such folder"),
    "out is a file": (["run", "words.json", "--out", "words.json"], "cannot be saved in words.json"),
    "rows that are not there": (["run", "words.json", "--rows", "no.csv"], "no.csv", "No such file"),
    "all from stdin": (["run", "-", "--rows", "-"], "cannot both come from stdin"),
    "a sweep without values": (["run", "words.json", "--sweep", "seed="], "no values"),
    "a sweep of what is not there": (["run", "words.json", "--sweep", "sed=1..3"], "--sweep sed=1..3", "'seed'?"),
    "a sweep past the range": (["run", "words.json", "--sweep", "strength=0..3"], "at most 1, got 2"),
    "a sweep without end": (["run", "words.json", "--sweep", "seed=1..99999999999"], "the limit is 10,000"),
    "a sweep of steps of 0": (["run", "words.json", "--sweep", "strength=0..1:0"], "above 0"),
    "sweeps of too many": (["run", "words.json", "--sweep", "seed=1..200", "mark.seed=1..200"], "the limit is 10,000"),
    "no such kind of model": (["models", "lorras"], "Did you mean 'loras'?"),
    "no such node": (["nodes", "desk/word.sey"], "Did you mean 'desk/word.say'?"),
    "why of nothing": (["why", "words.json", "marc"], "Did you mean 'mark'?"),
    "a new file that is there": (["new", "words.json"], "it is there already", "--force"),
    "no such template": (["new", "x.json", "--template", "text_to_imag"], "Did you mean 'text_to_image'?"),
    "no such node to begin with": (["new", "x.json", "desk/word.sey"], "Did you mean 'desk/word.say'?"),
    "three files to compare": (["diff", "a", "b", "c"], "needs two files, got 3"),
    "no such pack": (["manifest", "dask"], "no pack is called 'dask'"),
}


@pytest.mark.parametrize("case", BAD_WORDS)
def test_arguments_that_are_wrong(weft, home, case):
    put(W)
    command, *parts = BAD_WORDS[case]
    one_error(weft(*command), *parts)
    nothing_written(home)
    assert [path.name for path in Path.cwd().iterdir()] == ["words.json"]


BAD_ROWS = {
    "an unknown column": ("seed,sed\n1,2\n", "jobs.csv:2", "no parameter 'sed'", "'seed'?"),
    "no rows": ("seed\n", "there are no rows"),
    "nothing": ("", "there are no rows"),
    "a cell too many": ("seed\n1,2\n", "jobs.csv:2", "2 cells, but 1 columns"),
    "a column twice": ("seed,seed\n1,2\n", "'seed' stands twice"),
    "an open quote": ('word\n"a\n', "not CSV"),
    "all of them wrong": ("strength\n2\n", "jobs.csv:2 strength", "at most 1, got 2"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_rows_that_are_wrong(weft, home, case):
    text, *parts = BAD_ROWS[case]
    put(text, "jobs.csv")
    one_error(weft("run", put(W), "--rows", "jobs.csv"), *parts)
    nothing_written(home)


def test_a_line_of_jsonl_that_is_wrong(weft):
    put('{"seed": 1}\n{"seed": \n', "jobs.jsonl")
    one_error(weft("run", put(W), "--rows", "jobs.jsonl"), "jobs.jsonl:2", "not JSON")
    put('{"seed": 1}\n7\n', "jobs.jsonl")
    one_error(weft("run", put(W), "--rows", "jobs.jsonl"), "jobs.jsonl:2", "must be an object")


def test_stdin_that_is_wrong(weft, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"weft": 1,')))
    one_error(weft("run", "-"), "<stdin>:1:", "ends too early")


# --- pictures ------------------------------------------------------------------------------------------------------


def test_a_picture_that_is_none(weft):
    Path("a.png").write_bytes(b"hello")
    one_error(weft("run", "a.png"), "a.png", "no PNG, JPEG, WebP, AVIF or GIF")


def test_a_picture_without_a_workflow(weft):
    Path("a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    one_error(weft("run", "a.png"), "a.png", "carries no workflow")


def test_a_picture_that_is_missing(weft):
    one_error(weft("run", "a.png"), "a.png", "No such file")


# --- the world -----------------------------------------------------------------------------------------------------


def test_an_output_folder_that_cannot_be_written_is_told_before_the_work(weft, home, monkeypatch):
    def refused(**options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    put(W)
    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    one_error(weft("run", "words.json", "--out", "out"), "cannot be saved in out", "Permission denied", "--out DIR")
    assert not Path("out").exists()


def test_a_full_disk_fails_the_step_and_leaves_nothing_half_written(weft, home, monkeypatch):
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    put(W)
    monkeypatch.setattr(os, "fsync", full)
    told = weft("run", "words.json", "--out", "out")
    assert told.code in (1, 3)
    assert "Traceback" not in told.err
    (line,) = [line for line in told.err.splitlines() if line.startswith("error:")]
    assert "No space left on device" in line
    assert [path for path in Path("out").rglob("*")] == []


def test_a_file_that_cannot_be_written_stays_as_it_was(weft, monkeypatch):
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    put("before", "new.json")
    monkeypatch.setattr(os, "fsync", full)
    one_error(weft("new", "new.json", "desk/word.say", "--force"), "new.json", "No space left on device")
    assert Path("new.json").read_text() == "before"
    assert [path.name for path in Path.cwd().iterdir()] == ["new.json"]


def test_a_home_that_cannot_be_written_only_forgets(weft, home):
    (home / "state").write_text("in the way")
    told = weft("run", put(W), "--out", "out")
    assert told.code == 0
    assert "nothing is remembered" in told.err
    assert len(told.lines) == 2


def test_a_pack_that_does_not_load_is_named_and_the_others_are_there(weft, home):
    (home / "nodes" / "broken.py").write_text("import nothing_of_this_name\n")
    told = weft("check", put(W))
    assert told.code == 0
    assert "pack broken" in told.err and "nothing_of_this_name" in told.err
