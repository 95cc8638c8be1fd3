"""Problem: what is wrong, where, and the next step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from engine.server.shapes.plain import Json
from engine.server.shapes.spec import EditShape


@dataclass(frozen=True)
class Place:
    """Where in a workflow something is."""

    file: str | None = None
    line: int | None = None
    column: int | None = None
    path: str | None = None
    socket: str | None = None


@dataclass(frozen=True)
class MendShape:
    """The next step: in words, and as document commands."""

    text: str
    edits: Annotated[list[Json], list[EditShape]]


@dataclass(frozen=True)
class ProblemShape:
    """One error or piece of advice."""

    code: str
    message: str
    severity: Annotated[str, Literal["error", "lint"]]
    where: Place
    mend: MendShape | None = None
    report: str | None = None


@dataclass(frozen=True)
class Failure:
    """The body of every 4xx and 5xx reply."""

    error: ProblemShape
    problems: list[ProblemShape]
