"""One job being carried out."""

from __future__ import annotations

import contextlib
import heapq
import queue
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine import places as places_room
from engine.errors import Cancelled, Mend, Problem, WeftError, Where
from engine.events import (
    AlreadySaved,
    Event,
    JobFinished,
    Linted,
    Planned,
    Saved,
    StepBlocked,
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
from engine.events import (
    State as JobState,
)
from engine.executor.shared import LANE_WIDTH, Engine, Flight, InlineLanes, Order
from engine.graph import Graph, bind
from engine.invoke import EngineRun, Hooks, Stopwatch, raised
from engine.keys import content_id, encode_template, output_id
from engine.memory import is_out_of_memory
from engine.node import PLAIN_OR_NONE
from engine.places import file_id
from engine.plan import Frontier, Live
from engine.run import State
from engine.sockets import Ref, facts_of, fill, holes
from engine.values import content_digest, nbytes, summary

MAX_NESTED = 8


class Execution:
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
        self._missing: dict[str, set[str]] = {}
        self._waiting_for: dict[str, list[Live]] = {}
        self._readers: dict[str, int] = {}
        self._ready: dict[str, list[tuple[tuple[int, ...], str]]] = {"device": [], "cpu": [], "io": []}
        self._flying: dict[str, Live] = {}
        self._busy: dict[str, int] = {"device": 0, "cpu": 0, "io": 0}
        self._done: set[str] = set()
        self._failed: dict[str, Problem] = {}
        self._ran = False
        self._lanes = InlineLanes() if depth else engine.lanes
        self._numerics = order.numerics or engine.numerics
        setting = engine.setting(
            known=self._lease,
            nonce=order.nonce or order.job,
            flow=order.flow,
            again=order.again,
            numerics=self._numerics,
        )
        if order.places is not None:
            setting = replace(setting, places=order.places)
        self.places = setting.places
        self.started = time.perf_counter()
        try:
            self.frontier = Frontier(graph, setting, targets, given)
            self._kept = {r.id for t in self.frontier.output_templates().values() for r in holes(t)}
        except BaseException:
            self.release()
            raise

    # -- leases

    def _lease(self, id: str) -> str | None:
        if id in self.values:
            return "device"
        found = self.engine.cache.lease(id)
        if found is None:
            return None
        tier, value = found
        self._leased[id] = self._leased.get(id, 0) + 1
        self.values[id] = value
        return tier

    def _hold(self, id: str, value: Any, seconds: float) -> None:
        self.values[id] = self.engine.cache.put(id, value, seconds, pinned=True)
        self._leased[id] = self._leased.get(id, 0) + 1

    def _let_go(self, id: str) -> None:
        self.values.pop(id, None)
        for _ in range(self._leased.pop(id, 0)):
            self.engine.cache.release(id)

    def release(self) -> None:
        """Give every lease back."""
        for id in list(self._leased):
            self._let_go(id)

    def cancelled(self) -> bool:
        """Has the job been cancelled?"""
        return self.order.cancel.is_set()

    # -- the walk

    def events(self) -> Iterator[Event]:
        """Carry the job out. Closing the generator cancels it."""
        try:
            yield self._planned()
            for lint in self.frontier.lints:
                yield Linted(job=self.order.job, path=lint.where.path or "", problem=lint)
            while True:
                yield from self._take()
                if not self.cancelled():
                    self._dispatch()
                if not self._flying:
                    if self.cancelled() or not self._anything_new():
                        break
                    continue
                yield from self._next()
            yield from self._finish()
        except GeneratorExit:
            self.order.cancel.set()
            raise
        finally:
            if self._flying:
                self.order.cancel.set()

    def _anything_new(self) -> bool:
        return any(self._ready.values()) or bool(self.frontier._new_runs) or bool(self.frontier._new_marks)

    def _planned(self) -> Planned:
        plan = self.frontier.snapshot()
        return Planned(
            job=self.order.job,
            hit=plan.count("hit") + plan.count("saved"),
            run=plan.count("run"),
            maybe=plan.count("maybe"),
            seconds=plan.seconds,
        )

    def _take(self) -> Iterator[Event]:
        """What the frontier found since the last look."""
        job = self.order.job
        for live in self.frontier.take_marks():
            path = self.prefix + live.path
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

    def _register(self, live: Live) -> None:
        ids = {ref.id for ref in holes(live.inputs)}
        missing = set()
        for id in ids:
            self._readers[id] = self._readers.get(id, 0) + 1
            if id not in self.values:
                missing.add(id)
                self._waiting_for.setdefault(id, []).append(live)
                maker = self.frontier.maker.get(id, ("", ""))[0]
                if maker in self._done:
                    self._done.discard(maker)
                    self.frontier.revive(id)
                    if id in self.values:
                        missing.discard(id)
        self._missing[live.path] = missing
        if not missing:
            self._make_ready(live)

    def _make_ready(self, live: Live) -> None:
        heapq.heappush(self._ready[live.spec.lane], (live.order, live.path))

    def _dispatch(self) -> None:
        for lane, ready in self._ready.items():
            while ready and self._busy[lane] < LANE_WIDTH[lane]:
                _, path = heapq.heappop(ready)
                live = self.frontier.lives[path]
                if path in self._flying:
                    continue
                self._flying[path] = live
                self._busy[lane] += 1
                self._launch(live, lane)

    def _launch(self, live: Live, lane: str) -> None:
        inputs = fill(live.inputs, self.values.__getitem__)
        shared = not (live.spec.effect or live.spec.volatile or self.depth)
        if shared:
            flight, first = self.engine.flights.join(live.key, self, live)
            if not first:
                return
        else:
            flight = Flight(live.key, [(self, live)])
        self._lanes.submit(lane, self._numerics.device, lambda: self._perform(flight, live, inputs))

    # -- on the lane's thread

    def _perform(self, flight: Flight, live: Live, inputs: dict[str, Any]) -> None:
        """Run one step and tell its waiters how it went. Never raises."""
        token = places_room.CURRENT.set(self.places)
        try:
            if flight.cancelled():
                raise Cancelled
            self.inbox.put(("started", live, ()))
            watch = Stopwatch()
            device = self.engine.memory.device(self._numerics.device) if live.spec.lane == "device" else None
            if device is not None:
                device.peak(reset=True)
            result = self._call(flight, live, inputs, watch)
            peak = device.peak() if device is not None else None
            outcome = self._outcome(live, result, watch.seconds())
            self.engine.flights.land(flight, "done", outcome, self, peak)
        except Cancelled:
            self.engine.flights.land(flight, "cancelled")
        except WeftError as error:
            if error.code == "node.mutated":
                for value in inputs.values():
                    self.engine.cache.drop_sharing(value)
            self.engine.flights.land(flight, "failed", error.problem, inputs)
        except BaseException as error:
            problem = _unexpected(live, inputs, error)
            self.engine.flights.land(flight, "failed", problem, inputs)
        finally:
            places_room.CURRENT.reset(token)

    def _call(self, flight: Flight, live: Live, inputs: dict[str, Any], watch: Stopwatch) -> dict[str, Any]:
        run = EngineRun(
            self.prefix + live.path,
            self.engine.memory,
            self._numerics,
            self._hooks(flight, live, watch),
            self.order.document,
            self.order.resolved,
        )
        try:
            return self.engine.invoker.call(live.spec, inputs, run)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            # The traceback's frames pin the activations that have to go.
            traceback.clear_frames(error.__traceback__)
        freed = self.engine.memory.free_everything(self._numerics.device)
        flight.tell("retried", freed)
        try:
            return self.engine.invoker.call(live.spec, inputs, run)
        except Exception as error:
            if is_out_of_memory(error):
                raise WeftError(
                    Problem(
                        "device.memory",
                        f"'{live.spec.id}' needs more memory than {self._numerics.device} has",
                        Where(),
                        Mend("use a smaller size or batch, a lower dtype, or tiled decoding"),
                    )
                ) from None
            raise

    def _hooks(self, flight: Flight, live: Live, watch: Stopwatch) -> Hooks:
        shown = iter(range(1_000_000))

        def show(value: Any) -> None:
            id = f"{live.key}.shown{next(shown)}"
            self._hold(id, value, watch.seconds())
            self._kept.add(id)
            flight.tell("shown", id, summary(value))

        def preview(picture: Callable[[], Any], done: int, total: int) -> None:
            if self.order.watched():
                flight.tell("preview", picture, done, total)

        def resume() -> State | None:
            if not live.resumed:
                return None
            found: State | None = self.values.get(live.checkpoints[live.resumed - 1])
            return found

        def checkpoint(state: State) -> None:
            if state.index < len(live.checkpoints):
                self.engine.cache.put(live.checkpoints[state.index], state, watch.seconds())

        return Hooks(
            progress=lambda done, total, text: flight.tell("progress", done, total, text, watch.left(done, total)),
            preview=preview,
            show=show,
            cancelled=flight.cancelled,
            resume=resume,
            checkpoint=checkpoint,
            nested=lambda workflow, values: self._nested(live, workflow, values),
        )

    def _nested(self, live: Live, workflow: Any, values: Mapping[str, Any]) -> dict[str, Any]:
        if self.depth >= MAX_NESTED:
            raise WeftError(Problem("run.limit", f"runs are nested more than {MAX_NESTED} deep"))
        graph = bind(workflow, self.engine.registry, as_body=True)
        held = {content_id(content_digest(value)): value for value in values.values()}
        given = {
            name: value if isinstance(value, PLAIN_OR_NONE) else Ref(content_id(content_digest(value)), facts_of(value))
            for name, value in values.items()
        }
        inner = Execution(
            self.engine,
            graph,
            self.order,
            list(workflow.outputs) or None,
            given=given,
            held=held,
            prefix=f"{self.prefix}{live.path}/",
            depth=self.depth + 1,
        )
        try:
            for event in inner.events():
                if not isinstance(event, Planned | JobFinished):
                    self.inbox.put(("event", live, (event,)))
            if self.cancelled():
                raise Cancelled
            if inner.problems:
                raise WeftError(inner.problems)
            return inner.results()
        finally:
            inner.release()

    def _outcome(self, live: Live, result: dict[str, Any], seconds: float) -> _Outcome:
        """Name the outputs, offer them to the cache, note what is to be remembered."""
        values: dict[str, Any] = {}
        traces: dict[str, str] = {}
        same = True
        passed = dict(live.spec.bypass) if live.spec.effect else {}
        for out in live.spec.outputs:
            if out.name in passed:
                continue
            id = output_id(live.key, out.name)
            value = result[out.name]
            if (
                out.name not in live.unsettled
                and isinstance(live.outputs.get(out.name), Ref)
                and (live.outputs[out.name].id == id)
            ):
                values[id] = value
                continue
            known = live.outputs.get(out.name)
            if known is not None and not list(holes(known)) and out.name not in live.unsettled:
                continue  # a plain value the trace table already told
            if out.type.name not in _BY_CONTENT and not live.spec.cutoff:
                values[id] = value
                continue
            template, found = _by_content(value)
            if out.name in live.unsettled:
                values.update(found)
                trace = encode_template(template)
                same &= self.engine.records.add_trace(id, trace)
                traces[out.name] = trace
            else:
                # Known by its trace, computed again because the value was gone: filed under the names promised.
                promised = [ref.id for ref in holes(known)]
                values.update(zip(promised, found.values(), strict=False))
        files: tuple[str, ...] = ()
        if live.spec.effect:
            names = result.get("files") or []
            files = tuple(str(self.places.output / name) for name in names)
            receipt = [(file, file_id(Path(file))) for file in files if Path(file).is_file()]
            if receipt and not live.spec.volatile:
                self.engine.records.add_receipt(live.effect_key, receipt)
        size = sum(nbytes(value) for value in values.values())
        for id, value in values.items():
            values[id] = self.engine.cache.put(id, value, seconds) if not live.spec.volatile else value
        return _Outcome(values, traces, files, seconds, size, bool(traces) and same)

    # -- back on the job's thread

    def _next(self) -> Iterator[Event]:
        """Wait for the next message and act on it. A cancelled job waits only for steps that are its own."""
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
                yield StepStarted(job=job, path=path, why=why, resumed=live.resumed, steps=len(live.checkpoints))
            case "progress":
                done, total, text, left = details
                yield StepProgress(job=job, path=path, done=done, total=total, text=text, left=left)
            case "preview":
                picture, done, total = details
                yield StepPreview(job=job, path=path, done=done, total=total, picture=picture)
            case "shown":
                yield StepShown(job=job, path=path, id=details[0], summary=details[1])
            case "retried":
                yield StepRetried(job=job, path=path, how="evicted everything idle", freed=details[0])
            case "event":
                yield replace(details[0], job=job)
            case "done":
                yield from self._landed(live, *details)
            case "failed":
                yield from self._crashed(live, *details)
            case "cancelled":
                self._leave(live)
                if self.cancelled():
                    yield StepCancelled(job=job, path=path)
                else:
                    # The job that computed it was cancelled as this one joined: compute it here.
                    self._make_ready(live)

    def _abandon(self) -> None:
        """Leave flights that other jobs go on with."""
        for live in list(self._flying.values()):
            flight = self.engine.flights._open.get(live.key)
            if flight is not None and len(flight.waiters) > 1:
                flight.waiters[:] = [(e, x) for e, x in flight.waiters if e is not self]
                self._leave(live)

    def _leave(self, live: Live) -> None:
        if self._flying.pop(live.path, None) is not None:
            self._busy[live.spec.lane] -= 1

    def _landed(self, live: Live, outcome: _Outcome, owner: Execution, peak: int | None) -> Iterator[Event]:
        self._leave(live)
        self._done.add(live.path)
        job, path = self.order.job, self.prefix + live.path
        for id, value in outcome.values.items():
            found = self.engine.cache.lease(id)
            if found is not None:
                self._leased[id] = self._leased.get(id, 0) + 1
            self.values[id] = found[1] if found is not None else value
        if owner is self:
            work = self.frontier.reasons.work(live)
            if not live.resumed:
                self.engine.records.add_seconds(self.frontier.reasons.rate_key(live), outcome.seconds, work)
            yield StepFinished(
                job=job, path=path, seconds=outcome.seconds, bytes=outcome.bytes, peak=peak, cut_off=outcome.cut_off
            )
        else:
            yield StepHit(job=job, path=path, shared=True)
        if outcome.files:
            yield Saved(job=job, path=path, files=outcome.files)
        self._forget_inputs(live)
        if live.unsettled:
            self.frontier.settle(live, outcome.traces)
            self._kept.update(r.id for t in self.frontier.output_templates().values() for r in holes(t))
        for id in outcome.values:
            self._wake(id)
            if id not in self._readers and id not in self._kept and not self._waiting_possible():
                self._let_go(id)

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

    def _crashed(self, live: Live, problem: Problem, inputs: dict[str, Any]) -> Iterator[Event]:
        self._leave(live)
        placed = problem.at(path=self.prefix + live.path)
        self._failed[live.path] = placed
        self.problems.append(placed)
        if problem.code == "node.mutated":
            self._poisoned(inputs)
        self._forget_inputs(live)
        yield StepFailed(job=self.order.job, path=self.prefix + live.path, problem=placed)

    def _poisoned(self, inputs: Mapping[str, Any]) -> None:
        """Drop every value that shares memory with what was written into; steps that wait for one get it made again."""
        from engine.values import tensors

        touched = {t.untyped_storage().data_ptr() for value in inputs.values() for t in tensors(value)}
        bad = [
            id
            for id, value in self.values.items()
            if any(t.untyped_storage().data_ptr() in touched for t in tensors(value))
        ]
        for id in bad:
            self._let_go(id)
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
            for path in sorted(self._missing, key=lambda p: self.frontier.lives[p].order):
                if path not in self._done and path not in self._failed:
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
        outputs = {
            name: template.id
            for name, template in self.frontier.output_templates().items()
            if isinstance(template, Ref) and template.id in self.values
        }
        yield JobFinished(
            job=job,
            state=self._state(),
            seconds=time.perf_counter() - self.started,
            outputs=outputs,
            problems=tuple(self.problems),
        )

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

    def results(self) -> dict[str, Any]:
        """The values of the target outputs that are there."""
        found = {}
        for name, template in self.frontier.output_templates().items():
            with contextlib.suppress(KeyError):
                found[name] = fill(template, self.values.__getitem__)
        return found


@dataclass(frozen=True)
class _Outcome:
    """What came of a step."""

    values: dict[str, Any]
    traces: dict[str, str]
    files: tuple[str, ...]
    seconds: float
    bytes: int
    cut_off: bool


_BY_CONTENT = ("int", "float", "str", "bool", "list", "choice")


def _by_content(value: Any) -> tuple[Any, dict[str, Any]]:
    """A cut-off value as a template: plain values as they are, everything else by its content digest."""
    if isinstance(value, PLAIN_OR_NONE):
        return value, {}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        templates, found = [], {}
        for item in value:
            template, inner = _by_content(item)
            templates.append(template)
            found.update(inner)
        return templates, found
    id = content_id(content_digest(value))
    return Ref(id, facts_of(value)), {id: value}


def _unexpected(live: Live, inputs: Mapping[str, Any], error: BaseException) -> Problem:
    return raised(live.spec, inputs, error).problem
