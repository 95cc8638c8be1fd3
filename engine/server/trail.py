"""Trail: what was tried before – the exact graph of a result, and the results that differ in one value alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from engine.errors import fail
from engine.graph.settable import RANDOM, inputs_of
from engine.node import MISSING, Input
from engine.registry import Registry
from engine.server.entry import entry_of
from engine.server.shapes import TrailPoint
from engine.server.store import ItemRow, Row, Store
from engine.workflow import Value, Workflow, from_json, net_to_json, node_to_json

LOOK = 500  # jobs of the same form that are looked through, the newest first
POINTS = 100  # results that are given, the newest of each value


def graph_of(row: Row, own: Mapping[str, Any] | None = None, *, stop: bool = True) -> Workflow:
    """The exact workflow of a job (or, with what it has of its own, of an item): every value as it ran."""
    base = from_json(row.resolved).settled()
    values = {**((row.request.get("stop") or {}) if stop else {}), **(own or {})}
    return base.with_parameters(values) if values else base


def shape_of_graph(workflow: Workflow) -> str:
    """A digest of a workflow's form: nodes and wires, without the values typed into them, titles or layout."""
    nodes = {}
    for name, node in workflow.nodes.items():
        record = node_to_json(node)
        record.pop("title", None)
        record["inputs"] = {
            key: record["inputs"][key] for key, source in node.inputs.items() if not isinstance(source, Value)
        }
        nodes[name] = record
    graphs = {name: net_to_json(net) for name, net in workflow.graphs.items()}
    text = json.dumps([nodes, graphs], sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def trail(store: Store, registry: Registry, workflow: Workflow, target: str, owner: str = "") -> list[TrailPoint]:
    """Earlier results whose graph is equal but for one input, newest first, one for each value of it.

    A seed that is `"random"` in the workflow is equal to every seed: it would have been another anyway.
    """
    known = inputs_of(workflow, registry)
    if target not in known:
        raise fail("server.missing", f"there is no input '{target[:60]}'", mend="name it as node.input")
    to = workflow.parameters[target].to if target in workflow.parameters else (target,)
    wanted = _values(workflow, known)
    points: list[TrailPoint] = []
    seen: set[str] = set()
    for row in store.like(shape_of_graph(workflow.settled()), LOOK, owner):
        if row.shape == "" and shape_of_graph(from_json(row.resolved)) != shape_of_graph(workflow.settled()):
            continue
        base = _values(graph_of(row, stop=False), known)
        items = store.items(row.id)
        for item in reversed(items) if items else (None,):
            values = {**base, **_plain(item.sets, known)} if item is not None else base
            if not _equal(wanted, values, to, known):
                continue
            value = next((values[t] for t in to if t in values), _default(known.get(to[0])))
            name = json.dumps(value, sort_keys=True, default=str)
            if name not in seen and (point := _point(row, item, value)) is not None:
                seen.add(name)
                points.append(point)
        if len(points) >= POINTS:
            break
    return sorted(points, key=lambda point: -point.at)[:POINTS]


def _values(workflow: Workflow, known: Mapping[str, Input | None]) -> dict[str, Any]:
    """What is typed into the workflow's inputs, those that hold their default left out."""
    found = {}
    for name, node in workflow.nodes.items():
        for socket, source in node.inputs.items():
            if isinstance(source, Value):
                found[f"{name}.{socket}"] = source.value
    return _plain(found, known)


def _plain(values: Mapping[str, Any], known: Mapping[str, Input | None]) -> dict[str, Any]:
    """Values as they compare: numbers by their size, seeds also from text, unkeyed inputs (a file's name) left out."""
    found = {}
    for target, value in values.items():
        item = known.get(target)
        if item is not None and not item.keyed:
            continue
        if item is not None and item.widget.get("kind") == "seed" and isinstance(value, str) and value.isdigit():
            value = int(value)
        found[target] = value
    return found


def _equal(
    wanted: Mapping[str, Any], given: Mapping[str, Any], but: tuple[str, ...], known: Mapping[str, Input | None]
) -> bool:
    for target in {*wanted, *given}.difference(but):
        default = _default(known.get(target))
        want, have = wanted.get(target, default), given.get(target, default)
        if want != have and not (isinstance(want, str) and want in RANDOM):
            return False
    return True


def _default(item: Input | None) -> Any:
    return None if item is None or item.default is MISSING else item.default


def _point(row: Row, item: ItemRow | None, value: Any) -> TrailPoint | None:
    """A result that can be shown: its first picture."""
    entry = entry_of(row, [item] if item is not None else [])
    one = entry.items[0] if entry.items else entry
    pictures = one.item_shape().outputs
    at = one.finished or entry.finished
    if not pictures or at is None:
        return None
    first = pictures[0]
    index = one.index if entry.items else None
    return TrailPoint(value, row.id, first.blob, first.url, first.width, first.height, at, index)
