"""`weft diff`: what differs, one to a line, with diff's exit codes; and as git's diff driver."""

import json
import os
import subprocess
import sys
from pathlib import Path

from engine import workflow
from engine.cli.diff import differences
from engine.workflow import from_json
from tests.engine.cli.conftest import changed, put, words

W = words()


def lines(a: dict, b: dict) -> list[str]:
    return [change.what for change in differences(from_json(a), from_json(b))]


def test_the_same_is_0_and_says_nothing(weft):
    put(W, "a.json")
    told = weft("diff", put(W, "b.json"), "a.json")
    assert (told.code, told.out) == (0, "")


def test_what_differs_is_1_and_one_to_a_line(weft):
    put(W, "a.json")
    put(changed(changed(W, "mark", seed=8, how="quiet"), "say", text="bye"), "b.json")
    told = weft("diff", "a.json", "b.json")
    assert told.code == 1
    assert told.lines == ['  say.text: "hello" -> "bye"', "  mark.seed: 7 -> 8", '+ mark.how: "quiet"']


def test_wires_and_nodes_that_come_and_go_are_told():
    b = json.loads(json.dumps(W))
    b["nodes"]["more"] = {"type": "desk/word.say", "inputs": {}}
    b["nodes"]["mark"]["inputs"]["text"] = {"from": "more.out"}
    del b["nodes"]["say"]
    del b["parameters"]["word"]
    assert lines(W, b) == ["say", "mark.text", "more", "parameter word"]


def test_layout_alone_is_no_difference():
    assert lines(W, {**W, "view": {"say": [1, 2]}}) == []


def test_another_name_is_one_line():
    text = json.dumps(W).replace('"say"', '"speak"').replace('"say.', '"speak.')
    assert lines(W, json.loads(text)) == ["say renamed"]


def test_graphs_are_compared_too():
    a = {**W, "graphs": {"g": {"nodes": {"x": {"type": "t", "inputs": {"n": 1}}}}}}
    b = {**W, "graphs": {"g": {"nodes": {"x": {"type": "t", "inputs": {"n": 2}}}}}}
    assert lines(a, b) == ["#g/x.n"]


def test_differences_are_data_too(weft):
    put(W, "a.json")
    put(changed(W, "mark", seed=8), "b.json")
    assert weft("diff", "a.json", "b.json", "--json").json == [{"what": "mark.seed", "before": 7, "after": 8}]


def test_a_file_that_cannot_be_read_is_2(weft):
    told = weft("diff", put(W), put("{", "b.json"))
    assert told.code == 2
    assert told.err.startswith("error: b.json:1:")


def test_git_shows_a_change_by_node(home):
    def git(*words: str) -> str:
        quiet = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", f"diff.weft.command={driver}"]
        env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "PYTHONPATH": str(Path(workflow.__file__).parents[2])}
        done = subprocess.run(["git", *quiet, *words], capture_output=True, text=True, env=env, check=True)
        return done.stdout

    driver = f'"{sys.executable}" -m engine.cli diff --git'
    git("init", "-q")
    put(W)
    put("*.json diff=weft\n", ".gitattributes")
    git("add", ".")
    git("commit", "-q", "-m", "one")
    put(changed(W, "mark", seed=8))
    assert git("diff").splitlines() == ["weft diff words.json", "  mark.seed: 7 -> 8"]
    git("add", ".")
    git("rm", "-q", "-f", "words.json")
    assert "- mark: " in git("diff", "--cached")
    put("{", "words.json")
    git("add", ".")
    assert "cannot be compared as workflows" in git("diff", "--cached")
