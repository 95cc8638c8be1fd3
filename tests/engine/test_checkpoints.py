"""Checkpoints: a late change, a stop, a cancel and a crash cost only what remains."""

import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from engine.cache import Cache
from engine.disk import Disk
from engine.events import StepStarted
from engine.executor.checkpoints import Checkpoints, Trail
from engine.memory import Memory
from engine.records import Records
from engine.run import State
from tests.engine import toys
from tests.engine.fakes import Clock, gate
from tests.engine.flows import box, flow

HALF = 2000
CHAIN = tuple(f"k{index}" for index in range(16))


def state(index: int) -> State:
    return State(index, {"at": torch.zeros(HALF // 4)})


def kept(cache: Cache) -> list[int]:
    return [index for index, id in enumerate(CHAIN) if cache.known(id)]


class Shelf:
    """A tier below that keeps everything, and how often it was offered something."""

    name = "shelf"
    pace = 0.0

    def __init__(self):
        self.kept = {}

    def known(self, id):
        return id in self.kept

    def get(self, id):
        return self.kept.get(id)

    def put(self, id, value, seconds, about=None):
        self.kept[id] = value

    def drop(self, id):
        self.kept.pop(id, None)

    def close(self):
        pass


# --- thinning and spacing --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", [4, 8, 15])
def test_when_the_budget_is_short_the_states_that_are_left_lie_wider_the_older_they_are(room):
    size = state(0).tensors["at"].nbytes + sys.getsizeof(state(0))
    cache, clock = Cache(Memory({"cpu": room * size})), Clock()
    trail = Trail(Checkpoints(cache), CHAIN, 0, clock=clock)
    for index in range(16):
        clock.tick(1.0)
        trail.offer(state(index))
    gaps = [after - before for before, after in itertools.pairwise([-1, *kept(cache)])]
    assert (len(gaps), sum(gaps)) == (room, 16)
    assert gaps == sorted(gaps, reverse=True)
    assert max(gaps) <= 2 * 16 / room + 1


def test_states_go_to_disk_by_the_clock_and_the_last_one_always():
    shelf, clock = Shelf(), Clock()
    trail = Trail(Checkpoints(Cache(Memory({"cpu": 0}), shelf), spacing=1.0), CHAIN, 0, clock=clock)
    for index in range(16):
        clock.tick(0.3)
        trail.offer(state(index))
    assert list(shelf.kept) == ["k3", "k7", "k11", "k15"]


def test_a_slow_disk_is_not_written_more_than_a_tenth_of_the_time():
    shelf, clock = Shelf(), Clock()
    shelf.pace = 0.5
    trail = Trail(Checkpoints(Cache(Memory({"cpu": 0}), shelf), spacing=0.0), CHAIN, 0, clock=clock)
    for index in range(15):
        clock.tick(1.0)
        trail.offer(state(index))
    assert list(shelf.kept) == ["k4", "k9", "k14"]


def test_what_a_stopped_step_had_reached_goes_to_disk():
    shelf = Shelf()
    trail = Trail(Checkpoints(Cache(Memory({"cpu": 0}), shelf)), CHAIN, 0, clock=Clock())
    for index in range(5):
        trail.offer(state(index))
    assert shelf.kept == {}
    trail.stopped()
    assert list(shelf.kept) == ["k4"]


# --- who waits for what ----------------------------------------------------------------------------------------------


def climb(**inputs):
    return flow({"c": box("toy.climb", **inputs)}, outputs={"out": "c"})


def resumed(events) -> list[int]:
    return [event.resumed for event in events if isinstance(event, StepStarted)]


def test_a_waiting_job_finds_the_state_where_it_parts_even_without_any_budget(make_session):
    session = make_session(limit=0, jobs=1)
    door = gate("climb 0")
    jobs = [session.submit(climb(last=last)) for last in ("a", "b", "c")]
    assert door.reached.wait(5)
    door.open.set()
    found = [job.result() for job in jobs]
    assert [one["out"].text[-2:] for one in found] == ["5a", "5b", "5c"]
    assert [resumed(one.events) for one in found] == [[0], [5], [5]]
    assert toys.COUNT["climbed"] == 6 + 1 + 1
    for job in jobs:
        job.close()
    assert len(session.engine.cache) == 0
    assert (session.engine.checkpoints._chains, session.engine.checkpoints._pinned) == ({}, {})


def test_steps_of_one_job_share_their_prefix_and_the_plan_says_so(make_session):
    session = make_session(limit=0)
    work = flow(
        {f"c{index}": box("toy.climb", last=f"{index}") for index in range(4)},
        outputs={f"o{index}": f"c{index}" for index in range(4)},
    )
    plan = session.plan(work)
    assert [(row.steps, row.resumed) for row in plan.steps] == [(6, 0), (6, 5), (6, 5), (6, 5)]
    assert resumed(session.run(work).events) == [0, 5, 5, 5]
    assert toys.COUNT["climbed"] == 6 + 3


def test_stop_look_finish_costs_each_step_once_in_whatever_order(session):
    first = session.run(climb(stop=2))
    assert first["out"].text == "c 0 1"
    whole = session.run(climb())
    assert (whole["out"].text, resumed(whole.events)) == ("c 0 1 2 3 4 5", [2])
    earlier = session.run(climb(stop=4))
    assert (earlier["out"].text, resumed(earlier.events)) == ("c 0 1 2 3", [4])
    assert toys.COUNT["climbed"] == 6


def test_a_job_that_is_refused_or_cancelled_waits_for_nothing(make_session):
    session = make_session(jobs=1)
    gate("climb 0")
    running, waiting = session.submit(climb()), session.submit(climb(last="x"))
    assert gate("climb 0").reached.wait(5)
    waiting.cancel()
    running.cancel()
    gate("climb 0").open.set()
    running.wait()
    running.close()
    assert session.engine.checkpoints._chains == {}


# --- over the end of the process -------------------------------------------------------------------------------------


@pytest.fixture
def disk(home):
    tier = Disk(home.home / "cache", {"engine", "tests"}, quick=0.0)
    yield tier
    tier.close()


def test_a_cancelled_job_goes_on_in_the_next_process(make_session, disk):
    records = Records()
    session = make_session(lower=disk, records=records)
    gate("climb 3")
    job = session.submit(climb())
    assert gate("climb 3").reached.wait(5)
    job.cancel()
    job.wait()
    session.close()
    gate("climb 3").open.set()
    again = make_session(lower=disk)
    assert [row.resumed for row in again.plan(climb()).steps] == [4]
    result = again.run(climb())
    assert (result["out"].text, resumed(result.events)) == ("c 0 1 2 3 4 5", [4])


def test_a_damaged_state_on_disk_is_passed_over_for_the_one_before(make_session, disk):
    session = make_session(lower=disk)
    session.engine.checkpoints.spacing = 0.0
    session.run(climb(stop=4))
    session.close()
    chain = make_session().submit(climb(stop=4)).execution.frontier.lives["c"].checkpoints
    newest = disk._path(chain[-1])
    newest.write_bytes(newest.read_bytes()[:-10] + b"0123456789")
    again = make_session(lower=disk).run(climb())
    assert (again["out"].text, resumed(again.events)) == ("c 0 1 2 3 4 5", [3])


KILLED = {
    "load": box("load.model", model="starter/unet"),
    "text": box("text.encode", encoder="@load.text_encoder", text="a red sphere"),
    "none": box("text.encode", encoder="@load.text_encoder", text=""),
    "canvas": box("latent.empty", model="@load.model", width=64, height=64),
    "sample": box(
        "denoise.sample",
        **{"model": "@load.model", "latent": "@canvas.latent", "positive": "@text.conditioning"},
        **{"negative": "@none.conditioning", "steps": 60, "seed": 4, "sampler": "dpmpp_2m_sde", "scheduler": "karras"},
    ),
    "decode": box("vae.decode", vae="@load.vae", latent="@sample.latent"),
    "save": box("image.save", image="@decode.image", metadata="none"),
}


def command(home: Path, file: Path) -> dict[str, object]:
    environment = {**os.environ, "WEFT_HOME": str(home), "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-m", "engine.cli", "run", str(file), "--out", str(home / "out"), "--events"]
    return {"args": line, "env": environment, "stdout": subprocess.PIPE, "text": True}


def test_a_job_that_was_killed_goes_on_from_its_last_state_and_gives_the_same_picture(tmp_path):
    file = tmp_path / "killed.json"
    file.write_text(json.dumps({"weft": 1, "nodes": KILLED, "outputs": {"image": "save.image"}}))
    child = subprocess.Popen(**command(tmp_path / "one", file))
    until = time.monotonic() + 60
    while len(list((tmp_path / "one" / "cache").glob("k*/k*.safetensors"))) < 1 and child.poll() is None:
        assert time.monotonic() < until, "no state on disk within a minute"
        time.sleep(0.01)
    child.kill()
    child.communicate()
    assert child.returncode != 0, "it ended before it could be killed"
    assert not list((tmp_path / "one").rglob("*.png"))
    line = subprocess.run(**command(tmp_path / "one", file), check=True).stdout
    started = [event for event in map(json.loads, line.splitlines()) if event["event"] == "step_started"]
    sample = next(event for event in started if event["path"] == "sample")
    assert 0 < sample["resumed"] < sample["steps"] == 60
    subprocess.run(**command(tmp_path / "two", file), check=True)
    pictures = [next(Path(tmp_path / name).rglob("*.png")).read_bytes() for name in ("one", "two")]
    assert pictures[0] == pictures[1]
