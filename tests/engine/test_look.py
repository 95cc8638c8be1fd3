"""Look: stop early, look, and finish the chosen ones for the steps that are left."""

import pytest

from engine.errors import WeftError
from engine.events import StepStarted
from engine.session import look
from engine.workflow import Link, Value
from tests.engine import toys
from tests.engine.flows import box, flow


def two_passes(**more):
    """A climb that another climb goes on from, and one node that makes what is saved of the second alone."""
    return flow(
        {
            "first": box("toy.climb", text="x"),
            "mid": box("toy.upper", thing="@first"),
            "second": box("toy.climb", text="y"),
            "show": box("toy.convert_back", thing="@second"),
            "save": box("toy.save", thing="@mid"),
        },
        outputs={"out": "show"},
        **more,
    )


def one(**more):
    return flow({"c": box("toy.climb"), "show": box("toy.convert_back", thing="@c")}, outputs={"out": "show"}, **more)


def test_what_reads_the_stopped_node_is_what_is_looked_at(registry):
    seen = look(one(), registry, {"c": 2})
    assert (seen.targets, seen.values) == (("show.out",), {"c.stop": 2})
    assert seen.workflow.nodes["c"].inputs["stop"] == Value(2)
    assert look(one(), registry, 2) == seen


def test_a_bend_in_the_wire_is_no_other_way(registry):
    nodes = {
        "c": box("toy.climb"),
        "bend": {"type": "reroute", "inputs": {"value": {"from": "c"}}},
        "show": box("toy.convert_back", thing="@bend"),
    }
    assert look(flow(nodes, outputs={"out": "show"}), registry, 2).targets == ("show.out",)


def test_where_nothing_makes_a_picture_of_the_first_pass_one_more_node_does(registry, session):
    seen = look(two_passes(), registry, {"first": 3})
    assert seen.targets == ("look at first.out",)
    added = seen.workflow.nodes["look at first"]
    assert (added.type, added.inputs["thing"]) == ("toy.convert_back", Link("first", "out"))
    result = session.run(seen.workflow, targets=seen.targets)
    assert (result["look at first.out"].text, toys.COUNT["climbed"]) == ("x 0 1 2", 3)
    assert result.files == []


def test_a_node_that_cannot_stop_is_refused_with_those_that_can(registry):
    with pytest.raises(WeftError) as caught:
        look(two_passes(), registry, {"mid": 3})
    assert (caught.value.code, caught.value.problem.mend.text) == ("graph.target", "nodes that can: first, second")
    with pytest.raises(WeftError, match="cannot be stopped early"):
        look(flow({"m": box("toy.make")}), registry, 3)


def test_a_cull_costs_the_stops_and_what_is_left_of_the_chosen_ones(session):
    work = one(parameters={"text": {"to": ["c.text"], "required": True}})
    cull = session.cull(work, [{"text": text} for text in "abcd"], 2)
    assert [picture.text for picture in cull.pictures] == [f"{text} 0 1" for text in "abcd"]
    assert toys.COUNT["climbed"] == 4 * 2
    finished = cull.finish([1, 3])
    assert [result["out"].text for result in finished] == ["b 0 1 2 3 4 5", "d 0 1 2 3 4 5"]
    assert [e.resumed for result in finished for e in result.events if isinstance(e, StepStarted) and e.steps] == [2, 2]
    assert toys.COUNT["climbed"] == 4 * 2 + 2 * 4


def test_a_random_seed_is_drawn_once_for_all_variants_and_for_the_end(session):
    nodes = {
        "s": box("toy.seeded", seed="random"),
        "w": box("toy.weigh", thing="@s"),
        "c": box("toy.climb"),
        "j": box("toy.join", things=["@w", "@c"]),
        "show": box("toy.convert_back", thing="@c"),
    }
    cull = session.cull(flow(nodes, outputs={"out": "show", "seed": "j"}), [{"w.weight": w} for w in (1, 2)], 2)
    seeds = [result["seed"].text.partition("*")[0] for result in cull.finish([0, 1])]
    assert seeds[0] == seeds[1]
