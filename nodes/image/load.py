"""Load: a picture file, whatever its mode, as RGB and a mask. Size and kind are checked before pixels are decoded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from engine import places
from engine.errors import fail
from engine.node import File, node
from engine.sockets import rule
from nodes.types import Image, Mask

if TYPE_CHECKING:
    import numpy
    import PIL.Image

MAX_PIXELS = 89_478_485  # Pillow's own measure of a decompression bomb: a 9,459 square
_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")


class Loaded(NamedTuple):
    """The picture's colours, and where it is transparent: mask = 1 - alpha, zeros when it has none."""

    image: Image
    mask: Mask


def load_facts(**inputs: Any) -> dict[str, dict[str, Any]]:
    """Width and height from the file's header; a file that is no picture is refused before anything runs."""
    name = inputs["name"]
    if not isinstance(name, str):
        return {}
    with opened(places.current().file("input", name)) as picture:
        width, height = picture.size
        if picture.getexif().get(_ORIENTATION) in _TURNED:
            width, height = height, width
    facts = {"batch": 1, "width": width, "height": height}
    return {"image": facts, "mask": facts}


@node(
    "image.load",
    title="Load image",
    lane="io",
    facts=[rule("nodes.image.load:load_facts")],
    aliases=["LoadImage", "LoadImageOutput", "SplitImageWithAlpha"],
)
def load(name: Annotated[str, File("input")]) -> Loaded:
    """A picture from the input folder as float32 0..1: upright, RGB, first frame; any bit depth, palette or CMYK.

    Colours are taken as sRGB; a colour profile in the file is not applied.
    """
    import torch

    with opened(places.current().file("input", name)) as picture:
        colours, alpha = pixels(picture)
    return Loaded(Image(torch.from_numpy(colours)[None]), Mask(1 - torch.from_numpy(alpha)[None]))


@contextmanager
def opened(path: Path) -> Iterator[PIL.Image.Image]:
    """The picture with only its header read; what goes wrong in the block is one `media.format` error."""
    import struct

    import PIL.Image
    import PIL.TiffImagePlugin  # these two are only looked for by name when they are there already
    import PIL.WebPImagePlugin

    with suppress(ImportError):  # where Pillow has it
        import PIL.AvifImagePlugin

    try:
        with PIL.Image.open(path, formats=_FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise _too_large(path, picture.size)
            yield picture
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning):
        raise _too_large(path, None) from None
    except PIL.UnidentifiedImageError:
        mend = "use a PNG, JPEG, WebP, AVIF, BMP, GIF or TIFF"
        raise fail("media.format", f"{path.name} is no picture we can read", mend=mend) from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, struct.error, MemoryError) as error:
        raise fail("media.format", f"{path.name} is damaged: {error}", mend="save it again, or use another") from error


def _too_large(path: Path, size: tuple[int, int] | None) -> Exception:
    what = f"{size[0]}×{size[1]} pixels" if size else "more pixels than is safe"
    return fail("media.format", f"{path.name} has {what}, the limit is {MAX_PIXELS:,}", mend="make it smaller first")


def pixels(picture: PIL.Image.Image) -> tuple[numpy.ndarray[Any, Any], numpy.ndarray[Any, Any]]:
    """RGB float32 [height, width, 3] and alpha float32 [height, width], both 0..1, upright."""
    import numpy as np
    import PIL.ImageOps

    upright = PIL.ImageOps.exif_transpose(picture)
    mode = upright.mode
    if mode.startswith("I") or mode == "F":  # one channel of 16 or 32 bits, or of floats
        grey = np.asarray(upright).astype(np.float32)
        grey = np.clip(grey if mode == "F" else grey / 65535, 0, 1)
        return np.repeat(grey[..., None], 3, axis=2), np.ones(grey.shape, np.float32)
    if mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in upright.info:
        rgba = np.asarray(upright.convert("RGBA"), np.float32) / 255
        return np.ascontiguousarray(rgba[..., :3]), np.ascontiguousarray(rgba[..., 3])
    rgb = np.asarray(upright.convert("RGB"), np.float32) / 255
    return rgb, np.ones(rgb.shape[:2], np.float32)
