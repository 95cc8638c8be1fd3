"""Main: the book itself – accepting jobs, and changing what becomes of them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace

from engine.errors import fail
from engine.server.blobs import Blobs
from engine.server.book.ledger import MOST
from engine.server.book.running import Running
from engine.server.codec import encode
from engine.server.desk import NOBODY, Sender
from engine.server.entry import Entry, shape_of
from engine.server.hooks import Hooks
from engine.server.hub import Hub
from engine.server.shapes import FinishRequest, ItemsRequest, JobRequest, JobShape
from engine.server.store import Row, Store
from engine.server.users import Users
from engine.session import Session


class Book(Running):
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
        super().__init__(session, hub, store, blobs, hooks, users, most)
        for row in store.open_jobs():
            self._take_up(row)
        self._fill()

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
