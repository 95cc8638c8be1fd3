"""The spec of a node: plain data that says everything the engine, the editor and the docs know about it."""

from __future__ import annotations

import dataclasses
import enum
import functools
import importlib
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from engine.sockets import FactRule, Type

Lane = Literal["device", "cpu", "io"]


class _Missing(enum.Enum):
    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"


MISSING = _Missing.MISSING


@dataclass(frozen=True)
class Variant:
    """One option of a union of dataclasses: its name, its class, the widgets it swaps in."""

    name: str
    path: str
    inputs: tuple[Input, ...]


@dataclass(frozen=True)
class Input:
    """One input of a node: a socket, a widget, or both."""

    name: str
    type: Type
    default: Any = MISSING
    gather: Literal["", "list", "named"] = ""  # `*images: Image` and `**values: float`
    widget: Mapping[str, Any] = field(default_factory=dict)
    wired: bool = True
    typed: bool = True
    keyed: bool = True
    help: str = ""
    variants: tuple[Variant, ...] = ()
    enum: str = ""  # path of the Enum class to hand to the function

    @functools.cached_property
    def required(self) -> bool:
        """Must it have a wire or a value?"""
        return self.default is MISSING and not self.type.optional and self.gather == ""

    @functools.cached_property
    def plain(self) -> bool:
        """Does it take one value, of a type that wiring does not bind?"""
        return not (self.gather or self.type.variable or self.type.args)

    def variant(self, name: str) -> Variant:
        """The option of this name."""
        return next(option for option in self.variants if option.name == name)


@dataclass(frozen=True)
class Output:
    """One output of a node."""

    name: str
    type: Type
    help: str = ""


class Alone(str):
    """Why a step of a `batched` node shares its work with no other: given by `alike` instead of what must agree."""

    __slots__ = ()


@dataclass(frozen=True)
class NodeSpec:
    """A node's declaration; everything the engine, the editor and the docs know about it."""

    id: str
    path: str  # "module:function"
    title: str
    help: str
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    version: int = 1
    category: str = ""
    aliases: tuple[str, ...] = ()
    deprecated: str = ""
    light: bool = False
    effect: bool = False
    target: bool = False
    volatile: bool = False
    cutoff: bool = False
    lane: Lane = "device"
    network: bool = False
    batched: str = ""  # a module with `alike` and `together`
    takes_run: bool = False
    is_async: bool = False
    facts: tuple[FactRule, ...] = ()
    fingerprint: str = ""
    work: str = ""
    steps: str = ""
    stop: tuple[str, ...] = ()
    migrate: str = ""
    lints: str = ""
    bypass: tuple[tuple[str, str], ...] = ()
    advanced: tuple[str, ...] = ()
    pack: str = "core"
    line: int = 0
    by_name: Mapping[str, Input] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {item.name: item for item in self.inputs})

    def output(self, name: str) -> Output | None:
        """The output of this name, if there is one."""
        return next((out for out in self.outputs if out.name == name), None)

    @functools.cached_property
    def function(self) -> Callable[..., Any]:
        """The undecorated function; imports the pack's module."""
        found = resolve(self.path)
        return typing.cast(Callable[..., Any], getattr(found, "__wrapped__", found))

    def to_json(self) -> dict[str, Any]:
        """Plain data for the manifest; fields that have their default are left out."""
        record: dict[str, Any] = {}
        for entry in dataclasses.fields(self):
            if entry.name in ("by_name", "inputs", "outputs", "facts"):
                continue
            value = getattr(self, entry.name)
            if value != entry.default:
                record[entry.name] = (
                    [list(v) if isinstance(v, tuple) else v for v in value] if isinstance(value, tuple) else value
                )
        record["inputs"] = [_input_json(item) for item in self.inputs]
        record["outputs"] = [
            {"name": out.name, "type": out.type.to_json(), **({"help": out.help} if out.help else {})}
            for out in self.outputs
        ]
        if self.facts:
            record["facts"] = [rule.to_json() for rule in self.facts]
        return record

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> NodeSpec:
        """Read back what `to_json` wrote."""
        plain = dict(record)
        plain["inputs"] = tuple(_input_from_json(item) for item in record["inputs"])
        plain["outputs"] = tuple(
            Output(out["name"], Type.from_json(out["type"]), out.get("help", "")) for out in record["outputs"]
        )
        plain["facts"] = tuple(FactRule.from_json(rule) for rule in record.get("facts", ()))
        plain["aliases"] = tuple(record.get("aliases", ()))
        plain["stop"] = tuple(record.get("stop", ()))
        plain["advanced"] = tuple(record.get("advanced", ()))
        plain["bypass"] = tuple((out, source) for out, source in record.get("bypass", ()))
        return NodeSpec(**plain)


def _input_json(item: Input) -> dict[str, Any]:
    record: dict[str, Any] = {"name": item.name, "type": item.type.to_json()}
    if item.default is not MISSING:
        record["default"] = plain_default(item.default)
    for name in ("gather", "help", "enum"):
        if getattr(item, name):
            record[name] = getattr(item, name)
    for name in ("wired", "typed", "keyed"):
        if not getattr(item, name):
            record[name] = False
    if item.widget:
        record["widget"] = dict(item.widget)
    if item.variants:
        record["variants"] = [
            {"name": option.name, "path": option.path, "inputs": [_input_json(i) for i in option.inputs]}
            for option in item.variants
        ]
    return record


def _input_from_json(record: Mapping[str, Any]) -> Input:
    plain = dict(record)
    plain["type"] = Type.from_json(record["type"])
    plain["variants"] = tuple(
        Variant(option["name"], option["path"], tuple(_input_from_json(i) for i in option["inputs"]))
        for option in record.get("variants", ())
    )
    return Input(**plain)


def plain_default(value: Any) -> Any:
    """A default as JSON: enum members by value, variants as `{"type": name, ...fields}`."""
    if isinstance(value, enum.Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {entry.name: plain_default(getattr(value, entry.name)) for entry in dataclasses.fields(value)}
        return {"type": type(value).__name__, **fields}
    if isinstance(value, tuple | list):
        return [plain_default(item) for item in value]
    return value


def resolve(path: str) -> Any:
    """The object at `module:qualname`; imports the module."""
    module, _, name = path.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def arguments(spec: NodeSpec, inputs: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Inputs by name as the positional and keyword arguments of the function."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    growing = next((i for i, item in enumerate(spec.inputs) if item.gather == "list"), -1)
    for index, item in enumerate(spec.inputs):
        value = inputs[item.name]
        if index < growing:
            args.append(value)
        elif index == growing:
            args.extend(value)
        elif item.gather == "named":
            kwargs.update(value)
        else:
            kwargs[item.name] = value
    return args, kwargs


def named_outputs(spec: NodeSpec, result: Any) -> dict[str, Any]:
    """A function's result by output name. A wrong count is the caller's to report."""
    if not spec.outputs:
        return {}
    if len(spec.outputs) == 1 and not (isinstance(result, tuple) and hasattr(result, "_fields")):
        return {spec.outputs[0].name: result}
    return dict(zip((out.name for out in spec.outputs), result, strict=True))
