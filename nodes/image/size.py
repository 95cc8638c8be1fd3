"""Size: resizing, cropping, padding and turning, and what size a picture has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from engine.errors import refuse
from engine.node import Help, Range, Size, node
from engine.sockets import Ref, copy, facts_of, rule
from nodes.image.filters import MAX_PIXELS, Method, resample
from nodes.types import Image, Mask

if TYPE_CHECKING:
    import torch

Fit = Annotated[
    Literal["stretch", "inside", "cover", "pad"],
    Help("stretch: exactly this size. inside: keep the shape, no larger. cover: fill and cut. pad: fit, black around."),
]
Pixels = Annotated[int, Range(0, 16_384, 1)]


class Measures(NamedTuple):
    """The size in pixels, and how many pictures there are."""

    width: int
    height: int
    batch: int


class Padded(NamedTuple):
    """The larger picture, and where it is new (1 = new), for outpainting."""

    image: Image
    mask: Mask


def _within(width: int, height: int, to_width: int, to_height: int, cover: bool) -> tuple[int, int]:
    """The size of the same shape that just fits into (or covers) the target."""
    factor = (max if cover else min)(to_width / width, to_height / height)
    return max(1, round(width * factor)), max(1, round(height * factor))


def resize_facts(**inputs: Any) -> dict[str, dict[str, Any]]:
    """The facts of a resized picture, where its size can be known."""
    image, width, height = facts_of(inputs["image"]), inputs["width"], inputs["height"]
    facts = {"batch": image["batch"]} if "batch" in image else {}
    if isinstance(width, Ref) or isinstance(height, Ref):
        return {"image": facts}
    if inputs["fit"] == "inside":
        if "width" not in image or "height" not in image:
            return {"image": facts}
        width, height = _within(image["width"], image["height"], width, height, cover=False)
    return {"image": {**facts, "width": width, "height": height}}


@node(
    "image.resize",
    title="Resize image",
    output="image",
    lane="cpu",
    facts=[rule("nodes.image.size:resize_facts")],
    aliases=["ImageScale", "resize", "Upscale Image", "ResizeAndPadImage", "CenterCropImages", "ResizeImageMaskNode"],
)
def resize(
    image: Image, width: Size = 512, height: Size = 512, method: Method = "lanczos", fit: Fit = "stretch"
) -> Image:
    """Another size in pixels. Lanczos is sharpest, area best for much smaller, nearest keeps hard edges."""
    _check_room(len(image.pixels), width, height)
    if fit == "stretch":
        return Image(resample(image.pixels, width, height, method))
    old_height, old_width = image.pixels.shape[1:3]
    pixels = resample(image.pixels, *_within(old_width, old_height, width, height, fit == "cover"), method)
    if fit == "inside":
        return Image(pixels)
    return Image(_centred(pixels, width, height, 0.0))


By = Literal["megapixels", "longest side", "shortest side", "width", "height"]


def fitted(width: int, height: int, by: str, size: float, multiple: int) -> tuple[int, int]:
    """The size of the same shape by one measure, each side rounded to a multiple."""
    goal = {"longest side": max(width, height), "shortest side": min(width, height), "width": width, "height": height}
    factor = (size * 2**20 / (width * height)) ** 0.5 if by == "megapixels" else size / goal[by]
    across, down = (max(multiple, round(side * factor / multiple) * multiple) for side in (width, height))
    return across, down


def resize_to_facts(**inputs: Any) -> dict[str, dict[str, Any]]:
    """The facts of a picture resized by one measure."""
    image, by, size, multiple = facts_of(inputs["image"]), *(inputs[name] for name in ("by", "size", "multiple"))
    facts = {"batch": image["batch"]} if "batch" in image else {}
    if "width" in image and "height" in image and not any(isinstance(one, Ref) for one in (by, size, multiple)):
        facts["width"], facts["height"] = fitted(image["width"], image["height"], by, size, multiple)
    return {"image": facts}


@node(
    "image.resize_to",
    title="Resize image by side",
    output="image",
    lane="cpu",
    facts=[rule("nodes.image.size:resize_to_facts")],
    aliases=["ImageScaleToTotalPixels", "ImageScaleToMaxDimension", "ImageResizeLongestSide", "megapixels"],
)
def resize_to(
    image: Image,
    by: By = "megapixels",
    size: Annotated[float, Range(0.01, 16_384, 0.01), Help("In megapixels of 1024 × 1024, or in pixels.")] = 1.0,
    multiple: Annotated[int, Range(1, 256, 1), Help("Each side becomes a multiple of this: 8 suits a VAE.")] = 8,
    method: Method = "lanczos",
) -> Image:
    """The same shape at another size, given by one measure; rounding to the multiple bends it by less than that."""
    batch, height, width = image.pixels.shape[:3]
    across, down = fitted(width, height, by, size, multiple)
    _check_room(batch, across, down)
    return Image(resample(image.pixels, across, down, method))


@node("image.scale", title="Scale image", output="image", lane="cpu", aliases=["ImageScaleBy", "Upscale Image By"])
def scale(
    image: Image, factor: Annotated[float, Range(0.01, 16, 0.05, soft=(0.25, 4))] = 2.0, method: Method = "lanczos"
) -> Image:
    """The same picture times a factor in each direction, rounded to whole pixels."""
    batch, height, width = image.pixels.shape[:3]
    to_width, to_height = max(1, round(width * factor)), max(1, round(height * factor))
    _check_room(batch, to_width, to_height)
    return Image(resample(image.pixels, to_width, to_height, method))


def _check_room(batch: int, width: int, height: int) -> None:
    if batch * width * height > MAX_PIXELS:
        raise refuse(f"{batch} × {width}×{height} is more than {MAX_PIXELS:,} pixels", mend="use a smaller size")


def _centred(pixels: torch.Tensor, width: int, height: int, value: float) -> torch.Tensor:
    """Cut, or surrounded with `value`, to the size, the middle kept."""
    import torch.nn.functional as F

    right, bottom = width - pixels.shape[2], height - pixels.shape[1]
    left, top = right // 2, bottom // 2
    return F.pad(pixels, (0, 0, left, right - left, top, bottom - top), value=value)


@node(
    "image.crop",
    title="Crop image",
    output="image",
    lane="cpu",
    facts=[copy("width", "image.width"), copy("height", "image.height"), copy("image.batch", "image.batch")],
    aliases=["ImageCrop", "crop", "cut"],
)
def crop(image: Image, x: Pixels = 0, y: Pixels = 0, width: Size = 512, height: Size = 512) -> Image:
    """The rectangle whose left upper corner is (x, y)."""
    full_height, full_width = image.pixels.shape[1:3]
    if x + width > full_width or y + height > full_height:
        raise refuse(
            f"the rectangle ends at ({x + width}, {y + height}), the picture at ({full_width}, {full_height})",
            socket="width" if x + width > full_width else "height",
            mend="use a smaller rectangle, or pad the picture first",
        )
    return Image(image.pixels[:, y : y + height, x : x + width].contiguous())


@node(
    "image.pad",
    title="Pad image",
    lane="cpu",
    aliases=["ImagePadForOutpaint", "outpaint", "outpainting", "Pad Image for Outpainting"],
)
def pad(
    image: Image,
    left: Pixels = 0,
    top: Pixels = 0,
    right: Pixels = 0,
    bottom: Pixels = 0,
    fill: Literal["gray", "black", "white", "edge", "mirror"] = "gray",
    feather: Annotated[int, Range(0, 1024, 1, soft=(0, 128)), Help("How far the mask reaches back into the old.")] = 0,
) -> Padded:
    """A larger picture with room on its sides: one colour, or the border repeated or mirrored.

    The mask is 1 where it is new; with a feather it falls to 0 over so many pixels of the old picture, on the sides
    that grew, so that what is drawn there goes over into it.
    """
    import torch
    import torch.nn.functional as F

    batch, height, width = image.pixels.shape[:3]
    _check_room(batch, width + left + right, height + top + bottom)
    if fill == "edge":
        pixels = F.pad(image.pixels.movedim(-1, 1), (left, right, top, bottom), mode="replicate").movedim(1, -1)
    elif fill == "mirror":
        rows, columns = _mirrored(-top, height + bottom, height), _mirrored(-left, width + right, width)
        pixels = image.pixels[:, rows][:, :, columns]
    else:
        value = {"gray": 0.5, "black": 0.0, "white": 1.0}[fill]
        pixels = F.pad(image.pixels, (0, 0, left, right, top, bottom), value=value)
    old = torch.zeros(batch, height, width, device=image.pixels.device)
    if feather:
        x, y = torch.arange(width)[None] + 0.5, torch.arange(height)[:, None] + 0.5
        near = torch.full((height, width), float(feather))
        for grew, far in ((left, x), (right, width - x), (top, y), (bottom, height - y)):
            if grew:
                near = torch.minimum(near, far)
        old += (1 - near / feather).to(old)
    return Padded(Image(pixels.contiguous()), Mask(F.pad(old, (left, right, top, bottom), value=1.0)))


def _mirrored(first: int, last: int, length: int) -> torch.Tensor:
    """Indices first..last of a line of `length` that goes on as in two mirrors."""
    import torch

    at = torch.arange(first, last) % (2 * length)
    return torch.where(at < length, at, 2 * length - 1 - at)


@node(
    "image.flip",
    title="Flip image",
    output="image",
    lane="cpu",
    facts=[copy(f"image.{fact}", f"image.{fact}") for fact in ("width", "height", "batch")],
    aliases=["ImageFlip", "mirror"],
)
def flip(image: Image, direction: Literal["horizontal", "vertical"] = "horizontal") -> Image:
    """Mirrored left to right, or top to bottom."""
    return Image(image.pixels.flip(2 if direction == "horizontal" else 1))


@node("image.rotate", title="Rotate image", output="image", lane="cpu", aliases=["ImageRotate"])
def rotate(image: Image, degrees: Literal[90, 180, 270] = 90) -> Image:
    """Turned clockwise, without resampling."""
    return Image(image.pixels.rot90(-degrees // 90, (1, 2)).contiguous())


@node("image.size", title="Image size", lane="cpu", cutoff=True, aliases=["GetImageSize"])
def size(image: Image) -> Measures:
    """Width and height in pixels, and the number of pictures."""
    batch, height, width = image.pixels.shape[:3]
    return Measures(int(width), int(height), int(batch))
