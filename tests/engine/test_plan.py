"""The plan: what would run, why, how long; what waits for a content; what unfolds."""

import pytest

from engine.errors import Mend, Problem, WeftError, Where
from engine.plan import Frontier
from engine.plan.lints import told
from tests.engine import toys
from tests.engine.fakes import gate
from tests.engine.flows import box, flow


def statuses(plan):
    return {row.path: row.status for row in plan.steps}


def why(plan, path):
    return next(row.why for row in plan.steps if row.path == path)


CHAIN = {
    "make": box("toy.make", text="ab"),
    "upper": box("toy.upper", thing="@make"),
    "weigh": box("toy.weigh", thing="@upper", weight=2),
}
COUNTED = {
    "make": box("toy.make", text="ab"),
    "length": box("toy.length", thing="@make"),
    "again": box("toy.repeat", thing="@make", count="@length"),
    "save": box("toy.save", thing="@again"),
}


def test_a_plan_runs_nothing(session):
    session.plan(flow(COUNTED))
    assert toys.COUNT == {}


def test_what_is_there_is_a_hit_and_nothing_above_it_is_needed(session):
    work = flow(CHAIN, outputs={"out": "weigh"})
    assert statuses(session.plan(work)) == {"make": "run", "upper": "run", "weigh": "run"}
    session.run(work)
    assert statuses(session.plan(work)) == {"make": "not needed", "upper": "not needed", "weigh": "hit"}
    changed = session.plan(work, {"upper.times": 2})
    assert statuses(changed) == {"make": "hit", "upper": "run", "weigh": "run"}
    assert why(changed, "upper") == "times changed"
    assert why(changed, "weigh") == "thing changed (from upper)"


def test_why_says_new_changed_or_gone(session):
    work = flow(CHAIN, outputs={"out": "weigh"})
    assert why(session.plan(work), "make") == "new"
    session.run(work)
    session.engine.cache.clear()
    assert why(session.plan(work), "weigh") == "its result is no longer there"
    volatile = flow({"m": box("toy.make"), "v": box("toy.volatile", thing="@m")}, outputs={"out": "v"})
    assert why(session.plan(volatile), "v") == "it never reuses a result"


def test_behind_a_content_not_known_yet_there_is_a_maybe_that_says_what_it_waits_for(session):
    plan = session.plan(flow(COUNTED))
    assert statuses(plan) == {"make": "run", "length": "run", "again": "maybe", "save": "maybe"}
    assert next(row.waits_for for row in plan.steps if row.path == "again") == ("length",)


def test_the_trace_outlives_the_value(session):
    session.run(flow(COUNTED))
    session.engine.cache.clear()
    # Its file is in place: the effect is saved, though every value on the way is gone.
    assert statuses(session.plan(flow(COUNTED))) == {
        "make": "not needed",
        "length": "not needed",
        "again": "not needed",
        "save": "saved",
    }
    # And for another file only what is read is made again: the length is remembered.
    assert session.run(flow(COUNTED), {"save.name": "other"}).ran == ["again", "make", "save"]


def test_after_a_cut_off_only_what_differs_runs(session):
    nodes = {
        "make": box("toy.make", text="ab"),
        "length": box("toy.length", thing="@make"),
        "other": box("toy.make", text="x"),
        "again": box("toy.repeat", thing="@other", count="@length"),
    }
    work = flow(nodes, outputs={"out": "again"})
    session.run(work)
    # Another text of the same length: the length runs, gives what it gave, and what follows stays.
    result = session.run(work, {"make.text": "cd"})
    assert result.ran == ["length", "make"] and result["out"].text == "xx"
    assert toys.COUNT["repeat"] == 1


def test_a_cut_off_result_with_several_outputs_is_followed_by_content(session):
    nodes = {
        "make": box("toy.make", text="ab"),
        "measure": box("toy.measure", thing="@make"),
        "upper": box("toy.upper", thing="@measure.thing"),
        "again": box("toy.repeat", thing="@upper", count="@measure.length"),
    }
    work = flow(nodes, outputs={"out": "again"})
    assert session.run(work)["out"].text == "MMMM"
    result = session.run(work, {"make.text": "cd"})
    assert result.ran == ["make", "measure"] and result["out"].text == "MMMM"


@pytest.mark.parametrize("limit", [0, 2**20])
def test_a_list_of_things_is_known_by_its_items(make_session, limit):
    """Even when the list holds the same thing twice, and has to be made again for a reader."""
    nodes = {
        "make": box("toy.make", text="b b a"),
        "list": box("toy.things", thing="@make"),
        "join": box("toy.join", things="@list", glue="-"),
    }
    session = make_session(limit)
    assert session.run(flow(nodes, outputs={"out": "join"}))["out"].text == "b-b-a"
    session.engine.cache.clear()
    assert session.run(flow(nodes, outputs={"out": "join"}), {"join.glue": "+"})["out"].text == "b+b+a"


def test_a_value_let_go_is_made_again_for_a_step_that_was_planned_late(make_session):
    """`again` is planned only when the length is known; by then a budget of nothing has let the thing go."""
    session = make_session(0)
    first = session.run(flow(COUNTED))
    assert first.state == "succeeded" and first.ran == ["again", "length", "make", "save"]
    again = session.run(flow({**COUNTED, "up": box("toy.upper", thing="@again")}, outputs={"out": "up"}))
    assert again["out"].text == "ABAB"


def test_a_hit_let_go_after_its_last_reader_is_found_again(make_session):
    session = make_session()
    session.run(flow(COUNTED), targets=["make"])
    result = session.run(flow(COUNTED))
    assert result.state == "succeeded" and result.ran == ["again", "length", "save"]


# --- light ----------------------------------------------------------------------------------------------------------


def test_light_nodes_are_done_while_planning(session):
    nodes = {
        "n": box("toy.number", value=3),
        "d": box("toy.double", value="@n"),
        "make": box("toy.make"),
        "out": box("toy.repeat", thing="@make", count="@d"),
    }
    work = flow(nodes, outputs={"out": "out"})
    assert statuses(session.plan(work)) == {"n": "light", "d": "light", "make": "run", "out": "run"}
    assert session.run(work)["out"].text == "a" * 6


def test_a_recipe_is_known_before_its_leaves_exist(session):
    nodes = {
        "make": box("toy.make"),
        "plan": box("toy.plan", thing="@make", strength=0.5),
        "follow": box("toy.follow", plan="@plan"),
    }
    work = flow(nodes, outputs={"out": "follow"})
    assert statuses(session.plan(work)) == {"make": "run", "plan": "light", "follow": "run"}
    assert session.run(work)["out"].text == "a@0.5"
    assert session.run(work, {"plan.strength": 1.0}).ran == ["follow"]


def test_the_recipe_of_a_heavy_node_has_an_outline(session):
    nodes = {
        "make": box("toy.make"),
        "heavy": box("toy.outline", thing="@make"),
        "follow": box("toy.follow", plan="@heavy"),
    }
    assert session.run(flow(nodes, outputs={"out": "follow"}))["out"].text == "a'@1"


def test_a_light_node_that_reads_a_value_is_named_and_told_the_mend(session):
    nodes = {"make": box("toy.make"), "g": box("toy.greedy", thing="@make"), "t": box("toy.text", value="@g")}
    with pytest.raises(WeftError) as wrong:
        session.run(flow(nodes, outputs={"out": "t"}))
    problem = wrong.value.problem
    assert (problem.code, problem.where.path) == ("node.light", "g")
    assert "'.text'" in problem.message and "light=True" in problem.mend.text


# --- facts ----------------------------------------------------------------------------------------------------------


def test_what_does_not_belong_together_is_refused_before_anything_runs(session):
    nodes = {
        "a": box("toy.plan", thing="@x"),
        "x": box("toy.make", family="cat"),
        "y": box("toy.make", family="dog"),
        "z": box("toy.add", a="@x", b="@y"),
    }
    # Nothing is known of the families before they are made.
    assert session.run(flow(nodes, outputs={"out": "z"})).state == "succeeded"

    # What is known by its content is.
    known = {**nodes, "l": box("toy.things", thing="@x")}
    assert session.plan(flow(known, outputs={"out": "l"})).problems == ()


def test_facts_are_copied_along_the_wires(session):
    from engine.sockets import Ref, check_same, same

    rule = same("family", "a", "b", why="only a family stays together")
    cat, dog = Ref("1.out", {"family": "cat"}), Ref("2.out", {"family": "dog"})
    problem = check_same(rule, {"a": cat, "b": dog})
    assert problem is not None and problem.where.socket == "b"
    assert problem.message == "'b' has family dog, but 'a' has cat: only a family stays together"
    assert check_same(rule, {"a": cat, "b": Ref("3.out")}) is None
    assert check_same(rule, {"a": cat, "b": Ref("4.out", {"family": "cat"})}) is None


# --- switch ---------------------------------------------------------------------------------------------------------


def switched(choose, **more):
    return flow(
        {
            "a": box("toy.make", text="a"),
            "b": box("toy.make", text="b"),
            "pick": box("switch", choose=choose, options=["@a", "@b"]),
            "up": box("toy.upper", thing="@pick"),
        },
        outputs={"out": "up"},
        **more,
    )


@pytest.mark.parametrize(
    ("choose", "ran", "text"), [(0, ["a", "up"], "A"), (1, ["b", "up"], "B"), (True, ["b", "up"], "B")]
)
def test_only_the_chosen_branch_runs(session, choose, ran, text):
    result = session.run(switched(choose))
    assert result.ran == ran and result["out"].text == text


def test_a_switch_leaves_no_trace_in_ids(session):
    session.run(flow({"b": box("toy.make", text="b"), "up": box("toy.upper", thing="@b")}, outputs={"out": "up"}))
    assert session.run(switched(1)).ran == []


def test_a_switch_chooses_by_name_and_by_what_a_node_gives(session):
    nodes = {
        "a": box("toy.make", text="a"),
        "long": box("toy.long", thing="@a", enough=1),
        "pick": box("switch", choose="@long", options=["@a", "@a2"]),
        "a2": box("toy.make", text="yes"),
        "name": box("switch", choose="fine", named={"fine": "@pick", "not": "@a"}),
    }
    assert session.run(flow(nodes, outputs={"out": "name"}))["out"].text == "yes"


def test_a_switch_without_that_option_says_which_there_are(session):
    with pytest.raises(WeftError) as wrong:
        session.run(switched(5))
    assert wrong.value.code == "node.refused" and "options are: 0, 1" in str(wrong.value)


# --- map ------------------------------------------------------------------------------------------------------------

EACH = {
    "each": {"nodes": {"m": box("toy.make")}, "parameters": {"text": {"to": ["m.text"]}}, "outputs": {"thing": "m"}}
}


def mapped(texts, **more):
    nodes = {"map": box("map", text=texts, _body="#each"), "join": box("toy.join", things="@map.thing", glue="-")}
    return flow(nodes, graphs=EACH, outputs={"out": "join"}, **more)


def test_a_map_runs_its_body_once_for_each_item(session):
    result = session.run(mapped(["x", "y", "z"]))
    assert result["out"].text == "x-y-z"
    assert result.ran == ["join", "map/0/m", "map/1/m", "map/2/m"]


def test_one_more_item_runs_nothing_else_again(session):
    session.run(mapped(["x", "y"]))
    # In front: items are known by their own value, never by their position.
    result = session.run(mapped(["new", "x", "y"]))
    assert result.ran == ["join", "map/0/m"] and result["out"].text == "new-x-y"
    assert session.run(mapped(["y", "x"])).ran == ["join"]


def test_a_map_over_a_list_that_a_node_gives(session):
    nodes = {
        "make": box("toy.make", text="one two"),
        "words": box("toy.words", thing="@make"),
        "map": box("map", text="@words", _body="#each"),
        "join": box("toy.join", things="@map.thing", glue="/"),
    }
    work = flow(nodes, graphs=EACH, outputs={"out": "join"})
    assert session.run(work)["out"].text == "one/two"
    result = session.run(work, {"make.text": "one two three"})
    assert result["out"].text == "one/two/three"
    assert [path for path in result.ran if path.startswith("map")] == ["map/2/m"]


def test_the_map_of_nothing_is_nothing(session):
    assert session.run(mapped([]))["out"].text == ""


def test_lists_of_different_length_are_refused(session):
    graphs = {
        "two": {
            "nodes": {"a": box("toy.make"), "b": box("toy.make"), "c": box("toy.add", a="@a", b="@b")},
            "parameters": {"left": {"to": ["a.text"]}, "right": {"to": ["b.text"]}},
            "outputs": {"thing": "c"},
        }
    }
    nodes = {"map": box("map", left=["1", "2"], right=["a"], _body="#two")}
    with pytest.raises(WeftError, match="left has 2, right has 1"):
        session.run(flow(nodes, graphs=graphs, outputs={"out": "map.thing"}))


def test_one_failing_item_blocks_what_needs_all_and_the_others_are_kept(session):
    graphs = {
        "each": {
            "nodes": {"m": box("toy.read", lane="io") if False else box("toy.read")},
            "parameters": {"name": {"to": ["m.name"]}},
            "outputs": {"thing": "m"},
        }
    }
    folder = session.engine.places.input
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("A")
    nodes = {"map": box("map", name=["a.txt", "gone.txt"], _body="#each"), "j": box("toy.join", things="@map.thing")}
    plan = session.plan(flow(nodes, graphs=graphs, outputs={"out": "j"}))
    assert [(p.code, p.where.path) for p in plan.problems] == [("media.missing", "map/1/m")]


def test_effects_in_a_body_happen_for_each_item(session):
    graphs = {
        "each": {
            "nodes": {"m": box("toy.make"), "s": box("toy.save", thing="@m")},
            "parameters": {"text": {"to": ["m.text"]}},
            "outputs": {},
        }
    }
    work = flow({"map": box("map", text=["x", "y"], _body="#each")}, graphs=graphs)
    assert session.run(work).ran == ["map/0/m", "map/0/s", "map/1/m", "map/1/s"]
    assert session.run(work).ran == []


def test_a_body_may_hold_instances_fed_by_its_parameters(session):
    graphs = {
        "loud": {
            "nodes": {"m": box("toy.make"), "u": box("toy.upper", thing="@m")},
            "parameters": {"text": {"to": ["m.text"]}},
            "outputs": {"thing": "u"},
        },
        "each": {
            "nodes": {"inner": box("#loud")},
            "parameters": {"text": {"to": ["inner.text"]}},
            "outputs": {"thing": "inner.thing"},
        },
    }
    nodes = {"map": box("map", text=["x", "y"], _body="#each"), "j": box("toy.join", things="@map.thing")}
    assert session.run(flow(nodes, graphs=graphs, outputs={"out": "j"}))["out"].text == "XY"


def test_a_map_in_a_map(session):
    graphs = {
        **EACH,
        "row": {
            "nodes": {
                "m": box("map", _body="#each"),
                "j": box("toy.join", things="@m.thing"),
            },
            "parameters": {"texts": {"to": ["m.text"]}},
            "outputs": {"thing": "j"},
        },
    }
    nodes = {
        "rows": box("map", texts=[["a", "b"], ["c"]], _body="#row"),
        "j": box("toy.join", things="@rows.thing", glue=" "),
    }
    nodes["rows"]["inputs"]["texts"] = {"value": [["a", "b"], ["c"]]}
    assert session.run(flow(nodes, graphs=graphs, outputs={"out": "j"}))["out"].text == "ab c"


# --- fold -----------------------------------------------------------------------------------------------------------

GROW = {
    "grow": {
        "nodes": {
            "base": box("toy.make", text="!"),
            "add": box("toy.add", b="@base"),
            "long": box("toy.long", thing="@add", enough=4),
        },
        "parameters": {"thing": {"to": ["add.a"]}},
        "outputs": {"thing": "add", "long": "long"},
    }
}


def folded(turns=10, until="long"):
    nodes = {
        "make": box("toy.make", text="a"),
        "fold": box("fold", thing="@make", _body="#grow", _max=turns, **({"_until": until} if until else {})),
        "up": box("toy.upper", thing="@fold.thing"),
    }
    return flow(nodes, graphs=GROW, outputs={"out": "up"})


@pytest.mark.parametrize("limit", [0, 2**20])
def test_a_fold_goes_on_until_it_is_told_to_stop(make_session, limit):
    session = make_session(limit)
    result = session.run(folded())
    assert result.state == "succeeded" and result["out"].text == "A!!!"
    assert {path for path in result.ran if path.endswith("add")} == {f"fold/{turn}/add" for turn in range(3)}


def test_a_fold_stops_at_its_limit(session):
    assert session.run(folded(2))["out"].text == "A!!"
    assert session.run(folded(3, until=""))["out"].text == "A!!!"


def test_a_fold_run_again_runs_nothing(session):
    session.run(folded())
    assert session.run(folded()).ran == []


def test_more_turns_go_on_from_those_that_were_made(session):
    session.run(folded(2, until=""))
    result = session.run(folded(3, until=""))
    assert [path for path in result.ran if path.endswith("add")] == ["fold/2/add"]


# --- targets, seconds, limits ---------------------------------------------------------------------------------------


def test_by_default_effects_and_outputs_are_the_targets_and_without_any_every_end(session):
    ends = flow({"a": box("toy.make"), "b": box("toy.upper", thing="@a"), "c": box("toy.weigh", thing="@a")})
    assert session.run(ends).ran == ["a", "b", "c"]
    one = flow({"a": box("toy.make", text="q"), "b": box("toy.upper", thing="@a"), "c": box("toy.weigh", thing="@a")})
    assert session.run(one, targets=["b"]).ran == ["a", "b"]
    assert session.run(one, targets=["c.out"]).ran == ["c"]
    with pytest.raises(WeftError):
        session.run(one, targets=["c.wrong"])


def test_what_no_target_needs_is_not_even_looked_at(session):
    nodes = {"a": box("toy.make"), "bad": box("toy.greedy", thing="@a"), "b": box("toy.upper", thing="@a")}
    assert set(statuses(session.plan(flow(nodes, outputs={"out": "b"})))) == {"a", "b"}


def test_seconds_are_predicted_from_runs_before_by_the_work_to_do(session):
    nodes = {"m": box("toy.make"), "w": box("toy.walk", thing="@m", steps=4)}
    work = flow(nodes, outputs={"out": "w"})
    assert session.plan(work).seconds is None
    session.run(work)
    records, frontier = session.engine.records, None
    plan = session.plan(work, {"m.text": "other", "w.steps": 8})
    row = next(row for row in plan.steps if row.path == "w")
    half = next(r for r in session.plan(work, {"m.text": "other"}).steps if r.path == "w")
    assert frontier is None and records is not None
    assert row.seconds == pytest.approx(2 * half.seconds)
    assert plan.seconds == pytest.approx(sum(r.seconds for r in plan.steps))


def test_memory_is_predicted_from_runs_before_and_a_plan_needs_as_much_as_its_largest_step(session):
    nodes = {"m": box("toy.make"), "w": box("toy.walk", thing="@m", steps=4)}
    work = flow(nodes, outputs={"out": "w"})
    assert session.plan(work).memory is None
    session.run(work)
    plan = session.plan(work, {"m.text": "other"})
    measured = [row.memory for row in plan.steps if row.memory]
    if session.engine.memory.device("cpu").peak() is not None:
        assert len(measured) >= 1 and min(measured) > 10_000_000
    assert plan.memory == max(measured, default=None) == plan.to_json()["memory"]


def test_a_fingerprint_is_part_of_the_key_and_its_failure_an_error(session):
    work = flow({"s": box("toy.stamp", name="t")}, outputs={"out": "s"})
    assert session.run(work)["out"].text == "t0"
    assert session.run(work).ran == []
    toys.STAMP["now"] = 1
    assert session.run(work)["out"].text == "t1"
    toys.STAMP["now"] = "broken"
    with pytest.raises(WeftError) as wrong:
        session.run(work)
    assert wrong.value.problem.where.path == "s" and "the clock is gone" in str(wrong.value)


def test_a_fingerprint_has_a_deadline(session, monkeypatch):
    monkeypatch.setattr("engine.plan.asking.FINGERPRINT_SECONDS", 0.05)
    toys.STAMP["now"] = "hanging"
    with pytest.raises(WeftError, match=r"'toy.stamp' did not say within 0.05 s") as wrong:
        session.run(flow({"s": box("toy.stamp", name="t")}, outputs={"out": "s"}))
    assert wrong.value.problem.where.path == "s"
    gate("stamp").open.set()


def test_a_file_is_known_by_its_content(session):
    folder = session.engine.places.input
    folder.mkdir(parents=True)
    (folder / "one.txt").write_text("1")
    (folder / "two.txt").write_text("1")
    work = flow({"r": box("toy.read", name="one.txt"), "u": box("toy.upper", thing="@r")}, outputs={"out": "u"})
    session.run(work)
    (folder / "one.txt").write_text("22")
    assert session.run(work)["out"].text == "22"
    with pytest.raises(WeftError) as wrong:
        session.run(work, {"r.name": "three.txt"})
    assert (wrong.value.code, wrong.value.problem.where.socket) == ("media.missing", "name")


def test_a_wired_value_is_held_to_the_same_limits_as_a_typed_one(session):
    nodes = {
        "make": box("toy.make", text="a" * 101),
        "length": box("toy.length", thing="@make"),
        "again": box("toy.repeat", thing="@make", count="@length"),
    }
    result = session.run(flow(nodes, outputs={"out": "again"}))
    assert [(p.code, p.where.path, p.where.socket) for p in result.problems] == [("graph.value", "again", "count")]
    assert "at most 100" in result.problems[0].message


def test_a_thousand_steps_are_planned_without_recursion(session):
    nodes = {"x0": box("toy.make")}
    nodes |= {f"x{i}": box("toy.weigh", thing=f"@x{i - 1}") for i in range(1, 5000)}
    graph = session.prepare(flow(nodes, outputs={"out": "x4999"}))[1]
    frontier = Frontier(graph, session.engine.setting())
    assert frontier.snapshot().count("run") == 5000


def test_a_plan_is_plain_data(session):
    import json

    plan = session.plan(flow(COUNTED))
    record = json.loads(json.dumps(plan.to_json()))
    assert record["steps"][0] == {"path": "make", "node": "toy.make", "status": "run", "why": "new"}


def test_a_loop_that_unfolds_too_far_is_stopped(session, monkeypatch):
    monkeypatch.setattr("engine.plan.forward.MAX_UNFOLDED", 5)
    with pytest.raises(WeftError) as wrong:
        session.run(mapped([str(index) for index in range(9)]))
    assert wrong.value.code == "run.limit"


def test_a_running_job_does_not_disturb_a_plan(session):
    job = session.submit(flow({"m": box("toy.make"), "g": box("toy.gate", thing="@m")}, outputs={"out": "g"}))
    assert gate("gate").reached.wait(10)
    plan = session.plan(flow({"m": box("toy.make"), "u": box("toy.upper", thing="@m")}, outputs={"out": "u"}))
    assert statuses(plan) == {"m": "hit", "u": "run"}
    gate("gate").open.set()
    assert job.wait(5)


@pytest.mark.parametrize("wrong", [ValueError("no such thing"), float("nan"), -1.0], ids=str)
def test_a_rule_that_only_predicts_seconds_never_stops_a_run(session, monkeypatch, wrong):
    def rule(**inputs):
        if isinstance(wrong, Exception):
            raise wrong
        return wrong

    monkeypatch.setattr(toys, "walk_work", rule)
    work = flow({"m": box("toy.make"), "w": box("toy.walk", thing="@m")}, outputs={"out": "w"})
    assert session.run(work).state == "succeeded"
    planned = session.plan(work, {"w.bend": 1}).seconds
    assert planned is not None and 0 <= planned < 60


def test_what_only_some_items_of_a_map_deserve_is_not_told():
    def lint(path):
        return Problem("lint.x", "so", Where(path=path, socket="s"), Mend("do", ({"set": "s", "value": 1},)), "lint")

    assert told([lint("a")], {"each": 2}) == (lint("a"),)
    assert told([lint("each/0/a")], {"each": 2}) == ()
    (once,) = told([lint("each/0/a"), lint("each/1/a")], {"each": 2})
    assert once.where.path == "each/0/a" and once.mend == Mend("do")
    nested = {"rows": 2, "rows/0/cells": 2, "rows/1/cells": 2}
    corner = [lint("rows/0/cells/0/a"), lint("rows/1/cells/0/a")]  # the first of every row: one end of an axis
    assert told(corner, nested) == ()
    assert len(told([*corner, lint("rows/0/cells/1/a"), lint("rows/1/cells/1/a")], nested)) == 1
