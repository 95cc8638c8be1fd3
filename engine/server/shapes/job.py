"""Job: what was asked for, how far it is, what it made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from engine.events import State as JobState
from engine.server.shapes.plain import Flow, Json, Seeds
from engine.server.shapes.problem import ProblemShape


@dataclass(frozen=True)
class Blob:
    """A picture: its content hash (`GET /api/blobs/{blob}`) and size in pixels."""

    blob: str
    width: int
    height: int
    mime: str = "image/png"


@dataclass(frozen=True)
class OutputShape:
    """A picture that an item made: at which output of which node, and under which name of the workflow's outputs."""

    node: str
    output: str
    blob: str
    url: str
    kind: str
    width: int
    height: int
    name: str | None = None


@dataclass(frozen=True)
class ItemShape:
    """One of a job's items: `set` is what it has of its own, by `node.input`; its pictures, the workflow's first."""

    index: int
    set: Json
    label: str
    state: JobState
    outputs: list[OutputShape]
    fraction: float
    values: Json | None = None
    files: list[str] | None = None
    started: float | None = None
    finished: float | None = None
    error: ProblemShape | None = None
    problems: list[ProblemShape] | None = None


@dataclass(frozen=True)
class Axis:
    """One axis of a sweep: the inputs it sets (`node.input`, or a parameter) and the values it goes through."""

    to: list[str]
    values: list[Any]
    label: str | None = None


@dataclass(frozen=True)
class Sweep:
    """Every combination of up to three axes, the last one running fastest (row-major)."""

    axes: list[Axis]


@dataclass(frozen=True)
class Batch:
    """`count` items that differ in a seed: the input or inputs (or the parameter) that hold it.

    `increment` counts up from the seed that the workflow has, `random` draws each but the first, `fixed` keeps it.
    """

    count: int
    seed: str | list[str] = "seed"
    policy: Literal["increment", "random", "fixed"] = "increment"


@dataclass(frozen=True)
class JobShape:
    """One job. `position` counts from 0 among the queued; `pictures` is path -> output -> pictures.

    Its events come after the number `seq` of `epoch`: with them `/ws` gives its diary from the beginning. A job with
    items has `counts` (how many are in which state) and, asked for by its id, `items`; `of` is the job that it was
    made from (retried or finished). `urls` are the addresses of its outputs' pictures, `eta_s` the seconds left.
    """

    id: str
    state: JobState
    title: str
    created: float
    problems: list[ProblemShape]
    outputs: dict[str, list[Blob]]
    values: dict[str, Any]
    files: list[str]
    drawn: Seeds
    pictures: dict[str, dict[str, list[Blob]]]
    fraction: float
    position: int | None = None
    started: float | None = None
    finished: float | None = None
    eta_s: float | None = None
    epoch: str | None = None
    seq: int | None = None
    parameters: Json | None = None
    workflow: Flow | None = None
    counts: dict[str, int] | None = None
    items: list[ItemShape] | None = None
    sweep: Sweep | None = None
    stop: dict[str, int] | None = None
    together: int | None = None
    of: str | None = None
    priority: int | None = None
    urls: dict[str, list[str]] | None = None


@dataclass(frozen=True)
class Jobs:
    """Several jobs."""

    jobs: list[JobShape]


@dataclass(frozen=True)
class Queue:
    """What waits and what runs, in order."""

    paused: bool
    jobs: list[JobShape]
