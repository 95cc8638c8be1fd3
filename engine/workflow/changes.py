"""Changes: in what two workflows differ – nodes, inputs, wires – as data; layout aside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.workflow import (
    Link,
    Net,
    Node,
    Source,
    Workflow,
    map_links,
    net_to_json,
    node_to_json,
    source_to_json,
    to_json,
)


@dataclass(frozen=True)
class Change:
    """One difference: what, its value before and after; None where it was not there."""

    what: str
    before: Any = None
    after: Any = None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"what": self.what, "before": self.before, "after": self.after}


def differences(a: Workflow, b: Workflow) -> Iterator[Change]:
    """Everything in which two workflows differ, layout aside; a node that only has another name is one line."""
    for key in ("title", "about"):
        if getattr(a, key) != getattr(b, key):
            yield Change(key, getattr(a, key) or None, getattr(b, key) or None)
    yield from _nets(a, b, "")
    for name in _both(a.graphs, b.graphs):
        yield from _nets(a.graphs.get(name, Net()), b.graphs.get(name, Net()), f"#{name}/")
    left, right = to_json(a), to_json(b)
    for key in dict.fromkeys([*left, *right]):
        told = key in ("title", "about", "nodes", "parameters", "outputs", "graphs", "view")
        if not told and left.get(key) != right.get(key):
            yield Change(key, left.get(key), right.get(key))


def _nets(a: Net, b: Net, prefix: str) -> Iterator[Change]:
    renamed = _renamed(a.nodes, b.nodes)
    for old, new in renamed.items():
        yield Change(f"{prefix}{old} renamed", old, new)
    nodes = {renamed.get(name, name): _with_names(node, renamed) for name, node in a.nodes.items()}
    for name in _both(nodes, b.nodes):
        yield from _nodes(nodes.get(name), b.nodes.get(name), prefix + name)
    old_parameters = _plain(a)["parameters"]
    new_parameters = _plain(b)["parameters"]
    for name in _both(old_parameters, new_parameters):
        before = _moved(old_parameters.get(name), renamed)
        if before != new_parameters.get(name):
            yield Change(f"{prefix}parameter {name}", before, new_parameters.get(name))
    for name in _both(a.outputs, b.outputs):
        old_output = a.outputs.get(name)
        now = _target(old_output, renamed) if old_output else None
        if now != b.outputs.get(name):
            yield Change(f"{prefix}output {name}", now, b.outputs.get(name))


def _nodes(a: Node | None, b: Node | None, path: str) -> Iterator[Change]:
    if a is None or b is None:
        yield Change(path, a and node_to_json(a), b and node_to_json(b))
        return
    left, right = node_to_json(a), node_to_json(b)
    for key in dict.fromkeys([*left, *right]):
        if key != "inputs" and left.get(key) != right.get(key):
            yield Change(f"{path} ({key})", left.get(key), right.get(key))
    for name in _both(a.inputs, b.inputs):
        before, after = (_source(node.inputs.get(name)) for node in (a, b))
        if before != after:
            yield Change(f"{path}.{name}", before, after)


def _source(source: Source | None) -> Any:
    return None if source is None else source_to_json(source)


def _both(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys([*a, *b]))


def _plain(net: Net) -> dict[str, Any]:
    return {"parameters": {}, **net_to_json(net)}


def _renamed(a: Mapping[str, Node], b: Mapping[str, Node]) -> dict[str, str]:
    """Nodes that are gone on one side and there, the same but for the name, on the other."""
    gone = {name: node_to_json(node) for name, node in a.items() if name not in b}
    come = {name: node_to_json(node) for name, node in b.items() if name not in a}
    found: dict[str, str] = {}
    for name, node in gone.items():
        match = next((new for new, other in come.items() if other == node and new not in found.values()), None)
        if match is not None:
            found[name] = match
    return found


def _with_names(node: Node, renamed: Mapping[str, str]) -> Node:
    if not renamed:
        return node

    def change(link: Link) -> Source:
        return Link(renamed.get(link.node, link.node), link.output)

    inputs = {name: map_links(source, change) for name, source in node.inputs.items()}
    return Node(node.type, inputs, node.version, node.mode, node.title, node.body, node.extra)


def _target(target: str, renamed: Mapping[str, str]) -> str:
    name, dot, rest = target.partition(".")
    return renamed.get(name, name) + dot + rest


def _moved(parameter: dict[str, Any] | None, renamed: Mapping[str, str]) -> dict[str, Any] | None:
    if parameter is None or not renamed:
        return parameter
    return {**parameter, "to": [_target(one, renamed) for one in parameter["to"]]}
