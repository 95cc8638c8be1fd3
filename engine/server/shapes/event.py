"""Event: what the socket tells, where that is not the engine's own event as it stands.

Every durable event has a number, `seq`; an event of one of a job's items has its `item`. `MESSAGES` are all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from engine import events
from engine.events import State as JobState
from engine.server.shapes.job import Blob, OutputShape
from engine.server.shapes.plain import Json, Seeds
from engine.server.shapes.problem import ProblemShape


@dataclass(frozen=True)
class Hello:
    """The first message: the server's epoch and newest number; `snapshot` when something may have been missed."""

    epoch: str
    seq: int
    mode: Literal["resumed", "snapshot"]


@dataclass(frozen=True)
class JobQueued:
    """The job was accepted; `position` jobs are before it. A job with `items` has that many; `of` it was made from."""

    job: str
    position: int | None
    title: str
    created: float
    items: int | None = None
    of: str | None = None


@dataclass(frozen=True)
class JobStarted:
    """The job begins, with the seeds that were drawn for it, by `node.input`."""

    job: str
    drawn: Seeds


@dataclass(frozen=True)
class JobFinished:
    """The job is over: what came of it, by the workflow's outputs; of one with items, how many are in which state."""

    job: str
    state: JobState
    seconds: float
    outputs: dict[str, list[Blob]]
    values: Json
    files: list[str]
    problems: list[ProblemShape]
    items: dict[str, int] | None = None


@dataclass(frozen=True)
class ItemStarted:
    """One of a job's items begins."""

    job: str
    item: int


@dataclass(frozen=True)
class ItemFinished:
    """One of a job's items is over; the fields are those of an item."""

    job: str
    item: int
    seconds: float
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
class StepPictures:
    """What a step shows at one of its outputs."""

    job: str
    path: str
    output: str
    pictures: list[Blob]
    item: int | None = None


@dataclass(frozen=True)
class StepProgress:
    """`done` of `total` units, seconds left, and how far the whole job is. Volatile."""

    job: str
    path: str
    done: int
    total: int
    text: str
    left: float | None
    fraction: float
    item: int | None = None


@dataclass(frozen=True)
class QueueChanged:
    """The queue was paused, cleared or ordered anew; `waiting` are the jobs that have not begun, in order."""

    paused: bool
    waiting: list[str]


@dataclass(frozen=True)
class JobDeleted:
    """A job was taken out of the history."""

    job: str


@dataclass(frozen=True)
class TabChanged:
    """A tab has another version; 0 when it was closed."""

    tab: str
    version: int


@dataclass(frozen=True)
class WorkflowSaved:
    """A workflow was saved."""

    name: str
    modified: float


@dataclass(frozen=True)
class WorkflowDeleted:
    """A workflow was deleted."""

    name: str


@dataclass(frozen=True)
class SettingsChanged:
    """These settings have other values; null for one that was forgotten."""

    settings: Json


@dataclass(frozen=True)
class MemoryFreed:
    """Models or values were given back on request: a plan may be another one now."""


@dataclass(frozen=True)
class NodesChanged:
    """The nodes were loaded anew: fetch `/api/nodes`."""


@dataclass(frozen=True)
class ServerReady:
    """The engine answers."""


@dataclass(frozen=True)
class PreviewHeader:
    """The header of a binary message, before the picture of work in progress."""

    job: str
    path: str
    done: int
    total: int
    mime: str
    item: int | None = None


@dataclass(frozen=True)
class Wish:
    """What a client may say: whether it shows previews."""

    previews: bool


_OWN = (
    JobQueued,
    JobStarted,
    JobFinished,
    ItemStarted,
    ItemFinished,
    StepPictures,
    StepProgress,
    QueueChanged,
    JobDeleted,
    TabChanged,
    WorkflowSaved,
    WorkflowDeleted,
    SettingsChanged,
    MemoryFreed,
    NodesChanged,
    ServerReady,
)
_FLASHED = (StepProgress,)  # volatile: they have no number


def _name(shape: type) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in shape.__name__).lstrip("_")


def _sent() -> dict[str, tuple[type, bool]]:
    own: dict[str, tuple[type, bool]] = {_name(shape): (shape, shape not in _FLASHED) for shape in _OWN}
    bases = (events.StepEvent,)
    rest = {
        name: (kind, True)
        for kind, name in events.KINDS.items()
        if kind not in (*bases, events.StepPreview) and name not in own
    }
    return {"hello": (Hello, False), **own, **rest}


MESSAGES: Mapping[str, tuple[type, bool]] = _sent()
