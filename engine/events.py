"""Events: the run's diary. One frozen dataclass per thing that can happen, each durable or volatile.

*Durable* events are the record: numbered, kept, replayed to a client that comes back. *Volatile* ones (progress,
previews) matter only now, and the newest replaces the one before. No event carries a tensor or the state of all nodes.

The diary is also the test: `ran(events)` gives the paths that really ran, in canonical order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from engine.errors import Problem

State = Literal["queued", "running", "partial", "succeeded", "failed", "cancelled", "interrupted"]
TERMINAL: tuple[State, ...] = ("partial", "succeeded", "failed", "cancelled")


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened in a job."""

    durable: ClassVar[bool] = True
    job: str = ""

    @property
    def kind(self) -> str:
        """The event's name on the wire: `step_finished` for `StepFinished`."""
        return KINDS[type(self)]

    def to_json(self) -> dict[str, Any]:
        """Plain data: `{"event": kind, ...fields}`; problems as their own JSON, callables left out."""
        record: dict[str, Any] = {"event": self.kind}
        for entry in dataclasses.fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, Problem):
                value = value.to_json()
            elif isinstance(value, tuple) and value and isinstance(value[0], Problem):
                value = [problem.to_json() for problem in value]
            elif isinstance(value, Mapping):
                value = dict(value)
            elif callable(value):
                continue
            record[entry.name] = value
        return record


@dataclass(frozen=True, kw_only=True)
class JobQueued(Event):
    """The job was accepted; `position` jobs are before it."""

    position: int = 0
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class JobStarted(Event):
    """The job's first plan is about to be made. `drawn` are the seeds that were drawn for it, by `node.input`."""

    drawn: Mapping[str, int] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Planned(Event):
    """What the (first) plan says: how many steps are hits, will run, may run; expected seconds, None if unknown."""

    hit: int
    run: int
    maybe: int
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class StepEvent(Event):
    """Something that happened to one step, named by its path."""

    path: str


@dataclass(frozen=True, kw_only=True)
class StepHit(StepEvent):
    """The step's outputs were already there; `tier` says where, `shared` that another job was computing them."""

    tier: str = "device"
    shared: bool = False


@dataclass(frozen=True, kw_only=True)
class StepStarted(StepEvent):
    """The node is being run; `resumed` denoise (or training) steps of `steps` were already known.

    `sharing` steps of the job, this one among them, share their work, as each forward of a model; 0: it runs alone.
    """

    why: str = ""
    resumed: int = 0
    steps: int = 0
    sharing: int = 0


@dataclass(frozen=True, kw_only=True)
class WeightsComing(StepEvent):
    """The weights of `model` are read from disk before the step needs them: `bytes` were not in memory."""

    model: str
    bytes: int


@dataclass(frozen=True, kw_only=True)
class WeightsNear(StepEvent):
    """Reading ahead is over: `read` bytes came into memory; `stopped` says why it ended early, "" when it did not."""

    model: str
    read: int
    seconds: float
    stopped: str = ""


@dataclass(frozen=True, kw_only=True)
class StepFinished(StepEvent):
    """The node has run. Seconds on the clock, bytes of its outputs, and how much memory it peaked at, if known."""

    seconds: float
    bytes: int = 0
    peak: int | None = None
    cut_off: bool = False  # it gave the same value as before, so what follows need not run


@dataclass(frozen=True, kw_only=True)
class AlreadySaved(StepEvent):
    """An effect found its result in place: same content, same settings, the file still there."""

    files: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Saved(StepEvent):
    """An effect wrote these files."""

    files: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StepShown(StepEvent):
    """A node showed a value (`run.show`): the id under which it can be fetched, and one line about it."""

    id: str
    summary: str = ""


@dataclass(frozen=True, kw_only=True)
class StepFailed(StepEvent):
    """The node failed; its descendants are blocked, the rest goes on."""

    problem: Problem


@dataclass(frozen=True, kw_only=True)
class StepBlocked(StepEvent):
    """The step could not run because `by` failed."""

    by: str


@dataclass(frozen=True, kw_only=True)
class StepCancelled(StepEvent):
    """The step was under way when the job was cancelled."""


@dataclass(frozen=True, kw_only=True)
class StepRetried(StepEvent):
    """The device ran out of memory (or what else stands in `because`), and the step was tried once more: `how`."""

    how: str
    because: str = "out of memory"
    freed: int = 0
    numerics_changed: bool = False


@dataclass(frozen=True, kw_only=True)
class MemoryHeld(Event):
    """Who holds a device's memory as the job ends: bytes used of the budget, the most there ever were, the largest.

    `held` has rows of kind (`weights`, `value`, `working`), name, bytes, and whether it is in use.
    """

    durable: ClassVar[bool] = False
    device: str
    used: int
    limit: int
    peak: int
    held: tuple[tuple[str, str, int, bool], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Linted(StepEvent):
    """Advice about a step; never blocks."""

    problem: Problem


@dataclass(frozen=True, kw_only=True)
class JobFinished(Event):
    """The one terminal event. `outputs` are the ids of the workflow's named outputs."""

    state: State
    seconds: float = 0.0
    outputs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StepProgress(StepEvent):
    """`done` of `total` units (denoise steps, tiles); seconds left, None if unknown. Volatile."""

    durable: ClassVar[bool] = False
    done: int
    total: int
    text: str = ""
    left: float | None = None


@dataclass(frozen=True, kw_only=True)
class StepPreview(StepEvent):
    """A picture of work in progress; `picture()` makes it (a PIL image) and is called only when somebody watches."""

    durable: ClassVar[bool] = False
    done: int
    total: int
    picture: Callable[[], Any]


def _kinds() -> dict[type[Event], str]:
    found: dict[type[Event], str] = {}
    pending: list[type[Event]] = [Event]
    while pending:
        for cls in pending.pop().__subclasses__():
            pending.append(cls)
            found[cls] = "".join(f"_{c.lower()}" if c.isupper() else c for c in cls.__name__).lstrip("_")
    return found


KINDS: Mapping[type[Event], str] = _kinds()


def ran(events: Iterable[Event]) -> list[str]:
    """The paths that ran, sorted, each once: the canonical order of the diary, whatever the threads did."""
    return sorted({event.path for event in events if isinstance(event, StepStarted)})


def happened(events: Iterable[Event]) -> list[str]:
    """The durable events as short lines (`step_started denoise`), for tests and logs."""
    return [f"{e.kind} {e.path}" if isinstance(e, StepEvent) else e.kind for e in events if e.durable]
