"""Save: pictures to files, fast and never half-written, with what it takes to make them again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from engine import places
from engine.errors import refuse
from engine.node import Help, Range, Unkeyed, node
from engine.run import Run
from engine.sockets import copy, rule, same
from nodes import naming, parameters
from nodes.image import png
from nodes.metadata import EXIF_DESCRIPTION, KEY, Keep, dumps, jpeg_with, record
from nodes.types import Image, Mask

if TYPE_CHECKING:
    import numpy

Format = Literal["png", "webp", "jpeg", "avif"]
Bits = Annotated[Literal[8, 16], Help("Of each channel; 16 for PNG alone, for what is edited further.")]
Profile = Annotated[
    Literal["none", "sRGB"], Help("A colour profile in the file; viewers take pictures as sRGB without.")
]
Name = Annotated[str, Unkeyed, Help("A pattern: %date%, %seed%, %width%, %node.input%, %counter%; / makes folders.")]
_ENDINGS: Mapping[str, str] = {"png": ".png", "webp": ".webp", "jpeg": ".jpg", "avif": ".avif"}
_WEBP_SIDE, _AVIF_SIDE = 16_383, 65_536


class Saved(NamedTuple):
    """The pictures, passed through, and the files they went to: names in the output folder, `/` on every system."""

    image: Image
    files: list[str]


@dataclass(frozen=True)
class Extra:
    """What goes into a file beside its pixels: our record, the text for galleries, a colour profile, dots per inch."""

    about: Mapping[str, Any]
    plain: str = ""
    profile: str = "none"
    dpi: int = 0

    @property
    def icc(self) -> bytes:
        """The profile's bytes; empty for none."""
        if self.profile == "none":
            return b""
        from PIL import ImageCms

        made: bytes = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        # Bytes 24..35 of a profile say when it was made: the same picture is the same file, whenever it is saved.
        return made[:24] + bytes((7, 208, 0, 1, 0, 1)) + bytes(6) + made[36:]

    def exif(self) -> bytes:
        """Our record as the description, the text for galleries as the user comment; empty for neither."""
        import PIL.Image

        exif = PIL.Image.Exif()
        if self.about:
            exif[EXIF_DESCRIPTION] = dumps(self.about)
        if self.plain:
            exif.get_ifd(parameters.EXIF_IFD)[parameters.USER_COMMENT] = parameters.encoded(self.plain)
        return exif.tobytes() if self.about or self.plain else b""


def save_facts(**inputs: Any) -> dict[str, dict[str, Any]]:
    """No new facts; refuses a name that leaves the output folder before anything has run."""
    if isinstance(inputs["name"], str):
        naming.check(inputs["name"])
    if inputs["format"] == "jpeg" and inputs["mask"] is not None:
        raise refuse("a JPEG has no transparency", socket="format", mend="save as png or webp, or unwire the mask")
    if inputs.get("bits") == 16 and inputs["format"] != "png":
        raise refuse(f"{inputs['format']} holds 8 bits a channel", socket="bits", mend="save as png, or use 8")
    return {}


@node(
    "image.save",
    title="Save image",
    advanced=("quality", "metadata", "bits", "profile", "dpi"),
    effect=True,
    lane="io",
    facts=[
        rule("nodes.image.save:save_facts"),
        same("width", "image", "mask"),
        same("height", "image", "mask"),
        *(copy(f"image.{fact}", f"image.{fact}") for fact in ("width", "height", "batch")),
    ],
    aliases=["SaveImage", "JoinImageWithAlpha", "SaveImageWebsocket"],
)
def save(
    run: Run,
    image: Image,
    name: Name = "%title%",
    format: Format = "png",
    quality: Annotated[int, Range(1, 100, 1), Help("Of WebP, JPEG and AVIF; WebP at 100 is lossless.")] = 92,
    metadata: Annotated[Keep, Help("Carry the workflow and its values, the values alone, or nothing.")] = "full",
    mask: Annotated[Mask | None, Help("Saved as transparency: alpha = 1 - mask.")] = None,
    bits: Bits = 8,
    profile: Profile = "none",
    dpi: Annotated[int, Range(0, 2400, 1, soft=(0, 600)), Help("Dots per inch, for printing; 0 says nothing.")] = 0,
) -> Saved:
    """Write each picture of the batch as sRGB, rounded as diffusers does, under the next free number.

    With metadata the file also says prompt, seed and steps in the text that other programs and galleries read.
    """
    document, resolved = told(run)
    files = []
    for item, levels in enumerate(to_levels(image, mask, bits)):
        run.progress(item, len(image.pixels))
        known = naming.values_for(document, resolved, levels.shape[1], levels.shape[0], item)
        extra = Extra(record(document, resolved, metadata, item), _plain(run, metadata, levels, item), profile, dpi)
        data = encode(levels, format, quality, extra)
        files.append(naming.write_new(places.current().output, naming.expand(name, known), _ENDINGS[format], data))
    return Saved(image, files)


def told(run: Run) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The workflow that runs as plain data, and the values it runs with."""
    return getattr(run, "document", None) or {}, getattr(run, "resolved", None) or {}


def _plain(run: Run, keep: str, levels: numpy.ndarray[Any, Any], item: int) -> str:
    """The text for galleries of one picture."""
    if keep == "none":
        return ""
    return parameters.text(parameters.summary(*told(run), item), levels.shape[1], levels.shape[0])


def to_levels(image: Image, mask: Mask | None = None, bits: int = 8) -> numpy.ndarray[Any, Any]:
    """uint8 (or uint16) [batch, height, width, 3 or 4], round half to even as numpy and diffusers do."""
    import numpy as np
    import torch

    pixels = image.pixels.detach().float()
    if mask is not None:
        if mask.alpha.shape[1:] != pixels.shape[1:3]:
            raise refuse("mask and picture differ in size", socket="mask", mend="resize one of them")
        alpha = (1 - mask.alpha.to(pixels)).expand(len(pixels), -1, -1)
        pixels = torch.cat([pixels, alpha[..., None]], dim=-1)
    if bits == 16:
        return (pixels.clamp(0, 1).double() * 65_535).round().cpu().numpy().astype(np.uint16)
    levels: numpy.ndarray[Any, Any] = (pixels.clamp(0, 1) * 255).round().byte().cpu().numpy()
    return levels


def encode(levels: numpy.ndarray[Any, Any], format: str, quality: int, extra: Extra) -> bytes:
    """One picture, uint8 [height, width, 3 or 4] (uint16 for PNG), as a file's bytes with what goes beside it."""
    import PIL.Image

    text = dumps(extra.about) if extra.about else ""
    if format == "png":
        texts = {KEY: text, "Software": "weft"} if text else {}
        return png.encode(levels, texts | ({parameters.KEY: extra.plain} if extra.plain else {}), extra.icc, extra.dpi)
    _check(levels, format)
    stream, picture = BytesIO(), PIL.Image.fromarray(levels)
    options: dict[str, Any] = {"quality": quality, "icc_profile": extra.icc or None}
    if extra.dpi:
        options["dpi"] = (extra.dpi, extra.dpi)
    if format == "jpeg":
        # The record may be larger than EXIF's 64 kB: it stands in comments, the text for galleries in EXIF.
        exif = Extra({}, extra.plain[:30_000]).exif()
        picture.save(stream, "JPEG", subsampling=0 if quality >= 90 else 2, exif=exif, **options)
        return jpeg_with(stream.getvalue(), text) if text else stream.getvalue()
    if format == "webp":
        options["lossless"] = quality == 100
    picture.save(stream, format.upper(), exif=extra.exif(), **options)
    return stream.getvalue()


def _check(levels: numpy.ndarray[Any, Any], format: str) -> None:
    """Can the format hold such a picture?"""
    from PIL import features

    if format == "jpeg" and levels.shape[-1] == 4:
        raise refuse("a JPEG has no transparency", socket="format", mend="save as png or webp, or unwire the mask")
    if levels.dtype.itemsize != 1:
        raise refuse(f"{format} holds 8 bits a channel", socket="bits", mend="save as png, or use 8")
    most = {"webp": _WEBP_SIDE, "avif": _AVIF_SIDE}.get(format, 65_535)
    if max(levels.shape[-3:-1]) > most:
        name = {"webp": "WebP", "avif": "AVIF", "jpeg": "JPEG"}[format]
        raise refuse(f"a {name} holds at most {most} pixels a side", socket="format", mend="save as png")
    if format == "avif" and not features.check("avif"):
        raise refuse("this Pillow cannot write AVIF", socket="format", mend="use webp, or install pillow 11.3 or newer")
