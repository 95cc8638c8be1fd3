"""Entry: one job as the server knows it, from its acceptance to its place in the history."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.errors import CODES, Mend, Problem, Where
from engine.events import TERMINAL, Planned
from engine.server.codec import decode, encode
from engine.server.shapes import Blob, ItemShape, JobShape, OutputShape, ProblemShape, Sweep
from engine.server.store import ItemRow, Row
from engine.session import Job
from engine.session.together import Part

Pictures = dict[str, dict[str, list[Blob]]]


@dataclass(eq=False)
class Entry:
    """A job that is not over yet, or was not a moment ago; or, with a `parent`, one of a job's items."""

    row: Row
    job: Job | Part | None = None  # the engine's; None until it is made again after a restart
    state: str = "queued"
    started: float | None = None
    finished: float | None = None
    problems: tuple[Problem, ...] = ()
    outputs: dict[str, list[Blob]] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    pictures: Pictures = field(default_factory=dict)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    released: bool = False  # the reply to its submission is out
    cancelled: bool = False
    epoch: str = ""  # its events come after `seq` of this epoch
    seq: int = 0
    ended: set[str] = field(default_factory=set)  # steps whose volatile events are old
    expected: int = 0  # steps that were to run, by its plan
    predicted: float | None = None  # seconds, by its plan
    partial: dict[str, float] = field(default_factory=dict)
    fraction: float = 0.0
    parent: Entry | None = None
    index: int = 0
    own: dict[str, Any] = field(default_factory=dict)  # what an item has of its own, by `node.input`
    label: str = ""
    starts: int = 0
    items: list[Entry] = field(default_factory=list)
    todo: deque[Entry] = field(default_factory=deque)  # the items that have not begun

    @property
    def id(self) -> str:
        """The job's id; of an item, one that nobody sees but the engine."""
        return self.row.id if self.parent is None else f"{self.row.id}.{self.index}"

    @property
    def together(self) -> int:
        """How many of its items may share their work; below 2 none do."""
        return int(self.row.request.get("together") or 0)

    @property
    def client(self) -> str:
        """With whom it shares the machine: its user, else the program that sent it."""
        return f"@{self.row.owner}" if self.row.owner else self.row.client

    @property
    def told(self) -> dict[str, Any]:
        """How its events name it."""
        return {"job": self.row.id} if self.parent is None else {"job": self.row.id, "item": self.index}

    @property
    def finished_state(self) -> bool:
        """Is it over?"""
        return self.state in TERMINAL

    def add_items(self, rows: Iterable[ItemRow]) -> None:
        """The items, as they are kept."""
        for row in rows:
            item = Entry(self.row, state=row.state, parent=self, index=row.item, own=row.sets, label=row.label)
            item.started, item.finished, item.starts = row.started, row.finished, row.starts
            item.take(row.found)
            self.items.append(item)
            if not item.finished_state:
                self.todo.append(item)

    def take(self, found: Mapping[str, Any]) -> None:
        """What came of it, from the store."""
        self.problems = tuple(_problem(record) for record in found.get("problems", ()))
        self.outputs = _blobs(found.get("outputs", {}))
        self.values, self.files = found.get("values", {}), found.get("files", [])
        self.pictures = {path: _blobs(outputs) for path, outputs in found.get("pictures", {}).items()}
        self.fraction = 1.0 if self.state == "succeeded" else 0.0

    def planned(self, event: Planned) -> None:
        """How much there is to do."""
        self.expected = event.run + event.maybe
        self.predicted = event.seconds

    def progressed(self, path: str, done: float) -> None:
        """A step is `done` (0..1) done; the job's own fraction never goes back."""
        self.partial[path] = max(done, self.partial.get(path, 0.0))
        whole = max(self.expected, len(self.partial), 1)
        self.fraction = max(self.fraction, min(sum(self.partial.values()) / whole, 0.999))
        if self.parent is not None:
            self.parent.gather()

    def gather(self) -> None:
        """A job with items is as far as they are."""
        done = sum(1.0 if item.finished_state else item.fraction for item in self.items)
        self.fraction = max(self.fraction, min(done / len(self.items), 0.999))

    def outcome(self) -> str:
        """What a job with items has come to, when all of them are over."""
        states = {item.state for item in self.items}
        if len(states) == 1:
            return states.pop()
        return "partial" if states & {"succeeded", "partial"} else "failed"

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

    def counts(self) -> dict[str, int] | None:
        """How many items are in which state."""
        return dict(Counter(item.state for item in self.items)) if self.items else None

    def item_shape(self) -> ItemShape:
        """An item on the wire."""
        return item_shape(self)

    def shape(self, position: int | None = None, *, whole: bool = False) -> JobShape:
        """The job on the wire; `whole` with what was asked for, and its items."""
        request = self.row.request if whole else {}
        sweep = request.get("sweep")
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
            eta_s=self.eta(),
            epoch=self.epoch or None,
            seq=self.seq if self.epoch else None,
            parameters=request.get("parameters"),
            workflow=request.get("workflow"),
            counts=self.counts(),
            items=[item.item_shape() for item in self.items] if whole and self.items else None,
            sweep=decode(Sweep, sweep) if sweep else None,
            stop=request.get("stop"),
            together=request.get("together") or None,
            of=self.row.of,
            priority=self.row.priority or None,
            urls={name: [f"/api/blobs/{one.blob}" for one in blobs] for name, blobs in self.outputs.items()} or None,
        )


def item_shape(item: Entry) -> ItemShape:
    """An item, with its pictures: those of the workflow's named outputs first, each picture once."""
    problems = [decode(ProblemShape, problem.to_json()) for problem in item.problems]
    return ItemShape(
        index=item.index,
        set=item.own,
        label=item.label,
        state=item.state,  # type: ignore[arg-type]
        outputs=_outputs(item),
        fraction=1.0 if item.state == "succeeded" else item.fraction,
        values=item.values or None,
        files=item.files or None,
        started=item.started,
        finished=item.finished,
        error=problems[0] if problems else None,
        problems=problems or None,
    )


def _outputs(item: Entry) -> list[OutputShape]:
    # The pictures may grow on another thread while they are listed.
    made = [(path, output, b) for path, o in [*item.pictures.items()] for output, bs in [*o.items()] for b in bs]
    named = [(name, blob) for name, blobs in item.outputs.items() for blob in blobs]
    at = {blob.blob: (path, output) for path, output, blob in made}
    found: dict[str, OutputShape] = {}
    rest: list[tuple[str | None, Blob]] = [(None, blob) for _, _, blob in made]
    for name, blob in [*named, *rest]:
        path, output = at.get(blob.blob, ("", ""))
        kind = blob.mime.partition("/")[0]
        url = f"/api/blobs/{blob.blob}"
        found.setdefault(blob.blob, OutputShape(path, output, blob.blob, url, kind, blob.width, blob.height, name))
    return list(found.values())


def entry_of(row: Row, items: Iterable[ItemRow] = ()) -> Entry:
    """A job that is over, from the store."""
    entry = Entry(row, state=row.state, started=row.started, finished=row.finished)
    entry.take(row.found)
    entry.add_items(items)
    entry.todo.clear()
    return entry


def shape_of(row: Row, *, whole: bool = True, items: Iterable[ItemRow] = ()) -> JobShape:
    """A finished job, from the store."""
    return entry_of(row, items).shape(whole=whole)


def _problem(record: Mapping[str, Any]) -> Problem:
    shape = decode(ProblemShape, dict(record))
    mend = Mend(shape.mend.text, tuple(shape.mend.edits)) if shape.mend is not None else None
    where = Where(**{name: value for name, value in encode(shape.where).items() if value is not None})
    code = shape.code if shape.code in CODES or shape.code.startswith("lint.") else "server.failed"  # a newer Weft's
    return Problem(code, shape.message, where, mend, shape.severity, shape.report)


def _blobs(record: Mapping[str, Any]) -> dict[str, list[Blob]]:
    return {name: [decode(Blob, blob) for blob in blobs] for name, blobs in record.items()}
