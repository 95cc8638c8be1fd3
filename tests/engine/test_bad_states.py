"""The disk tier in bad states: never a wrong picture, never a lost finished one, and no run that fails for it."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from engine.cache import Cache
from engine.disk import Disk
from engine.disk import tier as room
from engine.errors import fail
from engine.memory import Memory
from engine.records import Records
from nodes.types import Image
from tests.engine.flows import box, flow

PACKS = {"engine", "nodes", "tests"}


def picture(value: float = 0.5, side: int = 100) -> Image:
    return Image(torch.full((1, side, side, 3), value))


def write(disk: Disk, id: str, value: object, seconds: float = 1.0) -> None:
    disk.put(id, value, seconds)
    assert disk.flush(20)


# --- files that are not what they seem -------------------------------------------------------------------------------


def test_a_file_that_cannot_be_opened_is_no_value(tmp_path):
    disk = Disk(tmp_path, PACKS)
    path = disk._path("ab.out")
    path.parent.mkdir()
    path.symlink_to(path)
    assert not disk.known("ab.out")
    assert disk.get("ab.out") is None
    assert list(disk.entries()) == []


def test_a_folder_in_the_place_of_a_file_is_no_value(tmp_path):
    disk = Disk(tmp_path, PACKS)
    disk._path("ab.out").mkdir(parents=True)
    assert not disk.known("ab.out")
    assert disk.get("ab.out") is None
    assert list(disk.entries()) == []
    write(disk, "ab.out", picture())  # cannot be written there either, and nothing falls over
    write(disk, "cd.out", picture())


def test_files_that_are_no_values_are_left_alone_and_take_no_room(tmp_path):
    disk = Disk(tmp_path, PACKS, limit=400_000)
    (tmp_path / "ab").mkdir()
    (tmp_path / "ab" / "notes.txt").write_text("mine" * 100_000)
    for index in range(5):
        write(disk, f"a{index}.out", picture(index / 5), 1.0 + index)
    assert (tmp_path / "ab" / "notes.txt").read_text() == "mine" * 100_000
    assert 240_000 < sum(item.bytes for item in disk.entries()) <= disk.limit


def test_files_in_the_place_of_values_count_and_go_first(tmp_path):
    """What an earlier release wrote, or what is damaged, saves nothing: it goes before any value does."""
    disk = Disk(tmp_path, PACKS, limit=400_000)
    write(disk, "aa.out", picture(0.1), 1.0)
    whole = disk._path("aa.out").read_bytes()
    (tmp_path / "00").mkdir()
    (tmp_path / "00" / "00damaged.safetensors").write_bytes(b"\xff" * 120_000)
    older = whole.replace(b'"weft":"', b'"wxft":"')
    (tmp_path / "00" / "00older.safetensors").write_bytes(older)
    write(disk, "bb.out", picture(0.2), 1.0)
    assert {item.id for item in disk.entries()} == {"aa.out", "bb.out"}
    assert sum(file.stat().st_size for file in tmp_path.rglob("*.safetensors")) <= disk.limit


def test_plain_data_is_checked_like_tensors(tmp_path):
    """A bit of the header may be wrong as well: what is no tensor of a value lies there."""
    disk = Disk(tmp_path, PACKS)
    write(disk, "ab.out", {"scale": 7.25, "picture": picture()})
    path = disk._path("ab.out")
    data = path.read_bytes()
    assert data.count(b"7.25") == 1
    path.write_bytes(data.replace(b"7.25", b"7.75"))
    assert disk.get("ab.out") is None
    assert not path.exists()


def test_a_header_that_is_nested_without_end_is_no_value_and_stops_nothing(tmp_path):
    disk = Disk(tmp_path, PACKS, limit=300_000)
    deep = b'{"__metadata__":' + b"[" * 200_000
    (tmp_path / "ab").mkdir()
    disk._path("ab.out").write_bytes(len(deep).to_bytes(8, "little") + deep)
    assert list(disk.entries()) == []
    write(disk, "cd.out", picture(), 2.0)
    assert disk.problem == "" and [item.id for item in disk.entries()] == ["cd.out"]
    assert disk.get("ab.out") is None


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), OSError(5, "Input/output error"), MemoryError()])
def test_what_could_not_be_read_for_another_reason_stays(tmp_path, monkeypatch, error):
    disk = Disk(tmp_path, PACKS)
    write(disk, "ab.out", picture())

    def fails(path):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(room, "read_metadata", fails)
        assert disk.get("ab.out") is None
        assert disk.verify() == (0, [])
    assert disk.get("ab.out") is not None


def test_a_device_that_has_no_room_for_a_value_costs_the_value_nothing(tmp_path, monkeypatch):
    disk = Disk(tmp_path, PACKS)
    write(disk, "ab.out", picture())

    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(room, "decode", full)
        assert disk.get("ab.out") is None
    assert disk.get("ab.out") is not None


# --- values that are written into ------------------------------------------------------------------------------------


def test_a_value_that_was_written_into_before_it_was_on_disk_never_gets_there(tmp_path, monkeypatch):
    disk = Disk(tmp_path, PACKS)
    value = picture()
    begun, go_on = threading.Event(), threading.Event()
    true_save = room.encode

    def slow(*args):
        begun.set()
        go_on.wait(10)
        return true_save(*args)

    monkeypatch.setattr(room, "encode", slow)
    disk.put("ab.out", value, 1.0)
    assert begun.wait(10)
    value.pixels.mul_(2)  # a node that writes into its input, while the writer is at it
    go_on.set()
    assert disk.flush(20)
    assert not disk.known("ab.out")


@pytest.mark.parametrize("when", ["queued", "being written", "written"])
def test_what_the_cache_drops_goes_from_the_disk_as_well(tmp_path, monkeypatch, when):
    disk = Disk(tmp_path, PACKS)
    begun, go_on = threading.Event(), threading.Event()
    true_save = room.encode

    def slow(*args):
        begun.set()
        go_on.wait(10)
        return true_save(*args)

    if when != "written":
        monkeypatch.setattr(room, "encode", slow)
    if when == "queued":
        disk.put("aa.out", picture(0.2), 1.0)
        assert begun.wait(10)
    held = Cache(Memory({"cpu": 2**26}), disk)
    value = held.put("ab.out", picture(), 1.0)
    if when == "being written":
        assert begun.wait(10)
    if when == "written":
        assert disk.flush(20) and disk.known("ab.out")
    assert held.drop_sharing(value) == ["ab.out"]
    go_on.set()
    assert disk.flush(20)
    assert held.known("ab.out") is None


# --- no room ---------------------------------------------------------------------------------------------------------


FULL = """
import resource, signal, sys, torch
from pathlib import Path
from engine.disk import Disk
from nodes.types import Image
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
disk = Disk(Path(sys.argv[1]), {"engine", "nodes"})
disk.put("ab.out", Image(torch.rand(1, 100, 100, 3)), 1.0)
disk.flush()
print(disk.problem)
disk.put("cd.out", Image(torch.rand(1, 10, 10, 3)), 1.0)  # not even tried: it is full
disk.flush()
disk._resume_at = 0.0
disk.put("ef.out", Image(torch.rand(1, 10, 10, 3)), 1.0)
disk.close()
print(repr(disk.problem), [item.id for item in disk.entries()])
"""


def test_a_full_disk_is_left_alone_for_a_while_and_then_tried_again(tmp_path):
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], check=True, capture_output=True, text=True)
    first, second = done.stdout.splitlines()
    assert "File too large" in first
    assert second == "'' ['ef.out']"
    assert not list(tmp_path.rglob("*.part"))


def test_a_disk_that_fills_up_gives_what_is_worth_least(tmp_path, monkeypatch):
    """The disk takes 300 kB, whatever the limit says."""
    disk = Disk(tmp_path, PACKS, limit=2**30)
    write(disk, "aa.out", picture(0.1), 1.0)
    write(disk, "bb.out", picture(0.2), 9.0)
    true_write = room.write_atomic

    def small_disk(path: Path, data: bytes) -> None:
        if sum(file.stat().st_size for file in tmp_path.rglob("*.safetensors")) + len(data) > 300_000:
            raise fail("place.write", "No space left on device") from OSError(28, "No space left on device")
        true_write(path, data)

    monkeypatch.setattr(room, "write_atomic", small_disk)
    write(disk, "cc.out", picture(0.3), 5.0)
    assert {item.id for item in disk.entries()} == {"bb.out", "cc.out"}
    assert disk.problem == ""


def test_a_value_larger_than_the_budget_is_not_kept_and_drives_nothing_out(tmp_path):
    disk = Disk(tmp_path, PACKS, limit=300_000)
    write(disk, "aa.out", picture(0.1))
    write(disk, "bb.out", picture(0.2, 300), 1000.0)
    assert [item.id for item in disk.entries()] == ["aa.out"]


def test_a_value_that_is_larger_written_down_than_in_memory_drives_nothing_out(tmp_path):
    disk = Disk(tmp_path, PACKS, limit=300_000)
    write(disk, "aa.out", picture(0.1))
    write(disk, "bb.out", Image(torch.zeros(1, 1, 1, 3).expand(1, 300, 300, 3)), 1000.0)
    assert [item.id for item in disk.entries()] == ["aa.out"]


def test_a_folder_that_may_not_be_written_costs_no_value_elsewhere(tmp_path, monkeypatch):
    disk = Disk(tmp_path, PACKS, limit=2**20)
    write(disk, "aa.out", picture(0.1))

    def refused(path: Path, data: bytes) -> None:
        raise fail("place.write", "Permission denied") from PermissionError(13, "Permission denied")

    monkeypatch.setattr(room, "write_atomic", refused)
    write(disk, "bb.out", picture(0.2))
    assert [item.id for item in disk.entries()] == ["aa.out"]
    assert "Permission denied" in disk.problem


def test_several_processes_keep_one_limit(tmp_path):
    """Each sees what the others wrote soon enough: the folder is never a third above its limit."""
    disks = [Disk(tmp_path, PACKS, limit=2_000_000) for _ in range(4)]
    most = 0
    for index in range(16):
        for number, disk in enumerate(disks):
            write(disk, f"{number}{index:x}.out", picture(index / 16), 1.0)
            most = max(most, sum(file.stat().st_size for file in tmp_path.rglob("*.safetensors")))
    assert 1_500_000 < most < 2_700_000


def test_a_job_runs_the_same_with_a_budget_of_nothing_anywhere(make_session, home):
    session = make_session(limit=0, lower=Disk(home.home / "cache", PACKS, limit=0))
    work = flow({"c": box("toy.climb"), "u": box("toy.upper", thing="@c")}, outputs={"out": "u"})
    assert session.run(work)["out"].text == "C 0 1 2 3 4 5"
    assert session.run(work).ran == ["c", "u"]


# --- time ------------------------------------------------------------------------------------------------------------


def test_a_clock_that_goes_back_neither_keeps_for_ever_nor_drives_out(tmp_path, monkeypatch):
    disk = Disk(tmp_path, PACKS, limit=420_000)
    for index, id in enumerate(("aa.out", "bb.out", "cc.out")):
        write(disk, id, picture(index / 3), 1.0 + index)
        ahead = time.time() + 400 * 24 * 3600
        os.utime(disk._path(id), (ahead, ahead))  # written before the clock went back a year
    write(disk, "dd.out", picture(0.9), 10.0)
    assert {item.id for item in disk.entries()} == {"bb.out", "cc.out", "dd.out"}
    assert all(item.worth(time.time()) > 0 for item in disk.entries())


def test_what_killed_writers_left_is_cleared_away_in_time(tmp_path):
    disk = Disk(tmp_path, PACKS)
    (tmp_path / "ab").mkdir()
    old, young = tmp_path / "ab" / ".weft-old.part", tmp_path / "ab" / ".weft-young.part"
    for file in (old, young):
        file.write_bytes(b"half a value")
    os.utime(old, (time.time() - 7200,) * 2)
    write(disk, "cd.out", picture())
    assert (old.exists(), young.exists()) == (False, True)


# --- several processes, and kill -9 ----------------------------------------------------------------------------------


FAULT = """
import os, sys, torch
from pathlib import Path
from engine.disk import Disk
from nodes.types import Image
folder, call, way = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
where, name = os, {"open": "open", "write": "fdopen", "sync": "fsync", "rename": "replace"}[call]
true, calls = getattr(where, name), []

class Half:
    def __init__(self, stream):
        self.stream = stream
    def __enter__(self):
        return self
    def __exit__(self, *_):
        self.stream.close()
    def write(self, data):
        self.stream.write(data[: len(data) // 2])
        self.stream.flush()
        fails()

def fails():
    calls.append(1)
    if way == "killed":
        os._exit(9)
    raise OSError(28, "No space left on device")

def instead(*args, **more):
    if call == "open" and not str(args[0]).endswith(".part"):
        return true(*args, **more)
    if call == "write":
        return Half(true(*args, **more))
    fails()

disk = Disk(folder, {"engine", "nodes"})
disk.put("aa.out", Image(torch.full((1, 64, 64, 3), 0.25)), 1.0)
disk.flush()
setattr(where, name, instead)
disk.put("ab.out", Image(torch.full((1, 64, 64, 3), 0.5)), 1.0)
disk.flush()
setattr(where, name, true)
assert calls and disk.problem, (calls, disk.problem)
disk._resume_at = 0.0
disk.put("cd.out", Image(torch.full((1, 64, 64, 3), 0.75)), 1.0)
disk.close()
assert disk.problem == ""
"""


@pytest.mark.parametrize("way", ["killed", "refused"])
@pytest.mark.parametrize("call", ["open", "write", "sync", "rename"])
def test_whatever_call_of_a_write_does_not_return_nothing_half_is_read(tmp_path, call, way):
    done = subprocess.run(
        [sys.executable, "-c", FAULT, str(tmp_path), call, way], check=False, capture_output=True, text=True
    )
    assert done.returncode == (9 if way == "killed" else 0), done.stderr
    disk = Disk(tmp_path, PACKS)
    assert disk.get("ab.out") is None
    assert not disk.known("ab.out")
    sound, bad = disk.verify()
    assert (sound, bad) == (1, [])  # the first; or, where the disk had been full, the one that came later
    if way == "refused":
        assert [item.id for item in disk.entries()] == ["cd.out"]
        assert not list(tmp_path.rglob("*.part"))


def test_who_offers_while_the_tier_closes_keeps_nobody_waiting_and_leaves_no_writer(tmp_path):
    before = set(threading.enumerate())
    disk = Disk(tmp_path, PACKS, quick=0.0)
    stop = threading.Event()

    def offer() -> None:
        number = 0
        while not stop.is_set():
            disk.put(f"{number:04x}.out", picture(0.5, 4), 1.0)
            number += 1

    def closing() -> None:
        for _ in range(50):
            disk.close()

    offering = threading.Thread(target=offer)
    offering.start()
    closer = threading.Thread(target=closing, daemon=True)
    closer.start()
    closer.join(60)
    stop.set()
    offering.join()
    assert not closer.is_alive()
    disk.close()
    assert set(threading.enumerate()) - before - {closer} == set()
    assert disk.verify()[1] == []


CROWD = """
import random, sys, time, torch
from pathlib import Path
from engine.disk import Disk
from nodes.types import Image
folder, seed = Path(sys.argv[1]), int(sys.argv[2])
dice = random.Random(seed)
disk = Disk(folder, {"engine", "nodes"}, limit=600_000)
wrong = 0
until = time.monotonic() + float(sys.argv[3])
while time.monotonic() < until:
    number = dice.randrange(12)
    id = f"{number:02d}.out"
    found = disk.get(id)
    if found is not None and not bool((found.pixels == number / 16).all()):
        wrong += 1
    disk.put(id, Image(torch.full((1, 100, 100, 3), number / 16)), dice.random() + 0.1)
    if dice.random() < 0.05:
        disk.clear()
disk.close()
print(wrong, disk.problem)
"""


def test_many_processes_in_one_folder_never_read_a_wrong_value_whoever_is_killed(tmp_path):
    running = [
        subprocess.Popen(
            [sys.executable, "-c", CROWD, str(tmp_path), str(seed), "4"], stdout=subprocess.PIPE, text=True
        )
        for seed in "12"
    ]
    victim = subprocess.Popen([sys.executable, "-c", CROWD, str(tmp_path), "9", "600"], stdout=subprocess.PIPE)
    told = [process.communicate()[0].split(maxsplit=1) for process in running]
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    assert [words[0] for words in told] == ["0"] * 2
    assert Disk(tmp_path, PACKS).verify()[1] == []
    for item in Disk(tmp_path, PACKS).entries():
        value = Disk(tmp_path, PACKS).get(item.id)
        assert bool((value.pixels == int(item.id[:2]) / 16).all())


RUNNER = """
import sys
from pathlib import Path
from engine.disk import Disk
from engine.errors import fail
from engine.memory import Memory
from engine.places import Places
from engine.records import Records
from engine.session import Session
from tests.engine import toys
from tests.engine.conftest import PINNED
from tests.engine.test_bad_states import work
home = Places(home=Path(sys.argv[1]))
disk = Disk(home.home / "cache", {"engine", "nodes", "tests"}, quick=0.0)
records = Records(home.home / "records.sqlite")
memory = Memory({"cpu": 2**26})
session = Session(registry=toys.registry(), places=home, numerics=PINNED, memory=memory, records=records, lower=disk)
session.engine.checkpoints.spacing = session.engine.checkpoints.share = 0.0
for number in range(int(sys.argv[2]), 20):
    result = session.run(work(number))
    assert result.state == "succeeded", result.problems
    print(number, result.files[0], flush=True)
"""


def work(number: int):
    nodes = {
        "c": box("toy.climb", text=f"t{number}", steps=12, last=f"!{number}"),
        "u": box("toy.upper", thing="@c"),
        "s": box("toy.save", thing="@u", name=f"n{number}"),
    }
    return flow(nodes)


def test_killed_again_and_again_every_finished_file_is_there_once_and_right(tmp_path):
    """Kill -9 at random moments; the next process goes on, and what was told as finished is never lost or doubled."""
    dice, told, kills = random.Random(5), {}, 0
    until = time.monotonic() + 60
    while len(told) < 20 and time.monotonic() < until:
        child = subprocess.Popen(
            [sys.executable, "-c", RUNNER, str(tmp_path), "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        lines = dice.randrange(1, 12) if kills < 2 else 99
        for line in child.stdout:
            number, file = line.split(maxsplit=1)
            before = told.setdefault(int(number), file.strip())
            assert before == file.strip(), "finished twice"
            lines -= 1
            if lines == 0:
                break
        child.kill()
        kills += 1
        error = child.communicate()[1]
        assert "Error" not in error, error
    assert len(told) == 20
    assert kills >= 3
    for number, file in told.items():
        path = " ".join(str(step) for step in range(11))
        assert Path(file).read_text() == f"T{number} {path} 11!{number}"
    assert Disk(tmp_path / "cache", PACKS).verify()[1] == []


def test_a_wrong_value_on_disk_is_found_by_its_digest_even_where_the_file_is_well_formed(make_session, home):
    disk = Disk(home.home / "cache", PACKS, quick=0.0)
    nodes = {"g": box("toy.grid", value=3.0), "s": box("toy.scale", grid="@g")}
    work = flow(nodes, outputs={"out": "s"})
    session = make_session(lower=disk, records=Records())
    right = session.run(work)["out"].tensor
    session.close()
    for item in disk.entries():
        data = bytearray(item.path.read_bytes())
        data[-2] ^= 0x40
        item.path.write_bytes(data)
    again = make_session(lower=disk, memory=Memory({"cpu": 2**26})).run(work)
    assert torch.equal(again["out"].tensor, right)
    assert again.ran == ["g", "s"]


def test_nothing_of_a_value_that_a_node_wrote_into_is_found_by_the_next_process(make_session, home):
    disk = Disk(home.home / "cache", PACKS, quick=0.0)
    nodes = {"grid": box("toy.grid", value=1), "bad": box("toy.mutate", grid="@grid")}
    late = {"late": box("toy.scale", grid="@grid"), "sum": box("toy.total", grid="@late")}
    first = make_session(lower=disk, limit=0)
    result = first.run(flow({**nodes, **late}, outputs={"bad": "bad", "sum": "sum"}))
    assert result["sum"] == 8.0
    first.close()
    again = make_session(lower=Disk(home.home / "cache", PACKS, quick=0.0))
    sums = {"s": box("toy.total", grid="@grid"), "grid": nodes["grid"]}
    assert again.run(flow(sums, outputs={"s": "s"}))["s"] == 4.0
