"""Ahead: the weights that come next are read from disk while something else computes.

Weights are mapped from their files, so what a lease waits for is their pages. One thread beside the lanes asks the
system for those pages, a few megabytes at a time: nothing is copied, no module is built, no id depends on it, and a
piece that is in memory already costs a system call. Between two pieces it looks up: it ends as soon as nobody wants the
weights any more, their file is another, or their room is wanted for something that is worth more.

What was read counts in the host's budget, as `ahead`, until it is leased. It comes in only where it is worth the room,
and never at the cost of what is in use. While weights that a step waits for are being loaded, the disk is left to them.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.errors import WeftError
from engine.events import Event, WeightsComing, WeightsNear
from engine.memory.budget import Resident
from engine.memory.devices import MB

if TYPE_CHECKING:
    from engine.memory.modules import Memory

HOST = "cpu"
PIECE = 4 * MB
LEAD = 4  # pieces that the system may be busy with at once: so much is read in vain after a stop
PAUSE = 0.01  # seconds between looks, while a step loads its own weights
FIRST_RATE = 1e9  # bytes a second that loading is taken to manage, until it was measured


class Extent(NamedTuple):
    """A part of a file: its path, the first byte, and the one after the last."""

    path: str
    start: int
    end: int


def signature(path: str) -> tuple[int, ...]:
    """Which file it is and in which state: inode, size, time of the last change; () when it is gone."""
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns


class Disk:
    """Files as far as the system keeps them in memory: what is missing there, and how it comes."""

    def __init__(self) -> None:
        """Nothing was read yet."""
        self._before: set[tuple[Extent, tuple[int, ...]]] = set()  # where the system does not say what it keeps

    def missing(self, extent: Extent) -> int:
        """Bytes that are not in memory, by a look at each piece; OSError when the file cannot be opened."""
        with open(extent.path, "rb", buffering=0) as stream:
            if (extent, signature(extent.path)) in self._before:
                return 0
            return sum(end - start for start, end in _pieces(extent) if not _is_near(stream.fileno(), start, end))

    def bring(self, extent: Extent) -> Generator[int]:
        """Bring it into memory piece by piece; gives after each how many bytes of it were not there."""
        with open(extent.path, "rb", buffering=0) as stream:
            fd, unknown = stream.fileno(), False
            under_way: list[int] = []
            for start, end in _pieces(extent):
                near = _is_near(fd, start, end)
                unknown |= near is None
                if near:
                    yield 0
                    continue
                if hasattr(os, "posix_fadvise"):
                    os.posix_fadvise(fd, start, end - start, os.POSIX_FADV_WILLNEED)
                    under_way.append(end - 1)
                    if len(under_way) > LEAD:
                        os.pread(fd, 1, under_way.pop(0))  # waits until it is there
                else:
                    stream.seek(start)
                    stream.read(end - start)
                yield end - start
            for last in under_way:
                os.pread(fd, 1, last)
            if unknown:
                self._before.add((extent, signature(extent.path)))


def _pieces(extent: Extent) -> Iterator[tuple[int, int]]:
    return ((at, min(at + PIECE, extent.end)) for at in range(extent.start, extent.end, PIECE))


def _is_near(fd: int, start: int, end: int) -> bool | None:
    """Are the first and the last page of a piece in memory? None where the system does not tell."""
    if not hasattr(os, "RWF_NOWAIT"):
        return None
    try:
        return all(os.preadv(fd, [bytearray(1)], at, os.RWF_NOWAIT) == 1 for at in (start, end - 1))
    except BlockingIOError:
        return False
    except OSError:
        return None


class Ahead:
    """What was read ahead and waits for its lease: residents of the host's budget, by the ids of the weights."""

    def __init__(self, memory: Memory) -> None:
        """Nothing waits."""
        self._memory = memory
        self._waiting: dict[str, Resident] = {}
        self._rate = FIRST_RATE

    def admit(self, weights: str, model: str, count: int) -> bool:
        """Take room for `count` bytes, if that is free or held by what is worth less; False when it is not."""
        memory = self._memory
        with memory.lock:
            if weights in self._waiting:
                return True
            budget = memory.budget(HOST)
            name = f"ahead:{model}:{weights}"
            resident = Resident(name, count, count / self._rate, lambda: self._evicted(weights), kind="ahead")
            # What is mapped and in use counts as free for the system, but to push it out would slow the running step.
            if count > memory.device(HOST).free() - budget.leased() or not budget.is_worth(resident):
                return False
            budget.insert(resident)
            self._waiting[weights] = resident
            return True

    def waits(self, weights: str) -> bool:
        """Is the room still its own?"""
        return weights in self._waiting

    def drop(self, weights: str) -> None:
        """They are leased now, or nobody wants them: the system keeps the pages as long as it likes."""
        with self._memory.lock:
            resident = self._waiting.pop(weights, None)
            if resident is not None:
                self._memory.budget(HOST).withdraw(resident)

    def measured(self, count: int, seconds: float) -> None:
        """Weights of `count` bytes took so long to load."""
        if count > 16 * MB and seconds > 0:
            self._rate += 0.3 * (count / seconds - self._rate)

    def _evicted(self, weights: str) -> None:
        self._waiting.pop(weights, None)


@dataclass(eq=False)
class Wish:
    """The weights of a recipe, before the step at `path` leases it."""

    recipe: Any
    path: str
    wanted: Callable[[], bool]  # will the step need them still?
    late: Callable[[], bool]  # has it begun, and reads them itself?
    tell: Callable[[Event], None]
    tried: bool = False
    refused: bool = False  # there was no room

    @property
    def model(self) -> str:
        """What to call it."""
        return f"{type(self.recipe).__name__} {getattr(self.recipe, 'family', '')}".strip()


class Reader:
    """The thread that reads ahead, and what it is asked for: by each job a list, in the order of need."""

    def __init__(self, memory: Memory, disk: Disk | None = None) -> None:
        """The thread is made when something is first wished for."""
        self.memory = memory
        self.disk = disk or Disk()
        self._changed = threading.Condition()
        self._wishes: dict[Any, tuple[int, list[Wish]]] = {}
        self._thread: threading.Thread | None = None
        self._closed = False

    def wish(self, owner: Any, wishes: Sequence[Wish], rank: int = 0) -> None:
        """What `owner` will need, in place of what it wished before; lower ranks are read first."""
        with self._changed:
            if self._closed or not wishes:
                return
            self._prune()
            self._wishes[owner] = (rank, list(wishes))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="weft reader", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def room_may_be_free(self) -> None:
        """A step has ended: what found no room may find some now."""
        if self._wishes:
            with self._changed:
                self._prune()
                for _, wishes in self._wishes.values():
                    for one in wishes:
                        one.tried &= not one.refused
                self._changed.notify_all()

    def forget(self, owner: Any) -> None:
        """The owner wants nothing any more; what was read for it alone gives its room back."""
        with self._changed:
            _, gone = self._wishes.pop(owner, (0, []))
            kept = {one.recipe.weights for _, wishes in self._wishes.values() for one in wishes}
        for one in gone:
            if one.recipe.weights not in kept:
                self.memory.ahead.drop(one.recipe.weights)

    def _prune(self) -> None:
        """Forget who wants nothing any more: a job that was cancelled while it was queued."""
        for owner in [owner for owner, (_, wishes) in self._wishes.items() if not any(one.wanted() for one in wishes)]:
            self.forget(owner)

    def close(self) -> None:
        """Stop, and wait for the thread."""
        with self._changed:
            self._closed = True
            owners = list(self._wishes)
            self._changed.notify_all()
        for owner in owners:
            self.forget(owner)
        if self._thread is not None:
            self._thread.join()

    # -- on its thread

    def _work(self) -> None:
        if sys.platform == "linux":  # elsewhere a thread has no priority of its own
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        while True:
            with self._changed:
                while (wish := self._next()) is None and not self._closed:
                    self._changed.wait()
                if wish is None or self._closed:
                    return
                wish.tried, wish.refused = True, False
            # Weights that cannot be read are the lease's to tell of, with all that it knows.
            with suppress(OSError, WeftError, ValueError):
                self._read(wish)

    def _next(self) -> Wish | None:
        """The wish that comes first: by rank, then by its place in its list."""
        every = ((rank, place, one) for rank, ones in self._wishes.values() for place, one in enumerate(ones))
        return min((item for item in every if not item[2].tried), key=lambda item: item[:2], default=(0, 0, None))[2]

    def _read(self, wish: Wish) -> None:
        if not wish.wanted() or wish.late():
            return
        memory, weights = self.memory, str(wish.recipe.weights)
        live = weights in memory.weights()
        extents: Sequence[Extent] = wish.recipe.sources(live)
        missing = sum(self.disk.missing(extent) for extent in extents)
        if not missing:
            return
        if not memory.ahead.admit(weights, wish.model, sum(end - start for _, start, end in extents)):
            wish.refused = True
            return
        wish.tell(WeightsComing(path=wish.path, model=wish.model, bytes=missing))
        started, read, stopped = time.perf_counter(), 0, ""
        try:
            for extent in extents:
                before = signature(extent.path)
                with closing(self.disk.bring(extent)) as pieces:
                    for count in pieces:
                        read += count
                        stopped = self._stop(wish, weights) or (
                            "the file has changed" if signature(extent.path) != before else ""
                        )
                        if stopped:
                            return
        finally:
            if stopped:
                memory.ahead.drop(weights)
            seconds = time.perf_counter() - started
            wish.tell(WeightsNear(path=wish.path, model=wish.model, read=read, seconds=seconds, stopped=stopped))

    def _stop(self, wish: Wish, weights: str) -> str:
        """Why to end here; "" to go on. Waits while a step loads other weights."""
        memory = self.memory
        while True:
            if self._closed or not wish.wanted():
                return "nobody needs it any more"
            if not memory.ahead.waits(weights) and not wish.late():
                return "its room was needed"
            others = set(memory.loading) - {weights}
            if not others:
                return ""
            time.sleep(PAUSE)
