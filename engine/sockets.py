"""Sockets: what a wire may carry, when one type fits another, and what is known of a value before it exists.

Three things live here, none of which touches a tensor:

* `Type`, a small algebra of names: `int`, `Image`, `list[Image]`, `Mask?`, a choice, a variable `T`, `any`.
* `fit`, which answers *fits*, *does not fit* or *unknown*; only the second blocks.
* facts: plain values (`family`, `latent_space`, `width`) that travel along the wires while nothing has run yet, and
  `Ref`, which stands for a value that does not exist yet and carries its id and its facts.
"""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar, Literal, TypeVar, Union

from engine.errors import Mend, Problem, Where, fail

PLAIN = ("int", "float", "str", "bool")

Facts = Mapping[str, Any]
NO_FACTS: Facts = types.MappingProxyType({})


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


@dataclass(frozen=True, slots=True)
class Fit:
    """The answer of a check. Only `no` blocks; `unknown` is asked again just before the step."""

    verdict: Literal["fits", "no", "unknown"]
    why: str = ""
    offer: str = ""  # "map", or the type that a conversion node would have to give

    FITS: ClassVar[Fit]

    def __bool__(self) -> bool:
        return self.verdict != "no"


Fit.FITS = Fit("fits")

Bases = Callable[[str], tuple[str, ...]]


def no_bases(name: str) -> tuple[str, ...]:
    """The bases of a type in a world without inheritance."""
    return ()


def fit(source: Type, target: Type, bases: Bases = no_bases, bound: dict[str, Type] | None = None) -> Fit:
    """May a wire that carries `source` end in a socket of `target`?

    `bases` gives the base types of a socket type; `bound` holds what type variables of the node already stand for and
    is extended when the answer is *fits*.
    """
    if source == target and not (target.variable or target.args or target.name == "any"):
        return Fit.FITS
    if target.variable:
        held = None if bound is None else bound.get(target.name)
        if held is None:
            if bound is not None:
                bound[target.name] = source.required
            return Fit.FITS
        back = fit(source, held, bases)
        if back.verdict != "fits" and source.name != "any" and fit(held, source, bases).verdict == "fits":
            # The wider of the two holds both: the order of the wires does not decide.
            assert bound is not None
            bound[target.name] = source.required
            return Fit.FITS
        return back if back else Fit("no", f"{target.name} is {held} here, the wire carries {source}")
    if target.name == "list" and target.args[0].variable and source.name == "list" and bound is not None:
        return fit(source.args[0], target.args[0], bases, bound)
    return _fit(source, target, bases)


@lru_cache(maxsize=4096)
def _fit(source: Type, target: Type, bases: Bases) -> Fit:
    if target.name == "any":
        return Fit.FITS
    if source.variable or source.name == "any":
        return Fit("unknown", "what the wire carries is only known when it is there")
    if source.optional and not target.optional:
        inner = _fit(source.required, target, bases)
        return Fit("unknown", f"the wire may carry nothing, {target} is required") if inner else inner
    if source.name == "list" and target.name == "list":
        return _fit(source.args[0], target.args[0], bases)
    if source.name == "list":
        inner = _fit(source.args[0], target, bases)
        return Fit("no", f"the wire carries a {source}, the socket takes one {target.required}", "map" if inner else "")
    if target.name == "list":
        inner = _fit(source, target.args[0], bases)
        return Fit("no", f"the socket takes a {target}, the wire carries one {source}", "list" if inner else "")
    if target.name in ("choice", "variant"):
        if source.name == target.name and set(source.choices) <= set(target.choices):
            return Fit.FITS
        if target.name == "choice" and source.name in ("str", "int", "choice"):
            return Fit("unknown", f"must turn out to be one of {', '.join(map(str, target.choices))}")
    elif source.name == "choice" and target.name == "str":
        return Fit.FITS
    if source.name == target.name:
        return Fit.FITS
    if (source.name, target.name) in (("int", "float"), ("bool", "int")):
        return Fit.FITS
    if target.name in bases(source.name):
        return Fit.FITS
    if source.name in bases(target.name):
        return Fit("unknown", f"{source.name} may or may not be a {target.name}")
    return Fit("no", f"the wire carries {source}, the socket takes {target}", target.name)


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


# --- rules about facts, as data ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class FactRule:
    """One line of what a node knows about facts; plain data, so that it can stand in a manifest.

    * `same`: the fact must agree on these sockets, wherever it is known.
    * `copy`: an output's fact is an input's fact (`model.family`) or an input's own value (`width`).
    * `call`: a dotted, torch-free function `(**inputs) -> {output: facts}`, which may raise a `WeftError`.
    """

    kind: Literal["same", "copy", "call"]
    fact: str = ""
    sockets: tuple[str, ...] = ()
    path: str = ""
    why: str = field(default="")

    def to_json(self) -> dict[str, Any]:
        """Plain data, as in a pack's manifest."""
        record = {k: v for k, v in dataclasses.asdict(self).items() if v}
        if self.sockets:
            record["sockets"] = list(self.sockets)
        return record

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> FactRule:
        """Read back what `to_json` wrote."""
        return FactRule(**{**record, "sockets": tuple(record.get("sockets", ()))})


def same(fact: str, *sockets: str, why: str = "") -> FactRule:
    """The fact must agree on all these inputs; `why` is added to the message."""
    return FactRule("same", fact, sockets, why=why)


def copy(source: str, target: str) -> FactRule:
    """`copy("model.latent_space", "out.latent_space")`, or `copy("width", "out.width")` for an input's own value."""
    return FactRule("copy", sockets=(source, target))


def rule(path: str) -> FactRule:
    """A torch-free function at `module:name`, called with the inputs (values or Refs) as keywords."""
    return FactRule("call", path=path)


def check_same(rule_: FactRule, inputs: Mapping[str, Any]) -> Problem | None:
    """Does a `same` rule hold? The first socket that knows the fact is the measure, the later one is blamed."""
    first: tuple[str, Any] | None = None
    for name in rule_.sockets:
        value = inputs.get(name)
        known = facts_of(value).get(rule_.fact) if value is not None else None
        if known is None:
            continue
        if first is None:
            first = (name, known)
        elif known != first[1]:
            label = rule_.fact.replace("_", " ")
            message = f"'{name}' has {label} {known}, but '{first[0]}' has {first[1]}"
            message += f": {rule_.why}" if rule_.why else "; they do not belong together"
            return Problem(
                "facts.mismatch",
                message,
                Where(socket=name),
                Mend(f"wire something of {label} {first[1]} into '{name}', or change '{first[0]}'"),
            )
    return None
