"""Book: the queue over the session. Every job is accepted, waits, runs and ends exactly once, also over restarts.

    submit ──▶ accepted (checked, seeds drawn, written down) ──release, after the reply──▶ queued ──▶ running ──▶ over
                                                                    ▲                         │ kill -9
                                                                    └───────── interrupted ◀──┘

All of it runs on the event loop's thread; what takes time (planning, the store) is done beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import json
import logging
import sqlite3
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
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
from engine.places import Places
from engine.registry import Registry
from engine.server.blobs import Blobs
from engine.server.codec import encode
from engine.server.counts import Counts
from engine.server.desk import NOBODY, Desk, Sender
from engine.server.diary import Diary
from engine.server.entry import Entry, shape_of
from engine.server.hooks import Hooks
from engine.server.hub import Hub
from engine.server.line import Line
from engine.server.shapes import FinishRequest, ItemsRequest, JobRequest, JobShape
from engine.server.store import STARTS_LIMIT, Row, Store
from engine.server.tracing import Tracing
from engine.server.users import Users, places_of
from engine.session import Job, Session

LOG = logging.getLogger("weft.server")
WIDTH = 2  # jobs under way at once; the device still runs one step at a time
MOST = 10_000  # jobs that may wait
RECENT = 200  # finished jobs kept at hand

_STEP_OVER = (StepFinished, StepHit, StepFailed, StepBlocked, StepCancelled)


class Book:
    """Every job of a server."""

    def __init__(
        self,
        session: Session,
        hub: Hub,
        store: Store,
        blobs: Blobs,
        hooks: Hooks,
        users: Users,
        most: int = MOST,
    ) -> None:
        """Take up what was not over when the last process ended."""
        self.session = session
        self.hub = hub
        self.store = store
        self.blobs = blobs
        self.hooks = hooks
        self.users = users
        self.most = most
        self.counts = Counts()
        self.tracing: Tracing | None = None
        self.paused = bool(store.settings().get("queue.paused", False))
        self.diary = Diary(hub, store, blobs, lambda owner: self.places(owner).output, self._told)
        self.entries: OrderedDict[str, Entry] = OrderedDict()
        self.desk = Desk(session, store, self._follow, self.places)
        self.line = Line()
        self.running: set[Entry] = set()
        self._keys: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._reloading = False
        for row in store.open_jobs():
            self._take_up(row)
        self._fill()

    def places(self, owner: str) -> Places:
        """The folders of a user, or of the owner of the machine."""
        return places_of(self.session.engine.places, owner)

    # -- accepting

    async def submit(
        self, request: JobRequest, key: str | None = None, sender: Sender = NOBODY
    ) -> tuple[JobShape, bool]:
        """Accept a job and write it down; it waits for `release`. False when the key brought one that was known."""
        digest = hashlib.blake2b(json.dumps(encode(request), sort_keys=True).encode(), digest_size=16).hexdigest()
        return await self._once(key, digest, sender, lambda row: self.desk.accept(request, row))

    async def derive(
        self, id: str, request: ItemsRequest | FinishRequest, key: str | None, sender: Sender
    ) -> tuple[JobShape, bool]:
        """A new job with the same values: what did not succeed, tried again; or what was stopped, finished."""
        text = json.dumps([id, type(request).__name__, encode(request)], sort_keys=True)
        digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        return await self._once(key, digest, sender, lambda row: self.desk.derive(id, request, row))

    async def _once(
        self, key: str | None, digest: str, sender: Sender, accept: Callable[[Row], Entry]
    ) -> tuple[JobShape, bool]:
        if key is None:
            return await self._take(None, digest, sender, accept), True
        key = f"{sender.owner} {key}" if sender.owner else key
        lock = self._keys.get(key)
        if lock is None:
            self._keys[key] = lock = asyncio.Lock()
        async with lock:  # the same key twice at once is one job
            known = await self._known(key, digest)
            return (known, False) if known is not None else (await self._take(key, digest, sender, accept), True)

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

    async def _take(self, key: str | None, digest: str, sender: Sender, accept: Callable[[Row], Entry]) -> JobShape:
        if len(self.line) >= self.most:
            raise fail("server.busy", f"{self.most:,} jobs wait already", mend="let some finish, or clear the queue")
        if sender.owner:
            await asyncio.to_thread(self.users.check, sender.owner)
        now = time.time()
        row = Row(uuid.uuid4().hex[:12], key, digest, "queued", "", now, now, owner=sender.owner, client=sender.client)
        entry = await asyncio.to_thread(accept, row)
        entry.epoch, entry.seq = self.hub.epoch, self.hub.seq
        self.entries[entry.id] = entry
        return replace(entry.shape(len(self.line)), items=[one.item_shape() for one in entry.items] or None)

    def _follow(self, entry: Entry, job: Job) -> None:
        job.follower = functools.partial(self.diary.follow, entry)
        job.order.watched = lambda: self.hub.watched or job.watched

    def release(self, id: str) -> None:
        """The reply is out: from now on the job has events."""
        entry = self.entries.get(id)
        if entry is None or entry.released or entry.finished_state:
            return
        entry.released = True
        self.line.add(entry)
        if entry.row.request.get("front"):
            self.line.move(entry, 0)
            self.store.places((one.id, one.row.priority) for one in self.line)
        record = {"event": "job_queued", "job": id, "position": self.line.position(entry), "title": entry.row.title}
        if entry.items:
            record["items"] = len(entry.items)
        if entry.row.of is not None:
            record["of"] = entry.row.of
        self.hub.publish({**record, "created": entry.row.created}, entry.row.owner)
        self._fill()

    # -- taking up

    def _take_up(self, row: Row) -> None:
        entry = Entry(row, state="queued" if row.state == "queued" else "interrupted")
        entry.epoch, entry.seq = self.hub.epoch, self.hub.seq
        entry.released = True
        self.entries[row.id] = entry
        entry.add_items(self.store.items(row.id))
        if row.starts >= STARTS_LIMIT:
            self._finish(entry, "failed", (_not_again(row.starts, "job"),))
            return
        if row.state == "running":
            self.store.state(row.id, "interrupted")
        for item in [*entry.todo]:
            if item.starts >= STARTS_LIMIT:
                entry.todo.remove(item)
                self._end_items([item], "failed", (_not_again(item.starts, "item"),))
            elif item.state == "running":
                item.state = "interrupted"
            item.started = None
        if entry.items and not entry.todo:
            self._finish_many(entry)
            return
        if entry.items:
            entry.gather()
        self.line.add(entry)

    # -- running

    def _fill(self) -> None:
        """Start what may start."""
        while not (self.paused or self._closing or self._reloading) and len(self.running) < WIDTH:
            entry = self.line.next()
            if entry is None:
                return
            self.running.add(entry)
            task = asyncio.get_running_loop().create_task(self._start(entry))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _start(self, entry: Entry) -> None:
        try:
            await asyncio.to_thread(self._make_ready, entry)
        except WeftError as error:
            self._fail(entry, error.problems)
            return
        except Exception as error:
            LOG.exception("job %s cannot be started", entry.id)
            problem = fail("node.raised", f"the engine failed: {type(error).__name__}: {error}").problem
            self._fail(entry, (problem,))
            return
        if entry.job is None or self._closing:
            return
        if entry.cancelled:
            entry.job.cancel()
        else:
            self.session.begin(entry.job)

    def _make_ready(self, entry: Entry) -> None:
        if entry.job is None or entry.job.registry is not self.session.engine.registry:
            entry.job = self.desk.again(entry)
        entry.started = time.time()
        if entry.parent is not None:
            self.store.item_started(entry.row.id, entry.index, entry.started)
        else:
            self.store.started(entry.id, entry.started)

    def _told(self, entry: Entry, event: Event, records: list[dict[str, Any]]) -> None:
        """A durable event has come through the diary."""
        if self._closing:
            return
        if self.tracing is not None:
            self.tracing.told(entry, event)
        if isinstance(event, JobStarted):
            entry.state = "running"
            if entry.parent is not None and entry.parent.started is None:
                entry.parent.state, entry.parent.started = "running", entry.started
                begun = {"event": "job_started", "job": entry.row.id, "drawn": encode(entry.row.drawn)}
                self.hub.publish(begun, entry.row.owner)
        elif isinstance(event, Planned):
            entry.planned(event)
        elif isinstance(event, _STEP_OVER):
            entry.ended.add(event.path)
            self.hub.forget(entry.id, event.path)
            if isinstance(event, StepFinished):
                entry.progressed(event.path, 1.0)
        elif isinstance(event, JobFinished):
            entry.state = event.state
            if entry.row.owner:
                self._spent(entry.row.owner, event.seconds)
            self.hub.forget(entry.id)
        for record in records:
            self.hub.publish(record, entry.row.owner)
        if isinstance(event, JobFinished):
            self._over(entry)

    def _spent(self, owner: str, seconds: float) -> None:
        try:
            self.users.spent(owner, seconds)
        except WeftError as error:
            LOG.error("the seconds of %s are not counted: %s", owner, error)

    def _fail(self, entry: Entry, problems: tuple[Problem, ...]) -> None:
        """End a job or an item that the engine could not begin."""
        if entry.parent is None:
            self._finish(entry, "failed", problems)
        else:
            self._end_items([entry], "failed", problems)
            self._over(entry)

    def _finish(self, entry: Entry, state: str, problems: tuple[Problem, ...] = ()) -> None:
        """End a job that the engine does not run, with what waits of it."""
        if entry.items and entry.todo:
            self._end_items([*entry.todo], "cancelled" if state == "cancelled" else "failed", problems)
            entry.todo.clear()
        entry.state, entry.problems, entry.finished = state, problems, time.time()
        self._keep_end(entry)
        seconds = entry.finished - entry.started if entry.started is not None else 0.0
        record = {"event": "job_finished", "job": entry.id, "state": state, "seconds": round(seconds, 3)}
        if entry.items:
            record["items"] = entry.counts()
        shown = [problem.to_json() for problem in problems]
        self.hub.publish(
            {**record, "outputs": {}, "values": {}, "files": entry.files, "problems": shown}, entry.row.owner
        )
        self._over(entry)

    def _keep_end(self, entry: Entry) -> None:
        try:
            self.store.ended(entry.id, entry.state, entry.finished or time.time(), entry.found(), ())
        except sqlite3.Error as error:
            # It stays open in the database: the next process will find it so, and tell its end again.
            LOG.error("the end of job %s cannot be kept: %s", entry.id, error)

    def _end_items(self, ended: Sequence[Entry], state: str, problems: tuple[Problem, ...] = ()) -> None:
        """End items that the engine does not run."""
        if not ended:
            return
        now = time.time()
        for item in ended:
            item.state, item.finished, item.problems = state, now, problems
        job = ended[0].row.id
        found = ended[0].found()
        try:
            self.store.items_ended(job, [item.index for item in ended], state, now, found, ())
        except sqlite3.Error as error:
            LOG.error("the end of items of job %s cannot be kept: %s", job, error)
        for item in ended:
            told = {"event": "item_finished", **encode(item.item_shape()), **item.told, "seconds": 0.0}
            self.hub.publish(told, item.row.owner)

    def _finish_many(self, entry: Entry) -> None:
        """Every item is over: so is the job. Its outputs are theirs, in order."""
        problems: dict[str, Problem] = {}
        for item in entry.items:
            for problem in item.problems:
                problems.setdefault(f"{problem.code} {problem.message}", problem)
            for name, blobs in item.outputs.items():
                entry.outputs.setdefault(name, []).extend(blobs)
            entry.files += [file for file in item.files if file not in entry.files]
        self._finish(entry, entry.outcome(), tuple(problems.values())[:20])

    def _over(self, entry: Entry) -> None:
        self.running.discard(entry)
        entry.job = None
        entry.over.set()
        if entry.parent is not None:
            entry.parent.gather()
            if all(item.finished_state for item in entry.parent.items) and not entry.parent.finished_state:
                self._finish_many(entry.parent)
            else:
                self._fill()
            return
        seconds = entry.finished - entry.started if entry.finished and entry.started else 0.0
        self.counts.job(entry.state, seconds)
        known = {"job": entry.id, "state": entry.state, "seconds": round(seconds, 3), "owner": entry.row.owner}
        LOG.info("job over", extra=known)
        if entry.row.request.get("webhook"):
            try:
                self.hooks.over(entry.id)
            except WeftError as error:  # the next process finds that it is due
                LOG.error("the webhook of job %s waits: %s", entry.id, error)
        finished = [id for id, one in self.entries.items() if one.finished_state]
        for id in finished[:-RECENT]:
            del self.entries[id]
        self._fill()

    # -- looking

    def get(self, id: str, *, whole: bool = False) -> JobShape | None:
        """A job that is at hand."""
        entry = self.entries.get(id)
        return entry.shape(self.line.position(entry), whole=whole) if entry is not None else None

    async def find(self, id: str) -> JobShape:
        """A job, at hand or from the history."""
        found = self.get(id, whole=True)
        if found is not None:
            return found
        row = await asyncio.to_thread(self.store.get, id)
        if row is None:
            raise fail("server.missing", f"there is no job '{id[:40]}'", mend="GET /api/jobs lists what there is")
        return shape_of(row, items=await asyncio.to_thread(self.store.items, id))

    def open_jobs(self, owner: str = "") -> list[JobShape]:
        """What runs, then what waits, in order; of a user, what is theirs."""
        begun = {entry.parent or entry for entry in self.running}
        begun |= {entry for entry in self.line.jobs if entry.started is not None}
        order = [one for one in self.line.order() if one not in begun]
        places = {one: place for place, one in enumerate(order)}
        listed = [*sorted(begun, key=lambda entry: entry.row.created), *order]
        return [entry.shape(places.get(entry)) for entry in listed if owner in ("", entry.row.owner)]

    def recent(self, owner: str = "") -> list[JobShape]:
        """Everything at hand: running, waiting, and what is over, newest first; of a user, what is theirs."""
        mine = [entry for entry in reversed(self.entries.values()) if owner in ("", entry.row.owner)]
        return [*self.open_jobs(owner), *(entry.shape() for entry in mine if entry.finished_state)]

    async def belongs(self, id: str, owner: str) -> bool:
        """Is it a job of this user?"""
        entry = self.entries.get(id)
        row = entry.row if entry is not None else await asyncio.to_thread(self.store.get, id)
        return row is not None and row.owner == owner

    def shows(self, blob: str, owner: str) -> bool:
        """Has a job of this user made the picture?"""
        mine = [entry for entry in self.entries.values() if entry.row.owner == owner]
        if any(blob in one.blobs() for entry in mine for one in (entry, *entry.items)):
            return True
        statement = "SELECT 1 FROM results JOIN jobs ON jobs.id = results.job WHERE blob=? AND owner=? LIMIT 1"
        return bool(self.store.select(statement, (blob, owner)))

    # -- changing

    async def cancel(self, id: str, chosen: Sequence[int] | None = None) -> JobShape:
        """Stop a job, or some of its items, at its next step; what waits ends at once; what is over stays as it is."""
        entry = self.entries.get(id)
        if entry is None:
            return await self.find(id)
        if entry.items or chosen is not None:
            return await self._cancel_items(entry, chosen)
        if entry in self.line:
            self.line.remove(entry)
            self._finish(entry, "cancelled")
        elif not entry.finished_state:
            entry.cancelled = True
            if entry.job is not None:
                await asyncio.to_thread(entry.job.cancel)
        return entry.shape(self.line.position(entry), whole=True)

    async def _cancel_items(self, entry: Entry, chosen: Sequence[int] | None) -> JobShape:
        wrong = [one for one in chosen or () if not 0 <= one < len(entry.items)]
        if wrong:
            raise fail("server.request", f"the job has no item {wrong[0]}", mend=f"it has {len(entry.items)} items")
        meant = [item for item in entry.items if chosen is None or item.index in chosen]
        waits = [item for item in meant if item in entry.todo]
        for item in waits:
            entry.todo.remove(item)
        if not entry.todo and entry in self.line:
            self.line.remove(entry)
        self._end_items(waits, "cancelled")
        for item in meant:
            if not item.finished_state:
                item.cancelled = True
                if item.job is not None and item in self.running:
                    await asyncio.to_thread(item.job.cancel)
        if all(item.finished_state for item in entry.items) and not entry.finished_state:
            self._finish_many(entry)
        return entry.shape(self.line.position(entry), whole=True)

    async def move(self, id: str, position: int, owner: str = "") -> JobShape:
        """Give a queued job another place; a user's, another among their own."""
        entry = self.entries.get(id)
        if entry is None:
            await self.find(id)  # says that there is none
        if entry is None or entry not in self.line:
            raise fail("server.conflict", "only a queued job has a place in the queue", mend="submit it anew")
        if owner:
            mine = [one for one in self.line.order() if one.row.owner == owner and one is not entry]
            if not mine:
                return entry.shape(self.line.position(entry), whole=True)
            others = [one for one in self.line.order() if one is not entry]
            spot = others.index(mine[min(max(position, 0), len(mine) - 1)]) + (position >= len(mine))
            self.line.jobs.remove(entry)
            self.line.jobs.insert(self.line.jobs.index(others[spot]) if spot < len(others) else len(others), entry)
        else:
            self.line.move(entry, position)
        await asyncio.to_thread(self.store.places, [(one.id, one.row.priority) for one in self.line])
        self._changed()
        return entry.shape(self.line.position(entry), whole=True)

    async def set_queue(self, paused: bool | None, clear: bool, owner: str = "") -> None:
        """Pause or go on; cancel everything that waits. A user clears what is theirs, and pauses nothing."""
        if owner and paused is not None:
            raise fail("server.forbidden", "the queue is everybody's", mend="ask the owner of the machine to pause it")
        if clear:
            for entry in self.line.clear(owner):
                if entry.started is None:
                    self._finish(entry, "cancelled")
                else:  # some of its items run: they go on
                    waits = [*entry.todo]
                    entry.todo.clear()
                    self._end_items(waits, "cancelled")
        if paused is not None:
            self.paused = paused
            await asyncio.to_thread(self.store.set_settings, {"queue.paused": paused})
        self._changed()
        self._fill()

    def _changed(self) -> None:
        record = {"event": "queue_changed", "paused": self.paused}
        order = self.line.order()
        self.hub.publish({**record, "waiting": [one.id for one in order]}, "")
        for owner in {one.row.owner for one in order} | {client.owner for client in self.hub.clients}:
            if owner:
                self.hub.tell({**record, "waiting": [one.id for one in order if one.row.owner == owner]}, owner)

    async def reload(self, load: Callable[[], Registry]) -> None:
        """Take up nodes that have changed, between two jobs: what runs goes on to its end with what it began with."""
        self._reloading = True
        try:
            while self.running and not self._closing:
                await asyncio.sleep(0.05)
            if not self._closing:
                await asyncio.to_thread(self.session.reload, load)
        finally:
            self._reloading = False
            self._fill()

    async def close(self) -> None:
        """Stop without ending anything: what ran is taken up by the next process."""
        self._closing = True
        await asyncio.to_thread(self.diary.close)
        begun = [one for one in self.running if one.started is not None]
        with contextlib.suppress(sqlite3.Error):
            self.store.put_down((one.row.id, one.index if one.parent is not None else None) for one in begun)
        if self._tasks:
            await asyncio.wait(self._tasks)


def _not_again(starts: int, what: str) -> Problem:
    return fail(
        "run.limit",
        f"the server ended {starts} times while this {what} ran; it is not tried again",
        mend="look at its last step, then submit it anew",
    ).problem
