"""Edit: masks changed, joined and measured. float32 [batch, height, width], 0..1, 1 = change this."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from engine.errors import refuse
from engine.node import Help, Range, Size, node
from engine.sockets import copy, same
from nodes.image.filters import check_alike, gaussian
from nodes.types import Image, Mask

if TYPE_CHECKING:
    import torch

SAME_SIZE = [copy(f"mask.{fact}", f"mask.{fact}") for fact in ("width", "height", "batch")]
Level = Annotated[float, Range(0, 1, 0.01)]
Pixels = Annotated[int, Range(0, 16_384, 1)]


@node("mask.invert", title="Invert mask", output="mask", lane="cpu", facts=SAME_SIZE, aliases=["InvertMask"])
def invert(mask: Mask) -> Mask:
    """1 - x: what was kept changes, and the other way round."""
    return Mask(1 - mask.alpha)


@node(
    "mask.grow",
    title="Grow mask",
    output="mask",
    lane="cpu",
    facts=SAME_SIZE,
    aliases=["GrowMask", "expand mask", "dilate", "erode"],
)
def grow(
    mask: Mask,
    pixels: Annotated[int, Range(-512, 512, 1, soft=(-64, 64)), Help("Negative shrinks.")] = 8,
    shape: Annotated[Literal["square", "round"], Help("round costs more.")] = "square",
) -> Mask:
    """Grown (or shrunk) by this many pixels in each direction: a maximum (minimum) over a square or a disc."""
    return Mask(grown(mask.alpha, pixels) if shape == "square" else _round(mask.alpha, pixels))


def grown(alpha: torch.Tensor, pixels: int) -> torch.Tensor:
    """[batch, height, width], its maximum over squares of `pixels` in each direction; below 0 its minimum."""
    import torch.nn.functional as F

    if pixels == 0:
        return alpha
    found = alpha if pixels > 0 else 1 - alpha
    for axis in (2, 1):  # a square is a row of columns, and a long row several short ones
        left = abs(pixels)
        while left:
            step = min(left, 64)
            kernel, padding = ((1, 2 * step + 1), (0, step)) if axis == 2 else ((2 * step + 1, 1), (step, 0))
            found = F.max_pool2d(found, kernel, stride=1, padding=padding)
            left -= step
    return found if pixels > 0 else 1 - found


def _round(alpha: torch.Tensor, pixels: int) -> torch.Tensor:
    """The maximum (minimum) over a disc: by distance for hard masks, a step of one pixel at a time for soft ones."""
    import numpy as np
    import torch
    from scipy import ndimage

    if pixels == 0:
        return alpha
    source = (alpha if pixels > 0 else 1 - alpha).cpu().numpy()
    reach = abs(pixels)
    if ((source == 0) | (source == 1)).all():
        near = [
            ndimage.distance_transform_edt(item == 0) <= reach if item.any() else np.zeros(item.shape, bool)
            for item in source
        ]
        found = np.stack(near).astype(np.float32)
    else:
        y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
        disc = (x * x + y * y <= reach * reach)[None]
        found = ndimage.maximum_filter(source, footprint=disc, mode="nearest")
    grown = torch.from_numpy(found).to(alpha)
    return grown if pixels > 0 else 1 - grown


@node(
    "mask.feather",
    title="Feather mask",
    output="mask",
    lane="cpu",
    facts=SAME_SIZE,
    aliases=["FeatherMask", "MaskBlur", "blur mask"],
)
def feather(
    mask: Mask, radius: Annotated[float, Range(0.1, 200, 0.1, soft=(1, 32)), Help("Standard deviation, pixels.")] = 4.0
) -> Mask:
    """A soft edge, by a Gaussian blur."""
    return Mask(gaussian(mask.alpha[..., None], radius)[..., 0].clamp(0, 1))


@node(
    "mask.fade",
    title="Fade mask edges",
    output="mask",
    lane="cpu",
    facts=SAME_SIZE,
    aliases=["FeatherMask edges", "fade border"],
)
def fade(mask: Mask, left: Pixels = 0, top: Pixels = 0, right: Pixels = 0, bottom: Pixels = 0) -> Mask:
    """Fade to 0 towards the picture's sides, over so many pixels each."""
    import torch

    height, width = mask.alpha.shape[1:]
    across, down = mask.alpha.new_ones(width), mask.alpha.new_ones(height)
    for line, near, far in ((across, left, right), (down, top, bottom)):
        at = torch.arange(len(line), device=line.device)
        if near:
            line *= ((at + 0.5) / near).clamp(max=1)
        if far:
            line *= ((len(line) - at - 0.5) / far).clamp(max=1)
    return Mask(mask.alpha * down[:, None] * across[None])


@node(
    "mask.threshold",
    title="Mask threshold",
    output="mask",
    lane="cpu",
    facts=SAME_SIZE,
    aliases=["ThresholdMask", "binarize"],
)
def threshold(mask: Mask, level: Level = 0.5) -> Mask:
    """1 where the mask is above the level, else 0."""
    return Mask((mask.alpha > level).float())


@node(
    "mask.levels",
    title="Mask levels",
    output="mask",
    lane="cpu",
    facts=SAME_SIZE,
    aliases=["RemapMaskRange", "MaskLevels"],
)
def levels(
    mask: Mask,
    low: Annotated[Level, Help("This and below becomes 0.")] = 0.0,
    high: Annotated[Level, Help("This and above becomes 1.")] = 1.0,
    strength: Annotated[Level, Help("Times this in the end.")] = 1.0,
) -> Mask:
    """Stretch what lies between two levels over 0..1, and weaken it: how strongly each place may change."""
    if high <= low:
        raise refuse(f"high {high:g} is not above low {low:g}", socket="high", mend="raise high or lower low")
    return Mask(((mask.alpha - low) / (high - low)).clamp(0, 1) * strength)


@node(
    "mask.combine",
    title="Combine masks",
    output="mask",
    lane="cpu",
    facts=[same("width", "mask", "other"), same("height", "mask", "other"), *SAME_SIZE],
    aliases=["MaskComposite", "xor", "add masks"],
)
def combine(
    mask: Mask,
    other: Mask,
    mode: Literal["union", "intersect", "subtract", "difference", "add", "multiply", "xor"] = "union",
) -> Mask:
    """Two masks of one size: max, min, the first without the second, where they differ, sum, product, one of the two.

    `xor` is a + b - 2ab: 1 where just one of them is.
    """
    import torch

    first, second = mask.alpha, other.alpha.to(mask.alpha.device)
    check_alike(first[..., None], second[..., None], "other")
    if mode in ("union", "intersect"):
        return Mask((torch.maximum if mode == "union" else torch.minimum)(first, second))
    found = {
        "subtract": lambda: first - second,
        "difference": lambda: (first - second).abs(),
        "add": lambda: first + second,
        "multiply": lambda: first * second,
        "xor": lambda: first + second - 2 * first * second,
    }[mode]()
    return Mask(found.clamp(0, 1))


@node("mask.fill_holes", title="Fill mask holes", output="mask", lane="cpu", facts=SAME_SIZE, aliases=["MaskFillHoles"])
def fill_holes(mask: Mask, level: Annotated[Level, Help("Above it counts as inside.")] = 0.5) -> Mask:
    """Close what is surrounded: 1 wherever no way leads to the picture's side without crossing the mask."""
    import numpy as np
    import torch
    from scipy import ndimage

    hard = (mask.alpha > level).cpu().numpy()
    filled = np.stack([ndimage.binary_fill_holes(item) for item in hard])
    inside = torch.from_numpy(filled & ~hard).to(mask.alpha.device)
    return Mask(torch.where(inside, 1.0, mask.alpha))


@node(
    "mask.clean",
    title="Clean mask",
    output="mask",
    lane="cpu",
    facts=SAME_SIZE,
    aliases=["MaskRemoveSmall", "remove specks", "islands"],
)
def clean(
    mask: Mask,
    smallest: Annotated[int, Range(0, 2**24, 1, soft=(0, 4096)), Help("Islands of fewer pixels go.")] = 64,
    keep: Annotated[int, Range(0, 4096, 1), Help("And only so many of the largest stay; 0 keeps all.")] = 0,
    level: Annotated[Level, Help("Above it counts as inside.")] = 0.5,
) -> Mask:
    """Take away islands that are too small, or all but the largest ones; what stays keeps its values."""
    import numpy as np
    import torch
    from scipy import ndimage

    hard, stays = (mask.alpha > level).cpu().numpy(), []
    for item in hard:
        named, count = ndimage.label(item)
        sizes = np.bincount(named.ravel(), minlength=count + 1)
        sizes[0] = 0
        chosen = [index for index in np.argsort(-sizes, kind="stable") if sizes[index] >= max(smallest, 1)]
        stays.append(np.isin(named, chosen[: keep or None]) | ~item)
    return Mask(mask.alpha * torch.from_numpy(np.stack(stays)).to(mask.alpha))


class Bounds(NamedTuple):
    """A mask of the box, and the box: left upper corner and size, in pixels."""

    mask: Mask
    x: int
    y: int
    width: int
    height: int


@node("mask.box", title="Mask bounding box", lane="cpu", aliases=["MaskToRegion", "bounding box", "MasksToBBox"])
def box(
    mask: Mask,
    padding: Annotated[int, Range(0, 4096, 1, soft=(0, 256)), Help("Pixels around it, within the picture.")] = 0,
    level: Annotated[Level, Help("Above it counts as inside.")] = 0.0,
) -> Bounds:
    """The smallest rectangle around all that is masked, over the whole batch."""
    import torch

    inside = (mask.alpha > level).any(0)
    rows, columns = inside.any(1).nonzero(), inside.any(0).nonzero()
    if not len(rows):
        raise refuse("the mask is empty", socket="mask", mend="paint something, or lower the level")
    height, width = inside.shape
    top, bottom = max(int(rows[0]) - padding, 0), min(int(rows[-1]) + 1 + padding, height)
    left, right = max(int(columns[0]) - padding, 0), min(int(columns[-1]) + 1 + padding, width)
    alpha = torch.zeros(1, height, width, device=mask.alpha.device)
    alpha[:, top:bottom, left:right] = 1
    return Bounds(Mask(alpha), left, top, right - left, bottom - top)


@node(
    "mask.crop",
    title="Crop mask",
    output="mask",
    lane="cpu",
    facts=[copy("width", "mask.width"), copy("height", "mask.height"), copy("mask.batch", "mask.batch")],
    aliases=["CropMask"],
)
def crop(mask: Mask, x: Pixels = 0, y: Pixels = 0, width: Size = 512, height: Size = 512) -> Mask:
    """The rectangle whose left upper corner is (x, y)."""
    full_height, full_width = mask.alpha.shape[1:]
    if x + width > full_width or y + height > full_height:
        raise refuse(
            f"the rectangle ends at ({x + width}, {y + height}), the mask at ({full_width}, {full_height})",
            socket="width" if x + width > full_width else "height",
            mend="use a smaller rectangle",
        )
    return Mask(mask.alpha[:, y : y + height, x : x + width].contiguous())


@node(
    "mask.batch",
    title="Batch masks",
    output="mask",
    lane="cpu",
    aliases=["MaskBatch", "BatchMasksNode", "MaskListToMaskBatch"],
)
def batch(*masks: Mask) -> Mask:
    """One value whose batch holds all masks in order; they must have one size."""
    import torch

    if not masks:
        raise refuse("there is nothing to join", socket="masks", mend="wire at least one mask")
    first = masks[0].alpha
    for one in masks:
        if one.alpha.shape[1:] != first.shape[1:]:
            sizes = " and ".join(f"{m.facts['width']}×{m.facts['height']}" for m in (masks[0], one))
            raise refuse(
                f"masks of {sizes} cannot stand in one batch", socket="masks", mend="put mask.resize before them"
            )
    return Mask(torch.cat([one.alpha.to(first) for one in masks]))


@node("mask.pick", title="Pick mask from batch", output="mask", lane="cpu", aliases=["MaskFromBatch"])
def pick(
    mask: Mask, index: Annotated[int, Range(0, 4095, 1)] = 0, count: Annotated[int, Range(1, 4096, 1)] = 1
) -> Mask:
    """Masks `index` .. `index + count - 1` of a batch."""
    size = len(mask.alpha)
    if index + count > size:
        raise refuse(
            f"masks {index}..{index + count - 1} of a batch of {size}", socket="index", mend=f"use 0..{size - 1}"
        )
    return Mask(mask.alpha[index : index + count].clone())


@node(
    "mask.show",
    title="Show mask on image",
    output="image",
    lane="cpu",
    facts=[same("width", "image", "mask"), same("height", "image", "mask")],
    aliases=["MaskPreview", "PreviewMask", "mask overlay"],
)
def show(
    mask: Mask,
    image: Image | None = None,
    strength: Annotated[Level, Help("How strongly the mask covers the picture.")] = 0.6,
) -> Image:
    """The mask to look at: in red over a picture, or alone in grey."""
    import torch

    if image is None:
        return Image(mask.alpha[..., None].repeat(1, 1, 1, 3))
    check_alike(image.pixels, mask.alpha[..., None], "mask")
    red = image.pixels.new_tensor((1.0, 0.1, 0.1))
    return Image(torch.lerp(image.pixels, red, strength * mask.alpha.to(image.pixels)[..., None]))
