"""What the jobs of an engine share: its parts, its lanes, and the flights under way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.cache import Cache
from engine.executor.checkpoints import Checkpoints
from engine.invoke import Invoker
from engine.memory import Disk, Memory, Reader
from engine.numerics import Numerics
from engine.places import Places
from engine.plan import Live, Setting
from engine.records import Records
from engine.registry import Registry

if TYPE_CHECKING:
    from engine.executor.performing import Performing

LANE_WIDTH = {"device": 1, "cpu": 2, "io": 4}


class Lanes:
    """Threads to run steps on: one per device, a few for cpu and io."""

    def __init__(self) -> None:
        """Threads are made when they are first needed."""
        self._pools: dict[str, ThreadPoolExecutor] = {}
        self._lock = threading.Lock()

    def submit(self, lane: str, device: str, work: Callable[[], None]) -> None:
        """Run `work` on the lane, after what is queued there."""
        name = f"device {device}" if lane == "device" else lane
        with self._lock:
            if name not in self._pools:
                self._pools[name] = ThreadPoolExecutor(LANE_WIDTH[lane], thread_name_prefix=f"weft {name}")
            pool = self._pools[name]
        pool.submit(work)

    def close(self) -> None:
        """Let running steps end and stop the threads."""
        with self._lock:
            pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            pool.shutdown(wait=True, cancel_futures=True)


class InlineLanes(Lanes):
    """Runs everything at once on the calling thread: for what is nested in a step, which already holds its lane."""

    def submit(self, lane: str, device: str, work: Callable[[], None]) -> None:
        """Run `work` now."""
        work()


@dataclass(eq=False)
class Flight:
    """One computation and the jobs that wait for it."""

    key: str
    waiters: list[tuple[Performing, Live]] = field(default_factory=list)
    begun: bool = False
    landed: bool = False

    def cancelled(self) -> bool:
        """Has every job that waits for it been cancelled?"""
        return all(execution.stopped(live) for execution, live in list(self.waiters))

    def watched(self) -> bool:
        """Does anybody follow one of the jobs? Progress and previews are told only then."""
        return any(execution.order.watched() for execution, _ in list(self.waiters))

    def tell(self, kind: str, *details: Any) -> None:
        """Put a message into the inbox of every waiter."""
        for execution, live in list(self.waiters):
            execution.inbox.put((kind, live, details))


class FlightCancel(threading.Event):
    """A nested run is cancelled when its step is: a step that another job waits for goes on."""

    def __init__(self, flight: Flight) -> None:
        """Of the nested run of this flight."""
        super().__init__()
        self._flight = flight

    def is_set(self) -> bool:
        """Has it been cancelled?"""
        return super().is_set() or self._flight.cancelled()


class Flights:
    """The computations under way, by step key."""

    def __init__(self) -> None:
        """None yet."""
        self._lock = threading.Lock()
        self._open: dict[str, Flight] = {}

    def join(self, key: str, execution: Performing, live: Live) -> tuple[Flight, bool]:
        """The flight of this key, and whether the caller is its first and has to run it."""
        with self._lock:
            flight = self._open.get(key)
            if flight is not None and not flight.landed and not flight.cancelled():
                flight.waiters.append((execution, live))
                return flight, False
            flight = self._open[key] = Flight(key, [(execution, live)])
            return flight, True

    def leave(self, key: str, execution: Performing) -> bool:
        """A cancelled job goes: True when it need not wait, because the step has not begun or others go on with it."""
        with self._lock:
            flight = self._open.get(key)
            if flight is None or all(waiter is not execution for waiter, _ in flight.waiters):
                return False
            if flight.begun and len(flight.waiters) == 1:
                return False
            flight.waiters[:] = [(waiter, live) for waiter, live in flight.waiters if waiter is not execution]
            return True

    def begun(self, key: str) -> bool:
        """Is a step of this key being run?"""
        flight = self._open.get(key)
        return flight is not None and flight.begun

    def land(self, flight: Flight, kind: str, *details: Any) -> None:
        """It is over: tell every waiter."""
        with self._lock:
            flight.landed = True
            if self._open.get(flight.key) is flight:
                del self._open[flight.key]
        flight.tell(kind, *details)


@dataclass
class Engine:
    """What the jobs of one engine share."""

    registry: Registry
    places: Places
    numerics: Numerics
    memory: Memory
    cache: Cache
    records: Records
    invoker: Invoker
    lanes: Lanes = field(default_factory=Lanes)
    flights: Flights = field(default_factory=Flights)
    light_memo: dict[str, Any] = field(default_factory=dict)
    leaner: dict[str, tuple[str, ...]] = field(default_factory=dict)  # exact key of a step -> ways it needs to fit
    exact: bool = False  # rather fail than change bits to fit into memory
    disk: Disk | None = None  # where weights are read ahead from; the real one without it
    checkpoints: Checkpoints = field(init=False)
    reader: Reader = field(init=False)

    def __post_init__(self) -> None:
        self.checkpoints = Checkpoints(self.cache)
        self.reader = Reader(self.memory, self.disk)

    def free(self, *, models: bool = False, values: bool = False, disk: bool = False) -> int:
        """Give back what is not in use: models, values in memory, values on disk (checkpoints too); the bytes."""
        freed = 0
        if values:
            freed += self.cache.clear()
        if models:
            freed += self.memory.forget_models()
        if disk and self.cache.lower is not None:
            freed += self.cache.lower.clear()
        return freed

    def setting(self, **more: Any) -> Setting:
        """What a frontier asks of the world."""
        return Setting(
            **{
                "numerics": self.numerics,
                "records": self.records,
                "places": self.places,
                "types": self.registry.types,
                "source_digest": self.registry.source_digest,
                "known": self.cache.known,
                "light_memo": self.light_memo,
                "leaner": self.leaner,
                **more,
            }
        )


@dataclass
class Order:
    """One job, as the executor sees it."""

    job: str
    cancel: threading.Event = field(default_factory=threading.Event)
    nonce: str = ""
    flow: str = ""
    again: bool = False
    places: Places | None = None
    numerics: Numerics | None = None
    document: Mapping[str, Any] = field(default_factory=dict)
    resolved: Mapping[str, Any] = field(default_factory=dict)
    watched: Callable[[], bool] = lambda: True
    together: int = 0  # at most so many steps share their work; below 2 none do
    items: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = field(default_factory=dict)
    """Of a job with several graphs, by the name of each: document and resolved values."""
    stopped: set[str] = field(default_factory=set)
    """Those of them that were cancelled, while the others go on."""

    def off(self, path: str) -> bool:
        """Has the graph that a step belongs to been cancelled?"""
        return bool(self.stopped) and path.partition("/")[0] in self.stopped

    def papers(self, path: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """The workflow as plain data, and the values it ran with, for the step at a path."""
        return self.items.get(path.partition("/")[0]) or (self.document, self.resolved)

    def own(self, path: str, found: Mapping[str, str]) -> Mapping[str, str]:
        """Of what was found by path, the part of the graph that a step belongs to, under the names it has there."""
        item = path.partition("/")[0]
        if item not in self.items:
            return found
        return {name.removeprefix(f"{item}/"): text for name, text in found.items() if name.startswith(f"{item}/")}
