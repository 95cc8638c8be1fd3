"""Ledger: every job at hand, and what may be asked about one."""

from __future__ import annotations

import asyncio
import functools
from abc import ABC, abstractmethod
from collections import OrderedDict
from typing import Any
from weakref import WeakValueDictionary

from engine.errors import fail
from engine.events import Event
from engine.places import Places
from engine.server.blobs import Blobs
from engine.server.counts import Counts
from engine.server.desk import Desk
from engine.server.diary import Diary
from engine.server.entry import Entry, shape_of
from engine.server.hooks import Hooks
from engine.server.hub import Hub
from engine.server.line import Line
from engine.server.shapes import JobShape
from engine.server.store import Store
from engine.server.tracing import Tracing
from engine.server.users import Users, places_of
from engine.session import Job, Session
from engine.session.together import Part

MOST = 10_000  # jobs that may wait
RECENT = 200  # finished jobs kept at hand


class Ledger(ABC):
    """The jobs that are open or ended lately, and the rooms that a job passes through."""

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
        """Nothing is taken up yet."""
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
        self.running: dict[Entry, int] = {}  # and the turn with which each began: items that share work have one
        self._turn = 0
        self._keys: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._reloading = False

    @abstractmethod
    def _told(self, entry: Entry, event: Event, records: list[dict[str, Any]]) -> None:
        """A durable event has come through the diary."""

    def places(self, owner: str) -> Places:
        """The folders of a user, or of the owner of the machine."""
        return places_of(self.session.engine.places, owner)

    def _follow(self, entry: Entry, job: Job | Part) -> None:
        job.follow(functools.partial(self.diary.follow, entry), lambda: self.hub.watched)

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
