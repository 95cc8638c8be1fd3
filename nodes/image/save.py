"""Save: pictures to files, fast and never half-written, with what it takes to make them again."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from engine import places
from engine.errors import refuse
from engine.node import Help, Range, Unkeyed, node
from engine.run import Run
from engine.sockets import copy, rule, same
from nodes import naming
from nodes.image import png
from nodes.metadata import EXIF_DESCRIPTION, KEY, Keep, dumps, jpeg_with, record
from nodes.types import Image, Mask

if TYPE_CHECKING:
    import numpy

Format = Literal["png", "webp", "jpeg"]
_ENDINGS: Mapping[str, str] = {"png": ".png", "webp": ".webp", "jpeg": ".jpg"}
_WEBP_SIDE = 16_383


class Saved(NamedTuple):
    """The pictures, passed through, and the files they went to: names in the output folder, `/` on every system."""

    image: Image
    files: list[str]


def save_facts(**inputs: Any) -> dict[str, dict[str, Any]]:
    """No new facts; refuses a name that leaves the output folder before anything has run."""
    if isinstance(inputs["name"], str):
        naming.check(inputs["name"])
    if inputs["format"] == "jpeg" and inputs["mask"] is not None:
        raise refuse("a JPEG has no transparency", socket="format", mend="save as png or webp, or unwire the mask")
    return {}


@node(
    "image.save",
    effect=True,
    lane="io",
    facts=[
        rule("nodes.image.save:save_facts"),
        same("width", "image", "mask"),
        same("height", "image", "mask"),
        *(copy(f"image.{fact}", f"image.{fact}") for fact in ("width", "height", "batch")),
    ],
    aliases=["SaveImage"],
)
def save(
    run: Run,
    image: Image,
    name: Annotated[
        str, Unkeyed, Help("A pattern: %date%, %seed%, %width%, %node.input%, %counter%; / makes folders.")
    ] = "%title%",
    format: Format = "png",
    quality: Annotated[int, Range(1, 100, 1), Help("Of WebP and JPEG; WebP at 100 is lossless.")] = 92,
    metadata: Annotated[Keep, Help("Carry the workflow and its values, the values alone, or nothing.")] = "full",
    mask: Annotated[Mask | None, Help("Saved as transparency: alpha = 1 - mask.")] = None,
) -> Saved:
    """Write each picture of the batch as 8-bit sRGB, rounded as diffusers does, under the next free number."""
    document: Mapping[str, Any] = getattr(run, "document", None) or {}
    resolved: Mapping[str, Any] = getattr(run, "resolved", None) or {}
    files = []
    for item, levels in enumerate(_levels(image, mask)):
        run.progress(item, len(image.pixels))
        known = naming.values_for(document, resolved, levels.shape[1], levels.shape[0], item)
        data = encode(levels, format, quality, record(document, resolved, metadata, item))
        files.append(naming.write_new(places.current().output, naming.expand(name, known), _ENDINGS[format], data))
    return Saved(image, files)


def _levels(image: Image, mask: Mask | None) -> numpy.ndarray[Any, Any]:
    """uint8 [batch, height, width, 3 or 4], round half to even as numpy and diffusers do."""
    import torch

    pixels = image.pixels.detach().float()
    if mask is not None:
        if mask.alpha.shape[1:] != pixels.shape[1:3]:
            raise refuse("mask and picture differ in size", socket="mask", mend="resize one of them")
        alpha = (1 - mask.alpha.to(pixels)).expand(len(pixels), -1, -1)
        pixels = torch.cat([pixels, alpha[..., None]], dim=-1)
    levels: numpy.ndarray[Any, Any] = (pixels.clamp(0, 1) * 255).round().byte().cpu().numpy()
    return levels


def encode(levels: numpy.ndarray[Any, Any], format: str, quality: int, about: Mapping[str, Any]) -> bytes:
    """One picture, uint8 [height, width, 3 or 4], as a file's bytes with its metadata record."""
    import PIL.Image

    text = dumps(about) if about else ""
    if format == "png":
        return png.encode(levels, {KEY: text, "Software": "weft"} if text else {})
    if format == "jpeg" and levels.shape[2] == 4:
        raise refuse("a JPEG has no transparency", socket="format", mend="save as png or webp, or unwire the mask")
    if format == "webp" and max(levels.shape[:2]) > _WEBP_SIDE:
        raise refuse(f"a WebP holds at most {_WEBP_SIDE} pixels a side", socket="format", mend="save as png")
    stream, picture = BytesIO(), PIL.Image.fromarray(levels)
    if format == "jpeg":
        picture.save(stream, "JPEG", quality=quality, subsampling=0 if quality >= 90 else 2)
        return jpeg_with(stream.getvalue(), text)
    exif = PIL.Image.Exif()
    if text:
        exif[EXIF_DESCRIPTION] = text
    picture.save(stream, "WEBP", quality=quality, lossless=quality == 100, exif=exif.tobytes() if text else b"")
    return stream.getvalue()
