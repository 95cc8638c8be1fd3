"""One step on its lane's thread: call the node, name its outputs, tell the waiters how it went."""

from __future__ import annotations

import queue
import traceback
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import places as places_room
from engine.errors import Cancelled, Mend, Problem, WeftError, Where
from engine.executor.checkpoints import Trail
from engine.executor.holding import Holding
from engine.executor.shared import Flight
from engine.invoke import EngineRun, Hooks, Stopwatch, raised, without
from engine.keys import canonical, content_id, encode_template, output_id
from engine.memory import Way, is_out_of_memory
from engine.node import PLAIN_OR_NONE
from engine.numerics import Numerics
from engine.places import Places, file_id
from engine.plan import Live
from engine.run import State
from engine.sockets import Ref, facts_of, holes
from engine.values import content_digest, contiguous, map_tensors, nbytes, summary

PARTS: tuple[Way, ...] = ("blocks", "layers")


@dataclass(eq=False)
class Task:
    """A step that is being run."""

    flight: Flight
    live: Live
    inputs: dict[str, Any]
    run: EngineRun
    watch: Stopwatch
    trail: Trail | None


class Performing(Holding):
    """The part of an execution that runs on the lanes' threads. It only reads the job, and answers by messages."""

    prefix: str
    depth: int
    places: Places
    inbox: queue.SimpleQueue[tuple[str, Live, tuple[Any, ...]]]
    _numerics: Numerics

    @abstractmethod
    def _nested(self, flight: Flight, live: Live, workflow: Any, values: Mapping[str, Any]) -> dict[str, Any]:
        """Run a workflow inside a step."""

    @abstractmethod
    def _chosen(self, live: Live) -> dict[str, str]:
        """The texts that seeds chose on the way to a step, for what it says about itself."""

    def _perform(self, company: Sequence[tuple[Flight, Live, dict[str, Any]]]) -> None:
        """Run one step, or several that share their work, and tell who waits how each went. Never raises."""
        token = places_room.CURRENT.set(self.places)
        try:
            sharing = len(company) if len(company) > 1 else 0
            tasks = [task for one in company if (task := self._begin(*one, sharing)) is not None]
            if tasks:
                results, peak = self._called(tasks)
                for task, result in zip(tasks, results, strict=True):
                    self._settle(task, result, peak, len(tasks))
        except BaseException as error:
            # A mistake of the engine's own, or a driver that is gone: still nobody may wait for ever.
            for flight, live, inputs in company:
                if not flight.landed:
                    self.engine.flights.land(flight, "failed", _unexpected(live, inputs, error), inputs)
        finally:
            places_room.CURRENT.reset(token)

    def _called(self, tasks: Sequence[Task]) -> tuple[list[dict[str, Any] | BaseException], int | None]:
        """What came of the calls, and the device's peak if it counts."""
        if tasks[0].live.spec.lane != "device":
            return self._call_all(tasks), None
        device = self.engine.memory.device(self._numerics.device)
        device.peak(reset=True)
        return self._call_all(tasks), device.peak()

    def _begin(self, flight: Flight, live: Live, inputs: dict[str, Any], sharing: int) -> Task | None:
        """Make everything ready; None when nobody wants it any more."""
        try:
            flight.begun = True
            if flight.cancelled():
                raise Cancelled
            self._catch_up(live)
            self.inbox.put(("started", live, (sharing,)))
            watch = Stopwatch()
            trail = None
            if live.checkpoints:
                about = self._about(live, live.key)
                trail = Trail(self.engine.checkpoints, live.checkpoints, live.resumed, about)
            path = self.prefix + live.path
            hooks = self._hooks(flight, live, watch, trail)
            document, resolved = self.order.papers(path)
            if live.spec.effect:
                resolved = {**resolved, **self.order.own(path, self._chosen(live))}
            run = EngineRun(path, self.engine.memory, self._numerics, hooks, document, resolved, live.leaner)
            return Task(flight, live, inputs, run, watch, trail)
        except Cancelled:
            self.engine.flights.land(flight, "cancelled")
        except BaseException as error:
            self.engine.flights.land(flight, "failed", _unexpected(live, inputs, error), inputs)
        return None

    def _settle(self, task: Task, result: dict[str, Any] | BaseException, peak: int | None, sharing: int) -> None:
        """Name what came of a step, or what went wrong, and tell."""
        flight, live, inputs, trail = task.flight, task.live, task.inputs, task.trail
        try:
            if isinstance(result, BaseException):
                raise result
            outcome = self._outcome(live, result, task.watch.seconds() / sharing)
            if trail is not None:
                trail.ended()
            self.engine.flights.land(flight, "done", outcome, self, peak)
            return
        except Cancelled:
            told: tuple[Any, ...] = ("cancelled",)
        except WeftError as error:
            ways = [way for choice in task.run.choices if (way := without(choice)) not in live.leaner]
            if error.code == "device.compile" and ways and not self.engine.exact:
                # The step is planned anew without it, under a key of its own.
                self.engine.leaner[live.exact] = (*live.leaner, ways[0])
            if error.code == "node.mutated":
                for value in inputs.values():
                    self.engine.cache.drop_sharing(value)
            told = ("failed", error.problem, inputs)
        except BaseException as error:
            told = ("failed", _unexpected(live, inputs, error), inputs)
        if trail is not None:
            trail.stopped()
        self.engine.flights.land(flight, *told)

    def _catch_up(self, live: Live) -> None:
        """Go on from the newest state that is there now: a step that ran since the plan was made may have left more."""
        if not live.checkpoints:
            return
        live.resumed = next((n for n in range(len(live.checkpoints), 0, -1) if self._lease(live.checkpoints[n - 1])), 0)
        self.engine.checkpoints.begun((self, live.path))

    def _call_all(self, tasks: Sequence[Task]) -> list[dict[str, Any] | BaseException]:
        """Call the node for all of them; when their device has no room for so many, for each half."""
        if len(tasks) == 1:
            try:
                return [self._call(tasks[0])]
            except BaseException as error:
                return [error]
        try:
            spec, inputs, runs = tasks[0].live.spec, [task.inputs for task in tasks], [task.run for task in tasks]
            results = self.engine.invoker.together(spec, inputs, runs)
        except BaseException as error:
            results = [error] * len(tasks)
        short = [result for result in results if isinstance(result, BaseException) and is_out_of_memory(result)]
        if not short:
            return results
        for one in short:
            traceback.clear_frames(one.__traceback__)
        freed = self.engine.memory.free_everything(self._numerics.device)
        for task in tasks:
            task.flight.tell("retried", "evicted everything idle, half as many at once", freed)
            self._catch_up(task.live)
        half = len(tasks) // 2
        return [*self._call_all(tasks[:half]), *self._call_all(tasks[half:])]

    def _call(self, task: Task) -> dict[str, Any]:
        flight, live, inputs, run = task.flight, task.live, task.inputs, task.run
        memory, device = self.engine.memory, self._numerics.device
        done, result = self._tried(live, inputs, run)
        if done:
            return result
        # What follows changes no bit: first what is idle goes, then weights come to the device in parts.
        flight.tell("retried", "evicted everything idle", memory.free_everything(device))
        done, result = self._tried(live, inputs, run)
        for way in PARTS:
            if done:
                return result
            with memory.in_parts(device, way) as helps:
                if helps:
                    flight.tell("retried", f"weights come in {way}", memory.free_everything(device))
                    done, result = self._tried(live, inputs, run)
        if done:
            return result
        # The rest does: the step is planned anew, under a key of its own, in the mildest way that it knows.
        ways = [way for way in run.asked if way not in live.leaner]
        if ways and not self.engine.exact:
            self.engine.leaner[live.exact] = (*live.leaner, ways[0])
        raise WeftError(
            Problem(
                "device.memory",
                f"'{live.spec.id}' needs more memory than {device} has",
                Where(),
                Mend("use a smaller size or batch, a lower dtype, or tiled decoding"),
            )
        )

    def _tried(self, live: Live, inputs: dict[str, Any], run: EngineRun) -> tuple[bool, dict[str, Any]]:
        """The outputs, or (False, {}) when the device ran out of memory."""
        try:
            return True, self.engine.invoker.call(live.spec, inputs, run)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            # The traceback's frames pin the activations that have to go.
            traceback.clear_frames(error.__traceback__)
        return False, {}

    def _hooks(self, flight: Flight, live: Live, watch: Stopwatch, trail: Trail | None) -> Hooks:
        shown = iter(range(1_000_000))

        def show(value: Any) -> None:
            id = f"{live.key}.shown{next(shown)}"
            self._hold(id, value, watch.seconds())
            self._kept.add(id)
            flight.tell("shown", id, summary(value))

        def preview(picture: Callable[[], Any], done: int, total: int) -> None:
            if flight.watched():
                flight.tell("preview", picture, done, total)

        def resume() -> State | None:
            if not live.resumed:
                return None
            found: State | None = self.values.get(live.checkpoints[live.resumed - 1])
            return found

        def checkpoint(state: State) -> None:
            if trail is not None:
                trail.offer(state)

        def progress(done: int, total: int, text: str) -> None:
            left = watch.left(done, total)
            # Each message wakes two threads; nobody misses what nobody sees.
            if flight.watched():
                flight.tell("progress", done, total, text, left)

        return Hooks(
            progress=progress,
            preview=preview,
            show=show,
            cancelled=flight.cancelled,
            resume=resume,
            checkpoint=checkpoint,
            nested=lambda workflow, values: self._nested(flight, live, workflow, values),
        )

    def _about(self, live: Live, id: str) -> dict[str, str] | None:
        """What the tier that outlives the process is told of a value."""
        if self.engine.cache.lower is None:
            return None
        output = id.removeprefix(f"{live.key}.") if id.startswith(live.key) else ""
        return self.frontier.reasons.about(live, output)

    def _outcome(self, live: Live, result: dict[str, Any], seconds: float) -> Outcome:
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
            if known is not None and not holes(known) and out.name not in live.unsettled:
                continue  # a plain value the trace table already told
            if out.type.name not in _BY_CONTENT and not live.spec.cutoff:
                values[id] = value
                continue
            template, found = by_content(value)
            if out.name in live.unsettled:
                values.update(found)
                trace = encode_template(template)
                same &= self.engine.records.add_trace(id, trace)
                traces[out.name] = trace
            else:
                # Known by its trace, computed again because the value was gone: filed under the names promised.
                promised = dict.fromkeys(ref.id for ref in holes(known))
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
            about = self._about(live, id)
            values[id] = self.engine.cache.put(id, value, seconds, about=about) if not live.spec.volatile else value
        return Outcome(values, traces, files, seconds, size, bool(traces) and same)


@dataclass(frozen=True)
class Outcome:
    """What came of a step."""

    values: dict[str, Any]
    traces: dict[str, str]
    files: tuple[str, ...]
    seconds: float
    bytes: int
    cut_off: bool


_BY_CONTENT = ("int", "float", "str", "bool", "list", "choice")


def by_content(value: Any) -> tuple[Any, dict[str, Any]]:
    """A cut-off value as a template: plain values as they are, everything else by its content digest."""
    if isinstance(value, PLAIN_OR_NONE):
        return value, {}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        templates, found = [], {}
        for item in value:
            template, inner = by_content(item)
            templates.append(template)
            found.update(inner)
        return templates, found
    value = contiguous(value)
    id = content_id(content_digest(value))
    return Ref(id, facts_of(value)), {id: value}


def as_given(value: Any) -> tuple[Any, dict[str, Any]]:
    """A value as the parameter of a nested run: plain data and recipes stay readable for light nodes."""
    try:
        canonical(value)
    except TypeError:
        pass
    else:
        return value, {}
    kind = getattr(type(value), "__weft_type__", None)
    if kind is None or not kind.recipe:
        return by_content(value)
    found: dict[str, Any] = {}

    def leaf(tensor: Any) -> Any:
        id = content_id(content_digest(tensor))
        found[id] = contiguous(tensor)
        return Ref(id)

    return map_tensors(value, leaf), found


def made_do(ways: Sequence[str]) -> str:
    """Why a step does not run as it was planned first, in words."""
    failed = [way for way in ways if way.startswith("without ")]
    short = [way for way in ways if way not in failed]
    told = [f"with {' and '.join(short)}, because it did not fit into memory"] if short else []
    return "; ".join([*told, *(f"{way}, which failed" for way in failed)])


def _unexpected(live: Live, inputs: Mapping[str, Any], error: BaseException) -> Problem:
    """Whatever went wrong as a problem; a flight always lands, even when the report cannot be made."""
    try:
        return raised(live.spec, inputs, error).problem
    except Exception as second:
        message = f"'{live.spec.id}' raised {type(error).__name__}; its inputs cannot be shown ({second})"
        return Problem("node.raised", message)
