"""Draw: pictures from nothing, text, and grain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from engine.errors import refuse
from engine.node import Help, Multiline, Range, Seed, Size, node
from engine.run import Run
from engine.sockets import copy
from nodes.image.colour import BLACK, WHITE, Colour, rgb
from nodes.image.filters import MAX_PIXELS, gaussian
from nodes.types import Image

if TYPE_CHECKING:
    import PIL.ImageFont

NEW_SIZE = [copy("width", "image.width"), copy("height", "image.height"), copy("batch", "image.batch")]
SAME_SIZE = [copy(f"image.{fact}", f"image.{fact}") for fact in ("width", "height", "batch")]
Place = Literal["top left", "top", "top right", "left", "middle", "right", "bottom left", "bottom", "bottom right"]


@node(
    "image.solid",
    title="Solid image",
    output="image",
    lane="cpu",
    facts=NEW_SIZE,
    aliases=["EmptyImage", "solid colour"],
)
def solid(
    width: Size = 512, height: Size = 512, colour: Colour = BLACK, batch: Annotated[int, Range(1, 4096, 1)] = 1
) -> Image:
    """One colour everywhere."""
    import torch

    if batch * width * height > MAX_PIXELS:
        raise refuse(f"{batch} × {width}×{height} is more than {MAX_PIXELS:,} pixels", socket="width")
    return Image(torch.tensor(rgb(colour)).expand(batch, height, width, 3).contiguous())


@node(
    "image.gradient",
    title="Gradient image",
    output="image",
    lane="cpu",
    facts=[copy("width", "image.width"), copy("height", "image.height")],
    aliases=["GradientImage"],
)
def gradient(
    width: Size = 512,
    height: Size = 512,
    first: Colour = BLACK,
    second: Colour = WHITE,
    direction: Literal["right", "down", "diagonal", "outwards"] = "right",
) -> Image:
    """From one colour to another, in a line or from the middle to the corners."""
    import torch

    x, y = torch.linspace(0, 1, width)[None], torch.linspace(0, 1, height)[:, None]
    if direction == "outwards":
        at = ((2 * x - 1) ** 2 + (2 * y - 1) ** 2).sqrt() / 2**0.5
    else:
        at = {"right": x + 0 * y, "down": y + 0 * x, "diagonal": (x + y) / 2}[direction]
    return Image(
        torch.lerp(torch.tensor(rgb(first, "first")), torch.tensor(rgb(second, "second")), at[None, ..., None])
    )


@node(
    "image.text",
    title="Draw text",
    advanced=("outline", "outline_colour", "margin", "opacity"),
    output="image",
    lane="cpu",
    facts=SAME_SIZE,
    aliases=["draw text", "watermark", "AddText", "caption"],
)
def text(
    image: Image,
    text: Annotated[str, Multiline()] = "",
    place: Place = "bottom",
    size: Annotated[int, Range(4, 1024, 1, soft=(8, 128)), Help("Height of the letters, in pixels.")] = 24,
    colour: Colour = WHITE,
    outline: Annotated[int, Range(0, 64, 1), Help("Pixels of outline.")] = 2,
    outline_colour: Colour = BLACK,
    margin: Annotated[int, Range(0, 4096, 1, soft=(0, 64)), Help("Pixels to the border.")] = 8,
    opacity: Annotated[float, Range(0, 1, 0.01)] = 1.0,
) -> Image:
    """Write on a picture, in Pillow's own font; lines too long are broken between words.

    Every picture of a batch gets the same text; where nothing is drawn not a bit changes.
    """
    import numpy as np
    import PIL.Image
    import PIL.ImageDraw
    import PIL.ImageFont
    import torch

    height, width = image.pixels.shape[1:3]
    if not text.strip():
        return image
    font = PIL.ImageFont.load_default(size=size)
    lines = "\n".join(broken(text[:4000], width - 2 * margin, font, outline))
    layers = {}
    for name, stroke in (("outline", outline), ("letters", 0)):
        sheet = PIL.Image.new("L", (width, height), 0)
        draw = PIL.ImageDraw.Draw(sheet)
        at, anchor, align = _anchor(draw, lines, font, place, (width, height), margin + outline)
        draw.multiline_text(at, lines, 255, font, anchor, align=align, stroke_width=stroke)
        layers[name] = torch.from_numpy(np.asarray(sheet, np.float32) / 255).to(image.pixels)[..., None]
    pixels = image.pixels
    if outline:
        pixels = torch.lerp(
            pixels, pixels.new_tensor(rgb(outline_colour, "outline_colour")), layers["outline"] * opacity
        )
    return Image(torch.lerp(pixels, pixels.new_tensor(rgb(colour)), layers["letters"] * opacity))


def _anchor(
    draw: Any, lines: str, font: PIL.ImageFont.ImageFont | Any, place: str, size: tuple[int, int], margin: int
) -> tuple[tuple[float, float], str, Literal["left", "center", "right"]]:
    """Where a block of text stands, which of its corners that is, and how its lines are aligned."""
    left, top, right, bottom = draw.multiline_textbbox((0, 0), lines, font)
    across: Literal["left", "center", "right"] = (
        "left" if "left" in place else "right" if "right" in place else "center"
    )
    x = {"left": margin - left, "right": size[0] - margin - right, "center": (size[0] - left - right) / 2}[across]
    y = (
        margin - top
        if "top" in place
        else size[1] - margin - bottom
        if "bottom" in place
        else (size[1] - top - bottom) / 2
    )
    return (x, y), "la", across


def broken(text: str, width: int, font: Any, stroke: int = 0) -> list[str]:
    """The lines of a text, broken between words so that none is wider than `width` pixels where that is possible."""
    found = []
    for line in text.splitlines():
        row = ""
        for word in line.split(" "):
            longer = f"{row} {word}" if row else word
            if row and font.getlength(longer) + 2 * stroke > width:
                found.append(row)
                row = word
            else:
                row = longer
        found.append(row)
    return found


@node(
    "image.noise",
    title="Add grain",
    output="image",
    lane="cpu",
    facts=SAME_SIZE,
    aliases=["ImageAddNoise", "film grain", "FilmGrain", "grain"],
)
def noise(
    run: Run,
    image: Image,
    amount: Annotated[float, Range(0, 1, 0.01, soft=(0, 0.3)), Help("Standard deviation.")] = 0.08,
    size: Annotated[float, Range(0, 20, 0.1, soft=(0, 4)), Help("Of a grain, in pixels; 0 is single pixels.")] = 0.0,
    colour: Annotated[bool, Help("Each channel its own, or one for all.")] = False,
    film: Annotated[bool, Help("Strongest in the middle tones, none in black and white.")] = False,
    seed: Seed = 0,
) -> Image:
    """Add Gaussian noise, or film grain; item i of a batch draws from seed + i."""
    import torch

    batch, height, width = image.pixels.shape[:3]
    shape = (height, width, 3 if colour else 1)
    drawn = torch.stack([torch.randn(shape, generator=one) for one in run.generators(seed, batch)]).to(image.pixels)
    if size:
        drawn = gaussian(drawn, size)
        drawn = drawn / drawn.std().clamp(min=1e-6)
    if film:
        luma = image.pixels.mean(-1, keepdim=True)
        drawn = drawn * 4 * luma * (1 - luma)
    return Image((image.pixels + amount * drawn).clamp(0, 1))
