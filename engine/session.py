"""Session: one long-lived engine – jobs, subscribers, measured seconds, seeds drawn ahead.

    session = Session()
    plan = session.plan(workflow)                 # what would run now, and why
    job = session.submit(workflow, {"prompt": "a red sphere"})
    for event in job.events(): ...                # the diary, live
    result = session.run(workflow)                # or: wait, and have the outputs

A session is a `Worker`: planning happens where the values are. Today it is a thread in this process; behind the same
seam it can be an actor on another machine.
"""

from __future__ import annotations

import dataclasses
import queue
import secrets
import threading
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from engine.cache import Cache, Tier
from engine.errors import Problem, WeftError, fail
from engine.events import TERMINAL, Event, JobFinished, JobQueued, JobStarted, State, ran
from engine.executor import Engine, Execution, Lanes, Order
from engine.graph import Graph, bind
from engine.invoke import Invoker, LocalInvoker
from engine.memory import Memory, probe
from engine.numerics import Numerics
from engine.places import Places, set_process_places
from engine.plan import Frontier, Plan
from engine.records import Records
from engine.registry import Registry, load_registry
from engine.workflow import Net, Node, Value, Workflow, to_json

RANDOM = ("random", "increment")
SEED_BITS = 48
JOBS_KEPT = 100  # finished jobs whose diary can still be read


class Worker(Protocol):
    """The seam between whoever wants something run and wherever it runs."""

    def known(self, ids: Sequence[str]) -> list[str]:
        """Which of these values are there."""

    def start(self, workflow: Workflow, targets: Sequence[str] | None, settings: Mapping[str, Any]) -> str:
        """Accept a job; its name."""

    def watch(self, job: str) -> Iterator[Event]:
        """The job's events from the first to the terminal one."""

    def fetch(self, id: str) -> Any:
        """A value by id."""

    def cancel(self, job: str) -> None:
        """Ask a job to stop at its next step."""

    def memory(self) -> Mapping[str, Any]:
        """Who holds what."""


@dataclass(frozen=True)
class Result:
    """What a finished job gave: outputs by name, its diary, the files it wrote."""

    state: State
    outputs: Mapping[str, Any]
    events: tuple[Event, ...]
    problems: tuple[Problem, ...] = ()

    @property
    def ran(self) -> list[str]:
        """The paths that really ran."""
        return ran(self.events)

    @property
    def files(self) -> list[str]:
        """The files of every effect, written now or found in place."""
        return [file for event in self.events for file in getattr(event, "files", ())]

    def __getitem__(self, name: str) -> Any:
        return self.outputs[name]


class Job:
    """One run of a workflow. Events are kept; any number of watchers may follow, from the start or late."""

    def __init__(self, id: str, workflow: Workflow, graph: Graph, order: Order, targets: Sequence[str] | None) -> None:
        """Made by `Session.submit`."""
        self.id = id
        self.workflow = workflow
        self.graph = graph
        self.order = order
        self.targets = targets
        self.state: State = "queued"
        self.diary: list[Event] = []
        self.execution: Execution | None = None
        self.drawn: Mapping[str, int] = {}
        self.planned_at = 0  # how many jobs of the session had ended when it was planned
        self.follower: Callable[[Event], None] | None = None  # told on the job's thread, values still at hand
        self._claimed = False
        self._changed = threading.Condition()
        self._watchers: list[queue.SimpleQueue[Event]] = []

    def tell(self, event: Event) -> None:
        """Write an event into the diary (durable ones) and hand it to the follower and every watcher."""
        if self.follower is not None:
            self.follower(event)
        with self._changed:
            if event.durable:
                self.diary.append(event)
            if isinstance(event, JobStarted):
                self.state = "running"
            if isinstance(event, JobFinished):
                self.state = event.state
            for watcher in self._watchers:
                watcher.put(event)
            if self.finished:  # nobody waits for less; waking them for every event would cost more than the event
                self._changed.notify_all()

    @property
    def finished(self) -> bool:
        """Has its terminal event been told?"""
        return self.state in TERMINAL

    @property
    def watched(self) -> bool:
        """Does anybody follow it now? Previews are made only then."""
        return bool(self._watchers)

    def claim(self) -> bool:
        """Whoever claims the job first carries it to its end: a worker, or a cancel while it is queued."""
        with self._changed:
            first, self._claimed = not self._claimed, True
            return first

    def cancel(self) -> None:
        """Stop at the next denoise step, tile or chunk; what is finished is kept. A queued job ends at once."""
        self.order.cancel.set()
        if self.claim():
            self.tell(JobFinished(job=self.id, state="cancelled"))
            self.close()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end; False when it did not come in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self.finished, timeout)

    def events(self) -> Iterator[Event]:
        """Every durable event from the first, then whatever comes, until the terminal one."""
        inbox: queue.SimpleQueue[Event] = queue.SimpleQueue()
        with self._changed:
            for event in self.diary:
                inbox.put(event)
            self._watchers.append(inbox)
        try:
            while True:
                try:
                    event = inbox.get(timeout=1.0)  # not for ever: Windows tells of Ctrl-C only between waits
                except queue.Empty:
                    continue
                yield event
                if isinstance(event, JobFinished):
                    return
        finally:
            with self._changed:
                self._watchers.remove(inbox)

    def result(self, fetch: bool = True) -> Result:
        """Wait, then the outputs and the diary. Without `fetch`, outputs that lie on disk are left there."""
        self.wait()
        outputs = self.execution.results(fetch) if self.execution is not None else {}
        last = self.diary[-1]
        problems = last.problems if isinstance(last, JobFinished) else ()
        return Result(self.state, outputs, tuple(self.diary), problems)

    def close(self) -> None:
        """Give the leases on its outputs back."""
        execution, self.execution = self.execution, None
        if execution is not None:
            execution.release()


class Session:
    """One engine and its jobs."""

    def __init__(
        self,
        *,
        registry: Registry | None = None,
        places: Places | None = None,
        numerics: Numerics | None = None,
        memory: Memory | None = None,
        records: Records | None = None,
        lower: Tier | None = None,
        invoker: Invoker | None = None,
        jobs: int = 2,
        paranoid: bool = False,
    ) -> None:
        """Everything has a default: installed packs, `WEFT_HOME`, the best device, records under `state/`.

        Args:
            registry: Which nodes there are.
            places: Which folders.
            numerics: Device, dtype and whatever else changes bits.
            memory: The budgets.
            records: Traces, receipts, seconds; `Records()` keeps them in memory.
            lower: A tier below the host, such as disk.
            invoker: Who calls nodes.
            jobs: How many jobs are under way at once; the device still runs one step at a time.
            paranoid: Hash inputs around every call.
        """
        places = places or Places()
        registry = registry or load_registry(places.nodes)
        places = registry.places(places)
        set_process_places(places)
        memory = memory or Memory()
        self.engine = Engine(
            registry=registry,
            places=places,
            numerics=numerics or probe(),
            memory=memory,
            cache=Cache(memory, lower),
            records=records or Records(places.state / "records.sqlite"),
            invoker=invoker or LocalInvoker(registry.types, paranoid),
            lanes=Lanes(),
        )
        self.jobs: dict[str, Job] = {}
        self._pool = ThreadPoolExecutor(max(1, jobs), thread_name_prefix="weft job")
        self._ahead: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()
        self._accepting = threading.Lock()
        self._ended = 0

    # -- binding and planning

    def prepare(
        self, workflow: Workflow, parameters: Mapping[str, Any] | None = None
    ) -> tuple[Workflow, Graph, dict[str, int]]:
        """Set parameters, draw seeds, bind. The seeds are drawn ahead: they stay the next ones until a job has them."""
        given = dict(parameters or {})
        workflow = workflow.with_defaults(given).with_parameters(given)
        workflow, drawn = self._draw(workflow)
        return workflow, bind(workflow, self.engine.registry), drawn

    def plan(
        self,
        workflow: Workflow,
        parameters: Mapping[str, Any] | None = None,
        targets: Sequence[str] | None = None,
        *,
        again: bool = False,
    ) -> Plan:
        """What would happen now. Problems of single steps stand in the plan; those of form are raised."""
        return self.foresee(workflow, parameters, targets, again=again)[0]

    def foresee(
        self,
        workflow: Workflow,
        parameters: Mapping[str, Any] | None = None,
        targets: Sequence[str] | None = None,
        *,
        again: bool = False,
    ) -> tuple[Plan, dict[str, int]]:
        """The plan, and the seeds that the next run will have, by `node.input`."""
        workflow, graph, drawn = self.prepare(workflow, parameters)
        setting = self.engine.setting(
            nonce="plan", flow=flow_name(workflow), again=again, places=self._places(workflow)
        )
        return Frontier(graph, setting, targets).snapshot(), drawn

    def _places(self, workflow: Workflow) -> Places:
        """The places with the workflow's own folder beside them."""
        origin = workflow.origin
        if origin is None or not Path(origin.file).is_file():
            return self.engine.places
        return dataclasses.replace(self.engine.places, beside=Path(origin.file).resolve().parent)

    def _draw(self, workflow: Workflow) -> tuple[Workflow, dict[str, int]]:
        """Replace `"random"` and `"increment"` by the seeds that the next run will have.

        What one parameter feeds gets one seed: a second pass refines with the noise of the first.
        """
        flow = flow_name(workflow)
        drawn: dict[str, int] = {}

        def net(part: Net, prefix: str) -> dict[str, Node]:
            nodes = dict(part.nodes)
            leader = {target: p.to[0] for p in part.parameters.values() for target in p.to}
            for name, node in part.nodes.items():
                inner = workflow.net(node.body or node.type) if node.body or node.type.startswith("#") else None
                inputs = dict(node.inputs)
                for label, parameter in inner.parameters.items() if inner is not None else ():
                    if parameter.default in RANDOM and label not in inputs:
                        inputs[label] = Value(parameter.default)
                for socket, source in inputs.items():
                    if not isinstance(source, Value) or source.value not in RANDOM:
                        continue
                    if self._takes_seed(workflow, node, socket):
                        own = f"{name}.{socket}"
                        first = leader.get(own, own)
                        seed = drawn.get(prefix + first)
                        if seed is None:
                            seed = self._next_seed(flow, prefix + first, source.value)
                        drawn[prefix + own] = seed
                        node = dataclasses.replace(node, inputs={**node.inputs, socket: Value(seed)})
                        nodes[name] = node
            return nodes

        graphs = {
            name: dataclasses.replace(part, nodes=net(part, f"#{name}/")) for name, part in workflow.graphs.items()
        }
        return dataclasses.replace(workflow, nodes=net(workflow, ""), graphs=graphs), drawn

    def _takes_seed(self, workflow: Workflow, node: Node, socket: str, inside: frozenset[str] = frozenset()) -> bool:
        """Is the input a seed, or a parameter of an inner graph that feeds one?"""
        graph = node.body or node.type
        if graph in inside:
            return False  # graphs that contain each other: `bind` tells
        inner = workflow.net(graph) if node.body or node.type.startswith("#") else None
        if inner is None:
            spec = self.engine.registry.get(node.type)
            item = spec.by_name.get(socket) if spec else None
            return item is not None and item.widget.get("kind") == "seed"
        for target in inner.parameters[socket].to if socket in inner.parameters else ():
            name, _, deeper = target.rpartition(".")
            below = inner.nodes.get(name)
            if below is not None and self._takes_seed(workflow, below, deeper, inside | {graph}):
                return True
        return False

    def _next_seed(self, flow: str, key: str, policy: str) -> int:
        with self._lock:
            seed = self._ahead.get((flow, key))
            if seed is None:
                last = self.engine.records.seed(flow, key) if policy == "increment" else None
                seed = secrets.randbits(SEED_BITS) if last is None else (last + 1) % 2**64
                self._ahead[flow, key] = seed
            return seed

    def _use_seeds(self, flow: str, drawn: Mapping[str, int]) -> None:
        with self._lock:
            for key, seed in drawn.items():
                if self._ahead.pop((flow, key), None) is not None:
                    self.engine.records.set_seed(flow, key, seed)

    # -- jobs

    def submit(
        self,
        workflow: Workflow,
        parameters: Mapping[str, Any] | None = None,
        targets: Sequence[str] | None = None,
        *,
        again: bool = False,
        places: Places | None = None,
        numerics: Numerics | None = None,
    ) -> Job:
        """Accept a job. What is wrong with the file is raised here; what goes wrong later is in the diary."""
        job = self.accept(workflow, parameters, targets, again=again, places=places, numerics=numerics)
        self.begin(job)
        return job

    def accept(
        self,
        workflow: Workflow,
        parameters: Mapping[str, Any] | None = None,
        targets: Sequence[str] | None = None,
        *,
        again: bool = False,
        places: Places | None = None,
        numerics: Numerics | None = None,
        id: str = "",
    ) -> Job:
        """A job that is checked and has its seeds, but waits for `begin`; `close` it when it is to wait for long."""
        with self._accepting:
            return self._accept(workflow, parameters, targets, again, places, numerics, id)

    def begin(self, job: Job) -> None:
        """Queue an accepted job: it runs as soon as a worker is free."""
        job.tell(JobQueued(job=job.id, position=self._enter(job), title=job.workflow.title))
        self._pool.submit(self._carry_out, job)

    def _accept(
        self,
        workflow: Workflow,
        parameters: Mapping[str, Any] | None,
        targets: Sequence[str] | None,
        again: bool,
        places: Places | None,
        numerics: Numerics | None,
        id: str,
    ) -> Job:
        workflow, graph, drawn = self.prepare(workflow, parameters)
        ended = self._ended
        id = id or uuid.uuid4().hex[:12]
        order = Order(
            job=id,
            flow=flow_name(workflow),
            again=again,
            places=places or self._places(workflow),
            numerics=numerics,
            document=to_json(workflow),
            resolved=_resolved(workflow, drawn),
        )
        job = Job(id, workflow, graph, order, targets)
        job.drawn, job.planned_at = drawn, ended
        order.watched = lambda: job.watched
        job.execution = Execution(self.engine, graph, order, targets)
        fatal = _fatal(job.execution)
        if fatal:
            job.execution.release()
            raise WeftError(_located(workflow, problem) for problem in fatal)
        self._use_seeds(order.flow, drawn)
        return job

    def _enter(self, job: Job) -> int:
        """Take the job in, and forget the oldest finished ones; how many jobs are before it."""
        with self._lock:
            waiting = sum(not other.finished for other in self.jobs.values())
            self.jobs[job.id] = job
            finished = [other for other in self.jobs.values() if other.finished]
            for old in finished[:-JOBS_KEPT]:
                old.close()
                del self.jobs[old.id]
            return waiting

    def _carry_out(self, job: Job) -> None:
        if not job.claim():
            return
        try:
            job.tell(JobStarted(job=job.id, drawn=job.drawn))
            if job.planned_at != self._ended or job.execution is None:
                # Others have finished while it was queued: what they made need not be made again.
                before = job.execution
                job.execution = Execution(self.engine, job.graph, job.order, job.targets)
                if before is not None:
                    before.release()
            for event in job.execution.events():
                if isinstance(event, JobFinished):
                    self._ended += 1
                job.tell(event)
        except WeftError as error:
            job.tell(JobFinished(job=job.id, state="failed", problems=error.problems))
        except BaseException as error:
            report = "".join(traceback.format_exception(error))
            message = f"the engine failed: {type(error).__name__}: {error}"
            problem = fail("node.raised", message, mend="this is a bug of Weft: send the report", report=report).problem
            job.tell(JobFinished(job=job.id, state="failed", problems=(problem,)))
            raise

    def run(
        self,
        workflow: Workflow,
        parameters: Mapping[str, Any] | None = None,
        targets: Sequence[str] | None = None,
        *,
        again: bool = False,
        on_event: Callable[[Event], None] | None = None,
    ) -> Result:
        """Run to the end and give the outputs; Ctrl-C cancels at the next step."""
        job = self.submit(workflow, parameters, targets, again=again)
        try:
            if on_event is not None:
                for event in job.events():
                    on_event(event)
            job.wait()
        except BaseException:
            job.cancel()
            job.wait()
            job.close()
            raise
        result = job.result()
        job.close()
        return result

    # -- the Worker seam

    def known(self, ids: Sequence[str]) -> list[str]:
        """Which of these values are there."""
        return [id for id in ids if self.engine.cache.known(id) is not None]

    def start(self, workflow: Workflow, targets: Sequence[str] | None, settings: Mapping[str, Any]) -> str:
        """Accept a job; its name. `settings` may hold `parameters` and `again`."""
        return self.submit(workflow, settings.get("parameters"), targets, again=bool(settings.get("again"))).id

    def watch(self, job: str) -> Iterator[Event]:
        """The job's events."""
        return self.jobs[job].events()

    def fetch(self, id: str) -> Any:
        """A value by id; `KeyError` when it is not there any more."""
        found = self.engine.cache.lease(id)
        if found is None:
            raise KeyError(id)
        self.engine.cache.release(id)
        return found[1]

    def cancel(self, job: str) -> None:
        """Ask a job to stop."""
        self.jobs[job].cancel()

    def memory(self) -> Mapping[str, Any]:
        """Who holds what, by device."""
        return self.engine.memory.report()

    def close(self) -> None:
        """Cancel what runs, wait for it, and stop the threads."""
        for job in list(self.jobs.values()):
            if not job.finished:
                job.cancel()
        self._pool.shutdown(wait=True)
        for job in self.jobs.values():
            job.close()
        self.engine.lanes.close()
        self.engine.cache.close()
        self.engine.records.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def flow_name(workflow: Workflow) -> str:
    """Under which name the records know a workflow: its file, else its title."""
    return workflow.origin.file if workflow.origin else workflow.title


def _resolved(workflow: Workflow, drawn: Mapping[str, int]) -> dict[str, Any]:
    """The values a run really has: every parameter, every drawn seed."""
    found: dict[str, Any] = {}
    for name, parameter in workflow.parameters.items():
        for target in parameter.to:
            node, _, socket = target.rpartition(".")
            source = workflow.nodes[node].inputs.get(socket) if node in workflow.nodes else None
            if isinstance(source, Value):
                found[name] = source.value
                break
    return {**found, **drawn}


def _fatal(execution: Execution) -> list[Problem]:
    """The problems known before anything ran that keep a target from being reached."""
    frontier = execution.frontier
    paths = [p for p in frontier.target_paths if p in frontier.lives]
    blamed: dict[str, Problem] = {}
    for path in paths:
        live = frontier.lives[path]
        cause = frontier.lives.get(live.failed_by, live)
        if cause.problem is not None:
            blamed[cause.path] = cause.problem
    for live in frontier.lives.values():
        if live.problem is not None and (live.wanted or live.status == "failed"):
            blamed[live.path] = live.problem
    return list(blamed.values())


def _located(workflow: Workflow, problem: Problem) -> Problem:
    """The problem with file and line, when its path is a node of the file."""
    path = problem.where.path or ""
    if workflow.origin is None or path not in workflow.nodes:
        return problem
    steps: list[str | int] = ["nodes", path]
    if problem.where.socket in workflow.nodes[path].inputs:
        steps += ["inputs", str(problem.where.socket)]
    place = workflow.origin.where(steps)
    return problem.at(file=place.file, line=place.line, column=place.column)
