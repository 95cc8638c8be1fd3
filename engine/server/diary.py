"""Diary: what a job's thread tells becomes numbered events, pictures and rows – without the job waiting for any of it.

    job's thread ──follow──▶ inbox ──▶ one publisher: encode pictures, write the store ──▶ the loop: hub, queue
                    └─ progress, previews: newest only, past the inbox

The order of a job's durable events is kept, its pictures follow the step they belong to, and the store knows that a
job is over before anybody is told.
"""

from __future__ import annotations

import asyncio
import json
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from engine.errors import WeftError, fail
from engine.events import (
    AlreadySaved,
    Event,
    JobFinished,
    JobQueued,
    JobStarted,
    Saved,
    StepEvent,
    StepFinished,
    StepHit,
    StepPreview,
    StepProgress,
    StepShown,
)
from engine.graph import Out
from engine.server.album import Album, name_of
from engine.server.blobs import Blobs, seen
from engine.server.codec import encode
from engine.server.entry import Entry
from engine.server.hub import Hub, frame
from engine.server.store import Store
from engine.sockets import fill, holes

LOG = logging.getLogger("weft.server")
PREVIEW = 1  # the kind of a binary message that holds a picture of work in progress


@dataclass(frozen=True)
class Shown:
    """A value that can be seen: the output it stands at, its name, and itself; None when it is in the saved files."""

    output: str
    name: str
    value: Any


Told = Callable[[Entry, Event, list[dict[str, Any]]], None]


class Diary:
    """Follows every job of a server."""

    def __init__(self, hub: Hub, store: Store, blobs: Blobs, output: Callable[[str], Path], told: Told) -> None:
        """`output` is the folder of an owner's results.

        `told` is called on the loop's thread with each durable event and what is to be published.
        """
        self.hub = hub
        self.store = store
        self.blobs = blobs
        self.album = Album(store, blobs)
        self.output = output
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._inbox: queue.SimpleQueue[tuple[Entry, Event, list[Shown]] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._progress: dict[tuple[str, str], tuple[Entry, StepProgress]] = {}
        self._previews: dict[tuple[str, str], tuple[Entry, StepPreview]] = {}
        self._preview = threading.Semaphore(0)
        self._closed = False
        self._threads = [
            threading.Thread(target=self._publish_all, name="weft diary", daemon=True),
            threading.Thread(target=self._preview_all, name="weft previews", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop following; what is told from now on is not kept, so that it can be taken up again."""
        self._closed = True
        self._inbox.put(None)
        self._preview.release()
        for thread in self._threads:
            thread.join(10)

    # -- on the job's thread

    def follow(self, entry: Entry, event: Event) -> None:
        """Take an event; returns at once."""
        if self._closed or isinstance(event, JobQueued):  # the server tells that itself, when it accepts a job
            return
        if isinstance(event, StepProgress):
            with self._lock:
                first = not self._progress
                self._progress[entry.id, event.path] = (entry, event)
            if first:
                self._loop.call_soon_threadsafe(self._flush)
        elif isinstance(event, StepPreview):
            with self._lock:
                fresh = (entry.id, event.path) not in self._previews
                self._previews[entry.id, event.path] = (entry, event)
            if fresh:
                self._preview.release()
        else:
            self._inbox.put((entry, event, self._shown(entry, event)))

    def _shown(self, entry: Entry, event: Event) -> list[Shown]:
        """What of a step can be seen; its values are still at hand on this thread."""
        job = entry.job
        if job is None or not isinstance(event, StepFinished | StepHit | AlreadySaved | StepShown):
            return []
        values = job.values
        if isinstance(event, StepShown):
            value = values.get(event.id)
            return [Shown("shown", event.id, value)] if seen(value) else []
        live = job.live(event.path)
        found = []
        for out in live.spec.outputs if live is not None else ():
            template = live.outputs.get(out.name) if live is not None else None
            ids = [ref.id for ref in holes(template)]
            if ids and all(id in values for id in ids):
                value = fill(template, values.__getitem__)
                if seen(value):
                    found.append(Shown(out.name, name_of(template), value))
        if isinstance(event, AlreadySaved) and not found:
            # Nothing was computed, not even the picture: the files are the picture.
            output = live.spec.bypass[0][0] if live is not None and live.spec.bypass else "files"
            found.append(Shown(output, name_of(live.outputs.get(output)) if live is not None else "", None))
        return found

    # -- on the publisher's thread

    def _publish_all(self) -> None:
        while (item := self._inbox.get()) is not None:
            entry, event, shown = item
            del item  # what is shown must not be kept alive while waiting for the next
            records = [self._record(entry, event)]
            if isinstance(event, JobFinished):
                self._end(entry, event)
                records = [self._record(entry, event)]
            elif isinstance(event, StepEvent):
                records += self._pictures(entry, event, shown)
            shown.clear()
            self._on_loop(self._told, entry, event, records)

    def _on_loop(self, call: Callable[..., None], *args: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *args)
        except RuntimeError:  # the loop has ended: nobody is left to be told
            self._closed = True

    def _record(self, entry: Entry, event: Event) -> dict[str, Any]:
        """The event on the wire: files by their names in the output folder, seeds a browser can hold."""
        record = {**event.to_json(), **entry.told}
        if entry.parent is not None:
            if isinstance(event, JobStarted):
                return {"event": "item_started", **entry.told}
            if isinstance(event, JobFinished):
                shape = {**encode(entry.item_shape()), "state": event.state}
                return {"event": "item_finished", **shape, **entry.told, "seconds": event.seconds}
        if "files" in record:
            record["files"] = self.names(entry, record["files"])
        if isinstance(event, JobFinished):
            record["outputs"], record["values"] = entry.outputs, entry.values
            record["files"] = entry.files
        encoded: dict[str, Any] = encode(record)
        return encoded

    def names(self, entry: Entry, files: Any) -> list[str]:
        """Files as names in the output folder."""
        found = []
        output = self.output(entry.row.owner)
        for file in map(Path, files):
            inside = file.is_relative_to(output)
            found.append(file.relative_to(output).as_posix() if inside else file.name)
        return found

    def _pictures(self, entry: Entry, event: StepEvent, shown: list[Shown]) -> list[dict[str, Any]]:
        if isinstance(event, Saved | AlreadySaved):
            entry.files += [name for name in self.names(entry, event.files) if name not in entry.files]
        found = {}
        try:
            for one in shown:
                if one.value is None:
                    adopted = [self.blobs.adopt(Path(file)) for file in getattr(event, "files", ())]
                    blobs = [blob for blob in adopted if blob is not None]
                else:
                    blobs = self.blobs.show(one.name, one.value)
                if blobs:
                    found[one.output] = blobs
                    self.album.keep(entry.row.owner, one.name, blobs)
        except WeftError as error:
            LOG.error("a picture of %s is not shown: %s", event.path, error)
        except Exception:
            LOG.exception("a picture of %s cannot be shown", event.path)
        records = []
        for output, blobs in found.items():
            entry.pictures.setdefault(event.path, {})[output] = blobs
            record = {"event": "step_pictures", **entry.told, "path": event.path, "output": output}
            records.append({**record, "pictures": encode(blobs)})
        return records

    def _end(self, entry: Entry, event: JobFinished) -> None:
        """Gather what came of the job and write it down; then give its leases back."""
        entry.problems = event.problems
        job = entry.job
        if job is not None:
            results = job.outputs()
            for name, bound in job.graph.outputs.items():
                shown = entry.pictures.get(bound.path, {}).get(bound.output) if isinstance(bound, Out) else None
                value = results.get(name)
                if shown is None and seen(value):
                    shown = self._try_show(value)
                if shown:
                    entry.outputs[name] = shown
                elif isinstance(value, str | int | float | bool) or _plain_list(value):
                    entry.values[name] = list(value) if isinstance(value, tuple) else value
            results.clear()
            job.close()
        entry.finished = time.time()
        try:
            if entry.parent is not None:
                self.store.items_ended(
                    entry.row.id, [entry.index], event.state, entry.finished, entry.found(), entry.blobs()
                )
            else:
                self.store.ended(entry.id, event.state, entry.finished, entry.found(), entry.blobs())
        except sqlite3.Error as error:
            problem = fail("place.write", f"the job's result cannot be kept: {error}", mend="make room on the disk")
            LOG.error("%s", problem)
            entry.problems = (*entry.problems, problem.problem)

    def _try_show(self, value: Any) -> list[Any]:
        try:
            return list(self.blobs.show("", value))
        except Exception as error:
            LOG.error("an output cannot be shown: %s", error)
            return []

    # -- previews

    def _preview_all(self) -> None:
        while True:
            self._preview.acquire()
            if self._closed:
                return
            with self._lock:
                key = next(iter(self._previews), None)
                entry, event = self._previews.pop(key) if key is not None else (None, None)
            if entry is None or event is None or event.path in entry.ended or not self.hub.watched:
                continue
            try:
                stream = BytesIO()
                event.picture().convert("RGB").save(stream, "JPEG", quality=82)
            except Exception as error:
                LOG.warning("a preview of %s cannot be shown: %s", event.path, error)
                continue
            header = {**entry.told, "path": event.path, "done": event.done, "total": event.total}
            message = frame(PREVIEW, {**header, "mime": "image/jpeg"}, stream.getvalue())
            self._on_loop(self._flash_preview, entry, event.path, message)

    # -- on the loop's thread

    def _flash_preview(self, entry: Entry, path: str, message: bytes) -> None:
        if path not in entry.ended and not entry.finished_state:
            self.hub.flash((entry.id, path, "preview"), message, entry.row.owner)

    def _flush(self) -> None:
        with self._lock:
            latest, self._progress = self._progress, {}
        for entry, event in latest.values():
            if event.path in entry.ended or entry.finished_state:
                continue
            entry.progressed(event.path, event.done / event.total if event.total else 0.0)
            record = {**event.to_json(), **entry.told, "fraction": round((entry.parent or entry).fraction, 4)}
            self.hub.flash((entry.id, event.path, "progress"), json.dumps(record, ensure_ascii=False), entry.row.owner)


def _plain_list(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(one, str | int | float | bool) for one in value)
