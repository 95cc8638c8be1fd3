"""Errors: every failure has a code, a place and a mend."""

import json
import re
from pathlib import Path

import pytest

from engine.errors import CODES, Mend, Problem, WeftError, Where, did_you_mean, fail, refuse

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [path for room in ("engine", "nodes") for path in (ROOT / room).rglob("*.py")]


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_is_used_somewhere_and_explained(code):
    # `nodes/` and the rooms of the engine write codes as literals; errors.py itself only lists them.
    texts = [path.read_text(encoding="utf-8") for path in SOURCES if path.name != "errors.py"]
    if code == "node.refused":  # what `refuse` makes
        texts.append((ROOT / "engine" / "errors.py").read_text(encoding="utf-8").partition("def refuse")[2])
    assert any(f'"{code}"' in text for text in texts), f"nothing raises {code}: take it out of CODES"
    assert CODES[code].endswith(".") and CODES[code][0].isupper()
    assert re.fullmatch(r"[a-z]+(\.[a-z_]+)+", code)


def test_an_unknown_code_cannot_be_raised():
    with pytest.raises(ValueError, match="add it to engine"):
        Problem("node.oops", "?")
    assert Problem("lint.anything", "advice", severity="lint").code == "lint.anything"


def test_one_line_says_place_message_and_next_step():
    problem = Problem(
        "graph.type", "does not fit", Where("a.json", 3, 7, "hires/denoise", "latent"), Mend("wire a latent")
    )
    assert problem.line() == "a.json:3:7 hires/denoise.latent: does not fit -> wire a latent"
    assert Problem("graph.type", "alone").line() == "alone"
    assert str(Where(socket="latent")) == "latent" and str(Where("a.json", 3)) == "a.json:3"


def test_the_one_json_shape_of_errors():
    error = fail(
        "graph.value", "too wide", path="canvas", socket="width", mend="less", edits=[{"unset": "canvas.width"}]
    )
    record = json.loads(json.dumps(error.problem.to_json()))
    assert record == {
        "code": "graph.value",
        "message": "too wide",
        "severity": "error",
        "where": {"path": "canvas", "socket": "width"},
        "mend": {"text": "less", "edits": [{"unset": "canvas.width"}]},
    }
    assert "report" not in record and fail("graph.value", "x", report="trace").problem.to_json()["report"] == "trace"


def test_a_place_is_filled_in_and_never_overwritten():
    problem = Problem("graph.value", "x", Where(socket="a")).at(socket="b", path="p", line=4)
    assert problem.where == Where(path="p", socket="a", line=4)


def test_many_problems_are_one_error_with_a_line_each():
    error = WeftError([Problem("graph.value", "one"), Problem("graph.type", "two")])
    assert str(error) == "one\ntwo" and error.code == "graph.value" and len(error.problems) == 2
    assert [p.where.path for p in error.at(path="n").problems] == ["n", "n"]
    with pytest.raises(ValueError, match="at least one"):
        WeftError([])


def test_a_node_refuses_with_socket_and_mend():
    error = refuse("too odd", socket="size", mend="an even one")
    assert (error.code, error.problem.where.socket, error.problem.mend.text) == ("node.refused", "size", "an even one")


@pytest.mark.parametrize(("name", "hint"), [("txet", "text"), ("sampl", "sample"), ("zebra", None), ("", None)])
def test_did_you_mean(name, hint):
    assert did_you_mean(name, ["text", "sample", "latent"]) == (f" Did you mean '{hint}'?" if hint else "")
