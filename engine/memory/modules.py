"""Modules: the live models of all devices, and the lease through which a step borrows one."""

from __future__ import annotations

import gc
import heapq
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from engine.errors import WeftError
from engine.memory.ahead import Ahead, signature
from engine.memory.budget import Budget, Resident
from engine.memory.devices import MB, Device, HostDevice, TorchDevice, set_threads_once
from engine.memory.placing import WAYS, Footprint, Way, choose
from engine.run import Leasable

HOST = "cpu"
CHANGES = "weft_changes"  # how often `has_changed` was told
ASIDE = "weft_aside"  # bytes of a module's own weights that something else stands in for, and that are kept
Undo = Callable[[], None]


@dataclass(eq=False)
class _Module:
    """A live module with the lock that makes one thread its user."""

    resident: Resident
    module: Any
    device: str  # where it computes
    where: str  # where its weights are: there, or on the host
    footprint: Footprint
    files: tuple[tuple[str, tuple[int, ...]], ...] = ()  # what it is mapped from, as it was then
    lock: threading.RLock = field(default_factory=threading.RLock)
    way: Way = "whole"
    unhook: Undo | None = None  # takes the hooks off through which the weights come in parts
    hooked: Any = ()  # what was attached when they were made
    counted: int = 0  # how often it had changed when its bytes were counted


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
        self._at_least: dict[str, Way] = {}
        self._working = 0
        self.loading: set[str] = set()  # the ids of weights that a lease is waiting for now
        self.ahead = Ahead(self)

    # -- devices and budgets

    def device(self, name: str) -> Device:
        """The device of this name."""
        if name not in self._devices:
            self._devices[name] = HostDevice() if name == HOST else TorchDevice(name)
        return self._devices[name]

    def budget(self, name: str) -> Budget:
        """The budget of a device: its limit, or half the host's memory, or 90 % of a device's."""
        with self.lock:
            if name not in self._budgets:
                device = self.device(name)
                limit = self._limits.get(name)
                if limit is None:
                    given = os.environ.get("WEFT_MEMORY_" + name.partition(":")[0].upper())
                    share = 0.5 if name == HOST else 0.9
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

    def largest(self, name: str, count: int) -> list[tuple[str, str, int, bool]]:
        """The `count` that hold most of one device, as `report` has them; a job's end asks, and there are thousands."""
        with self.lock:
            budget = self._budgets.get(name)
            found = heapq.nlargest(count, budget.residents.values(), key=lambda r: r.bytes) if budget else []
            return [(r.kind, r.name, r.bytes, r.in_use > 0) for r in found]

    def modules(self) -> list[str]:
        """The names of the live modules."""
        with self.lock:
            return list(self._modules)

    def weights(self) -> set[str]:
        """The ids of the weights of all live modules."""
        with self.lock:
            return {name.split(":")[1] for name in self._modules}

    def forget_models(self) -> int:
        """Let every model go that is not in use, on all devices and the host; the bytes given back."""
        freed = 0
        with self.lock:
            for name, held in list(self._modules.items()):
                if not held.resident.in_use:
                    self.budget(held.where).withdraw(held.resident)
                    freed += held.resident.bytes
                    self._forget(name)
            devices = list(self._budgets)
        gc.collect()
        for device in devices:
            self.device(device).release()
        return freed

    # -- when a device has run out

    def free_everything(self, device: str) -> int:
        """The first rung of the out-of-memory ladder: evict all that is idle, empty the driver's cache."""
        with self.lock:
            freed = self.budget(device).clear()
        gc.collect()
        self.device(device).release()
        return freed

    @contextmanager
    def in_parts(self, device: str, way: Way) -> Iterator[bool]:
        """The second rung: within the block no model stands whole on the device. Gives False where that is no help."""
        if device == HOST:
            yield False
            return
        before = self._at_least.get(device, "whole")
        self._at_least[device] = max(before, way, key=WAYS.index)
        try:
            yield True
        finally:
            self._at_least[device] = before

    # -- leases

    @contextmanager
    def lease(
        self, recipe: Leasable, device: str, dtype: str, working_bytes: int = 0, check: Undo | None = None
    ) -> Iterator[Any]:
        """Borrow the live module of a recipe, set exactly to it, for this thread alone."""
        own = getattr(recipe, "computes_in", None)
        dtype = own(device, dtype) if own is not None else dtype
        name = f"{type(recipe).__name__}:{recipe.weights}:{device}:{dtype}"
        self.ahead.drop(recipe.weights)
        held = self._module(name, recipe, device, dtype, working_bytes, check)
        try:
            with held.lock, ExitStack() as stack:
                stayed = max(0, held.resident.bytes - held.footprint.whole)
                size = held.footprint.grown(_attached(recipe, dtype) or stayed)
                way = self._ready(held, recipe, size, working_bytes)
                stack.enter_context(self._reserved(device, working_bytes))
                if way == "whole" and held.where != device:
                    self._move(held, device)
                with self.lock:
                    self.budget(held.where).make_room(size.whole - held.resident.bytes)
                stack.callback(self._recount, held)
                stack.callback(recipe.attach(held.module))
                if way != "whole":
                    self._hook(held, recipe, way)
                    stack.enter_context(self._reserved(device, size.on_device(way)))
                self._recount(held)
                yield held.module
        finally:
            with self.lock:
                held.resident.in_use -= 1
                budget = self.budget(held.where)
                if budget.used > budget.limit:
                    budget.make_room(0)

    def _module(
        self, name: str, recipe: Leasable, device: str, dtype: str, working: int, check: Undo | None
    ) -> _Module:
        """The held module, in use by the caller from now on; built first when there is none."""
        held = self._take(name)
        if held is not None:
            return held
        with self.lock:
            building = self._building.setdefault(name, threading.Lock())
        with building:
            held = self._take(name)
            if held is not None:
                return held
            if check is not None:
                check()
            footprint = _footprint(recipe, dtype)
            resident = Resident(name, footprint.whole, 0.0, lambda: self._evicted(name), kind="weights", in_use=1)
            with self.lock:
                way = self._way(device, footprint.grown(_attached(recipe, dtype)), working, 0, recipe)
                where = device if way == "whole" else HOST
                if device != HOST:
                    self.budget(device).make_room(working + (footprint.whole if where == device else 0))
                self.budget(where).insert(resident)
            set_threads_once()
            started = time.perf_counter()
            self.loading.add(recipe.weights)
            try:
                module = recipe.build(where, dtype)
            except BaseException:
                with self.lock:
                    self.budget(where).withdraw(resident)
                raise
            finally:
                self.loading.discard(recipe.weights)
            resident.cost = time.perf_counter() - started
            self.ahead.measured(footprint.whole, resident.cost)
            with self.lock:
                size = module_bytes(module)
                footprint = footprint if footprint.whole else Footprint(size)
                held = _Module(resident, module, device, where, footprint, mapped_files(module))
                self._modules[name] = held
                self.budget(where).resize(resident, size)
                self.budget(where).touch(name)
            return held

    def _take(self, name: str) -> _Module | None:
        """The module of this name, counted as in use. One whose file was written over is no longer what it says."""
        with self.lock:
            held = self._modules.get(name)
            if held is None:
                return None
            if held.files and not held.resident.in_use and any(_overwritten(*file) for file in held.files):
                self.budget(held.where).withdraw(held.resident)
                self._forget(name)
                return None
            held.resident.in_use += 1
            self.budget(held.where).touch(name)
            return held

    def _way(self, device: str, footprint: Footprint, working: int, own: int, recipe: Leasable) -> Way:
        """How the module can stand on its device now; `own` bytes of what is in use there are its own."""
        if device == HOST or not hasattr(recipe, "stream"):
            return "whole"
        budget = self.budget(device)
        room = budget.limit - (budget.leased() - own)
        return choose(footprint, working, room, self._at_least.get(device, "whole"))

    def _ready(self, held: _Module, recipe: Leasable, size: Footprint, working: int) -> Way:
        """How the weights will come; what is in the way goes now, before activations are counted."""
        device = held.device
        with self.lock:
            own = held.resident.bytes if held.where == device else 0
            way = self._way(device, size, working, own, recipe)
        if held.unhook is not None and (way != held.way or _worn(recipe) != held.hooked):
            self._unhook(held)
        if way != "whole" and held.where == device:
            self._move(held, HOST)
        return way

    def _move(self, held: _Module, to: str) -> None:
        """Weights from one device to the other, room made before they arrive."""
        with self.lock:
            before = held.where
            self.budget(before).withdraw(held.resident)
            self.budget(to).insert(held.resident)
            held.where = to
        try:
            held.module.to(to)
        except BaseException:
            held.module.to(HOST)
            with self.lock:
                self.budget(to).withdraw(held.resident)
                self.budget(HOST).insert(held.resident)
                held.where = HOST
            raise
        if before != HOST:
            self.device(before).release()

    def _hook(self, held: _Module, recipe: Any, way: Way) -> None:
        """Let the weights come in parts, by the family's own hooks; those of the last lease stay if they still fit."""
        if held.unhook is None:
            held.unhook = recipe.stream(held.module, held.device, way)
            held.way, held.hooked = way, _worn(recipe)

    def _unhook(self, held: _Module) -> None:
        unhook, held.unhook, held.way = held.unhook, None, "whole"
        if unhook is not None:
            unhook()

    @contextmanager
    def _reserved(self, device: str, count: int) -> Iterator[None]:
        """Count what a lease needs beside the weights: activations, or parts of weights on their way.

        The host's budget is a share of its memory, for what is kept: there, room is made only when none is free.
        """
        if device == HOST:
            if count > self.device(HOST).free():
                with self.lock:
                    self.budget(HOST).make_room(count)
            yield
            return
        with self.lock:
            self._working += 1
            room = Resident(f"working:{self._working}", count, 0.0, _nothing, kind="working", in_use=1)
            budget = self.budget(device)
            if count:
                budget.insert(room)
        try:
            yield
        finally:
            with self.lock:
                budget.withdraw(room)

    def _recount(self, held: _Module) -> None:
        """What is attached takes room, and what stays on after its use too: count again when that is something else."""
        changes = getattr(held.module, CHANGES, 0)
        if changes != held.counted:
            held.counted = changes
            with self.lock:
                self.budget(held.where).resize(held.resident, module_bytes(held.module))

    # -- going

    def _evicted(self, name: str) -> None:
        """The budget gave a module up: off a device it goes to the host, if it is worth the room there."""
        held = self._modules.get(name)
        if held is None:
            return
        if held.where == HOST:
            self._forget(name)
            return
        resident = held.resident
        if self.budget(HOST).admit(resident):
            held.where = HOST
            held.module.to(HOST)
        else:
            self._forget(name)

    def _forget(self, name: str) -> None:
        held = self._modules.pop(name, None)
        if held is not None:
            self._unhook(held)
            held.module = None


def _footprint(recipe: Leasable, dtype: str) -> Footprint:
    """What the recipe knows of its size. Files that cannot be read are told by `build`, which says more."""
    measure: Callable[[str], Footprint] | None = getattr(recipe, "footprint", None)
    try:
        return measure(dtype) if measure is not None else Footprint(0)
    except WeftError:
        return Footprint(0)


def _attached(recipe: Leasable, dtype: str) -> int:
    """Bytes that the recipe's adapters will take, as far as it says; 0 when nothing is attached."""
    measure: Callable[[str], int] | None = getattr(recipe, "worn_bytes", None)
    try:
        return measure(dtype) if measure is not None else 0
    except (WeftError, OSError):
        return 0  # `attach` says what is wrong with them


def has_changed(module: Any) -> None:
    """Whoever puts something on a live module, or takes it off, says so: its bytes are counted again."""
    setattr(module, CHANGES, getattr(module, CHANGES, 0) + 1)


def _worn(recipe: Leasable) -> Any:
    """What hooks depend on: the adapters; a patch may bring weights of its own at each use, so it is never the same."""
    return object() if getattr(recipe, "patches", ()) else getattr(recipe, "adapters", ())


def _nothing() -> None:
    """Working memory is never evicted."""


def _overwritten(path: str, before: tuple[int, ...]) -> bool:
    """Was the very file that weights are mapped from written into? One put in its place leaves the old one as it is."""
    now = signature(path)
    return bool(now) and now[0] == before[0] and now != before


def mapped_files(module: Any) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """The files that stand behind a module's weights, as its builder noted them (`module.mapped_files`)."""
    every = module.modules() if hasattr(module, "modules") else ()
    return tuple(file for part in every for file in getattr(part, "mapped_files", ()))


def _inside(tensor: Any) -> Iterator[Any]:
    """The tensors that one is made of: quantized ones (torchao, quanto, bitsandbytes) are several."""
    if hasattr(tensor, "__tensor_flatten__"):
        for name in tensor.__tensor_flatten__()[0]:
            yield from _inside(getattr(tensor, name))
        return
    yield tensor
    scale = getattr(getattr(tensor, "quant_state", None), "absmax", None)
    scale = getattr(tensor, "SCB", None) if scale is None else scale
    if scale is not None:
        yield scale


def module_bytes(module: Any) -> int:
    """Bytes of a module's parameters and buffers, each storage once, and of those put aside for the time being.

    A mapping or tuple of modules counts all.
    """
    if isinstance(module, dict):
        return sum(module_bytes(item) for item in module.values())
    if isinstance(module, tuple | list):
        return sum(module_bytes(item) for item in module)
    if not hasattr(module, "parameters"):
        inner = getattr(module, "modules_held", None)
        return module_bytes(inner) if inner is not None else 0
    seen: dict[int, int] = {}
    for whole in [*module.parameters(), *module.buffers()]:
        for tensor in _inside(whole):
            seen[tensor.data_ptr() or id(tensor)] = tensor.numel() * tensor.element_size()
    aside = sum(getattr(part, ASIDE, 0) for part in module.modules()) if hasattr(module, "modules") else 0
    return sum(seen.values()) + aside
