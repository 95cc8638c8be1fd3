"""Ending: how a job or an item is over, whoever ended it."""

from __future__ import annotations

import logging
import sqlite3
import time
from abc import abstractmethod
from collections.abc import Sequence

from engine.errors import Problem, WeftError
from engine.server.book.ledger import RECENT, Ledger
from engine.server.codec import encode
from engine.server.entry import Entry

LOG = logging.getLogger("weft.server")


class Ending(Ledger):
    """The part of the book that writes ends down and tells them."""

    @abstractmethod
    def _fill(self) -> None:
        """Start what may start."""

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
        self.running.pop(entry, None)
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
