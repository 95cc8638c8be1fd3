"""Mask: where something happens. float32 [batch, height, width], 0..1, 1 = change this."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from engine.errors import refuse
from engine.node import Help, Range, Size, node
from engine.sockets import copy, same
from nodes.image.adjust import check_alike
from nodes.image.filters import Method, gaussian, resample
from nodes.types import Image, Mask

if TYPE_CHECKING:
    import torch

SAME_SIZE = [copy(f"mask.{fact}", f"mask.{fact}") for fact in ("width", "height", "batch")]
NEW_SIZE = [copy("width", "mask.width"), copy("height", "mask.height")]
Level = Annotated[float, Range(0, 1, 0.01)]
Pixels = Annotated[int, Range(0, 16_384, 1)]


@node("mask.solid", output="mask", lane="cpu", facts=NEW_SIZE, aliases=["SolidMask"])
def solid(width: Size = 512, height: Size = 512, value: Level = 1.0) -> Mask:
    """The same value everywhere."""
    import torch

    return Mask(torch.full((1, height, width), float(value)))


@node("mask.rectangle", output="mask", lane="cpu", facts=NEW_SIZE)
def rectangle(
    width: Annotated[Size, Help("Of the whole mask, in pixels.")] = 512,
    height: Annotated[Size, Help("Of the whole mask, in pixels.")] = 512,
    left: Annotated[Pixels, Help("Of the rectangle, in pixels.")] = 128,
    top: Annotated[Pixels, Help("Of the rectangle, in pixels.")] = 128,
    right: Annotated[Pixels, Help("First column after the rectangle.")] = 384,
    bottom: Annotated[Pixels, Help("First row after the rectangle.")] = 384,
) -> Mask:
    """1 inside a rectangle, 0 outside."""
    import torch

    if not (left < right <= width and top < bottom <= height):
        raise refuse(
            f"({left}, {top}) to ({right}, {bottom}) is no rectangle within {width}×{height}",
            socket="right" if not left < right <= width else "bottom",
            mend="keep left < right <= width and top < bottom <= height",
        )
    alpha = torch.zeros(1, height, width)
    alpha[:, top:bottom, left:right] = 1
    return Mask(alpha)


@node(
    "mask.from_image",
    output="mask",
    lane="cpu",
    facts=[copy(f"image.{fact}", f"mask.{fact}") for fact in ("width", "height", "batch")],
    aliases=["ImageToMask"],
)
def from_image(image: Image, channel: Literal["luma", "red", "green", "blue"] = "luma") -> Mask:
    """A colour channel, or the brightness (Rec. 709), as a mask: white = change this."""
    if channel == "luma":
        return Mask((image.pixels * image.pixels.new_tensor((0.2126, 0.7152, 0.0722))).sum(-1).clamp(0, 1))
    return Mask(image.pixels[..., ("red", "green", "blue").index(channel)].contiguous())


@node("mask.invert", output="mask", lane="cpu", facts=SAME_SIZE, aliases=["InvertMask"])
def invert(mask: Mask) -> Mask:
    """1 - x: what was kept changes, and the other way round."""
    return Mask(1 - mask.alpha)


@node("mask.grow", output="mask", lane="cpu", facts=SAME_SIZE, aliases=["GrowMask"])
def grow(
    mask: Mask, pixels: Annotated[int, Range(-512, 512, 1, soft=(-64, 64)), Help("Negative shrinks.")] = 8
) -> Mask:
    """Grown (or shrunk) by this many pixels in each direction: a maximum (minimum) over a square."""
    return Mask(grown(mask.alpha, pixels))


def grown(alpha: torch.Tensor, pixels: int) -> torch.Tensor:
    """[batch, height, width], its maximum over squares of `pixels` in each direction; below 0 its minimum."""
    import torch.nn.functional as F

    if pixels == 0:
        return alpha
    reach = abs(pixels)
    found = alpha if pixels > 0 else 1 - alpha
    for axis in (2, 1):  # a square is a row of columns, and a long row several short ones
        left = reach
        while left:
            step = min(left, 64)
            kernel, padding = ((1, 2 * step + 1), (0, step)) if axis == 2 else ((2 * step + 1, 1), (step, 0))
            found = F.max_pool2d(found, kernel, stride=1, padding=padding)
            left -= step
    return found if pixels > 0 else 1 - found


@node("mask.feather", output="mask", lane="cpu", facts=SAME_SIZE, aliases=["FeatherMask", "MaskBlur"])
def feather(
    mask: Mask, radius: Annotated[float, Range(0.1, 200, 0.1, soft=(1, 32)), Help("Standard deviation, pixels.")] = 4.0
) -> Mask:
    """A soft edge, by a Gaussian blur."""
    return Mask(gaussian(mask.alpha[..., None], radius)[..., 0].clamp(0, 1))


@node("mask.threshold", output="mask", lane="cpu", facts=SAME_SIZE, aliases=["ThresholdMask"])
def threshold(mask: Mask, level: Level = 0.5) -> Mask:
    """1 where the mask is above the level, else 0."""
    return Mask((mask.alpha > level).float())


@node(
    "mask.combine",
    output="mask",
    lane="cpu",
    facts=[same("width", "mask", "other"), same("height", "mask", "other"), *SAME_SIZE],
    aliases=["MaskComposite"],
)
def combine(mask: Mask, other: Mask, mode: Literal["union", "intersect", "subtract", "difference"] = "union") -> Mask:
    """Two masks of one size: max, min, the first without the second, or where they differ."""
    import torch

    first, second = mask.alpha, other.alpha.to(mask.alpha.device)
    check_alike(first[..., None], second[..., None], "other")
    if mode == "union":
        return Mask(torch.maximum(first, second))
    if mode == "intersect":
        return Mask(torch.minimum(first, second))
    return Mask((first - second).clamp(0, 1) if mode == "subtract" else (first - second).abs())


@node("mask.resize", output="mask", lane="cpu", facts=NEW_SIZE)
def resize(mask: Mask, width: Size = 512, height: Size = 512, method: Method = "bilinear") -> Mask:
    """Another size in pixels."""
    return Mask(resample(mask.alpha[..., None], width, height, method)[..., 0].contiguous())
