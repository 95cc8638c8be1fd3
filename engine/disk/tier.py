"""Tier: values by id in files; one writer thread, any number of readers, several processes in one folder."""

from __future__ import annotations

import contextlib
import json
import math
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.disk.codec import decode, encode, read_metadata
from engine.errors import WeftError
from engine.places import Places, write_atomic
from engine.registry import Registry
from engine.values import content, leaving, nbytes, summary

FORMAT = "1"
MIN_SECONDS = 0.05
WEEK = 7 * 24 * 3600.0
DEFAULT_LIMIT = 4 * 2**30
QUEUE_BYTES = 512 * 2**20  # values that wait to be written are held in memory: beyond this they are not taken
PAUSE = 60.0  # seconds after which a disk that could not be written is tried again
LEFTOVER = 3600.0  # a part file older than this is of a writer that was killed


@dataclass(frozen=True)
class Kept:
    """One value on disk, as its header tells it."""

    id: str
    path: Path
    bytes: int
    seconds: float
    used: float
    summary: str
    about: Mapping[str, str] = field(default_factory=dict)

    def worth(self, now: float) -> float:
        """Seconds saved per byte, halved for every week unused."""
        weeks = max(now - self.used, 0.0) / WEEK
        return self.seconds / max(self.bytes, 1) * math.pow(0.5, weeks)


class Disk:
    """The disk tier of one engine. Every method may be called from any thread; `put` returns at once."""

    name = "disk"

    def __init__(
        self, folder: Path, modules: Collection[str], limit: int | None = None, quick: float = MIN_SECONDS
    ) -> None:
        """Keep values under `folder`, at most `limit` bytes, but none that was made in less than `quick` seconds.

        `modules` are the packs whose classes may be rebuilt.
        """
        self.quick = quick
        self.folder = folder
        given = os.environ.get("WEFT_CACHE_MB", "")
        self.limit = limit if limit is not None else int(given) * 2**20 if given.isdigit() else DEFAULT_LIMIT
        self.pace = 0.0  # seconds the last write took
        self.problem = ""  # why the tier does not write at the moment, if it does not
        self._modules = tuple(modules)
        self._queue: OrderedDict[str, tuple[Callable[[], Any], int, float, Mapping[str, str]]] = OrderedDict()
        self._queued = 0  # bytes
        self._changed = threading.Condition()
        self._writer: threading.Thread | None = None
        self._closing = False
        self._used: int | None = None  # bytes in the folder, as far as this process knows
        self._resume_at = 0.0

    @classmethod
    def of(cls, places: Places, registry: Registry) -> Disk:
        """The tier under `WEFT_HOME/cache`, which may rebuild what the installed packs declare."""
        return cls(places.home / "cache", {pack.module for pack in registry.packs} | {"engine"})

    # -- the tier

    def known(self, id: str) -> bool:
        """Is there a file of this name?"""
        return self.limit > 0 and self._path(id).is_file()

    def get(self, id: str) -> Any | None:
        """The value, or None when the file is not there or not whole."""
        path = self._path(id)
        try:
            value = self._read(path, id)
        except (FileNotFoundError, PermissionError):
            return None
        except Exception:
            # Whatever is wrong with it, it is not the value: out of the way, and computed again.
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return value

    def put(self, id: str, value: Any, seconds: float, about: Mapping[str, str] | None = None) -> None:
        """Offer a value that took `seconds` to make. Dropped when it is not worth it, or the writer is behind."""
        if self.limit <= 0 or seconds < self.quick or ".shown" in id:
            return
        size = nbytes(value)
        if size > self.limit // 2 or (self.problem and time.monotonic() < self._resume_at):
            return
        with self._changed:
            if id in self._queue or self._queued + size > max(QUEUE_BYTES, size) or self._path(id).is_file():
                return
            if self._writer is None:
                self._closing = False
                self._writer = threading.Thread(target=self._write_all, name="weft disk", daemon=True)
                self._writer.start()
            self._queue[id] = (leaving(value), size, seconds, dict(about or {}))
            self._queued += size
            self._changed.notify_all()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything offered so far is written; False when it took longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue, timeout)

    def close(self) -> None:
        """Write what is queued, then stop."""
        with self._changed:
            writer, self._writer, self._closing = self._writer, None, True
            self._changed.notify_all()
        if writer is not None:
            writer.join()

    # -- writing

    def _path(self, id: str) -> Path:
        return self.folder / id[:2] / f"{id}.safetensors"

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closing)
                if not self._queue:
                    return
                id, (arrive, size, seconds, about) = next(iter(self._queue.items()))
            try:
                started = time.perf_counter()
                self._write(id, arrive(), seconds, about)
                self.pace = time.perf_counter() - started
                self.problem = ""
            except TypeError:
                pass  # a value of a kind that cannot be written down stays in memory only
            except Exception as error:
                # A full or read-only disk costs speed, never a run.
                self.problem = str(error)
                self._resume_at = time.monotonic() + PAUSE
            finally:
                del arrive
                with self._changed:
                    del self._queue[id]
                    self._queued -= size
                    self._changed.notify_all()

    def _write(self, id: str, value: Any, seconds: float, about: Mapping[str, str]) -> None:
        from safetensors.torch import save

        tensors: dict[str, Any] = {}
        digests: dict[str, str] = {}
        record = encode(value, tensors, digests)
        metadata = {
            "weft": FORMAT,
            "id": id,
            "seconds": repr(seconds),
            "summary": summary(value)[:200],
            "about": json.dumps(about, separators=(",", ":")),
            "value": json.dumps(record, separators=(",", ":")),
            "digests": json.dumps(digests, separators=(",", ":")),
        }
        data = save({name: t.cpu().contiguous() for name, t in tensors.items()}, metadata)
        self._make_room(len(data))
        try:
            write_atomic(self._path(id), data)
        except WeftError:
            # The disk may be full of what is worth less than this.
            if not self._evict(self._scan() // 2):
                raise
            write_atomic(self._path(id), data)
        self._used = (self._used or 0) + len(data)

    def _make_room(self, wanted: int) -> None:
        if self._used is None or self._used + wanted > self.limit:
            self._used = self._scan()  # others may have written, or cleared
        if self._used + wanted > self.limit:
            # A tenth of air, so that not every write has to look at the whole folder.
            self._evict(int(self.limit * 0.9) - wanted)

    def _scan(self) -> int:
        """The bytes in the folder; what killed writers left is cleared away."""
        used, now = 0, time.time()
        for path in self.folder.glob("??/*"):
            with contextlib.suppress(OSError):
                stat = path.stat()
                if path.name.startswith(".weft-") and abs(now - stat.st_mtime) > LEFTOVER:
                    path.unlink()
                else:
                    used += stat.st_size
        return used

    def _evict(self, goal: int) -> int:
        """Remove what is worth least until at most `goal` bytes are left; how many values went."""
        now, gone = time.time(), 0
        kept = sorted(self.entries(), key=lambda item: item.worth(now))
        used = sum(item.bytes for item in kept)
        for item in kept:
            if used <= max(goal, 0):
                break
            with contextlib.suppress(OSError):
                item.path.unlink()
                gone += 1
            used -= item.bytes
        self._used = used
        return gone

    # -- reading

    def _read(self, path: Path, id: str) -> Any:
        metadata = read_metadata(path)
        if metadata.get("weft") != FORMAT or metadata.get("id") != id:
            raise ValueError("another file")
        from safetensors.torch import load

        tensors = load(path.read_bytes())
        digests = json.loads(metadata["digests"])
        for name, tensor in tensors.items():
            if content(tensor) != digests[name]:
                raise ValueError("damaged")
        return decode(json.loads(metadata["value"]), tensors, self._modules)

    # -- looking after it

    def entries(self) -> Iterator[Kept]:
        """Every readable value on disk; files of unknown form are passed over."""
        for path in sorted(self.folder.glob("??/*.safetensors")):
            try:
                stat = path.stat()
                metadata = read_metadata(path)
                if metadata.get("weft") == FORMAT:
                    yield Kept(
                        metadata["id"],
                        path,
                        stat.st_size,
                        float(metadata["seconds"]),
                        stat.st_mtime,
                        metadata.get("summary", ""),
                        json.loads(metadata.get("about", "{}")),
                    )
            except (OSError, ValueError, KeyError, TypeError):
                continue

    def verify(self) -> tuple[int, list[Path]]:
        """Read every file whole: how many are sound, and those that are not (they are removed)."""
        sound, bad = 0, []
        for path in sorted(self.folder.glob("??/*.safetensors")):
            try:
                self._read(path, path.stem)
                sound += 1
            except FileNotFoundError:
                continue  # another process was quicker
            except Exception:
                bad.append(path)
                with contextlib.suppress(OSError):
                    path.unlink()
        return sound, bad

    def clear(self) -> int:
        """Remove every value; the bytes freed. Leftovers of killed writers go too."""
        freed = 0
        for path in [*self.folder.glob("??/*.safetensors"), *self.folder.glob("??/.weft-*.part")]:
            with contextlib.suppress(OSError):
                size = path.stat().st_size
                path.unlink()
                freed += size
        self._used = None
        return freed
