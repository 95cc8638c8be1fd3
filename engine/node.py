"""Node: a typed function's signature becomes a `NodeSpec`.

    @node("guidance.cfg", light=True)
    def classifier_free_guidance(scale: Annotated[float, Range(0, 100)] = 7.0) -> Guidance:
        '''Move from the unconditional prediction past the conditional one.'''

The decorator hands the function back: outside a graph it is called like any other; inside `with Workflow():` the call
adds a node and returns wires. The spec is plain data and can be written to a pack's manifest and read back without
importing the pack. A bad declaration fails at import, with file, line and the mend.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import importlib
import inspect
import math
import typing
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Annotated, Any, Concatenate, Literal, ParamSpec, Protocol, TypeVar, get_args, get_origin, overload

from engine.errors import Problem, WeftError, Where, did_you_mean, fail
from engine.run import Run, ambient
from engine.sockets import FactRule, Type, type_of

P = ParamSpec("P")
R = TypeVar("R")
Lane = Literal["device", "cpu", "io"]
MAX_SEED = 2**64 - 1
PLAIN_OR_NONE = (int, float, str, bool, type(None))


class _Missing(enum.Enum):
    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"


MISSING = _Missing.MISSING


# --- what may stand in Annotated[...] ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Range:
    """Hard bounds and step of a number; `soft` is the range a slider offers."""

    low: float | None = None
    high: float | None = None
    step: float | None = None
    soft: tuple[float, float] | None = None


@dataclass(frozen=True)
class Choices:
    """A live list: `Choices("module:function")` or a function, asked when the list is shown, never frozen."""

    source: Callable[[], Sequence[str]] | str


@dataclass(frozen=True)
class Model:
    """The name of a model file or folder under `models/<kind>`; the file's id is part of the key."""

    kind: str


@dataclass(frozen=True)
class File:
    """The name of a file in a place (`input`, `output`); its content is part of the key."""

    place: str = "input"


@dataclass(frozen=True)
class Multiline:
    """A text box of several lines; `prompt=True` adds what prompts need (weights, completion)."""

    prompt: bool = False


@dataclass(frozen=True)
class SeedWidget:
    """A seed: 0 .. 2**64 - 1; `"random"` and `"increment"` are drawn before the plan is made."""


@dataclass(frozen=True)
class Help:
    """One sentence about the input; wins over the docstring's Args section."""

    text: str


@dataclass(frozen=True)
class Widget:
    """A widget of a pack's own, by name, with plain-data options."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


SocketOnly = "socket-only"
WidgetOnly = "widget-only"
Unkeyed = "unkeyed"

Seed = Annotated[int, Range(0, MAX_SEED), SeedWidget(), Help("Where the noise comes from; batch item i uses seed + i.")]
Steps = Annotated[int, Range(1, 10_000, 1, soft=(1, 50)), Help("Denoise steps.")]
Size = Annotated[int, Range(16, 16_384, 8, soft=(64, 2048)), Help("In pixels.")]


# --- the spec, plain data ------------------------------------------------------------------------------------------


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

    @property
    def required(self) -> bool:
        """Must it have a wire or a value?"""
        return self.default is MISSING and not self.type.optional and self.gather == ""

    def variant(self, name: str) -> Variant:
        """The option of this name."""
        return next(option for option in self.variants if option.name == name)


@dataclass(frozen=True)
class Output:
    """One output of a node."""

    name: str
    type: Type
    help: str = ""


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
    volatile: bool = False
    cutoff: bool = False
    lane: Lane = "device"
    network: bool = False
    batched: bool = False
    takes_run: bool = False
    is_async: bool = False
    facts: tuple[FactRule, ...] = ()
    fingerprint: str = ""
    work: str = ""
    steps: str = ""
    migrate: str = ""
    lints: str = ""
    bypass: tuple[tuple[str, str], ...] = ()
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


# --- literals ------------------------------------------------------------------------------------------------------


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


def _coerce_float(item: Input, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _bad(item, value, f"needs a number, got {_show(value)}")
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
            fields[inner.name] = coerce(inner, given.pop(inner.name))
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


# --- the decorator -------------------------------------------------------------------------------------------------


class Recorder(Protocol):
    """Whoever wants node calls as wires instead of results: a Python-written workflow."""

    def call(self, spec: NodeSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Add the node; return wires in the shape of the function's result."""


RECORDER: ContextVar[Recorder | None] = ContextVar("weft_recorder", default=None)


class _Decorator(Protocol):
    @overload
    def __call__(self, function: Callable[Concatenate[Run, P], R], /) -> Callable[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Callable[P, R]: ...


def node(
    id: str,
    *,
    version: int = 1,
    title: str = "",
    category: str = "",
    aliases: Sequence[str] = (),
    deprecated: str = "",
    output: str = "out",
    light: bool = False,
    effect: bool = False,
    volatile: bool = False,
    cutoff: bool = False,
    lane: Lane = "device",
    network: bool = False,
    batched: bool = False,
    facts: Sequence[FactRule] = (),
    fingerprint: Callable[..., Any] | str = "",
    work: Callable[..., float] | str = "",
    steps: Callable[..., Sequence[Any]] | str = "",
    migrate: Callable[..., Any] | str = "",
    lints: Callable[..., Any] | str = "",
    bypass: Mapping[str, str] | None = None,
) -> _Decorator:
    """Declare a node. The function's signature is the schema, its docstring the help.

    Args:
        id: `chapter.verb`, never changed.
        version: Raise it when the same inputs give another result; add a `migrate` when inputs change.
        title: What the card says; by default made from the id.
        category: Where the palette shows it; by default the id's chapter.
        aliases: Names that people know it by elsewhere.
        deprecated: What to use instead.
        output: The name of a single output.
        light: Pure bookkeeping, no tensor read; evaluated while planning, on `Ref`s for what does not exist yet.
        effect: It has a result outside (a saved file): always a target; returns the files it wrote.
        volatile: Never reuse its result.
        cutoff: A small result; what follows is keyed by its content.
        lane: Where it runs: one step at a time on the `device`, or beside it on `cpu` or `io`.
        network: It talks to the network.
        batched: It maps over a batch axis item by item, so items may share a run.
        facts: What is known of outputs before they exist, and what must agree between inputs.
        fingerprint: `(**inputs) -> plain data`: what else the result depends on, asked at plan time.
        work: `(**inputs) -> float`: work units, so that seconds can be predicted from earlier runs.
        steps: `(**inputs) -> [anything that has a digest]`: what is active at each step of a stepped node.
        migrate: `(old_version, inputs) -> inputs` or `(type, inputs, renamed_outputs)`; pure.
        lints: `(**inputs) -> iterable of Problem`: advice, by the inputs that are known before the run.
        bypass: Which input each output passes through when bypassed; by default the first of the same type.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        spec = _read_spec(
            function,
            output_name=output,
            id=id,
            version=version,
            title=title or _title(id),
            category=category or id.rpartition(".")[0].rpartition("/")[2],
            aliases=tuple(aliases),
            deprecated=deprecated,
            light=light,
            effect=effect,
            volatile=volatile,
            cutoff=cutoff,
            lane=lane,
            network=network,
            batched=batched,
            facts=tuple(facts),
            fingerprint=_path(fingerprint),
            work=_path(work),
            steps=_path(steps),
            migrate=_path(migrate),
            lints=_path(lints),
        )
        spec = dataclasses.replace(spec, bypass=_bypass(spec, bypass))
        _check_declaration(function, spec)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            recorder = RECORDER.get()
            if recorder is not None:
                return recorder.call(spec, args, kwargs)
            return function(ambient(), *args, **kwargs) if spec.takes_run else function(*args, **kwargs)

        call.__weft__ = spec  # type: ignore[attr-defined]
        return call

    return typing.cast(_Decorator, decorate)


def spec_of(function: Callable[..., Any]) -> NodeSpec:
    """The spec of a decorated function."""
    found: NodeSpec = function.__weft__  # type: ignore[attr-defined]
    return found


def _title(id: str) -> str:
    chapter, _, verb = id.rpartition("/")[2].partition(".")
    return f"{chapter} {verb}".replace("_", " ").strip().capitalize()


def _path(thing: Callable[..., Any] | str) -> str:
    return thing if isinstance(thing, str) else f"{thing.__module__}:{thing.__qualname__}"


def _bypass(spec: NodeSpec, given: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    if given is not None:
        return tuple(given.items())
    found: list[tuple[str, str]] = []
    for out in spec.outputs:
        source = next((i for i in spec.inputs if i.wired and not i.gather and i.type.required == out.type), None)
        if source is not None and source.type.name not in ("int", "float", "str", "bool", "choice"):
            found.append((out.name, source.name))
    return tuple(found)


def _declaration(function: Callable[..., Any], message: str, mend: str) -> WeftError:
    code = function.__code__
    return fail(
        "node.declaration",
        f"node {function.__qualname__}: {message}",
        mend=mend,
        file=code.co_filename,
        line=code.co_firstlineno,
    )


def _read_spec(function: Callable[..., Any], *, output_name: str, **plain: Any) -> NodeSpec:
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise _declaration(
            function, f"an annotation cannot be read ({error})", "import the type in the module"
        ) from None
    parameters = list(inspect.signature(function).parameters.values())
    takes_run = bool(parameters) and parameters[0].name == "run"
    notes = _arg_notes(inspect.getdoc(function) or "")
    inputs = tuple(_read_input(function, p, hints, notes) for p in parameters[1 if takes_run else 0 :])
    if "return" not in hints:
        raise _declaration(function, "the return type is missing", "add one; write -> None for no output")
    return NodeSpec(
        path=f"{function.__module__}:{function.__qualname__}",
        help=_body(inspect.getdoc(function) or ""),
        inputs=inputs,
        outputs=_read_outputs(function, hints["return"], output_name),
        takes_run=takes_run,
        is_async=inspect.iscoroutinefunction(function),
        line=function.__code__.co_firstlineno,
        **plain,
    )


def _read_outputs(function: Callable[..., Any], annotation: Any, name: str) -> tuple[Output, ...]:
    if annotation is type(None):
        return ()
    if isinstance(annotation, type) and issubclass(annotation, tuple) and hasattr(annotation, "_fields"):
        hints = typing.get_type_hints(annotation, include_extras=True)
        return tuple(_read_output(function, field_, hints[field_]) for field_ in annotation._fields)
    return (_read_output(function, name, annotation),)


def _read_output(function: Callable[..., Any], name: str, annotation: Any) -> Output:
    notes = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    text = next((note.text for note in notes if isinstance(note, Help)), "")
    try:
        return Output(name, type_of(annotation), text)
    except TypeError as error:
        raise _declaration(function, f"output '{name}': {error}", "give it a socket type") from None


def _read_input(
    function: Callable[..., Any], parameter: inspect.Parameter, hints: Mapping[str, Any], notes: Mapping[str, str]
) -> Input:
    name = parameter.name
    if name not in hints:
        raise _declaration(function, f"input '{name}' has no type", f"write {name}: Image, or whatever it takes")
    annotation = hints[name]
    extras = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    bare = get_args(annotation)[0] if extras else annotation
    # `Annotated[int, ...] | None` hides what was said inside the union.
    if not extras and type(None) in get_args(bare):
        inner = next(arg for arg in get_args(bare) if arg is not type(None))
        extras = get_args(inner)[1:] if get_origin(inner) is Annotated else ()
    try:
        kind = type_of(annotation)
    except TypeError as error:
        raise _declaration(function, f"input '{name}': {error}", "give it a socket type") from None
    gather: Literal["", "list", "named"] = ""
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        gather = "list"
    elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
        gather = "named"
    item = Input(
        name,
        kind,
        gather=gather,
        widget=_read_widget(extras),
        wired=WidgetOnly not in extras,
        typed=SocketOnly not in extras,
        keyed=Unkeyed not in extras,
        help=next((note.text for note in extras if isinstance(note, Help)), notes.get(name, "")),
        variants=tuple(_read_variant(function, option) for option in _options(bare)) if kind.name == "variant" else (),
        enum=_enum_path(bare),
    )
    if parameter.default is inspect.Parameter.empty:
        return item
    try:
        default = coerce(item, plain_default(parameter.default)) if parameter.default is not None else None
    except WeftError as error:
        raise _declaration(function, f"the default of {error.problem.message}", "give a default in range") from None
    return dataclasses.replace(item, default=plain_default(default))


def _options(annotation: Any) -> list[Any]:
    return [arg for arg in get_args(annotation) if arg is not type(None)]


def _read_variant(function: Callable[..., Any], cls: Any) -> Variant:
    hints = typing.get_type_hints(cls, include_extras=True)
    inputs = []
    for entry in dataclasses.fields(cls):
        extras = get_args(hints[entry.name])[1:] if get_origin(hints[entry.name]) is Annotated else ()
        if entry.default is dataclasses.MISSING:
            default: Any = MISSING
        else:
            default = plain_default(entry.default)
        help_ = next((note.text for note in extras if isinstance(note, Help)), "")
        inputs.append(Input(entry.name, type_of(hints[entry.name]), default, widget=_read_widget(extras), help=help_))
    return Variant(cls.__name__, f"{cls.__module__}:{cls.__qualname__}", tuple(inputs))


def _enum_path(annotation: Any) -> str:
    options = [annotation, *_options(annotation)]
    found = next((one for one in options if isinstance(one, type) and issubclass(one, enum.Enum)), None)
    return f"{found.__module__}:{found.__qualname__}" if found else ""


def _read_widget(extras: Sequence[Any]) -> dict[str, Any]:
    widget: dict[str, Any] = {}
    for note in extras:
        match note:
            case Range():
                bounds = {"low": note.low, "high": note.high, "step": note.step, "soft": note.soft and list(note.soft)}
                widget.update({key: value for key, value in bounds.items() if value is not None})
            case Multiline():
                widget["kind"] = "prompt" if note.prompt else "text"
            case SeedWidget():
                widget["kind"] = "seed"
            case Model():
                widget.update(kind="model", models=note.kind)
            case File():
                widget.update(kind="file", place=note.place)
            case Choices():
                widget.update(kind="choices", choices=_path(note.source))
            case Widget():
                widget.update(kind=note.name, options=dict(note.options))
    return widget


def _body(doc: str) -> str:
    """The docstring without its Args section, which stands at the inputs."""
    return doc.split("\nArgs:\n")[0].strip()


def _arg_notes(doc: str) -> dict[str, str]:
    """`name: text` lines of a Google-style Args section; deeper lines go on with the one before."""
    notes: dict[str, str] = {}
    _, found, section = doc.partition("\nArgs:\n")
    name = ""
    for line in section.splitlines() if found else []:
        if not line.strip():
            break
        depth = len(line) - len(line.lstrip())
        if depth <= 4:
            name, _, text = line.strip().partition(":")
            name = name.lstrip("*")
            notes[name] = text.strip()
        elif name:
            notes[name] += " " + line.strip()
    return notes


def _check_declaration(function: Callable[..., Any], spec: NodeSpec) -> None:
    if not spec.help:
        raise _declaration(function, "there is no docstring, so the editor has no help", "write one sentence")
    bare = spec.id.rpartition("/")[2]
    if not all(part.isidentifier() for part in bare.split(".")) or "." not in bare:
        raise _declaration(function, f"the id '{spec.id}' is not of the form chapter.verb", "rename it")
    names = [item.name for item in spec.inputs]
    outs = [out.name for out in spec.outputs]
    for rule in spec.facts:
        inputs = rule.sockets if rule.kind == "same" else [s.partition(".")[0] for s in rule.sockets[:1]]
        for name in inputs:
            if name not in names:
                raise _declaration(function, f"a fact rule names the input '{name}'", f"use one of {', '.join(names)}")
        if rule.kind == "copy" and rule.sockets[1].partition(".")[0] not in outs:
            raise _declaration(function, f"a fact rule names the output '{rule.sockets[1]}'", f"use {', '.join(outs)}")
    for out, source in spec.bypass:
        if out not in outs or source not in names:
            raise _declaration(function, f"bypass {out} <- {source} names no output or input", "check the names")
    if spec.light and (spec.effect or spec.takes_run or spec.is_async):
        raise _declaration(function, "a light node has no effect and asks for no services", "take light=True off")
    if spec.is_async and spec.lane != "io":
        raise _declaration(function, "async nodes run in the io lane", 'write lane="io"')


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
