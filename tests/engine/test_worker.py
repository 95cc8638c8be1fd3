"""A worker in a process of its own does what the session in this process does, and its end is told."""

import functools
from pathlib import Path

import pytest

from engine.errors import WeftError
from engine.events import JobFinished, StepPreview, ran
from engine.memory import Memory
from engine.places import Places
from engine.records import Records
from engine.session import Session, Worker
from engine.session.process import ProcessWorker
from tests.engine import toys
from tests.engine.conftest import PINNED
from tests.engine.flows import box, flow


def make_there(home: Path) -> Session:
    """What the other process makes for itself."""
    return Session(
        registry=toys.registry(),
        places=Places(home=home),
        numerics=PINNED,
        memory=Memory({"cpu": 2**26}),
        records=Records(),
    )


def cannot_be_made() -> Session:
    raise RuntimeError("no such place")


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    with ProcessWorker(functools.partial(make_there, tmp_path_factory.mktemp("home"))) as made:
        yield made


def song(worker: Worker, workflow, **parameters):
    """Run to the end: the diary and the named outputs, fetched."""
    events = list(worker.watch(worker.start(workflow, None, {"parameters": parameters})))
    return events, {name: worker.fetch(id) for name, id in events[-1].outputs.items()}


WORK = flow({"m": box("toy.make", text="a"), "u": box("toy.upper", thing="@m")}, outputs={"out": "u"})


def test_the_same_calls_give_the_same_as_in_this_process(worker, session):
    for one in (worker, session):
        events, outputs = song(one, WORK, **{"m.text": "hello"})
        assert ran(events) == ["m", "u"]
        assert isinstance(events[-1], JobFinished)
        assert (events[-1].state, outputs["out"].text) == ("succeeded", "HELLO")
        id = events[-1].outputs["out"]
        assert one.known([id, "nothing.out"]) == [id]
        with pytest.raises(KeyError):
            one.fetch("nothing.out")
        assert "cpu" in one.memory()


def test_what_it_made_it_keeps_and_does_not_make_again(worker):
    song(worker, WORK, **{"m.text": "twice"})
    assert ran(song(worker, WORK, **{"m.text": "twice"})[0]) == []


def test_tensors_come_back_bit_for_bit(worker):
    _, outputs = song(worker, flow({"g": box("toy.grid", count=3, value=0.1)}, outputs={"out": "g"}))
    assert outputs["out"].tensor.tolist() == [pytest.approx(0.1)] * 3


def test_previews_arrive_as_pictures(worker):
    """Previews are made only while somebody watches: the step before them leaves time to begin."""
    nodes = {
        "m": box("toy.make"),
        "g": box("toy.patient", thing="@m"),
        "w": box("toy.watch", thing="@g"),
    }
    events, _ = song(worker, flow(nodes, outputs={"out": "w"}))
    pictures = [event.picture() for event in events if isinstance(event, StepPreview)]
    assert pictures == [f"picture {number}" for number in range(3)]


def test_what_is_wrong_with_a_workflow_is_raised_here_with_all_it_says(worker):
    with pytest.raises(WeftError) as caught:
        worker.start(flow({"u": box("toy.upper")}), None, {})
    assert (caught.value.code, caught.value.problem.where.path) == ("graph.missing_input", "u")


def test_two_jobs_are_followed_at_once_and_one_is_cancelled(worker):
    waits = flow({"m": box("toy.make"), "g": box("toy.iogate", thing="@m", name="never")}, outputs={"out": "g"})
    job = worker.start(waits, None, {})
    assert song(worker, WORK, **{"m.text": "beside"})[1]["out"].text == "BESIDE"
    worker.cancel(job)
    assert list(worker.watch(job))[-1].state == "cancelled"


def test_the_end_of_its_process_is_told_to_who_waits_and_to_who_asks_later(tmp_path):
    worker = ProcessWorker(functools.partial(make_there, tmp_path))
    waits = flow({"m": box("toy.make"), "g": box("toy.iogate", thing="@m", name="never")}, outputs={"out": "g"})
    events = worker.watch(worker.start(waits, None, {}))
    next(events)
    worker._process.kill()
    with pytest.raises(WeftError, match="has ended"):
        list(events)
    with pytest.raises(WeftError) as caught:
        worker.known([])
    assert caught.value.code == "worker.lost"
    worker.close()


def test_a_session_that_cannot_be_made_is_told_at_once():
    with pytest.raises(RuntimeError, match="no such place"):
        ProcessWorker(cannot_be_made)
