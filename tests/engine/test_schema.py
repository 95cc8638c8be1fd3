"""Schema: every workflow that the reader takes has the form that the JSON Schema says, and what it refuses has not."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from engine.errors import WeftError
from engine.workflow import from_json
from engine.workflow.schema import schema

ROOT = Path(__file__).parents[2]
FILES = sorted([*(ROOT / "workflows").glob("*.json"), *(ROOT / "tests" / "golden" / "format1").glob("*.json")])
KINDS = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "integer": int,
    "number": (int, float),
}


def fits(value: Any, rule: Any, root: Any) -> bool:
    """The part of JSON Schema that ours uses; a word it does not know is a mistake in the test."""
    if isinstance(rule, bool):
        return rule
    for word, told in rule.items():
        match word:
            case "$ref":
                good = fits(value, root["$defs"][told.rpartition("/")[2]], root)
            case "type":
                kinds = [told] if isinstance(told, str) else told
                good = any(
                    isinstance(value, KINDS[kind]) and not (isinstance(value, bool) and kind in ("integer", "number"))
                    for kind in kinds
                )
            case "const":
                good = value == told
            case "enum":
                good = value in told
            case "anyOf":
                good = any(fits(value, one, root) for one in told)
            case "not":
                good = not fits(value, told, root)
            case "required":
                good = not isinstance(value, dict) or all(key in value for key in told)
            case "properties":
                good = not isinstance(value, dict) or all(
                    fits(item, told[key], root) for key, item in value.items() if key in told
                )
            case "additionalProperties":
                named = rule.get("properties", {})
                good = not isinstance(value, dict) or all(
                    fits(item, told, root) for key, item in value.items() if key not in named
                )
            case "propertyNames":
                good = not isinstance(value, dict) or all(fits(key, told, root) for key in value)
            case "items":
                good = not isinstance(value, list) or all(fits(item, told, root) for item in value)
            case "pattern":
                good = not isinstance(value, str) or re.search(told, value) is not None
            case "minLength":
                good = not isinstance(value, str) or len(value) >= told
            case "minimum":
                good = not isinstance(value, int | float) or value >= told
            case "$schema" | "$defs" | "title" | "description":
                good = True
        if not good:
            return False
    return True


def test_there_are_files_to_try():
    assert len(FILES) >= 8


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_workflow_and_golden_file_fits(path):
    assert fits(json.loads(path.read_text(encoding="utf-8")), schema(), schema())


WRONG: dict[str, Any] = {
    "no version": {"nodes": {}},
    "another version": {"weft": "1"},
    "nodes as a list": {"weft": 1, "nodes": []},
    "a node's name with a dot": {"weft": 1, "nodes": {"a.b": {"type": "x"}}},
    "a node without a type": {"weft": 1, "nodes": {"a": {}}},
    "a node of an empty type": {"weft": 1, "nodes": {"a": {"type": ""}}},
    "a version of 0": {"weft": 1, "nodes": {"a": {"type": "x", "version": 0}}},
    "a mode of no kind": {"weft": 1, "nodes": {"a": {"type": "x", "mode": "loud"}}},
    "a wire that is a number": {"weft": 1, "nodes": {"a": {"type": "x", "inputs": {"i": {"from": 3}}}}},
    "a wire with more": {"weft": 1, "nodes": {"a": {"type": "x", "inputs": {"i": {"from": "b", "x": 1}}}}},
    "a value with more": {"weft": 1, "nodes": {"a": {"type": "x", "inputs": {"i": {"value": 1, "x": 1}}}}},
    "a parameter to no input": {"weft": 1, "parameters": {"p": {"to": ["a"]}}},
    "a parameter that is text": {"weft": 1, "parameters": {"p": "a.b"}},
    "an output that is a number": {"weft": 1, "outputs": {"o": 1}},
    "a title that is a number": {"weft": 1, "title": 1},
    "a wrong node in a graph": {"weft": 1, "graphs": {"g": {"nodes": {"a": {}}}}},
}


@pytest.mark.parametrize("case", WRONG)
def test_what_the_reader_refuses_does_not_fit(case):
    assert not fits(WRONG[case], schema(), schema())
    with pytest.raises(WeftError):
        from_json(WRONG[case])


RIGHT: dict[str, Any] = {
    "the least": {"weft": 1},
    "unknown keys are kept": {"weft": 1, "later": [1], "nodes": {"a": {"type": "x", "colour": "red"}}},
    "every kind of source": {
        "weft": 1,
        "nodes": {
            "a": {
                "type": "x",
                "inputs": {
                    "wire": {"from": "b"},
                    "literal": {"value": {"from": "no wire"}},
                    "many": [{"from": "b.out"}, 3, [{"from": "c"}]],
                    "named": {"one": {"from": "b.out"}, "two": 2},
                    "plain": [1, "a", None, True, 2.5],
                },
            }
        },
    },
    "a parameter with one target": {"weft": 1, "parameters": {"p": {"to": "a.b", "range": [0, 1]}}},
}


@pytest.mark.parametrize("case", RIGHT)
def test_what_the_reader_takes_fits(case):
    from_json(RIGHT[case])
    assert fits(RIGHT[case], schema(), schema())
