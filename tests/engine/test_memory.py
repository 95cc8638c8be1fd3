"""Memory: one budget per device; what is worth most a byte stays; what is in use always stays."""

import random
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.cache import Cache
from engine.errors import Cancelled, WeftError
from engine.memory import (
    Budget,
    Footprint,
    HostDevice,
    Memory,
    Resident,
    choose,
    has_changed,
    is_out_of_memory,
    module_bytes,
    probe,
    set_threads_once,
    signature,
)
from tests.engine.fakes import FakeDevice, FakeMps, fake_memory
from tests.engine.toys import COUNT, Weights


def budget(limit):
    gone = []

    def resident(name, size, cost=1.0, in_use=0):
        return Resident(name, size, cost, lambda: gone.append(name), in_use=in_use)

    return Budget(FakeDevice(10**9), limit), resident, gone


# --- what is worth most stays ---------------------------------------------------------------------------------------


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


class Parts:
    """A live model of the fake device: bytes that lie here or there."""

    def __init__(self, world, where, count):
        self.world, self.where, self.count, self.worn = world, where, count, []
        self.to(where)

    def to(self, where):
        self.world.move(self, where)
        self.where = where
        return self

    def parameters(self):
        return [self]

    def buffers(self):
        return []

    def data_ptr(self):
        return id(self)

    def numel(self):
        return self.count

    def element_size(self):
        return 1


class World:
    """Every byte of a fake device that live models take; more than it has is an error."""

    def __init__(self, limit):
        self.limit, self.peak = limit, 0
        self.held = WeakKeyDictionary()  # what nobody refers to any more is free again
        self.log = []
        self.working = 0
        self.lock = threading.RLock()

    def move(self, part, where):
        with self.lock:
            self.held[part] = part.count if where == "gpu" else 0
            self.look()

    def look(self):
        now = sum(self.held.values()) + self.working
        self.peak = max(self.peak, now)
        if now > self.limit:
            raise RuntimeError(f"fake: out of memory, {now} of {self.limit}")

    @contextmanager
    def compute(self, count):
        """Activations, and parts of weights that come while they are needed."""
        with self.lock:
            self.working += count
            self.look()
        try:
            yield
        finally:
            with self.lock:
                self.working -= count


@dataclass(frozen=True)
class OnDevice:
    """A model of `count` bytes in blocks of a quarter and layers of a sixteenth."""

    weights: str
    count: int
    adapters: tuple = ()
    world: Any = field(default=None, compare=False)

    def footprint(self, dtype):
        return Footprint(self.count, self.count // 2, self.count // 8)

    def build(self, device, dtype):
        return Parts(self.world or World(10**12), device, self.count)

    def attach(self, module):
        return lambda: None

    def stream(self, module, device, way):
        module.world.log.append((self.weights, way))
        assert module.where == "cpu"
        return lambda: module.world.log.append((self.weights, "unhooked"))


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


def test_models_are_given_back_on_request_but_not_what_is_in_use_and_no_values():
    memory = Memory({"gpu": 100_000, "cpu": 100_000}, {"gpu": FakeDevice(100_000, "gpu")})
    memory.budget("cpu").admit(Resident("value:v", 10_000, 1.0, lambda: None))
    with memory.lease(HeavyWeights("idle"), "cpu", "float32"):
        pass
    with memory.lease(OnDevice("there", 40_000), "gpu", "float32"):
        assert memory.forget_models() == 40_000, "the idle one on the host"
        assert len(memory.modules()) == 1
    assert memory.forget_models() == 40_000, "off the device, and not to the host"
    assert memory.modules() == [] and memory.budget("gpu").used == 0 and memory.budget("cpu").used == 10_000


def test_the_largest_are_those_that_the_report_begins_with():
    memory = Memory({"cpu": 10**6})
    assert memory.largest("cpu", 3) == []
    for size in random.Random(1).sample(range(1, 1000), 20):
        memory.budget("cpu").admit(Resident(f"value:{size}", size, 1.0, lambda: None, in_use=size % 2))
    assert memory.largest("cpu", 3) == memory.report()["cpu"][:3]


def test_working_bytes_are_made_room_for_on_a_device():
    memory = Memory({"gpu": 100_000, "cpu": 0}, {"gpu": FakeDevice(100_000, "gpu")})
    with memory.lease(OnDevice("idle", 40_000), "gpu", "float32"):
        pass
    with memory.lease(OnDevice("busy", 40_000), "gpu", "float32", working_bytes=50_000):
        held = [(kind, size) for kind, _, size, _ in memory.report()["gpu"]]
        assert held == [("working", 50_000), ("weights", 40_000)]
    assert [name for _, name, *_ in memory.report()["gpu"]] == ["OnDevice:busy:gpu:float32"]


def test_a_small_budget_on_the_host_does_not_lose_what_it_keeps_to_activations():
    """The host's budget is for what is kept; as long as memory is free, activations take none of it."""
    memory = Memory({"cpu": 100_000})
    memory.budget("cpu").admit(Resident("value:v", 50_000, 1.0, lambda: None))
    with memory.lease(HeavyWeights("a"), "cpu", "float32", working_bytes=10**6):
        pass
    assert "value:v" in memory.budget("cpu").residents


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


# --- a model that does not fit whole ---------------------------------------------------------------------------------


def gpu(limit, host=10**9):
    world = World(limit)
    return Memory({"gpu": limit, "cpu": host}, {"gpu": FakeDevice(limit, "gpu")}), world


@pytest.mark.parametrize(
    ("room", "way"), [(1000, "whole"), (110, "whole"), (109, "blocks"), (60, "blocks"), (59, "layers"), (0, "layers")]
)
def test_a_model_stands_in_the_first_way_that_fits(room, way):
    assert choose(Footprint(100, 50, 12), 10, room) == way


def test_what_leaves_a_device_waits_on_the_host_and_comes_back_without_being_read_again():
    """A text encoder goes when the denoiser needs the room, and its file is read once."""
    memory, world = gpu(100)
    text, unet = OnDevice("text", 40, world=world), OnDevice("unet", 80, world=world)
    with memory.lease(text, "gpu", "float16") as first:
        assert first.where == "gpu"
    with memory.lease(unet, "gpu", "float16", working_bytes=20) as module:
        assert (module.where, first.where) == ("gpu", "cpu")
    with memory.lease(text, "gpu", "float16", working_bytes=20) as again:
        assert again is first and again.where == "gpu" and module.where == "cpu"
    assert world.peak <= 100


def test_without_room_on_the_host_what_leaves_is_gone():
    memory, world = gpu(100, host=10)
    for name in ("a", "b"):
        with memory.lease(OnDevice(name, 80, world=world), "gpu", "float16"):
            pass
    assert memory.modules() == ["OnDevice:b:gpu:float16"]


def test_a_model_larger_than_the_device_comes_in_parts():
    memory, world = gpu(100)
    large = OnDevice("large", 160, world=world)
    with memory.lease(large, "gpu", "float16", working_bytes=10) as module:
        assert module.where == "cpu" and world.log == [("large", "blocks")]
        assert sorted((kind, size) for kind, _, size, _ in memory.report()["gpu"]) == [("working", 10), ("working", 80)]
    with memory.lease(large, "gpu", "float16", working_bytes=10):
        assert world.log == [("large", "blocks")]  # the hooks stayed on
    with memory.lease(large, "gpu", "float16", working_bytes=60):
        assert world.log[1:] == [("large", "unhooked"), ("large", "layers")]
    assert memory.budget("gpu").used == 0


def test_other_adapters_get_other_hooks():
    memory, world = gpu(100)
    for adapters in ((), ("night",), ("night",)):
        with memory.lease(OnDevice("large", 160, adapters, world), "gpu", "float16"):
            pass
    assert world.log == [("large", "blocks"), ("large", "unhooked"), ("large", "blocks")]


@dataclass(frozen=True)
class Dressed(OnDevice):
    """What it wears is as many bytes as each name has letters, and stays on it afterwards."""

    def worn_bytes(self, dtype):
        return sum(map(len, self.adapters))

    def attach(self, module):
        if self.adapters and module.count != self.count + self.worn_bytes(""):
            module.count = self.count + self.worn_bytes("")
            module.to(module.where)
            has_changed(module)
        return lambda: None


def test_what_stays_on_a_module_stays_in_the_books():
    memory, world = gpu(1000)
    for adapters, size in ((), 100), (("four",), 104), ((), 104), (("other",), 105):
        recipe = Dressed("m", 100, adapters, world)
        with memory.lease(recipe, "gpu", "float16"):
            assert memory.budget("gpu").used == size
        assert memory.budget("gpu").used == size


def test_what_changes_on_a_module_during_its_lease_is_counted_after_it():
    """Adapters with a range of steps come while the module is leased without them."""
    memory, world = gpu(1000)
    with memory.lease(OnDevice("m", 100, (), world), "gpu", "float16") as module:
        Dressed("m", 100, ("twelve bytes",), world).attach(module)
        assert memory.budget("gpu").used == 100
    assert memory.budget("gpu").used == 112


def test_room_for_adapters_is_made_before_they_are_loaded():
    memory, world = gpu(150)
    with memory.lease(OnDevice("idle", 45, (), world), "gpu", "float16") as idle:
        pass
    with memory.lease(Dressed("m", 100, ("x" * 10,), world), "gpu", "float16"):
        assert idle.where == "cpu" and world.peak <= 150


def test_a_model_that_its_adapters_make_too_large_comes_in_parts():
    memory, world = gpu(120)
    with memory.lease(Dressed("m", 100, ("x" * 30,), world), "gpu", "float16") as module:
        assert module.where == "cpu" and world.log == [("m", "blocks")]
        # A half of the weights and a half of what they wear.
        assert [(kind, size) for kind, _, size, _ in memory.report()["gpu"] if size] == [("working", 65)]
    with memory.lease(Dressed("m", 100, (), world), "gpu", "float16"):
        assert world.log == [("m", "blocks"), ("m", "unhooked"), ("m", "blocks")]  # they are still on it


def test_a_model_that_fits_again_stands_whole_again():
    memory, world = gpu(100)
    model = OnDevice("m", 90, world=world)
    with memory.lease(model, "gpu", "float16", working_bytes=30) as module:
        assert module.where == "cpu"
    with memory.lease(model, "gpu", "float16") as module:
        assert module.where == "gpu" and world.log[-1] == ("m", "unhooked")


def test_after_a_device_ran_out_no_model_stands_whole():
    memory, world = gpu(100)
    with memory.lease(OnDevice("m", 50, world=world), "gpu", "float16") as module:
        assert module.where == "gpu"
    with memory.in_parts("gpu", "blocks") as helps, memory.lease(OnDevice("m", 50, world=world), "gpu", "float16"):
        assert helps and module.where == "cpu" and world.log == [("m", "blocks")]
    with memory.in_parts("cpu", "blocks") as helps:
        assert not helps


def test_a_move_that_fails_leaves_the_module_on_the_host():
    memory, world = gpu(100)
    model = OnDevice("m", 50, world=world)
    with memory.lease(model, "gpu", "float16"):
        pass
    memory.free_everything("gpu")
    world.limit = 10
    with pytest.raises(RuntimeError, match="out of memory"), memory.lease(model, "gpu", "float16"):
        pass
    world.limit = 100
    assert memory.budget("gpu").used == 0 and memory.budget("cpu").used == 50
    with memory.lease(model, "gpu", "float16") as module:
        assert module.where == "gpu"


def test_threads_that_lease_keep_and_evict_at_once_stay_within_the_budget_and_leave_nothing_leased():
    """Four threads, a device for all that they can have in use at once and not much more."""
    memory, world = gpu(3400, host=2000)
    values = Cache(memory)
    errors = []

    def work(seed):
        dice = random.Random(seed)
        try:
            for _ in range(80):
                kind = dice.choice(["lease", "lease", "value", "free", "touch"])
                if kind == "lease":
                    size, working = 100 * dice.randint(1, 6), dice.randint(0, 200)
                    model = OnDevice(f"m{size}", size, world=world)
                    with memory.lease(model, "gpu", "float16", working) as module, world.compute(working):
                        assert module.where == "gpu" and module.count == size
                elif kind == "value":
                    values.put(f"v{dice.randrange(8)}", b"x" * dice.randint(1, 400), dice.random())
                elif kind == "free":
                    memory.free_everything(dice.choice(["gpu", "cpu"]))
                elif (found := values.lease(id := f"v{dice.randrange(8)}")) is not None:
                    assert set(found[1]) == {ord("x")}
                    values.release(id)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == [] and not any(thread.is_alive() for thread in threads)
    for name in ("gpu", "cpu"):
        budget = memory.budget(name)
        assert budget.used == sum(resident.bytes for resident in budget.residents.values()) <= budget.limit
        assert all(not resident.in_use for resident in budget.residents.values())
    assert world.peak <= 3400 and memory.budget("gpu").peak <= 3400


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_peak_stays_within_the_budget_under_random_work(data):
    """Models of many sizes, alone and two at once, values kept and dropped: the device never holds more than it may."""
    memory, world = gpu(1000, host=data.draw(st.sampled_from([0, 500, 10**6])))
    values = []
    for turn in range(data.draw(st.integers(1, 12))):
        kind = data.draw(st.sampled_from(["model", "two", "value"]))
        if kind == "value":
            size = data.draw(st.integers(1, 400))
            memory.budget("gpu").admit(Resident(f"value:{turn}", size, data.draw(st.floats(0, 10)), lambda: None))
            values.append(size)
            continue
        names = data.draw(st.lists(st.sampled_from("abcdef"), min_size=2, max_size=2, unique=True))
        with ExitStack() as stack:
            for name in names[: 2 if kind == "two" else 1]:
                size = 100 + 150 * "abcdef".index(name)
                working = data.draw(st.integers(0, 200))
                if memory.budget("gpu").leased() + size // 8 + working > 1000:
                    continue  # not even layer by layer
                module = stack.enter_context(memory.lease(OnDevice(name, size, world=world), "gpu", "float16", working))
                parts = size // 8 if module.where == "cpu" else 0
                del module  # what is given up is gone when nobody refers to it
                stack.enter_context(world.compute(working + parts))
                assert memory.budget("gpu").used <= 1000
    assert memory.budget("gpu").peak <= 1000 and world.peak <= 1000
    assert all(not resident.in_use for resident in memory.budget("gpu").residents.values())


def test_a_module_whose_file_was_written_over_is_read_again(tmp_path):
    """Its weights are mapped from the file: they may be half the old ones, half the new."""
    file = tmp_path / "w.bin"
    file.write_bytes(b"old")

    class Mapped(Weights):
        def build(self, device, dtype):
            module = super().build(device, dtype)
            module.mapped_files = ((str(file), signature(str(file))),)
            module.modules = lambda: [module]
            return module

    memory = Memory({"cpu": 10**6})
    with memory.lease(Mapped("w"), "cpu", "float32") as first:
        pass
    (tmp_path / "new").write_bytes(b"other")
    (tmp_path / "new").replace(file)  # another file of the same name: what is mapped is the old one, unharmed
    with memory.lease(Mapped("w"), "cpu", "float32") as second:
        assert second is first
    memory.free_everything("cpu")
    with memory.lease(Mapped("w"), "cpu", "float32") as third:
        pass
    file.write_bytes(b"written over")
    with memory.lease(Mapped("w"), "cpu", "float32") as fourth:
        assert fourth is not third


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
    assert host.total() > 10**8 and host.free() == pytest.approx(psutil.virtual_memory().available, rel=0.2)
    host.release()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts a process's peak and begins anew")
def test_the_host_counts_the_most_memory_since_it_was_asked_to_begin_anew():
    host = HostDevice()
    host.peak(reset=True)
    before = host.peak()
    held = bytearray(b"x") * 80_000_000
    del held
    grown = host.peak()
    host.peak(reset=True)
    assert grown - before > 70_000_000
    assert host.peak() < grown - 70_000_000


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


def test_the_ids_of_live_weights_are_known():
    memory = Memory({"cpu": 10**6})
    for name in ("a", "b"):
        with memory.lease(Weights(name), "cpu", "float32"):
            pass
    assert memory.weights() == {"a", "b"}
