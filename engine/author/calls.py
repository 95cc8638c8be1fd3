"""Calls: a call's arguments bound and checked as the node's inputs, and what is wrong told at the line of the call."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from engine.errors import Mend, Problem, WeftError, Where, did_you_mean
from engine.node import Input, NodeSpec, coerce, plain_default
from engine.sockets import ANY, Type


class WiringError(WeftError, TypeError):
    """A call inside `with Workflow()` that cannot be wired; the message begins with the file and line of the call."""


def wrong(
    message: str, *, code: str = "graph.type", socket: str | None = None, mend: Mend | str | None = None
) -> NoReturn:
    """Raise a `WiringError` at the line of the user's call."""
    help_ = Mend(mend) if isinstance(mend, str) else mend
    raise WiringError(Problem(code, message, replace(caller(), socket=socket), help_)) from None


def caller() -> Where:
    """File and line of the first frame that is not the engine's."""
    here = str(Path(__file__).parent.parent)
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(here):
        frame = frame.f_back
    return Where(file=frame.f_code.co_filename, line=frame.f_lineno)


def bind_arguments(spec: NodeSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments by input name, as Python would bind them; `*` and `**` inputs gather the rest."""
    growing = next((i for i, item in enumerate(spec.inputs) if item.gather == "list"), None)
    named = next((item.name for item in spec.inputs if item.gather == "named"), None)
    places = [item for item in spec.inputs[:growing] if not item.gather]
    given: dict[str, Any] = dict(zip((item.name for item in places), args, strict=False))
    rest = args[len(places) :]
    if rest and growing is None:
        message = f"'{spec.id}' takes {len(places)} arguments, got {len(args)}"
        wrong(message, code="graph.unknown_input", mend=f"its inputs are: {', '.join(spec.by_name)}")
    if growing is not None:
        given[spec.inputs[growing].name] = list(rest)
    gathered: dict[str, Any] = {}
    for name, value in kwargs.items():
        item = spec.by_name.get(name)
        if item is not None and not item.gather:
            if name in given:
                wrong(f"'{spec.id}' got '{name}' twice", code="graph.unknown_input", socket=name)
            given[name] = value
        elif named is not None:
            gathered[name] = value
        else:
            hint = did_you_mean(name, spec.by_name)
            mend = f"its inputs are: {', '.join(spec.by_name)}"
            wrong(f"'{spec.id}' has no input '{name}'.{hint}", code="graph.unknown_input", socket=name, mend=mend)
    if named is not None:
        given[named] = gathered
    return given


def literal(item: Input, value: Any) -> Any:
    """A typed value as the file holds it."""
    plain = plain_default(value)
    if item.widget.get("kind") == "seed" and plain in ("random", "increment"):
        return plain
    try:
        coerce(item, plain)
    except WeftError as error:
        problem = error.problem
        wrong(problem.message, code=problem.code, socket=item.name, mend=problem.mend)
    return plain


def bound_type(kind: Type, variables: Mapping[str, Type]) -> Type:
    """The type with its variables replaced by what the call's wires bound them to."""
    if kind.variable:
        return variables.get(kind.name, ANY)
    return replace(kind, args=tuple(bound_type(arg, variables) for arg in kind.args)) if kind.args else kind
