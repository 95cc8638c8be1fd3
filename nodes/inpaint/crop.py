"""Crop: cut the part that is to be redrawn out of a large picture, at the size a model likes; and put it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from engine.errors import refuse
from engine.node import Help, Range, node
from engine.sockets import Ref, copy, facts_of, rule, same
from nodes.image.filters import MAX_PIXELS, Method, check_alike, resample
from nodes.mask import grown
from nodes.types import Image, Mask, Stitch

if TYPE_CHECKING:
    import torch

Target = Annotated[int, Range(0, 16_384, 8, soft=(0, 2048)), Help("Pixels of the piece; 0 follows from the rest.")]


class Cut(NamedTuple):
    """The piece, where in it something may change (0 or 1), and what puts it back."""

    image: Image
    mask: Mask
    stitch: Stitch


def crop_facts(**inputs: Any) -> dict[str, dict[str, Any]]:
    """The piece has the size asked for, where both sides are; the stitch that of the picture."""
    image = {key: value for key, value in facts_of(inputs["image"]).items() if key in ("width", "height", "batch")}
    piece = {"batch": image["batch"]} if "batch" in image else {}
    sides = {side: inputs[side] for side in ("width", "height")}
    if all(not isinstance(value, Ref) and value > 0 for value in sides.values()):
        piece |= sides
    return {"image": piece, "mask": piece, "stitch": image}


@node(
    "inpaint.crop",
    title="Crop for inpainting",
    advanced=("multiple", "method"),
    lane="cpu",
    facts=[same("width", "image", "mask"), same("height", "image", "mask"), rule("nodes.inpaint.crop:crop_facts")],
    aliases=["InpaintCrop", "InpaintCropImproved", "MaskedAreaCrop", "inpaint only masked"],
)
def crop(
    image: Image,
    mask: Mask,
    context: Annotated[float, Range(1, 10, 0.05, soft=(1, 4)), Help("The piece is this many times the mask.")] = 1.5,
    padding: Annotated[int, Range(0, 4096, 1, soft=(0, 256)), Help("And at least this many pixels around it.")] = 32,
    feather: Annotated[
        int, Range(0, 512, 1, soft=(0, 64)), Help("Pixels around the mask over which new fades into old.")
    ] = 8,
    width: Target = 0,
    height: Target = 0,
    multiple: Annotated[int, Range(1, 128, 1), Help("A side that is 0 becomes a multiple of this.")] = 8,
    method: Method = "lanczos",
) -> Cut:
    """Cut out the mask with what is around it, at a size the model likes; `inpaint.stitch` puts the redrawn piece back.

    With a width and a height the piece has just that size: it is cut in the same shape and resized. With one of them
    the other follows from the shape, with none it is cut as it is, rounded up to `multiple`. Where the picture is too
    small for the piece, its border is repeated. One box serves the whole batch. What lies further than `feather` pixels
    from the mask keeps its very bits in the end.
    """
    check_alike(image.pixels, mask.alpha[..., None], "mask")
    hole = mask.alpha.to(image.pixels.device).expand(len(image.pixels), -1, -1)
    alpha = faded(hole, feather)
    box, size = _box(alpha, context, padding, width, height, multiple)
    if len(hole) * size[0] * size[1] > MAX_PIXELS:
        raise refuse(f"the piece would be {size[0]}×{size[1]}", socket="width", mend="use a smaller size")
    piece = resample(_cut(image.pixels, box), *size, method)
    inside = _cut(alpha[..., None], box, outside=0.0)
    changes = resample((inside > 0).float(), *size, "bilinear")[..., 0]
    return Cut(Image(piece), Mask((changes > 0).float()), Stitch(image.pixels, inside[..., 0].contiguous(), box))


@node(
    "inpaint.stitch",
    title="Stitch inpainted crop",
    output="image",
    lane="cpu",
    facts=[copy("stitch.width", "image.width"), copy("stitch.height", "image.height")],
    aliases=["InpaintStitch", "InpaintStitchImproved"],
)
def stitch(stitch: Stitch, image: Image, method: Method = "lanczos") -> Image:
    """Put a redrawn piece back where it was cut out, resized to what it was there, fading into the old picture.

    Where the fade is 0 the picture keeps its very bits. Several pieces for one picture give one picture each.
    """
    import torch

    x, y, width, height = stitch.box
    piece = resample(image.pixels.to(stitch.pixels), width, height, method)
    count = len(piece)
    if len(stitch.pixels) not in (1, count):
        raise refuse(
            f"{count} pieces for {len(stitch.pixels)} pictures", socket="image", mend="give one piece for each picture"
        )
    whole = stitch.pixels.expand(count, -1, -1, -1).clone()
    top, left = max(y, 0), max(x, 0)
    bottom, right = min(y + height, whole.shape[1]), min(x + width, whole.shape[2])
    rows, columns = slice(top - y, bottom - y), slice(left - x, right - x)
    alpha = stitch.alpha[:, rows, columns, None].expand(count, -1, -1, -1)
    # lerp gives its first argument's bits at 0 and its second's at 1.
    whole[:, top:bottom, left:right] = torch.lerp(whole[:, top:bottom, left:right], piece[:, rows, columns], alpha)
    return Image(whole)


def faded(hole: torch.Tensor, feather: int) -> torch.Tensor:
    """1 on the mask [batch, height, width], falling to 0 at `feather` pixels from it; 0 from there on."""
    import torch
    import torch.nn.functional as F

    if feather == 0:
        return hole
    inner, outer = feather // 2, feather - feather // 2
    side = 2 * inner + 1
    ring = F.pad(grown(hole, outer)[:, None], (inner,) * 4, mode="replicate")
    soft = F.avg_pool2d(ring, side, stride=1)[:, 0].clamp(0, 1) if inner else grown(hole, outer)
    soft = torch.where(soft < 1e-4, 0.0, soft)  # a running mean leaves dust where there is nothing
    return torch.maximum(soft, hole)


Box = tuple[int, int, int, int]


def _box(
    alpha: torch.Tensor, context: float, padding: int, width: int, height: int, multiple: int
) -> tuple[Box, tuple[int, int]]:
    """What is cut, as (x, y, width, height), and the size it is brought to."""
    full_height, full_width = alpha.shape[1:]
    bounds = [_reach(alpha.amax(axes)) for axes in ((0, 1), (0, 2))]
    if None in bounds:
        raise refuse("the mask is empty: there is nothing to redraw", socket="mask", mend="paint where it may change")
    (left, right), (top, bottom) = (pair or (0, 0) for pair in bounds)
    across, down = (max(round(size * context), size + 2 * padding) for size in (right - left, bottom - top))
    across, down = min(across, max(full_width, right - left)), min(down, max(full_height, bottom - top))
    if width and height:
        across, down = max(across, -(-down * width // height)), max(down, -(-across * height // width))
        size = (width, height)
    elif width or height:
        scale = width / across if width else height / down
        size = (width or _rounded(across * scale, multiple), height or _rounded(down * scale, multiple))
        across, down = max(across, round(size[0] / scale)), max(down, round(size[1] / scale))
    else:
        across, down = across + -across % multiple, down + -down % multiple
        size = (across, down)
    x = _placed((left + right) // 2, across, full_width)
    y = _placed((top + bottom) // 2, down, full_height)
    return (x, y, across, down), size


def _reach(line: torch.Tensor) -> tuple[int, int] | None:
    """From the first to after the last place that is not 0."""
    found = line.nonzero()
    return (int(found[0]), int(found[-1]) + 1) if len(found) else None


def _rounded(size: float, multiple: int) -> int:
    return max(multiple, -(-round(size) // multiple) * multiple)


def _placed(middle: int, size: int, full: int) -> int:
    """Where a stretch of `size` around `middle` begins: inside 0..full if it fits, else around it."""
    if size >= full:
        return (full - size) // 2
    return min(max(middle - size // 2, 0), full - size)


def _cut(pixels: torch.Tensor, box: Box, outside: float | None = None) -> torch.Tensor:
    """The box of [batch, height, width, channel]; beyond the border it is repeated, or `outside` stands there."""
    import torch

    x, y, width, height = box
    rows = torch.arange(y, y + height, device=pixels.device)
    columns = torch.arange(x, x + width, device=pixels.device)
    full_height, full_width = pixels.shape[1:3]
    found = pixels[:, rows.clamp(0, full_height - 1)][:, :, columns.clamp(0, full_width - 1)]
    if outside is not None:
        inside = ((rows >= 0) & (rows < full_height))[:, None] & ((columns >= 0) & (columns < full_width))[None]
        found = torch.where(inside[None, ..., None], found, outside)
    return found.contiguous()
