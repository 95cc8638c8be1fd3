"""Spec: nodes and types as manifests and `/api/nodes` have them.

They are described here and written by `to_json` of the engine's own specs; a test holds the two together. A field that
has its default is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.server.shapes.plain import Json


@dataclass(frozen=True)
class TypeShape:
    """A socket's type where a string such as `Image` or `Mask?` cannot say it."""

    name: str
    args: list[TypeShape | str] | None = None
    optional: bool | None = None
    choices: list[str | int | float] | None = None
    variable: bool | None = None


@dataclass(frozen=True)
class WidgetShape:
    """How a value is typed: bounds, and a kind (seed, text, prompt, model, file, choices, or a pack's own).

    A bound that a browser cannot hold, a seed's highest, is a decimal string.
    """

    kind: str | None = None
    low: float | str | None = None
    high: float | str | None = None
    step: float | None = None
    soft: tuple[float, float] | None = None
    models: str | None = None
    place: str | None = None
    choices: str | None = None
    options: Json | None = None
    names: str | None = None
    tokens: str | None = None


@dataclass(frozen=True)
class VariantShape:
    """One option of an input that brings inputs of its own."""

    name: str
    path: str
    inputs: list[InputShape]


@dataclass(frozen=True)
class InputShape:
    """One input: a socket (unless `wired` is false), a widget (unless `typed` is false), or both."""

    name: str
    type: TypeShape | str
    default: Any = None
    gather: str | None = None
    help: str | None = None
    enum: str | None = None
    wired: bool | None = None
    typed: bool | None = None
    keyed: bool | None = None
    widget: WidgetShape | None = None
    variants: list[VariantShape] | None = None


@dataclass(frozen=True)
class SlotShape:
    """One output."""

    name: str
    type: TypeShape | str
    help: str | None = None


@dataclass(frozen=True)
class NodeSpecShape:
    """A node's declaration. `flow` marks the engine's own: map, fold, switch, reroute."""

    id: str
    path: str
    title: str
    help: str
    inputs: list[InputShape]
    outputs: list[SlotShape]
    version: int | None = None
    category: str | None = None
    aliases: list[str] | None = None
    deprecated: str | None = None
    light: bool | None = None
    effect: bool | None = None
    target: bool | None = None
    volatile: bool | None = None
    cutoff: bool | None = None
    lane: str | None = None
    network: bool | None = None
    batched: str | None = None
    takes_run: bool | None = None
    is_async: bool | None = None
    facts: list[Json] | None = None
    fingerprint: str | None = None
    work: str | None = None
    steps: str | None = None
    stop: list[str] | None = None
    migrate: str | None = None
    lints: str | None = None
    bypass: list[tuple[str, str]] | None = None
    advanced: list[str] | None = None
    pack: str | None = None
    line: int | None = None
    flow: bool | None = None


@dataclass(frozen=True)
class TypeSpecShape:
    """A socket type: how it is called and drawn, and which types it is one of."""

    name: str
    path: str
    about: str
    colour: str
    bases: list[str]
    recipe: bool
    portable: bool


@dataclass(frozen=True)
class InsertShape:
    """A node between the two ends of a wire."""

    type: str
    between: tuple[str, str]
    input: str | None = None
    output: str | None = None


@dataclass(frozen=True)
class BesideShape:
    """A node that a new one needs: which of its outputs goes into which input."""

    type: str
    into: str
    output: str | None = None
    inputs: Json | None = None


@dataclass(frozen=True)
class PutShape:
    """A new node before a socket (it takes what the socket had) or behind one (it stands for what `passes` names)."""

    type: str
    before: str | None = None
    behind: str | None = None
    input: str | None = None
    output: str | None = None
    passes: list[str] | None = None
    inputs: Json | None = None
    with_: BesideShape | None = None


@dataclass(frozen=True)
class EditShape:
    """One document command of a mend: one of set, wire, unset, remove, insert and put."""

    set: str | None = None
    value: Any = None
    wire: str | None = None
    from_: str | None = None
    unset: str | None = None
    remove: str | None = None
    insert: InsertShape | None = None
    put: PutShape | None = None
