"""Memory: one budget per device; what is worth most a byte stays; what is in use always stays."""

import threading
import time

import pytest

from engine.errors import Cancelled, WeftError
from engine.memory import (
    Budget,
    HostDevice,
    Memory,
    Resident,
    is_out_of_memory,
    module_bytes,
    probe,
    set_threads_once,
)
from tests.engine.fakes import FakeDevice, FakeMps, fake_memory
from tests.engine.toys import COUNT, Weights


def budget(limit):
    gone = []

    def resident(name, size, cost=1.0, in_use=0):
        return Resident(name, size, cost, lambda: gone.append(name), in_use=in_use)

    return Budget(FakeDevice(10**9), limit), resident, gone


# --- GreedyDual-Size-Frequency --------------------------------------------------------------------------------------


def test_what_costs_least_a_byte_goes_first():
    held, resident, gone = budget(100)
    held.admit(resident("large and cheap", 60, 1.0))
    held.admit(resident("small and dear", 30, 10.0))
    assert held.admit(resident("new", 40, 5.0))
    assert gone == ["large and cheap"]


def test_what_is_used_more_often_is_worth_more():
    held, resident, gone = budget(100)
    for name in ("often", "seldom"):
        held.admit(resident(name, 50))
    for _ in range(3):
        held.touch("often")
    assert held.admit(resident("new", 50, 2.0))
    assert gone == ["seldom"]


def test_the_clock_lets_old_fame_fade():
    """After enough evictions a newcomer is worth more than what was dear long ago: nothing stays for ever."""
    held, resident, gone = budget(100)
    held.admit(resident("old fame", 50, 50.0))
    for index in range(60):
        held.admit(resident(f"n{index}", 50, 1.0 + index))
    assert "old fame" in gone and held.clock > 0


def test_what_is_not_worth_the_room_is_not_taken_in():
    held, resident, gone = budget(100)
    held.admit(resident("dear", 100, 100.0))
    assert not held.admit(resident("cheap", 100, 1.0))
    assert gone == [] and set(held.residents) == {"dear"}


def test_what_is_larger_than_the_budget_is_not_taken_in_and_nothing_goes_for_it():
    held, resident, gone = budget(100)
    held.admit(resident("small", 10))
    assert not held.admit(resident("huge", 101, 10**9))
    assert gone == []


def test_what_is_in_use_is_never_evicted_and_may_exceed_the_budget():
    held, resident, gone = budget(100)
    leased = resident("leased", 90, 0.001, in_use=1)
    held.admit(leased)
    assert not held.admit(resident("idle", 50, 10.0))
    assert held.admit(resident("leased too", 50, in_use=1))
    assert held.used == 140 and gone == []
    leased.in_use = 0
    held.make_room(0)
    assert gone == ["leased"] and held.used == 50


def test_a_budget_of_nothing_takes_only_what_is_in_use():
    held, resident, _ = budget(0)
    assert not held.admit(resident("idle", 1))
    assert held.admit(resident("leased", 10, in_use=1))


def test_what_is_admitted_twice_counts_once():
    held, resident, _ = budget(100)
    held.admit(resident("a", 40))
    held.admit(resident("a", 40))
    assert held.used == 40 and held.residents["a"].frequency == 2


def test_bytes_are_what_residents_say(monkeypatch):
    held, resident, gone = budget(1000)
    for index in range(10):
        held.admit(resident(str(index), 100))
    assert held.used == 1000
    assert held.clear() == 1000 and held.used == 0 and len(gone) == 10


# --- live modules ---------------------------------------------------------------------------------------------------


def test_a_module_is_built_once_whatever_its_adapters():
    memory = Memory({"cpu": 10**6})
    for adapter in ("red", "blue", ""):
        with memory.lease(Weights("w", adapter), "cpu", "float32") as module:
            assert module.worn == [adapter]
        assert module.worn == []
    assert COUNT["build w"] == 1 and len(memory.modules()) == 1


def test_another_device_or_dtype_is_another_module():
    memory = Memory({"cpu": 10**6})
    with memory.lease(Weights("w"), "cpu", "float32") as one, memory.lease(Weights("w"), "cpu", "bfloat16") as two:
        assert one is not two


def test_a_lease_is_exclusive():
    """Two threads with two adapters on one module: neither ever sees the other's."""
    memory = Memory({"cpu": 10**6})
    wrong = []

    def use(adapter):
        for _ in range(200):
            with memory.lease(Weights("shared", adapter), "cpu", "float32") as module:
                before = list(module.worn)
                time.sleep(0)
                if before != [adapter] or module.worn != [adapter]:
                    wrong.append((adapter, before))

    threads = [threading.Thread(target=use, args=(name,)) for name in ("red", "blue")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert wrong == [] and COUNT["build shared"] == 1


def test_a_lease_ends_clean_when_the_node_raises():
    memory = Memory({"cpu": 10**6})
    with pytest.raises(ZeroDivisionError), memory.lease(Weights("w", "red"), "cpu", "float32") as module:
        raise ZeroDivisionError
    assert module.worn == []
    assert [in_use for *_, in_use in memory.report()["cpu"]] == [False]
    with memory.lease(Weights("w", "blue"), "cpu", "float32") as again:
        assert again is module


class HeavyWeights(Weights):
    def build(self, device, dtype):
        import torch

        COUNT["heavy"] = COUNT.get("heavy", 0) + 1
        module = torch.nn.Linear(1000, 10, bias=False)  # 40,000 bytes
        module.worn = []
        return module


def test_a_module_makes_room_for_itself_and_leaves_when_something_else_needs_it():
    memory = Memory({"cpu": 100_000})
    memory.budget("cpu").admit(Resident("value:v", 80_000, 0.0, lambda: None))
    with memory.lease(HeavyWeights("a"), "cpu", "float32"):
        assert [name for _, name, *_ in memory.report()["cpu"]] == ["HeavyWeights:a:cpu:float32"]
        # While it is leased, nothing makes it go.
        assert memory.budget("cpu").make_room(90_000) == 0
    assert memory.free_everything("cpu") == 40_000 and memory.modules() == []
    with memory.lease(HeavyWeights("a"), "cpu", "float32"):
        pass
    assert COUNT["heavy"] == 2


def test_working_bytes_are_made_room_for():
    memory = Memory({"cpu": 100_000})
    with memory.lease(HeavyWeights("idle"), "cpu", "float32"):
        pass
    with memory.lease(HeavyWeights("busy"), "cpu", "float32", working_bytes=50_000):
        assert [name for _, name, *_ in memory.report()["cpu"]] == ["HeavyWeights:busy:cpu:float32"]


def test_cancel_takes_effect_before_weights_are_loaded():
    memory = Memory({"cpu": 10**6})

    def check():
        raise Cancelled

    with pytest.raises(Cancelled), memory.lease(Weights("never"), "cpu", "float32", check=check):
        pass
    assert "build never" not in COUNT and memory.modules() == []


def test_a_module_that_cannot_be_built_leaves_nothing_behind():
    class Broken(Weights):
        def build(self, device, dtype):
            raise OSError("damaged")

    memory = Memory({"cpu": 10**6})
    for _ in range(2):
        with pytest.raises(OSError, match="damaged"), memory.lease(Broken("b"), "cpu", "float32"):
            pass
    assert memory.modules() == [] and memory.budget("cpu").used == 0


def test_module_bytes_count_each_storage_once():
    import torch

    tied = torch.nn.Sequential(torch.nn.Linear(10, 10, bias=False), torch.nn.Linear(10, 10, bias=False))
    tied[1].weight = tied[0].weight
    assert module_bytes(tied) == 400
    assert module_bytes({"a": tied, "b": torch.nn.Linear(10, 10, bias=False)}) == 800
    assert module_bytes((tied, tied)) == 800 and module_bytes(object()) == 0


# --- devices --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (MemoryError(), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("out of memory of good ideas"), False),
    ],
)
def test_what_running_out_of_memory_looks_like(error, is_one):
    assert is_out_of_memory(error) is is_one


def test_the_fake_device_runs_out_as_a_real_one_does():
    memory, device = fake_memory(1000)
    memory.budget("cpu").admit(Resident("v", 600, 1.0, lambda: None))
    with pytest.raises(RuntimeError) as wrong:
        device.allocate(500)
    assert is_out_of_memory(wrong.value)
    assert memory.free_everything("cpu") == 600
    device.allocate(500)


def test_a_device_that_is_not_there_is_refused_with_the_mend():
    import torch

    if not torch.cuda.is_available():
        with pytest.raises(WeftError, match="no device 'cuda'") as wrong:
            probe("cuda")
        assert wrong.value.code == "device.missing" and "--device cpu" in str(wrong.value)
    with pytest.raises(WeftError, match="no device 'tpu'"):
        probe("tpu")


def test_the_cpu_computes_in_float32_unless_told_otherwise():
    assert probe("cpu").dtype == "float32" and probe("cpu", "bfloat16").dtype == "bfloat16"


def test_the_host_knows_its_memory():
    host = HostDevice()
    assert host.total() > 10**8 and host.free() > 0 and host.peak() is None
    host.release()


def test_the_limit_of_a_budget_can_be_set_from_outside(monkeypatch):
    monkeypatch.setenv("WEFT_MEMORY_CPU", "7")
    assert Memory().budget("cpu").limit == 7 * 2**20
    monkeypatch.delenv("WEFT_MEMORY_CPU")
    assert Memory(devices={"cpu": FakeDevice(1000)}).budget("cpu").limit == 500


def test_the_thread_count_is_set_once_for_the_process():
    import torch

    set_threads_once()
    before = torch.get_num_threads()
    set_threads_once()
    assert torch.get_num_threads() == before


def test_the_fake_mps_refuses_float64():
    mps = FakeMps()
    assert mps.asarray([1.0], "float32").dtype.itemsize == 4
    with pytest.raises(TypeError, match="float64"):
        mps.asarray([1.0], "float64")
