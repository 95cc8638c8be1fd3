"""Store: jobs in SQLite. What was accepted is never lost, whatever happens to the process.

A job is written before its reply is sent and again when it starts and ends, in WAL mode: a `kill -9` loses nothing
that was written. `results` says which pictures a job holds, so that one can be deleted when nobody holds it any more.

A database of a newer Weft is refused by name; a damaged one is moved aside, and the server goes on with an empty one.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import fail

VERSION = 1
STARTS_LIMIT = 3  # a job that took the process with it this often is not tried again
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, key TEXT UNIQUE, digest TEXT NOT NULL DEFAULT '', state TEXT NOT NULL, title TEXT NOT NULL,
    place REAL NOT NULL, created REAL NOT NULL, started REAL, finished REAL, starts INTEGER NOT NULL DEFAULT 0,
    request TEXT NOT NULL, resolved TEXT NOT NULL, drawn TEXT NOT NULL, found TEXT NOT NULL DEFAULT '{}'
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, place);
CREATE INDEX IF NOT EXISTS jobs_by_end ON jobs (finished);
CREATE TABLE IF NOT EXISTS results (blob TEXT, job TEXT, PRIMARY KEY (blob, job)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS results_by_job ON results (job);
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
_COLUMNS = "id, key, digest, state, title, place, created, started, finished, starts, request, resolved, drawn, found"


@dataclass
class Row:
    """A job as it is kept. `request` is what was asked, `resolved` the workflow with every value it runs with.

    `found` is what came of it: problems, outputs, values, files, pictures.
    """

    id: str
    key: str | None
    digest: str
    state: str
    title: str
    place: float
    created: float
    started: float | None = None
    finished: float | None = None
    starts: int = 0
    request: dict[str, Any] = field(default_factory=dict)
    resolved: dict[str, Any] = field(default_factory=dict)
    drawn: dict[str, int] = field(default_factory=dict)
    found: dict[str, Any] = field(default_factory=dict)


class Store:
    """One small database. All methods may be called from any thread."""

    def __init__(self, path: Path | None = None) -> None:
        """Open (or make) the database; in memory without a path. `moved` names a damaged one that was put aside."""
        self.path = path
        self.moved: Path | None = None
        self._lock = threading.Lock()
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._db = self._open()
            except sqlite3.DatabaseError as error:
                if path is None or isinstance(error, sqlite3.OperationalError):
                    raise
                self.moved = path.with_name(f"{path.name}.damaged-{int(time.time())}")
                path.replace(self.moved)
                for rest in ("-wal", "-shm"):
                    path.with_name(path.name + rest).unlink(missing_ok=True)
                self._db = self._open()
        except (OSError, sqlite3.Error) as error:
            raise fail(
                "place.write", f"the database of jobs cannot be opened: {error}", file=str(path), mend="free the file"
            ) from error

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(str(self.path) if self.path else ":memory:", check_same_thread=False, isolation_level=None)
        try:
            db.execute("PRAGMA busy_timeout=5000")
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version > VERSION:
                raise fail(
                    "file.version",
                    f"the database of jobs has version {version}, this Weft knows up to {VERSION}",
                    file=str(self.path),
                    mend="update weft, or move the file away to begin anew",
                )
            if self.path is not None:
                db.execute("PRAGMA journal_mode=WAL")
                db.execute("PRAGMA synchronous=NORMAL")
            db.executescript(_SCHEMA)
            db.execute(f"PRAGMA user_version={VERSION}")
        except BaseException:
            db.close()
            raise
        return db

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()

    # -- jobs

    def add(self, row: Row) -> None:
        """Keep a new job. `place.write` when the disk is full: then it was not accepted."""
        values = (row.id, row.key, row.digest, row.state, row.title, row.place, row.created, row.started, row.finished)
        texts = [json.dumps(part) for part in (row.request, row.resolved, row.drawn, row.found)]
        with self._lock:
            try:
                self._db.execute(
                    f"INSERT INTO jobs ({_COLUMNS}) VALUES ({','.join('?' * 14)})", (*values, row.starts, *texts)
                )
            except sqlite3.OperationalError as error:
                raise fail(
                    "place.write", f"the job cannot be kept: {error}", file=str(self.path), mend="make room on the disk"
                ) from error

    def started(self, id: str, when: float) -> None:
        """The job runs."""
        self._change("UPDATE jobs SET state='running', started=?, starts=starts+1 WHERE id=?", (when, id))

    def state(self, id: str, state: str) -> None:
        """The job has this state."""
        self._change("UPDATE jobs SET state=? WHERE id=?", (state, id))

    def ended(self, id: str, state: str, when: float, found: Mapping[str, Any], blobs: Iterable[str]) -> None:
        """The job is over; what it found, and the pictures it holds."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.execute(
                    "UPDATE jobs SET state=?, finished=?, found=? WHERE id=?", (state, when, json.dumps(found), id)
                )
                self._db.executemany("INSERT OR IGNORE INTO results VALUES (?, ?)", [(blob, id) for blob in blobs])
                self._db.execute("COMMIT")
            except sqlite3.Error:
                self._db.execute("ROLLBACK")
                raise

    def places(self, order: Iterable[str]) -> None:
        """The queue has this order."""
        rows = [(float(place), id) for place, id in enumerate(order)]
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("UPDATE jobs SET place=? WHERE id=?", rows)
            self._db.execute("COMMIT")

    def get(self, id: str) -> Row | None:
        """A job by its id."""
        return next(iter(self._rows("WHERE id=?", (id,))), None)

    def by_key(self, key: str) -> Row | None:
        """The job that was accepted under an idempotency key."""
        return next(iter(self._rows("WHERE key=?", (key,))), None)

    def open_jobs(self) -> list[Row]:
        """What was not over when the process ended: first what ran, then what waited, in order."""
        order = "ORDER BY state = 'queued', place, created"
        return self._rows(f"WHERE state IN ('queued', 'running', 'interrupted') AND finished IS NULL {order}", ())

    def history(self, before: float | None, limit: int) -> list[Row]:
        """Finished jobs, newest first."""
        return self._rows(
            "WHERE finished IS NOT NULL AND finished < ? ORDER BY finished DESC LIMIT ?",
            (before if before is not None else 1e18, limit),
        )

    def delete(self, id: str) -> list[str]:
        """Forget a job; the pictures that nobody holds any more."""
        with self._lock:
            held = [blob for (blob,) in self._db.execute("SELECT blob FROM results WHERE job=?", (id,))]
            self._db.execute("DELETE FROM results WHERE job=?", (id,))
            self._db.execute("DELETE FROM jobs WHERE id=?", (id,))
            return [
                blob
                for blob in held
                if self._db.execute("SELECT 1 FROM results WHERE blob=? LIMIT 1", (blob,)).fetchone() is None
            ]

    def surplus(self, keep: int) -> list[str]:
        """The finished jobs beyond the newest `keep`."""
        with self._lock:
            rows = self._db.execute(
                "SELECT id FROM jobs WHERE finished IS NOT NULL ORDER BY finished DESC LIMIT -1 OFFSET ?", (keep,)
            ).fetchall()
        return [id for (id,) in rows]

    def _change(self, statement: str, values: tuple[Any, ...]) -> None:
        with self._lock:
            self._db.execute(statement, values)

    def _rows(self, tail: str, values: tuple[Any, ...]) -> list[Row]:
        with self._lock:
            rows = self._db.execute(f"SELECT {_COLUMNS} FROM jobs {tail}", values).fetchall()
        return [Row(*row[:10], *(json.loads(text) for text in row[10:])) for row in rows]

    # -- settings

    def settings(self) -> dict[str, Any]:
        """Everything that is remembered, by name."""
        with self._lock:
            rows = self._db.execute("SELECT name, value FROM settings").fetchall()
        return {name: json.loads(value) for name, value in rows}

    def set_settings(self, values: Mapping[str, Any]) -> None:
        """Remember; None forgets."""
        with self._lock:
            for name, value in values.items():
                if value is None:
                    self._db.execute("DELETE FROM settings WHERE name=?", (name,))
                else:
                    self._db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, json.dumps(value)))
