"""Together: several variants of a workflow as one job, whose steps share their work where their nodes can.

The variants' graphs stand beside each other in one (`engine.graph.union`), as `1/sample`, `2/sample`. What they have in
common is computed once, as always; steps of `batched` nodes that fit share their forwards, and what those give has ids
of its own, because the number of rows in a forward changes how sums are rounded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from engine.events import Event, JobFinished, JobStarted, State, StepBlocked, StepEvent, StepFailed
from engine.executor import Execution, Order
from engine.graph import Graph, union
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
    order = Order(job=id, flow=f"{flow}|together", together=len(variants), items=items, **more)
    chosen = None if targets is None else [f"{number}/{target}" for number in graphs for target in targets]
    job = Job(id, workflow, union(graphs), order, chosen)
    job.drawn = drawn
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


def split(job: Job, fetch: bool = True) -> list[Result]:
    """What came of each variant, as if it had run alone."""
    whole = job.result(fetch)
    return [_one(whole, f"{number}/", job) for number in job.order.items]


def _one(whole: Result, prefix: str, job: Job) -> Result:
    events: list[Event] = []
    for event in whole.events:
        if isinstance(event, StepEvent):
            if not event.path.startswith(prefix):
                continue
            event = dataclasses.replace(event, path=event.path.removeprefix(prefix))
            if isinstance(event, StepBlocked):
                event = dataclasses.replace(event, by=event.by.removeprefix(prefix))
        elif isinstance(event, JobStarted):
            event = dataclasses.replace(event, drawn=_own(event.drawn, prefix))
        elif isinstance(event, JobFinished):
            event = dataclasses.replace(event, outputs=_own(event.outputs, prefix))
        events.append(event)
    problems = tuple(
        dataclasses.replace(problem, where=dataclasses.replace(problem.where, path=path.removeprefix(prefix)))
        for problem in whole.problems
        if (path := problem.where.path or "").startswith(prefix)
    )
    outputs = _own(whole.outputs, prefix)
    state: State = "cancelled" if whole.state == "cancelled" else "succeeded"
    if any(isinstance(event, StepFailed | StepBlocked) for event in events):
        state = "partial" if outputs or any(getattr(event, "files", ()) for event in events) else "failed"
    if events and isinstance(events[-1], JobFinished):
        events[-1] = dataclasses.replace(events[-1], state=state, problems=problems)
    return Result(state, outputs, tuple(events), problems)


def _own(found: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in found.items() if name.startswith(prefix)}
