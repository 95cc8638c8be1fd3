"""Ahead: the weights that come next are read while something else computes, and only where there is room for them."""

import os
import time

import pytest

from engine.events import StepFinished, WeightsComing, WeightsNear
from engine.memory import Disk, Extent, Memory, Reader, Resident, Wish
from tests.engine.fakes import FakeDevice, FakeDisk, gate
from tests.engine.flows import box, flow
from tests.engine.toys import COUNT, Model

MB = 2**20


def the(kind, events):
    return [event for event in events if isinstance(event, kind)]


def until(true, seconds=10.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.002)


def painted(*models, size=4 * MB, **more):
    """A chain of steps that lease models, each waiting at the gate of its model's name."""
    nodes = {}
    for index, name in enumerate(models):
        nodes[f"load {name}"] = box("toy.model", name=name, size=size, **more)
        nodes[f"paint {name}"] = box("toy.paint", model=f"@load {name}", gate_name=f"at {name}")
        if index:
            nodes[f"paint {name}"]["inputs"]["thing"] = {"from": f"paint {models[index - 1]}"}
    return flow(nodes, outputs={"last": f"paint {models[-1]}"})


@pytest.fixture
def disk():
    return FakeDisk()


def opened(*names):
    for name in names:
        gate(f"at {name}").open.set()


# --- what is read, and when -------------------------------------------------------------------------------------------


def test_the_next_weights_are_read_while_the_step_before_runs(make_session, disk):
    session = make_session(disk=disk)
    job = session.submit(painted("unet", "vae"))
    gate("at unet").reached.wait(10)
    until(lambda: disk.brought == ["vae"] * 4)  # the sampler still stands at its gate
    opened("unet", "vae")
    events = job.result().events
    order = [
        (type(event), event.path) for event in events if isinstance(event, WeightsComing | WeightsNear | StepFinished)
    ]
    assert order == [
        (WeightsComing, "paint vae"),
        (WeightsNear, "paint vae"),
        (StepFinished, "paint unet"),
        (StepFinished, "paint vae"),
    ]
    (near,) = the(WeightsNear, events)
    assert (near.model, near.read, near.stopped) == ("Model", 4 * MB, "")


def test_the_weights_of_the_next_job_are_read_before_the_last_step_of_this_one_ends(make_session, disk):
    session = make_session(disk=disk, jobs=1)
    first = session.submit(painted("a"))
    gate("at a").reached.wait(10)
    second = session.submit(painted("b"))
    until(lambda: disk.brought == ["b"] * 4)
    assert first.state == "running" and second.state == "queued"
    assert [event.path for event in the(WeightsComing, second.diary)] == ["paint b"]
    opened("a", "b")
    assert second.result().state == "succeeded" and disk.brought == ["b"] * 4


def test_of_two_jobs_under_way_the_second_is_read_for_too(make_session, disk):
    session = make_session(disk=disk, jobs=2)
    first = session.submit(painted("a"))
    gate("at a").reached.wait(10)
    second = session.submit(painted("b"))
    until(lambda: disk.brought == ["b"] * 4)
    assert COUNT.get("build b") is None
    opened("a", "b")
    assert first.result().state == second.result().state == "succeeded"


def test_what_is_needed_first_is_read_first_and_the_own_job_before_the_next(make_session, disk):
    session = make_session(disk=disk, jobs=1)
    gate("disk one")
    job = session.submit(painted("zero", "one", "two"))
    gate("at zero").reached.wait(10)
    session.submit(painted("other"))
    gate("disk one").open.set()
    until(lambda: len(disk.brought) == 12)
    assert disk.brought == ["one"] * 4 + ["two"] * 4 + ["other"] * 4
    opened("zero", "one", "two", "other")
    assert job.result().state == "succeeded"


def test_what_is_in_memory_already_is_neither_read_nor_told(make_session, disk):
    disk.near.add("vae")
    session = make_session(disk=disk)
    job = session.submit(painted("unet", "vae"))
    gate("at unet").reached.wait(10)
    until(lambda: "vae" in disk.asked)
    opened("unet", "vae")
    assert the(WeightsComing, job.result().events) == [] and disk.brought == []


def test_a_live_model_is_not_read_again(make_session, disk):
    session = make_session(disk=disk)
    opened("vae")
    session.run(painted("vae"))
    disk.near.clear()
    disk.brought.clear()
    job = session.submit(painted("unet", "vae"))
    gate("at unet").reached.wait(10)
    opened("unet")
    assert job.result().state == "succeeded" and "vae" not in disk.brought


def test_a_step_that_leases_nothing_is_not_read_for(make_session, disk):
    session = make_session(disk=disk)
    nodes = {
        "load": box("toy.model", name="m", size=MB),
        "shape": box("toy.shape", model="@load"),
        "wait": box("toy.gate", thing="@shape", name="wait"),
    }
    job = session.submit(flow(nodes))
    gate("wait").reached.wait(10)
    gate("wait").open.set()
    job.result()
    assert disk.asked == []


def test_weights_that_cannot_be_read_are_told_by_the_step_alone(make_session, disk):
    session = make_session(disk=disk)
    nodes = painted("unet", "vae").nodes
    assert nodes
    work = flow(
        {
            "first": box("toy.model", name="unet", size=MB),
            "gone": box("toy.model", name="vae", size=MB, file="missing"),
            "paint": box("toy.paint", model="@first", gate_name="at unet"),
            "decode": box("toy.paint", model="@gone", thing="@paint"),
        }
    )
    opened("unet")
    result = session.run(work)
    assert [problem.where.path for problem in result.problems] == ["decode"]
    assert the(WeightsComing, result.events) == []


# --- room -------------------------------------------------------------------------------------------------------------


def test_without_room_in_the_budget_nothing_is_read(make_session, disk):
    session = make_session(limit=6 * MB, disk=disk)
    session.engine.memory.budget("cpu").insert(Resident("leased", 4 * MB, 1.0, lambda: None, in_use=1))
    job = session.submit(painted("unet", "vae"))
    gate("at unet").reached.wait(10)
    until(lambda: "vae" in disk.asked)
    opened("unet", "vae")
    result = job.result()
    assert result.state == "succeeded" and disk.brought == [] and the(WeightsComing, result.events) == []


def wish(name, size, told, wanted=lambda: True, late=lambda: False):
    return Wish(Model(name, size), f"use {name}", wanted, late, told.append)


@pytest.fixture
def reading(disk):
    """A memory of 10 MB, its reader, and what it tells."""
    memory = Memory({"cpu": 10 * MB}, {"cpu": FakeDevice(100 * MB)})
    reader = Reader(memory, disk)
    yield memory, reader, []
    reader.close()


def names(memory):
    return {(kind, name) for kind, name, *_ in memory.report()["cpu"]}


def idle(reader):
    until(lambda: all(one.tried for _, ones in reader._wishes.values() for one in ones))
    time.sleep(0.02)


def test_what_is_in_use_and_what_is_worth_more_stays(reading, disk):
    memory, reader, told = reading
    budget, gone = memory.budget("cpu"), []
    budget.insert(Resident("leased", 4 * MB, 0.0, lambda: gone.append("leased"), in_use=1))
    budget.admit(Resident("dear", 4 * MB, 100.0, lambda: gone.append("dear")))
    reader.wish("job", [wish("m", 4 * MB, told)])
    idle(reader)
    assert (disk.brought, told, gone) == ([], [], [])
    budget.withdraw(budget.residents["dear"])
    budget.admit(Resident("cheap", 4 * MB, 1e-6, lambda: gone.append("cheap")))
    reader.room_may_be_free()  # a step has ended
    until(lambda: the(WeightsNear, told))
    assert gone == ["cheap"] and disk.brought == ["m"] * 4


def test_what_the_machine_has_no_memory_for_is_not_read(disk):
    """The budget may say more than there is: what is mapped and in use counts as free for the system."""
    device = FakeDevice(10 * MB)
    memory = Memory({"cpu": 100 * MB}, {"cpu": device})
    device.memory = memory
    memory.budget("cpu").insert(Resident("leased", 4 * MB, 0.0, lambda: None, in_use=1))
    reader, told = Reader(memory, disk), []
    reader.wish("job", [wish("m", 4 * MB, told)])
    idle(reader)
    assert (disk.brought, told) == ([], [])
    reader.close()


def test_what_was_read_is_in_the_books_until_it_is_leased(reading, disk):
    memory, reader, told = reading
    reader.wish("job", [wish("m", 4 * MB, told)])
    until(lambda: the(WeightsNear, told))
    assert names(memory) == {("ahead", "ahead:Model:m")} and memory.budget("cpu").used == 4 * MB
    with memory.lease(Model("m", 4 * MB), "cpu", "float32"):
        assert names(memory) == {("weights", "Model:m:cpu:float32")}


def test_what_nobody_wishes_any_more_gives_its_room_back(reading, disk):
    memory, reader, told = reading
    reader.wish("one", [wish("m", 4 * MB, told)])
    reader.wish("two", [wish("m", 4 * MB, told)])
    until(lambda: the(WeightsNear, told))
    reader.forget("one")
    assert memory.budget("cpu").used == 4 * MB
    reader.forget("two")
    assert memory.budget("cpu").used == 0


def test_reading_ends_when_its_room_is_wanted_for_what_is_worth_more(reading, disk):
    memory, reader, told = reading
    gate("disk m")
    reader.wish("job", [wish("m", 8 * MB, told)])
    gate("disk m").reached.wait(10)
    assert memory.budget("cpu").admit(Resident("dear", 8 * MB, 100.0, lambda: None))
    gate("disk m").open.set()
    until(lambda: the(WeightsNear, told))
    (near,) = the(WeightsNear, told)
    assert near.stopped == "its room was needed" and disk.brought == ["m"]


# --- stopping ---------------------------------------------------------------------------------------------------------


def test_the_reading_of_a_cancelled_job_stops(make_session, disk):
    session = make_session(disk=disk, jobs=1)
    gate("disk b")
    first = session.submit(painted("a"))
    gate("at a").reached.wait(10)
    second = session.submit(painted("b"))
    gate("disk b").reached.wait(10)
    second.cancel()
    gate("disk b").open.set()
    until(lambda: disk.brought == ["b"])
    opened("a")
    first.result()
    assert disk.brought == ["b"] and "ahead" not in {kind for kind, _ in names(session.engine.memory)}
    assert [e.path for e in the(WeightsComing, second.diary)] == ["paint b"]


def test_reading_ends_with_the_job_that_it_was_for(make_session, disk):
    session = make_session(disk=disk)
    gate("disk vae")
    job = session.submit(painted("unet", "vae"))
    gate("disk vae").reached.wait(10)
    job.cancel()
    job.wait()
    gate("disk vae").open.set()
    until(lambda: disk.brought == ["vae"])
    assert session.engine.memory.budget("cpu").used == 0


def test_a_file_that_changes_meanwhile_is_read_no_further(reading, tmp_path):
    memory, reader, told = reading
    file = tmp_path / "w.bin"
    file.write_bytes(b"old")
    gate(f"disk {file}")
    recipe = Model("m", 4 * MB, str(file))
    reader.wish("job", [Wish(recipe, "use", lambda: True, lambda: False, told.append)])
    gate(f"disk {file}").reached.wait(10)
    (tmp_path / "new").write_bytes(b"new")
    os.replace(tmp_path / "new", file)
    gate(f"disk {file}").open.set()
    until(lambda: the(WeightsNear, told))
    assert the(WeightsNear, told)[0].stopped == "the file has changed" and memory.budget("cpu").used == 0


def test_the_disk_is_left_to_a_step_that_loads(make_session, disk):
    session = make_session(disk=disk)
    gate("hold unet")
    job = session.submit(painted("unet", "vae"))
    gate("build unet").reached.wait(10)
    time.sleep(0.1)
    assert len(disk.brought) <= 1  # it looks up after its first piece
    gate("hold unet").open.set()
    until(lambda: disk.brought == ["vae"] * 4)
    opened("unet", "vae")
    assert job.result().state == "succeeded"


def test_a_closed_session_has_no_reader_left(make_session, disk):
    session = make_session(disk=disk)
    opened("unet", "vae")
    session.run(painted("unet", "vae"))
    thread = session.engine.reader._thread
    session.close()
    assert thread is not None and not thread.is_alive()


# --- the real disk ----------------------------------------------------------------------------------------------------


def test_a_file_comes_into_memory_and_is_then_not_read_again(tmp_path):
    file, size = tmp_path / "weights.bin", 9 * MB + 17
    with file.open("wb") as stream:
        stream.write(os.urandom(size))
        stream.flush()
        os.fsync(stream.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    disk, extent = Disk(), Extent(str(file), 0, size)
    missing = disk.missing(extent)  # nothing, where the system keeps files in memory whatever it is told
    assert missing in (0, size)
    assert sum(disk.bring(extent)) == missing
    assert disk.missing(extent) == 0 and sum(disk.bring(extent)) == 0


def test_where_the_system_does_not_say_what_it_keeps_a_file_is_read_once(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "RWF_NOWAIT", raising=False)
    monkeypatch.delattr(os, "posix_fadvise", raising=False)
    file = tmp_path / "weights.bin"
    file.write_bytes(b"x" * 5 * MB)
    disk, extent = Disk(), Extent(str(file), MB, 5 * MB)
    assert disk.missing(extent) == 4 * MB and sum(disk.bring(extent)) == 4 * MB and disk.missing(extent) == 0
    file.write_bytes(b"y" * 6 * MB)
    assert disk.missing(extent) == 4 * MB


def test_a_file_that_is_gone_is_no_error_of_the_reader(reading, tmp_path):
    memory, _, told = reading
    reader = Reader(memory, Disk())
    recipe = Model("m", MB, str(tmp_path / "gone"))
    reader.wish("job", [Wish(recipe, "use", lambda: True, lambda: False, told.append)])
    idle(reader)
    reader.close()
    assert told == []
