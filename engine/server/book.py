"""Book: the queue over the session. Every job is accepted, waits, runs and ends exactly once, also over restarts.

    submit ──▶ accepted (checked, seeds drawn, written down) ──release, after the reply──▶ queued ──▶ running ──▶ over
                                                                    ▲                         │ kill -9
                                                                    └───────── interrupted ◀──┘

All of it runs on the event loop's thread; what takes time (planning, the store) is done beside it.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import logging
import time
import uuid
from collections import OrderedDict
from dataclasses import replace
from typing import Any
from weakref import WeakValueDictionary

from engine.errors import Problem, WeftError, fail
from engine.events import (
    Event,
    JobFinished,
    JobStarted,
    Planned,
    StepBlocked,
    StepCancelled,
    StepFailed,
    StepFinished,
    StepHit,
)
from engine.server.blobs import Blobs
from engine.server.codec import encode
from engine.server.diary import Diary
from engine.server.entry import Entry, shape_of
from engine.server.hub import Hub
from engine.server.shapes import JobRequest, JobShape
from engine.server.store import STARTS_LIMIT, Row, Store
from engine.session import Job, Session
from engine.workflow import Parameter, Workflow, from_json

LOG = logging.getLogger("weft.server")
WIDTH = 2  # jobs under way at once; the device still runs one step at a time
MOST = 10_000  # jobs that may wait
RECENT = 200  # finished jobs kept at hand

_STEP_OVER = (StepFinished, StepHit, StepFailed, StepBlocked, StepCancelled)


class Book:
    """Every job of a server."""

    def __init__(self, session: Session, hub: Hub, store: Store, blobs: Blobs) -> None:
        """Take up what was not over when the last process ended."""
        self.session = session
        self.hub = hub
        self.store = store
        self.blobs = blobs
        self.paused = bool(store.settings().get("queue.paused", False))
        self.diary = Diary(hub, store, blobs, session.engine.places.output, self._told)
        self.entries: OrderedDict[str, Entry] = OrderedDict()
        self.waiting: list[Entry] = []
        self.running: set[Entry] = set()
        self._keys: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        for row in store.open_jobs():
            self._take_up(row)
        self._fill()

    # -- accepting

    async def submit(self, request: JobRequest, key: str | None = None) -> tuple[JobShape, bool]:
        """Accept a job and write it down; it waits for `release`. False when the key brought one that was known."""
        digest = hashlib.blake2b(json.dumps(encode(request), sort_keys=True).encode(), digest_size=16).hexdigest()
        if key is None:
            return await self._take(request, None, digest), True
        lock = self._keys.get(key)
        if lock is None:
            self._keys[key] = lock = asyncio.Lock()
        async with lock:  # the same key twice at once is one job
            known = await self._known(key, digest)
            return (known, False) if known is not None else (await self._take(request, key, digest), True)

    async def _known(self, key: str, digest: str) -> JobShape | None:
        row = await asyncio.to_thread(self.store.by_key, key)
        if row is None:
            return None
        if row.digest != digest:
            raise fail(
                "server.conflict",
                "this Idempotency-Key was used for another request",
                mend="use a new key for a new job",
            )
        return self.get(row.id) or shape_of(row, whole=False)

    async def _take(self, request: JobRequest, key: str | None, digest: str) -> JobShape:
        if len(self.waiting) >= MOST:
            raise fail("server.busy", f"{MOST:,} jobs wait already", mend="let some finish, or clear the queue")
        entry = await asyncio.to_thread(self._accept, request, key, digest)
        entry.epoch, entry.seq = self.hub.epoch, self.hub.seq
        self.entries[entry.id] = entry
        return entry.shape(len(self.waiting))

    def _accept(self, request: JobRequest, key: str | None, digest: str) -> Entry:
        workflow = from_json(request.workflow)
        id = uuid.uuid4().hex[:12]
        job = self.session.accept(workflow, request.parameters, request.targets, again=request.again, id=id)
        job.close()  # what it can reuse is looked up again when its turn comes: nothing is pinned while it waits
        row = Row(
            id=id,
            key=key,
            digest=digest,
            state="queued",
            title=request.title or workflow.title,
            place=time.time(),
            created=time.time(),
            request=encode(request),
            resolved=dict(job.order.document),
            drawn=dict(job.drawn),
        )
        self.store.add(row)
        entry = Entry(row, job)
        self._follow(entry, job)
        return entry

    def _follow(self, entry: Entry, job: Job) -> None:
        job.follower = functools.partial(self.diary.follow, entry)
        job.order.watched = lambda: self.hub.watched or job.watched

    def release(self, id: str) -> None:
        """The reply is out: from now on the job has events."""
        entry = self.entries.get(id)
        if entry is None or entry in self.waiting or entry in self.running or entry.finished_state:
            return
        self.waiting.append(entry)
        record = {"event": "job_queued", "job": id, "position": len(self.waiting) - 1, "title": entry.row.title}
        self.hub.publish({**record, "created": entry.row.created})
        self._fill()

    # -- taking up

    def _take_up(self, row: Row) -> None:
        entry = Entry(row, state="queued" if row.state == "queued" else "interrupted")
        entry.epoch, entry.seq = self.hub.epoch, self.hub.seq
        self.entries[row.id] = entry
        if row.starts >= STARTS_LIMIT:
            problem = fail(
                "run.limit",
                f"the server ended {row.starts} times while this job ran; it is not tried again",
                mend="look at its last step, then submit it anew",
            ).problem
            self._finish(entry, "failed", (problem,))
            return
        if row.state == "running":
            self.store.state(row.id, "interrupted")
        self.waiting.append(entry)

    def _accept_again(self, entry: Entry) -> Job:
        """The engine's job of a row: the very values it was accepted with, so no seed is drawn anew."""
        workflow = _settled(from_json(entry.row.resolved))
        request = entry.row.request
        job = self.session.accept(
            workflow, None, request.get("targets"), again=request.get("again", False), id=entry.id
        )
        job.close()
        job.drawn = entry.row.drawn
        self._follow(entry, job)
        return job

    # -- running

    def _fill(self) -> None:
        """Start what may start."""
        while self.waiting and not self.paused and not self._closing and len(self.running) < WIDTH:
            entry = self.waiting.pop(0)
            self.running.add(entry)
            task = asyncio.get_running_loop().create_task(self._start(entry))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _start(self, entry: Entry) -> None:
        try:
            await asyncio.to_thread(self._make_ready, entry)
        except WeftError as error:
            self._finish(entry, "failed", error.problems)
            return
        except Exception as error:
            LOG.exception("job %s cannot be started", entry.id)
            problem = fail("node.raised", f"the engine failed: {type(error).__name__}: {error}").problem
            self._finish(entry, "failed", (problem,))
            return
        if entry.job is None or self._closing:
            return
        if entry.cancelled:
            entry.job.cancel()
        else:
            self.session.begin(entry.job)

    def _make_ready(self, entry: Entry) -> None:
        if entry.job is None:
            entry.job = self._accept_again(entry)
        self.store.started(entry.id, time.time())

    def _told(self, entry: Entry, event: Event, records: list[dict[str, Any]]) -> None:
        """A durable event has come through the diary."""
        if self._closing:
            return
        if isinstance(event, JobStarted):
            entry.state, entry.started = "running", time.time()
        elif isinstance(event, Planned):
            entry.planned(event)
        elif isinstance(event, _STEP_OVER):
            entry.ended.add(event.path)
            self.hub.forget(entry.id, event.path)
            if isinstance(event, StepFinished):
                entry.progressed(event.path, 1.0)
        elif isinstance(event, JobFinished):
            entry.state = event.state
            self.hub.forget(entry.id)
        for record in records:
            self.hub.publish(record)
        if isinstance(event, JobFinished):
            self._over(entry)

    def _finish(self, entry: Entry, state: str, problems: tuple[Problem, ...] = ()) -> None:
        """End a job that the engine does not run."""
        entry.state, entry.problems, entry.finished = state, problems, time.time()
        self.store.ended(entry.id, state, entry.finished, entry.found(), ())
        shown = [problem.to_json() for problem in problems]
        record = {"event": "job_finished", "job": entry.id, "state": state, "seconds": 0.0, "outputs": {}}
        self.hub.publish({**record, "values": {}, "files": [], "problems": shown})
        self._over(entry)

    def _over(self, entry: Entry) -> None:
        self.running.discard(entry)
        entry.job = None
        entry.over.set()
        finished = [id for id, one in self.entries.items() if one.finished_state]
        for id in finished[:-RECENT]:
            del self.entries[id]
        self._fill()

    # -- looking

    def position(self, entry: Entry) -> int | None:
        """How many jobs are queued before it."""
        return self.waiting.index(entry) if entry in self.waiting else None

    def get(self, id: str, *, whole: bool = False) -> JobShape | None:
        """A job that is at hand."""
        entry = self.entries.get(id)
        return entry.shape(self.position(entry), whole=whole) if entry is not None else None

    async def find(self, id: str) -> JobShape:
        """A job, at hand or from the history."""
        found = self.get(id, whole=True)
        if found is not None:
            return found
        row = await asyncio.to_thread(self.store.get, id)
        if row is None:
            raise fail("server.missing", f"there is no job '{id[:40]}'", mend="GET /api/jobs lists what there is")
        return shape_of(row)

    def open_jobs(self) -> list[JobShape]:
        """What runs, then what waits, in order."""
        order = sorted(self.running, key=lambda entry: entry.row.created) + self.waiting
        return [entry.shape(self.position(entry)) for entry in order]

    def recent(self) -> list[JobShape]:
        """Everything at hand: running, waiting, and what is over, newest first."""
        over = [entry.shape() for entry in reversed(self.entries.values()) if entry.finished_state]
        return [*self.open_jobs(), *over]

    # -- changing

    async def cancel(self, id: str) -> JobShape:
        """Stop a job at its next step; a queued one ends at once. One that is over stays as it is."""
        entry = self.entries.get(id)
        if entry is None:
            return await self.find(id)
        if entry in self.waiting:
            self.waiting.remove(entry)
            self._finish(entry, "cancelled")
        elif not entry.finished_state:
            entry.cancelled = True
            if entry.job is not None:
                await asyncio.to_thread(entry.job.cancel)
        return entry.shape(self.position(entry), whole=True)

    async def move(self, id: str, position: int) -> JobShape:
        """Give a queued job another place."""
        entry = self.entries.get(id)
        if entry is None:
            await self.find(id)  # says that there is none
        if entry is None or entry not in self.waiting:
            raise fail("server.conflict", "only a queued job has a place in the queue", mend="submit it anew")
        self.waiting.remove(entry)
        self.waiting.insert(max(0, position), entry)
        await asyncio.to_thread(self.store.places, [one.id for one in self.waiting])
        self._changed()
        return entry.shape(self.position(entry), whole=True)

    async def set_queue(self, paused: bool | None, clear: bool) -> None:
        """Pause or go on; cancel everything that waits."""
        if clear:
            cleared, self.waiting = self.waiting, []
            for entry in cleared:
                self._finish(entry, "cancelled")
        if paused is not None:
            self.paused = paused
            await asyncio.to_thread(self.store.set_settings, {"queue.paused": paused})
        self._changed()
        self._fill()

    def _changed(self) -> None:
        self.hub.publish(
            {"event": "queue_changed", "paused": self.paused, "waiting": [entry.id for entry in self.waiting]}
        )

    async def close(self) -> None:
        """Stop without ending anything: what ran is taken up by the next process."""
        self._closing = True
        await asyncio.to_thread(self.diary.close)
        if self._tasks:
            await asyncio.wait(self._tasks)


def _settled(workflow: Workflow) -> Workflow:
    """The workflow without parameters' defaults: its nodes hold the values already."""
    plain = Parameter(())
    kept = {
        name: replace(item, default=plain.default, has_default=False, required=False)
        for name, item in workflow.parameters.items()
    }
    return replace(workflow, parameters=kept)
