"""Session: one engine and its jobs."""

from __future__ import annotations

import os
import threading
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from engine.cache import Cache, Tier
from engine.errors import WeftError, fail
from engine.events import Event, JobFinished, JobQueued, JobStarted
from engine.executor import Engine, Execution, Lanes, Order
from engine.invoke import Invoker, LocalInvoker
from engine.memory import Disk, Memory, probe
from engine.memory.forecast import leasable
from engine.numerics import Numerics
from engine.places import Places, set_process_places
from engine.records import Records
from engine.registry import Registry, load_registry
from engine.session.job import Job, Result
from engine.session.look import Cull, look
from engine.session.planning import Planning, flow_name
from engine.session.refusing import fatal, located
from engine.session.seeds import Seeds
from engine.session.together import accept as accept_together
from engine.session.together import resolved, split
from engine.session.turns import Turns
from engine.workflow import Workflow, to_json

JOBS_KEPT = 100  # finished jobs whose diary can still be read


class Session(Planning):
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
        disk: Disk | None = None,
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
            disk: Where weights are read ahead from.
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
            exact=bool(os.environ.get("WEFT_EXACT")),
            disk=disk,
        )
        self.jobs: dict[str, Job] = {}
        self._pool = ThreadPoolExecutor(max(1, jobs), thread_name_prefix="weft job")
        self.seeds = Seeds(registry, self.engine.records)
        self._lock = threading.Lock()
        self._accepting = threading.Lock()
        self._ended = 0
        self._turns = Turns()

    def reload(self, load: Callable[[], Registry]) -> None:
        """Take up nodes that have changed. While it is called nothing may run: jobs bound before are not begun."""
        with self._accepting:
            registry = load()
            self.engine.registry = self.seeds.registry = registry
            self.engine.light_memo.clear()
            if isinstance(self.engine.invoker, LocalInvoker):
                self.engine.invoker.types = registry.types

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
        models = _models(job.execution) if job.execution is not None else ()
        with self._lock:
            self._turns.join(job, models)
        self._pool.submit(self._carry_next)
        self._look_beyond()

    def _carry_next(self) -> None:
        """Carry out the job whose turn it is: one whose models are loaded first, within bounds."""
        loaded = self.engine.memory.weights()
        with self._lock:
            job = self._turns.take(loaded)
        if job is not None:
            self._look_beyond()
            try:
                self._carry_out(job)
            finally:
                self.engine.reader.forget(job)

    def _look_beyond(self) -> None:
        """Let the weights of the job that is next be read while others run."""
        loaded = self.engine.memory.weights()
        with self._lock:
            job = self._turns.peek(loaded)
        execution = job.execution if job is not None else None
        if job is not None and execution is not None:
            wishes = execution.wishes_before(lambda: not job.finished, lambda: job.state != "queued", job.tell)
            self.engine.reader.wish(job, wishes, rank=1)

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
            resolved=resolved(workflow, drawn),
        )
        job = Job(id, workflow, graph, order, targets)
        job.drawn, job.planned_at, job.registry = drawn, ended, self.engine.registry
        order.watched = lambda: job.watched
        job.execution = Execution(self.engine, graph, order, targets)
        wrong = fatal(job.execution)
        if wrong:
            job.execution.release()
            raise WeftError(located(workflow, problem) for problem in wrong)
        self.seeds.use(order.flow, drawn)
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
            while True:
                for event in job.execution.events():
                    if isinstance(event, JobFinished):
                        self._ended += 1
                    job.tell(event)
                if not job.execution.again or job.execution.cancelled():
                    break
                job.execution = job.execution.anew()
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

    def accept_together(
        self,
        workflow: Workflow,
        variants: Sequence[Mapping[str, Any]],
        targets: Sequence[str] | None = None,
        *,
        size: int = 0,
        again: bool = False,
        places: Places | None = None,
        id: str = "",
    ) -> Job:
        """Variants as one job whose steps share work, which waits for `begin`: items `1/…`, `2/…`.

        Up to `size` of them share a forward (as many as there are, when left out), and no more than there is room for;
        `together.parts` gives each as a job of its own, `together.split` what came of it.
        """
        with self._accepting:
            ended = self._ended
            own = places or self._places(workflow)
            more = {"again": again, "places": own, "together": max(2, size or len(variants))}
            name = id or uuid.uuid4().hex[:12]
            job = accept_together(self, name, flow_name(workflow), workflow, variants, targets, more)
            job.planned_at = ended
            return job

    def submit_together(
        self,
        workflow: Workflow,
        variants: Sequence[Mapping[str, Any]],
        targets: Sequence[str] | None = None,
        *,
        size: int = 0,
        again: bool = False,
    ) -> Job:
        """Variants of a workflow as one job whose steps share work: items `1/…`, `2/…`; `together.split` parts it."""
        job = self.accept_together(workflow, variants, targets, size=size, again=again)
        self.begin(job)
        return job

    def together(
        self,
        workflow: Workflow,
        variants: Sequence[Mapping[str, Any]],
        targets: Sequence[str] | None = None,
        *,
        size: int = 8,
        again: bool = False,
    ) -> list[Result]:
        """Run variants to their end, up to `size` of them sharing forwards: a result for each, in order.

        What is made so equals a single run but for the last bits, and has ids of its own (docs/determinism.md).
        """
        found: list[Result] = []
        for first in range(0, len(variants), size):
            job = self.submit_together(workflow, variants[first : first + size], targets, size=size, again=again)
            try:
                job.wait()
            except BaseException:
                job.cancel()
                job.wait()
                job.close()
                raise
            found.extend(split(job))
            job.close()
        return found

    def cull(
        self,
        workflow: Workflow,
        variants: Sequence[Mapping[str, Any]],
        stop: Mapping[str, int] | int,
        parameters: Mapping[str, Any] | None = None,
    ) -> Cull:
        """Run every variant up to a step and look: `session.cull(flow, [{"seed": s} for s in range(16)], 6)`.

        `.pictures` are what they look like, `.finish([3, 7])` carries two of them to their end for the steps left.
        """
        later = [name for variant in variants for name in variant]
        base, drawn = self.settle(workflow, parameters, later)
        self.seeds.use(flow_name(workflow), drawn)
        seen = look(base, self.engine.registry, stop)
        looks = tuple(self.run(seen.workflow, variant, seen.targets) for variant in variants)
        return Cull(self, base, tuple(dict(variant) for variant in variants), looks, seen.targets)

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
        self.engine.reader.close()
        for job in self.jobs.values():
            job.close()
        self.engine.lanes.close()
        self.engine.checkpoints.close()
        self.engine.cache.close()
        self.engine.records.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _models(execution: Execution) -> set[str]:
    """The ids of the weights that the job's steps will lease, as far as they are planned."""
    lives = (live for live in execution.frontier.lives.values() if live.status == "run" and live.inputs)
    return {recipe.weights for live in lives for recipe in leasable(live.inputs)}
