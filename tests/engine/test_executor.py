"""The executor: skip what is known, run the rest in lanes, tell the diary, give everything back."""

import threading
import time
from dataclasses import dataclass

import pytest

from engine.errors import WeftError
from engine.events import (
    TERMINAL,
    AlreadySaved,
    JobFinished,
    MemoryHeld,
    Planned,
    Saved,
    StepBlocked,
    StepFailed,
    StepFinished,
    StepHit,
    StepPreview,
    StepProgress,
    StepRetried,
    StepShown,
    StepStarted,
    happened,
    ran,
)
from engine.executor import Execution, Order
from engine.graph import bind
from engine.memory import Memory
from engine.node import node
from engine.run import Run
from tests.engine import toys
from tests.engine.fakes import FakeDevice, fake_memory, gate
from tests.engine.flows import box, flow
from tests.engine.toys import Thing


def the(kind, events):
    return [event for event in events if isinstance(event, kind)]


CHAIN = {
    "make": box("toy.make", text="ab"),
    "upper": box("toy.upper", thing="@make"),
    "weigh": box("toy.weigh", thing="@upper", weight=2),
}


def test_what_was_made_is_a_hit_and_only_what_follows_a_change_runs(session):
    work = flow(CHAIN, outputs={"out": "weigh"})
    assert session.run(work).ran == ["make", "upper", "weigh"]
    again = session.run(work)
    assert again.ran == [] and again["out"].text == "AB*2"
    assert [event.path for event in the(StepHit, again.events)] == ["weigh"]
    assert session.run(work, {"weigh.weight": 3}).ran == ["weigh"]


def test_without_any_budget_everything_works_and_nothing_is_reused(make_session):
    session = make_session(0)
    work = flow({**CHAIN, "both": box("toy.join", things=["@make", "@weigh"])}, outputs={"out": "both"})
    for _ in range(2):
        result = session.run(work)
        assert result.ran == ["both", "make", "upper", "weigh"]
        assert result["out"].text == "abAB*2"
    assert len(session.engine.cache) == 0


def test_a_failure_blocks_its_descendants_only_and_the_job_is_partial(session):
    work = flow(
        {
            "make": box("toy.make"),
            "bad": box("toy.fail", thing="@make", message="no luck today"),
            "after": box("toy.upper", thing="@bad"),
            "last": box("toy.weigh", thing="@after"),
            "good": box("toy.upper", thing="@make"),
            "save": box("toy.save", thing="@good"),
        },
        outputs={"good": "good", "last": "last"},
    )
    result = session.run(work)
    assert result.state == "partial"
    assert result.ran == ["bad", "good", "make", "save"]
    assert [(e.path, e.problem.code) for e in the(StepFailed, result.events)] == [("bad", "node.raised")]
    assert [(e.path, e.by) for e in the(StepBlocked, result.events)] == [("after", "bad"), ("last", "bad")]
    assert set(result.outputs) == {"good"} and result["good"].text == "A"
    problem = result.problems[0]
    assert "no luck today" in problem.message and problem.where.path == "bad"
    assert "thing: Thing" in problem.report and "ValueError" in problem.report


def test_a_job_in_which_nothing_arrived_has_failed(session):
    work = flow({"make": box("toy.make"), "bad": box("toy.fail", thing="@make")}, outputs={"out": "bad"})
    result = session.run(work)
    assert result.state == "failed" and result.outputs == {}


def test_a_refusal_names_node_socket_and_next_step(session):
    work = flow({"make": box("toy.make"), "no": box("toy.refuse", thing="@make")}, outputs={"out": "no"})
    problem = session.run(work).problems[0]
    assert problem.line() == "no.thing: this thing is too odd -> wire an even one"
    assert problem.code == "node.refused" and problem.report is None


@pytest.mark.parametrize(
    "nodes",
    [
        CHAIN,
        {"make": box("toy.make"), "bad": box("toy.fail", thing="@make")},
        {"read": box("toy.read", name="missing.txt"), "up": box("toy.upper", thing="@read"), "x": box("toy.make")},
        {"make": box("toy.make"), "long": box("toy.length", thing="@make"), "n": box("toy.double", value="@long")},
    ],
)
def test_every_job_ends_with_exactly_one_terminal_event(session, nodes):
    diary = session.run(flow(nodes, outputs={n: n for n in list(nodes)[-1:]})).events
    assert [type(event) for event in diary].count(JobFinished) == 1
    assert isinstance(diary[-1], JobFinished) and diary[-1].state in TERMINAL


def test_all_leases_are_given_back(session):
    work = flow({**CHAIN, "bad": box("toy.fail", thing="@upper")}, outputs={"out": "weigh"})
    session.run(work)
    session.run(work, {"make.text": "other"})
    budget = session.engine.memory.budget("cpu")
    assert budget.residents and all(resident.in_use == 0 for resident in budget.residents.values())


# --- cancel ----------------------------------------------------------------------------------------------------------


def test_cancel_takes_effect_within_a_step_and_keeps_what_is_finished(session):
    work = flow(
        {"make": box("toy.make"), "gate": box("toy.gate", thing="@make"), "up": box("toy.upper", thing="@gate")},
        outputs={"out": "up"},
    )
    job = session.submit(work)
    assert gate("gate").reached.wait(10)
    job.cancel()
    assert job.wait(5)
    diary = job.result().events
    assert happened(diary)[-2:] == ["step_cancelled gate", "job_finished"]
    assert diary[-1].state == "cancelled"
    assert gate("gate").passed == 0
    job.close()
    assert session.plan(work, targets=["make"]).steps[0].status == "hit"


def test_cancel_reaches_a_step_that_waits_for_the_device(session):
    first = session.submit(flow({"m": box("toy.make"), "g": box("toy.gate", thing="@m", name="one")}))
    assert gate("one").reached.wait(10)
    second = session.submit(flow({"m": box("toy.make", text="second")}))
    time.sleep(0.1)  # it queues behind the first
    second.cancel()
    assert second.wait(5), "a cancelled job waits for another job's step"
    assert second.state == "cancelled" and ran(second.diary) == []
    gate("one").open.set()
    assert first.wait(5) and first.state == "succeeded"


def test_closing_the_generator_cancels(session):
    work = flow({"make": box("toy.make"), "gate": box("toy.gate", thing="@make")}, outputs={"out": "gate"})
    order = Order(job="j")
    execution = Execution(session.engine, bind(work, session.engine.registry), order)
    events = execution.events()
    for event in events:
        if isinstance(event, StepStarted) and event.path == "gate":
            break
    events.close()
    assert order.cancel.is_set()
    execution.release()


# --- one flight for two jobs -----------------------------------------------------------------------------------------


def shared_work(tail):
    nodes = {"make": box("toy.make"), "gate": box("toy.gate", thing="@make"), "tail": box(tail, thing="@gate")}
    return flow(nodes, outputs={"out": "tail"})


def test_what_two_jobs_need_is_computed_once(session):
    one, two = session.submit(shared_work("toy.upper")), session.submit(shared_work("toy.weigh"))
    assert gate("gate").reached.wait(10)
    time.sleep(0.1)
    gate("gate").open.set()
    assert one.result()["out"].text == "A|" and two.result()["out"].text == "a|*1"
    assert gate("gate").passed == 1
    hits = [(e.path, e.shared) for job in (one, two) for e in the(StepHit, job.diary) if e.path == "gate"]
    assert hits == [("gate", True)]


def test_a_shared_step_goes_on_when_one_job_cancels_and_stops_with_the_last(session):
    one, two = session.submit(shared_work("toy.upper")), session.submit(shared_work("toy.weigh"))
    assert gate("gate").reached.wait(10)
    time.sleep(0.1)
    one.cancel()
    assert one.wait(5) and one.state == "cancelled"
    assert not two.finished
    two.cancel()
    assert two.wait(5) and two.state == "cancelled"
    assert gate("gate").passed == 0


def test_the_job_that_joined_gets_the_value_when_the_one_that_began_cancels(session):
    one, two = session.submit(shared_work("toy.upper")), session.submit(shared_work("toy.weigh"))
    assert gate("gate").reached.wait(10)
    time.sleep(0.1)
    one.cancel()
    assert one.wait(5)
    gate("gate").open.set()
    assert two.result()["out"].text == "a|*1"
    assert gate("gate").passed == 1


def test_a_queued_job_reuses_what_the_job_before_it_made(make_session):
    session = make_session(jobs=1)
    work = flow({"make": box("toy.make"), "gate": box("toy.gate", thing="@make")}, outputs={"out": "gate"})
    one, two = session.submit(work), session.submit(work)
    assert gate("gate").reached.wait(10)
    gate("gate").open.set()
    assert one.wait(10) and two.wait(10)
    assert ran(one.diary) == ["gate", "make"] and ran(two.diary) == []
    assert two.result()["out"].text == "a|"


# --- what may not be reused ------------------------------------------------------------------------------------------


def test_a_volatile_node_never_reuses_and_what_follows_follows(session):
    work = flow(
        {"make": box("toy.make"), "new": box("toy.volatile", thing="@make"), "up": box("toy.upper", thing="@new")},
        outputs={"out": "up"},
    )
    assert session.run(work)["out"].text == "A#1"
    second = session.run(work)
    assert second["out"].text == "A#2" and second.ran == ["new", "up"]


def test_an_effect_is_not_repeated_while_its_file_is_in_place(session):
    work = flow({"make": box("toy.make"), "save": box("toy.save", thing="@make")})
    first = session.run(work)
    assert [event.files for event in the(Saved, first.events)] == [tuple(first.files)]
    assert session.run(work).ran == [] and toys.COUNT["save"] == 1
    # Gone, or changed by another hand: written again.
    file = session.engine.places.output / "thing-1.txt"
    file.write_text("scribble")
    assert session.run(work).ran == ["save"]
    (session.engine.places.output / "thing-2.txt").unlink()
    assert session.run(work).ran == ["save"]
    # Another name is another file, of the same content.
    assert session.run(work, {"save.name": "other"}).ran == ["save"]
    # And on demand.
    assert session.run(work, again=True).ran == ["save"]
    assert session.run(work).ran == []


def test_the_diary_says_which_files_were_found_in_place(session):
    work = flow({"make": box("toy.make"), "save": box("toy.save", thing="@make")})
    files = tuple(session.run(work).files)
    assert files and [event.files for event in the(AlreadySaved, session.run(work).events)] == [files]


# --- memory ----------------------------------------------------------------------------------------------------------


def test_out_of_memory_evicts_everything_idle_and_tries_once_more(make_session):
    memory, device = fake_memory(10_000)
    session = make_session(memory=memory)
    session.run(flow({"old": box("toy.make", text="old", size=6_000)}, outputs={"out": "old"}))
    work = flow({"m": box("toy.make"), "hog": box("toy.hog", thing="@m", count=8_000)}, outputs={"out": "hog"})
    result = session.run(work)
    assert result.state == "succeeded" and result["out"].text == "ah"
    retried = the(StepRetried, result.events)
    assert [event.path for event in retried] == ["hog"]
    assert retried[0].freed >= 6_000 and not retried[0].numerics_changed
    assert device.refused == 1 and device.releases == 1


def test_what_never_fits_is_an_error_of_the_step_that_says_so(make_session):
    memory, device = fake_memory(10_000)
    session = make_session(memory=memory)
    work = flow({"m": box("toy.make"), "hog": box("toy.hog", thing="@m", count=20_000)}, outputs={"out": "hog"})
    result = session.run(work)
    assert result.state == "failed" and device.refused == 2
    problem = result.problems[0]
    assert (problem.code, problem.where.path) == ("device.memory", "hog")
    assert problem.mend and "smaller" in problem.mend.text


def lean(count):
    nodes = {
        "m": box("toy.make"),
        "lean": box("toy.lean", thing="@m", count=count),
        "u": box("toy.upper", thing="@lean"),
    }
    return flow(nodes, outputs={"out": "u"})


def test_what_fits_only_with_other_bits_is_done_under_a_key_of_its_own_and_says_so(make_session):
    """The mildest way that fits; what follows has other ids too, so nothing inexact is found under an exact name."""
    session = make_session(memory=fake_memory(10_000)[0])
    result = session.run(lean(70_000))
    assert result.state == "succeeded" and result["out"].text == "A8750"
    told = the(StepRetried, result.events)
    changed = [event.how for event in told if event.numerics_changed]
    assert changed == [
        "with halves, which changes the result slightly",
        "with crumbs, which changes the result slightly",
    ]
    assert the(StepFailed, result.events) == [] and len(the(Planned, result.events)) == 1
    assert ran(result.events) == ["lean", "m", "u"]
    start = [event.why for event in the(StepStarted, result.events) if event.path == "lean"][-1]
    assert "halves and crumbs, because it did not fit" in start
    exact = make_session(memory=fake_memory(10**6)[0]).run(lean(70_000))
    assert exact["out"].text == "A70000"
    assert the(JobFinished, exact.events)[0].outputs["out"] != the(JobFinished, result.events)[0].outputs["out"]


def test_what_was_found_too_large_once_is_planned_leaner_from_then_on(make_session):
    memory, device = fake_memory(10_000)
    session = make_session(memory=memory)
    session.run(lean(15_000))
    refused = device.refused
    assert session.run(lean(15_000)).ran == []
    session.engine.cache.clear()
    assert session.run(lean(15_000))["out"].text == "A7500" and device.refused == refused
    assert session.run(lean(5_000))["out"].text == "A5000"


def test_exact_means_that_a_step_rather_fails(make_session, monkeypatch):
    monkeypatch.setenv("WEFT_EXACT", "1")
    session = make_session(memory=fake_memory(10_000)[0])
    result = session.run(lean(15_000))
    assert result.state == "failed" and result.problems[0].code == "device.memory"


def test_what_does_not_fit_in_any_way_fails_once(make_session):
    session = make_session(memory=fake_memory(100)[0])
    result = session.run(lean(70_000))
    assert [event.path for event in the(StepFailed, result.events)] == ["lean"] and result.state == "failed"


def test_weights_come_in_parts_before_bits_change(make_session):
    """On a device, the rungs of the ladder: evict, blocks, layers; only then another way."""
    from engine.numerics import Numerics

    class Parts(FakeDevice):
        def allocate(self, count):
            ways.append(memory._at_least.get("gpu", "whole"))
            super().allocate(count)

    ways = []
    device = Parts(10_000, "gpu")
    memory = Memory({"gpu": 10_000, "cpu": 10**6}, {"gpu": device})
    device.memory = memory
    session = make_session(memory=memory, numerics=Numerics("gpu", threads=1))
    result = session.run(lean(15_000))
    assert result.state == "succeeded" and ways == ["whole", "whole", "blocks", "layers", "whole"]
    assert [event.how for event in the(StepRetried, result.events)] == [
        "evicted everything idle",
        "weights come in blocks",
        "weights come in layers",
        "with halves, which changes the result slightly",
    ]


def test_a_nested_run_makes_do_with_less_too(make_session):
    session = make_session(memory=fake_memory(10_000)[0])
    nested = box("toy.nested", thing="@m", kind="toy.lean", count=15_000)
    result = session.run(flow({"m": box("toy.make"), "n": nested}, outputs={"out": "n"}))
    assert result["out"].text == "a7500"
    assert [event.path for event in the(StepRetried, result.events) if event.numerics_changed] == ["n/x0"]


def test_a_value_is_let_go_after_its_last_reader(make_session):
    session = make_session(0)
    nodes = {"x0": box("toy.make", size=1000)}
    nodes |= {f"x{i}": box("toy.upper", thing=f"@x{i - 1}") for i in range(1, 8)}
    work = flow(nodes, outputs={"out": "x7"})
    execution = Execution(session.engine, bind(work, session.engine.registry), Order(job="j"))
    seen = [len(execution.values) for event in execution.events() if isinstance(event, StepFinished)]
    assert max(seen) <= 3
    execution.release()


# --- lanes -----------------------------------------------------------------------------------------------------------


def test_a_save_overlaps_the_device(session):
    """While a file is written, the next picture is made."""
    work = flow(
        {
            "a": box("toy.make", text="a"),
            "io": box("toy.iogate", thing="@a", name="io"),
            "b": box("toy.make", text="b"),
            "dev": box("toy.gate", thing="@b", name="device"),
        },
        outputs={"io": "io", "dev": "dev"},
    )
    job = session.submit(work)
    assert gate("io").reached.wait(10) and gate("device").reached.wait(10)
    for name in ("io", "device"):
        gate(name).open.set()
    assert job.wait(5) and job.state == "succeeded"


def test_the_device_does_one_step_at_a_time(session):
    nodes = {f"m{i}": box("toy.make", text=str(i)) for i in range(2)}
    nodes |= {f"g{i}": box("toy.gate", thing=f"@m{i}", name=f"g{i}") for i in range(2)}
    job = session.submit(flow(nodes, outputs={"a": "g0", "b": "g1"}))
    assert gate("g0").reached.wait(10)
    assert not gate("g1").reached.wait(0.2)
    gate("g0").open.set()
    gate("g1").open.set()
    assert job.wait(5) and job.state == "succeeded"


def test_nodes_that_are_awaited_run_in_the_io_lane(session):
    work = flow({"m": box("toy.make"), "x": box("toy.async", thing="@m")}, outputs={"out": "x"})
    assert session.run(work)["out"].text == "a~"


# --- nested ----------------------------------------------------------------------------------------------------------


def test_a_nested_run_goes_through_the_engine_and_is_told_under_its_step(session):
    work = flow({"m": box("toy.make"), "n": box("toy.nested", thing="@m", turns=2)}, outputs={"out": "n"})
    result = session.run(work)
    assert result["out"].text == "A"
    assert result.ran == ["m", "n", "n/x0", "n/x1"]
    # Its inner steps are values like any other: another node that nests the same finds them.
    more = session.run(work, {"n.turns": 3})
    assert more.ran == ["n", "n/x2"]


def test_a_node_that_nests_itself_for_ever_is_stopped(session):
    work = flow({"m": box("toy.make"), "n": box("toy.forever", thing="@m")}, outputs={"out": "n"})
    result = session.run(work)
    assert result.state == "failed" and result.problems[0].code == "run.limit"


# --- services --------------------------------------------------------------------------------------------------------


def test_progress_and_previews_are_volatile_and_what_is_shown_can_be_fetched(session):
    work = flow({"m": box("toy.make"), "w": box("toy.watch", thing="@m")}, outputs={"out": "w"})
    seen = []
    result = session.run(work, on_event=seen.append)
    assert [(e.done, e.total) for e in the(StepProgress, seen)] == [(1, 3), (2, 3), (3, 3)]
    assert [e.picture() for e in the(StepPreview, seen)] == ["picture 0", "picture 1", "picture 2"]
    assert not the(StepPreview, result.events) and not the(StepProgress, result.events)
    shown = the(StepShown, result.events)
    assert session.fetch(shown[0].id).text == "a"


def test_nobody_watches_so_no_preview_is_even_offered(session):
    work = flow({"m": box("toy.make"), "w": box("toy.watch", thing="@m")}, outputs={"out": "w"})
    order = Order(job="j", watched=lambda: False)
    execution = Execution(session.engine, bind(work, session.engine.registry), order)
    assert not the(StepPreview, list(execution.events()))
    execution.release()


def test_a_stepped_node_goes_on_from_the_step_that_differs(session):
    work = flow({"m": box("toy.make"), "w": box("toy.walk", thing="@m", steps=5)}, outputs={"out": "w"})
    assert session.run(work)["out"].text == "a 0 1 2 3 4"
    result = session.run(work, {"w.bend": 1})
    started = next(e for e in the(StepStarted, result.events) if e.path == "w")
    assert (started.resumed, started.steps) == (2, 5)
    assert result["out"].text == "a 0 1 2b 3b 4b" and toys.COUNT["walked"] == 5 + 3
    plan = next(row for row in session.plan(work, {"w.bend": 2}).steps if row.path == "w")
    assert (plan.status, plan.resumed, plan.steps) == ("run", 2, 5)


# --- what a node does wrong ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "said"), [("toy.lie", "Thing"), ("toy.swap", "first, second")])
def test_a_node_that_lies_about_its_output_is_the_one_blamed(session, kind, said):
    work = flow(
        {"m": box("toy.make"), "liar": box(kind, thing="@m"), "after": box("toy.upper", thing="@liar.first")}
        if kind == "toy.swap"
        else {"m": box("toy.make"), "liar": box(kind, thing="@m"), "after": box("toy.upper", thing="@liar")},
        outputs={"out": "after"},
    )
    result = session.run(work)
    assert [(p.code, p.where.path) for p in result.problems] == [("node.returned", "liar")]
    assert said in result.problems[0].message


def test_a_node_that_writes_into_its_input_is_named_and_the_others_get_a_clean_value(session):
    work = flow(
        {
            "grid": box("toy.grid", value=1),
            "bad": box("toy.mutate", grid="@grid"),
            "late": box("toy.scale", grid="@grid"),
            "sum": box("toy.total", grid="@late"),
        },
        outputs={"bad": "bad", "sum": "sum"},
    )
    result = session.run(work)
    assert [(p.code, p.where.path, p.where.socket) for p in result.problems] == [("node.mutated", "bad", "grid")]
    assert result["sum"] == 8.0  # 4 * 1 * 2: not what `bad` made of it
    assert toys.COUNT["grid"] == 2
    # The cache holds no trace of it either.
    again = session.run(
        flow({"grid": box("toy.grid", value=1), "s": box("toy.total", grid="@grid")}, outputs={"s": "s"})
    )
    assert again["s"] == 4.0


def test_the_paranoid_engine_sees_what_version_counters_do_not(make_session):
    work = flow({"g": box("toy.grid"), "bad": box("toy.sneak", grid="@g")}, outputs={"out": "bad"})
    assert make_session().run(work).state == "succeeded"
    result = make_session(paranoid=True).run(work)
    assert [(p.code, p.where.socket) for p in result.problems] == [("node.mutated", "grid")]


def test_lints_are_told_and_do_not_block(session):
    result = session.run(flow({"l": box("toy.loud", volume=11)}, outputs={"out": "l"}))
    assert result.state == "succeeded"
    lint = next(e for e in result.events if e.kind == "linted")
    assert (lint.path, lint.problem.code) == ("l", "lint.loud")


def test_the_plan_that_was_told_is_the_plan_that_ran(session):
    work = flow(CHAIN, outputs={"out": "weigh"})
    told = the(Planned, session.run(work).events)[0]
    assert (told.hit, told.run, told.maybe) == (0, 3, 0)
    told = the(Planned, session.run(work, {"weigh.weight": 5}).events)[0]
    assert (told.hit, told.run, told.maybe) == (1, 1, 0)


def test_two_equal_nodes_are_one_computation(session):
    work = flow(
        {
            "a": box("toy.make", text="same"),
            "b": box("toy.make", text="same"),
            "c": box("toy.add", a="@a", b="@b"),
        },
        outputs={"out": "c"},
    )
    assert session.run(work)["out"].text == "samesame"
    assert toys.COUNT["make"] == 1


def test_a_job_on_another_thread_count_is_another_computation(session):
    import dataclasses

    work = flow({"m": box("toy.make")}, outputs={"out": "m"})
    session.run(work)
    other = dataclasses.replace(session.engine.numerics, threads=7)
    job = session.submit(work, numerics=other)
    assert job.wait(5) and ran(job.diary) == ["m"]


def test_an_unknown_target_is_refused_with_a_hint(session):
    with pytest.raises(WeftError) as wrong:
        session.run(flow(CHAIN), targets=["wiegh"])
    assert wrong.value.code == "graph.target" and "Did you mean 'weigh'?" in str(wrong.value)


def test_many_jobs_from_many_threads_end_well(make_session):
    session = make_session(jobs=4)
    results = []

    def go(index):
        nodes = {**CHAIN, "end": box("toy.weigh", thing="@weigh", weight=index % 3)}
        results.append(session.run(flow(nodes, outputs={"out": "end"}))["out"].text)

    threads = [threading.Thread(target=go, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(results) == sorted(f"AB*2*{index % 3}" for index in range(8))
    assert (toys.COUNT["make"], toys.COUNT["upper"]) == (1, 1)


def test_who_holds_memory_is_told_as_a_job_ends(session):
    events = []
    session.run(flow(CHAIN, outputs={"out": "weigh"}), on_event=events.append)
    held = the(MemoryHeld, events)
    assert [(event.device, event.used > 0, event.limit) for event in held] == [("cpu", True, 64 * 2**20)]
    assert {kind for kind, *_ in held[0].held} == {"value"} and held[0].peak >= held[0].used
    events.clear()
    session.run(flow(CHAIN, outputs={"out": "weigh"}), on_event=events.append)
    assert the(MemoryHeld, events) == []  # nothing ran


# --- what goes wrong around a step -----------------------------------------------------------------------------------


@node("toy.gateshow")
def gate_show(run: Run, thing: Thing) -> Thing:
    """Waits at the gate, then shows what it has."""
    gate("gate").wait(run.check)
    run.show(thing)
    return Thing(thing.text + "|")


def test_what_a_step_shows_after_the_job_that_began_it_has_left_is_held_by_nobody(make_session):
    session = make_session(registry=toys.registry(gate_show))
    work = {"make": box("toy.make"), "gate": box("toy.gateshow", thing="@make")}
    one, two = (
        session.submit(flow({**work, "tail": box(tail, thing="@gate")}, outputs={"out": "tail"}))
        for tail in ("toy.upper", "toy.weigh")
    )
    assert gate("gate").reached.wait(10)
    time.sleep(0.1)
    one.cancel()
    assert one.wait(5)
    one.close()
    gate("gate").open.set()
    assert two.result()["out"].text == "a|*1"
    two.close()
    residents = session.engine.memory.budget("cpu").residents
    assert [name for name, resident in residents.items() if resident.in_use] == []


@dataclass
class Strange(FakeDevice):
    """A device whose driver fails when it is asked for its peak."""

    def peak(self, reset: bool = False) -> int | None:
        raise RuntimeError("driver error 719")


def test_a_driver_that_fails_beside_the_step_is_an_error_of_the_step_and_nobody_waits_for_ever(make_session):
    memory = Memory({"cpu": 2**20}, {"cpu": Strange(2**20)})
    session = make_session(memory=memory)
    job = session.submit(flow({"make": box("toy.make")}, outputs={"out": "make"}))
    assert job.wait(10)
    assert [(p.where.path, "719" in p.message) for p in job.result().problems] == [("make", True)]


def test_a_state_that_cannot_be_taken_off_its_device_costs_that_state_and_keeps_nobody_waiting(
    make_session, monkeypatch
):
    """The host may have no pinned pages left, or the copy may fail as the device does."""
    from engine.executor import checkpoints

    monkeypatch.setattr(checkpoints, "device_of", lambda state: "fake:0")

    def leaving(state):
        def arrive():
            if state.index == 1:
                raise RuntimeError("out of pinned memory")
            return state

        return arrive

    monkeypatch.setattr(checkpoints, "leaving", leaving)
    session = make_session()
    job = session.submit(flow({"c": box("toy.climb")}, outputs={"out": "c"}))
    assert job.wait(20)
    assert job.result()["out"].text == "c 0 1 2 3 4 5"
    frontier = job.execution.frontier.lives["c"]
    known = [index for index, id in enumerate(frontier.checkpoints) if session.engine.cache.known(id)]
    assert known == [0, 2, 3, 4, 5]


def test_a_job_that_falls_as_it_joins_a_flight_leaves_no_flight_behind(make_session, monkeypatch):
    session = make_session()
    work = flow({"make": box("toy.make"), "up": box("toy.upper", thing="@make")}, outputs={"out": "up"})
    true_submit = session.engine.lanes.submit

    def broken(lane, device, do):
        raise RuntimeError("no more threads")

    monkeypatch.setattr(session.engine.lanes, "submit", broken)
    job = session.submit(work)
    assert job.wait(10) and job.state == "failed"
    assert session.engine.flights._open == {}
    monkeypatch.setattr(session.engine.lanes, "submit", true_submit)
    assert session.run(work)["out"].text == "A"


def test_who_follows_a_job_and_falls_does_not_take_it_along(session, caplog):
    def follower(event):
        raise ValueError("a watcher's own mistake")

    job = session.accept(flow({"make": box("toy.make")}, outputs={"out": "make"}))
    job.follower = follower
    session.begin(job)
    assert job.wait(10) and job.state == "succeeded"
    assert "a watcher's own mistake" in caplog.text


def test_what_is_named_by_its_content_lies_in_one_order_in_memory():
    """Or two values of one name could give other last bits to what follows, whichever was there first."""
    import torch

    from engine.executor.performing import as_given, by_content

    turned = torch.arange(6.0).reshape(2, 3).t()
    for found in (by_content([turned])[1], as_given(toys.Plan(turned))[1]):
        (value,) = found.values()
        assert value.is_contiguous() and torch.equal(value, turned)
