"""Request: a job that is asked for, and what may be done with one."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.server.shapes.job import Batch, Sweep
from engine.server.shapes.plain import Json


@dataclass(frozen=True)
class JobRequest:
    """A job: a workflow, values for its parameters, targets; `again` saves even what is saved already.

    `set` holds further values by `node.input`. One of `batch`, `sweep` and `rows` makes it a job with items; `rows` are
    their values, by `node.input` or parameter. `stop` ends denoise nodes at a step (`{"denoise": 6}`), to look at many
    before finishing few: then nothing is saved, and `POST /api/jobs/{id}/finish` carries on. With `together` up to so
    many items (2 to 64, and no more than there is room for) share each forward of a model: a mode of its own, whose
    results differ from those of single items by rounding and are never taken for them. A higher `priority` (-100 to
    100) goes before a lower one; `front` goes before everything. `webhook` is a URL that is told when the job is over.
    """

    workflow: Json
    parameters: Json = field(default_factory=dict)
    targets: list[str] | None = None
    again: bool = False
    title: str | None = None
    set: Json = field(default_factory=dict)
    batch: Batch | None = None
    sweep: Sweep | None = None
    rows: list[Json] | None = None
    stop: dict[str, int] | None = None
    together: int = 0
    priority: int = 0
    front: bool = False
    webhook: str | None = None


@dataclass(frozen=True)
class ItemsRequest:
    """Which items of a job; all of them (or all that make sense) when left out."""

    items: list[int] | None = None


@dataclass(frozen=True)
class FinishRequest:
    """The items to finish (all when left out), and what to set anew for them, by `node.input`."""

    items: list[int] | None = None
    set: Json = field(default_factory=dict)
    title: str | None = None


@dataclass(frozen=True)
class RunRequest:
    """Values for the parameters of a saved workflow; the rest as in `JobRequest`.

    A picture is the name of an input file, a `data:` URL, `{"url": "https://..."}` or `{"base64": "..."}`.
    """

    parameters: Json = field(default_factory=dict)
    again: bool = False
    title: str | None = None
    batch: Batch | None = None
    sweep: Sweep | None = None
    rows: list[Json] | None = None
    together: int = 0
    priority: int = 0
    webhook: str | None = None


@dataclass(frozen=True)
class MoveRequest:
    """A new place in the queue, counted from 0."""

    position: int


@dataclass(frozen=True)
class QueueRequest:
    """Pause or go on; `clear` cancels what waits."""

    paused: bool | None = None
    clear: bool = False
