"""Execution: one job being carried out."""

from __future__ import annotations

import heapq
import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from engine.errors import Cancelled, Problem, WeftError
from engine.events import (
    AlreadySaved,
    Event,
    JobFinished,
    Linted,
    Planned,
    Saved,
    StepCancelled,
    StepFailed,
    StepFinished,
    StepHit,
    StepPreview,
    StepProgress,
    StepRetried,
    StepShown,
    StepStarted,
)
from engine.executor.foresight import Foresight
from engine.executor.performing import Outcome, as_given, made_do
from engine.executor.shared import LANE_WIDTH, Engine, Flight, FlightCancel, InlineLanes, Order
from engine.graph import Graph, bind
from engine.keys import output_id
from engine.plan import Frontier, Live
from engine.sockets import holes

MAX_NESTED = 8


class Execution(Foresight):
    """A job being carried out."""

    def __init__(
        self,
        engine: Engine,
        graph: Graph,
        order: Order,
        targets: Sequence[str] | None = None,
        *,
        given: Mapping[str, Any] | None = None,
        held: Mapping[str, Any] | None = None,
        prefix: str = "",
        depth: int = 0,
    ) -> None:
        """Plan the graph. `given` and `held` are the parameters of a nested run and their values by id."""
        self.engine = engine
        self.order = order
        self.prefix = prefix
        self.depth = depth
        self.inbox: queue.SimpleQueue[tuple[str, Live, tuple[Any, ...]]] = queue.SimpleQueue()
        self.values: dict[str, Any] = dict(held or {})
        self.problems: list[Problem] = []
        self._leased: dict[str, int] = {}
        self._released = False
        self._holding = threading.Lock()
        self._expected: set[str] = set()
        self._missing: dict[str, set[str]] = {}
        self._waiting_for: dict[str, list[Live]] = {}
        self._readers: dict[str, int] = {}
        self._ready: dict[str, list[tuple[tuple[int, ...], str]]] = {"device": [], "cpu": [], "io": []}
        self._flying: dict[str, Live] = {}
        self._busy: dict[str, int] = {"device": 0, "cpu": 0, "io": 0}
        self._done: set[str] = set()
        self._gone: set[str] = set()
        self._failed: dict[str, Problem] = {}
        self._leases: dict[str, tuple[Any, list[Live]]] = {}
        self._leases_told = 0
        self._ran = False
        self.again = False
        self._left: dict[str, set[str]] = {}  # by graph, of a job with several: the steps that are not over
        self._taking = True
        self._told: set[str] = set()  # steps that the diary has already, from before the job was planned anew
        self._made = (graph, order, targets, given, held, prefix, depth)
        self._lanes = InlineLanes() if depth else engine.lanes
        self._numerics = order.numerics or engine.numerics
        setting = engine.setting(
            known=self._lease,
            nonce=order.nonce or order.job,
            flow=order.flow,
            again=order.again,
            numerics=self._numerics,
            together=order.together > 1 and not depth,
        )
        if order.places is not None:
            setting = replace(setting, places=order.places)
        self.places = setting.places
        self.started = time.perf_counter()
        try:
            self.frontier = Frontier(graph, setting, targets, given)
            chosen = self.frontier.target_outputs
            self._passed = {n: b for n, b in graph.outputs.items() if targets is None and n not in chosen}
            self._kept: set[str] = set()
            self._keep_outputs()
            for live in self.frontier.planned():
                self._expect(live)
        except BaseException:
            self.release()
            raise

    def anew(self) -> Execution:
        """The same job planned again, after a step was found to need a leaner way; what was made is there already."""
        graph, order, targets, given, held, prefix, depth = self._made
        made = Execution(self.engine, graph, order, targets, given=given, held=held, prefix=prefix, depth=depth)
        hits = {path for path, live in self.frontier.lives.items() if live.status in ("hit", "saved", "failed")}
        made._told = self._told | {self.prefix + path for path in hits | self._done}
        self.release()
        return made

    # -- the walk

    def events(self) -> Iterator[Event]:
        """Carry the job out. Closing the generator cancels it."""
        try:
            if not self._told:
                yield self._planned()
            for lint in self.frontier.lints if not self._told else ():
                yield Linted(job=self.order.job, path=lint.where.path or "", problem=lint)
            while True:
                yield from self._take()
                if not self.cancelled():
                    self._dispatch()
                    self._look_ahead()
                if not self._flying:
                    if self.cancelled() or not self._anything_new():
                        break
                    continue
                yield from self._next()
            if not self.again or self.cancelled():
                yield from self._finish()
        except GeneratorExit:
            self.order.cancel.set()
            raise
        finally:
            self.engine.reader.forget(self)
            if self._flying:
                self.order.cancel.set()

    def _anything_new(self) -> bool:
        return any(self._ready.values()) or bool(self.frontier._new_runs) or bool(self.frontier._new_marks)

    def _planned(self) -> Planned:
        counts, seconds = self.frontier.forecast()
        return Planned(
            job=self.order.job,
            hit=counts["hit"] + counts["saved"],
            run=counts["run"],
            maybe=counts["maybe"],
            seconds=seconds,
        )

    def _take(self) -> Iterator[Event]:
        """What the frontier found since the last look."""
        job = self.order.job
        self._taking = True
        for live in self.frontier.take_marks():
            path = self.prefix + live.path
            if path in self._told:
                continue
            if live.status == "hit":
                yield StepHit(job=job, path=path, tier=live.tier or "device")
            elif live.status == "saved":
                yield AlreadySaved(job=job, path=path, files=live.files)
            elif live.status == "failed" and live.problem is not None and live.path not in self._failed:
                self._failed[live.path] = live.problem
                self.problems.append(live.problem)
                yield StepFailed(job=job, path=path, problem=live.problem)
        for live in self.frontier.take_runs():
            self._register(live)
        for item in self.order.items:
            self._left.setdefault(item, set())
        self._taking = False

    def _register(self, live: Live) -> None:
        self._expect(live)
        ids = {ref.id for ref in holes(live.inputs)}
        missing = set()
        for id in ids:
            self._readers[id] = self._readers.get(id, 0) + 1
            if id not in self.values:
                missing.add(id)
                self._waiting_for.setdefault(id, []).append(live)
                if id in self._gone:
                    # It was here, its last reader done, before this step was planned.
                    self._gone.discard(id)
                    if self._lease(id) is None:
                        self._done.discard(self.frontier.maker.get(id, ("", ""))[0])
                        self.frontier.revive(id)
                    if id in self.values:
                        missing.discard(id)
        self._missing[live.path] = missing
        self._will_lease(live)
        if self.order.items and not self.depth:
            self._left.setdefault(live.path.partition("/")[0], set()).add(live.path)
        if not missing:
            self._make_ready(live)

    def _make_ready(self, live: Live) -> None:
        heapq.heappush(self._ready[live.spec.lane], (live.order, live.path))

    def _chosen(self, live: Live) -> dict[str, str]:
        """The texts that light nodes with a seed gave, by output: in the step's own graph and those around it."""
        return {
            f"{other.path}.{name}": value
            for other in self.frontier.lives.values()
            if other.spec.light and live.path.startswith(other.scope.prefix)
            if any(item.widget.get("kind") == "seed" for item in other.spec.inputs)
            for name, value in other.outputs.items()
            if isinstance(value, str)
        }

    def _dispatch(self) -> None:
        for lane, ready in self._ready.items():
            while ready and self._busy[lane] < LANE_WIDTH[lane]:
                company = self._company(ready)
                if not company:
                    break
                for live in company:
                    self._flying[live.path] = live
                    self._busy[lane] += 1
                self._launch(company, lane)

    def _nested(self, flight: Flight, live: Live, workflow: Any, values: Mapping[str, Any]) -> dict[str, Any]:
        if self.depth >= MAX_NESTED:
            raise WeftError(Problem("run.limit", f"runs are nested more than {MAX_NESTED} deep"))
        graph = bind(workflow, self.engine.registry, as_body=True)
        held: dict[str, Any] = {}
        given: dict[str, Any] = dict(graph.defaults)
        for name, value in values.items():
            given[name], found = as_given(value)
            held.update(found)
        inner = Execution(
            self.engine,
            graph,
            replace(self.order, cancel=FlightCancel(flight)),
            list(workflow.outputs) or None,
            given=given,
            held=held,
            prefix=f"{self.prefix}{live.path}/",
            depth=self.depth + 1,
        )
        try:
            while True:
                for event in inner.events():
                    if not isinstance(event, Planned | JobFinished):
                        self.inbox.put(("event", live, (event,)))
                if not inner.again or flight.cancelled():
                    break
                inner = inner.anew()
            if flight.cancelled():
                raise Cancelled
            if inner.problems:
                raise WeftError(inner.problems)
            return inner.results()
        finally:
            inner.release()

    # -- back on the job's thread

    def _next(self) -> Iterator[Event]:
        """Wait for the next message and act on it. A cancelled job waits only for steps that are its own."""
        if self.order.stopped:
            yield from self._stop_parts()
        try:
            kind, live, details = self.inbox.get(timeout=0.25)
        except queue.Empty:
            if self.cancelled():
                self._abandon()
            return
        job, path = self.order.job, self.prefix + live.path
        match kind:
            case "started":
                self._ran = True
                why = self.frontier.reasons.why(live)
                if live.leaner:
                    why = f"{why}; {made_do(live.leaner)}"
                steps = len(live.checkpoints)
                yield StepStarted(job=job, path=path, why=why, resumed=live.resumed, steps=steps, sharing=details[0])
            case "progress":
                done, total, text, left = details
                yield StepProgress(job=job, path=path, done=done, total=total, text=text, left=left)
            case "preview":
                picture, done, total = details
                yield StepPreview(job=job, path=path, done=done, total=total, picture=picture)
            case "shown":
                yield StepShown(job=job, path=path, id=details[0], summary=details[1])
            case "retried":
                yield StepRetried(job=job, path=path, how=details[0], freed=details[1])
            case "event":
                yield replace(details[0], job=job)
            case "done":
                yield from self._landed(live, *details)
            case "failed":
                yield from self._crashed(live, *details)
            case "cancelled":
                known = live.path in self._flying
                self._leave(live)
                if self.stopped(live) and known:
                    yield StepCancelled(job=job, path=path)
                elif known:
                    # The job that computed it was cancelled as this one joined: compute it here.
                    self._make_ready(live)

    def _stop_parts(self) -> Iterator[Event]:
        """Of a job with several graphs: the steps of those that were cancelled are not waited for.

        What shares its work with others comes back with them, long after.
        """
        for live in list(self._flying.values()):
            if self.order.off(self.prefix + live.path):
                self._leave(live)
                yield StepCancelled(job=self.order.job, path=self.prefix + live.path)

    def _abandon(self) -> None:
        """Leave what other jobs go on with, and what has not begun."""
        for live in list(self._flying.values()):
            if self.engine.flights.leave(live.key, self):
                self._leave(live)

    def _leave(self, live: Live) -> None:
        if self._flying.pop(live.path, None) is not None:
            self._busy[live.spec.lane] -= 1

    def _landed(self, live: Live, outcome: Outcome, owner: Execution | None, peak: int | None) -> Iterator[Event]:
        self._leave(live)
        self._done.add(live.path)
        self.engine.reader.room_may_be_free()
        self._let_states_go(live)
        job, path = self.order.job, self.prefix + live.path
        for id, value in outcome.values.items():
            self.values[id] = value
            found = self.engine.cache.lease(id)
            if found is not None:
                self._keep(id, found[1])
        if owner is self:
            work = self.frontier.reasons.work(live)
            rate_key = self.frontier.reasons.rate_key(live)
            if not live.resumed:
                self.engine.records.add_seconds(rate_key, outcome.seconds, work)
            if peak is not None:
                self.engine.records.add_peak(rate_key, work, peak)
            yield StepFinished(
                job=job, path=path, seconds=outcome.seconds, bytes=outcome.bytes, peak=peak, cut_off=outcome.cut_off
            )
        else:
            yield StepHit(job=job, path=path, shared=True)
        if outcome.files:
            yield Saved(job=job, path=path, files=outcome.files)
        self._forget_inputs(live)
        if live.unsettled:
            self.frontier.settle(live, {**self._remembered(live), **outcome.traces})
            self._keep_outputs()
        for id in outcome.values:
            self._wake(id)
            if id not in self._readers and id not in self._kept and not self._waiting_possible():
                self._let_go(id)
        self._over(live)

    def _over(self, live: Live) -> None:
        if self.order.items and not self.depth:
            self._left.get(live.path.partition("/")[0], set()).discard(live.path)

    def _remembered(self, live: Live) -> dict[str, str]:
        """What the trace table has of outputs that were unknown when this job was planned."""
        found = {out: self.engine.records.trace(output_id(live.key, out)) for out in live.unsettled}
        return {out: trace for out, trace in found.items() if trace is not None}

    def _waiting_possible(self) -> bool:
        """May a step that is not planned yet want this value?"""
        return bool(self.frontier._waiting) or bool(self.frontier._new_runs)

    def _wake(self, id: str) -> None:
        for waiting in self._waiting_for.pop(id, []):
            missing = self._missing.get(waiting.path)
            if missing is not None and id in missing:
                missing.discard(id)
                if not missing:
                    self._make_ready(waiting)

    def _forget_inputs(self, live: Live) -> None:
        """A value goes after its last reader; the cache keeps it if it is worth keeping."""
        for id in {ref.id for ref in holes(live.inputs)}:
            self._readers[id] = self._readers.get(id, 1) - 1
            if self._readers[id] <= 0 and id not in self._kept:
                self._readers.pop(id)
                if id in self.frontier.maker:
                    self._let_go(id)
