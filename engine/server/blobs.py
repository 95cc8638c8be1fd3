"""Blobs: pictures by content hash, on disk. An address never changes its content, so a browser may keep it for ever.

A value that can be shown has `pil()`, which gives 8-bit pictures; a mask is shown through its `alpha`. The engine
does not know the nodes' types, and need not: whatever can be shown is shown.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import fail
from engine.server.shapes import Blob

if TYPE_CHECKING:
    import PIL.Image

NAME = re.compile(r"[0-9a-f]{32}")
SIZES = (64, 128, 256, 512)
ENDINGS = {"PNG": ("png", "image/png"), "WEBP": ("webp", "image/webp"), "JPEG": ("jpg", "image/jpeg")}
MAX_PIXELS = 64 * 2**20
MEMO = 4096


def pictures(value: Any) -> list[PIL.Image.Image]:
    """What a value shows; nothing for one that cannot be seen. A list shows all of its items."""
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return [picture for item in value for picture in pictures(item)]
    if callable(getattr(value, "pil", None)):
        return list(value.pil())
    alpha: Any = getattr(value, "alpha", None)
    if getattr(alpha, "ndim", 0) != 3:
        return []
    import PIL.Image

    levels = (alpha.detach().float().clamp(0, 1) * 255).round().byte().cpu().numpy()
    return [PIL.Image.fromarray(item, "L") for item in levels]


def seen(value: Any) -> bool:
    """Can the value be shown?"""
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return bool(value) and all(map(seen, value))
    return callable(getattr(value, "pil", None)) or getattr(getattr(value, "alpha", None), "ndim", 0) == 3


class Blobs:
    """Pictures in a folder. All methods may be called from any thread."""

    def __init__(self, folder: Path) -> None:
        """Nothing is made until the first picture is kept."""
        self.folder = folder
        self._memo: OrderedDict[str, list[Blob]] = OrderedDict()

    def show(self, id: str, value: Any) -> list[Blob]:
        """The pictures of a value, kept; `id` is its name in the engine, under which they are remembered."""
        known = self._memo.get(id) if id else None
        if known is not None and all(self.find(one.blob) for one in known):
            return known
        made = []
        for picture in pictures(value):
            stream = BytesIO()
            picture.save(stream, "PNG", compress_level=1)
            made.append(Blob(self.put(stream.getvalue(), "png"), picture.width, picture.height))
        if id:
            self._memo[id] = made
            while len(self._memo) > MEMO:
                with contextlib.suppress(KeyError):
                    self._memo.popitem(last=False)
        return made

    def adopt(self, path: Path) -> Blob | None:
        """The picture of a file that a node saved; None when it is none that a browser shows."""
        import PIL.Image

        try:
            with PIL.Image.open(path) as picture:
                size, kind = picture.size, picture.format or ""
            ending, mime = ENDINGS[kind]
            return Blob(self.put(path.read_bytes(), ending), size[0], size[1], mime)
        except (OSError, ValueError, KeyError, PIL.Image.DecompressionBombError):
            return None

    def put(self, data: bytes, ending: str) -> str:
        """Keep bytes; their hash."""
        name = hashlib.blake2b(data, digest_size=16).hexdigest()
        path = self.folder / name[:2] / f"{name}.{ending}"
        if not path.exists():
            _write(path, data)
        return name

    def find(self, name: str) -> Path | None:
        """The file of a hash."""
        if NAME.fullmatch(name):
            for ending, _ in ENDINGS.values():
                path = self.folder / name[:2] / f"{name}.{ending}"
                if path.is_file():
                    return path
        return None

    def thumbnail(self, name: str, size: int) -> Path | None:
        """The picture within a square of `size` pixels, as WebP; made once."""
        if size not in SIZES:
            raise fail("server.request", f"there are no thumbnails of {size} pixels", mend=f"sizes: {SIZES}")
        source = self.find(name)
        if source is None:
            return None
        path = self.folder / name[:2] / f"{name}.{size}.thumb"
        if not path.is_file():
            thumbnail_of(source, path, size)
        return path

    def delete(self, name: str) -> None:
        """Forget a picture and its thumbnails."""
        if NAME.fullmatch(name):
            for path in self._files(name):
                path.unlink(missing_ok=True)

    def _files(self, name: str) -> Iterator[Path]:
        yield from (self.folder / name[:2]).glob(f"{name}.*")


def thumbnail_of(source: Path, path: Path, size: int) -> None:
    """Write a small WebP of a picture."""
    import PIL.Image

    try:
        with PIL.Image.open(source) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise fail("media.format", f"the picture has {picture.width}x{picture.height} pixels: too many")
            picture.thumbnail((size, size))
            stream = BytesIO()
            picture.convert("RGBA" if "A" in picture.getbands() else "RGB").save(stream, "WEBP", quality=85)
    except (OSError, ValueError, PIL.Image.DecompressionBombError):
        raise fail("media.format", "the picture cannot be read", file=source.name) from None
    _write(path, stream.getvalue())


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all; without waiting for the disk, because a picture can be made again."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".part-")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise fail(
            "place.write", f"the picture cannot be kept: {error.strerror or error}", mend="make room on the disk"
        ) from error
