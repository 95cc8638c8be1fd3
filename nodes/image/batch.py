"""Batch: many pictures as one value, one out of many, and a contact sheet. A batch axis is not a list."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from engine.errors import refuse
from engine.node import Help, Multiline, Range, node
from engine.run import Run
from engine.sockets import copy
from nodes.image.colour import WHITE, Colour, rgb
from nodes.image.filters import MAX_PIXELS, resample
from nodes.types import Image

if TYPE_CHECKING:
    import torch


@node(
    "image.batch",
    title="Batch images",
    output="image",
    lane="cpu",
    aliases=["ImageBatch", "BatchImagesNode", "ImageListToImageBatch", "RebatchImages"],
)
def batch(*images: Image) -> Image:
    """One value whose batch holds all pictures in order; they must have one size."""
    import torch

    if not images:
        raise refuse("there is nothing to join", socket="images", mend="wire at least one picture")
    first = images[0].pixels
    for one in images:
        if one.pixels.shape[1:] != first.shape[1:]:
            sizes = " and ".join(f"{i.facts['width']}×{i.facts['height']}" for i in (images[0], one))
            raise refuse(
                f"pictures of {sizes} cannot stand in one batch", socket="images", mend="put image.resize before them"
            )
    return Image(torch.cat([one.pixels.to(first) for one in images]))


@node(
    "image.pick",
    title="Pick from batch",
    output="image",
    lane="cpu",
    facts=[copy("image.width", "image.width"), copy("image.height", "image.height"), copy("count", "image.batch")],
    aliases=["ImageFromBatch", "GetImageRangeFromBatch"],
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


@node(
    "image.repeat",
    title="Repeat image",
    output="image",
    lane="cpu",
    facts=[copy("image.width", "image.width"), copy("image.height", "image.height")],
    aliases=["RepeatImageBatch"],
)
def repeat(image: Image, times: Annotated[int, Range(1, 4096, 1, soft=(1, 16))] = 2) -> Image:
    """The whole batch several times, one after the other."""
    if image.pixels.numel() // 3 * times > MAX_PIXELS:
        raise refuse(f"{times} times {len(image.pixels)} pictures is too much", socket="times", mend="use fewer")
    return Image(image.pixels.repeat(times, 1, 1, 1))


@node("image.split", title="Split batch", output="images", lane="cpu", aliases=["ImageBatchToImageList", "unbatch"])
def split(image: Image) -> list[Image]:
    """A batch as a list of single pictures, so that `map` can go over them."""
    return [Image(item[None].clone()) for item in image.pixels]


@node(
    "image.preview",
    title="Preview image",
    output="image",
    target=True,
    lane="io",
    facts=[copy(f"image.{fact}", f"image.{fact}") for fact in ("width", "height", "batch")],
    aliases=["PreviewImage"],
)
def preview(run: Run, image: Image) -> Image:
    """Show pictures on the node's card, without saving them; they pass through."""
    run.show(image)
    return image


@node(
    "image.stitch",
    title="Stitch images",
    output="image",
    lane="cpu",
    aliases=["ImageStitch", "side by side", "ImageConcanate", "compare"],
)
def stitch(
    *images: Image,
    direction: Literal["right", "down"] = "right",
    match: Annotated[bool, Help("Bring them to the first one's height (or width), instead of to the middle.")] = True,
    gap: Annotated[int, Range(0, 1024, 1, soft=(0, 32)), Help("Pixels between them.")] = 0,
    background: Colour = WHITE,
) -> Image:
    """Pictures side by side, or one below the other; batches go in pairs, a single picture with every one."""
    import torch

    if not images:
        raise refuse("there is nothing to join", socket="images", mend="wire at least one picture")
    across = direction == "right"
    fixed = 1 if across else 2  # the axis on which they must agree
    goal = images[0].pixels.shape[fixed]
    stacks = [_matched(image.pixels.to(images[0].pixels), fixed, goal) if match else image.pixels for image in images]
    goal = max(stack.shape[fixed] for stack in stacks)
    counts = {len(stack) for stack in stacks} - {1}
    if len(counts) > 1:
        raise refuse(f"batches of {sorted(counts)} do not go in pairs", socket="images", mend="use one, or as many")
    batch = max(counts, default=1)
    sides = [stack.shape[3 - fixed] for stack in stacks]
    size = (goal, sum(sides) + gap * (len(sides) - 1))
    if batch * size[0] * size[1] > MAX_PIXELS:
        raise refuse(f"the result would be {size[0]}×{size[1]}", socket="images", mend="use fewer or smaller ones")
    sheet = torch.tensor(rgb(background, "background")).expand(batch, *(size if across else size[::-1]), 3).clone()
    at = 0
    for stack, side in zip(stacks, sides, strict=True):
        start = (goal - stack.shape[fixed]) // 2
        along, over = slice(at, at + side), slice(start, start + stack.shape[fixed])
        sheet[:, over if across else along, along if across else over] = stack.cpu()
        at += side + gap
    return Image(sheet)


def _matched(pixels: torch.Tensor, axis: int, goal: int) -> torch.Tensor:
    """The same shape with `goal` pixels along an axis."""
    factor = goal / pixels.shape[axis]
    height, width = (max(1, round(side * factor)) for side in pixels.shape[1:3])
    return resample(pixels, width, height, "lanczos")


@node(
    "image.grid",
    title="Image grid",
    advanced=("gap", "background", "column_labels", "row_labels", "text_size"),
    output="image",
    lane="cpu",
    aliases=["ImageGrid", "contact sheet", "XY plot", "XYZ plot"],
)
def grid(
    *images: Image,
    columns: Annotated[int, Range(0, 256, 1), Help("0: as many as there are column labels, or about square.")] = 0,
    gap: Annotated[int, Range(0, 256, 1), Help("Pixels between pictures and around them.")] = 4,
    labels: Annotated[str, Multiline(), Help("One line for each picture, drawn above it.")] = "",
    background: Annotated[float, Range(0, 1, 0.05), Help("0 black .. 1 white.")] = 1.0,
    column_labels: Annotated[str, Multiline(), Help("One line for each column: the X axis of a plot.")] = "",
    row_labels: Annotated[str, Multiline(), Help("One line for each row: the Y axis of a plot.")] = "",
    text_size: Annotated[int, Range(6, 256, 1, soft=(8, 48)), Help("Height of the labels, in pixels.")] = 11,
) -> Image:
    """A contact sheet: every picture of every batch, row by row; smaller ones stand in the middle of their cell.

    With labels for columns and rows it is an X/Y plot: pictures go with the columns' values first.
    """
    import torch

    cells = [item for image in images for item in image.pixels.cpu()]
    if not cells:
        raise refuse("there is nothing to show", socket="images", mend="wire at least one picture")
    lines, tops, sides = labels.splitlines(), column_labels.splitlines(), row_labels.splitlines()
    across = min(columns or len(tops) or _rows(len(cells), len(sides)), len(cells))
    down = -(-len(cells) // across)
    for socket, given, most, what in (
        ("labels", lines, len(cells), "pictures"),
        ("column_labels", tops, across, "columns"),
        ("row_labels", sides, down, "rows"),
    ):
        if len(given) > most:
            raise refuse(f"{len(given)} labels for {most} {what}", socket=socket, mend="write one line each")
    line = text_size + 5
    head, top = (line if given else 0 for given in (lines, tops))
    height, width = (max(cell.shape[axis] for cell in cells) for axis in (0, 1))
    left = min(_widest(sides, text_size), 2 * width) + gap if sides else 0
    size = (top + down * (height + head + gap) + gap, left + across * (width + gap) + gap)
    if size[0] * size[1] > MAX_PIXELS:
        raise refuse(
            f"the sheet would be {size[1]}×{size[0]} pixels", socket="images", mend="show fewer or smaller ones"
        )
    sheet = torch.full((*size, 3), float(background))

    def write(text: str, y: int, x: int, across: int) -> None:
        sheet[y : y + line, x : x + across] = _text(text, across, line, background)

    for index, text in enumerate(tops):
        write(text, gap, left + gap + index * (width + gap), width)
    for index, text in enumerate(sides):
        middle = top + gap + index * (height + head + gap) + head + (height - line) // 2
        write(text, max(middle, 0), gap, left - gap)
    for index, cell in enumerate(cells):
        y, x = top + gap + index // across * (height + head + gap), left + gap + index % across * (width + gap)
        if index < len(lines):
            write(lines[index], y, x, width)
        y, x = y + head + (height - cell.shape[0]) // 2, x + (width - cell.shape[1]) // 2
        sheet[y : y + cell.shape[0], x : x + cell.shape[1]] = cell
    return Image(sheet[None])


def _rows(count: int, rows: int) -> int:
    """How many columns: enough for the rows that are named, else about square."""
    return -(-count // rows) if rows else math.ceil(math.sqrt(count))


def _widest(lines: list[str], size: int) -> int:
    """Pixels that the widest line takes."""
    import PIL.ImageFont

    font = PIL.ImageFont.load_default(size=size)
    return max((math.ceil(font.getlength(line[:200])) for line in lines), default=0) + 4


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
