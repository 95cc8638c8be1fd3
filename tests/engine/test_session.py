"""The session: several jobs, seeds drawn ahead, watchers, one base under two adapters."""

import threading
import time

import pytest

from engine.errors import WeftError
from engine.events import JobFinished, JobQueued, JobStarted, StepProgress, happened, ran
from engine.records import Records
from engine.session import JOBS_KEPT
from engine.session.turns import Turns
from engine.workflow import parse
from tests.engine import toys
from tests.engine.fakes import gate
from tests.engine.flows import box, flow

SEEDS = flow({"s": box("toy.seeded", seed="random")}, outputs={"out": "s"})
COUNTS = flow({"s": box("toy.seeded", seed="increment")}, outputs={"out": "s"})


def drawn(result):
    return next(event.drawn for event in result.events if isinstance(event, JobStarted))


# --- seeds ----------------------------------------------------------------------------------------------------------


def test_the_seed_that_the_plan_showed_is_the_one_that_runs(session):
    _, _, shown = session.prepare(SEEDS)
    assert session.prepare(SEEDS)[2] == shown  # looking twice draws nothing
    result = session.run(SEEDS)
    assert drawn(result) == shown and result["out"].text == str(shown["s.seed"])


def test_random_is_another_seed_each_time_and_each_can_be_run_again(session):
    first, second = session.run(SEEDS), session.run(SEEDS)
    assert drawn(first) != drawn(second)
    assert session.run(SEEDS, {"s.seed": drawn(first)["s.seed"]}).ran == []


def test_increment_counts_on_from_the_seed_before(session):
    first = drawn(session.run(COUNTS))["s.seed"]
    assert drawn(session.run(COUNTS))["s.seed"] == first + 1
    assert drawn(session.run(COUNTS))["s.seed"] == first + 2


def test_increment_counts_on_in_the_next_process(make_session, tmp_path):
    one = make_session(records=Records(tmp_path / "r.sqlite"))
    first = drawn(one.run(COUNTS))["s.seed"]
    one.close()
    two = make_session(records=Records(tmp_path / "r.sqlite"))
    assert drawn(two.run(COUNTS))["s.seed"] == first + 1


def test_the_largest_seed_is_followed_by_the_first(session):
    session.engine.records.set_seed("test", "s.seed", 2**64 - 1)
    assert drawn(session.run(COUNTS))["s.seed"] == 0


def test_what_one_parameter_feeds_gets_one_seed(session):
    nodes = {
        "a": box("toy.seeded", seed=1),
        "b": box("toy.seeded", seed=2),
        "c": box("toy.join", things=["@a", "@b"], glue=" "),
    }
    work = flow(nodes, parameters={"seed": {"to": ["a.seed", "b.seed"], "default": "random"}}, outputs={"out": "c"})
    first, second = session.run(work)["out"].text.split()
    assert first == second
    assert len(set(session.run(work)["out"].text.split())) == 1


def test_a_seed_inside_an_instance_or_a_body_is_drawn_too(session):
    inner = {
        "nodes": {"s": box("toy.seeded")},
        "parameters": {"seed": {"to": ["s.seed"], "default": "random"}},
        "outputs": {"thing": "s"},
    }
    nodes = {
        "given": box("#inner", seed="random"),
        "default": box("#inner"),
        "map": box("map", text=["x", "y"], _body="#each"),
        "j": box("toy.join", things=["@given.thing", "@default.thing"], glue=" "),
        "k": box("toy.join", things="@map.thing", glue=" "),
    }
    each = {
        "nodes": {"s": box("toy.seeded", seed="random"), "m": box("toy.make"), "a": box("toy.add", a="@s", b="@m")},
        "parameters": {"text": {"to": ["m.text"]}},
        "outputs": {"thing": "a"},
    }
    work = flow(nodes, graphs={"inner": inner, "each": each}, outputs={"j": "j", "k": "k"})
    result = session.run(work)
    seeds = drawn(result)
    assert set(seeds) == {"given.seed", "default.seed", "#each/s.seed"}
    assert result["j"].text == f"{seeds['given.seed']} {seeds['default.seed']}"
    assert result["k"].text == f"{seeds['#each/s.seed']}x {seeds['#each/s.seed']}y"


def test_graphs_that_contain_each_other_are_told_and_not_followed_for_ever(session):
    def around(other):
        nodes = {"i": box(f"#{other}"), "s": box("toy.seeded")}
        return {"nodes": nodes, "parameters": {"seed": {"to": ["i.seed"]}}, "outputs": {}}

    work = flow({"x": box("#a", seed="random")}, graphs={"a": around("b"), "b": around("a")})
    with pytest.raises(WeftError, match="contains itself"):
        session.run(work)


def test_a_refused_job_uses_no_seed_up(session):
    nodes = {"s": box("toy.seeded", seed="random"), "r": box("toy.read", name="gone.txt")}
    work = flow(nodes, outputs={"s": "s", "r": "r"})
    shown = session.prepare(work)[2]
    with pytest.raises(WeftError):
        session.run(work)
    assert session.prepare(work)[2] == shown


def test_seeds_reach_to_the_end_of_their_range(session):
    work = flow({"s": box("toy.seeded", seed=str(2**64 - 1))}, outputs={"out": "s"})
    assert session.run(work)["out"].text == "18446744073709551615"
    with pytest.raises(WeftError, match="at most 18446744073709551615"):
        session.run(work, {"s.seed": str(2**64)})


# --- jobs and watchers ----------------------------------------------------------------------------------------------


def test_a_job_is_queued_started_and_finished_in_this_order(session):
    result = session.run(flow({"m": box("toy.make")}, outputs={"out": "m"}))
    assert happened(result.events) == [
        "job_queued",
        "job_started",
        "planned",
        "step_started m",
        "step_finished m",
        "job_finished",
    ]
    assert len({event.job for event in result.events}) == 1


def test_what_is_wrong_with_the_file_is_raised_before_a_job_exists(session):
    text = '{"weft": 1, "nodes": {\n  "a": {"type": "toy.make", "inputs": {"texd": 1}}\n}}'
    with pytest.raises(WeftError) as wrong:
        session.submit(parse(text, "bad.json"))
    assert str(wrong.value).startswith("bad.json:2:40 a.texd: 'toy.make' has no input 'texd'. Did you mean 'text'?")
    assert session.jobs == {}


def test_who_comes_late_gets_the_diary_from_the_first_event(session):
    job = session.submit(flow({"m": box("toy.make")}, outputs={"out": "m"}))
    assert job.wait(5)
    assert list(job.events()) == job.diary
    assert [type(event) for event in (job.diary[0], job.diary[-1])] == [JobQueued, JobFinished]


def test_two_watchers_see_the_same_and_only_they_get_progress(session):
    work = flow({"m": box("toy.make"), "w": box("toy.watch", thing="@m"), "g": box("toy.gate", thing="@m")})
    job = session.submit(work)
    assert gate("gate").reached.wait(10)
    seen = [[], []]
    threads = [threading.Thread(target=lambda rows=rows: rows.extend(job.events())) for rows in seen]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    gate("gate").open.set()
    for thread in threads:
        thread.join(10)
    durable = [[event for event in rows if event.durable] for rows in seen]
    assert durable[0] == durable[1] == job.diary
    assert not [event for event in job.diary if isinstance(event, StepProgress)]
    assert not job.watched


def test_a_queued_job_that_is_cancelled_ends_at_once(make_session):
    session = make_session(jobs=1)
    first = session.submit(flow({"m": box("toy.make"), "g": box("toy.gate", thing="@m")}))
    assert gate("gate").reached.wait(10)
    second = session.submit(flow({"m": box("toy.make", text="never")}))
    second.cancel()
    assert second.finished and second.state == "cancelled"
    assert happened(second.diary) == ["job_queued", "job_finished"]
    gate("gate").open.set()
    assert first.wait(5) and first.state == "succeeded"
    time.sleep(0.05)
    assert happened(second.diary) == ["job_queued", "job_finished"]  # nobody carried it out after all


def test_the_session_ends_with_every_job_ended_and_every_lease_back(make_session):
    session = make_session()
    job = session.submit(flow({"m": box("toy.make"), "g": box("toy.gate", thing="@m")}))
    assert gate("gate").reached.wait(10)
    session.close()
    assert job.state == "cancelled"
    assert all(not resident.in_use for resident in session.engine.memory.budget("cpu").residents.values())


def test_old_jobs_are_forgotten(session):
    work = flow({"m": box("toy.make")}, outputs={"out": "m"})
    first = session.submit(work)
    first.wait(5)
    for _ in range(JOBS_KEPT + 5):
        session.run(work)
    assert len(session.jobs) <= JOBS_KEPT + 1 and first.id not in session.jobs


def test_a_finished_job_that_is_closed_holds_no_value(session):
    job = session.submit(flow({"m": box("toy.make", size=1000)}, outputs={"out": "m"}))
    assert job.result()["out"].text == "a"
    job.close()
    assert job.execution is None
    assert all(not r.in_use for r in session.engine.memory.budget("cpu").residents.values())


def test_a_parameter_that_is_not_there_is_refused_with_a_hint(session):
    work = flow({"m": box("toy.make")}, parameters={"words": {"to": ["m.text"]}}, outputs={"out": "m"})
    assert session.run(work, {"words": "hello"})["out"].text == "hello"
    with pytest.raises(WeftError, match=r"no parameter 'wrods'\. Did you mean 'words'"):
        session.run(work, {"wrods": "x"})
    required = flow({"m": box("toy.make")}, parameters={"words": {"to": ["m.text"], "required": True}})
    with pytest.raises(WeftError, match="'words' is required"):
        session.run(required)


def test_the_worker_seam_starts_watches_fetches_and_cancels(session):
    id = session.start(flow({"m": box("toy.make")}, outputs={"out": "m"}), None, {"parameters": {"m.text": "w"}})
    events = list(session.watch(id))
    name = events[-1].outputs["out"]
    assert session.known([name, "nothing.out"]) == [name]
    assert session.fetch(name).text == "w"
    with pytest.raises(KeyError):
        session.fetch("nothing.out")
    session.cancel(id)  # too late, and harmless
    assert session.jobs[id].state == "succeeded"
    assert "cpu" in session.memory()


def test_two_sessions_share_their_records_and_not_their_values(make_session, tmp_path):
    records = tmp_path / "records.sqlite"
    nodes = {"m": box("toy.make"), "l": box("toy.length", thing="@m"), "n": box("toy.repeat", thing="@m", count="@l")}
    one, two = make_session(records=Records(records)), make_session(records=Records(records))
    one.run(flow(nodes, outputs={"out": "n"}))
    assert two.run(flow(nodes, outputs={"out": "n"})).ran == ["m", "n"]  # the length is remembered


# --- one base, two adapters -----------------------------------------------------------------------------------------


def test_two_jobs_with_two_adapters_never_wear_each_others(session):
    jobs = [
        session.submit(flow({"w": box("toy.wear", adapter=name)}, outputs={"out": "w"})) for name in ("red", "blue")
    ]
    seen = [job.result()["out"].text for job in jobs]
    assert seen == ["[('red',)]", "[('blue',)]"]
    assert toys.COUNT["build base"] == 1  # one module for both
    assert [ran(job.diary) for job in jobs] == [["w"], ["w"]]


def test_names_that_are_no_unicode_are_run_and_remembered(session):
    """Half a surrogate pair, as some browsers type it, in a title, a node's name and a value."""
    work = parse(
        '{"weft": 1, "title": "\\ud800", "nodes": {"n\\udfff": {"type": "toy.make", "inputs": {"text": "\\ud83d"}}}}'
    )
    first = session.run(work)
    assert first.state == "succeeded", first.problems
    assert session.run(work, {"n\udfff.size": 3}).state == "succeeded"
    nodes = '{"s\\udfff": {"type": "toy.seeded", "inputs": {"seed": "increment"}}}'
    seeds = parse(f'{{"weft": 1, "title": "\\ud800", "nodes": {nodes}}}')
    one, two = (drawn(session.run(seeds))["s\udfff.seed"] for _ in range(2))
    assert two == one + 1


# --- turns -----------------------------------------------------------------------------------------------------------


class Queued:
    """As much of a job as a queue sees."""

    def __init__(self, name):
        self.name, self.finished = name, False


def order(turns, loaded, count):
    found = []
    for _ in range(count):
        job = turns.take(loaded)
        found.append(job.name if job else None)
    return found


def test_a_job_whose_models_are_loaded_goes_first():
    turns = Turns()
    for name, models in (("other", {"b"}), ("mine", {"a"}), ("both", {"a", "b"}), ("none", ())):
        turns.join(Queued(name), models)
    assert order(turns, {"a"}, 5) == ["mine", "other", "both", "none", None]


def test_no_job_is_passed_over_more_than_three_times():
    turns = Turns()
    turns.join(Queued("patient"), {"b"})
    for index in range(6):
        turns.join(Queued(f"quick {index}"), {"a"})
    assert order(turns, {"a"}, 5) == ["quick 0", "quick 1", "quick 2", "patient", "quick 3"]


def test_jobs_that_need_no_model_keep_their_order_and_finished_ones_are_left_out():
    turns = Turns()
    jobs = [Queued(f"job {index}") for index in range(3)]
    for job in jobs:
        turns.join(job, ())
    jobs[1].finished = True
    assert order(turns, (), 3) == ["job 0", "job 2", None]
