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
import functools
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from engine.node.check import is_a, outputs_of
from engine.node.declaration import bypassed, check_declaration, dotted, read_spec, title_of
from engine.node.literals import coerce, dress, fitted
from engine.node.spec import (
    MISSING,
    Input,
    Lane,
    NodeSpec,
    Output,
    Variant,
    arguments,
    named_outputs,
    plain_default,
    resolve,
)
from engine.node.spec import (
    Alone as Alone,
)
from engine.node.widgets import (
    MAX_SEED,
    Choices,
    File,
    Help,
    Model,
    Multiline,
    Range,
    Seed,
    SeedWidget,
    Size,
    SocketOnly,
    Steps,
    Unkeyed,
    Widget,
    WidgetOnly,
)
from engine.run import Run, ambient
from engine.sockets import FactRule

__all__ = [
    "MAX_SEED",
    "MISSING",
    "PLAIN_OR_NONE",
    "RECORDER",
    "Choices",
    "File",
    "Help",
    "Input",
    "Lane",
    "Model",
    "Multiline",
    "NodeSpec",
    "Output",
    "Range",
    "Recorder",
    "Seed",
    "SeedWidget",
    "Size",
    "SocketOnly",
    "Steps",
    "Unkeyed",
    "Variant",
    "Widget",
    "WidgetOnly",
    "arguments",
    "coerce",
    "dress",
    "fitted",
    "is_a",
    "named_outputs",
    "node",
    "outputs_of",
    "plain_default",
    "resolve",
    "spec_of",
]

PLAIN_OR_NONE = (int, float, str, bool, type(None))

P = ParamSpec("P")
R = TypeVar("R")


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
    target: bool = False,
    volatile: bool = False,
    cutoff: bool = False,
    lane: Lane = "device",
    network: bool = False,
    batched: str = "",
    facts: Sequence[FactRule] = (),
    fingerprint: Callable[..., Any] | str = "",
    work: Callable[..., float] | str = "",
    steps: Callable[..., Sequence[Any]] | str = "",
    stop: Sequence[str] = (),
    migrate: Callable[..., Any] | str = "",
    lints: Callable[..., Any] | str = "",
    bypass: Mapping[str, str] | None = None,
    advanced: Sequence[str] = (),
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
        target: Made in every run, whether anything reads it or not, as something to look at; nothing is left outside.
        volatile: Never reuse its result.
        cutoff: A small result; what follows is keyed by its content.
        lane: Where it runs: one step at a time on the `device`, or beside it on `cpu` or `io`.
        network: It talks to the network.
        batched: A module with `alike(**inputs)`, what must agree between steps that share work (or `Alone(why)`), and
            `together(call, runs, inputs)`, which runs several and gives a result or exception for each.
        facts: What is known of outputs before they exist, and what must agree between inputs.
        fingerprint: `(**inputs) -> plain data`: what else the result depends on, asked at plan time.
        work: `(**inputs) -> float`: work units, so that seconds can be predicted from earlier runs.
        steps: `(**inputs) -> [anything that has a digest]`: what is active at each step of a stepped node.
        stop: The input that ends a stepped node before a step, and inputs to turn off so that what it then gives can
            be looked at.
        migrate: `(old_version, inputs) -> inputs` or `(type, inputs, renamed_outputs)`; pure.
        lints: `(**inputs) -> iterable of Problem`: advice, by the inputs that are known before the run.
        bypass: Which input each output passes through when bypassed; by default the first of the same type.
        advanced: Widgets that few people turn: the editor folds them away while they have their default.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        spec = read_spec(
            function,
            output_name=output,
            id=id,
            version=version,
            title=title or title_of(id),
            category=category or id.rpartition(".")[0].rpartition("/")[2],
            aliases=tuple(aliases),
            deprecated=deprecated,
            light=light,
            effect=effect,
            target=target,
            volatile=volatile,
            cutoff=cutoff,
            lane=lane,
            network=network,
            batched=batched,
            facts=tuple(facts),
            fingerprint=dotted(fingerprint),
            work=dotted(work),
            steps=dotted(steps),
            stop=tuple(stop),
            migrate=dotted(migrate),
            lints=dotted(lints),
            advanced=tuple(advanced),
        )
        spec = dataclasses.replace(spec, bypass=bypassed(spec, bypass))
        check_declaration(function, spec)

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


class _CallableRoom(types.ModuleType):
    """This room, called: `from engine import node` gives the room, and `@node(...)` on it is the decorator."""

    def __call__(self, *args: Any, **options: Any) -> _Decorator:
        return node(*args, **options)


sys.modules[__name__].__class__ = _CallableRoom
