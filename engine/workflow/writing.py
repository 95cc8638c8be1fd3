"""Writing: a `Workflow` becomes JSON in canonical order, laid out so that diffs are small."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.places import write_atomic
from engine.workflow.data import EXACT_INT, VERSION, Link, Many, Named, Net, Node, Parameter, Source, Value, Workflow


def to_json(workflow: Workflow) -> dict[str, Any]:
    """Plain data in canonical order; empty parts are left out."""
    record: dict[str, Any] = {"weft": VERSION}
    for key in ("title", "about"):
        if getattr(workflow, key):
            record[key] = getattr(workflow, key)
    record.update(net_to_json(workflow))
    if workflow.graphs:
        record["graphs"] = {name: net_to_json(net) for name, net in workflow.graphs.items()}
    for key in ("requires", "view"):
        if getattr(workflow, key):
            record[key] = dict(getattr(workflow, key))
    record.update(workflow.extra)
    return record


def net_to_json(net: Net) -> dict[str, Any]:
    """A graph as plain data."""
    record: dict[str, Any] = {"nodes": {name: node_to_json(node) for name, node in net.nodes.items()}}
    if net.parameters:
        record["parameters"] = {name: _parameter_to_json(item) for name, item in net.parameters.items()}
    if net.outputs:
        record["outputs"] = dict(net.outputs)
    return record


def node_to_json(node: Node) -> dict[str, Any]:
    """A node as plain data."""
    record: dict[str, Any] = {"type": node.type}
    if node.version is not None:
        record["version"] = node.version
    for key in ("title", "mode", "body"):
        if getattr(node, key):
            record[key] = getattr(node, key)
    record.update(node.extra)
    record["inputs"] = {name: source_to_json(source) for name, source in node.inputs.items()}
    return record


def source_to_json(source: Source) -> Any:
    """An input as plain data; integers a browser cannot hold become decimal strings."""
    match source:
        case Link():
            return {"from": str(source)}
        case Many(items):
            return [source_to_json(item) for item in items]
        case Named(pairs):
            return {name: source_to_json(item) for name, item in pairs}
        case Value(value):
            value = _exact(value)
            nested = isinstance(value, dict) or (
                isinstance(value, list) and any(isinstance(v, dict | list) for v in value)
            )
            return {"value": value} if nested else value


def _exact(value: Any) -> Any:
    """Plain data with every integer that a browser cannot hold as text."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > EXACT_INT:
        return str(value)
    if isinstance(value, list | tuple):
        return [_exact(item) for item in value]
    if isinstance(value, dict):
        return {key: _exact(item) for key, item in value.items()}
    return value


def _parameter_to_json(item: Parameter) -> dict[str, Any]:
    record: dict[str, Any] = {"to": list(item.to)}
    if item.label:
        record["label"] = item.label
    if item.has_default:
        record["default"] = _exact(item.default)
    if item.required:
        record["required"] = True
    record.update(item.extra)
    return record


def dumps(workflow: Workflow) -> str:
    """The file's text: two-space indent, whatever fits in a line on one line, a newline at the end."""
    text = _layout(to_json(workflow), 0, 0) + "\n"
    # Half a surrogate pair is no Unicode; as an escape it survives.
    return text.encode("utf-8", "backslashreplace").decode()


def _layout(value: Any, indent: int, column: int) -> str:
    flat = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if not isinstance(value, dict | list) or not value or (column > 0 and column + len(flat) <= 118):
        return flat
    inner = " " * (indent + 2)
    if isinstance(value, list):
        rows = [inner + _layout(item, indent + 2, indent + 2) for item in value]
        return "[\n" + ",\n".join(rows) + "\n" + " " * indent + "]"
    rows = []
    for key, item in value.items():
        head = f"{inner}{json.dumps(key, ensure_ascii=False)}: "
        # The file's own sections stay open, so that a diff shows one node a line.
        start = 0 if indent == 0 and isinstance(item, dict) and key in ("nodes", "parameters", "graphs") else len(head)
        rows.append(head + _layout(item, indent + 2, start))
    return "{\n" + ",\n".join(rows) + "\n" + " " * indent + "}"


def write(workflow: Workflow, path: str | Path) -> None:
    """Write the file atomically; a `place.write` error leaves the old one as it was."""
    write_atomic(Path(path), dumps(workflow).encode())
