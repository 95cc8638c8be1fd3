"""Literals: a value typed into an input, checked, made one (7 and 7.0 are one float), and dressed for the function."""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Mapping
from typing import Any

from engine.errors import Problem, WeftError, Where, did_you_mean
from engine.node.spec import MISSING, Input, resolve
from engine.node.widgets import MAX_SEED
from engine.sockets import PLAIN, Ref, Type


def coerce(item: Input, value: Any, type_: Type | None = None) -> Any:
    """A literal as the input wants it (7 and 7.0 are one float), or a `WeftError` that says what is wrong.

    Choices and variants stay plain data here; `dress` makes the objects the function expects.
    """
    kind = type_ or item.type
    if value is None:
        if kind.optional or item.default is None:
            return None
        raise _bad(item, value, f"needs a {kind}, not nothing")
    if kind.name == "list":
        if not isinstance(value, list | tuple):
            raise _bad(item, value, f"needs a list, got {_show(value)}")
        return tuple(coerce(item, one, kind.args[0]) for one in value)
    if kind.name == "float":
        return _coerce_float(item, value)
    if kind.name == "int":
        return _coerce_int(item, value)
    if kind.name == "str":
        if not isinstance(value, str):
            raise _bad(item, value, f"needs text, got {_show(value)}")
        return value
    if kind.name == "bool":
        if not isinstance(value, bool):
            raise _bad(item, value, f"needs true or false, got {_show(value)}")
        return value
    if kind.name == "choice":
        if isinstance(value, bool) or value not in kind.choices:
            known = ", ".join(map(str, kind.choices))
            raise _bad(
                item, value, f"{_show(value)} is not one of {known}.{did_you_mean(str(value), map(str, kind.choices))}"
            )
        return value
    if kind.name == "variant":
        return _coerce_variant(item, value)
    if kind.name == "any" or kind.variable:
        return value
    raise _bad(item, value, f"takes a wire that carries {kind.required}, not a typed value")


def fitted(item: Input, value: Any) -> Any:
    """What a wire brought to an input of plain data, held to the same limits as what is typed in, and dressed."""
    kind = item.type.args[0] if item.type.name == "list" else item.type
    if kind.name not in (*PLAIN, "choice", "variant"):
        return value
    if item.gather == "named" and isinstance(value, Mapping):
        return {name: _fitted(item, one) for name, one in value.items()}
    if item.gather == "list" and isinstance(value, list | tuple):
        return [_fitted(item, one) for one in value]
    return _fitted(item, value)


def _fitted(item: Input, value: Any) -> Any:
    dressed = isinstance(value, enum.Enum) or (item.variants and dataclasses.is_dataclass(value))
    return value if isinstance(value, Ref) or dressed else dress(item, coerce(item, value))


def _coerce_float(item: Input, value: Any) -> float:
    if type(value) is float:
        number = value
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise _bad(item, value, f"needs a number, got {_show(value)}")
    else:
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
    if not math.isfinite(number):
        raise _bad(item, value, "needs a finite number")
    _check_range(item, number)
    return number


def _coerce_int(item: Input, value: Any) -> int:
    if isinstance(value, str) and item.widget.get("kind") == "seed" and value.isascii() and value.isdigit():
        value = int(value) if len(value) <= 20 else MAX_SEED + 1
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _bad(item, value, f"needs a whole number, got {_show(value)}")
    _check_range(item, value)
    return value


def _check_range(item: Input, number: float) -> None:
    low, high = item.widget.get("low"), item.widget.get("high")
    if low is not None and number < low:
        raise _bad(item, number, f"must be at least {_number(low)}, got {_number(number)}")
    if high is not None and number > high:
        raise _bad(item, number, f"must be at most {_number(high)}, got {_number(number)}")


def _coerce_variant(item: Input, value: Any) -> Any:
    names = [option.name for option in item.variants]
    chosen = value if isinstance(value, str) else value.get("type") if isinstance(value, Mapping) else None
    if chosen not in names:
        raise _bad(item, value, f"needs one of {', '.join(names)} (as {{'type': name, ...}})")
    option = item.variant(chosen)
    given = {} if isinstance(value, str) else {key: one for key, one in value.items() if key != "type"}
    fields: dict[str, Any] = {"type": option.name}
    for inner in option.inputs:
        if inner.name in given:
            try:
                fields[inner.name] = coerce(inner, given.pop(inner.name))
            except WeftError as error:
                raise _bad(item, value, f"as {option.name}: {error.problem.message}") from None
        elif inner.default is MISSING:
            raise _bad(item, value, f"{option.name} needs '{inner.name}'")
        else:
            fields[inner.name] = inner.default
    if given:
        extra = next(iter(given))
        raise _bad(
            item, value, f"{option.name} has no '{extra}'.{did_you_mean(extra, [i.name for i in option.inputs])}"
        )
    return fields


def _bad(item: Input, value: Any, message: str) -> WeftError:
    return WeftError(Problem("graph.value", f"'{item.name}' {message}", Where(socket=item.name)))


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e21 else f"{value:g}"


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def dress(item: Input, value: Any) -> Any:
    """A coerced literal as the object the function expects: Enum members, variant dataclasses."""
    if item.enum and isinstance(value, str | int):
        return resolve(item.enum)(value)
    if item.variants and isinstance(value, Mapping) and "type" in value:
        option = item.variant(value["type"])
        fields = {inner.name: dress(inner, value[inner.name]) for inner in option.inputs}
        return resolve(option.path)(**fields)
    return value
