"""Short ways to write workflows in tests."""

from typing import Any

from engine.workflow import Workflow, from_json


def wire(target: str) -> dict[str, str]:
    return {"from": target}


def box(kind: str, /, **inputs: Any) -> dict[str, Any]:
    """A node; what starts with `@` is a wire: `box("toy.upper", thing="@make")`."""
    extra = {key[1:]: inputs.pop(key) for key in list(inputs) if key.startswith("_")}
    return {"type": kind, "inputs": {name: read(value) for name, value in inputs.items()}, **extra}


def read(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("@"):
        return wire(value[1:])
    if isinstance(value, list):
        return [read(one) for one in value]
    if isinstance(value, dict):
        return {name: read(one) for name, one in value.items()}
    return value


def flow(nodes: dict[str, Any], **more: Any) -> Workflow:
    return from_json({"weft": 1, "title": "test", "nodes": nodes, **more})
