"""The graph: checked, typed, migrated; every problem at once, each with path, socket and mend."""

import gc
import threading

import pytest

from engine.errors import WeftError
from engine.graph import Const, Out, bind, check, uncollected
from engine.node import node
from engine.packs import Pack
from engine.registry import make_registry
from engine.workflow import parse
from tests.engine import toys
from tests.engine.flows import box, flow
from tests.engine.toys import Thing


def problems(work, registry):
    return [(p.code, p.where.path, p.where.socket) for p in check(work, registry)]


def one(work, registry):
    found = check(work, registry)
    assert len(found) == 1, [p.line() for p in found]
    return found[0]


# --- problems -------------------------------------------------------------------------------------------------------


def test_every_problem_is_found_at_once(registry):
    work = flow(
        {
            "a": box("toy.mak"),
            "b": box("toy.upper"),
            "c": box("toy.upper", thing="@nowhere"),
            "d": box("toy.upper", thing="@o", time=3),
            "o": box("toy.other"),
            "e": box("toy.repeat", thing="@m.wrong", count=1000),
            "m": box("toy.make", text=7),
        },
        parameters={"p": {"to": ["m.txet"]}},
        outputs={"gone": "zzz"},
    )
    assert sorted(problems(work, registry), key=str) == sorted(
        [
            ("graph.unknown_node", "a", None),
            ("graph.missing_input", "b", "thing"),
            ("graph.link", "c", "thing"),
            ("graph.unknown_input", "d", "time"),
            ("graph.type", "d", "thing"),
            ("graph.unknown_output", "e", "thing"),
            ("graph.value", "e", "count"),
            ("graph.value", "m", "text"),
            ("graph.parameter", "parameters.p", None),
            ("graph.link", "outputs.gone", None),
        ],
        key=str,
    )


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ({"a": box("toy.mak")}, "Did you mean 'toy.make'?"),
        ({"a": box("MakeThing")}, "Here it is called 'toy.make'."),
        ({"a": box("toy.make", txt="x")}, "Did you mean 'text'?"),
        ({"make": box("toy.make"), "b": box("toy.upper", thing="@mak")}, "Did you mean 'make'?"),
        (
            {"s": box("toy.split", thing="@m"), "m": box("toy.make"), "b": box("toy.upper", thing="@s.frist")},
            "Did you mean 'first'?",
        ),
    ],
)
def test_a_slip_of_the_pen_is_told_what_was_meant(registry, nodes, said):
    assert said in one(flow(nodes), registry).line()


def test_a_wire_that_names_no_output_means_the_first_so_a_node_may_gain_outputs(registry):
    def flows(wire):
        nodes = {"s": box("toy.split", thing="@m"), "m": box("toy.make"), "b": box("toy.upper", thing=wire)}
        graph = bind(flow(nodes), registry)
        assert not graph.problems
        return dict(graph.steps["b"].sources)["thing"]

    assert flows("@s") == flows("@s.first") != flows("@s.second")


def test_problems_stand_in_the_file(registry):
    text = '{"weft": 1, "nodes": {\n  "m": {"type": "toy.make", "inputs": {\n    "text": 7}}},\n'
    text += ' "outputs": {\n "out": "x"}}'
    found = {p.code: p.where for p in check(parse(text, "f.json"), registry)}
    assert (found["graph.value"].line, found["graph.value"].column) == (3, 5)
    assert (found["graph.link"].file, found["graph.link"].line) == ("f.json", 5)


def test_a_cycle_names_its_nodes_once(registry):
    nodes = {
        "a": box("toy.upper", thing="@c"),
        "b": box("toy.upper", thing="@a"),
        "c": box("toy.upper", thing="@b"),
        "free": box("toy.make"),
    }
    problem = one(flow(nodes), registry)
    assert problem.code == "graph.cycle"
    ring = problem.message.partition(": ")[2].split(" -> ")
    assert set(ring) == {"a", "b", "c"} and ring[0] == ring[-1] and len(ring) == 4


def test_a_circle_of_reroutes_and_one_through_an_instance_are_cycles_too(registry):
    reroutes = flow(
        {"r": box("reroute", value="@s"), "s": box("reroute", value="@r"), "u": box("toy.upper", thing="@r")}
    )
    assert {p.code for p in check(reroutes, registry)} == {"graph.cycle"}
    graphs = {"g": {"nodes": {"u": box("toy.upper")}, "parameters": {"t": {"to": ["u.thing"]}}, "outputs": {"o": "u"}}}
    through = flow({"i": box("#g", t="@v"), "v": box("toy.upper", thing="@i.o")}, graphs=graphs)
    assert {p.code for p in check(through, registry)} == {"graph.cycle"}


def test_a_long_row_of_reroutes_is_followed(registry):
    nodes = {"m": box("toy.make"), "r0": box("reroute", value="@m")}
    nodes |= {f"r{i}": box("reroute", value=f"@r{i - 1}") for i in range(1, 3000)}
    nodes["u"] = box("toy.upper", thing="@r2999")
    graph = bind(flow(nodes), registry)
    assert dict(graph.steps["u"].sources)["thing"] == Out("m", "out") and set(graph.steps) == {"m", "u"}


def test_a_graph_that_contains_itself_is_refused(registry):
    graphs = {
        "g": {"nodes": {"i": box("#g")}, "outputs": {}},
        "h": {"nodes": {"m": box("map", _body="#h")}, "outputs": {}},
    }
    assert one(flow({"x": box("#g")}, graphs=graphs), registry).code == "graph.recursion"
    assert "graph.recursion" in {p.code for p in check(flow({"x": box("map", _body="#h")}, graphs=graphs), registry)}


# --- types ----------------------------------------------------------------------------------------------------------


def test_a_wire_of_another_type_is_told_both_types(registry):
    problem = one(flow({"o": box("toy.other"), "u": box("toy.upper", thing="@o")}), registry)
    assert problem.message == "'thing' takes Thing, but o.out gives Other"


def test_a_special_thing_fits_and_a_general_one_may(registry):
    nodes = {"s": box("toy.special"), "u": box("toy.upper", thing="@s")}
    assert check(flow(nodes), registry) == []


def test_a_list_into_one_socket_offers_map(registry):
    nodes = {"m": box("toy.make"), "l": box("toy.things", thing="@m"), "u": box("toy.upper", thing="@l")}
    problem = one(flow(nodes), registry)
    assert problem.code == "graph.type" and "map" in problem.mend.text
    several = {"m": box("toy.make"), "u": box("toy.upper", thing=["@m", "@m"])}
    assert "map" in one(flow(several), registry).mend.text


def test_generic_sockets_hold_together(registry):
    nodes = {"m": box("toy.make"), "n": box("toy.other"), "g": box("toy.same", a="@m", b="@n")}
    problem = one(flow(nodes), registry)
    assert (problem.code, problem.message) == ("graph.type", "'b' takes Thing, but n.out gives Other")
    good = {"m": box("toy.make"), "g": box("toy.same", a="@m", b="@m"), "u": box("toy.upper", thing="@g")}
    assert check(flow(good), registry) == []
    through = {"m": box("toy.other"), "g": box("toy.same", a="@m", b="@m"), "u": box("toy.upper", thing="@g")}
    assert one(flow(through), registry).where.path == "u"


def test_what_is_only_typed_takes_no_wire_and_what_is_only_wired_no_value(registry):
    typed = {"t": box("toy.text", value="x"), "w": box("toy.widgets", label="@t")}
    assert "takes no wire" in one(flow(typed), registry).message
    assert "takes a wire" in one(flow({"w": box("toy.wire", thing="x")}), registry).message


def test_a_growing_socket_takes_one_several_or_a_list(registry):
    base = {"m": box("toy.make"), "l": box("toy.things", thing="@m")}
    for things in ("@m", ["@m", "@m"], "@l", []):
        assert check(flow({**base, "j": box("toy.join", things=things)}), registry) == []
    assert one(flow({**base, "j": box("toy.join", things=["@m", "x"])}), registry).code == "graph.value"


# --- instances ------------------------------------------------------------------------------------------------------

INNER = {
    "loud": {
        "nodes": {"u": box("toy.upper", times=2), "w": box("toy.weigh", thing="@u")},
        "parameters": {
            "thing": {"to": ["u.thing"], "required": True},
            "weight": {"to": ["w.weight"], "default": 3},
        },
        "outputs": {"thing": "w", "up": "u"},
    },
    "outer": {
        "nodes": {"one": box("#loud"), "two": box("#loud", thing="@one.up", weight=5)},
        "parameters": {"thing": {"to": ["one.thing"]}, "weight": {"to": ["one.weight"], "default": 9}},
        "outputs": {"thing": "two.thing"},
    },
}


def test_instances_in_instances_are_laid_out_in_their_place(registry):
    graph = bind(
        flow({"m": box("toy.make"), "i": box("#outer", thing="@m")}, graphs=INNER, outputs={"o": "i.thing"}), registry
    )
    assert list(graph.steps) == ["m", "i/one/u", "i/one/w", "i/two/u", "i/two/w"]
    weights = {path: dict(step.sources).get("weight") for path, step in graph.steps.items() if path.endswith("w")}
    assert weights == {"i/one/w": Const(9.0), "i/two/w": Const(5.0)}
    assert dict(graph.steps["i/two/u"].sources)["thing"] == Out("i/one/u", "out")
    assert graph.outputs == {"o": Out("i/two/w", "out")}


def test_problems_inside_an_instance_have_its_path(registry):
    graphs = {"g": {"nodes": {"u": box("toy.upper", times="x")}, "outputs": {"o": "u"}}}
    found = problems(flow({"i": box("#g")}, graphs=graphs), registry)
    assert ("graph.value", "i/u", "times") in found and ("graph.missing_input", "i/u", "thing") in found


def test_an_instance_of_nothing_and_a_parameter_it_has_not(registry):
    assert "Did you mean 'loud'?" in one(flow({"i": box("#lod")}, graphs=INNER), registry).message
    problem = one(flow({"m": box("toy.make"), "i": box("#loud", thing="@m", wieght=1)}, graphs=INNER), registry)
    assert (problem.code, problem.where.socket) == ("graph.unknown_input", "wieght")


# --- mute and bypass ------------------------------------------------------------------------------------------------


def test_what_a_muted_node_would_have_fed_is_muted_too(registry):
    nodes = {
        "m": box("toy.make"),
        "u": box("toy.upper", thing="@m", _mode="mute"),
        "w": box("toy.weigh", thing="@u"),
        "free": box("toy.weigh", thing="@m"),
    }
    graph = bind(flow(nodes, outputs={"w": "w", "free": "free"}), registry)
    assert list(graph.steps) == ["m", "free"]
    assert graph.muted == {"u": "u", "w": "u"} and set(graph.outputs) == {"free"}


def test_an_optional_input_does_without_a_muted_node(registry):
    nodes = {"m": box("toy.make"), "x": box("toy.make", _mode="mute"), "o": box("toy.maybe", thing="@m", extra="@x")}
    graph = bind(flow(nodes), registry)
    assert dict(graph.steps["o"].sources)["extra"] == Const(None)


def test_a_muted_save_saves_nothing_and_a_muted_instance_nothing_inside_it(session):
    graphs = {"g": {"nodes": {"m": box("toy.make"), "s": box("toy.save", thing="@m")}, "outputs": {}}}
    for mode in ("mute", "bypass"):
        nodes = {
            "x": box("toy.make", text="x"),
            "i": box("#g", _mode=mode),
            "s": box("toy.save", thing="@x", _mode="mute"),
        }
        assert session.run(flow(nodes, graphs=graphs, outputs={"x": "x"})).files == []
    assert toys.COUNT.get("save") is None


def test_a_bypassed_node_hands_its_input_on(registry):
    nodes = {
        "m": box("toy.make"),
        "a": box("toy.upper", thing="@m", _mode="bypass"),
        "b": box("toy.upper", thing="@a", _mode="bypass"),
        "w": box("toy.weigh", thing="@b"),
    }
    graph = bind(flow(nodes), registry)
    assert dict(graph.steps["w"].sources)["thing"] == Out("m", "out") and list(graph.steps) == ["m", "w"]


def test_bypassing_what_has_nothing_to_hand_on_mutes(registry):
    nodes = {"m": box("toy.make", _mode="bypass"), "w": box("toy.weigh", thing="@m")}
    assert bind(flow(nodes), registry).muted == {"w": "m"}


# --- map, fold, switch ----------------------------------------------------------------------------------------------

EACH = {
    "each": {"nodes": {"m": box("toy.make")}, "parameters": {"text": {"to": ["m.text"]}}, "outputs": {"thing": "m"}}
}


def test_a_map_gives_lists_of_what_its_body_gives(registry):
    graph = bind(flow({"x": box("map", text=["a"], _body="#each")}, graphs=EACH, outputs={"o": "x.thing"}), registry)
    assert str(graph.output_types["o"]) == "list[Thing]" and graph.steps["x"].mapped == ("text",)


@pytest.mark.parametrize(
    ("node_", "code", "said"),
    [
        (box("map", text=["a"], _body="#eahc"), "graph.unknown_graph", "Did you mean 'each'?"),
        (box("map", text=["a"]), "graph.unknown_graph", "is not one"),
        (box("map", text="a", _body="#each"), "graph.type", "no list to go over"),
        (box("map", txt=["a"], _body="#each"), "graph.unknown_input", "Did you mean 'text'?"),
        (box("map", text=["a", 3], _body="#each"), "graph.value", "needs text"),
        (box("fold", text="a", _body="#each"), "graph.value", "'max' must be"),
        (box("fold", text="a", _body="#each", _max=10**9), "graph.value", "'max' must be"),
        (box("fold", text="a", _body="#each", _max=3, _until="done"), "graph.value", "'until' names 'done'"),
    ],
)
def test_a_loop_that_is_wrong_says_how(registry, node_, code, said):
    found = check(flow({"x": node_}, graphs=EACH), registry)
    assert any(p.code == code and said in p.line() for p in found), [p.line() for p in found]


def test_a_required_parameter_of_a_body_has_to_be_given(registry):
    graphs = {
        "g": {
            "nodes": {"u": box("toy.upper")},
            "parameters": {"t": {"to": ["u.thing"], "required": True}},
            "outputs": {"o": "u"},
        }
    }
    found = problems(flow({"x": box("map", _body="#g")}, graphs=graphs), registry)
    assert ("graph.missing_input", "x", "t") in found


def test_a_switch_gives_the_type_of_its_options(registry):
    nodes = {
        "a": box("toy.make"),
        "b": box("toy.make"),
        "s": box("switch", options=["@a", "@b"]),
        "u": box("toy.upper", thing="@s"),
    }
    assert check(flow(nodes), registry) == []
    mixed = {**nodes, "b": box("toy.other")}
    assert one(flow(mixed), registry).code == "graph.type"


# --- migrations -----------------------------------------------------------------------------------------------------


def renamed_inputs(version, inputs):
    """Version 1 called it `words`."""
    if version < 2:
        inputs["text"] = inputs.pop("words")
    return inputs


def another_node(version, inputs):
    """Was a node of its own; `result` is called `out` today."""
    return "toy.upper", {"thing": inputs["old"]}, {"result": "out"}


def broken_migration(version, inputs):
    raise KeyError("words")


@node("toy.newer", version=3, migrate=renamed_inputs)
def newer(text: str = "n") -> Thing:
    """Has a past."""
    return Thing(text)


@node("toy.gone", version=2, migrate=another_node)
def gone(old: Thing) -> Thing:
    """Has become another."""
    return old


@node("toy.stuck", version=2, migrate=broken_migration)
def stuck(text: str = "") -> Thing:
    """Cannot be brought to today."""
    return Thing(text)


@pytest.fixture(scope="module")
def later():
    return toys.registry(newer, gone, stuck)


def test_an_old_node_is_brought_to_today_and_its_file_is_not_touched(later):
    work = flow({"n": {"type": "toy.newer", "version": 1, "inputs": {"words": "hi"}}})
    graph = bind(work, later)
    assert dict(graph.steps["n"].sources) == {"text": Const("hi")}
    assert work.nodes["n"].version == 1 and "words" in work.nodes["n"].inputs


def test_a_node_that_became_another_keeps_its_wires(later):
    nodes = {
        "m": box("toy.make"),
        "g": {"type": "toy.gone", "version": 1, "inputs": {"old": {"from": "m"}}},
        "w": box("toy.weigh", thing="@g.result"),
    }
    graph = bind(flow(nodes, outputs={"o": "g.result"}), later)
    assert graph.steps["g"].spec.id == "toy.upper" and dict(graph.steps["w"].sources)["thing"] == Out("g", "out")
    assert graph.outputs["o"] == Out("g", "out")


def test_without_a_version_a_node_is_todays(later):
    assert dict(bind(flow({"n": box("toy.newer", text="x")}), later).steps["n"].sources) == {"text": Const("x")}


def test_a_newer_node_than_the_pack_and_a_migration_that_fails(later):
    newer_one = one(flow({"n": {"type": "toy.newer", "version": 9, "inputs": {}}}), later)
    assert newer_one.code == "graph.unknown_version" and "update the pack" in newer_one.mend.text
    failing = one(flow({"n": {"type": "toy.stuck", "version": 1, "inputs": {}}}), later)
    assert failing.code == "graph.migration" and "version 1" in failing.message


def test_a_node_of_a_pack_that_does_not_load_says_why():
    from engine.errors import Problem

    for name, kind in [("core", "toy.make"), ("other", "other/toy.make")]:
        pack = Pack(name, "m", toys.Path(), problem=Problem("pack.broken", "SyntaxError in line 3"))
        problem = one(flow({"a": box(kind)}), make_registry([pack]))
        assert "SyntaxError in line 3" in problem.mend.text


# --- what the graph tells -------------------------------------------------------------------------------------------


def test_readers_descendants_and_effects(registry):
    nodes = {
        "m": box("toy.make"),
        "u": box("toy.upper", thing="@m"),
        "w": box("toy.weigh", thing="@u"),
        "s": box("toy.save", thing="@w"),
        "x": box("toy.make"),
    }
    graph = bind(flow(nodes), registry)
    assert graph.descendants("u") == {"w", "s"} and graph.descendants("x") == set()
    assert graph.readers["m"] == ("u",) and graph.effects == ("s",)


def test_ten_thousand_nodes_are_bound(registry):
    nodes = {"x0": box("toy.make")}
    nodes |= {f"x{i}": box("toy.upper", thing=f"@x{i - 1}") for i in range(1, 10_000)}
    backwards = dict(reversed(nodes.items()))
    assert list(bind(flow(backwards), registry).steps)[:2] == ["x0", "x1"]


def test_binding_raises_what_check_returns(registry):
    work = flow({"u": box("toy.upper")})
    with pytest.raises(WeftError) as wrong:
        bind(work, registry)
    assert list(wrong.value.problems) == check(work, registry)


def test_the_collector_is_stopped_while_any_thread_binds_and_starts_again_with_the_last():
    inside, leave = threading.Event(), threading.Event()

    def other():
        with uncollected():
            inside.set()
            leave.wait(10)

    assert gc.isenabled()
    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(10)
    with uncollected():
        with uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert not gc.isenabled()  # the other thread is still at it
    leave.set()
    thread.join()
    assert gc.isenabled()


def test_a_collector_that_somebody_has_stopped_stays_stopped():
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
