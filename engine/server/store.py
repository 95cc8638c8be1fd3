"""Store: jobs in SQLite. What was accepted is never lost, whatever happens to the process.

A job is written before its reply is sent and again when it starts and ends, in WAL mode: a `kill -9` loses nothing
that was written. `results` says which pictures a job holds, so that one can be deleted when nobody holds it any more.

A database of an older Weft is brought forward, and what it was is kept beside it; one of a newer Weft is refused by
name; a damaged one is moved aside, and the server goes on with an empty one.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from engine.errors import fail

VERSION = 3
STARTS_LIMIT = 3  # a job that took the process with it this often is not tried again
# Version 1, and what each later version adds: a new database goes through all of them, as an old one does.
_SCHEMAS = (
    """
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
""",
    """
ALTER TABLE jobs ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN owner TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN client TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN shape TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN of TEXT;
CREATE INDEX jobs_by_shape ON jobs (shape, finished);
CREATE TABLE items (
    job TEXT NOT NULL, item INTEGER NOT NULL, state TEXT NOT NULL, sets TEXT NOT NULL, label TEXT NOT NULL,
    started REAL, finished REAL, starts INTEGER NOT NULL DEFAULT 0, found TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (job, item)
) WITHOUT ROWID;
CREATE TABLE tabs (
    owner TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, modified REAL NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (owner, name)
) WITHOUT ROWID;
CREATE TABLE users (
    name TEXT PRIMARY KEY, digest TEXT NOT NULL UNIQUE, created REAL NOT NULL, quota TEXT NOT NULL DEFAULT '{}'
) WITHOUT ROWID;
CREATE TABLE usage (owner TEXT, day TEXT, seconds REAL NOT NULL, PRIMARY KEY (owner, day)) WITHOUT ROWID;
CREATE TABLE hooks (
    job TEXT PRIMARY KEY, url TEXT NOT NULL, tries INTEGER NOT NULL DEFAULT 0, due REAL
) WITHOUT ROWID;
""",
    """
CREATE TABLE seen (
    owner TEXT NOT NULL, name TEXT NOT NULL, pictures TEXT NOT NULL, modified REAL NOT NULL, PRIMARY KEY (owner, name)
) WITHOUT ROWID;
CREATE INDEX seen_by_age ON seen (modified);
""",
)
_COLUMNS = (
    "id, key, digest, state, title, place, created, started, finished, starts, priority, owner, client, shape, of, "
    "request, resolved, drawn, found"
)
_TEXTS = 4  # so many of them, the last, are JSON


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
    priority: int = 0
    owner: str = ""
    client: str = ""
    shape: str = ""
    of: str | None = None
    request: dict[str, Any] = field(default_factory=dict)
    resolved: dict[str, Any] = field(default_factory=dict)
    drawn: dict[str, int] = field(default_factory=dict)
    found: dict[str, Any] = field(default_factory=dict)
    hook: str | None = field(default=None, metadata={"apart": True})  # a URL to tell; kept in a table of its own


@dataclass
class ItemRow:
    """One item of a job as it is kept: what it has of its own, and what came of it."""

    job: str
    item: int
    state: str
    sets: dict[str, Any]
    label: str
    started: float | None = None
    finished: float | None = None
    starts: int = 0
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
            if version < VERSION:
                self._bring_forward(db, version)
        except BaseException:
            db.close()
            raise
        return db

    def _bring_forward(self, db: sqlite3.Connection, version: int) -> None:
        """Add what later versions have; all of it or nothing. What an older Weft wrote is copied first."""
        if version and self.path is not None:
            copy = sqlite3.connect(self.path.with_name(f"{self.path.name}.version-{version}"))
            try:
                db.backup(copy)
            finally:
                copy.close()
        steps = "".join(_SCHEMAS[version:])
        db.executescript(f"BEGIN IMMEDIATE; {steps} PRAGMA user_version={VERSION}; COMMIT;")

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()

    # -- for the rooms that keep their own tables

    def select(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a question."""
        with self._lock:
            return self._db.execute(statement, values).fetchall()

    @contextlib.contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """Several changes, all of them or none. `place.write` when the disk is full."""
        with self._lock:
            try:
                with self._all():
                    yield self._db
            except sqlite3.OperationalError as error:
                raise fail(
                    "place.write", f"it cannot be kept: {error}", file=str(self.path), mend="make room on the disk"
                ) from error

    # -- jobs

    def add(self, row: Row, items: Sequence[ItemRow] = ()) -> None:
        """Keep a new job and its items. `place.write` when the disk is full: then it was not accepted."""
        plain = [getattr(row, entry.name) for entry in fields(Row) if "apart" not in entry.metadata]
        values = [*plain[:-_TEXTS], *(json.dumps(part) for part in plain[-_TEXTS:])]
        with self._lock:
            try:
                with self._all():
                    self._db.execute(f"INSERT INTO jobs ({_COLUMNS}) VALUES ({','.join('?' * len(values))})", values)
                    self._db.executemany(
                        "INSERT INTO items (job, item, state, sets, label) VALUES (?, ?, ?, ?, ?)",
                        [(one.job, one.item, one.state, json.dumps(one.sets), one.label) for one in items],
                    )
                    if row.hook is not None:
                        self._db.execute("INSERT INTO hooks (job, url) VALUES (?, ?)", (row.id, row.hook))
            except sqlite3.OperationalError as error:
                raise fail(
                    "place.write", f"the job cannot be kept: {error}", file=str(self.path), mend="make room on the disk"
                ) from error

    @contextlib.contextmanager
    def _all(self) -> Iterator[None]:
        """All of it or nothing; the lock is held already."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise

    def started(self, id: str, when: float) -> None:
        """The job runs."""
        self._change("UPDATE jobs SET state='running', started=?, starts=starts+1 WHERE id=?", (when, id))

    def state(self, id: str, state: str) -> None:
        """The job has this state."""
        self._change("UPDATE jobs SET state=? WHERE id=?", (state, id))

    def ended(self, id: str, state: str, when: float, found: Mapping[str, Any], blobs: Iterable[str]) -> None:
        """The job is over; what it found, and the pictures it holds."""
        with self._lock, self._all():
            self._db.execute(
                "UPDATE jobs SET state=?, finished=?, found=? WHERE id=?", (state, when, json.dumps(found), id)
            )
            self._hold(id, blobs)

    def _hold(self, id: str, blobs: Iterable[str]) -> None:
        self._db.executemany("INSERT OR IGNORE INTO results VALUES (?, ?)", [(blob, id) for blob in blobs])

    def places(self, order: Iterable[tuple[str, int]]) -> None:
        """The queue has this order, each job with its priority."""
        rows = [(float(place), priority, id) for place, (id, priority) in enumerate(order)]
        with self._lock, self._all():
            self._db.executemany("UPDATE jobs SET place=?, priority=? WHERE id=?", rows)

    def put_down(self, running: Iterable[tuple[str, int | None]]) -> None:
        """The process ends as it was asked to: what ran (a job, or one of its items) did not take it along."""
        with self._lock, self._all():
            for job, item in running:
                if item is None:
                    statement = "UPDATE jobs SET starts=MAX(starts-1, 0) WHERE id=? AND finished IS NULL"
                    self._db.execute(statement, (job,))
                else:
                    statement = "UPDATE items SET starts=MAX(starts-1, 0) WHERE job=? AND item=? AND finished IS NULL"
                    self._db.execute(statement, (job, item))

    # -- items

    def items(self, job: str) -> list[ItemRow]:
        """Every item of a job, in order."""
        with self._lock:
            rows = self._db.execute(
                "SELECT job, item, state, sets, label, started, finished, starts, found FROM items WHERE job=? "
                "ORDER BY item",
                (job,),
            ).fetchall()
        return [
            ItemRow(job, item, state, json.loads(sets), label, started, finished, starts, json.loads(found))
            for job, item, state, sets, label, started, finished, starts, found in rows
        ]

    def item_started(self, job: str, item: int, when: float) -> None:
        """An item runs, and with it its job."""
        with self._lock, self._all():
            self._db.execute(
                "UPDATE items SET state='running', started=?, starts=starts+1 WHERE job=? AND item=?", (when, job, item)
            )
            self._db.execute("UPDATE jobs SET state='running', started=COALESCE(started, ?) WHERE id=?", (when, job))

    def items_ended(
        self, job: str, items: Iterable[int], state: str, when: float, found: Mapping[str, Any], blobs: Iterable[str]
    ) -> None:
        """Items are over; what they found, and the pictures that the job holds by them."""
        text = json.dumps(found)
        with self._lock, self._all():
            self._db.executemany(
                "UPDATE items SET state=?, finished=?, found=? WHERE job=? AND item=?",
                [(state, when, text, job, item) for item in items],
            )
            self._hold(job, blobs)

    # -- looking

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

    def history(self, before: float | None, limit: int, owner: str = "", words: Sequence[str] = ()) -> list[Row]:
        """Finished jobs, newest first; of a user, what is theirs; with `words`, those whose graph or items have them.

        A word is lower case, and may be found in a place that does not count (a key of the JSON): look again.
        """
        mine, values = ("AND owner=?", [owner]) if owner else ("", [])
        for word in words:
            mine += (
                " AND (instr(lower(title), ?) OR instr(lower(resolved), ?) OR EXISTS"
                " (SELECT 1 FROM items WHERE items.job = jobs.id AND instr(lower(items.sets), ?)))"
            )
            written = json.dumps(word)[1:-1]  # JSON in the database has escapes for what is not ASCII
            values += [word, written, written]
        return self._rows(
            f"WHERE finished IS NOT NULL AND finished < ? {mine} ORDER BY finished DESC LIMIT ?",
            (before if before is not None else 1e18, *values, limit),
        )

    def counts(self, jobs: Sequence[str]) -> dict[str, dict[str, int]]:
        """How many items of each job are in which state; nothing for a job without items."""
        found: dict[str, dict[str, int]] = {}
        with self._lock:
            for job in jobs:
                rows = self._db.execute("SELECT state, COUNT(*) FROM items WHERE job=? GROUP BY state", (job,))
                if counted := dict(rows.fetchall()):
                    found[job] = counted
        return found

    def like(self, shape: str, limit: int, owner: str = "") -> list[Row]:
        """Jobs whose graph has this form, newest first; also those of an older Weft, whose form is not known."""
        mine, values = ("AND owner=?", (owner,)) if owner else ("", ())
        return self._rows(f"WHERE shape IN (?, '') {mine} ORDER BY created DESC LIMIT ?", (shape, *values, limit))

    def delete(self, id: str) -> list[str]:
        """Forget a job; the pictures that nobody holds any more."""
        with self._lock:
            held = [blob for (blob,) in self._db.execute("SELECT blob FROM results WHERE job=?", (id,))]
            self._db.execute("DELETE FROM results WHERE job=?", (id,))
            for table in ("items", "hooks"):
                self._db.execute(f"DELETE FROM {table} WHERE job=?", (id,))
            self._db.execute("DELETE FROM jobs WHERE id=?", (id,))
            return [
                blob
                for blob in held
                if self._db.execute("SELECT 1 FROM results WHERE blob=? LIMIT 1", (blob,)).fetchone() is None
            ]

    def forget_item(self, job: str, item: int, kept: Set[str]) -> list[str]:
        """Forget an item's pictures but those in `kept`, which others of the job show; what nobody holds any more."""
        with self._lock, self._all():
            row = self._db.execute("SELECT found FROM items WHERE job=? AND item=?", (job, item)).fetchone()
            if row is None:
                return []
            self._db.execute("UPDATE items SET found='{}' WHERE job=? AND item=?", (job, item))
            whole = json.loads(self._db.execute("SELECT found FROM jobs WHERE id=?", (job,)).fetchone()[0])
            held = [blob for (blob,) in self._db.execute("SELECT blob FROM results WHERE job=?", (job,))]
            gone = [blob for blob in held if blob not in kept]
            self._db.execute("UPDATE jobs SET found=? WHERE id=?", (json.dumps(_without(whole, set(gone))), job))
            self._db.executemany("DELETE FROM results WHERE job=? AND blob=?", [(job, blob) for blob in gone])
            return [
                blob
                for blob in gone
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
        return [Row(*row[:-_TEXTS], *map(json.loads, row[-_TEXTS:])) for row in rows]

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


def _without(found: Any, blobs: Set[str]) -> Any:
    """What a job found, but for these pictures."""
    if isinstance(found, list):
        return [_without(one, blobs) for one in found if not (isinstance(one, dict) and one.get("blob") in blobs)]
    if isinstance(found, dict):
        return {name: _without(one, blobs) for name, one in found.items()}
    return found
