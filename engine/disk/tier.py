"""Tier: values by id in files; one writer thread, any number of readers, several processes in one folder."""

from __future__ import annotations

import contextlib
import errno
import hashlib
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
from engine.memory import is_out_of_memory
from engine.places import Places, write_atomic
from engine.registry import Registry
from engine.values import content, leaving, nbytes, summary, versions

FORMAT = "2"  # 1 had no digest of the header
MIN_SECONDS = 0.05
WEEK = 7 * 24 * 3600.0
DEFAULT_LIMIT = 4 * 2**30
QUEUE_BYTES = 512 * 2**20  # values that wait to be written are held in memory: beyond this they are not taken
PAUSE = 60.0  # seconds after which a disk that could not be written is tried again
LEFTOVER = 3600.0  # a part file older than this is of a writer that was killed
LOOK = 16  # after this share of the limit written, the folder is looked at again: other processes write as well
SUFFIX = ".safetensors"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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


@dataclass(eq=False)
class _Offer:
    """A value that waits to be written."""

    value: Any
    arrive: Callable[[], Any]  # the value in host memory
    bytes: int
    seconds: float
    about: Mapping[str, str]
    versions: tuple[int, ...]  # of its tensors, as it was offered
    dropped: bool = False


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
        self._queue: OrderedDict[str, _Offer] = OrderedDict()
        self._queued = 0  # bytes
        self._changed = threading.Condition()
        self._writer: threading.Thread | None = None
        self._closing = False
        self._used: int | None = None  # bytes in the folder, as far as this process knows
        self._since = 0  # bytes written since it was looked at
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
        """The value, or None when the file is not there, not whole, or not to be read at the moment."""
        path = self._path(id)
        try:
            value = self._read(path, id)
        except OSError:
            return None  # not there, or not to be read now: that says nothing of what is in it
        except Exception as error:
            # Whatever is wrong with it, it is not the value: out of the way, and computed again. But a device without
            # room, or a pack that only others have, is nothing wrong with it.
            if not (is_out_of_memory(error) or (isinstance(error, WeftError) and error.code == "pack.broken")):
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
            if self._closing or id in self._queue or self._queued + size > max(QUEUE_BYTES, size):
                return
            if self._path(id).is_file():
                return
            self._queue[id] = _Offer(value, leaving(value), size, seconds, dict(about or {}), versions(value))
            self._queued += size
            if self._writer is None:
                self._writer = threading.Thread(target=self._write_all, name="weft disk", daemon=True)
                self._writer.start()
            self._changed.notify_all()

    def drop(self, id: str) -> None:
        """The value was written into: what is queued or on disk under this name goes."""
        with self._changed:
            offer = self._queue.get(id)
            if offer is not None:
                offer.dropped = True
        with contextlib.suppress(OSError):
            self._path(id).unlink()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything offered so far is written; False when it took longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue, timeout)

    def close(self) -> None:
        """Write what is queued, then stop; what is offered meanwhile is not taken, what is offered later is."""
        with self._changed:
            self._changed.wait_for(lambda: not self._closing)
            writer, self._closing = self._writer, True
            self._changed.notify_all()
        if writer is not None:
            writer.join()
        with self._changed:
            self._writer, self._closing = None, False
            self._changed.notify_all()

    # -- writing

    def _path(self, id: str) -> Path:
        return self.folder / id[:2] / f"{id}{SUFFIX}"

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closing)
                if not self._queue:
                    return
                id, offer = next(iter(self._queue.items()))
            try:
                started = time.perf_counter()
                self._write(id, offer)
                self.pace = time.perf_counter() - started
                self.problem = ""
            except TypeError:
                pass  # a value of a kind that cannot be written down stays in memory only
            except Exception as error:
                # A full or read-only disk costs speed, never a run.
                self.problem = str(error)
                self._resume_at = time.monotonic() + PAUSE
            with self._changed:
                if offer.dropped:
                    with contextlib.suppress(OSError):
                        self._path(id).unlink()
                del self._queue[id]
                self._queued -= offer.bytes
                del offer  # the writer must not keep it alive while it waits for the next
                self._changed.notify_all()

    def _write(self, id: str, offer: _Offer) -> None:
        from safetensors.torch import save

        tensors: dict[str, Any] = {}
        digests: dict[str, str] = {}
        value = offer.arrive()
        record = encode(value, tensors, digests)
        metadata = {
            "weft": FORMAT,
            "id": id,
            "seconds": repr(offer.seconds),
            "summary": summary(value)[:200],
            "about": json.dumps(offer.about, separators=(",", ":")),
            "value": json.dumps(record, separators=(",", ":")),
            "digests": json.dumps(digests, separators=(",", ":")),
        }
        metadata["check"] = _check(metadata)
        data = save({name: t.cpu().contiguous() for name, t in tensors.items()}, metadata)
        if len(data) > self.limit // 2 or offer.dropped or versions(offer.value) != offer.versions:
            return  # more than it looked like; or a node wrote into it: it is not what its name says any more
        self._make_room(len(data))
        try:
            write_atomic(self._path(id), data)
        except WeftError as error:
            # The disk may be full of what is worth less than this.
            if getattr(error.__cause__, "errno", None) not in FULL or not self._evict(self._scan() // 2):
                raise
            write_atomic(self._path(id), data)
        self._used = (self._used or 0) + len(data)
        self._since += len(data)

    def _make_room(self, wanted: int) -> None:
        if self._used is None or self._used + wanted > self.limit or self._since > self.limit // LOOK:
            self._used, self._since = self._scan(), 0  # others may have written, or cleared
        if self._used + wanted > self.limit:
            # A tenth of air, so that not every write has to look at the whole folder.
            self._evict(int(self.limit * 0.9) - wanted)

    def _scan(self) -> int:
        """The bytes of all values; what killed writers left is cleared away."""
        used, now = 0, time.time()
        for path in self.folder.glob("??/*"):
            part = path.name.startswith(".weft-")
            with contextlib.suppress(OSError):
                stat = path.stat()
                if part and abs(now - stat.st_mtime) > LEFTOVER:
                    path.unlink()
                elif part or path.suffix == SUFFIX:
                    used += stat.st_size
        return used

    def _evict(self, goal: int) -> int:
        """Remove what is worth least until at most `goal` bytes are left; how many values went."""
        now, gone = time.time(), 0
        kept = sorted(self._files(), key=lambda item: item.worth(now))
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

    def _checked(self, path: Path, id: str) -> tuple[dict[str, str], dict[str, Any]]:
        """Metadata and tensors of a file that holds what it held when it was written; `ValueError` for any other."""
        metadata = read_metadata(path)
        if metadata.get("weft") != FORMAT or metadata.get("id") != id:
            raise ValueError("another file")
        if metadata.pop("check", None) != _check(metadata):
            raise ValueError("damaged")
        from safetensors.torch import load

        tensors = load(path.read_bytes())
        digests = json.loads(metadata["digests"])
        if {name: content(tensor) for name, tensor in tensors.items()} != digests:
            raise ValueError("damaged")
        return metadata, tensors

    def _read(self, path: Path, id: str) -> Any:
        metadata, tensors = self._checked(path, id)
        return decode(json.loads(metadata["value"]), tensors, self._modules)

    # -- looking after it

    def entries(self) -> Iterator[Kept]:
        """Every readable value on disk; files of unknown form are passed over."""
        return (item for item in self._files() if item.id)

    def _files(self) -> Iterator[Kept]:
        """Every file in the place of a value; what cannot be read as one (damaged, of another release) saves none."""
        for path in sorted(self.folder.glob(f"??/*{SUFFIX}")):
            try:
                stat = path.stat()
            except OSError:
                continue
            try:
                metadata = read_metadata(path)
                if metadata.get("weft") != FORMAT:
                    raise ValueError("of another release")
                seconds = float(metadata["seconds"])
                if not math.isfinite(seconds):
                    raise ValueError("no number")
                about = json.loads(metadata.get("about", "{}"))
                told = metadata.get("summary", "")
                yield Kept(metadata["id"], path, stat.st_size, seconds, stat.st_mtime, told, about)
            except OSError:
                continue
            except (ValueError, KeyError, TypeError, RecursionError):
                yield Kept("", path, stat.st_size, 0.0, stat.st_mtime, "", {})

    def verify(self) -> tuple[int, list[Path]]:
        """Read every file whole: how many are sound, and those that are not (they are removed)."""
        sound, bad = 0, []
        for path in sorted(self.folder.glob(f"??/*{SUFFIX}")):
            try:
                self._checked(path, path.stem)
                sound += 1
            except (OSError, MemoryError):
                continue  # another process was quicker, or it cannot be read now: that says nothing of it
            except Exception:
                bad.append(path)
                with contextlib.suppress(OSError):
                    path.unlink()
        return sound, bad

    def held(self) -> tuple[int, int]:
        """How many values there are, and their bytes."""
        count = total = 0
        for path in self.folder.glob(f"??/*{SUFFIX}"):
            with contextlib.suppress(OSError):
                total += path.stat().st_size
                count += 1
        return count, total

    def clear(self) -> int:
        """Remove every value; the bytes freed. Leftovers of killed writers go too."""
        freed = 0
        for path in [*self.folder.glob(f"??/*{SUFFIX}"), *self.folder.glob("??/.weft-*.part")]:
            with contextlib.suppress(OSError):
                size = path.stat().st_size
                path.unlink()
                freed += size
        self._used = None
        return freed


def _check(metadata: Mapping[str, str]) -> str:
    """The digest of a header: with those of the tensors in it, of everything in the file."""
    text = json.dumps(metadata, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
