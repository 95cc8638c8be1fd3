"""Look: stop stepped nodes early, look at what they have, and finish only what is worth it.

Stopping is a value (`sample.stop_step`), so a stopped run is a workflow like any other, and the states it leaves are
those that the whole run goes on from: 16 seeds to step 6 of 20, three of them finished, cost 16 * 6 + 3 * 14 forwards.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.errors import fail
from engine.node import NodeSpec
from engine.registry import Registry
from engine.workflow import Link, Node, Workflow

if TYPE_CHECKING:
    from engine.session.job import Result
    from engine.session.main import Session


@dataclass(frozen=True)
class Look:
    """A workflow that stops early, and the outputs to look at."""

    workflow: Workflow
    targets: tuple[str, ...]  # `node.output`
    values: Mapping[str, Any]  # what was set, by `node.input`


def look(workflow: Workflow, registry: Registry, stop: Mapping[str, int] | int) -> Look:
    """The workflow with nodes stopped before a step, by name; a number alone stops the first that can be.

    What to look at is made by the node that makes of a stopped node's output what the workflow gives (a decoder). When
    none reads it directly, as in a workflow of two passes, one more of its kind is put there.
    """
    able = {name: spec for name, spec in _specs(workflow, registry) if spec.stop}
    if isinstance(stop, int):
        stop = {name: stop for name in list(able)[:1]} or {"": stop}
    values: dict[str, Any] = {}
    for name, step in stop.items():
        if name not in able:
            known = ", ".join(able) or "none in this workflow"
            raise fail("graph.target", f"'{name}' cannot be stopped early", mend=f"nodes that can: {known}")
        values[f"{name}.{able[name].stop[0]}"] = step
        values.update({f"{name}.{other}": False for other in able[name].stop[1:]})
    nodes = dict(workflow.with_parameters(values).nodes)
    targets = [_window(nodes, registry, name, able[name]) for name in stop]
    return Look(dataclasses.replace(workflow, nodes=nodes), tuple(dict.fromkeys(targets)), values)


def _specs(workflow: Workflow, registry: Registry) -> Iterator[tuple[str, NodeSpec]]:
    for name, node in workflow.nodes.items():
        spec = registry.get(node.type)
        if spec is not None and not node.mode:
            yield name, spec


def _window(nodes: dict[str, Node], registry: Registry, name: str, spec: NodeSpec) -> str:
    """The output through which to look at a stopped node; adds a node where none reads it."""
    out = spec.outputs[0]
    makers: list[tuple[str, str, NodeSpec]] = []
    for other, node in nodes.items():
        found = registry.get(node.type)
        if found is None or node.mode or other == name or found.steps or found.effect or found.light:
            continue
        if not found.outputs or found.outputs[0].type.name == out.type.name:
            continue
        for item in found.inputs:
            source = node.inputs.get(item.name)
            if item.type.name == out.type.name and isinstance(source, Link):
                if _reads(nodes, source, name, out.name):
                    return f"{other}.{found.outputs[0].name}"
                makers.append((other, item.name, found))
    if not makers:
        return f"{name}.{out.name}"
    like, socket, found = makers[-1]
    own = f"look at {name}"
    nodes[own] = dataclasses.replace(
        nodes[like], inputs={**nodes[like].inputs, socket: Link(name, out.name)}, title="", extra={}
    )
    return f"{own}.{found.outputs[0].name}"


def _reads(nodes: Mapping[str, Node], source: Link, name: str, output: str) -> bool:
    """Does the wire come from this output, perhaps over bends?"""
    seen: set[str] = set()
    while nodes[source.node].type == "reroute" if source.node in nodes else False:
        further = nodes[source.node].inputs.get("value")
        if source.node in seen or not isinstance(further, Link):
            return False
        seen.add(source.node)
        source = further
    return source.node == name and source.output in ("", output)


@dataclass(frozen=True)
class Cull:
    """Many variants, stopped early: look at them, finish some. Made by `Session.cull`."""

    session: Session
    workflow: Workflow  # every seed as it was drawn
    variants: tuple[Mapping[str, Any], ...]
    looks: tuple[Result, ...]
    targets: tuple[str, ...]

    @property
    def pictures(self) -> list[Any]:
        """What each variant looks like so far; None where it failed."""
        return [result.outputs.get(self.targets[0]) for result in self.looks]

    def finish(self, chosen: Sequence[int]) -> list[Result]:
        """Carry the chosen variants (counted from 0) to their end: each costs the steps that are left."""
        return [self.session.run(self.workflow, self.variants[index]) for index in chosen]
