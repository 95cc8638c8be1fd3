"""Fakes of the world, and only of the world: devices with a byte budget, a clock, gates between threads."""

import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

from engine.memory import Extent, Memory


@dataclass
class FakeDevice:
    """A device of `bytes` bytes: `allocate` fails as torch does when residents and allocations do not fit."""

    bytes: int
    name: str = "cpu"
    memory: Memory | None = None
    releases: int = 0
    refused: int = 0

    def total(self) -> int:
        return self.bytes

    def free(self) -> int:
        used = self.memory.budget(self.name).used if self.memory else 0
        return self.bytes - used

    def release(self) -> None:
        self.releases += 1

    def peak(self, reset: bool = False) -> int | None:
        return None

    def allocate(self, count: int) -> None:
        """What a kernel does that needs `count` bytes of activations."""
        if count > self.free():
            self.refused += 1
            raise RuntimeError(f"fake: out of memory. Tried to allocate {count} bytes, {self.free()} free")


def fake_memory(count: int, limit: int | None = None) -> tuple[Memory, FakeDevice]:
    """A memory whose `cpu` is a fake device of `count` bytes."""
    device = FakeDevice(count)
    memory = Memory({"cpu": count if limit is None else limit}, {"cpu": device})
    device.memory = memory
    return memory, device


@dataclass
class Clock:
    """Time that moves only when it is told to."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def tick(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Gate:
    """A door in a node: tests wait until the node stands before it, and open it."""

    reached: threading.Event = field(default_factory=threading.Event)
    open: threading.Event = field(default_factory=threading.Event)
    passed: int = 0

    def wait(self, look: Callable[[], None]) -> None:
        """Stand before the door until it is open; `look` raises when the job is cancelled."""
        self.reached.set()
        while not self.open.wait(0.005):
            look()
        self.passed += 1


@dataclass
class FakeDisk:
    """A disk from which a file comes in four pieces; each waits for the file's gate, where it has one."""

    near: set[str] = field(default_factory=set)  # paths that are in memory
    brought: list[str] = field(default_factory=list)  # a path for each piece that came
    asked: list[str] = field(default_factory=list)

    def missing(self, extent: Extent) -> int:
        self.asked.append(extent.path)
        return 0 if extent.path in self.near else extent.end - extent.start

    def bring(self, extent: Extent) -> Generator[int]:
        for _ in range(4):
            if f"disk {extent.path}" in GATES:
                GATES[f"disk {extent.path}"].reached.set()
                GATES[f"disk {extent.path}"].open.wait(10)
            self.brought.append(extent.path)
            yield (extent.end - extent.start) // 4
        self.near.add(extent.path)


GATES: dict[str, Gate] = {}


def gate(name: str) -> Gate:
    return GATES.setdefault(name, Gate())


@dataclass(frozen=True)
class FakeMps:
    """The arithmetic of Apple's devices: everything torch has, but no float64."""

    name: str = "mps"

    def asarray(self, values, dtype: str):
        import torch

        if dtype == "float64":
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64")
        return torch.tensor(values, dtype=getattr(torch, dtype))
