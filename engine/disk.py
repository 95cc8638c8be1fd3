"""Disk: the tier below the host. The same ids, in safetensors files that outlive the process.

    WEFT_HOME/cache/ab/<id>.safetensors      tensors, and in the header's metadata the value's shape as JSON

A file is written aside, synced and renamed, so that a killed writer leaves nothing that is ever read; several processes
may share the folder. Every tensor is checked against its digest when it is read: a damaged, truncated or foreign file
is not there, is removed, and the value is computed again. Weights never come here, and neither do values that are
quicker made than read. When the folder grows past its limit, what is worth least goes first: seconds saved per byte,
halved for every week unused.

Values are rebuilt only from frozen dataclasses of installed packs; nothing in a file can name other code.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import queue
import struct
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import fail
from engine.node import resolve
from engine.places import Places, write_atomic
from engine.registry import Registry
from engine.values import content, is_tensor, nbytes

FORMAT = "1"
MIN_SECONDS = 0.05
MAX_HEADER = 16 * 2**20
WEEK = 7 * 24 * 3600.0
DEFAULT_LIMIT = 4 * 2**30


@dataclass(frozen=True)
class Kept:
    """One value on disk, as its header tells it."""

    id: str
    path: Path
    bytes: int
    seconds: float
    used: float
    summary: str

    def worth(self, now: float) -> float:
        """Seconds saved per byte, halved for every week unused."""
        weeks = max(now - self.used, 0.0) / WEEK
        return self.seconds / max(self.bytes, 1) * math.pow(0.5, weeks)


class Disk:
    """The disk tier of one engine. Every method may be called from any thread; `put` returns at once."""

    name = "disk"

    def __init__(self, folder: Path, modules: Collection[str], limit: int | None = None) -> None:
        """Keep values under `folder`, at most `limit` bytes; `modules` are the packs whose classes may be rebuilt."""
        self.folder = folder
        given = os.environ.get("WEFT_CACHE_MB", "")
        self.limit = limit if limit is not None else int(given) * 2**20 if given.isdigit() else DEFAULT_LIMIT
        self._modules = tuple(modules)
        self._queue: queue.Queue[tuple[str, Any, float] | None] = queue.Queue(maxsize=64)
        self._pending: set[str] = set()
        self._lock = threading.Lock()
        self._writer: threading.Thread | None = None
        self.problem = ""  # why the tier stopped writing, if it did

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
        except FileNotFoundError:
            return None
        except Exception:
            # Whatever is wrong with it, it is not the value: out of the way, and computed again.
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return value

    def put(self, id: str, value: Any, seconds: float) -> None:
        """Offer a value that took `seconds` to make. Dropped when it is not worth it, or the writer is behind."""
        if self.limit <= 0 or seconds < MIN_SECONDS or self.problem or id.startswith("k") or ".shown" in id:
            return
        with self._lock:
            if id in self._pending or self._path(id).is_file():
                return
            if self._writer is None:
                self._writer = threading.Thread(target=self._write_all, name="weft disk", daemon=True)
                self._writer.start()
            self._pending.add(id)
        try:
            self._queue.put_nowait((id, value, seconds))
        except queue.Full:
            with self._lock:
                self._pending.discard(id)

    def close(self) -> None:
        """Write what is queued, then stop."""
        with self._lock:
            writer, self._writer = self._writer, None
        if writer is not None:
            self._queue.put(None)
            writer.join()

    # -- writing

    def _path(self, id: str) -> Path:
        return self.folder / id[:2] / f"{id}.safetensors"

    def _write_all(self) -> None:
        while (item := self._queue.get()) is not None:
            id, value, seconds = item
            try:
                self._write(id, value, seconds)
            except TypeError:
                pass  # a value of a kind that cannot be written down stays in memory only
            except Exception as error:
                # A full or read-only disk costs speed, never a run.
                self.problem = str(error)
            finally:
                with self._lock:
                    self._pending.discard(id)

    def _write(self, id: str, value: Any, seconds: float) -> None:
        from safetensors.torch import save

        from engine.values import summary

        size = nbytes(value)
        if size > self.limit // 2:
            return
        tensors: dict[str, Any] = {}
        digests: dict[str, str] = {}
        record = _encode(value, tensors, digests)
        metadata = {
            "weft": FORMAT,
            "id": id,
            "seconds": repr(seconds),
            "summary": summary(value)[:200],
            "value": json.dumps(record, separators=(",", ":")),
            "digests": json.dumps(digests, separators=(",", ":")),
        }
        self._make_room(size)
        write_atomic(self._path(id), save({name: t.cpu().contiguous() for name, t in tensors.items()}, metadata))

    def _make_room(self, wanted: int) -> None:
        kept = list(self.entries())
        used = sum(item.bytes for item in kept) + wanted
        if used <= self.limit:
            return
        now = time.time()
        for item in sorted(kept, key=lambda item: item.worth(now)):
            with contextlib.suppress(OSError):
                item.path.unlink()
            used -= item.bytes
            # A tenth of air, so that not every write has to look at the whole folder.
            if used <= self.limit * 0.9:
                return

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
        return _decode(json.loads(metadata["value"]), tensors, self._modules)

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
                    )
            except (OSError, ValueError, KeyError):
                continue

    def verify(self) -> tuple[int, list[Path]]:
        """Read every file whole: how many are sound, and those that are not (they are removed)."""
        sound, bad = 0, []
        for path in sorted(self.folder.glob("??/*.safetensors")):
            try:
                self._read(path, path.stem)
                sound += 1
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
        return freed


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors header; `ValueError` for anything else. Reads no tensor, imports no torch."""
    with path.open("rb") as stream:
        head = stream.read(8)
        if len(head) < 8:
            raise ValueError("too short")
        (length,) = struct.unpack("<Q", head)
        if length > MAX_HEADER:
            raise ValueError("no safetensors header")
        header = json.loads(stream.read(length))
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    if not isinstance(metadata, dict):
        raise ValueError("no metadata")
    return metadata


# --- values as JSON and tensors ------------------------------------------------------------------------------------


def _encode(value: Any, tensors: dict[str, Any], digests: dict[str, str]) -> Any:
    """The value as JSON, its tensors set aside under numbers. `TypeError` for what cannot be written down."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if is_tensor(value):
        name = str(len(tensors))
        tensors[name] = value
        digests[name] = content(value)
        return {"$tensor": name, "device": str(value.device)}
    if isinstance(value, tuple):
        return {"$tuple": [_encode(item, tensors, digests) for item in value]}
    if isinstance(value, list):
        return [_encode(item, tensors, digests) for item in value]
    if isinstance(value, Mapping):
        return {"$dict": [[key, _encode(item, tensors, digests)] for key, item in value.items()]}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        cls = type(value)
        fields = {f.name: _encode(getattr(value, f.name), tensors, digests) for f in dataclasses.fields(value)}
        return {"$type": f"{cls.__module__}:{cls.__qualname__}", "fields": fields}
    raise TypeError(f"a {type(value).__name__} cannot be written down")


def _decode(record: Any, tensors: Mapping[str, Any], modules: Collection[str]) -> Any:
    if isinstance(record, list):
        return [_decode(item, tensors, modules) for item in record]
    if not isinstance(record, dict):
        return record
    if "$tensor" in record:
        tensor = tensors[record["$tensor"]]
        # Made on a device, and back on it: the next step reads it there anyway.
        return tensor if record["device"] == "cpu" else tensor.to(record["device"])
    if "$tuple" in record:
        return tuple(_decode(item, tensors, modules) for item in record["$tuple"])
    if "$dict" in record:
        return {key: _decode(item, tensors, modules) for key, item in record["$dict"]}
    path = record["$type"]
    if path.partition(":")[0].partition(".")[0] not in modules:
        raise fail("pack.broken", f"{path} is of no installed pack")
    cls = resolve(path)
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        raise ValueError(f"{path} is no dataclass")
    return cls(**{name: _decode(item, tensors, modules) for name, item in record["fields"].items()})
