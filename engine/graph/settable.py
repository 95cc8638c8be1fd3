"""Settable: what of a workflow may be set – its parameters, and any input as `node.input` – and to what."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from engine.errors import Mend, Problem, WeftError, Where, did_you_mean
from engine.node import Input, coerce
from engine.registry import Registry
from engine.workflow import Net, Workflow

TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
RANDOM = ("random", "increment")  # what a seed may be set to; the engine draws it


def inputs_of(workflow: Workflow, registry: Registry) -> dict[str, Input | None]:
    """Everything that may be set: parameters, then `node.input`; None for an input whose node is not known."""
    found: dict[str, Input | None] = {}
    for name, parameter in workflow.parameters.items():
        found[name] = next((i for to in parameter.to if (i := _input(workflow, workflow, registry, to))), None)
    for name, node in workflow.nodes.items():
        spec = registry.get(node.type)
        known = {item.name: item for item in spec.inputs} if spec else {}
        for socket in (*known, *node.inputs):
            if f"{name}.{socket}" not in found:
                found[f"{name}.{socket}"] = known.get(socket) or _input(
                    workflow, workflow, registry, f"{name}.{socket}"
                )
    return found


def _input(workflow: Workflow, net: Net, registry: Registry, target: str) -> Input | None:
    """The input that `node.input` means, looking through instances (which cannot go on for ever: 32 deep)."""
    for _ in range(32):
        name, _, socket = target.rpartition(".")
        node = net.nodes.get(name)
        if node is None:
            return None
        inner = workflow.net(node.type) if node.type.startswith("#") else None
        if inner is None:
            spec = registry.get(node.type)
            return spec.by_name.get(socket) if spec else None
        if socket not in inner.parameters or not inner.parameters[socket].to:
            return None
        net, target = inner, inner.parameters[socket].to[0]
    return None


def known_name(name: str, known: Mapping[str, Any], where: Where, workflow: Workflow) -> Problem | None:
    """The problem of a name that cannot be set."""
    if name in known:
        return None
    offered = ", ".join(workflow.parameters) or "none; use node.input"
    hint = did_you_mean(name, known)
    return Problem(
        "graph.parameter", f"the workflow has no parameter '{name}'.{hint}", where, Mend(f"parameters are: {offered}")
    )


def check_value(value: Any, item: Input | None, where: Where) -> Problem | None:
    """What is wrong with a value for an input, said at the place where it was typed."""
    if item is None or (value in RANDOM if isinstance(value, str) else False):
        return None
    values = value if item.gather == "list" and isinstance(value, list) else [value]
    if item.gather == "named":
        values = list(value.values()) if isinstance(value, Mapping) else [value]
    one = dataclasses.replace(item, gather="")
    for each in values:
        try:
            coerce(one, each)
        except WeftError as error:
            mend = error.problem.mend or _range(item)
            return dataclasses.replace(error.problem, where=where, mend=mend)
    return None


def _range(item: Input) -> Mend | None:
    low, high = item.widget.get("low"), item.widget.get("high")
    if item.type.name not in ("int", "float") or low is None or high is None:
        return None
    return Mend(f"give a number from {low:,g} to {high:,g}" if high < 1e15 else f"give a number from {low:g}")


def read_value(text: str, item: Input | None) -> Any:
    """A typed value by the type of its input."""
    if item is not None and not item.gather:
        if item.type.name == "str" or (item.type.name == "choice" and text in item.type.choices):
            return text
        if item.widget.get("kind") == "seed" and text in RANDOM:
            return text
        if item.type.name == "bool" and text.lower() in TRUTH:
            return TRUTH[text.lower()]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
