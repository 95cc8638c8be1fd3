"""Plan: what runs for these targets, why, in which order, and when a value is last used.

Nothing is executed here but light nodes. A `Frontier` walks the graph twice:

    forward   every step gets the templates of its inputs (values, or Refs to what does not exist yet), and from them
              its key and its outputs. Light nodes are simply called; map, fold and switch unfold.
    backward  from the targets: an output that is known is a *hit*, one that is not makes its step *run*, and a step
              behind a cut-off output whose content is not known yet is a *maybe*.

A *maybe* is settled when the cut-off step has run (or the trace table remembers it): `settle` tells the content, and
only what waited for it is walked again. So the plan is a frontier, re-planned as digests arrive:

    hit      its value is there                     maybe    depends on a content not known yet
    run      will run                               saved    an effect whose files are in place
    light    bookkeeping, already done              failed   cannot run; its problem says why

The states of a `Plan` are a snapshot of a frontier.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.graph import Graph
from engine.plan.frontier import Frontier
from engine.plan.state import Live, Plan, PlanStep, Scope, Setting

__all__ = ["Frontier", "Live", "Plan", "PlanStep", "Scope", "Setting", "make_plan"]


def make_plan(graph: Graph, setting: Setting, targets: Sequence[str] | None = None) -> Plan:
    """The plan for these targets, as a snapshot."""
    return Frontier(graph, setting, targets).snapshot()
