"""Ending: what went wrong in a job, what was blocked by it, what is remembered, which state it ends in."""

from __future__ import annotations

import heapq
import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

from engine.errors import Problem
from engine.events import Event, JobFinished, MemoryHeld, StepBlocked, StepFailed, StepRetried
from engine.events import State as JobState
from engine.executor.performing import Performing
from engine.plan import Live
from engine.sockets import holes
from engine.values import tensors

MADE_DO = ("device.memory", "device.compile")  # after these a step may run in another way


class Ending(Performing):
    """The end of an execution."""

    problems: list[Problem]
    again: bool
    started: float
    _done: set[str]
    _left: dict[str, set[str]]
    _taking: bool
    _failed: dict[str, Problem]
    _missing: dict[str, set[str]]
    _ran: bool
    _flying: dict[str, Live]
    _waiting_for: dict[str, list[Live]]
    _ready: dict[str, list[tuple[tuple[int, ...], str]]]

    @abstractmethod
    def _leave(self, live: Live) -> None:
        """A step is no longer under way."""

    @abstractmethod
    def _over(self, live: Live) -> None:
        """A step has been done, or has failed."""

    @abstractmethod
    def _forget_inputs(self, live: Live) -> None:
        """A reader of its inputs is done."""

    def _crashed(self, live: Live, problem: Problem, inputs: dict[str, Any]) -> Iterator[Event]:
        self._leave(live)
        self._let_states_go(live)
        placed = problem.at(path=self.prefix + live.path)
        leaner = self.engine.leaner.get(live.exact, ()) if problem.code in MADE_DO else live.leaner
        if leaner != live.leaner and not self.cancelled():
            # Not the end: the job is planned anew when what else can run has run.
            self.again = True
            self._failed[live.path] = placed
            self._forget_inputs(live)
            way = leaner[-1] if leaner[-1].startswith("without ") else f"with {leaner[-1]}"
            yield StepRetried(
                job=self.order.job,
                path=self.prefix + live.path,
                how=f"{way}, which changes the result slightly",
                because="out of memory" if problem.code == "device.memory" else problem.message,
                numerics_changed=True,
            )
            return
        self._failed[live.path] = placed
        self._over(live)
        self.problems.append(placed)
        if problem.code == "node.mutated":
            self._poisoned(inputs)
        self._forget_inputs(live)
        yield StepFailed(job=self.order.job, path=self.prefix + live.path, problem=placed)

    def _poisoned(self, inputs: Mapping[str, Any]) -> None:
        """Drop every value that shares memory with what was written into; steps that wait for one get it made again."""
        touched = {t.untyped_storage().data_ptr() for value in inputs.values() for t in tensors(value)}
        bad = [
            id
            for id, value in list(self.values.items())
            if any(t.untyped_storage().data_ptr() in touched for t in tensors(value))
        ]
        for id in bad:
            self._let_go(id)
            self.engine.cache.drop(id)  # also where the budget had no room for it: below it may still be
            maker = self.frontier.maker.get(id, ("", ""))[0]
            readers = [
                waiting
                for path, waiting in ((p, self.frontier.lives[p]) for p in self._missing)
                if path not in self._done and path not in self._flying and path not in self._failed
                if any(ref.id == id for ref in holes(waiting.inputs))
            ]
            for waiting in readers:
                self._missing[waiting.path].add(id)
                self._waiting_for.setdefault(id, []).append(waiting)
                for heap in self._ready.values():
                    heap[:] = [item for item in heap if item[1] != waiting.path]
                    heapq.heapify(heap)
            if readers:
                self._done.discard(maker)
                self.frontier.revive(id)

    def _finish(self) -> Iterator[Event]:
        job = self.order.job
        if not self.cancelled():
            self._nothing_forgotten()
            for path in sorted(self._missing, key=lambda p: self.frontier.lives[p].order):
                if path not in self._done and path not in self._failed and not self.order.off(self.prefix + path):
                    yield StepBlocked(job=job, path=self.prefix + path, by=self.prefix + self._culprit(path))
            for live in self.frontier._in_order():
                if live.status == "maybe" and live.path not in self._missing and not live.outputs:
                    yield StepBlocked(job=job, path=self.prefix + live.path, by=self.prefix + self._culprit(live.path))
        if self._ran and self.order.flow:
            steps = {
                live.path: self.frontier.reasons.input_digests(live)
                for live in self.frontier.lives.values()
                if live.key and live.inputs is not None
            }
            self.engine.records.set_last(self.order.flow, steps)
        if self._ran:
            yield self._memory()
        yield JobFinished(
            job=job,
            state=self._state(),
            seconds=time.perf_counter() - self.started,
            outputs=self.output_ids(),
            problems=tuple(self.problems),
        )

    def _memory(self) -> MemoryHeld:
        """Who holds what on the job's device."""
        name = self._numerics.device
        rows = self.engine.memory.largest(name, 8)
        budget = self.engine.memory.budget(name)
        return MemoryHeld(
            job=self.order.job,
            device=name,
            used=budget.used,
            limit=budget.limit,
            peak=budget.peak,
            held=tuple(rows),
        )

    def _nothing_forgotten(self) -> None:
        """Without a failure every planned step has run: anything else is a bug of the engine, told as one."""
        left = [path for path in self._missing if path not in self._done and not self.order.off(self.prefix + path)]
        if left and not self._failed:
            raise RuntimeError(f"{left[0]} waits for a value that nobody makes")

    def _culprit(self, path: str) -> str:
        """The failed step that a step was blocked by."""
        seen: set[str] = set()
        pending = [path]
        while pending:
            at = pending.pop()
            if at in self._failed and at != path:
                return at
            if at in seen:
                continue
            seen.add(at)
            live = self.frontier.lives.get(at)
            if live is None:
                continue
            pending.extend(live.blockers)
            if live.failed_by:
                pending.append(live.failed_by)
            if live.inputs is not None:
                pending.extend(self.frontier.maker.get(ref.id, ("", ""))[0] for ref in holes(live.inputs))
        return next(iter(self._failed), "")

    def _state(self) -> JobState:
        if self.cancelled():
            return "cancelled"
        if not self._failed:
            return "succeeded"
        effects_done = any(
            self.frontier.lives[path].status == "saved" or path in self._done
            for path in self.frontier.lives
            if self.frontier.lives[path].spec.effect
        )
        outputs_there = any(
            all(ref.id in self.values for ref in holes(template))
            for template in self.frontier.output_templates().values()
        )
        return "partial" if effects_done or outputs_there else "failed"
