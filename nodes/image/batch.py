"""Batch: many pictures as one value, one out of many, and a contact sheet. A batch axis is not a list."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from engine.errors import refuse
from engine.node import Help, Multiline, Range, node
from engine.run import Run
from engine.sockets import copy
from nodes.image.filters import MAX_PIXELS
from nodes.types import Image

if TYPE_CHECKING:
    import torch

LABEL_PIXELS = 16


@node("image.batch", output="image", lane="cpu", aliases=["ImageBatch"])
def batch(*images: Image) -> Image:
    """One value whose batch holds all pictures in order; they must have one size."""
    import torch

    if not images:
        raise refuse("there is nothing to join", socket="images", mend="wire at least one picture")
    first = images[0].pixels
    for one in images:
        if one.pixels.shape[1:] != first.shape[1:]:
            sizes = " and ".join(f"{i.facts['width']}×{i.facts['height']}" for i in (images[0], one))
            raise refuse(f"pictures of {sizes} cannot stand in one batch", socket="images", mend="resize them first")
    return Image(torch.cat([one.pixels.to(first) for one in images]))


@node(
    "image.pick",
    output="image",
    lane="cpu",
    facts=[copy("image.width", "image.width"), copy("image.height", "image.height"), copy("count", "image.batch")],
    aliases=["ImageFromBatch"],
)
def pick(
    image: Image, index: Annotated[int, Range(0, 4095, 1)] = 0, count: Annotated[int, Range(1, 4096, 1)] = 1
) -> Image:
    """Pictures `index` .. `index + count - 1` of a batch."""
    size = len(image.pixels)
    if index + count > size:
        wanted = f"pictures {index}..{index + count - 1}"
        raise refuse(f"{wanted} of a batch of {size}", socket="index", mend=f"use 0..{size - 1}")
    return Image(image.pixels[index : index + count].clone())


@node("image.split", output="images", lane="cpu")
def split(image: Image) -> list[Image]:
    """A batch as a list of single pictures, so that `map` can go over them."""
    return [Image(item[None].clone()) for item in image.pixels]


@node("image.preview", output="image", effect=True, lane="io", aliases=["PreviewImage"])
def preview(run: Run, image: Image) -> Image:
    """Show pictures on the node's card, without saving them; they pass through."""
    run.show(image)
    return image


@node("image.grid", output="image", lane="cpu", aliases=["ImageGrid", "contact sheet"])
def grid(
    *images: Image,
    columns: Annotated[int, Range(0, 256, 1), Help("0: about square.")] = 0,
    gap: Annotated[int, Range(0, 256, 1), Help("Pixels between pictures and around them.")] = 4,
    labels: Annotated[str, Multiline(), Help("One line for each picture, drawn above it.")] = "",
    background: Annotated[float, Range(0, 1, 0.05), Help("0 black .. 1 white.")] = 1.0,
) -> Image:
    """A contact sheet: every picture of every batch, row by row; smaller ones stand in the middle of their cell."""
    import torch

    cells = [item for image in images for item in image.pixels.cpu()]
    if not cells:
        raise refuse("there is nothing to show", socket="images", mend="wire at least one picture")
    lines = labels.splitlines()
    if len(lines) > len(cells):
        raise refuse(f"{len(lines)} labels for {len(cells)} pictures", socket="labels", mend="write one line each")
    head = LABEL_PIXELS if lines else 0
    across = min(columns or math.ceil(math.sqrt(len(cells))), len(cells))
    down = -(-len(cells) // across)
    height, width = (max(cell.shape[axis] for cell in cells) for axis in (0, 1))
    size = (down * (height + head + gap) + gap, across * (width + gap) + gap)
    if size[0] * size[1] > MAX_PIXELS:
        raise refuse(
            f"the sheet would be {size[1]}×{size[0]} pixels", socket="images", mend="show fewer or smaller ones"
        )
    sheet = torch.full((*size, 3), float(background))
    for index, cell in enumerate(cells):
        top, left = gap + index // across * (height + head + gap), gap + index % across * (width + gap)
        if index < len(lines):
            sheet[top : top + head, left : left + width] = _text(lines[index], width, head, background)
        y, x = top + head + (height - cell.shape[0]) // 2, left + (width - cell.shape[1]) // 2
        sheet[y : y + cell.shape[0], x : x + cell.shape[1]] = cell
    return Image(sheet[None])


def _text(line: str, width: int, height: int, background: float) -> torch.Tensor:
    """A line of text as [height, width, 3] in Pillow's own font, black or white, cut with an ellipsis when too long."""
    import numpy as np
    import PIL.Image
    import PIL.ImageDraw
    import PIL.ImageFont
    import torch

    font = PIL.ImageFont.load_default(size=height - 5)
    picture = PIL.Image.new("L", (width, height), 0)
    draw = PIL.ImageDraw.Draw(picture)
    text = line = line[:200]
    while text and draw.textlength(text, font) > width:
        line = line[:-1]
        text = line.rstrip() + "..." if line else ""
    draw.text((width / 2, height / 2), text, 255, font, anchor="mm")
    ink = torch.from_numpy(np.asarray(picture, np.float32) / 255)[..., None]
    return background + ink * ((0.0 if background > 0.5 else 1.0) - background)
