"""Thumbs: small versions of pictures that lie in folders, made when they are first asked for."""

from __future__ import annotations

import hashlib
from pathlib import Path

from engine.server.blobs import thumbnail_of
from engine.server.house import House


def small(house: House, path: Path, size: int) -> Path:
    """The file of a picture's thumbnail; another one as soon as the picture is another."""
    stat = path.stat()
    found = house.places.state / "thumbs" / _name(path, stat.st_mtime_ns, stat.st_size, size)
    if not found.is_file():
        thumbnail_of(path, found, size)
    return found


def _name(path: Path, changed: int, length: int, size: int) -> str:
    text = f"{path}\0{changed}\0{length}\0{size}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
