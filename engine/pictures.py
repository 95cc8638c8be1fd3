"""Pictures: the workflow that a saved picture carries, read with the standard library alone.

A PNG holds the record in a text chunk named `weft`, a JPEG in comments (as many as it takes), a WebP and an AVIF in
their EXIF description, a GIF in its comment. The record is JSON:
`{"weft": 1, "workflow": {...}, "resolved": {"node.input": value}, "item": 0}`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.errors import WeftError, fail
from engine.workflow import Workflow, from_json

KEY = "weft"
LIMIT = 64 * 2**20  # no picture with more bytes than this is searched for a workflow
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".avif")
_PNG = b"\x89PNG\r\n\x1a\n"
_COMMENT = b"weft "
_EXIF_DESCRIPTION = 0x010E


def record(path: Path) -> dict[str, Any]:
    """The record of a saved picture; empty when it has none. Raises `media.missing` and `media.format`."""
    try:
        with path.open("rb") as stream:
            data = stream.read(LIMIT)
    except OSError as error:
        raise fail(
            "media.missing", f"cannot read it: {error.strerror or error}", file=str(path), mend="check the path"
        ) from None
    try:
        text = _find(data)
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError, struct.error):
        raise fail(
            "media.format", "the workflow in the picture is damaged", file=str(path), mend="use the workflow's own file"
        ) from None
    if text is None:
        raise fail(
            "media.format", "it is no PNG, JPEG, WebP, AVIF or GIF", file=str(path), mend="only these carry a workflow"
        )
    return found if isinstance(found, dict) and KEY in found else {}


def workflow(path: Path) -> Workflow:
    """The workflow that made a picture, with the very values it was made with: every seed as it was drawn."""
    found = record(path)
    document = found.get("workflow")
    if not isinstance(document, dict):
        why = "only the values it was made with" if found else "no workflow"
        raise fail(
            "media.format",
            f"the picture carries {why}",
            file=str(path),
            mend="save pictures with metadata: full, and see that nothing strips it",
        )
    try:
        made = from_json(document)
    except WeftError as error:
        raise error.at(file=str(path)) from None
    # The nodes hold what the run had; a parameter's default (a random seed, say) must not come in between again.
    return made.settled()


def foreign(path: Path) -> dict[str, Any]:
    """The graphs that another program left in a PNG, by the keywords of its text chunks; empty when there are none."""
    with path.open("rb") as stream:
        data = stream.read(LIMIT)
    found: dict[str, Any] = {}
    if data.startswith(_PNG):
        for key, text in _png_texts(data):
            if key in ("prompt", "workflow"):
                try:
                    found[key] = json.loads(text)
                except (ValueError, RecursionError):
                    continue
    return found


def _find(data: bytes) -> str | None:
    """The record's text, empty when there is none; None when it is no picture we know."""
    if data.startswith(_PNG):
        return next((text for key, text in _png_texts(data) if key == KEY), "")
    if data.startswith(b"\xff\xd8"):
        return b"".join(_jpeg_comments(data)).decode()
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp_description(data)
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return _gif_comment(data)
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        return _avif_description(data)
    return None


def _png_texts(data: bytes) -> Iterator[tuple[str, str]]:
    """The uncompressed text chunks (tEXt, iTXt); stops at the first chunk that is cut off."""
    at = len(_PNG)
    while at + 12 <= len(data):
        (length,), kind = struct.unpack(">I", data[at : at + 4]), data[at + 4 : at + 8]
        body = data[at + 8 : at + 8 + length]
        if len(body) < length or kind == b"IEND":
            return
        key, _, rest = body.partition(b"\0")
        if kind == b"tEXt":
            yield key.decode("latin-1"), rest.decode("latin-1")
        elif kind == b"iTXt" and rest[:1] == b"\0":
            yield key.decode("latin-1"), rest[2:].split(b"\0", 2)[-1].decode(errors="replace")
        at += 12 + length


def _jpeg_comments(data: bytes) -> list[bytes]:
    """Our comments, in order, up to the pixels."""
    found, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] == 0xFE and data[at + 4 :].startswith(_COMMENT):
            found.append(data[at + 4 + len(_COMMENT) : at + 2 + length])
        at += 2 + max(length, 2)
    return found


def _webp_description(data: bytes) -> str:
    """The image description in the EXIF chunk: a TIFF directory of 12-byte entries."""
    at = 12
    while at + 8 <= len(data):
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if kind == b"EXIF":
            return _tiff_text(data[at + 8 : at + 8 + length].removeprefix(b"Exif\0\0"))
        at += 8 + length + length % 2
    return ""


def _tiff_text(data: bytes) -> str:
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return ""
    (start,) = struct.unpack(f"{order}I", data[4:8])
    (count,) = struct.unpack(f"{order}H", data[start : start + 2])
    for index in range(count):
        entry = data[start + 2 + 12 * index : start + 14 + 12 * index]
        tag, _, length = struct.unpack(f"{order}HHI", entry[:8])
        if tag == _EXIF_DESCRIPTION:
            (place,) = struct.unpack(f"{order}I", entry[8:12])
            body = entry[8 : 8 + length] if length <= 4 else data[place : place + length]
            return body.rstrip(b"\0").decode("utf-8", "replace")
    return ""


def _gif_comment(data: bytes) -> str:
    """The comment that holds a record: GIF is a row of blocks, each in pieces of at most 255 bytes."""
    at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0) if len(data) > 13 else len(data)
    while at + 2 < len(data) and data[at] in (0x21, 0x2C):
        comment = data[at : at + 2] == b"\x21\xfe"
        if data[at] == 0x21:
            at += 2
        else:
            at += 11 + (3 << (data[at + 9] & 7) + 1 if data[at + 9] & 0x80 else 0) if at + 9 < len(data) else len(data)
        pieces = []
        while at < len(data) and data[at]:
            pieces.append(data[at + 1 : at + 1 + data[at]])
            at += 1 + data[at]
        at += 1
        text = b"".join(pieces) if comment else b""
        if text.startswith(b'{"weft"'):
            return text.decode("utf-8", "replace")
    return ""


def _avif_description(data: bytes) -> str:
    """The image description of the first EXIF block with a record; where among the boxes it lies does not matter."""
    for order in (b"II*\0", b"MM\0*"):
        at = data.find(order)
        while at >= 0:
            try:
                text = _tiff_text(data[at:])
            except struct.error:
                text = ""
            if text.startswith('{"weft"'):
                return text
            at = data.find(order, at + 1)
    return ""
