"""Catalogue: nodes, types, packs and models."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from engine.server.shapes.plain import Json
from engine.server.shapes.problem import ProblemShape
from engine.server.shapes.spec import NodeSpecShape, TypeSpecShape


@dataclass(frozen=True)
class PackShape:
    """A node pack, or why it could not be read."""

    name: str
    version: str
    title: str
    problem: ProblemShape | None = None


@dataclass(frozen=True)
class Nodes:
    """Every node, type and pack; `connect` says what may be wired to what (`fits`, `no`, `unknown`)."""

    nodes: Annotated[list[Json], list[NodeSpecShape]]
    types: Annotated[list[Json], list[TypeSpecShape]]
    packs: list[PackShape]
    connect: dict[str, dict[str, Literal["fits", "no", "unknown"]]]


@dataclass(frozen=True)
class ChoiceList:
    """What an input may be set to, just now."""

    choices: list[str]


@dataclass(frozen=True)
class ModelRow:
    """A model: its family, what it is, for what it is made (a LoRA's base, say), or why it cannot be read.

    `side` is that of the pictures a whole model was trained with, in pixels; 0 where it is not known.
    """

    name: str
    bytes: int
    family: str = ""
    what: str = ""
    fits: str = ""
    precision: str = ""
    problem: str = ""
    picture: str | None = None
    side: int = 0


@dataclass(frozen=True)
class ModelNotes:
    """What a model's file says of itself; `words` are those that call up what it learned, the most frequent first."""

    kind: str
    name: str
    title: str = ""
    author: str = ""
    about: str = ""
    licence: str = ""
    base: str = ""
    words: list[str] = field(default_factory=list)
