"""Album: the pictures that values were shown as, by the names that values have before they exist.

An id says what a value will be, so a picture seen under it once is what a graph that comes to it again would show:
a plan can carry its pictures, whether or not the value itself is still cached, and nothing runs for it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from engine.server.blobs import Blobs
from engine.server.codec import decode, encode
from engine.server.shapes import Blob
from engine.server.store import Store
from engine.sockets import holes

KEPT = 20_000  # values whose pictures are remembered
SPARE = 500  # the oldest are forgotten so many at a time
_MOST = 500  # names in one question


def name_of(template: Any) -> str:
    """The name of what stands at an output, from the ids in its template; "" where nothing is to be computed."""
    ids = [(ref.id, ref.path) for ref in holes(template)]
    return hashlib.blake2b(str(ids).encode(), digest_size=16).hexdigest() if ids and all(id for id, _ in ids) else ""


class Album:
    """What was seen, for each owner apart. All methods may be called from any thread."""

    def __init__(self, store: Store, blobs: Blobs) -> None:
        """Keep it in the store's database."""
        self.store = store
        self.blobs = blobs
        ((self._count,),) = store.select("SELECT count(*) FROM seen")

    def keep(self, owner: str, name: str, pictures: list[Blob]) -> None:
        """Remember what a value was shown as."""
        if not name or not pictures:
            return
        with self.store.change() as db:
            row = (owner, name, json.dumps(encode(pictures)), time.time())
            db.execute("INSERT OR REPLACE INTO seen (owner, name, pictures, modified) VALUES (?, ?, ?, ?)", row)
            self._count += 1
            if self._count > KEPT + SPARE:
                db.execute(
                    "DELETE FROM seen WHERE (owner, name) IN (SELECT owner, name FROM seen ORDER BY modified LIMIT ?)",
                    (self._count - KEPT,),
                )
                self._count = KEPT

    def find(self, owner: str, names: Iterable[str]) -> Mapping[str, list[Blob]]:
        """The pictures of those that were seen and are still there."""
        wanted = sorted({name for name in names if name})
        found: dict[str, list[Blob]] = {}
        for at in range(0, len(wanted), _MOST):
            some = wanted[at : at + _MOST]
            marks = ", ".join("?" * len(some))
            statement = f"SELECT name, pictures FROM seen WHERE owner=? AND name IN ({marks})"
            for name, text in self.store.select(statement, (owner, *some)):
                pictures = [decode(Blob, record) for record in json.loads(text)]
                if all(self.blobs.find(one.blob) for one in pictures):
                    found[name] = pictures
        return found
