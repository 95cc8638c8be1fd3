"""Plan: what is wrong with a workflow, what would run, what it would cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from engine.server.shapes.job import Blob
from engine.server.shapes.plain import Json, Seeds
from engine.server.shapes.problem import ProblemShape


@dataclass(frozen=True)
class CheckRequest:
    """A workflow to look at."""

    workflow: Json


@dataclass(frozen=True)
class Checked:
    """Everything that is wrong with a workflow, and advice."""

    problems: list[ProblemShape]
    lints: list[ProblemShape]


@dataclass(frozen=True)
class PlanRequest:
    """What would run: a workflow, values for its parameters (or `node.input`), and targets (all when left out)."""

    workflow: Json
    parameters: Json = field(default_factory=dict)
    targets: list[str] | None = None


@dataclass(frozen=True)
class PlanStepShape:
    """One row of a plan; `pictures` are what its outputs were seen as before, or would be seen as again."""

    path: str
    node: str
    status: Annotated[str, Literal["hit", "saved", "run", "maybe", "light", "failed", "blocked", "not needed"]]
    why: str = ""
    seconds: float | None = None
    steps: int = 0
    resumed: int = 0
    waits_for: list[str] = field(default_factory=list)
    problem: ProblemShape | None = None
    memory: int | None = None
    pictures: dict[str, list[Blob]] = field(default_factory=dict)


@dataclass(frozen=True)
class Planned:
    """What would run now, why, for how long; `drawn` are the seeds that the next run will have.

    `memory` is how many bytes will be in use at most, of what was ever measured.
    """

    steps: list[PlanStepShape]
    problems: list[ProblemShape]
    lints: list[ProblemShape]
    drawn: Seeds
    seconds: float | None = None
    memory: int | None = None


@dataclass(frozen=True)
class AloneShape:
    """Steps of `items` items that share forwards with no other: which node, and why."""

    node: str
    why: str
    items: int


@dataclass(frozen=True)
class SharingShape:
    """What sharing comes to: `forwards` denoise steps instead of `apart`, up to `rows` items in each; what is alone."""

    forwards: int
    apart: int
    rows: int
    alone: list[AloneShape]


@dataclass(frozen=True)
class Forecast:
    """What a job with items would cost: `todo` of all denoise `steps` and `run` of all `nodes` would be computed.

    What items share counts once. The first `looked` items were planned; the figures of the others go on like theirs.
    `sharing` when it was asked for with `together`.
    """

    items: int
    looked: int
    steps: int
    todo: int
    nodes: int
    run: int
    seconds: float | None
    problems: list[ProblemShape]
    sharing: SharingShape | None = None
