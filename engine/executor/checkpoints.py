"""Checkpoints: where stepped steps stand, kept so that a late change, a stop or a crash costs only what remains.

A stepped node offers its state after every step (`run.checkpoint`). Nothing here makes it wait:

    device ──side stream──▶ host memory, thinned evenly when the budget is short
                               └── now and then, and at every stop ──▶ disk

Memory and disk give up what is worth least (`engine.memory`), so thinning is a matter of what a state is worth: losing
one costs the steps back to the state before it. State 1 of 8 is worth one step, state 2 two, state 4 four: the odd ones
go first, then every second one of the rest. The last state of a chain is worth all of it, for a node that was told to
stop early goes on from there. A state at which waiting steps part from the one that made it stays until they began.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from engine.cache import Cache
from engine.run import State
from engine.values import device_of, leaving, tensors

SPACING = 0.25  # seconds of work between two states on disk; a crash loses at most this, and one write
SHARE = 10  # a state is written when it took this many times longer to make than the last one to write


class Checkpoints:
    """The states of one engine's steps. Every method may be called from any thread."""

    def __init__(self, cache: Cache, spacing: float = SPACING, share: float = SHARE) -> None:
        """Keep states in `cache`, and every `spacing` seconds, or `share` times what a write takes, one below it."""
        self.cache = cache
        self.spacing = spacing
        self.share = share
        self._lock = threading.Lock()
        self._chains: dict[Hashable, tuple[str, ...]] = {}  # of steps that have not begun
        self._wanted: dict[str, set[Hashable]] = {}  # state -> those whose chain holds it
        self._pinned: dict[str, set[Hashable]] = {}  # state -> those that go on from it
        self._leaving: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._copier: threading.Thread | None = None

    # -- who waits for what

    def expect(self, who: Hashable, chain: Sequence[str]) -> None:
        """A step with these states is planned and has not begun."""
        with self._lock:
            if who in self._chains or not chain:
                return
            self._chains[who] = tuple(chain)
            for id in chain:
                self._wanted.setdefault(id, set()).add(who)

    def begun(self, who: Hashable) -> None:
        """It holds the state it goes on from, or is not to run any more."""
        free = []
        with self._lock:
            for id in self._chains.pop(who, ()):
                wanting = self._wanted[id]
                wanting.discard(who)
                if not wanting:
                    del self._wanted[id]
                held = self._pinned.get(id)
                if held is not None:
                    held.discard(who)
                    if not held:
                        del self._pinned[id]
                        free.append(id)
        for id in free:
            self.cache.release(id)

    def _partings(self, chain: Sequence[str], index: int) -> set[Hashable]:
        """Those that share the chain up to this state and no further."""
        following = chain[index + 1] if index + 1 < len(chain) else None
        with self._lock:
            found = set()
            for who in self._wanted.get(chain[index], ()):
                theirs = self._chains[who]
                if index + 1 < len(theirs) and theirs[index + 1] != following:
                    found.add(who)
            return found

    # -- keeping

    def keep(
        self, chain: Sequence[str], index: int, state: State, seconds: float, held: list[Any] | None = None
    ) -> None:
        """Keep a state in memory; `seconds` is what it would cost to be without it, `held` its tensors, if known."""
        waiting = self._partings(chain, index)
        self.cache.put(chain[index], state, seconds, pinned=bool(waiting), below=False, held=held)
        if waiting:
            with self._lock:
                waiting = {who for who in waiting if who in self._chains}
                again = chain[index] in self._pinned
                if waiting:
                    self._pinned.setdefault(chain[index], set()).update(waiting)
            if again or not waiting:
                self.cache.release(chain[index])

    def off(self, work: Callable[[], None]) -> None:
        """Do `work` on the thread that copies from devices, after what is there already."""
        with self._lock:
            if self._copier is None:
                self._copier = threading.Thread(target=self._copy, name="weft checkpoints", daemon=True)
                self._copier.start()
        self._leaving.put(work)

    def _copy(self) -> None:
        while (work := self._leaving.get()) is not None:
            # A copy that fails costs its state; this thread has to last, for steps wait for it.
            with contextlib.suppress(Exception):
                work()

    def close(self) -> None:
        """Finish the copies under way."""
        with self._lock:
            copier, self._copier = self._copier, None
        if copier is not None:
            self._leaving.put(None)
            copier.join()


class Trail:
    """The states of one step while it runs."""

    def __init__(
        self,
        checkpoints: Checkpoints,
        chain: Sequence[str],
        first: int,
        about: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Of a step whose states are called `chain` and that begins after the first `first` of them."""
        self._about = about
        self._of = checkpoints
        self._chain = tuple(chain)
        self._first = first
        self._clock = clock
        self._started = self._written = clock()
        self._writes = 0
        self._newest: tuple[int, State] | None = None  # not on disk yet

    def offer(self, state: State) -> None:
        """Take the state after a step in. Returns at once, whatever device it is on."""
        index = state.index
        if not 0 <= index < len(self._chain):
            return
        held = tensors(state)
        if device_of(held) == "cpu":
            self._take(state, held)
            return
        arrive = leaving(state)
        self._of.off(lambda: self._take(arrive()))

    def _take(self, state: State, held: list[Any] | None = None) -> None:
        index, now = state.index, self._clock()
        spent = now - self._started
        pace = spent / max(index + 1 - self._first, 1)
        last = index + 1 == len(self._chain)
        done = index + 1
        self._of.keep(self._chain, index, state, pace * done if last else pace * (done & -done), held)
        self._newest = (index, state)
        lower = self._of.cache.lower
        since = now - self._written
        if lower is None or not (last or since >= max(self._of.spacing, self._of.share * lower.pace)):
            return
        self._writes += 1
        worth = pace * done if last else since * (self._writes & -self._writes)
        self._newest, self._written = None, now
        lower.put(self._chain[index], state, worth, self._about)

    def stopped(self) -> None:
        """The step was cancelled or failed: what it reached goes to disk."""
        self.ended()
        newest, self._newest = self._newest, None
        lower = self._of.cache.lower
        if newest is not None and lower is not None:
            lower.put(self._chain[newest[0]], newest[1], self._clock() - self._started, self._about)

    def ended(self) -> None:
        """Wait for the copies under way: whoever comes next finds every state."""
        if self._of._copier is not None:
            arrived = threading.Event()
            self._of.off(arrived.set)
            arrived.wait()
