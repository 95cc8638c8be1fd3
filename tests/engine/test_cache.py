"""The cache: ids to values over the tiers, an index over residents and nothing more."""

import threading

import pytest
import torch

from engine.cache import Cache
from engine.memory import Memory
from engine.values import nbytes
from tests.engine.fakes import FakeDevice
from tests.engine.toys import Grid, Thing


def cache(limit=10**6, lower=None):
    memory = Memory({"cpu": limit})
    return Cache(memory, lower), memory


def test_a_value_that_was_offered_is_known_leased_and_released():
    held, memory = cache()
    assert held.known("a") is None and held.lease("a") is None
    value = Thing("a")
    held.put("a", value, 1.0)
    assert held.known("a") == "host"
    tier, found = held.lease("a")
    assert (tier, found) == ("host", value) and found is value
    assert [in_use for *_, in_use in memory.report()["cpu"]] == [True]
    held.release("a")
    assert [in_use for *_, in_use in memory.report()["cpu"]] == [False]


def test_what_is_leased_stays_whatever_comes():
    held, memory = cache(1000)
    held.put("kept", Thing("", b"x" * 900), 0.001, pinned=True)
    for index in range(20):
        held.put(f"n{index}", Thing("", b"x" * 900), 100.0)
    assert held.known("kept") and len(held) == 1
    held.release("kept")
    held.put("new", Thing("", b"x" * 900), 100.0)
    assert held.known("kept") is None and held.known("new")
    assert memory.budget("cpu").used <= 1000


def test_a_lease_may_exceed_the_budget_and_its_end_makes_room():
    held, memory = cache(1000)
    for index in range(3):
        held.put(f"p{index}", Thing("", b"x" * 900), 1.0, pinned=True)
    assert memory.budget("cpu").used > 2700
    for index in range(3):
        held.release(f"p{index}")
    assert memory.budget("cpu").used <= 1000


def test_without_a_budget_nothing_is_kept():
    held, _ = cache(0)
    value = Thing("a")
    assert held.put("a", value, 1.0) == value
    assert held.known("a") is None and len(held) == 0


def test_a_value_offered_twice_is_held_once():
    held, memory = cache()
    held.put("a", Thing("a", b"x" * 500), 1.0, pinned=True)
    used = memory.budget("cpu").used
    held.put("a", Thing("a", b"x" * 500), 1.0, pinned=True)
    assert memory.budget("cpu").used == used
    held.release("a")
    assert memory.report()["cpu"][0][3]  # the other lease holds on
    held.release("a")
    assert not memory.report()["cpu"][0][3]
    held.release("a")  # one too many is harmless
    assert not memory.report()["cpu"][0][3]


def test_a_small_view_is_cloned_before_it_is_kept():
    held, memory = cache()
    large = torch.zeros(100_000)
    kept = held.put("v", Grid(large[:4]), 1.0)
    assert kept.tensor.untyped_storage().nbytes() == 16
    assert memory.budget("cpu").used < 1000


def test_everything_that_shares_memory_with_what_was_written_into_goes():
    held, _ = cache()
    tensor = torch.zeros(100)
    held.put("whole", Grid(tensor), 1.0)
    held.put("half", Grid(tensor[:60]), 1.0)
    held.put("other", Grid(torch.zeros(100)), 1.0)
    assert set(held.drop_sharing(Grid(tensor))) == {"whole", "half"}
    assert held.known("whole") is None and held.known("half") is None and held.known("other")


def test_clear_forgets_what_is_idle():
    held, memory = cache()
    held.put("idle", Thing("a"), 1.0)
    held.put("leased", Thing("b"), 1.0, pinned=True)
    assert held.clear() == nbytes(Thing("a"))
    assert held.known("idle") is None and held.known("leased")
    assert len(memory.budget("cpu").residents) == 1


class Shelf:
    """A tier below the host that keeps everything."""

    name = "shelf"
    pace = 0.0

    def __init__(self):
        self.kept = {}
        self.damaged = set()

    def known(self, id):
        return id in self.kept

    def get(self, id):
        return None if id in self.damaged else self.kept.get(id)

    def put(self, id, value, seconds, about=None):
        self.kept[id] = value

    def drop(self, id):
        self.kept.pop(id, None)

    def close(self):
        pass


def test_the_tier_below_gets_what_is_offered_and_gives_it_back():
    shelf = Shelf()
    one, _ = cache(0, shelf)
    one.put("a", Thing("a"), 1.0)
    assert one.known("a") == "shelf"
    assert one.lease("a") == ("shelf", Thing("a"))
    one.release("a")
    other, _ = cache(10**6, shelf)
    assert other.lease("a") == ("shelf", Thing("a"))
    assert other.known("a") == "host"  # it is nearer now


def test_a_damaged_value_below_is_no_value():
    shelf = Shelf()
    held, _ = cache(0, shelf)
    held.put("a", Thing("a"), 1.0)
    shelf.damaged.add("a")
    assert held.known("a") == "shelf" and held.lease("a") is None


def test_a_job_goes_on_when_the_tier_below_turns_out_damaged(make_session):
    from tests.engine.flows import box, flow

    shelf = Shelf()
    session = make_session(0, lower=shelf)
    work = flow({"m": box("toy.make"), "u": box("toy.upper", thing="@m")}, outputs={"out": "u"})
    session.run(work)
    assert session.run(work).ran == []
    shelf.damaged.update(shelf.kept)
    result = session.run(work)
    assert result.state == "succeeded" and result.ran == ["m", "u"]


def test_what_a_device_gives_up_is_kept_on_the_host_if_it_is_worth_it(monkeypatch):
    """The fake device's values say they are there; moving them is the world's part."""
    import engine.cache as room

    memory = Memory({"cpu": 10_000, "fake:0": 1000}, {"fake:0": FakeDevice(1000, "fake:0")})
    held = Cache(memory)
    monkeypatch.setattr(room, "device_of", lambda value: "fake:0")
    monkeypatch.setattr(room, "moved", lambda value, device: value)
    held.put("first", Thing("", b"x" * 800), 1.0)
    assert held.known("first") == "device"
    held.put("second", Thing("", b"x" * 800), 5.0)
    assert held.known("second") == "device" and held.known("first") == "host"
    assert memory.budget("fake:0").used <= 1000
    assert [kind for kind, *_ in memory.report()["cpu"]] == ["value"]


def test_many_threads_keep_the_count(monkeypatch):
    held, memory = cache(5000)
    errors = []

    def work(name):
        try:
            for index in range(200):
                id = f"{name}{index % 7}"
                held.put(id, Thing("", b"x" * 400), 1.0)
                if held.lease(id) is not None:
                    held.release(id)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    budget = memory.budget("cpu")
    assert budget.used == sum(resident.bytes for resident in budget.residents.values()) <= 5000
    assert all(not resident.in_use for resident in budget.residents.values())


@pytest.mark.parametrize("pinned", [True, False])
def test_dropping_a_value_takes_its_bytes_off_the_budget(pinned):
    held, memory = cache()
    held.put("a", Thing("a", b"x" * 500), 1.0, pinned=pinned)
    held.drop("a")
    assert memory.budget("cpu").used == 0 and held.known("a") is None
    held.drop("a")
