"""Adjust: colours and sharpness. All of it on display values 0..1, as picture editors do."""

from __future__ import annotations

from typing import Annotated

from engine.errors import refuse
from engine.node import Help, Range, node
from engine.sockets import copy
from nodes.image.filters import gaussian
from nodes.types import Image, Mask

SAME_SIZE = [copy(f"image.{fact}", f"image.{fact}") for fact in ("width", "height", "batch")]
Share = Annotated[float, Range(0, 1, 0.01)]
Radius = Annotated[float, Range(0.1, 200, 0.1, soft=(0.5, 20)), Help("Standard deviation in pixels.")]


@node("image.invert", title="Invert image", output="image", lane="cpu", facts=SAME_SIZE, aliases=["ImageInvert"])
def invert(image: Image) -> Image:
    """The negative: 1 - x."""
    return Image(1 - image.pixels)


@node("image.blur", title="Blur image", output="image", lane="cpu", facts=SAME_SIZE, aliases=["ImageBlur"])
def blur(image: Image, radius: Radius = 2.0) -> Image:
    """A Gaussian blur."""
    return Image(gaussian(image.pixels, radius).clamp(0, 1))


@node("image.sharpen", title="Sharpen image", output="image", lane="cpu", facts=SAME_SIZE, aliases=["ImageSharpen"])
def sharpen(
    image: Image, amount: Annotated[float, Range(0, 5, 0.05, soft=(0, 2))] = 0.5, radius: Radius = 1.0
) -> Image:
    """Unsharp mask: add `amount` times what a blur of this radius takes away."""
    return Image((image.pixels + amount * (image.pixels - gaussian(image.pixels, radius))).clamp(0, 1))


@node("image.levels", title="Levels", output="image", lane="cpu", facts=SAME_SIZE, aliases=["ImageLevels"])
def levels(
    image: Image,
    black: Annotated[Share, Help("This and below becomes black.")] = 0.0,
    white: Annotated[Share, Help("This and above becomes white.")] = 1.0,
    gamma: Annotated[float, Range(0.1, 10, 0.05, soft=(0.3, 3)), Help("Above 1 brightens the middle.")] = 1.0,
    saturation: Annotated[float, Range(0, 4, 0.05, soft=(0, 2)), Help("0 is grey (Rec. 709 luma), 1 as it is.")] = 1.0,
) -> Image:
    """Black point, white point, gamma, saturation, in this order."""
    if white <= black:
        raise refuse(f"white {white:g} is not above black {black:g}", socket="white", mend="raise white or lower black")
    x = ((image.pixels - black) / (white - black)).clamp(0, 1)
    if gamma != 1:
        x = x ** (1 / gamma)
    if saturation != 1:
        luma = (x * x.new_tensor((0.2126, 0.7152, 0.0722))).sum(-1, keepdim=True)
        x = (luma + (x - luma) * saturation).clamp(0, 1)
    return Image(x)


@node(
    "image.from_mask",
    title="Mask to image",
    output="image",
    lane="cpu",
    facts=[copy(f"mask.{fact}", f"image.{fact}") for fact in ("width", "height", "batch")],
    aliases=["MaskToImage"],
)
def from_mask(mask: Mask) -> Image:
    """The mask as a grey picture: 1 is white."""
    return Image(mask.alpha[..., None].repeat(1, 1, 1, 3))
