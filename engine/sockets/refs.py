"""Refs: values that do not exist yet, and the facts known of them; finding refs in a template, and filling them in."""

from __future__ import annotations

import dataclasses
import enum
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from engine.errors import fail

Facts = Mapping[str, Any]
NO_FACTS: Facts = types.MappingProxyType({})


class Ref:
    """A value, or a part of one, that does not exist yet: its id, where in the value it lies, and its facts.

    Light nodes see Refs in the place of tensors' owners while a plan is made. They may put them into what they return;
    reading anything but `.facts` is an error that names the node.
    """

    __slots__ = ("facts", "id", "path")

    def __init__(self, id: str, facts: Facts = NO_FACTS, path: tuple[str | int, ...] = ()) -> None:
        """`id` names an output; `path` leads from that output's value to the part meant."""
        self.id = id
        self.facts = facts
        self.path = path

    def part(self, *path: str | int, **facts: Any) -> Any:
        """A Ref to a part of this value, for use in an `outline`: `ref.part("entries", 0, "embedding")`."""
        return Ref(self.id, {**self.facts, **facts} if facts else self.facts, self.path + path)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise fail(
            "node.light",
            f"this node is declared light but reads '.{name}' of a value that does not exist yet",
            mend="take light=True off the node, or read facts_of(value) instead",
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ref) and (self.id, self.path) == (other.id, other.path)

    def __hash__(self) -> int:
        return hash((self.id, self.path))

    def __repr__(self) -> str:
        inner = "".join(f".{step}" for step in self.path)
        return f"Ref({self.id[:12]}{inner})"


def facts_of(value: Any) -> Facts:
    """What is known of a value, whether it exists or not: a Ref's facts, or the value's own `facts`."""
    if isinstance(value, Ref):
        return value.facts
    found = getattr(value, "facts", None)
    return found if isinstance(found, Mapping) else NO_FACTS


_PLAIN_CLASSES = frozenset({str, int, float, bool, type(None)})
_field_names: dict[type, tuple[str, ...]] = {}


def field_names(cls: type) -> tuple[str, ...]:
    """The fields of a dataclass, asked once; none for anything else."""
    known = _field_names.get(cls)
    if known is None:
        known = tuple(entry.name for entry in dataclasses.fields(cls)) if dataclasses.is_dataclass(cls) else ()
        _field_names[cls] = known
    return known


def holes(value: Any) -> list[Ref]:
    """Every Ref inside a template, in a fixed order."""
    found: list[Ref] = []
    _collect(value, found)
    return found


def _collect(value: Any, found: list[Ref]) -> None:
    kind = type(value)
    if kind in _PLAIN_CLASSES:
        return
    if kind is Ref:
        found.append(value)
        return
    parts: Iterable[Any]
    names: tuple[str, ...] = ()
    if isinstance(value, list | tuple):
        parts = value
    elif isinstance(value, Mapping):
        parts = value.values()
    else:
        names = field_names(kind)
        if names and getattr(value, _WHOLE, False):
            return
        parts = [getattr(value, name) for name in names]
    before = len(found)
    for part in parts:
        if type(part) not in _PLAIN_CLASSES:
            _collect(part, found)
    if names and len(found) == before and _unchanging(value):
        object.__setattr__(value, _WHOLE, True)


# Set on a recipe that has no Refs and of which no part can change: plans and steps need not look through it again.
_WHOLE = "_weft_whole"


def _unchanging(value: Any) -> bool:
    """Is it a frozen dataclass of plain values, tuples and recipes that are whole themselves?"""
    cls = type(value)
    if not cls.__dataclass_params__.frozen or not hasattr(value, "__dict__"):
        return False
    return all(_settled(getattr(value, name)) for name in field_names(cls))


def _settled(value: Any) -> bool:
    if type(value) in _PLAIN_CLASSES or isinstance(value, enum.Enum):
        return True
    if isinstance(value, tuple):
        return all(_settled(item) for item in value)
    return bool(field_names(type(value))) and getattr(value, _WHOLE, False)


def fill(template: Any, fetch: Callable[[str], Any]) -> Any:
    """The template with every Ref replaced by the (part of the) value it names; parts without Refs are shared."""
    if isinstance(template, Ref):
        value = fetch(template.id)
        for step in template.path:
            value = value[step] if isinstance(step, int) or isinstance(value, Mapping) else getattr(value, step)
        return value
    if type(template) in _PLAIN_CLASSES:
        return template
    if isinstance(template, tuple) and hasattr(template, "_fields"):
        return type(template)(*(fill(item, fetch) for item in template))
    if isinstance(template, list | tuple):
        items = [fill(item, fetch) for item in template]
        same_items = all(a is b for a, b in zip(items, template, strict=True))
        return template if same_items else type(template)(items)
    if isinstance(template, Mapping):
        return {key: fill(item, fetch) for key, item in template.items()}
    names = field_names(type(template))
    if names and getattr(template, _WHOLE, False):
        return template
    changed = {}
    for name in names:
        old = getattr(template, name)
        new = fill(old, fetch)
        if new is not old:
            changed[name] = new
    return dataclasses.replace(template, **changed) if changed else template
