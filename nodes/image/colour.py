"""Colour: names of colours, Lab, and the nodes that change what a picture's colours are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from engine.errors import refuse
from engine.node import Help, Range, node
from engine.sockets import copy
from nodes.types import Image, Mask

if TYPE_CHECKING:
    import torch

WHITE, BLACK = "#ffffff", "#000000"
Colour = Annotated[str, Help("As on the web: #ff8000, #f80, orange, rgb(255, 128, 0), hsl(30, 100%, 50%).")]
SAME_SIZE = [copy(f"image.{fact}", f"image.{fact}") for fact in ("width", "height", "batch")]
Factor = Annotated[float, Range(0, 4, 0.01, soft=(0, 2))]
LUMA = (0.2126, 0.7152, 0.0722)  # Rec. 709


def rgb(name: str, socket: str = "colour") -> tuple[float, float, float]:
    """A colour by its web name as RGB, 0..1."""
    import PIL.ImageColor

    try:
        red, green, blue = PIL.ImageColor.getrgb(name.strip())[:3]
    except ValueError:
        raise refuse(
            f"'{name[:40]}' is no colour", socket=socket, mend="write #ff8000, or a name like orange"
        ) from None
    return red / 255, green / 255, blue / 255


# --- spaces ----------------------------------------------------------------------------------------------------------

_TO_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
_D65 = (0.95047, 1.0, 1.08883)
_LOW, _SLOPE = 216 / 24389, 24389 / 27


def to_lab(pixels: torch.Tensor) -> torch.Tensor:
    """The sRGB of 0..1 [..., 3] as CIE L*a*b* (D65): L 0..100, a and b about -128..127."""
    import torch

    linear = torch.where(pixels <= 0.04045, pixels / 12.92, ((pixels + 0.055) / 1.055).clamp(min=0) ** 2.4)
    xyz = linear @ pixels.new_tensor(_TO_XYZ).T / pixels.new_tensor(_D65)
    f = torch.where(xyz > _LOW, xyz.clamp(min=1e-9) ** (1 / 3), (_SLOPE * xyz + 16) / 116)
    x, y, z = f.unbind(-1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def from_lab(lab: torch.Tensor) -> torch.Tensor:
    """CIE L*a*b* [..., 3] as sRGB, not clamped."""
    import torch

    lightness, a, b = lab.unbind(-1)
    y = (lightness + 16) / 116
    f = torch.stack([y + a / 500, y, y - b / 200], -1)
    xyz = torch.where(f**3 > _LOW, f**3, (116 * f - 16) / _SLOPE) * lab.new_tensor(_D65)
    linear = xyz @ torch.linalg.inv(lab.new_tensor(_TO_XYZ)).T
    return torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clamp(min=0) ** (1 / 2.4) - 0.055)


# --- nodes -----------------------------------------------------------------------------------------------------------


@node(
    "image.adjust",
    title="Adjust colours",
    output="image",
    lane="cpu",
    facts=SAME_SIZE,
    aliases=[
        "brightness",
        "contrast",
        "saturation",
        "hue",
        "ImageColorAdjust",
        "AdjustBrightness",
        "AdjustContrast",
        "Image Filter Adjustments",
    ],
)
def adjust(
    image: Image,
    brightness: Annotated[Factor, Help("Times this.")] = 1.0,
    contrast: Annotated[Factor, Help("Distance from middle grey, times this.")] = 1.0,
    saturation: Annotated[Factor, Help("0 is grey, 1 as it is.")] = 1.0,
    hue: Annotated[float, Range(-180, 180, 1), Help("Degrees around the colour circle.")] = 0.0,
) -> Image:
    """Brightness, contrast, saturation and hue, in this order, as the W3C's "Filter Effects" has them (section 9)."""
    x = image.pixels
    if brightness != 1:
        x = x * brightness
    if contrast != 1:
        x = (x - 0.5) * contrast + 0.5
    if saturation != 1:
        luma = (x * x.new_tensor((0.213, 0.715, 0.072))).sum(-1, keepdim=True)
        x = luma + (x - luma) * saturation
    if hue:
        x = x @ x.new_tensor(_hue_matrix(hue)).T
    return Image(x.clamp(0, 1))


def _hue_matrix(degrees: float) -> list[list[float]]:
    """A turn around the grey axis that keeps the luma."""
    import math

    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    red, green, blue = 0.213, 0.715, 0.072
    return [
        [red + cos * (1 - red) - sin * red, green - cos * green - sin * green, blue - cos * blue + sin * (1 - blue)],
        [red - cos * red + sin * 0.143, green + cos * (1 - green) + sin * 0.140, blue - cos * blue - sin * 0.283],
        [red - cos * red - sin * (1 - red), green - cos * green + sin * green, blue + cos * (1 - blue) + sin * blue],
    ]


@node(
    "image.match_colour",
    title="Match colours",
    output="image",
    lane="cpu",
    facts=SAME_SIZE,
    aliases=["ColorMatch", "color transfer", "Image Color Match"],
)
def match_colour(
    image: Image,
    reference: Image,
    how: Annotated[
        Literal["lab", "histogram", "mean"],
        Help("lab: mean and spread. histogram: all levels of each channel. mean: the average colour alone."),
    ] = "lab",
    amount: Annotated[float, Range(0, 1, 0.01)] = 1.0,
) -> Image:
    """Give a picture the colours of another, whatever its size: after an inpaint, a second pass, between frames.

    `lab` moves mean and standard deviation in L*a*b* (Reinhard et al. 2001, there in lαβ). One reference serves all.
    """
    import torch

    if len(reference.pixels) not in (1, len(image.pixels)):
        count = f"{len(reference.pixels)} references for {len(image.pixels)} pictures"
        raise refuse(count, socket="reference", mend="use one, or one each")
    made = []
    for index, item in enumerate(image.pixels):
        goal = reference.pixels[index % len(reference.pixels)].to(item)
        if how == "histogram":
            made.append(_histogram(item, goal))
        else:
            mine, theirs = to_lab(item), to_lab(goal)
            spread = theirs.std((0, 1)) / mine.std((0, 1)).clamp(min=1e-4) if how == "lab" else 1.0
            made.append(from_lab((mine - mine.mean((0, 1))) * spread + theirs.mean((0, 1))))
    return Image(torch.lerp(image.pixels, torch.stack(made).clamp(0, 1), amount))


def _histogram(item: torch.Tensor, goal: torch.Tensor) -> torch.Tensor:
    """[height, width, 3] with, in each channel, the levels of the goal in its own order."""
    import torch

    at = torch.linspace(0, 1, 1024, device=item.device)
    planes = []
    for channel in range(3):
        mine, theirs = item[..., channel].flatten(), goal[..., channel].flatten()
        old, new = (
            one.sort().values[(at * (len(one) - 1)).round().long()].double().contiguous() for one in (mine, theirs)
        )
        right = torch.searchsorted(old, mine.double().contiguous()).clamp(1, len(old) - 1)
        low, high = old[right - 1], old[right]
        share = ((mine - low) / (high - low).clamp(min=1e-9)).clamp(0, 1)
        planes.append(new[right - 1] + (new[right] - new[right - 1]) * share)
    return torch.stack(planes, -1).float().view_as(item)


class Channels(NamedTuple):
    """The three channels, each as a mask."""

    red: Mask
    green: Mask
    blue: Mask


@node("image.channels", title="Split channels", lane="cpu", aliases=["split channels", "Image Select Channel"])
def channels(image: Image) -> Channels:
    """Red, green and blue as a mask each, float32 [batch, height, width]."""
    red, green, blue = (channel.contiguous() for channel in image.pixels.unbind(-1))
    return Channels(Mask(red), Mask(green), Mask(blue))


@node(
    "image.from_channels",
    title="Join channels",
    output="image",
    lane="cpu",
    aliases=["merge channels", "combine channels"],
)
def from_channels(red: Mask, green: Mask, blue: Mask) -> Image:
    """A picture from three masks of one size."""
    import torch

    planes = (red.alpha, green.alpha, blue.alpha)
    if len({one.shape for one in planes}) > 1:
        sizes = ", ".join(f"{one.shape[2]}×{one.shape[1]}×{len(one)}" for one in planes)
        raise refuse(f"the channels differ: {sizes}", socket="green", mend="give three masks of one size and number")
    return Image(torch.stack([one.to(planes[0]) for one in planes], -1))


@node(
    "image.grey",
    title="Greyscale",
    output="image",
    lane="cpu",
    facts=SAME_SIZE,
    aliases=["grayscale", "luminance", "desaturate"],
)
def grey(image: Image, how: Literal["luma", "lightness", "average", "maximum"] = "luma") -> Image:
    """Without colour: Rec. 709 luma, the lightness L* of Lab, the mean of the channels, or the largest of them."""
    x = image.pixels
    if how == "luma":
        plane = (x * x.new_tensor(LUMA)).sum(-1, keepdim=True)
    elif how == "lightness":
        plane = to_lab(x)[..., :1] / 100
    else:
        plane = x.mean(-1, keepdim=True) if how == "average" else x.amax(-1, keepdim=True)
    return Image(plane.clamp(0, 1).repeat(1, 1, 1, 3))


@node(
    "image.quantize",
    title="Reduce colours",
    output="image",
    lane="cpu",
    facts=SAME_SIZE,
    aliases=["ImageQuantize", "posterize", "palette"],
)
def quantize(
    image: Image,
    colours: Annotated[int, Range(2, 256, 1, soft=(2, 64))] = 16,
    dither: Annotated[bool, Help("Spread the error over the neighbours (Floyd & Steinberg 1976).")] = False,
) -> Image:
    """A palette of this many colours, found for each picture by median cut (Heckbert 1982), with Pillow."""
    import numpy as np
    import PIL.Image
    import torch

    made = []
    for picture in image.pil():
        palette = picture.quantize(colours, PIL.Image.Quantize.MEDIANCUT)
        kind = PIL.Image.Dither.FLOYDSTEINBERG if dither else PIL.Image.Dither.NONE
        few = picture.quantize(palette=palette, dither=kind).convert("RGB")
        made.append(torch.from_numpy(np.asarray(few, np.float32) / 255))
    return Image(torch.stack(made).to(image.pixels.device))
