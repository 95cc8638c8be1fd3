"""Items that share their work: to whoever looks on they are items like any others."""

import time

import pytest

from engine.errors import WeftError
from engine.server.entry import Entry
from engine.server.line import Line
from engine.server.shapes import Batch
from engine.server.store import STARTS_LIMIT, ItemRow, Row
from tests.engine import toys
from tests.engine.fakes import gate
from tests.engine.flows import box
from tests.engine.server import rows
from tests.engine.server.painted import document, png
from tests.engine.server.test_items import watch
from tests.engine.server.test_restart import start

SEEDS = "rows.seed"


@pytest.fixture(autouse=True)
def _empty():
    rows.SHARED.clear()


def work(**inputs):
    nodes = {"rows": box("paint.rows", **{"seed": 40, **inputs}), "save": box("paint.save", picture="@rows")}
    return document(nodes, outputs={"image": "rows"})


def told(events):
    """What was told of each item, without when and how long, and in which order among the items."""
    kept = ("event", "path", "state", "output", "resumed", "steps", "set", "label")
    lines = [(event.get("item", -1), tuple((key, str(event[key])) for key in kept if key in event)) for event in events]
    return {item: [line for one, line in lines if one == item] for item, _ in lines}


def durable(events):
    return [event for event in events if event["event"] not in ("step_progress", "memory_held")]


def test_items_that_share_forwards_have_the_events_and_results_that_they_have_apart(weft, running):
    batch = Batch(3, SEEDS)
    shared = weft.submit(work(), batch=batch, together=3, again=True)
    shared_events = watch(weft, running, shared)
    assert rows.SHARED == [[40, 41, 42]]
    apart = weft.submit(work(), batch=batch, again=True)
    apart_events = watch(weft, running, apart)
    assert rows.SHARED == [[40, 41, 42]], "without the mode nothing is shared"
    assert toys.COUNT["rows"] == 2 * 3 * 4, "what was made together is not taken for what is made alone"
    assert told(durable(shared_events)) == told(durable(apart_events))
    started = [
        event["sharing"] for event in shared_events if event["event"] == "step_started" and event["path"] == "rows"
    ]
    assert started == [3, 3, 3]
    one, other = weft.job(shared.id), weft.job(apart.id)
    assert (one.state, one.together, other.together) == ("succeeded", 3, None)
    assert [item.outputs for item in one.items] == [item.outputs for item in other.items]
    assert [(item.set, item.label, item.state, item.files) for item in one.items] == [
        (item.set, item.label, item.state, item.files) for item in other.items
    ]


def test_progress_and_previews_are_of_their_item(weft, running):
    job = weft.submit(work(wait="show"), batch=Batch(2, SEEDS), together=2)
    for seed in (40, 41):
        assert gate(f"show {seed}").reached.wait(30)
    gate("show").open.set()
    events = watch(weft, running, job)
    assert {event["item"] for event in events if event["event"] == "step_progress"} <= {0, 1}
    assert weft.job(job.id).state == "succeeded"


def test_a_turn_takes_as_many_as_may_share_and_the_last_one_is_made_in_the_same_mode(weft):
    job = weft.wait(weft.submit(work(), batch=Batch(5, SEEDS), together=2).id)
    assert job.state == "succeeded" and sorted(rows.SHARED) == [[40, 41], [42, 43]]
    before = toys.COUNT["rows"]
    again = weft.wait(weft.submit(work(), batch=Batch(5, SEEDS), together=5).id)
    assert again.state == "succeeded" and toys.COUNT["rows"] == before, "also the fifth, which had nobody, is known"


def test_what_goes_wrong_with_one_goes_wrong_with_it_alone(weft):
    job = weft.wait(weft.submit(work(wrong=41), batch=Batch(3, SEEDS), together=3).id)
    assert [item.state for item in job.items] == ["succeeded", "failed", "succeeded"]
    assert job.state == "partial"
    assert "41 is wrong" in job.items[1].error.message and job.items[1].error.where.path == "rows"
    assert job.items[0].problems is None
    retried = weft.wait(weft.retry(job.id).id)
    assert (retried.together, [item.set for item in retried.items]) == (3, [{SEEDS: 41}])


def test_what_is_wrong_with_the_plan_of_one_is_told_of_it_alone(weft, home):
    home.input.mkdir(parents=True, exist_ok=True)
    png(home.input / "red.png", (8, 8), "red")
    nodes = {"open": box("paint.open", name="red.png"), "rows": box("paint.rows", seed=1)}
    told = [{"open.name": "red.png"}, {"open.name": "gone.png"}, {"open.name": "red.png", SEEDS: 2}]
    job = weft.wait(weft.submit(document(nodes, outputs={"a": "open", "b": "rows"}), rows=told, together=4).id)
    assert [item.state for item in job.items][::2] == ["succeeded"] * 2
    assert job.items[1].state in ("failed", "partial") and "gone.png" in job.items[1].error.message


def test_one_that_is_cancelled_ends_at_once_and_the_others_go_on(weft):
    job = weft.submit(work(wait="door"), batch=Batch(3, SEEDS), together=3)
    for seed in (40, 41, 42):
        assert gate(f"door {seed}").reached.wait(30)
    weft.cancel(job.id, [1])
    for _ in range(200):
        states = [item.state for item in weft.job(job.id).items]
        if states[1] == "cancelled":
            break
        gate("door").open.wait(0.02)
    assert states == ["running", "cancelled", "running"], "it does not wait for those it shared with"
    gate("door").open.set()
    done = weft.wait(job.id)
    assert [item.state for item in done.items] == ["succeeded", "cancelled", "succeeded"]
    assert done.items[0].outputs and not done.items[1].outputs


def test_a_job_that_is_cancelled_ends_with_all_of_its_items(weft):
    job = weft.submit(work(wait="shut"), batch=Batch(6, SEEDS), together=2)
    assert gate("shut").reached.wait(20)  # two turns are under way, a third waits
    weft.cancel(job.id)
    done = weft.wait(job.id)
    assert (done.state, [item.state for item in done.items]) == ("cancelled", ["cancelled"] * 6)


def test_a_cull_shares_and_so_does_what_is_finished_of_it(weft):
    job = weft.wait(weft.submit(work(), batch=Batch(4, SEEDS), stop={"rows": 1}, together=4).id)
    assert job.state == "succeeded" and toys.COUNT["rows"] == 4
    done = weft.wait(weft.finish(job.id, [1, 3]).id)
    assert done.state == "succeeded" and toys.COUNT["rows"] == 4 + 2 * 3, "two, for the three steps that are left"
    assert rows.SHARED == [[40, 41, 42, 43], [41, 43]]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"together": 1, "batch": Batch(2, SEEDS)}, "2 to 64 items"),
        ({"together": 65, "batch": Batch(2, SEEDS)}, "2 to 64 items"),
        ({"together": 4}, "jobs with items"),
    ],
)
def test_what_cannot_be_shared_is_refused(weft, more, words):
    with pytest.raises(WeftError, match=words) as caught:
        weft.submit(work(), **more)
    assert caught.value.code == "server.request"


def test_what_runs_when_the_process_is_killed_goes_on_together_where_it_was(tmp_path):
    process, weft = start(tmp_path, WITH_DISK="1")
    job = weft.submit(work(wait="file go"), batch=Batch(3, SEEDS), together=3)
    # Two states of each, written while the steps go on.
    while len([*(tmp_path / "cache").rglob("*.safetensors")]) < 6:
        time.sleep(0.02)
    process.kill()
    process.wait()
    weft.__exit__(None, None, None)
    process.stdout.close()
    (tmp_path / "input").mkdir(exist_ok=True)
    (tmp_path / "input" / "go").touch()
    process, weft = start(tmp_path, WITH_DISK="1")
    try:
        started = [
            event for event in weft.follow(job.id) if event["event"] == "step_started" and event["path"] == "rows"
        ]
        assert [(event["resumed"], event["sharing"]) for event in started] == [(2, 3)] * 3
        done = weft.wait(job.id)
        assert [item.state for item in done.items] == ["succeeded"] * 3
        assert [item.set for item in done.items] == [item.set for item in job.items]
        assert len({item.outputs[0].blob for item in done.items}) == 3
        assert len(weft.history()) == 1, "it is neither lost nor doubled"
    finally:
        weft.__exit__(None, None, None)
        process.terminate()
        assert process.wait(20) == 0
        process.stdout.close()


def test_items_that_may_be_why_the_process_ended_run_by_themselves():
    row = Row("job", None, "", "queued", "", 0.0, 0.0, request={"together": 4})
    entry = Entry(row)
    entry.add_items(ItemRow("job", index, "queued", {}, "") for index in range(4))
    for item in entry.items[:2]:
        item.starts = STARTS_LIMIT - 1
    line = Line()
    line.add(entry)
    turns = [[item.index for item in line.next()] for _ in range(3)]
    assert turns == [[0], [1], [2, 3]]
    assert line.next() == []


def test_a_forecast_says_how_many_forwards_it_will_be_and_what_runs_alone(weft):
    told = weft.forecast(work(), batch=Batch(8, SEEDS), together=4)
    assert (told.todo, told.sharing.apart, told.sharing.forwards, told.sharing.rows) == (32, 32, 8, 4)
    assert told.sharing.alone == []
    alone = weft.forecast(work(solo=True), batch=Batch(8, SEEDS), together=4).sharing
    assert (alone.forwards, alone.rows) == (32, 1)
    [one] = alone.alone
    assert (one.why, one.items) == ("it wants to be by itself", 8)
    assert weft.forecast(work(), batch=Batch(8, SEEDS)).sharing is None
