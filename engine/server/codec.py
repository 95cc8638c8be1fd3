"""Codec: shapes to JSON and back, strictly: what is unknown, missing or of another kind is named."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union

from engine.errors import WeftError, fail
from engine.workflow.data import EXACT_INT

S = TypeVar("S")


@functools.cache
def hints(shape: type) -> dict[str, Any]:
    """The types of a shape's fields."""
    return typing.get_type_hints(shape)


@functools.cache
def _told(shape: type) -> tuple[tuple[str, bool], ...]:
    """The fields of a shape, and whether each is told when it is None."""
    return tuple((entry.name, entry.default is not None) for entry in dataclasses.fields(shape))


def encode(value: Any) -> Any:
    """A shape as plain JSON data."""
    kind = type(value)
    if kind is str or kind is bool or kind is float or value is None:
        return value
    if dataclasses.is_dataclass(kind):
        record = {}
        for name, told in _told(kind):
            one = getattr(value, name)
            if one is not None or told:
                record[name] = encode(one)
        return record
    if isinstance(value, dict | Mapping):
        return {str(key): encode(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [encode(one) for one in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > EXACT_INT:
        return str(value)
    return value


def decode(shape: type[S], record: Any, at: str = "") -> S:
    """Plain data as a shape; a `server.request` error names the first field that is wrong."""
    if not isinstance(record, dict):
        raise _wrong(at, "an object", record)
    known: dict[str, Any] = hints(shape)  # type: ignore[arg-type]
    for name in record:
        if name not in known:
            from engine.errors import did_you_mean

            raise fail(
                "server.request",
                f"{_spot(at)}there is no '{str(name)[:60]}'.{did_you_mean(name, known)}",
                mend=f"known are: {', '.join(known)}",
            )
    found = {}
    for entry in dataclasses.fields(shape):  # type: ignore[arg-type]
        spot = f"{at}.{entry.name}" if at else entry.name
        if entry.name in record:
            found[entry.name] = read(known[entry.name], record[entry.name], spot)
        elif entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING:
            raise fail("server.request", f"{_spot(at)}'{entry.name}' is missing", mend="see /api/openapi.json")
    return shape(**found)


def read(kind: Any, value: Any, at: str) -> Any:
    """A value of a type of the wire."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        options = [option for option in args if option is not type(None)]
        for option in options[:-1]:
            with contextlib.suppress(WeftError):
                return read(option, value, at)
        return read(options[-1], value, at)
    if origin is Literal:
        if value in args and type(value) in {type(one) for one in args}:
            return value
        raise _wrong(at, "one of " + ", ".join(map(str, args)), value)
    if origin is list:
        if not isinstance(value, list):
            raise _wrong(at, "a list", value)
        return [read(args[0], one, f"{at}[{index}]") for index, one in enumerate(value)]
    if origin is dict:
        if not isinstance(value, dict):
            raise _wrong(at, "an object", value)
        return {key: read(args[1], one, f"{at}.{key}") for key, one in value.items()}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return decode(kind, value, at)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(kind, type) and isinstance(value, kind) and (kind is bool) == isinstance(value, bool):
        return value
    raise _wrong(at, _NAMES.get(kind, str(kind)), value)


_NAMES: Mapping[Any, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def _spot(at: str) -> str:
    return f"{at}: " if at else ""


def _wrong(at: str, want: str, value: Any) -> WeftError:
    shown = repr(value)
    shown = shown if len(shown) <= 40 else shown[:37] + "..."
    return fail("server.request", f"{at or 'the body'} must be {want}, not {shown}", mend="see /api/openapi.json")
