"""Executor: walk the frontier, skip what is known, tell the diary.

    frontier says        run ──▶ waits for its inputs ──▶ ready ──▶ a lane ──▶ done: values, what follows wakes
                         hit / saved ──▶ told, nothing to do            └──▶ failed: descendants are blocked

`execute` is a generator of events; whoever iterates it drives the job, and closing it cancels. Steps run in lanes: one
serial lane per device, and the cpu and io lanes beside it, so that decoding, encoding PNGs and saving overlap the
device. A step that two jobs need is one *flight*: computed once, told to both, stopped when the last of them cancels.

The executor knows no cache policy: it leases what is known and offers what was made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.events import Event
from engine.executor.execution import Execution
from engine.executor.shared import Engine, Flights, InlineLanes, Lanes, Order
from engine.graph import Graph

__all__ = ["Engine", "Execution", "Flights", "InlineLanes", "Lanes", "Order", "execute"]


def execute(engine: Engine, graph: Graph, order: Order, targets: Sequence[str] | None = None) -> Iterator[Event]:
    """Plan and run a graph, as a generator of events; leases are given back at its end."""
    execution = Execution(engine, graph, order, targets)
    try:
        yield from execution.events()
        while execution.again and not execution.cancelled():
            execution = execution.anew()
            yield from execution.events()
    finally:
        execution.release()
