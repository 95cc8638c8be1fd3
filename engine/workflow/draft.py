"""Draft: a workflow to begin with, from a few nodes, wired by their types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from engine.workflow.data import Link, Node, Source, Value, Workflow

if TYPE_CHECKING:
    from engine.node import Input, NodeSpec

_PLAIN: Mapping[str, Any] = {"int": 1, "float": 1.0, "bool": True, "str": ""}


def draft(title: str, specs: Sequence[NodeSpec]) -> Workflow:
    """One node for each spec, in order, named by its verb; each required wire comes from the nearest node before it.

    What nothing before gives stays unwired, so that `weft check` says what is still missing. The results of the last
    node are the workflow's outputs.
    """
    nodes: dict[str, Node] = {}
    placed: list[tuple[str, NodeSpec]] = []
    for spec in specs:
        name = free_name(spec.id.rpartition(".")[2], nodes)
        inputs: dict[str, Source] = {}
        for item in spec.inputs:
            source = _source(item, placed)
            if source is not None:
                inputs[item.name] = source
        nodes[name] = Node(spec.id, inputs, spec.version)
        placed.append((name, spec))
    outputs = {}
    if placed:
        name, spec = placed[-1]
        outputs = {out.name: f"{name}.{out.name}" for out in spec.outputs if out.type.name != "list"}
    return Workflow(nodes=nodes, outputs=outputs, title=title)


def _source(item: Input, placed: Sequence[tuple[str, NodeSpec]]) -> Source | None:
    wire = item.type.name not in (*_PLAIN, "choice", "variant", "any") and not item.type.variable
    if item.wired and wire and (item.required or item.gather):
        for name, spec in reversed(placed):
            found = next((out for out in spec.outputs if out.type.required == item.type.required), None)
            if found is not None:
                return Link(name, found.name)
        return None
    if item.required and not wire and item.typed:
        if item.type.choices:
            return Value(item.type.choices[0])
        low = item.widget.get("low")
        plain = _PLAIN.get(item.type.name)
        return None if plain is None else Value(max(plain, low) if low is not None else plain)
    return None


def free_name(name: str, taken: Mapping[str, Any]) -> str:
    """`sample`, or `sample_2` when it is taken."""
    made, number = name, 2
    while made in taken:
        made, number = f"{name}_{number}", number + 1
    return made
