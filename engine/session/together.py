"""Together: several variants of a workflow as one job, whose steps share their work where their nodes can.

The variants' graphs stand beside each other in one (`engine.graph.union`), as `1/sample`, `2/sample`. What they have in
common is computed once, as always; steps of `batched` nodes that fit share their forwards, and what those give has ids
of its own, because the number of rows in a forward changes how sums are rounded. To whoever looks on, each variant is a
job: a `Part`.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from engine.errors import Problem
from engine.events import Event, JobFinished, JobQueued, JobStarted, Planned, State, StepBlocked, StepEvent, StepFailed
from engine.executor import Execution, Order
from engine.graph import Graph, union
from engine.plan import Live
from engine.registry import Registry
from engine.session.job import Job, Result
from engine.workflow import Workflow, to_json

if TYPE_CHECKING:
    from engine.session.main import Session


def accept(
    session: Session,
    id: str,
    flow: str,
    workflow: Workflow,
    variants: Sequence[Mapping[str, Any]],
    targets: Sequence[str] | None,
    more: Mapping[str, Any],
) -> Job:
    """A job of all variants; `more` are further fields of its order."""
    graphs: dict[str, Graph] = {}
    items: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    drawn: dict[str, int] = {}
    for number, values in enumerate(variants, 1):
        made, graph, own = session.prepare(workflow, values)
        session.seeds.use(flow, own)  # or the next variant would get the same random ones
        graphs[str(number)] = graph
        items[str(number)] = (to_json(made), resolved(made, own))
        drawn.update({f"{number}/{name}": seed for name, seed in own.items()})
    # Its own name in the records: the paths of its steps are not those of the workflow.
    order = Order(job=id, flow=f"{flow}|together", items=items, **more)
    chosen = None if targets is None else [f"{number}/{target}" for number in graphs for target in targets]
    job = Job(id, workflow, union(graphs), order, chosen)
    job.drawn, job.graphs, job.registry = drawn, graphs, session.engine.registry
    order.watched = lambda: job.watched
    job.execution = Execution(session.engine, job.graph, order, chosen)
    return job


def resolved(workflow: Workflow, drawn: Mapping[str, int]) -> dict[str, Any]:
    """The values a run really has: every parameter, every drawn seed."""
    from engine.workflow import Value

    found: dict[str, Any] = {}
    for name, parameter in workflow.parameters.items():
        for target in parameter.to:
            node, _, socket = target.rpartition(".")
            source = workflow.nodes[node].inputs.get(socket) if node in workflow.nodes else None
            if isinstance(source, Value):
                found[name] = source.value
                break
    return {**found, **drawn}


class Part:
    """One variant of a job whose variants share work: what it has of the whole, under the names it has alone.

    It ends when nothing of it is left to do, or with the whole; of the seconds of the whole it has its share.
    """

    def __init__(self, whole: Job, name: str, follower: Callable[[Event], None] | None = None) -> None:
        """`follower` is told the events of this variant; `name` is what its graph is called in the whole."""
        self.whole = whole
        self.name = name
        self.graph = whole.graphs[name]
        self.follower = follower
        self.watched: Callable[[], bool] = lambda: False
        self.state: State = "queued"
        self.problems: list[Problem] = []
        self.over = False
        self.closed = False
        self._prefix = f"{name}/"
        self._hurt = False
        self._wrote = False

    # -- what a job has

    @property
    def registry(self) -> Registry | None:
        """The nodes that it was bound with."""
        return self.whole.registry

    @property
    def values(self) -> Mapping[str, Any]:
        """The values at hand, by id."""
        return self.whole.values

    def live(self, path: str) -> Live | None:
        """What is known of a step."""
        return self.whole.live(self._prefix + path)

    def outputs(self, fetch: bool = True) -> dict[str, Any]:
        """The values of the named outputs."""
        return self._own(self.whole.outputs(fetch, self._prefix))

    def follow(self, follower: Callable[[Event], None], watched: Callable[[], bool]) -> None:
        """Tell someone of every event; `watched`: does anybody look on besides?"""
        self.follower, self.watched = follower, watched

    def cancel(self) -> None:
        """Stop this variant; the others go on."""
        self.whole.order.stopped.add(self.name)
        if self.whole.order.stopped >= self.whole.order.items.keys():
            self.whole.cancel()

    def close(self) -> None:
        """Give the leases back; those of the whole go with its last variant."""
        self.closed = True
        if all(part.closed for part in self.whole.parts):
            self.whole.close()

    # -- its events

    def take(self, event: Event) -> None:
        """Take what concerns it of an event of the whole."""
        if self.over:
            return
        told: Event | None = event
        if isinstance(event, StepEvent):
            told = self._step(event) if event.path.startswith(self._prefix) else None
        elif isinstance(event, JobStarted):
            told = dataclasses.replace(event, drawn=self._own(event.drawn))
        elif isinstance(event, Planned):
            told = self._planned(event)
        elif isinstance(event, JobFinished):
            # What is wrong with the whole is wrong with each of its variants.
            self.problems += [problem for problem in event.problems if not problem.where.path]
            self._hurt |= bool(self.problems)
            self._end(event.seconds, event.outputs, cut_short=event.state == "cancelled")
            return
        elif not isinstance(event, JobQueued):  # memory, weights: of the whole, told once
            told = event if self.name == next(iter(self.whole.order.items)) else None
        if told is not None and self.follower is not None:
            self.follower(told)

    def look(self) -> None:
        """Is nothing of it left to do? Then it is over, whatever the others still have to do."""
        execution = self.whole.execution
        if not self.over and execution is not None and not execution.left(self.name):
            stopped = self.name in self.whole.order.stopped and execution.unfinished(self.name)
            self._end(time.perf_counter() - execution.started, execution.output_ids(), cut_short=stopped)

    def _step(self, event: StepEvent) -> StepEvent:
        event = dataclasses.replace(event, path=event.path.removeprefix(self._prefix))
        problem = getattr(event, "problem", None)
        if problem is not None:
            where = dataclasses.replace(problem.where, path=(problem.where.path or "").removeprefix(self._prefix))
            event = dataclasses.replace(event, problem=dataclasses.replace(problem, where=where))  # type: ignore[call-arg]
        if isinstance(event, StepBlocked):
            event = dataclasses.replace(event, by=event.by.removeprefix(self._prefix))
        if isinstance(event, StepFailed):
            self.problems.append(event.problem)
        self._hurt |= isinstance(event, StepFailed | StepBlocked)
        self._wrote |= bool(getattr(event, "files", ()))
        return event

    def _planned(self, event: Planned) -> Planned:
        if self.whole.execution is None:
            return event
        counts, seconds = self.whole.execution.frontier.forecast(self._prefix)
        known = counts["hit"] + counts["saved"]
        return dataclasses.replace(event, hit=known, run=counts["run"], maybe=counts["maybe"], seconds=seconds)

    def _end(self, seconds: float, ids: Mapping[str, str], *, cut_short: bool) -> None:
        self.over = True
        outputs = self._own(ids)
        if cut_short:
            self.state = "cancelled"
        elif self._hurt:
            self.state = "partial" if self._wrote or self.outputs(fetch=False) else "failed"
        else:
            self.state = "succeeded"
        share = seconds / len(self.whole.order.items)
        problems = tuple(self.problems)
        if self.follower is not None:
            job = self.whole.id
            self.follower(JobFinished(job=job, state=self.state, seconds=share, outputs=outputs, problems=problems))

    def _own(self, found: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name.removeprefix(self._prefix): value for name, value in found.items() if name.startswith(self._prefix)
        }


def parts(job: Job) -> list[Part]:
    """The variants of a job that has not begun, each followed as it goes on."""
    job.parts = [Part(job, name) for name in job.order.items]

    def follow(event: Event) -> None:
        for part in job.parts:
            part.take(event)
        if isinstance(event, StepEvent):
            for part in job.parts:
                part.look()

    job.follower = follow
    job.order.watched = lambda: job.watched or any(part.watched() for part in job.parts)
    return job.parts


def split(job: Job, fetch: bool = True) -> list[Result]:
    """What came of each variant of a job that is over, as if it had run alone."""
    job.wait()
    found: list[Result] = []
    for name in job.order.items:
        events: list[Event] = []
        part = Part(job, name, events.append)
        for event in job.diary:
            part.take(event)
        found.append(Result(part.state, part.outputs(fetch), tuple(events), tuple(part.problems)))
    return found
