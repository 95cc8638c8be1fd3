"""Entry: one job as the server knows it, from its acceptance to its place in the history."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.errors import Problem
from engine.events import TERMINAL, Planned
from engine.server.codec import decode, encode
from engine.server.shapes import Blob, JobShape, ProblemShape
from engine.server.store import Row
from engine.session import Job

Pictures = dict[str, dict[str, list[Blob]]]


@dataclass(eq=False)
class Entry:
    """A job that is not over yet, or was not a moment ago."""

    row: Row
    job: Job | None = None  # the engine's; None until it is made again after a restart
    state: str = "queued"
    started: float | None = None
    finished: float | None = None
    problems: tuple[Problem, ...] = ()
    outputs: dict[str, list[Blob]] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    pictures: Pictures = field(default_factory=dict)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: bool = False
    epoch: str = ""  # its events come after `seq` of this epoch
    seq: int = 0
    ended: set[str] = field(default_factory=set)  # steps whose volatile events are old
    expected: int = 0  # steps that were to run, by its plan
    predicted: float | None = None  # seconds, by its plan
    partial: dict[str, float] = field(default_factory=dict)
    fraction: float = 0.0

    @property
    def id(self) -> str:
        """The job's id."""
        return self.row.id

    @property
    def finished_state(self) -> bool:
        """Is it over?"""
        return self.state in TERMINAL

    def planned(self, event: Planned) -> None:
        """How much there is to do."""
        self.expected = event.run + event.maybe
        self.predicted = event.seconds

    def progressed(self, path: str, done: float) -> None:
        """A step is `done` (0..1) done; the job's own fraction never goes back."""
        self.partial[path] = max(done, self.partial.get(path, 0.0))
        whole = max(self.expected, len(self.partial), 1)
        self.fraction = max(self.fraction, min(sum(self.partial.values()) / whole, 0.999))

    def eta(self) -> float | None:
        """Seconds left, from what is done since it started, else from the plan."""
        if self.state != "running" or self.started is None:
            return None
        if self.fraction > 0.02:
            return (time.time() - self.started) * (1 - self.fraction) / self.fraction
        return self.predicted

    def found(self) -> dict[str, Any]:
        """What came of it, as the store keeps it."""
        return {
            "problems": [problem.to_json() for problem in self.problems],
            "outputs": encode(self.outputs),
            "values": self.values,
            "files": self.files,
            "pictures": encode(self.pictures),
        }

    def blobs(self) -> set[str]:
        """Every picture it holds."""
        shown = (blobs for outputs in self.pictures.values() for blobs in outputs.values())
        return {blob.blob for blobs in (*shown, *self.outputs.values()) for blob in blobs}

    def shape(self, position: int | None = None, *, whole: bool = False) -> JobShape:
        """The job on the wire; `whole` with what was asked for."""
        return JobShape(
            id=self.id,
            state=self.state,  # type: ignore[arg-type]
            title=self.row.title,
            created=self.row.created,
            problems=[decode(ProblemShape, problem.to_json()) for problem in self.problems],
            outputs=self.outputs,
            values=self.values,
            files=self.files,
            drawn=dict(self.row.drawn),
            pictures=self.pictures,
            fraction=1.0 if self.state == "succeeded" else self.fraction,
            position=position,
            started=self.started,
            finished=self.finished,
            eta=self.eta(),
            epoch=self.epoch or None,
            seq=self.seq if self.epoch else None,
            parameters=self.row.request.get("parameters") if whole else None,
            workflow=self.row.request.get("workflow") if whole else None,
        )


def shape_of(row: Row, *, whole: bool = True) -> JobShape:
    """A finished job, from the store."""
    found: Mapping[str, Any] = row.found
    return JobShape(
        id=row.id,
        state=row.state,  # type: ignore[arg-type]
        title=row.title,
        created=row.created,
        problems=[decode(ProblemShape, problem) for problem in found.get("problems", ())],
        outputs=_blobs(found.get("outputs", {})),
        values=found.get("values", {}),
        files=found.get("files", []),
        drawn=dict(row.drawn),
        pictures={path: _blobs(outputs) for path, outputs in found.get("pictures", {}).items()},
        fraction=1.0 if row.state == "succeeded" else 0.0,
        started=row.started,
        finished=row.finished,
        parameters=row.request.get("parameters") if whole else None,
        workflow=row.request.get("workflow") if whole else None,
    )


def _blobs(record: Mapping[str, Any]) -> dict[str, list[Blob]]:
    return {name: [decode(Blob, blob) for blob in blobs] for name, blobs in record.items()}
