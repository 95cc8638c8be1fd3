"""Ids: the same for what is the same, another for what is another, one hash a node."""

import dataclasses
import enum
import itertools

import pytest

from engine.keys import (
    canonical,
    checkpoint_ids,
    digest,
    encode_template,
    output_id,
    step_key,
    template_from_json,
    template_to_json,
)
from engine.plan import Frontier
from engine.sockets import Ref
from tests.engine.flows import box, flow


def key_of(session, workflow, path):
    _, graph, _ = session.prepare(workflow)
    return Frontier(graph, session.engine.setting()).lives[path].key


BASE = {"a": box("toy.make", text="x"), "b": box("toy.weigh", thing="@a", weight=7), "c": box("toy.upper", thing="@b")}


def same(session, nodes, path="c", **more):
    return key_of(session, flow(nodes, **more), path) == key_of(session, flow(BASE), "c")


def test_names_titles_and_order_in_the_file_are_not_part_of_an_id(session):
    renamed = {
        "last": box("toy.upper", thing="@middle", _title="Loud"),
        "middle": box("toy.weigh", weight=7, thing="@first"),
        "first": box("toy.make", text="x"),
    }
    assert same(session, renamed, "last", view={"first": [3, 4]})


def test_a_reroute_leaves_no_trace(session):
    bent = {
        **BASE,
        "r": box("reroute", value="@a"),
        "s": box("reroute", value="@r"),
        "b": box("toy.weigh", thing="@s", weight=7),
    }
    assert same(session, bent)


def test_an_instance_leaves_no_trace(session):
    graphs = {
        "pair": {
            "nodes": {"w": box("toy.weigh", weight=7), "u": box("toy.upper", thing="@w")},
            "parameters": {"thing": {"to": ["w.thing"]}},
            "outputs": {"thing": "u"},
        }
    }
    assert same(session, {"a": BASE["a"], "i": box("#pair", thing="@a")}, "i/u", graphs=graphs)


def test_a_bypassed_node_leaves_no_trace(session):
    nodes = {
        **BASE,
        "extra": box("toy.upper", thing="@a", times=9, _mode="bypass"),
        "b": box("toy.weigh", thing="@extra", weight=7),
    }
    assert same(session, nodes)


def test_a_default_typed_in_is_the_default(session):
    assert same(session, {**BASE, "a": box("toy.make", text="x", size=0, family="")})


def test_seven_is_seven_for_a_float_and_not_for_another_number(session):
    assert same(session, {**BASE, "b": box("toy.weigh", thing="@a", weight=7.0)})
    assert not same(session, {**BASE, "b": box("toy.weigh", thing="@a", weight=7.5)})


def test_minus_nothing_is_nothing(session):
    zero = {**BASE, "b": box("toy.weigh", thing="@a", weight=0)}
    minus = {**BASE, "b": box("toy.weigh", thing="@a", weight=-0.0)}
    assert key_of(session, flow(zero), "c") == key_of(session, flow(minus), "c")


def test_the_order_of_named_inputs_is_not_part_of_an_id_and_that_of_listed_ones_is(session):
    two = {"x": box("toy.make", text="x"), "y": box("toy.make", text="y")}
    named = [
        {**two, "n": box("toy.named", things=dict(order))}
        for order in itertools.permutations([("p", "@x"), ("q", "@y")])
    ]
    assert len({key_of(session, flow(nodes), "n") for nodes in named}) == 1
    listed = [{**two, "j": box("toy.join", things=list(order))} for order in itertools.permutations(["@x", "@y"])]
    assert len({key_of(session, flow(nodes), "j") for nodes in listed}) == 2


def test_an_unkeyed_input_is_no_part_of_an_id_and_another_file_all_the_same(session):
    one = flow({**BASE, "s": box("toy.save", thing="@c", name="one")})
    two = flow({**BASE, "s": box("toy.save", thing="@c", name="two")})
    assert key_of(session, one, "s") == key_of(session, two, "s")
    assert session.run(one).ran != [] and session.run(two).ran == ["s"]


@pytest.mark.parametrize("change", [{"threads": 3}, {"deterministic": True}, {"libraries": (("torch", "9"),)}])
def test_what_changes_bits_changes_ids_of_the_device_lane(session, change):
    _, graph, _ = session.prepare(flow({**BASE, "f": box("toy.read", name="x.txt")}))
    session.engine.places.input.mkdir(parents=True, exist_ok=True)
    (session.engine.places.input / "x.txt").write_text("x")
    other = dataclasses.replace(session.engine.numerics, **change)
    before = Frontier(graph, session.engine.setting()).lives
    after = Frontier(graph, session.engine.setting(numerics=other)).lives
    assert before["c"].key != after["c"].key
    assert before["f"].key == after["f"].key  # a file read in the io lane is the same on every machine


def test_a_chain_of_ten_thousand_needs_no_recursion(session):
    nodes = {"x0": box("toy.make")}
    nodes |= {f"x{i}": box("toy.weigh", thing=f"@x{i - 1}", weight=i) for i in range(1, 10_000)}
    work = flow(nodes, outputs={"out": "x9999"})
    assert len(key_of(session, work, "x9999")) == 32


# --- canonical text -------------------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    y: int
    path: str = dataclasses.field(default="", compare=False)


DIFFERENT = [
    None,
    True,
    1,
    1.5,
    "1",
    "",
    "a",
    ["a"],
    ["a", "b"],
    [["a"], "b"],
    [["a", "b"]],
    ["a,sb"],
    {},
    [],
    {"a": 1},
    {"a": 1, "b": 2},
    {"a=i1,b": 2},
    {"a": {"b": 2}},
    {"1": "a"},
    Colour.RED,
    "red",
    Point(1, 2),
    Point(2, 1),
    {"x": 1, "y": 2},
    Ref("a.out"),
    Ref("a.out", path=("x",)),
    "@a.out",
    2**64 - 1,
    float(2**64),
]


def test_different_values_have_different_texts():
    texts = [canonical(value) for value in DIFFERENT]
    assert len(set(texts)) == len(texts)


def test_equal_values_have_equal_texts():
    assert canonical((1, 2)) == canonical([1, 2])
    assert canonical({"b": 1, "a": 2}) == canonical({"a": 2, "b": 1})
    assert canonical(Point(1, 2, "here")) == canonical(Point(1, 2, "there"))
    assert canonical(Ref("a.out", {"width": 1})) == canonical(Ref("a.out"))


def test_keys_cannot_run_into_each_other():
    assert canonical({"a=s1:b,c": 1}) != canonical({"a": "b", "c": 1})
    assert canonical(["a", "b"]) != canonical(["a,s1:b"])


def test_what_has_no_canonical_form_says_so():
    with pytest.raises(TypeError, match="object has no canonical form"):
        canonical(object())


def test_a_step_key_depends_on_each_of_its_parts():
    base = ("n", 1, "", "num", {"a": 1}, None)
    changed = [
        ("m", 1, "", "num", {"a": 1}, None),
        ("n", 2, "", "num", {"a": 1}, None),
        ("n", 1, "s", "num", {"a": 1}, None),
    ]
    changed += [
        ("n", 1, "", "x", {"a": 1}, None),
        ("n", 1, "", "num", {"a": 2}, None),
        ("n", 1, "", "num", {"a": 1}, "f"),
    ]
    keys = [step_key(*parts) for parts in (base, *changed)]
    assert len(set(keys)) == len(keys) and step_key(*base) == keys[0]
    assert output_id(keys[0], "image") == f"{keys[0]}.image"


def test_checkpoints_share_their_names_as_far_as_what_is_active_is_the_same():
    one = checkpoint_ids("k", ["a", "b", "c", "d"])
    two = checkpoint_ids("k", ["a", "b", "x", "d"])
    assert one[:2] == two[:2] and not set(one[2:]) & set(two[2:])
    assert checkpoint_ids("other", ["a"]) != one[:1]


@pytest.mark.parametrize(
    "template", [None, 1, 1.5, "a", True, [1, [2, "b"]], Ref("c1", {"width": 8}), [Ref("c1"), Ref("c2")]]
)
def test_templates_survive_the_trace_table(template):
    import json

    back = template_from_json(json.loads(encode_template(template)))
    assert back == template
    if isinstance(template, Ref):
        assert back.facts == template.facts


def test_only_plain_templates_go_into_the_trace_table():
    with pytest.raises(TypeError, match="cannot be remembered"):
        template_to_json(Point(1, 2))


def test_a_digest_is_the_same_in_every_release():
    # Ids on disk outlive a release: when this changes, every cache and trace of every user is lost.
    assert digest({"a": [1, 2.5, None]}) == "4a0a31e3b77cb5b83ed74191cac41ff7"
