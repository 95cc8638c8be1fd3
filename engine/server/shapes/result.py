"""Result: which graph made it, what else was tried, in what two differ."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from engine.server.shapes.plain import Flow, Json


@dataclass(frozen=True)
class TrailRequest:
    """A workflow as it stands, and the input (`node.input`, or a parameter) whose earlier values are asked for."""

    workflow: Json
    to: str
    parameters: Json = field(default_factory=dict)


@dataclass(frozen=True)
class TrailPoint:
    """A value that was tried with all else equal, and what it gave."""

    value: Any
    job: str
    blob: str
    url: str
    width: int
    height: int
    at: float
    item: int | None = None


@dataclass(frozen=True)
class Trail:
    """The values that were tried, the newest first."""

    points: list[TrailPoint]


@dataclass(frozen=True)
class GraphShape:
    """The exact workflow that made a result: every value and seed as it ran."""

    workflow: Flow


@dataclass(frozen=True)
class GalleryPicture:
    """A picture that was made: by which job and item, when, for which prompt; `draft` when it was stopped early."""

    job: str
    blob: str
    width: int
    height: int
    title: str
    at: float
    item: int | None = None
    prompt: str = ""
    label: str = ""
    node: str = ""
    draft: bool = False


@dataclass(frozen=True)
class Gallery:
    """Pictures, newest first; `next` is what `before` has to be for those that follow, null when there are none."""

    pictures: list[GalleryPicture]
    next: float | None = None


@dataclass(frozen=True)
class ResultRef:
    """A graph: that of a job (or of one of its items), or one that is sent along."""

    job: str | None = None
    item: int | None = None
    workflow: Json | None = None


@dataclass(frozen=True)
class DiffRequest:
    """Two graphs to compare."""

    a: ResultRef
    b: ResultRef


@dataclass(frozen=True)
class ChangeShape:
    """One difference: what, before and after; null where it was not there."""

    what: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Diff:
    """In what two graphs differ; nothing when they are equal but for layout."""

    changes: list[ChangeShape]
