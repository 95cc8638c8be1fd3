"""Sockets: what a wire may carry, when one type fits another, and what stands for what does not exist yet."""

import json
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import pytest

from engine.errors import WeftError
from engine.sockets import (
    ANY,
    FactRule,
    Ref,
    Type,
    TypeSpec,
    copy,
    facts_of,
    fill,
    fit,
    holes,
    list_of,
    rule,
    same,
    socket,
    type_of,
)
from tests.engine.toys import Plan, SpecialThing, Thing

TABLE = json.loads((Path(__file__).parents[1] / "golden" / "connect_cases.json").read_text())


def bases(name):
    return tuple(TABLE["bases"].get(name, ()))


@pytest.mark.parametrize(
    ("source", "target", "verdict", "offer"),
    TABLE["cases"],
    ids=[f"{Type.from_json(a)}-{Type.from_json(b)}" for a, b, *_ in TABLE["cases"]],
)
def test_the_table_of_what_fits(source, target, verdict, offer):
    answer = fit(Type.from_json(source), Type.from_json(target), bases, {})
    assert (answer.verdict, answer.offer) == (verdict, offer)
    assert bool(answer) == (verdict != "no")
    assert bool(answer.why) == (verdict != "fits")


def test_only_no_blocks():
    assert fit(ANY, Type("Image")) and not fit(Type("Image"), Type("Mask"))


# --- generics -------------------------------------------------------------------------------------------------------

T = Type("T", variable=True)


def test_a_type_variable_is_bound_by_the_first_wire_and_holds_for_the_others():
    bound: dict[str, Type] = {}
    assert fit(Type("Image"), T, bases, bound).verdict == "fits" and bound["T"] == Type("Image")
    assert fit(Type("Image"), T, bases, bound).verdict == "fits"
    answer = fit(Type("Mask"), T, bases, bound)
    assert answer.verdict == "no" and "T is Image here" in answer.why


def test_a_type_variable_widens_to_what_holds_both():
    """Two numbers, two things: the order of the wires does not decide whether they belong together."""
    for first, second, both in [("int", "float", "float"), ("SpecialThing", "Thing", "Thing")]:
        for order in [(first, second), (second, first)]:
            bound: dict[str, Type] = {}
            assert all(fit(Type(name), T, bases, bound).verdict == "fits" for name in order)
            assert bound["T"] == Type(both)


def test_a_list_of_a_variable_binds_the_item():
    bound: dict[str, Type] = {}
    assert fit(list_of(Type("Image")), list_of(T), bases, bound)
    assert bound == {"T": Type("Image")}


# --- annotations ----------------------------------------------------------------------------------------------------


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True)
class Plain:
    pass


@dataclass(frozen=True)
class Sharp:
    pass


V = TypeVar("V")


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "int"),
        (float, "float"),
        (int | float, "float"),
        (bool, "bool"),
        (str | None, "str?"),
        (Thing, "Thing"),
        (Thing | None, "Thing?"),
        (list[Thing], "list[Thing]"),
        (list[list[int]], "list[list[int]]"),
        (Literal["a", "b"], "choice[a, b]"),
        (Colour, "choice[red]"),
        (Plain | Sharp, "variant[Plain, Sharp]"),
        (Annotated[int, "anything"], "int"),
        (Any, "any"),
        (V, "V"),
    ],
)
def test_the_type_of_an_annotation(annotation, text):
    found = type_of(annotation)
    assert str(found) == text
    assert Type.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize("annotation", [dict, list, bytes, int | str, Path, Thing | int, NamedTuple("N", [("a", int)])])
def test_what_no_wire_can_carry_is_refused(annotation):
    with pytest.raises(TypeError):
        type_of(annotation)


def test_a_socket_type_knows_its_bases_and_survives_the_manifest():
    spec = vars(SpecialThing)["__weft_type__"]
    assert spec.bases == ("Thing",) and spec.path == "tests.engine.toys:SpecialThing"
    assert TypeSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_a_socket_type_must_be_a_frozen_dataclass():
    with pytest.raises(WeftError, match="must be a frozen dataclass"):
        socket()(type("Loose", (), {}))

    @dataclass
    class Writable:
        x: int

    with pytest.raises(WeftError, match="must be a frozen dataclass"):
        socket()(Writable)


# --- Refs and templates ---------------------------------------------------------------------------------------------


def test_a_ref_tells_its_facts_and_nothing_else():
    ref = Ref("1.out", {"width": 8})
    assert facts_of(ref) == {"width": 8} and ref.part("a", 0, height=4).facts == {"width": 8, "height": 4}
    with pytest.raises(WeftError) as wrong:
        ref.pixels  # noqa: B018 - reading is the point
    assert wrong.value.code == "node.light"
    assert ref == Ref("1.out") and ref != ref.part("a") and len({ref, Ref("1.out")}) == 1
    assert repr(ref.part("a", 0)) == "Ref(1.out.a.0)"


def test_holes_are_found_and_filled_where_they_lie():
    template = {"p": Plan(Ref("1.out"), 0.5), "l": [Ref("2.out"), 3], "t": Thing("x")}
    assert [ref.id for ref in holes(template)] == ["1.out", "2.out"]
    full = fill(template, {"1.out": Thing("a"), "2.out": Thing("b")}.__getitem__)
    assert full["p"] == Plan(Thing("a"), 0.5) and full["l"] == [Thing("b"), 3]
    assert full["t"] is template["t"]  # parts without holes are shared
    assert list(holes(full)) == []


def test_a_part_of_a_value_is_taken_from_it():
    assert fill(Ref("1").part("leaf", "text"), {"1": Plan(Thing("deep"))}.__getitem__) == "deep"
    assert fill(Ref("1", {}, (1,)), {"1": ["a", "b"]}.__getitem__) == "b"
    assert fill(Ref("1").part("k"), {"1": {"k": 5}}.__getitem__) == 5


def test_named_tuples_stay_named_tuples():
    class Two(NamedTuple):
        a: Any
        b: Any

    full = fill(Two(Ref("1"), 2), {"1": 1}.__getitem__)
    assert full == Two(1, 2) and isinstance(full, Two)


def test_fact_rules_are_plain_data():
    for made in (same("family", "a", "b", why="x"), copy("a.family", "out.family"), rule("m:f")):
        assert FactRule.from_json(json.loads(json.dumps(made.to_json()))) == made
