"""Running: jobs taken up, begun, and followed to their end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable
from typing import Any

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
from engine.registry import Registry
from engine.server.book.ending import Ending
from engine.server.codec import encode
from engine.server.entry import Entry
from engine.server.store import STARTS_LIMIT, Row
from engine.session import Job

LOG = logging.getLogger("weft.server")
WIDTH = 2  # jobs under way at once; the device still runs one step at a time

_STEP_OVER = (StepFinished, StepHit, StepFailed, StepBlocked, StepCancelled)


class Running(Ending):
    """The part of the book between the queue and the session."""

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

    def _fill(self) -> None:
        """Start what may start."""
        while not (self.paused or self._closing or self._reloading) and len({*self.running.values()}) < WIDTH:
            turn = self.line.next()
            if not turn:
                return
            self._turn += 1
            self.running.update(dict.fromkeys(turn, self._turn))
            task = asyncio.get_running_loop().create_task(self._start(turn))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _start(self, turn: list[Entry]) -> None:
        try:
            whole, failed = await asyncio.to_thread(self._make_ready, turn)
        except Exception as error:
            LOG.exception("job %s cannot be started", turn[0].id)
            problem = fail("node.raised", f"the engine failed: {type(error).__name__}: {error}").problem
            whole, failed = None, dict.fromkeys(turn, (problem,))
        for entry, problems in failed.items():
            self._fail(entry, problems)
        if whole is None or self._closing:
            return
        left = [entry for entry in turn if entry not in failed]
        for entry in left:
            if entry.cancelled and entry.job is not None:
                entry.job.cancel()
        if not all(entry.cancelled for entry in left):
            self.session.begin(whole)

    def _make_ready(self, turn: list[Entry]) -> tuple[Job | None, dict[Entry, tuple[Problem, ...]]]:
        """The engine's job of a turn, ready to begin; and what is wrong with those of it that cannot."""
        whole, failed = self._made(turn)
        for entry in turn:
            if entry in failed:
                continue
            entry.started = time.time()
            if entry.parent is not None:
                self.store.item_started(entry.row.id, entry.index, entry.started)
            else:
                self.store.started(entry.id, entry.started)
        return whole, failed

    def _made(self, turn: list[Entry]) -> tuple[Job | None, dict[Entry, tuple[Problem, ...]]]:
        first = turn[0]
        if first.parent is not None and first.parent.together > 1:
            try:
                return self.desk.together(turn), {}
            except WeftError as error:
                found = {entry: self.desk.wrong(entry) for entry in turn}
                failed = {entry: wrong for entry, wrong in found.items() if wrong} or {first: error.problems}
            rest = [entry for entry in turn if entry not in failed]
            whole, more = self._made(rest) if rest else (None, {})
            return whole, {**failed, **more}
        try:
            if not isinstance(first.job, Job) or first.job.registry is not self.session.engine.registry:
                first.job = self.desk.again(first)
        except WeftError as error:
            return None, {first: error.problems}
        return first.job, {}

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
