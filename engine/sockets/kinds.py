"""Kinds: what a socket may carry, an algebra of names: `int`, `Image`, `list[Image]`, `Mask?`, a choice, `any`."""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, Union

from engine.errors import fail

PLAIN = ("int", "float", "str", "bool")


@dataclass(frozen=True, slots=True)
class Type:
    """What one socket accepts or gives.

    `name` is a plain type (`int`, `float`, `str`, `bool`), a socket type (`Image`, or `pack/Thing`), `list` (with one
    argument), `choice` (with `choices`), `variant` (with the options' names in `choices`), `any`, or a type variable
    (`variable=True`) that is bound by wiring.
    """

    name: str
    args: tuple[Type, ...] = ()
    optional: bool = False
    choices: tuple[str | int, ...] = ()
    variable: bool = False

    def __str__(self) -> str:
        if self.name == "list":
            text = f"list[{self.args[0]}]"
        elif self.name in ("choice", "variant"):
            text = f"{self.name}[{', '.join(map(str, self.choices))}]" if self.choices else self.name
        else:
            text = self.name
        return text + ("?" if self.optional else "")

    @property
    def required(self) -> Type:
        """The same type without the question mark."""
        return dataclasses.replace(self, optional=False) if self.optional else self

    def to_json(self) -> Any:
        """A string for simple types, an object where a string cannot say it."""
        if not (self.choices or self.variable or self.args):
            return str(self)
        record: dict[str, Any] = {"name": self.name}
        if self.args:
            record["args"] = [arg.to_json() for arg in self.args]
        if self.optional:
            record["optional"] = True
        if self.choices:
            record["choices"] = list(self.choices)
        if self.variable:
            record["variable"] = True
        return record

    @staticmethod
    def from_json(record: Any) -> Type:
        """Read back what `to_json` wrote."""
        if isinstance(record, str):
            optional = record.endswith("?")
            return Type(record[:-1] if optional else record, optional=optional)
        return Type(
            record["name"],
            tuple(Type.from_json(arg) for arg in record.get("args", ())),
            record.get("optional", False),
            tuple(record.get("choices", ())),
            record.get("variable", False),
        )


ANY = Type("any")


def list_of(item: Type) -> Type:
    """`list[item]`."""
    return Type("list", (item,))


@dataclass(frozen=True)
class TypeSpec:
    """A socket type as the registry knows it: its name, where its class lives, its base types, how it is drawn."""

    name: str
    path: str  # "module:qualname"
    about: str = ""
    colour: str = "#8a8f98"
    bases: tuple[str, ...] = ()
    recipe: bool = False  # leaves and plain numbers: has an `outline`, can be known before it exists
    portable: bool = False  # may cross into a pack's own process

    def to_json(self) -> dict[str, Any]:
        """Plain data, as in a pack's manifest."""
        return {**dataclasses.asdict(self), "bases": list(self.bases)}

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> TypeSpec:
        """Read back what `to_json` wrote."""
        return TypeSpec(**{**record, "bases": tuple(record["bases"])})


T = TypeVar("T", bound=type)


def socket(
    *, colour: str = "#8a8f98", name: str | None = None, recipe: bool = False, portable: bool = False
) -> Callable[[T], T]:
    """Class decorator: this frozen dataclass may travel on a wire.

    `recipe=True` says that it is leaves plus plain numbers. Its `outline(ref)` class method, when it has one, gives
    the shape of a value that does not exist yet, with `ref.part(...)` in the place of each leaf.
    """

    def mark(cls: T) -> T:
        if not (dataclasses.is_dataclass(cls) and cls.__dataclass_params__.frozen):  # type: ignore[attr-defined]
            raise fail("node.declaration", f"socket type {cls.__name__} must be a frozen dataclass")
        bases = tuple(vars(base)["__weft_type__"].name for base in cls.__mro__[1:] if "__weft_type__" in vars(base))
        about = (cls.__doc__ or "").strip()
        path = f"{cls.__module__}:{cls.__qualname__}"
        spec = TypeSpec(name or cls.__name__, path, about, colour, bases, recipe, portable)
        cls.__weft_type__ = spec  # type: ignore[attr-defined]
        return cls

    return mark


def type_of(annotation: Any) -> Type:
    """The `Type` of a Python annotation; raises `TypeError` for one that no wire can carry."""
    if annotation is Any or annotation is object:
        return ANY
    if isinstance(annotation, TypeVar):
        return Type(annotation.__name__, variable=True)
    origin = typing.get_origin(annotation)
    args = typing.get_args(annotation)
    if origin is typing.Annotated:
        return type_of(args[0])
    if origin is Literal:
        return Type("choice", choices=tuple(args))
    if origin in (Union, types.UnionType):
        rest = [arg for arg in args if arg is not type(None)]
        optional = len(rest) < len(args)
        if len(rest) == 1:
            return dataclasses.replace(type_of(rest[0]), optional=optional)
        if all(dataclasses.is_dataclass(arg) and "__weft_type__" not in vars(arg) for arg in rest):
            return Type("variant", choices=tuple(arg.__name__ for arg in rest), optional=optional)
        if set(rest) == {int, float}:
            return Type("float", optional=optional)
        raise TypeError("a union must be of frozen dataclasses, or one type and None")
    if origin in (list, Sequence) and args:
        return list_of(type_of(args[0]))
    if isinstance(annotation, type):
        if issubclass(annotation, enum.Enum):
            return Type("choice", choices=tuple(member.value for member in annotation))
        if annotation.__name__ in PLAIN and annotation.__module__ == "builtins":
            return Type(annotation.__name__)
        spec = annotation.__dict__.get("__weft_type__")
        if spec is not None:
            return Type(spec.name)
    raise TypeError(
        f"{annotation!r} is no socket type: use int, float, str, bool, Literal, list[...] or an @socket class"
    )
