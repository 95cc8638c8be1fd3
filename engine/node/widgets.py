"""Widgets: what may stand in `Annotated[...]` – ranges, choices, models, files, help, and recurring aliases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

MAX_SEED = 2**64 - 1


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
    """A text box of several lines; `prompt=True` adds what prompts need (weights, completion).

    `names` is a function (or `"module:function"`) from the `Places` to the names that the text may use, by kind;
    `tokens` one from the node's inputs, as far as they are known while planning, to (encoder, tokens of each window,
    room of a window) for each encoder that will read the text.
    """

    prompt: bool = False
    names: Callable[[Any], Mapping[str, Sequence[str]]] | str = ""
    tokens: Callable[..., Sequence[tuple[str, Sequence[int], int]]] | str = ""


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
