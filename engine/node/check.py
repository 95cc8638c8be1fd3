"""Check: is a value of the type that a node declares? Knows classes, touches no tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.errors import fail
from engine.node.spec import NodeSpec, named_outputs, resolve
from engine.sockets import Ref, Type, TypeSpec

_PLAIN: Mapping[str, type | tuple[type, ...]] = {"int": int, "float": (int, float), "str": str, "bool": bool}


def is_a(value: Any, kind: Type, types: Mapping[str, TypeSpec]) -> bool:
    """Is the value of this type? Unknown types pass, their pack is not here to ask; so does what is not there yet."""
    if isinstance(value, Ref):
        return True
    if value is None:
        return kind.optional or kind.name == "any" or kind.variable
    if kind.name == "list":
        return isinstance(value, list | tuple) and all(is_a(item, kind.args[0], types) for item in value)
    if kind.name in _PLAIN:
        return isinstance(value, _PLAIN[kind.name]) and not (kind.name in ("int", "float") and isinstance(value, bool))
    if kind.name == "choice":
        return getattr(value, "value", value) in kind.choices
    spec = types.get(kind.name)
    return spec is None or isinstance(value, resolve(spec.path))


def _name(value: Any) -> str:
    return type(value).__name__


def outputs_of(
    spec: NodeSpec, result: Any, types: Mapping[str, TypeSpec], brief: Callable[[Any], str] = _name
) -> dict[str, Any]:
    """What a function returned, by output name and each of the declared type, or a `node.returned` error."""
    try:
        outputs = named_outputs(spec, result)
    except (TypeError, ValueError):
        outputs = {}
    if len(outputs) != len(spec.outputs):
        wanted = ", ".join(out.name for out in spec.outputs)
        raise fail("node.returned", f"'{spec.id}' must return {wanted}, it returned {brief(result)}")
    for out in spec.outputs:
        if not is_a(outputs[out.name], out.type, types):
            raise fail(
                "node.returned",
                f"'{spec.id}' declares that '{out.name}' is {out.type}, but returned {brief(outputs[out.name])}",
                socket=out.name,
                mend="the fault is the node's: tell the author of its pack",
            )
    return outputs
