"""Make: masks from shapes, colours, channels and files. float32 [batch, height, width], 0..1, 1 = change this."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from engine import places
from engine.errors import refuse
from engine.node import File, Help, Range, Size, node
from engine.sockets import Ref, copy, rule
from nodes.image.colour import LUMA, Colour, rgb, to_lab
from nodes.image.filters import Method, resample
from nodes.image.load import load_facts, opened, pixels
from nodes.types import Image, Mask

NEW_SIZE = [copy("width", "mask.width"), copy("height", "mask.height")]
OF_IMAGE = [copy(f"image.{fact}", f"mask.{fact}") for fact in ("width", "height", "batch")]
Level = Annotated[float, Range(0, 1, 0.01)]
Pixels = Annotated[int, Range(0, 16_384, 1)]
WholeWidth = Annotated[Size, Help("Of the whole mask, in pixels.")]
Share = Annotated[float, Range(0, 1, 0.01), Help("As a fraction of the mask's side.")]


@node("mask.solid", title="Solid mask", output="mask", lane="cpu", facts=NEW_SIZE, aliases=["SolidMask"])
def solid(width: Size = 512, height: Size = 512, value: Level = 1.0) -> Mask:
    """The same value everywhere."""
    import torch

    return Mask(torch.full((1, height, width), float(value)))


def rectangle_facts(**inputs: Any) -> dict[str, dict[str, Any]]:
    """No new facts; a rectangle that does not lie in its mask is refused as soon as its corners are known."""
    corners = [inputs[name] for name in ("width", "height", "left", "top", "right", "bottom")]
    if not any(isinstance(one, Ref) for one in corners):
        _check_rectangle(*corners)
    return {}


def _check_rectangle(width: int, height: int, left: int, top: int, right: int, bottom: int) -> None:
    if not (left < right <= width and top < bottom <= height):
        across = left < right <= width
        bad, end = ("bottom", height) if across else ("right", width)
        raise refuse(
            f"({left}, {top}) to ({right}, {bottom}) is no rectangle within {width}×{height}",
            socket=bad if (top if across else left) < end else ("top" if across else "left"),
            mend=f"keep left < right <= {width} and top < bottom <= {height}",
        )


@node(
    "mask.rectangle",
    title="Rectangle mask",
    output="mask",
    lane="cpu",
    facts=[rule("nodes.mask.make:rectangle_facts"), *NEW_SIZE],
    aliases=["CreateRectMask", "RectangleMask", "box mask"],
)
def rectangle(
    width: WholeWidth = 512,
    height: WholeWidth = 512,
    left: Annotated[Pixels, Help("Of the rectangle, in pixels.")] = 128,
    top: Annotated[Pixels, Help("Of the rectangle, in pixels.")] = 128,
    right: Annotated[Pixels, Help("First column after the rectangle.")] = 384,
    bottom: Annotated[Pixels, Help("First row after the rectangle.")] = 384,
) -> Mask:
    """1 inside a rectangle, 0 outside."""
    import torch

    _check_rectangle(width, height, left, top, right, bottom)
    alpha = torch.zeros(1, height, width)
    alpha[:, top:bottom, left:right] = 1
    return Mask(alpha)


@node(
    "mask.ellipse",
    title="Ellipse mask",
    output="mask",
    lane="cpu",
    facts=NEW_SIZE,
    aliases=["CircleMask", "CreateShapeMask", "round mask"],
)
def ellipse(
    width: WholeWidth = 512,
    height: WholeWidth = 512,
    x: Annotated[Share, Help("Of its middle, as a fraction of the width.")] = 0.5,
    y: Annotated[Share, Help("Of its middle, as a fraction of the height.")] = 0.5,
    across: Annotated[float, Range(0, 2, 0.01), Help("How wide, as a fraction of the width.")] = 0.5,
    down: Annotated[float, Range(0, 2, 0.01), Help("How tall, as a fraction of the height.")] = 0.5,
) -> Mask:
    """1 inside an ellipse, 0 outside, its edge smooth within a pixel."""
    import torch

    columns = (torch.arange(width) + 0.5 - x * width)[None]
    rows = (torch.arange(height) + 0.5 - y * height)[:, None]
    a, b = max(across * width / 2, 1e-3), max(down * height / 2, 1e-3)
    far = ((columns / a) ** 2 + (rows / b) ** 2).sqrt()
    return Mask(((1 - far) * min(a, b) + 0.5).clamp(0, 1)[None])


@node("mask.polygon", title="Polygon mask", output="mask", lane="cpu", facts=NEW_SIZE, aliases=["lasso"])
def polygon(
    width: WholeWidth = 512,
    height: WholeWidth = 512,
    points: Annotated[str, Help("Corners as fractions of width and height: 0.2,0.1 0.8,0.1 0.5,0.9")] = (
        "0.2,0.8 0.5,0.2 0.8,0.8"
    ),
) -> Mask:
    """1 inside a polygon, 0 outside, its edge smooth (drawn four times as large)."""
    import numpy as np
    import PIL.Image
    import PIL.ImageDraw
    import torch

    try:
        corners = [tuple(float(number) for number in pair.split(",")) for pair in points.replace(";", " ").split()]
        good = len(corners) >= 3 and all(len(one) == 2 and all(map(math.isfinite, one)) for one in corners)
    except ValueError:
        good = False
    if not good:
        raise refuse(f"'{points[:60]}' are no corners", socket="points", mend="write three or more, as 0.2,0.8 0.5,0.2")
    sheet = PIL.Image.new("L", (4 * width, 4 * height), 0)
    PIL.ImageDraw.Draw(sheet).polygon([(4 * width * x, 4 * height * y) for x, y in corners], fill=255)
    levels = np.asarray(sheet.reduce(4), np.float32) / 255
    return Mask(torch.from_numpy(levels)[None])


@node(
    "mask.gradient",
    title="Gradient mask",
    output="mask",
    lane="cpu",
    facts=NEW_SIZE,
    aliases=["CreateGradientMask", "linear mask"],
)
def gradient(
    width: WholeWidth = 512,
    height: WholeWidth = 512,
    direction: Literal["right", "left", "down", "up", "outwards", "inwards"] = "right",
    start: Annotated[Level, Help("Where it leaves 0, along the way.")] = 0.0,
    end: Annotated[Level, Help("Where it reaches 1.")] = 1.0,
) -> Mask:
    """From 0 to 1 in a line, or from the middle to the corners: a change that fades in."""
    import torch

    x, y = (torch.arange(width) + 0.5)[None] / width, (torch.arange(height) + 0.5)[:, None] / height
    if direction in ("outwards", "inwards"):
        at = ((2 * x - 1) ** 2 + (2 * y - 1) ** 2).sqrt() / 2**0.5
    else:
        at = (x + 0 * y) if direction in ("right", "left") else (y + 0 * x)
    if direction in ("left", "up", "inwards"):
        at = 1 - at
    if start == end:
        return Mask((at >= start).float()[None])
    return Mask(((at - start) / (end - start)).clamp(0, 1)[None])


@node("mask.from_image", title="Image to mask", output="mask", lane="cpu", facts=OF_IMAGE, aliases=["ImageToMask"])
def from_image(image: Image, channel: Literal["luma", "red", "green", "blue"] = "luma") -> Mask:
    """A colour channel, or the brightness (Rec. 709), as a mask: white = change this."""
    if channel == "luma":
        return Mask((image.pixels * image.pixels.new_tensor(LUMA)).sum(-1).clamp(0, 1))
    return Mask(image.pixels[..., ("red", "green", "blue").index(channel)].contiguous())


@node(
    "mask.from_colour",
    title="Mask from colour",
    output="mask",
    lane="cpu",
    facts=OF_IMAGE,
    aliases=["ImageColorToMask", "MaskFromColor", "chroma key"],
)
def from_colour(
    image: Image,
    colour: Colour = "#00ff00",
    tolerance: Annotated[float, Range(0, 200, 0.5, soft=(0, 60)), Help("In ΔE of Lab; 2 is just visible.")] = 20.0,
    softness: Annotated[float, Range(0, 100, 0.5), Help("Over so much more it falls to 0.")] = 0.0,
) -> Mask:
    """1 where a picture has this colour: within a distance in L*a*b* (ΔE 1976)."""
    goal = to_lab(image.pixels.new_tensor(rgb(colour)))
    far = (to_lab(image.pixels) - goal).norm(dim=-1)
    if softness == 0:
        return Mask((far <= tolerance).float())
    return Mask((1 - (far - tolerance) / softness).clamp(0, 1))


@node(
    "mask.from_range",
    title="Mask from value range",
    output="mask",
    lane="cpu",
    facts=OF_IMAGE,
    aliases=["luminance mask", "MaskFromRGBCMYBW"],
)
def from_range(
    image: Image,
    low: Level = 0.25,
    high: Level = 0.75,
    of: Literal["luma", "saturation", "red", "green", "blue"] = "luma",
    softness: Annotated[Level, Help("How far beyond both ends it falls to 0.")] = 0.0,
) -> Mask:
    """1 where brightness, saturation or a channel lies between two levels: shadows, midtones, lights."""
    if low > high:
        raise refuse(f"low {low:g} is above high {high:g}", socket="low", mend="swap them")
    x = image.pixels
    if of == "luma":
        value = (x * x.new_tensor(LUMA)).sum(-1)
    elif of == "saturation":
        value = (x.amax(-1) - x.amin(-1)) / x.amax(-1).clamp(min=1e-6)
    else:
        value = x[..., ("red", "green", "blue").index(of)]
    outside = (low - value).clamp(min=0) + (value - high).clamp(min=0)
    return Mask((outside == 0).float() if softness == 0 else (1 - outside / softness).clamp(0, 1))


def file_facts(**inputs: Any) -> dict[str, dict[str, Any]]:
    """Width and height from the file's header."""
    found = load_facts(**inputs)
    return {"mask": found["mask"]} if "mask" in found else {}


@node(
    "mask.load",
    title="Load mask",
    output="mask",
    lane="io",
    facts=[rule("nodes.mask.make:file_facts")],
    aliases=["LoadImageMask"],
)
def load(
    name: Annotated[str, File("input")],
    channel: Annotated[
        Literal["luma", "alpha", "red", "green", "blue"], Help("alpha: 1 where the picture is transparent.")
    ] = "luma",
) -> Mask:
    """A picture from the input folder as a mask: its brightness, where it is transparent, or one channel."""
    import torch

    with opened(places.current().file("input", name)) as picture:
        colours, alpha = pixels(picture)
    if channel == "alpha":
        return Mask(1 - torch.from_numpy(alpha)[None])
    return from_image(Image(torch.from_numpy(colours)[None]), channel)


@node("mask.resize", title="Resize mask", output="mask", lane="cpu", facts=NEW_SIZE, aliases=["ResizeMask"])
def resize(mask: Mask, width: Size = 512, height: Size = 512, method: Method = "bilinear") -> Mask:
    """Another size in pixels."""
    return Mask(resample(mask.alpha[..., None], width, height, method)[..., 0].contiguous())
