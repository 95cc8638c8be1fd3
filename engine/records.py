"""Records: what outlives a process – the trace table, receipts of effects, measured seconds, pictures of the last plan.

* *traces*: (step key, output) -> the template of a cut-off output. They outlive the value: a plan can pass a cut-off
  step without running it, even when its value is long gone.
* *receipts*: the key of an effect -> the files it wrote, with their hashes.
* *seconds*: (node, numerics) -> how long it takes per unit of work, a moving average.
* *peaks*: (node, numerics, amount of work) -> how much memory was in use at most while it ran, the newest measurement.
* *before*: (workflow, path) -> the digests of its inputs at the last run, so that a plan can say which input changed.

SQLite in WAL mode, safe for several processes; in memory for tests and notebooks.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.errors import fail

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


class Records:
    """One small database. All methods may be called from any thread."""

    def __init__(self, path: Path | None = None) -> None:
        """Open (or make) the database at `path`; in memory without one."""
        self._lock = threading.Lock()
        self.path = path
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(str(path) if path else ":memory:", check_same_thread=False, isolation_level=None)
            if path is not None:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=NORMAL")
                self._db.execute("PRAGMA busy_timeout=5000")
            self._db.executescript(_SCHEMA)
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

    # -- traces

    def trace(self, key: str) -> str | None:
        """The template of a cut-off output, as text."""
        with self._lock:
            row = self._db.execute("SELECT template FROM traces WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def add_trace(self, key: str, template: str) -> bool:
        """Remember a template; says whether it is the one known before."""
        with self._lock:
            row = self._db.execute("SELECT template FROM traces WHERE key = ?", (key,)).fetchone()
            self._db.execute("INSERT OR REPLACE INTO traces VALUES (?, ?)", (key, template))
        return row is not None and row[0] == template

    # -- receipts

    def receipt(self, key: str) -> list[tuple[str, str]]:
        """The files an effect wrote, as (absolute path, content id); empty when it never ran."""
        with self._lock:
            row = self._db.execute("SELECT files FROM receipts WHERE key = ?", (key,)).fetchone()
        return [(file, content) for file, content in json.loads(row[0])] if row else []

    def add_receipt(self, key: str, files: Sequence[tuple[str, str]]) -> None:
        """Remember what an effect wrote."""
        with self._lock:
            self._db.execute("INSERT OR REPLACE INTO receipts VALUES (?, ?)", (key, json.dumps(list(files))))

    # -- seconds

    def rate(self, key: str) -> float | None:
        """Seconds per unit of work, if the node was ever measured under these numerics."""
        with self._lock:
            row = self._db.execute("SELECT rate FROM seconds WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def add_seconds(self, key: str, seconds: float, work: float = 1.0) -> None:
        """Fold a measurement into the moving average; the newest counts 30 %."""
        rate = seconds / work if work > 0 else seconds
        with self._lock:
            row = self._db.execute("SELECT rate, count FROM seconds WHERE key = ?", (key,)).fetchone()
            # The first measurement holds the loading of weights: the second replaces it.
            mixed = rate if row is None or row[1] == 1 else 0.7 * row[0] + 0.3 * rate
            count = (row[1] if row else 0) + 1
            self._db.execute("INSERT OR REPLACE INTO seconds VALUES (?, ?, ?)", (key, mixed, count))

    # -- memory

    def peak(self, key: str, work: float) -> int | None:
        """The most memory in use while a node ran under these numerics: with as much work, else the time before."""
        with self._lock:
            rows = self._db.execute("SELECT key, bytes FROM peaks WHERE key IN (?, ?)", (f"{key}|{work:g}", key))
            found = dict(rows.fetchall())
        return found.get(f"{key}|{work:g}", found.get(key))

    def add_peak(self, key: str, work: float, peak: int) -> None:
        """Remember a measurement, by its work and as the newest."""
        with self._lock:
            rows = [(f"{key}|{work:g}", peak), (key, peak)]
            self._db.executemany("INSERT OR REPLACE INTO peaks VALUES (?, ?)", rows)

    # -- the seeds drawn last

    def seed(self, flow: str, name: str) -> int | None:
        """The seed that `node.input` of a workflow was last run with."""
        with self._lock:
            names = (_text(flow), _text(name))
            row = self._db.execute("SELECT seed FROM seeds WHERE flow = ? AND input = ?", names).fetchone()
        return int(row[0]) if row else None

    def set_seed(self, flow: str, name: str, seed: int) -> None:
        """Remember it; as text, because SQLite's integers end at 2**63."""
        with self._lock:
            self._db.execute("INSERT OR REPLACE INTO seeds VALUES (?, ?, ?)", (_text(flow), _text(name), str(seed)))

    # -- what changed since the last run

    def last(self, flow: str) -> dict[str, dict[str, str]]:
        """The input digests of every step of a workflow at its last run: path -> input -> digest."""
        with self._lock:
            rows = self._db.execute("SELECT path, inputs FROM before WHERE flow = ?", (_text(flow),)).fetchall()
        return {json.loads(path): json.loads(inputs) for path, inputs in rows}

    def set_last(self, flow: str, steps: Mapping[str, Mapping[str, str]]) -> None:
        """Remember them."""
        rows = [(_text(flow), json.dumps(path), json.dumps(inputs)) for path, inputs in steps.items()]
        with self._lock:
            self._db.execute("BEGIN")
            self._db.execute("DELETE FROM before WHERE flow = ?", (_text(flow),))
            self._db.executemany("INSERT INTO before VALUES (?, ?, ?)", rows)
            self._db.execute("COMMIT")
