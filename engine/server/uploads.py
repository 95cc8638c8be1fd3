"""Uploads: what comes in as a file. A picture is opened and checked before it is kept, whatever it calls itself.

Kept are the bytes as they came (with their metadata: a workflow may be in them), under a name of the server's making:
the given one, made harmless, and a number or hash where another picture has it already.
"""

from __future__ import annotations

import re
import tempfile
import unicodedata
from io import BytesIO
from pathlib import Path

from aiohttp import BodyPartReader, hdrs, http_exceptions, web

from engine import pictures
from engine import workflow as files
from engine.errors import WeftError, fail
from engine.places import Places, check_name, write_atomic
from engine.registry import Registry
from engine.server.blobs import MAX_PIXELS
from engine.server.shapes import Uploaded
from engine.workflow import Workflow, foreign

MAX_BYTES = 64 * 2**20
MAX_HEAD = 4096  # so far into a file the key that makes it ours is looked for
DAMAGED = (ValueError, http_exceptions.HttpProcessingError)
KINDS = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "BMP": ".bmp", "TIFF": ".tif", "GIF": ".gif"}
SHOWN = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
}
PLACES = ("input", "output")


async def parts(request: web.Request) -> tuple[str, bytes, dict[str, str]]:
    """File name, bytes and other fields of a multipart request with one file."""
    try:
        return await _parts(request)
    except DAMAGED:  # what aiohttp says of a form that is cut off, or has no boundary
        raise fail("server.request", "the form is damaged", mend="send multipart/form-data with one file") from None


async def _parts(request: web.Request) -> tuple[str, bytes, dict[str, str]]:
    name = ""
    data: bytes | None = None
    fields: dict[str, str] = {}
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader):
            raise fail("server.request", "a part within a part is not taken", mend="send one file")
        if part.name == "file" and data is None:
            name = part.filename or "picture"
            data = await read_part(part, MAX_BYTES)
        elif part.name and part.filename is None and len(fields) < 8:
            fields[part.name] = (await read_part(part, 4096)).decode("utf-8", "replace")
        else:
            raise fail("server.request", "one file is taken at a time", mend="send the others after it")
    if data is None:
        raise fail("server.request", "there is no part called 'file'", mend="send the picture as 'file'")
    return name, data, fields


async def read_part(part: BodyPartReader, limit: int) -> bytes:
    """The bytes of a part, up to `limit` of them."""
    found = bytearray()
    while chunk := await part.read_chunk(2**16):
        found += chunk
        if len(found) > limit:
            raise fail("server.limit", f"the file has more than {limit:,} bytes", mend="send a smaller one")
    if part.headers.get(hdrs.CONTENT_TRANSFER_ENCODING, "binary").lower() not in ("binary", "8bit", "7bit"):
        raise fail("server.type", "an encoded part is not taken", mend="send the file as it is")
    return bytes(found)


def look(data: bytes) -> tuple[str, int, int]:
    """Ending, width and height of a picture; `media.format` for what is none, is too large, or is damaged."""
    import PIL.Image

    try:
        with PIL.Image.open(BytesIO(data), formats=tuple(KINDS)) as picture:
            width, height, kind = picture.width, picture.height, picture.format or ""
            if width * height > MAX_PIXELS:
                raise fail("media.format", f"the picture has {width}x{height} pixels: too many", mend="make it smaller")
            picture.load()
    except WeftError:
        raise
    except Exception:
        known = ", ".join(KINDS)
        raise fail("media.format", "the file is no picture, or a damaged one", mend=f"send one of: {known}") from None
    return KINDS[kind], width, height


def keep(places: Places, given: str, data: bytes) -> Uploaded:
    """Keep a picture in the input folder. The same picture under the same name is kept once."""
    ending, width, height = look(data)
    stem = harmless(given)
    for turn in range(10_000):
        name = f"{stem}{f'-{turn + 1}' if turn else ''}{ending}"
        path = places.input / name
        if path.is_symlink():
            continue
        if not path.exists():
            write_atomic(path, data)
            return Uploaded(name, width, height)
        if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
            return Uploaded(name, width, height)
    raise fail("server.conflict", f"there are too many pictures called '{stem}'", mend="rename it")


def harmless(name: str) -> str:
    """The stem of a file name, with nothing in it that any system reads as more than a letter."""
    stem = Path(unicodedata.normalize("NFC", name).replace("\\", "/")).name
    stem = re.sub(r"[^\w .()+-]", "_", stem.rpartition(".")[0] or stem).strip(" .")[:100]
    try:
        return check_name(stem or "picture")
    except WeftError:  # `con`, `nul`: names that Windows keeps for itself
        return f"picture {stem}"


def find(places: Places, place: str, name: str) -> Path:
    """A picture in `input` or `output`. Links are not followed out of the folder, other files not shown."""
    if place not in PLACES:
        raise fail("server.missing", f"there is no place '{place[:40]}'", mend=f"places: {', '.join(PLACES)}")
    plain = check_name(name)
    if any(part.startswith(".") for part in plain.split("/")) or Path(plain).suffix.lower() not in SHOWN:
        raise fail("server.missing", f"there is no picture '{name[:80]}'", mend="name a picture in the folder")
    folders = [places.input, places.beside] if place == "input" else [places.output]
    for folder in folders:
        path = folder / plain if folder is not None else None
        if folder is None or path is None or not path.is_file():
            continue
        if not path.resolve().is_relative_to(folder.resolve()):
            raise fail("place.outside", f"'{name[:80]}' leads out of its folder", mend="name a picture inside it")
        return path
    raise fail("server.missing", f"there is no picture '{name[:80]}'", mend="name a picture in the folder")


def open_workflow(name: str, data: bytes, registry: Registry) -> tuple[Workflow, list[str] | None]:
    """The workflow in a file: JSON, or a saved picture; another program's is made ours, with what is to be told of it.

    Raises what the reader of workflows raises, and `media.format` for a picture without one.
    """
    if data[:1] in b"{[ \n\r\t\xef" and data[:4] != b"RIFF":
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise fail("file.syntax", "the file is not UTF-8 text") from None
        made = foreign.parse(text, registry, harmless(name)) if '"weft"' not in text[:MAX_HEAD] else None
        return made or (files.parse(text, harmless(name) + ".json"), None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture"
        path.write_bytes(data)
        try:
            made = foreign.convert(pictures.foreign(path), registry, harmless(name))
            return made or (pictures.workflow(path), None)
        except WeftError as error:
            # The place is ours, not the sender's.
            raise fail(error.code, error.problem.message, mend=_mend(error), file=harmless(name)) from None


def _mend(error: WeftError) -> str | None:
    return error.problem.mend.text if error.problem.mend else None
