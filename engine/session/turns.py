"""Turns: which queued job is next – one whose models are loaded, but none is passed over more than a few times."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from engine.session.job import Job

PASSED_OVER = 3  # times, by jobs that came later and found their models loaded


@dataclass(eq=False)
class _Waiting:
    job: Job
    models: frozenset[str]
    passed: int = 0


class Turns:
    """Jobs in the order they came, and who goes first. Callers hold the session's lock."""

    def __init__(self) -> None:
        """Nobody waits."""
        self._waiting: list[_Waiting] = []

    def join(self, job: Job, models: Collection[str]) -> None:
        """A job comes, with the ids of the weights that its steps lease."""
        self._waiting.append(_Waiting(job, frozenset(models)))

    def take(self, loaded: Collection[str]) -> Job | None:
        """The next job: the first that needs no other models than those `loaded`; else the one that waits longest.

        A job that loads nothing new costs those before it only its own time; three times is the bound for that.
        """
        chosen = self._next(loaded)
        if chosen is None:
            return None
        for one in self._waiting[: self._waiting.index(chosen)]:
            one.passed += 1
        self._waiting.remove(chosen)
        return chosen.job

    def peek(self, loaded: Collection[str]) -> Job | None:
        """The job that `take` would give now."""
        chosen = self._next(loaded)
        return chosen.job if chosen is not None else None

    def _next(self, loaded: Collection[str]) -> _Waiting | None:
        self._waiting = [one for one in self._waiting if not one.job.finished]
        if not self._waiting:
            return None
        first = self._waiting[0]
        if first.passed >= PASSED_OVER or first.models <= set(loaded):
            return first
        return next((one for one in self._waiting if one.models and one.models <= set(loaded)), first)
