"""Declaration: a signature and docstring read into a `NodeSpec`; what is declared wrongly fails here, at import."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

from engine.errors import WeftError, fail
from engine.node.literals import coerce
from engine.node.spec import MISSING, Input, NodeSpec, Output, Variant, plain_default
from engine.node.widgets import (
    Choices,
    File,
    Help,
    Model,
    Multiline,
    Range,
    SeedWidget,
    SocketOnly,
    Unkeyed,
    Widget,
    WidgetOnly,
)
from engine.sockets import type_of


def title_of(id: str) -> str:
    """A card's title made from an id: `denoise.sample` gives `Denoise sample`."""
    chapter, _, verb = id.rpartition("/")[2].partition(".")
    return f"{chapter} {verb}".replace("_", " ").strip().capitalize()


def dotted(thing: Callable[..., Any] | str) -> str:
    """`module:qualname` of a function, or the text as it is."""
    return thing if isinstance(thing, str) else f"{thing.__module__}:{thing.__qualname__}"


def bypassed(spec: NodeSpec, given: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    """Which input each output passes through when bypassed: as given, or the first wired one of the same type."""
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


def read_spec(function: Callable[..., Any], *, output_name: str, **plain: Any) -> NodeSpec:
    """The spec of a function: inputs from its parameters, outputs from its return type, help from its docstring."""
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
                asked = {"names": note.names, "tokens": note.tokens}
                widget.update({key: dotted(source) for key, source in asked.items() if source})
            case SeedWidget():
                widget["kind"] = "seed"
            case Model():
                widget.update(kind="model", models=note.kind)
            case File():
                widget.update(kind="file", place=note.place)
            case Choices():
                widget.update(kind="choices", choices=dotted(note.source))
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


def check_declaration(function: Callable[..., Any], spec: NodeSpec) -> None:
    """Fail, with file, line and mend, for what a reader of the declaration would call a mistake."""
    if not spec.help:
        raise _declaration(function, "there is no docstring, so the editor has no help", "write one sentence")
    bare = spec.id.rpartition("/")[2]
    if not all(part.isidentifier() for part in bare.split(".")) or "." not in bare:
        raise _declaration(function, f"the id '{spec.id}' is not of the form chapter.verb", "rename it")
    if spec.version < 1:
        raise _declaration(function, f"the version is {spec.version}", "count versions from 1")
    names = [item.name for item in spec.inputs]
    outs = [out.name for out in spec.outputs]
    if spec.effect and "files" not in outs and [str(out.type) for out in spec.outputs] == ["list[str]"]:
        raise _declaration(
            function, "its files are not called so, and would never be found again", 'write output="files"'
        )
    if spec.steps and not spec.takes_run:
        raise _declaration(function, "a stepped node has no 'run: Run' to resume from", "make it the first parameter")
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
    for name in spec.advanced:
        item = spec.by_name.get(name)
        if item is None or item.required or item.gather:
            raise _declaration(
                function,
                f"advanced names '{name}', which is no input with a default"
                if item
                else f"advanced names '{name}', no input",
                "name inputs that work as they are",
            )
    if spec.light and (spec.effect or spec.takes_run or spec.is_async):
        raise _declaration(function, "a light node has no effect and asks for no services", "take light=True off")
    if spec.is_async and spec.lane != "io":
        raise _declaration(function, "async nodes run in the io lane", 'write lane="io"')
