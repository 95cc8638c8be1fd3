"""Graph: the file and the registry become a checked, typed, migrated, immutable graph.

`bind` answers with a `Graph` or raises a `WeftError` that holds *every* problem found, each with its path, socket and
mend. Instances (`#name`), reroutes and bypassed nodes are gone afterwards: they leave no trace in the graph and none in
ids. Inner nodes have paths such as `hires/denoise`. What a muted node would have fed is muted too.

`map`, `fold` and `switch` are the engine's own: they stay in the graph as nodes whose `flow` is set, and the plan
unfolds them, because only there is it known how long a list is and which branch is chosen.
"""

from __future__ import annotations

from engine.errors import Problem, WeftError
from engine.graph.binding import Binder
from engine.graph.bound import (
    Bound,
    Const,
    Free,
    Graph,
    Keyed,
    Muted,
    Out,
    Several,
    Step,
    outs,
    uncollected,
    unknown_target,
)
from engine.graph.flow import FLOW, flow_specs
from engine.graph.union import union
from engine.registry import Registry
from engine.workflow import Workflow

__all__ = [
    "FLOW",
    "Bound",
    "Const",
    "Free",
    "Graph",
    "Keyed",
    "Muted",
    "Out",
    "Several",
    "Step",
    "bind",
    "check",
    "flow_specs",
    "outs",
    "uncollected",
    "union",
    "unknown_target",
]


def bind(workflow: Workflow, registry: Registry, *, as_body: bool = False) -> Graph:
    """The typed graph of a workflow, or a `WeftError` with every problem in it.

    With `as_body` its parameters stay open, to be given as values or Refs when it is planned.
    """
    binder = Binder(workflow, registry)
    with uncollected():
        graph = binder.graph(workflow, frozenset(), as_body=as_body)
    if binder.problems:
        raise WeftError(binder.placed())
    return graph


def check(workflow: Workflow, registry: Registry) -> list[Problem]:
    """Every problem of a workflow, without raising."""
    try:
        return list(bind(workflow, registry).problems)
    except WeftError as error:
        return list(error.problems)
