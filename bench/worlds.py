"""Worlds: graphs to measure on, of nodes that do nothing, and keys as they should not be made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from engine.node import Range, node
from engine.packs import Pack
from engine.registry import Registry, make_registry
from engine.sockets import socket
from engine.workflow import Link, Node, Source, Value, Workflow


@socket()
@dataclass(frozen=True)
class Thing:
    """A value that costs nothing to make."""

    value: float


@node("bench/thing.make", lane="cpu")
def make(seed: int = 0) -> Thing:
    """A thing."""
    return Thing(float(seed))


@node("bench/thing.blend", lane="cpu")
def blend(
    a: Thing,
    b: Thing,
    amount: Annotated[float, Range(0, 1)] = 0.5,
    label: str = "",
    steps: Annotated[int, Range(1, 1000)] = 20,
) -> Thing:
    """Two things as one: two wires and three widgets, more than a node of a usual workflow has."""
    return Thing(a.value + (b.value - a.value) * amount)


def registry() -> Registry:
    """These nodes as a pack."""
    specs = tuple(function.__weft__ for function in (make, blend))
    types = (Thing.__weft_type__,)  # type: ignore[attr-defined]
    return make_registry([Pack("bench", __name__, Path(__file__).parent, nodes=specs, types=types)])


def chain(count: int) -> Workflow:
    """Each node reads the one before, twice: the deepest graph there is."""
    return _flow(count, lambda index: index - 1)


def mesh(count: int) -> Workflow:
    """Each node reads the one before and one from anywhere above."""
    return _flow(count, lambda index: index // 2 if index % 3 else index - 2)


def _flow(count: int, second: Any) -> Workflow:
    nodes = {"n0": Node("bench/thing.make", {"seed": Value(1)}), "n1": Node("bench/thing.make", {"seed": Value(2)})}
    for index in range(2, count):
        inputs: dict[str, Source] = {
            "a": Link(f"n{index - 1}", "out"),
            "b": Link(f"n{second(index) if index > 2 else 0}", "out"),
            "amount": Value(index / count),
            "label": Value(f"node {index}"),
        }
        nodes[f"n{index}"] = Node("bench/thing.blend", inputs)
    return Workflow(nodes=nodes, outputs={"last": f"n{count - 1}.out"}, title=f"bench {count}")


def edited(workflow: Workflow, turn: int) -> Workflow:
    """The same graph with its first node changed: every id is another."""
    first = Node("bench/thing.make", {"seed": Value(turn)})
    return Workflow(nodes={**workflow.nodes, "n0": first}, outputs=workflow.outputs, title=workflow.title)


def ancestor_keys(workflow: Workflow) -> dict[str, Any]:
    """Keys that list every ancestor: the naive form, which some editors use.

    The key of a node is its own inputs followed by those of all its ancestors, wires written as positions in that list.
    Correct, and quadratic in the depth of the graph. (Iterative here, so that depth costs only time.)
    """
    keys: dict[str, Any] = {}
    for name in workflow.nodes:
        order = {name: 0}
        pending = [name]
        while pending:
            for source in workflow.nodes[pending.pop()].inputs.values():
                if isinstance(source, Link) and source.node not in order:
                    order[source.node] = len(order)
                    pending.append(source.node)
        keys[name] = tuple(_signature(workflow.nodes[one], order) for one in order)
        hash(keys[name])
    return keys


def _signature(one: Node, order: Mapping[str, int]) -> tuple[Any, ...]:
    inputs = tuple(
        (name, order[source.node], source.output) if isinstance(source, Link) else (name, _plain(source))
        for name, source in sorted(one.inputs.items())
    )
    return (one.type, inputs)


def _plain(source: Source) -> Any:
    return source.value if isinstance(source, Value) else source
