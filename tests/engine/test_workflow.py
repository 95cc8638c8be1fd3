"""The file: read, write; nothing lost, every mistake told with line and column."""

import json

import pytest

from engine.errors import WeftError
from engine.workflow import (
    Link,
    Many,
    Named,
    Value,
    Workflow,
    dumps,
    from_json,
    links,
    map_links,
    parse,
    read,
    to_json,
    write,
)
from engine.workflow.locate import locate

FULL = """{
  "weft": 1,
  "title": "Everything",
  "about": "One of each.",
  "nodes": {
    "load": {"type": "load.model", "version": 1, "inputs": {"model": "starter/unet"}},
    "text": {"type": "text.encode", "title": "P", "inputs": {"encoder": {"from": "load.text_encoder"}, "text": "ü"}},
    "grid": {"type": "image.grid", "inputs": {"images": [{"from": "a.image"}, {"from": "b.image"}], "columns": 2}},
    "sum": {"type": "values.formula", "mode": "mute", "inputs": {"values": {"a": {"from": "x.out"}, "b": 3}}},
    "style": {"type": "x.y", "colour": "#fff", "inputs": {"style": {"value": {"type": "Sharp", "amount": 1}}}},
    "deep": {"type": "x.y", "inputs": {"table": {"value": [[1, 2], {"a": null}]}, "none": null, "flag": true}},
    "seed": {"type": "x.y", "inputs": {"seed": "18446744073709551615", "small": 9007199254740991}},
    "loop": {"type": "map", "body": "#twice", "inputs": {"text": ["a", "b"]}},
    "hires": {"type": "#twice", "inputs": {"image": {"from": "grid"}}}
  },
  "parameters": {
    "prompt": {"to": ["text.text"], "label": "Prompt", "group": "Main"},
    "seed": {"to": ["seed.seed"], "default": "random", "required": true}
  },
  "outputs": {"image": "hires.image"},
  "graphs": {
    "twice": {"nodes": {"u": {"type": "x.y", "inputs": {}}}, "parameters": {"text": {"to": ["u.t"]}}}
  },
  "requires": {"packs": {"other": ">=1"}, "models": {}},
  "view": {"load": [10, 20.5], "zoom": 1},
  "future": {"kept": [1, {"x": "y"}]}
}
"""


def wrong(text, code):
    with pytest.raises(WeftError) as error:
        parse(text, "f.json")
    assert error.value.code == code, str(error.value)
    return error.value.problem


# --- nothing lost ---------------------------------------------------------------------------------------------------


def test_what_is_written_reads_back_and_what_is_read_writes_back():
    work = parse(FULL)
    assert json.loads(dumps(work)) == json.loads(FULL)
    assert parse(dumps(work)) == work
    assert dumps(parse(dumps(work))) == dumps(work)


def test_unknown_nodes_and_unknown_keys_are_kept():
    work = parse(FULL)
    assert work.extra == {"future": {"kept": [1, {"x": "y"}]}}
    assert work.nodes["style"].extra == {"colour": "#fff"}
    assert work.parameters["prompt"].extra == {"group": "Main"}


def test_the_layout_is_one_node_a_line_so_that_diffs_are_small():
    text = dumps(parse(FULL))
    assert '\n    "load": {"type": "load.model", "version": 1, "inputs": {"model": "starter/unet"}},\n' in text
    assert max(len(line) for line in text.split("\n")) <= 120 and text.endswith("}\n")
    one = from_json({**json.loads(FULL), "title": "Other"})
    changed = [pair for pair in zip(text.split("\n"), dumps(one).split("\n"), strict=True) if pair[0] != pair[1]]
    assert changed == [('  "title": "Everything",', '  "title": "Other",')]


def test_inputs_mean_what_they_look_like():
    nodes = parse(FULL).nodes
    assert nodes["text"].inputs["encoder"] == Link("load", "text_encoder")
    assert nodes["hires"].inputs["image"] == Link("grid")
    assert nodes["grid"].inputs["images"] == Many((Link("a", "image"), Link("b", "image")))
    assert nodes["sum"].inputs["values"] == Named((("a", Link("x", "out")), ("b", Value(3))))
    assert nodes["style"].inputs["style"] == Value({"type": "Sharp", "amount": 1})
    assert nodes["loop"].inputs["text"] == Value(["a", "b"])


def test_numbers_a_browser_cannot_hold_are_written_as_text():
    work = from_json(
        {"weft": 1, "nodes": {"a": {"type": "x.y", "inputs": {"s": 2**53, "l": [2**64 - 1], "ok": 2**53 - 1}}}}
    )
    written = to_json(work)["nodes"]["a"]["inputs"]
    assert written == {"s": "9007199254740992", "l": ["18446744073709551615"], "ok": 9007199254740991}
    params = from_json({"weft": 1, "nodes": {}, "parameters": {"p": {"to": ["a.s"], "default": 2**60}}})
    assert to_json(params)["parameters"]["p"]["default"] == str(2**60)


def test_half_a_surrogate_is_text_that_survives():
    work = parse('{"weft": 1, "title": "\\ud800", "nodes": {}}')
    again = parse(dumps(work).encode().decode())
    assert again.title == work.title


def test_writing_is_all_or_nothing(tmp_path, monkeypatch):
    path = tmp_path / "w.json"
    write(parse(FULL), path)
    before = path.read_bytes()
    monkeypatch.setattr(
        "engine.places.os.replace", lambda *a: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(WeftError) as error:
        write(from_json({"weft": 1, "nodes": {}}), path)
    assert error.value.code in ("place.write", "file.write") and "No space left" in str(error.value)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_the_order_of_the_file_is_kept():
    assert list(parse(FULL).nodes)[:3] == ["load", "text", "grid"]


# --- mistakes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code", "line", "column", "said"),
    [
        ("", "file.syntax", 1, 1, "too early"),
        ("nonsense", "file.syntax", 1, 1, "not JSON"),
        ('{"weft": 1,\n "nodes": {"a": {', "file.syntax", 2, None, "too early"),
        ('{"weft": 1,\n "nodes": {},}', "file.syntax", 2, None, "not JSON"),
        ('{"weft": 1,\n "nodes": {"a": NaN}}', "file.syntax", 2, 17, "NaN is not JSON"),
        ('{"weft": 1,\n "x": Infinity}', "file.syntax", 2, 7, "Infinity"),
        ('{"weft": 1,\n "x": 1e999}', "file.limit", 2, 7, "too large"),
        ('{"weft": 1,\n "x": ' + "9" * 5000 + "}", "file.limit", 2, 7, "too large"),
        ('{"weft": 1,\n "x": 18446744073709551616}', "file.limit", 2, 7, "too large"),
        (
            '{"weft": 1, "nodes": {"a": {"type": "x.y"},\n "a": {"type": "x.y"}}}',
            "file.syntax",
            2,
            2,
            "'a' stands twice",
        ),
        ("[1]", "file.shape", 1, None, "an object, not a list"),
        ("null", "file.shape", 1, None, "null"),
        ("{}", "file.shape", None, None, "'weft' is missing"),
        ('{"weft": true}', "file.shape", None, None, "no Weft workflow"),
        ('{"weft": "1"}', "file.shape", None, None, "no Weft workflow"),
        ('{"weft": 0, "nodes": {}}', "file.shape", None, None, "no format 0"),
        ('{"weft": 2, "nodes": {}}', "file.version", None, None, "reads up to 1"),
        ('{"nodes": [], "links": []}', "file.shape", None, None, "ComfyUI editor file"),
        ('{"3": {"class_type": "KSampler", "inputs": {}}}', "file.shape", None, None, "ComfyUI API file"),
        ('{"weft": 1,\n "nodes": []}', "file.shape", 2, 2, "'nodes' must be an object, not a list"),
        ('{"weft": 1, "nodes": {\n"a": 3}}', "file.shape", 2, 1, "a node must be an object, not a number"),
        ('{"weft": 1, "nodes": {\n"a": {}}}', "file.shape", 2, 1, "no 'type'"),
        ('{"weft": 1, "nodes": {\n"a.b": {"type": "x.y"}}}', "file.shape", 2, 1, "cannot be a node's name"),
        ('{"weft": 1, "nodes": {\n"": {"type": "x.y"}}}', "file.shape", 2, 1, "cannot be a node's name"),
        ('{"weft": 1, "nodes": {"a": {"type": "x.y",\n "version": 0}}}', "file.shape", 2, 2, "whole number from 1"),
        ('{"weft": 1, "nodes": {"a": {"type": "x.y",\n "mode": "off"}}}', "file.shape", 2, 2, "'mute' or 'bypass'"),
        (
            '{"weft": 1, "nodes": {"a": {"type": "x.y", "inputs": {\n "i": {"from": 3}}}}}',
            "file.shape",
            2,
            2,
            "'from' must be text",
        ),
        (
            '{"weft": 1, "nodes": {"a": {"type": "x.y", "inputs": {\n "i": {"from": "b", "x": 1}}}}}',
            "file.shape",
            2,
            2,
            "stand alone",
        ),
        ('{"weft": 1, "nodes": {}, "outputs": {\n"o": 3}}', "file.shape", 2, 1, "an output must be text"),
        (
            '{"weft": 1, "nodes": {}, "parameters": {\n"p": {"to": ["x"]}}}',
            "file.shape",
            2,
            None,
            "'to' must be a list",
        ),
        ('{"weft": 1, "nodes": {}, "parameters": {\n"p": 3}}', "file.shape", 2, 1, "a parameter must be an object"),
        ('{"weft": 1, "title": 3, "nodes": {}}', "file.shape", 1, None, "'title' must be text"),
        ('{"weft": 1, "graphs": {"g": {"nodes": {\n"a": []}}}}', "file.shape", 2, 1, "a node must be an object"),
    ],
)
def test_a_wrong_file_is_told_with_line_and_column(text, code, line, column, said):
    problem = wrong(text, code)
    assert said in problem.message
    assert problem.where.file == "f.json" and "\n" not in problem.line() and len(problem.line()) < 300
    if line is not None:
        assert problem.where.line == line
    if column is not None:
        assert problem.where.column == column


def test_hostile_depth_is_refused_and_not_recursed_into():
    for text in ("[" * 100_000, '{"a":' * 100_000, '{"weft": 1, "nodes": ' + "[" * 70 + "]" * 70 + "}"):
        assert "deep" in wrong(text, "file.limit").message
    strings = json.dumps({"weft": 1, "nodes": {}, "title": "[" * 1000 + "{" * 1000 + '\\"' * 50})
    assert parse(strings).title.startswith("[[")  # brackets in text are text


def test_a_file_too_large_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.workflow.reading.MAX_BYTES", 100)
    path = tmp_path / "big.json"
    path.write_text('{"weft": 1, "title": "' + "x" * 200 + '"}')
    with pytest.raises(WeftError) as error:
        read(path)
    assert error.value.code == "file.limit"


def test_every_problem_of_form_is_told_at_once():
    with pytest.raises(WeftError) as error:
        parse('{"weft": 1, "nodes": {"a": 1, "b": {}, "c/d": {"type": "x.y"}}, "outputs": {"o": 1}}')
    assert len(error.value.problems) == 4


def test_a_missing_file_names_its_neighbour(tmp_path):
    (tmp_path / "portrait.json").write_text("{}")
    with pytest.raises(WeftError) as error:
        read(tmp_path / "potrait.json")
    assert error.value.code == "file.missing" and "Did you mean 'portrait.json'?" in str(error.value)
    with pytest.raises(WeftError):
        read(tmp_path)  # a folder
    with pytest.raises(WeftError):
        read(tmp_path / "no" / "where.json")


def test_a_file_that_is_no_text_says_so(tmp_path):
    path = tmp_path / "p.json"
    path.write_bytes(b'{"weft": 1, "title": "\xff"}')
    with pytest.raises(WeftError, match="not UTF-8") as error:
        read(path)
    assert error.value.code == "file.syntax"
    path.write_bytes(b"\xef\xbb\xbf" + b'{"weft": 1, "nodes": {}}')  # a byte order mark is fine
    assert isinstance(read(path), Workflow)


def test_a_number_that_is_too_large_is_found_where_it_stands():
    problem = wrong('{"weft": 1,\n "a": "1e999 in a text",\n "x": 1e999}', "file.limit")
    assert problem.where.line == 3


# --- where ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "line", "start"),
    [
        (["nodes", "load"], 6, '"load"'),
        (["nodes", "grid", "inputs", "images", 1], 8, '{"from": "b.image"}'),
        (["parameters", "seed", "default"], 18, '"default"'),
        (["nodes", "load", "inputs", "absent"], 6, '"inputs"'),
        (["view", "load", 0], 25, "10"),
    ],
)
def test_a_path_is_found_in_the_text(path, line, start):
    row, column = locate(FULL, path)
    assert row == line and FULL.split("\n")[row - 1][column - 1 :].startswith(start)


def test_a_path_in_no_json_is_nowhere():
    assert locate("nonsense", ["a"]) in (None, (1, 1)) and locate('{"a": ', ["a", "b"]) in (None, (1, 2))


# --- parameters -----------------------------------------------------------------------------------------------------


def small(**more):
    nodes = {"a": {"type": "x.y", "inputs": {"t": "x"}}, "b": {"type": "x.y", "inputs": {}}}
    return from_json({"weft": 1, "nodes": nodes, **more})


def test_a_parameter_sets_every_input_it_leads_to():
    work = small(parameters={"p": {"to": ["a.t", "b.t"]}}).with_parameters({"p": 5})
    assert work.nodes["a"].inputs["t"] == work.nodes["b"].inputs["t"] == Value(5)


def test_any_input_can_be_set_by_its_name():
    assert small().with_parameters({"b.new": [1, 2]}).nodes["b"].inputs["new"] == Value([1, 2])


def test_every_unknown_parameter_is_told_at_once():
    with pytest.raises(WeftError) as error:
        small(parameters={"prompt": {"to": ["a.t"]}}).with_parameters({"promt": 1, "zz.t": 2})
    assert len(error.value.problems) == 2 and "Did you mean 'prompt'?" in str(error.value)


def test_defaults_are_set_and_required_ones_asked_for():
    work = small(parameters={"p": {"to": ["a.t"], "default": None}, "q": {"to": ["b.t"], "required": True}})
    assert work.with_defaults({"q": 1}).nodes["a"].inputs["t"] == Value(None)
    with pytest.raises(WeftError, match="'q' is required"):
        work.with_defaults()


def test_a_workflow_is_never_changed():
    work = small(parameters={"p": {"to": ["a.t"]}})
    text = dumps(work)
    work.with_parameters({"p": 9})
    assert dumps(work) == text


def test_links_are_found_and_changed_wherever_they_lie():
    source = Many((Link("a", "x"), Named((("k", Link("b")), ("v", Value(1))))))
    assert [str(link) for link in links(source)] == ["a.x", "b"]
    renamed = map_links(source, lambda link: Link(link.node.upper(), link.output))
    assert [str(link) for link in links(renamed)] == ["A.x", "B"]
