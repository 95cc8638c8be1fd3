"""Memory: one budget per device for everything resident, weights and tensors alike.

A `Resident` is something that takes room on a device and can be given up: a module's weights, a cached value, a
checkpoint. Each device has one `Budget`, which evicts by GreedyDual-Size-Frequency (Cherkasova 1998):

    priority = clock + frequency * cost / bytes          the clock rises to the priority of what was evicted last

`cost` is measured: the seconds it took to compute the value, or to load the module again. So a small tensor that took
long to make outlives a large one that is quickly made, and nothing stays for ever. What is in use is never evicted;
leased bytes may exceed the limit, so a limit of 0 means no reuse, not failure.

Live modules are reached only through `Memory.lease`: room made, locked for one thread, set exactly to the recipe.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from engine.errors import fail
from engine.numerics import Numerics, threads
from engine.run import Leasable
from engine.values import loaded_torch

MB = 2**20


# --- devices -------------------------------------------------------------------------------------------------------


class Device(Protocol):
    """A place that computes: what it is called, how many bytes it has, and what it does when they run out."""

    name: str

    def total(self) -> int:
        """Bytes of memory."""

    def free(self) -> int:
        """Bytes nobody holds, as far as the driver knows."""

    def release(self) -> None:
        """Give cached blocks back to the driver."""

    def peak(self, reset: bool = False) -> int | None:
        """The most bytes that were in use since the last reset, if the device counts."""


@dataclass
class HostDevice:
    """The CPU and its memory."""

    name: str = "cpu"

    def total(self) -> int:
        """Bytes of memory this process may use: the machine's, or its container's limit."""
        import psutil

        total = int(psutil.virtual_memory().total)
        for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
            try:
                with open(limit) as stream:
                    text = stream.read().strip()
            except OSError:
                continue
            if text.isdigit():
                total = min(total, int(text))
        return total

    def free(self) -> int:
        """Bytes available without swapping."""
        import psutil

        return int(psutil.virtual_memory().available)

    def release(self) -> None:
        """Python's allocator keeps its own counsel."""

    def peak(self, reset: bool = False) -> int | None:
        """Not counted on the host."""
        return None


@dataclass
class TorchDevice:
    """A CUDA or ROCm, MPS or XPU device, through torch."""

    name: str

    @property
    def _module(self) -> Any:
        import torch

        return getattr(torch, self.name.partition(":")[0])

    def total(self) -> int:
        """Bytes of device memory (Apple: what Metal recommends)."""
        if self.name.startswith("mps"):
            return int(self._module.recommended_max_memory())
        return int(self._module.get_device_properties(self.name).total_memory)

    def free(self) -> int:
        """Bytes the driver can still give."""
        if self.name.startswith("mps"):
            return self.total() - int(self._module.driver_allocated_memory())
        return int(self._module.mem_get_info(self.name)[0])

    def release(self) -> None:
        """Empty torch's block cache."""
        self._module.empty_cache()

    def peak(self, reset: bool = False) -> int | None:
        """Bytes allocated at the peak."""
        if not hasattr(self._module, "max_memory_allocated"):
            return None
        if reset:
            self._module.reset_peak_memory_stats(self.name)
            return None
        return int(self._module.max_memory_allocated(self.name))


def probe(device: str = "auto", dtype: str = "auto", **overrides: Any) -> Numerics:
    """The numerics of this machine: the best device there is, or the one asked for.

    Imports torch only where its answer is needed: a CPU build of torch has no other device. fp16 and bf16 are chosen
    only on devices; on the CPU `auto` is float32.
    """
    from engine.numerics import versions

    cpu_build = dict(versions()).get("torch", "").endswith("+cpu")
    if device == "auto" and cpu_build:
        device = "cpu"
    if device == "cpu":
        return Numerics("cpu", "", "float32" if dtype == "auto" else dtype, **overrides)
    import torch

    if device == "auto":
        device = _best_device()
    kind = device.partition(":")[0]
    if kind == "cpu":
        return Numerics("cpu", "", "float32" if dtype == "auto" else dtype, **overrides)
    backend = getattr(torch, kind, None)
    if backend is None or not hasattr(backend, "is_available") or not backend.is_available():
        raise fail(
            "device.missing", f"this machine has no device '{device}'", mend="leave --device out, or use --device cpu"
        )
    if ":" not in device and kind in ("cuda", "xpu"):
        device = f"{kind}:0"
    if kind in ("cuda", "xpu") and int(device.partition(":")[2]) >= backend.device_count():
        count = backend.device_count()
        raise fail("device.missing", f"there is no '{device}': this machine has {count}", mend=f"use {kind}:0")
    capability = ""
    if kind == "cuda":
        capability = f"{backend.get_device_name(device)} {backend.get_device_capability(device)}"
    if dtype == "auto":
        # fp16 keeps more mantissa than bf16; most published weights were made for it.
        dtype = "float16"
    return Numerics(device, capability, dtype, **overrides)


def _best_device() -> str:
    import torch

    if torch.cuda.is_available():
        return "cuda:0"
    if hasattr(torch, "xpu") and torch.xpu.is_available():
        return "xpu:0"
    if torch.backends.mps.is_available():
        return "mps"
    return "cpu"


_threads_set = False
_threads_lock = threading.Lock()


def set_threads_once() -> None:
    """Load torch, on one thread, and set its thread count: once per process, because it changes summation order.

    Steps of two lanes that import torch at the same moment can wait for each other for ever; here they queue.
    """
    global _threads_set
    if not _threads_set:
        with _threads_lock:
            import torch

            if not _threads_set:
                torch.set_num_threads(threads())
                _threads_set = True


def is_out_of_memory(error: BaseException) -> bool:
    """Did a device (or the host) run out of memory?"""
    if isinstance(error, MemoryError):
        return True
    torch = loaded_torch()
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "out of memory" in str(error).lower()


# --- residents and budgets -----------------------------------------------------------------------------------------


@dataclass(eq=False)
class Resident:
    """Something that takes room on a device and can be given up."""

    name: str
    bytes: int
    cost: float
    evict: Callable[[], None]
    kind: str = "value"
    in_use: int = 0
    frequency: int = 1
    priority: float = 0.0


@dataclass(eq=False)
class Budget:
    """The residents of one device and the rule by which they go. Callers hold `Memory.lock`."""

    device: Device
    limit: int
    residents: dict[str, Resident] = field(default_factory=dict)
    clock: float = 0.0
    used: int = 0
    evictions: int = 0

    def _score(self, resident: Resident) -> float:
        return self.clock + resident.frequency * max(resident.cost, 1e-6) / max(resident.bytes, 1)

    def touch(self, name: str) -> None:
        """It was used again."""
        resident = self.residents[name]
        resident.frequency += 1
        resident.priority = self._score(resident)

    def admit(self, resident: Resident) -> bool:
        """Take it in if it is worth the room: evicts what is worth less. False when it was not kept."""
        if resident.name in self.residents:
            self.touch(resident.name)
            return True
        resident.priority = self._score(resident)
        if resident.in_use == 0:
            if resident.bytes > self.limit:
                return False
            if not self._can_make_room(resident):
                return False
        self.make_room(resident.bytes)
        self.residents[resident.name] = resident
        self.used += resident.bytes
        return True

    def _can_make_room(self, resident: Resident) -> bool:
        """Would only residents worth less have to go?"""
        short = self.used + resident.bytes - self.limit
        if short <= 0:
            return True
        for other in sorted(self.residents.values(), key=lambda r: r.priority):
            if other.in_use:
                continue
            if other.priority > resident.priority:
                return False
            short -= other.bytes
            if short <= 0:
                return True
        return False

    def make_room(self, wanted: int) -> int:
        """Evict the least valuable until `wanted` bytes fit under the limit; the bytes freed."""
        freed = 0
        while self.used + wanted > self.limit:
            idle = [resident for resident in self.residents.values() if not resident.in_use]
            if not idle:
                break
            victim = min(idle, key=lambda r: r.priority)
            self.clock = victim.priority
            freed += self.remove(victim)
        return freed

    def remove(self, resident: Resident) -> int:
        """Give one resident up."""
        if self.residents.pop(resident.name, None) is None:
            return 0
        self.used -= resident.bytes
        self.evictions += 1
        resident.evict()
        return resident.bytes

    def clear(self) -> int:
        """Give up everything that is not in use."""
        return sum(self.remove(r) for r in list(self.residents.values()) if not r.in_use)


@dataclass(eq=False)
class _Module:
    """A live module with the lock that makes one thread its user."""

    resident: Resident
    module: Any
    device: str
    lock: threading.RLock = field(default_factory=threading.RLock)


class Memory:
    """All budgets, and the live modules."""

    def __init__(self, limits: dict[str, int] | None = None, devices: dict[str, Device] | None = None) -> None:
        """`limits` in bytes by device name; what is not named gets a share of what the device has."""
        self.lock = threading.RLock()
        self._limits = dict(limits or {})
        self._devices: dict[str, Device] = dict(devices or {})
        self._budgets: dict[str, Budget] = {}
        self._modules: dict[str, _Module] = {}
        self._building: dict[str, threading.Lock] = {}

    def device(self, name: str) -> Device:
        """The device of this name."""
        if name not in self._devices:
            self._devices[name] = HostDevice() if name == "cpu" else TorchDevice(name)
        return self._devices[name]

    def budget(self, name: str) -> Budget:
        """The budget of a device: its limit, or half the host's memory, or 90 % of a device's."""
        with self.lock:
            if name not in self._budgets:
                device = self.device(name)
                limit = self._limits.get(name)
                if limit is None:
                    given = os.environ.get("WEFT_MEMORY_" + name.partition(":")[0].upper())
                    share = 0.5 if name == "cpu" else 0.9
                    limit = int(given) * MB if given and given.isdigit() else int(device.total() * share)
                self._budgets[name] = Budget(device, limit)
            return self._budgets[name]

    def report(self) -> dict[str, list[tuple[str, str, int, bool]]]:
        """Who holds what: device -> (kind, name, bytes, in use), largest first."""
        with self.lock:
            return {
                name: sorted(
                    ((r.kind, r.name, r.bytes, r.in_use > 0) for r in budget.residents.values()),
                    key=lambda row: -row[2],
                )
                for name, budget in self._budgets.items()
            }

    def free_everything(self, device: str) -> int:
        """The first rung of the out-of-memory ladder: evict all that is idle, empty the driver's cache."""
        with self.lock:
            freed = self.budget(device).clear()
        gc.collect()
        self.device(device).release()
        return freed

    @contextmanager
    def lease(
        self, recipe: Leasable, device: str, dtype: str, working_bytes: int = 0, check: Callable[[], None] | None = None
    ) -> Iterator[Any]:
        """Borrow the live module of a recipe, set exactly to it, for this thread alone."""
        name = f"{type(recipe).__name__}:{recipe.weights}:{device}:{dtype}"
        held = self._module(name, recipe, device, dtype, check)
        try:
            with held.lock:
                with self.lock:
                    budget = self.budget(device)
                    budget.touch(name)
                    budget.make_room(working_bytes)
                detach = recipe.attach(held.module)
                try:
                    yield held.module
                finally:
                    detach()
        finally:
            with self.lock:
                held.resident.in_use -= 1
                budget = self.budget(device)
                if budget.used > budget.limit:
                    budget.make_room(0)

    def _module(
        self, name: str, recipe: Leasable, device: str, dtype: str, check: Callable[[], None] | None
    ) -> _Module:
        with self.lock:
            held = self._modules.get(name)
            if held is not None:
                held.resident.in_use += 1
                return held
            building = self._building.setdefault(name, threading.Lock())
        with building:
            with self.lock:
                held = self._modules.get(name)
                if held is not None:
                    held.resident.in_use += 1
                    return held
                self.budget(device).make_room(int(getattr(recipe, "bytes_hint", 0)))
            if check is not None:
                check()
            set_threads_once()
            started = time.perf_counter()
            module = recipe.build(device, dtype)
            seconds = time.perf_counter() - started
            resident = Resident(
                name, module_bytes(module), seconds, lambda: self._forget(name), kind="weights", in_use=1
            )
            held = _Module(resident, module, device)
            with self.lock:
                self._modules[name] = held
                self.budget(device).admit(resident)
            return held

    def _forget(self, name: str) -> None:
        held = self._modules.pop(name, None)
        if held is not None:
            held.module = None

    def modules(self) -> list[str]:
        """The names of the live modules."""
        with self.lock:
            return list(self._modules)


def module_bytes(module: Any) -> int:
    """Bytes of a module's parameters and buffers, each storage once. A mapping or tuple of modules counts all."""
    if isinstance(module, dict):
        return sum(module_bytes(item) for item in module.values())
    if isinstance(module, tuple | list):
        return sum(module_bytes(item) for item in module)
    if not hasattr(module, "parameters"):
        inner = getattr(module, "modules_held", None)
        return module_bytes(inner) if inner is not None else 0
    seen: dict[int, int] = {}
    for tensor in [*module.parameters(), *module.buffers()]:
        seen[tensor.data_ptr() or id(tensor)] = tensor.numel() * tensor.element_size()
    return sum(seen.values())
