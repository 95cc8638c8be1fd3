"""Records: what outlives a process – the trace table, receipts of effects, measured seconds, pictures of the last plan.

* *traces*: (step key, output) -> the template of a cut-off output. They outlive the value: a plan can pass a cut-off
  step without running it, even when its value is long gone.
* *receipts*: the key of an effect -> the files it wrote, with their hashes.
* *seconds*: (node, numerics) -> how long it takes per unit of work, a moving average.
* *peaks*: (node, numerics, amount of work) -> how much memory was in use at most while it ran, the newest measurement.
* *before*: (workflow, path) -> the digests of its inputs at the last run, so that a plan can say which input changed.

SQLite in WAL mode, safe for several processes; in memory for tests and notebooks. What cannot be written (a full disk,
a damaged file, a lock that somebody keeps) is remembered for as long as the process lives, and costs no run anything.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.errors import fail

VERSION = 1
PAUSE = 60.0  # seconds after which records that could not be written are tried again

_SCHEMA = """
CREATE TABLE IF NOT EXISTS traces (key TEXT PRIMARY KEY, template TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS receipts (key TEXT PRIMARY KEY, files TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seconds (key TEXT PRIMARY KEY, rate REAL NOT NULL, count INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS peaks (key TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seeds (flow TEXT, input TEXT, seed TEXT NOT NULL, PRIMARY KEY (flow, input)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS before (flow TEXT, path TEXT, inputs TEXT NOT NULL, PRIMARY KEY (flow, path)) WITHOUT ROWID;
DROP TABLE IF EXISTS last;
"""


def _text(name: str) -> str:
    """A name as SQLite can hold it: half a surrogate pair (an odd file name, an odd title) becomes its escape."""
    return name.encode("utf-8", "backslashreplace").decode()


def _signed(key: str, template: str) -> str:
    """A trace with its digest: SQLite has none, and a wrong one would be a wrong picture."""
    return f"{template}\n{hashlib.blake2b(f'{key}{template}'.encode(), digest_size=8).hexdigest()}"


class Records:
    """One small database. All methods may be called from any thread."""

    def __init__(self, path: Path | None = None) -> None:
        """Open (or make) the database at `path`; in memory without one."""
        self._lock = threading.Lock()
        self.path = path
        self.problem = ""  # why nothing is written at the moment, if it is so
        self._aside: sqlite3.Connection | None = None  # what could not be written
        self._resume_at = 0.0
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._db = _open(str(path) if path else ":memory:")
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                self._db.close()
                raise OSError(f"a newer Weft made them (version {version}, this one knows {VERSION})")
            if path is not None:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=NORMAL")
                self._db.execute("PRAGMA busy_timeout=5000")
            self._db.executescript(_SCHEMA)
            if version < VERSION:
                self._db.execute(f"PRAGMA user_version={VERSION}")
        except (OSError, sqlite3.Error) as error:
            raise fail(
                "place.write",
                f"the engine's records at {path} cannot be opened: {error}",
                mend="remove or free the file",
            ) from error

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()
            if self._aside is not None:
                self._aside.close()

    # -- reading and writing; callers hold the lock

    def _rows(self, sql: str, *names: str) -> list[Any]:
        """What was kept aside, which is newer, else what the database has; nothing where that cannot be read."""
        for db in (self._aside, self._db):
            if db is None:
                continue
            try:
                rows = db.execute(sql, names).fetchall()
            except sqlite3.Error as error:
                self.problem = str(error)
                continue
            if rows:
                return rows
        return []

    def _write(self, *statements: tuple[str, Iterable[Sequence[Any]]]) -> None:
        """Write all or nothing; aside, as long as the database cannot be written."""
        work = [(sql, list(rows)) for sql, rows in statements]
        if not self.problem or time.monotonic() >= self._resume_at:
            try:
                _transact(self._db, work)
                self.problem = ""
            except sqlite3.Error as error:
                self.problem = str(error)
                self._resume_at = time.monotonic() + PAUSE
                if self._aside is None:
                    self._aside = _open(":memory:")
                    self._aside.executescript(_SCHEMA)
        if self._aside is not None:
            _transact(self._aside, work)

    # -- traces

    def trace(self, key: str) -> str | None:
        """The template of a cut-off output, as text."""
        with self._lock:
            return self._trace(key)

    def _trace(self, key: str) -> str | None:
        rows = self._rows("SELECT template FROM traces WHERE key = ?", key)
        template = rows[0][0].rpartition("\n")[0] if rows else ""
        return template if rows and _signed(key, template) == rows[0][0] else None

    def add_trace(self, key: str, template: str) -> bool:
        """Remember a template; says whether it is the one known before."""
        with self._lock:
            before = self._trace(key)
            self._write(("INSERT OR REPLACE INTO traces VALUES (?, ?)", [(key, _signed(key, template))]))
        return before == template

    # -- receipts

    def receipt(self, key: str) -> list[tuple[str, str]]:
        """The files an effect wrote, as (absolute path, content id); empty when it never ran."""
        with self._lock:
            rows = self._rows("SELECT files FROM receipts WHERE key = ?", key)
        return [(file, content) for file, content in json.loads(rows[0][0])] if rows else []

    def add_receipt(self, key: str, files: Sequence[tuple[str, str]]) -> None:
        """Remember what an effect wrote."""
        with self._lock:
            self._write(("INSERT OR REPLACE INTO receipts VALUES (?, ?)", [(key, json.dumps(list(files)))]))

    # -- seconds

    def rate(self, key: str) -> float | None:
        """Seconds per unit of work, if the node was ever measured under these numerics."""
        with self._lock:
            rows = self._rows("SELECT rate FROM seconds WHERE key = ?", key)
        return rows[0][0] if rows else None

    def add_seconds(self, key: str, seconds: float, work: float = 1.0) -> None:
        """Fold a measurement into the moving average; the newest counts 30 %."""
        rate = seconds / work if work > 0 else seconds
        with self._lock:
            rows = self._rows("SELECT rate, count FROM seconds WHERE key = ?", key)
            before, count = rows[0] if rows else (rate, 0)
            # The first measurement holds the loading of weights: the second replaces it.
            mixed = rate if count < 2 else 0.7 * before + 0.3 * rate
            self._write(("INSERT OR REPLACE INTO seconds VALUES (?, ?, ?)", [(key, mixed, count + 1)]))

    # -- memory

    def peak(self, key: str, work: float) -> int | None:
        """The most memory in use while a node ran under these numerics: with as much work, else the time before."""
        with self._lock:
            sql = "SELECT bytes FROM peaks WHERE key = ?"
            rows = self._rows(sql, f"{key}|{work:g}") or self._rows(sql, key)
        return rows[0][0] if rows else None

    def add_peak(self, key: str, work: float, peak: int) -> None:
        """Remember a measurement, by its work and as the newest."""
        with self._lock:
            rows = [(f"{key}|{work:g}", peak), (key, peak)]
            self._write(("INSERT OR REPLACE INTO peaks VALUES (?, ?)", rows))

    # -- the seeds drawn last

    def seed(self, flow: str, name: str) -> int | None:
        """The seed that `node.input` of a workflow was last run with."""
        with self._lock:
            rows = self._rows("SELECT seed FROM seeds WHERE flow = ? AND input = ?", _text(flow), _text(name))
        return int(rows[0][0]) if rows else None

    def set_seed(self, flow: str, name: str, seed: int) -> None:
        """Remember it; as text, because SQLite's integers end at 2**63."""
        with self._lock:
            self._write(("INSERT OR REPLACE INTO seeds VALUES (?, ?, ?)", [(_text(flow), _text(name), str(seed))]))

    # -- what changed since the last run

    def last(self, flow: str) -> dict[str, dict[str, str]]:
        """The input digests of every step of a workflow at its last run: path -> input -> digest."""
        with self._lock:
            rows = self._rows("SELECT path, inputs FROM before WHERE flow = ?", _text(flow))
        return {json.loads(path): json.loads(inputs) for path, inputs in rows}

    def set_last(self, flow: str, steps: Mapping[str, Mapping[str, str]]) -> None:
        """Remember them."""
        rows = [(_text(flow), json.dumps(path), json.dumps(inputs)) for path, inputs in steps.items()]
        with self._lock:
            self._write(
                ("DELETE FROM before WHERE flow = ?", [(_text(flow),)]),
                ("INSERT INTO before VALUES (?, ?, ?)", rows),
            )


def _open(name: str) -> sqlite3.Connection:
    return sqlite3.connect(name, check_same_thread=False, isolation_level=None)


def _transact(db: sqlite3.Connection, work: Sequence[tuple[str, Sequence[Sequence[Any]]]]) -> None:
    """Every statement, or none."""
    if len(work) == 1 and len(work[0][1]) == 1:
        db.execute(work[0][0], work[0][1][0])
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        for sql, rows in work:
            db.executemany(sql, rows)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
