"""Together: variants in one job, whose steps share their work."""

import pytest

from engine.errors import WeftError
from engine.events import JobFinished, JobStarted, StepRetried
from engine.graph import bind, union
from engine.session.together import split
from tests.engine import choir, toys
from tests.engine.flows import box, flow


@pytest.fixture(autouse=True)
def _empty():
    choir.CHOIRS.clear()
    choir.ROOM["seats"] = 99


def song(**more):
    nodes = {"sing": box("toy.sing", **more), "after": box("toy.upper", thing="@sing")}
    return flow(nodes, outputs={"out": "after"}, parameters={"text": {"to": ["sing.text"]}})


def texts(results):
    return [result["out"].text if "out" in result.outputs else None for result in results]


VARIANTS = [{"text": text} for text in ("a", "b", "c", "d", "e")]


def test_steps_that_fit_run_at_once_and_everyone_gets_their_own(session):
    results = session.together(song(), VARIANTS)
    assert texts(results) == ["A~", "B~", "C~", "D~", "E~"]
    assert choir.CHOIRS == [["a", "b", "c", "d", "e"]]
    assert [result.state for result in results] == ["succeeded"] * 5
    assert [result.ran for result in results] == [["after", "sing"]] * 5


def test_no_more_at_once_than_asked_for(session):
    assert texts(session.together(song(), VARIANTS, size=2)) == ["A~", "B~", "C~", "D~", "E~"]
    assert choir.CHOIRS == [["a", "b"], ["c", "d"]]  # the fifth has nobody to sing with


def test_steps_that_do_not_fit_run_apart_and_those_that_never_do_alone(session):
    voices = ["alto", "bass", "alto", "solo", "bass"]
    results = session.together(song(), [{**one, "sing.voice": v} for one, v in zip(VARIANTS, voices, strict=True)])
    assert texts(results) == ["A~", "B~", "C~", "D~", "E~"]
    assert choir.CHOIRS == [["a", "c"], ["b", "e"]]


def test_a_step_waits_for_those_whose_inputs_are_still_being_made(session):
    nodes = {
        "word": box("toy.make", text="x"),
        "long": box("toy.length", thing="@word"),
        "weigh": box("toy.repeat", thing="@word", count="@long"),
        "sing": box("toy.sing"),
        "out": box("toy.add", a="@weigh", b="@sing"),
    }
    slow = {**nodes, "text": box("toy.seen", thing="@weigh"), "sing": box("toy.sing", text="@text")}
    work = flow(slow, outputs={"out": "out"})
    results = session.together(work, [{"word.text": text} for text in ("p", "qq", "rrr")])
    assert [result.state for result in results] == ["succeeded"] * 3
    assert [sorted(one) for one in choir.CHOIRS] == [["p", "qqqq", "rrrrrrrrr"]]


def test_what_is_made_together_is_kept_apart_from_what_is_made_alone(session):
    session.together(song(), VARIANTS[:2])
    assert session.run(song(), {"text": "a"}).ran == ["after", "sing"]
    again = session.together(song(), VARIANTS[:3])
    assert [result.ran for result in again] == [[], [], ["after", "sing"]]
    assert toys.COUNT["sung"] == 2 + 1 + 1


def test_one_that_runs_alone_has_the_ids_it_always_has(session):
    session.together(song(voice="solo"), VARIANTS[:2])
    assert session.run(song(voice="solo"), {"text": "a"}).ran == []


def test_a_failure_is_of_its_own_variant_alone(session):
    results = session.together(song(wrong="b"), VARIANTS[:3])
    assert texts(results) == ["A~", None, "C~"]
    assert [result.state for result in results] == ["succeeded", "failed", "succeeded"]
    assert [(p.code, p.where.path) for p in results[1].problems] == [("node.raised", "sing")]
    assert results[0].problems == ()
    last = results[1].events[-1]
    assert isinstance(last, JobFinished)
    assert (last.state, last.problems) == ("failed", results[1].problems)


def test_when_so_many_do_not_fit_into_memory_half_of_them_are_tried(session):
    choir.ROOM["seats"] = 2
    results = session.together(song(), VARIANTS[:4])
    assert texts(results) == ["A~", "B~", "C~", "D~"]
    assert choir.CHOIRS == [["a", "b", "c", "d"], ["a", "b"], ["c", "d"]]
    assert all(any(isinstance(event, StepRetried) for event in result.events) for result in results)


def test_equal_variants_are_one_computation(session):
    results = session.together(song(), [VARIANTS[0], VARIANTS[0], VARIANTS[1]])
    assert texts(results) == ["A~", "A~", "B~"]
    assert toys.COUNT["sung"] == 2


def test_each_variant_draws_its_own_random_seed_and_is_told_which(session):
    work = flow({"s": box("toy.seeded", seed="random")}, outputs={"out": "s"})
    results = session.together(work, [{}, {}])
    drawn = [next(e for e in result.events if isinstance(e, JobStarted)).drawn["s.seed"] for result in results]
    assert texts(results) == [str(seed) for seed in drawn]
    assert drawn[0] != drawn[1]


def test_each_saves_with_the_values_it_ran_with(session, home):
    nodes = {"sing": box("toy.sing"), "save": box("toy.papers", thing="@sing")}
    work = flow(nodes, parameters={"text": {"to": ["sing.text"]}})
    results = session.together(work, VARIANTS[:2])
    assert [(home.output / result.files[0]).read_text() for result in results] == ["{'text': 'a'}", "{'text': 'b'}"]


def test_a_target_is_a_target_of_every_variant(session):
    assert [r.ran for r in session.together(song(), VARIANTS[:2], ["sing"])] == [["sing"], ["sing"]]


def test_a_cancel_ends_all_of_them(session):
    work = flow({"m": box("toy.make"), "g": box("toy.gate", thing="@m")}, outputs={"out": "g"})
    job = session.submit_together(work, [{"m.text": "a"}, {"m.text": "b"}])
    job.cancel()
    assert [result.state for result in split(job)] == ["cancelled", "cancelled"]


def test_what_is_wrong_with_a_variant_is_raised_before_anything_runs(session):
    with pytest.raises(WeftError):
        session.together(song(), [{"text": "a"}, {"sing.text": 5, "nothing": 3}])
    assert toys.COUNT.get("sung", 0) == 0


def test_graphs_beside_each_other_keep_their_wires_lists_and_names(registry):
    nodes = {
        "a": box("toy.make", text="x"),
        "j": box("toy.join", things=["@a", "@a"]),
        "n": box("toy.named", things={"p": "@a", "q": "@j"}),
    }
    graph = bind(flow(nodes, outputs={"out": "n"}), registry)
    both = union({"1": graph, "2": graph})
    assert list(both.steps) == ["1/a", "1/j", "1/n", "2/a", "2/j", "2/n"]
    assert both.readers["1/a"] == ("1/j", "1/n")
    assert both.descendants("2/a") == {"2/j", "2/n"}
    assert set(both.outputs) == {"1/out", "2/out"}
