"""Flow: the engine's own nodes – reroute, switch, map, fold – and what wiring does to generic types."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from engine.node import Input, NodeSpec, Output
from engine.sockets import ANY, Type

FLOW = ("map", "fold", "switch", "reroute")


def substitute(kind: Type, bound: Mapping[str, Type]) -> Type:
    """The type with its variables replaced by what wiring bound them to; `any` for a free one."""
    if kind.variable:
        return bound.get(kind.name, ANY)
    if kind.args:
        return dataclasses.replace(kind, args=tuple(substitute(arg, bound) for arg in kind.args))
    return kind


def flow_spec(kind: str) -> NodeSpec:
    """The spec of one of the engine's own nodes."""
    return _FLOW_SPECS[kind]


_T = Type("T", variable=True)
_FLOW_SPECS: Mapping[str, NodeSpec] = {
    "reroute": NodeSpec("reroute", "", "Reroute", "A bend in a wire.", (Input("value", _T),), (Output("value", _T),)),
    "switch": NodeSpec(
        "switch",
        "",
        "Switch",
        "Passes the chosen option on; the others do not run. `choose` is an index, a name, or true/false for 1/0.",
        (Input("choose", ANY, default=0), Input("options", _T, gather="list"), Input("named", _T, gather="named")),
        (Output("value", _T),),
        light=True,
    ),
    "map": NodeSpec("map", "", "Map", "Runs a graph once for each item of a list.", (), (), light=True),
    "fold": NodeSpec("fold", "", "Fold", "Runs a graph again and again on its own outputs.", (), (), light=True),
}


def flow_specs() -> Mapping[str, NodeSpec]:
    """The engine's own nodes, for listings and docs."""
    return _FLOW_SPECS
