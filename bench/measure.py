"""Measure: CPU seconds, medians, interleaving; and the row that comes of it."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any


@dataclass(frozen=True)
class Row:
    """One line of the table: `measured` against `floor`, both in `unit`; `floor_is` says what the floor is."""

    group: str
    name: str
    measured: float
    unit: str
    floor: float
    floor_is: str
    best: float | None = None  # the lowest of all repetitions: what the work costs when nobody disturbs it
    note: str = ""

    @property
    def ratio(self) -> float:
        """Measured by floor: 1 is the floor itself, below 1 is better."""
        return self.measured / self.floor if self.floor else float("inf") if self.measured else 1.0

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": self.ratio}


@dataclass(frozen=True)
class Sample:
    """Repetitions of one measurement."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def best(self) -> float:
        return min(self.values)


def cpu(work: Callable[[], Any], collect: bool = True) -> float:
    """CPU seconds of this process, all threads, that one call takes. What it returns is let go outside the clock.

    `collect` clears garbage first, so that no call pays for another's; works of half a second are left as they come.
    """
    if collect:
        gc.collect()
    started = time.process_time()
    kept = work()
    seconds = time.process_time() - started
    del kept
    return seconds


def repeated(work: Callable[[], Any], times: int) -> Sample:
    """The call's CPU seconds, `times` times, after one call that is not counted."""
    work()
    return Sample(tuple(cpu(work) for _ in range(times)))


def interleaved(works: Sequence[Callable[[int], Any]], rounds: int) -> list[Sample]:
    """Several works in turn, round by round, so that a slow minute of the machine meets all of them.

    Every other round goes backwards: what comes second finds warmer caches. Each work is told the round.
    """
    for work in works:
        work(-1)
    values: list[list[float]] = [[] for _ in works]
    for turn in range(rounds):
        order = list(enumerate(works))
        for index, work in order if turn % 2 == 0 else reversed(order):
            values[index].append(cpu(partial(work, turn)))
    return [Sample(tuple(column)) for column in values]


def difference(a: Sample, b: Sample) -> Sample:
    """Pair by pair, a less b."""
    return Sample(tuple(x - y for x, y in zip(a.values, b.values, strict=True)))
