"""Metadata: what a saved picture knows of itself, and how it is read back.

`full` carries the workflow and its resolved values, `parameters` the values alone, `none` nothing. The record is JSON:
`{"weft": 1, "workflow": {...}, "resolved": {"node.input": value}, "item": 0}`. A PNG holds it in a text chunk named
`weft`, a JPEG in comments (as many as it takes: one holds 64 kB), a WebP in its EXIF description.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from engine import pictures

Keep = Literal["full", "parameters", "none"]
KEY = pictures.KEY
VERSION = 1
EXIF_DESCRIPTION = 0x010E
_COMMENT = b"weft "
_COMMENT_BYTES = 65_000


def record(document: Mapping[str, Any], resolved: Mapping[str, Any], keep: Keep, item: int = 0) -> dict[str, Any]:
    """What goes into the picture of batch item `item`; empty for `none`."""
    if keep == "none":
        return {}
    full: dict[str, Any] = {"workflow": dict(document)} if keep == "full" and document else {}
    return {KEY: VERSION, **full, "resolved": dict(resolved), "item": item}


def dumps(data: Mapping[str, Any]) -> str:
    """The record as compact ASCII JSON; what JSON cannot say stands as its text."""
    return json.dumps(data, separators=(",", ":"), default=str)


def read(path: Path) -> dict[str, Any]:
    """The record of a saved picture; empty when it has none. Raises `media.missing` and `media.format`."""
    return pictures.record(path)


def jpeg_with(data: bytes, text: str) -> bytes:
    """The JPEG with the text in comments right after its start, each of at most 64 kB."""
    body = text.encode()
    pieces = [_COMMENT + body[at : at + _COMMENT_BYTES] for at in range(0, len(body), _COMMENT_BYTES)]
    segments = [b"\xff\xfe" + (len(piece) + 2).to_bytes(2, "big") + piece for piece in pieces]
    return data[:2] + b"".join(segments) + data[2:]
