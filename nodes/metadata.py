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

from engine.errors import fail
from nodes.image import png

Keep = Literal["full", "parameters", "none"]
KEY = "weft"
VERSION = 1
LIMIT = 64 * 2**20  # no picture with more bytes than this is searched for a workflow
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
    try:
        with path.open("rb") as stream:
            data = stream.read(LIMIT)
    except OSError as error:
        raise fail("media.missing", f"cannot read {path.name}: {error.strerror or error}") from error
    try:
        text = _find(data, path)
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError) as error:
        raise fail(
            "media.format", f"the workflow in {path.name} is damaged", mend="use the workflow's own file"
        ) from error
    return found if isinstance(found, dict) and KEY in found else {}


def _find(data: bytes, path: Path) -> str:
    if data.startswith(png.SIGNATURE):
        return next((text for key, text in png.texts(data) if key == KEY), "")
    if data.startswith(b"\xff\xd8"):
        return b"".join(_comments(data)).decode()
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        import PIL.Image

        with PIL.Image.open(path) as picture:
            return str(picture.getexif().get(EXIF_DESCRIPTION, ""))
    raise fail("media.format", f"{path.name} is no PNG, JPEG or WebP", mend="only these carry a workflow")


def jpeg_with(data: bytes, text: str) -> bytes:
    """The JPEG with the text in comments right after its start, each of at most 64 kB."""
    body = text.encode()
    pieces = [_COMMENT + body[at : at + _COMMENT_BYTES] for at in range(0, len(body), _COMMENT_BYTES)]
    segments = [b"\xff\xfe" + (len(piece) + 2).to_bytes(2, "big") + piece for piece in pieces]
    return data[:2] + b"".join(segments) + data[2:]


def _comments(data: bytes) -> list[bytes]:
    """Our comments in a JPEG, in order, up to its pixels."""
    found, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] == 0xFE and data[at + 4 :].startswith(_COMMENT):
            found.append(data[at + 4 + len(_COMMENT) : at + 2 + length])
        at += 2 + max(length, 2)
    return found
