"""A typed function's signature becomes a spec; what is declared wrongly fails at import, with file, line and mend."""

import importlib.util
import json
import sys
from typing import Annotated

import pytest

from engine.errors import WeftError
from engine.node import MISSING, Input, NodeSpec, Range, Seed, arguments, coerce, dress, named_outputs, node, spec_of
from engine.sockets import Type, type_of
from tests.engine import toys
from tests.engine.broken import CASES, HEAD, OPTIONS
from tests.engine.flows import box, flow
from tests.engine.toys import Colour, Plain, Sharp, Thing


def load(tmp_path, body, options='"t.n"'):
    """Import a module that declares one node; the error, and the line on which the node stands."""
    source = HEAD + f"\n@node({options})\n{body}\n"
    if '"""' not in body and "return" not in body:
        source += "    return None\n"
    path = tmp_path / "declared.py"
    path.write_text(source)
    line = source[: source.index("@node(")].count("\n") + 1
    spec = importlib.util.spec_from_file_location("declared", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["declared"] = module
    try:
        with pytest.raises(WeftError) as wrong:
            spec.loader.exec_module(module)
    finally:
        del sys.modules["declared"]
    return wrong.value, path, line


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_signature_fails_at_import_with_file_line_and_mend(tmp_path, case):
    body, message = CASES[case]
    error, path, line = load(tmp_path, body)
    assert error.code == "node.declaration" and message in str(error)
    assert error.problem.where.file == str(path) and error.problem.where.line == line
    assert error.problem.mend is not None and "n" in error.problem.message


@pytest.mark.parametrize("case", OPTIONS)
def test_wrong_options_fail_at_import(tmp_path, case):
    options, message = OPTIONS[case]
    error, path, line = load(tmp_path, 'def n(x: Thing) -> Thing:\n    """Doc."""', options)
    assert error.code == "node.declaration" and message in str(error)
    assert (error.problem.where.file, error.problem.where.line) == (str(path), line)


@pytest.mark.parametrize(
    ("options", "body", "message"),
    [
        ('"t.n"', 'async def n(x: Thing) -> Thing:\n    """Doc."""', "io lane"),
        ('"t.n", effect=True', 'def n(x: Thing) -> list[str]:\n    """Doc."""', "files"),
        ('"t.n", steps="m:f"', 'def n(x: Thing) -> Thing:\n    """Doc."""', "run: Run"),
        ('"t.n", light=True', 'def n(run: Run, x: Thing) -> Thing:\n    """Doc."""', "asks for no services"),
    ],
)
def test_options_that_contradict_the_function(tmp_path, options, body, message):
    assert message in str(load(tmp_path, body, options)[0])


# --- the spec -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", toys.NODES, ids=lambda spec: spec.id)
def test_a_spec_survives_the_manifest(spec):
    back = NodeSpec.from_json(json.loads(json.dumps(spec.to_json())))
    assert back == spec
    assert back.function.__name__ == spec.function.__name__


def test_help_titles_and_notes_come_from_the_docstring():
    spec = spec_of(toys.widgets)
    assert spec.help == "One of each." and spec.title == "Toy widgets" and spec.category == "toy"
    assert spec.by_name["level"].help == "How much." and spec.by_name["colour"].help == "Which."
    assert spec.by_name["way"].help == ""


def test_widgets_are_plain_data():
    inputs = spec_of(toys.widgets).by_name
    assert inputs["level"].widget == {"low": 0, "high": 10, "step": 0.5, "soft": [1, 5]}
    assert inputs["live"].widget == {"kind": "choices", "choices": "tests.engine.toys:offered"}
    assert not inputs["label"].wired and inputs["label"].typed
    assert inputs["colour"].default == "red" and inputs["style"].default == {"type": "Plain"}
    assert [option.name for option in inputs["style"].variants] == ["Plain", "Sharp"]
    assert spec_of(toys.wire).by_name["thing"].typed is False
    assert spec_of(toys.save).by_name["name"].keyed is False
    assert spec_of(toys.seeded).by_name["seed"].widget["kind"] == "seed"


def test_growing_and_optional_inputs_are_not_required():
    assert spec_of(toys.join).by_name["things"].gather == "list" and not spec_of(toys.join).by_name["things"].required
    assert spec_of(toys.named).by_name["things"].gather == "named"
    assert not spec_of(toys.maybe).by_name["extra"].required and spec_of(toys.maybe).by_name["thing"].required
    assert spec_of(toys.make).by_name["text"].default == "a"
    assert spec_of(toys.upper).by_name["thing"].default is MISSING


def test_several_outputs_come_from_a_named_tuple():
    assert [(out.name, str(out.type)) for out in spec_of(toys.measure).outputs] == [
        ("thing", "Thing"),
        ("length", "int"),
    ]
    assert [out.name for out in spec_of(toys.save).outputs] == ["files"]


def test_bypass_passes_the_first_input_of_the_same_type():
    assert spec_of(toys.upper).bypass == (("out", "thing"),)
    assert spec_of(toys.length).bypass == ()  # a plain value is not what came in
    assert spec_of(toys.make).bypass == ()


def test_the_function_is_handed_back():
    assert toys.upper(Thing("a"), times=2) == Thing("AA")
    assert toys.upper.__doc__ == "Says it louder."


def test_arguments_and_outputs_take_the_functions_shape():
    args, kwargs = arguments(spec_of(toys.join), {"things": ["a", "b"], "glue": "-"})
    assert (args, kwargs) == (["a", "b"], {"glue": "-"})
    assert arguments(spec_of(toys.named), {"things": {"x": 1}}) == ([], {"x": 1})
    assert named_outputs(spec_of(toys.make), "v") == {"out": "v"}


# --- literals -------------------------------------------------------------------------------------------------------

INT, FLOAT, STR, BOOL = (Input("x", Type(name)) for name in ("int", "float", "str", "bool"))
SEED = spec_of(toys.seeded).by_name["seed"]
COUNT = spec_of(toys.repeat).by_name["count"]  # 0..100
LEVEL = spec_of(toys.widgets).by_name["level"]  # 0..10
WAY = spec_of(toys.widgets).by_name["way"]
STYLE = spec_of(toys.widgets).by_name["style"]
FLAGS = spec_of(toys.widgets).by_name["flags"]
THING = spec_of(toys.upper).by_name["thing"]


@pytest.mark.parametrize(
    ("item", "value", "made"),
    [
        (INT, 7, 7),
        (INT, 7.0, 7),
        (FLOAT, 7, 7.0),
        (FLOAT, -0.5, -0.5),
        (STR, "", ""),
        (BOOL, False, False),
        (SEED, "18446744073709551615", 2**64 - 1),
        (SEED, 0, 0),
        (WAY, "up", "up"),
        (STYLE, "Sharp", {"type": "Sharp", "amount": 0.5}),
        (STYLE, {"type": "Sharp", "amount": 1}, {"type": "Sharp", "amount": 1.0}),
        (FLAGS, [1, 2.0], (1, 2)),
        (Input("x", Type("int", optional=True), None), None, None),
        (Input("x", Type("any")), {"a": 1}, {"a": 1}),
    ],
)
def test_a_literal_is_made_what_the_input_wants(item, value, made):
    found = coerce(item, value)
    assert found == made and type(found) is type(made)


@pytest.mark.parametrize(
    ("item", "value", "message"),
    [
        (INT, 7.5, "needs a whole number, got 7.5"),
        (INT, True, "needs a whole number, got True"),
        (INT, "7", "needs a whole number, got '7'"),
        (INT, 1e300, "needs a whole number"),
        (INT, None, "needs a int, not nothing"),
        (FLOAT, "7", "needs a number"),
        (FLOAT, False, "needs a number"),
        (FLOAT, float("nan"), "finite"),
        (FLOAT, float("inf"), "finite"),
        (FLOAT, 10**400, "finite"),
        (STR, 7, "needs text"),
        (BOOL, 1, "needs true or false"),
        (COUNT, -1, "must be at least 0, got -1"),
        (COUNT, 10**9, "must be at most 100, got 1000000000"),
        (LEVEL, 10.5, "must be at most 10, got 10.5"),
        (SEED, str(2**64), "must be at most 18446744073709551615"),
        (SEED, -1, "must be at least 0"),
        (SEED, "random", "needs a whole number, got 'random'"),
        (SEED, "9" * 5000, "must be at most"),
        (SEED, "\u0663", "needs a whole number"),
        (WAY, "upp", "is not one of up, down. Did you mean 'up'?"),
        (WAY, 1, "is not one of"),
        (STYLE, "Blurry", "needs one of Plain, Sharp"),
        (STYLE, {"type": "Sharp", "amonut": 1}, "Sharp has no 'amonut'. Did you mean 'amount'?"),
        (STYLE, {"type": "Sharp", "amount": 2}, "must be at most 1"),
        (STYLE, [], "needs one of"),
        (FLAGS, 3, "needs a list, got 3"),
        (FLAGS, [1, "a"], "needs a whole number"),
        (THING, "a", "takes a wire that carries Thing, not a typed value"),
        (STR, ["x" * 1000], "..."),
    ],
)
def test_a_literal_that_does_not_fit_is_told_by_its_socket(item, value, message):
    with pytest.raises(WeftError) as wrong:
        coerce(item, value)
    assert wrong.value.code == "graph.value" and message in str(wrong.value)
    assert wrong.value.problem.where.socket == item.name and len(str(wrong.value)) < 250


def test_literals_are_dressed_for_the_function():
    by_name = spec_of(toys.widgets).by_name
    assert dress(by_name["colour"], "blue") is Colour.BLUE
    assert dress(by_name["style"], {"type": "Sharp", "amount": 0.25}) == Sharp(0.25)
    assert dress(by_name["style"], coerce(by_name["style"], "Plain")) == Plain()
    assert dress(by_name["level"], 2.0) == 2.0


def test_what_is_typed_in_reaches_the_function(session):
    nodes = {"w": box("toy.widgets", colour="blue", way="down", level=2, flags=[1, 2])}
    nodes["w"]["inputs"]["style"] = {"value": {"type": "Sharp", "amount": 0.25}}
    result = session.run(flow(nodes, outputs={"out": "w"}))
    assert result["out"].text == "2 BLUE down Sharp(amount=0.25)  one 3"


def test_recurring_parameters_stand_once_as_aliases():
    item = spec_of(toys.seeded).by_name["seed"]
    assert item.help and str(type_of(Seed)) == "int"

    @node("test.alias")
    def other(seed: Annotated[Seed, Range(0, 5)] = 1) -> Thing:
        """Narrower."""
        return Thing(str(seed))

    assert spec_of(other).by_name["seed"].widget == {**item.widget, "low": 0, "high": 5}
