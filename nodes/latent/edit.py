"""Edit: latents repeated, mixed, laid on each other, turned and cut, without decoding them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from engine.errors import refuse
from engine.node import Help, Range, Size, node
from engine.sockets import Ref, copy, facts_of, rule, same
from nodes.latent.canvas import check_room, check_size, describe, same_leftover, with_leftover
from nodes.types import Latent, Mask

if TYPE_CHECKING:
    import torch

SAME = [copy(f"latent.{fact}", f"latent.{fact}") for fact in ("latent_space", "width", "height", "batch")]
ALIKE = [same("latent_space", "latent", "other", why="latents of two kinds of VAE do not mix")]
Share = Annotated[float, Range(0, 1, 0.01)]
Pixels = Annotated[int, Range(0, 16_384, 8)]
Offset = Annotated[int, Range(-16_384, 16_384, 8)]
Method = Literal["nearest", "bilinear", "bicubic", "area", "bislerp"]


def check_alike(latent: Latent, other: Latent, *, sizes: bool = True) -> None:
    """Refuse two latents that differ in space, size, or number when neither has just one."""
    if latent.space.name != other.space.name or (sizes and latent.samples.shape[2:] != other.samples.shape[2:]):
        raise refuse(
            f"{describe(other)} does not go with {describe(latent)}",
            socket="other",
            mend="use latents of one space and size",
        )
    counts = len(latent.samples), len(other.samples)
    if counts[0] != counts[1] and 1 not in counts:
        raise refuse(f"{counts[1]} latents for {counts[0]}", socket="other", mend="use one, or as many")
    same_leftover(latent, other, "other")


@node(
    "latent.repeat",
    title="Repeat latent",
    output="latent",
    lane="cpu",
    facts=[copy(f"latent.{fact}", f"latent.{fact}") for fact in ("latent_space", "width", "height")],
    aliases=["RepeatLatentBatch"],
)
def repeat(latent: Latent, times: Annotated[int, Range(1, 4096, 1, soft=(1, 16))] = 2) -> Latent:
    """The whole batch several times: variants of one picture, item i drawing its noise from seed + i."""
    check_room(latent.space, latent.facts["width"], latent.facts["height"], len(latent.samples) * times)

    def several(one: torch.Tensor | None) -> torch.Tensor | None:
        return one.repeat(times, *[1] * (one.dim() - 1)) if one is not None and one.shape[0] > 1 else one

    samples = latent.samples.repeat(times, *[1] * (latent.samples.dim() - 1))
    mask, beside, left = several(latent.noise_mask), several(latent.beside), with_leftover(latent.leftover, several)
    return replace(latent, samples=samples, noise_mask=mask, beside=beside, leftover=left)


@node(
    "latent.blend",
    title="Blend latents",
    output="latent",
    lane="cpu",
    facts=[*ALIKE, same("width", "latent", "other"), same("height", "latent", "other"), *SAME],
    aliases=["LatentBlend", "LatentInterpolate"],
)
def blend(
    latent: Latent,
    other: Latent,
    amount: Annotated[Share, Help("0 is the first, 1 the second.")] = 0.5,
    how: Annotated[
        Literal["straight", "round"], Help("round keeps the strength of both, as for noise: slerp (Shoemake 1985).")
    ] = "straight",
) -> Latent:
    """Mix two latents. One goes with every item of the other batch."""
    import torch

    check_alike(latent, other)
    first, second = torch.broadcast_tensors(latent.samples, other.samples.to(latent.samples))
    mixed = torch.lerp(first, second, amount) if how == "straight" else slerp(first, second, amount)
    return replace(latent, samples=mixed)


def slerp(first: torch.Tensor, second: torch.Tensor, amount: torch.Tensor | float, axis: int = 1) -> torch.Tensor:
    """From one to the other along the arc between them, over the axis; the lengths go straight."""
    import torch

    lengths = [one.norm(dim=axis, keepdim=True) for one in (first, second)]
    a, b = (one / size.clamp(min=1e-8) for one, size in zip((first, second), lengths, strict=True))
    angle = (a * b).sum(axis, keepdim=True).clamp(-1, 1).acos()
    wide = angle.sin() > 1e-4
    sine = torch.where(wide, angle.sin(), 1.0)

    def share(part: torch.Tensor | float) -> torch.Tensor:
        straight = torch.as_tensor(part, dtype=a.dtype, device=a.device).expand_as(sine)
        return torch.where(wide, (part * angle).sin() / sine, straight)

    length: torch.Tensor = lengths[0] + (lengths[1] - lengths[0]) * amount
    mixed: torch.Tensor = (share(1 - amount) * a + share(amount) * b) * length
    return mixed


@node(
    "latent.math",
    title="Latent math",
    output="latent",
    lane="cpu",
    facts=[*ALIKE, *SAME],
    aliases=["LatentAdd", "LatentSubtract", "LatentMultiply", "latent arithmetic"],
)
def calculate(
    latent: Latent,
    other: Annotated[Latent | None, Help("Without one, only the factor acts.")] = None,
    how: Literal["add", "subtract"] = "add",
    factor: Annotated[float, Range(-10, 10, 0.01), Help("Of the second; of the first where there is no second.")] = 1.0,
) -> Latent:
    """The first plus or minus a multiple of the second; or a multiple of one alone."""
    if other is None:
        return replace(latent, samples=latent.samples * factor)
    check_alike(latent, other)
    second = other.samples.to(latent.samples) * factor
    return replace(latent, samples=latent.samples + second if how == "add" else latent.samples - second)


@node(
    "latent.composite",
    title="Composite latents",
    output="latent",
    lane="cpu",
    facts=[*ALIKE, *SAME],
    aliases=["LatentComposite", "LatentCompositeMasked", "LatentPaste"],
)
def composite(
    latent: Latent,
    other: Latent,
    x: Annotated[Offset, Help("Of the second's left upper corner, in pixels of the picture.")] = 0,
    y: Offset = 0,
    feather: Annotated[Pixels, Help("Pixels over which the second fades in at its inner sides.")] = 0,
    mask: Annotated[Mask | None, Help("Of the second's size in pixels: 1 covers.")] = None,
) -> Latent:
    """Lay a second latent on the first at (x, y), in whole cells; what sticks out is cut off."""
    import torch
    import torch.nn.functional as F

    check_alike(latent, other, sizes=False)
    factor, above = latent.space.factor, other.samples.to(latent.samples)
    count = max(len(latent.samples), len(above))
    out = latent.samples.expand(count, *[-1] * (latent.samples.dim() - 1)).clone()
    alpha = _faded(above, out, x // factor, y // factor, feather // factor)
    if mask is not None:
        covers = F.interpolate(mask.alpha[:, None].to(above), size=tuple(above.shape[-2:]), mode="area")
        alpha = alpha * covers
    left, top = x // factor, y // factor
    bottom, right = min(top + above.shape[-2], out.shape[-2]), min(left + above.shape[-1], out.shape[-1])
    first_row, first_column = max(top, 0), max(left, 0)
    if bottom <= first_row or right <= first_column:
        return replace(latent, samples=out)
    rows, columns = slice(first_row - top, bottom - top), slice(first_column - left, right - left)
    place = (..., slice(first_row, bottom), slice(first_column, right))
    out[place] = torch.lerp(out[place], above[..., rows, columns], alpha[..., rows, columns])
    return replace(latent, samples=out)


def _faded(above: torch.Tensor, below: torch.Tensor, left: int, top: int, reach: int) -> torch.Tensor:
    """How much each cell of what is laid on counts: less towards its sides, but not at the sides of the whole."""
    import torch

    height, width = above.shape[-2:]
    across, down = above.new_ones(width), above.new_ones(height)
    if reach:
        for line, start, length, full in ((across, left, width, below.shape[-1]), (down, top, height, below.shape[-2])):
            at = torch.arange(length, device=above.device)
            if start > 0:
                line *= ((at + 1) / (reach + 1)).clamp(max=1)
            if start + length < full:
                line *= ((length - at) / (reach + 1)).clamp(max=1)
    return (down[:, None] * across[None])[None, None]


@node("latent.flip", title="Flip latent", output="latent", lane="cpu", facts=SAME, aliases=["LatentFlip"])
def flip(latent: Latent, direction: Literal["horizontal", "vertical"] = "horizontal") -> Latent:
    """Mirrored left to right, or top to bottom; noise mask and all."""
    axis = -1 if direction == "horizontal" else -2
    return _each(latent, lambda one: one.flip(axis))


@node("latent.rotate", title="Rotate latent", output="latent", lane="cpu", aliases=["LatentRotate"])
def rotate(latent: Latent, degrees: Literal[90, 180, 270] = 90) -> Latent:
    """Turned clockwise, in whole cells."""
    return _each(latent, lambda one: one.rot90(-degrees // 90, (-2, -1)).contiguous())


def _each(latent: Latent, change: Any) -> Latent:
    """The same done to samples, noise mask and what stands beside them."""

    def some(one: torch.Tensor | None) -> torch.Tensor | None:
        return None if one is None else change(one)

    mask, beside, left = some(latent.noise_mask), some(latent.beside), with_leftover(latent.leftover, some)
    return replace(latent, samples=change(latent.samples), noise_mask=mask, beside=beside, leftover=left)


@node(
    "latent.crop",
    title="Crop latent",
    output="latent",
    lane="cpu",
    facts=[
        copy("latent.latent_space", "latent.latent_space"),
        copy("width", "latent.width"),
        copy("height", "latent.height"),
    ],
    aliases=["LatentCrop", "LatentCut"],
)
def crop(latent: Latent, x: Pixels = 0, y: Pixels = 0, width: Size = 512, height: Size = 512) -> Latent:
    """The rectangle whose left upper corner is (x, y), in pixels of the picture; all must be whole cells."""
    factor, facts = latent.space.factor, latent.facts
    check_size(latent.space, width, height)
    for name, at in (("x", x), ("y", y)):
        if at % factor:
            raise refuse(f"{name} {at} is no multiple of {factor}", socket=name, mend=f"use {at - at % factor}")
    if x + width > facts["width"] or y + height > facts["height"]:
        raise refuse(
            f"the rectangle ends at ({x + width}, {y + height}), the latent at ({facts['width']}, {facts['height']})",
            socket="width" if x + width > facts["width"] else "height",
            mend="use a smaller rectangle",
        )
    rows, columns = slice(y // factor, (y + height) // factor), slice(x // factor, (x + width) // factor)
    return _each(latent, lambda one: one[..., rows, columns].contiguous())


def resize_facts(**inputs: Any) -> dict[str, dict[str, Any]]:
    """The facts of a resized latent."""
    facts = {key: facts_of(inputs["latent"]).get(key) for key in ("latent_space", "batch")}
    facts |= {key: inputs[key] for key in ("width", "height") if not isinstance(inputs[key], Ref)}
    return {"latent": {key: value for key, value in facts.items() if value is not None}}


@node(
    "latent.resize",
    title="Resize latent",
    output="latent",
    lane="cpu",
    facts=[rule("nodes.latent.edit:resize_facts")],
    aliases=["LatentUpscale"],
)
def resize_latent(
    latent: Latent,
    width: Size = 1024,
    height: Size = 1024,
    method: Method = "nearest",
) -> Latent:
    """Another size in pixels, by interpolating the latent itself: quick, soft, and wants a second pass of denoising.

    The noise mask follows. Resizing the decoded picture keeps more detail; it costs a decode and an encode.
    """
    check_size(latent.space, width, height)
    return resized(latent, height // latent.space.factor, width // latent.space.factor, method)


def scale_facts(**inputs: Any) -> dict[str, dict[str, Any]]:
    """The facts of a latent scaled by a factor, where the cells are known only when it runs."""
    facts = facts_of(inputs["latent"])
    found = {key: facts[key] for key in ("latent_space", "batch", "beside") if key in facts}
    latent, factor = inputs["latent"], inputs["factor"]
    if isinstance(latent, Latent) and not isinstance(factor, Ref):
        rows, columns = scaled_cells(latent, factor)
        found |= {"width": columns * latent.space.factor, "height": rows * latent.space.factor}
    return {"latent": found}


def scaled_cells(latent: Latent, factor: float) -> tuple[int, int]:
    """Rows and columns of cells after scaling."""
    rows, columns = (max(1, round(side * factor)) for side in latent.samples.shape[-2:])
    return rows, columns


@node(
    "latent.scale",
    title="Scale latent",
    output="latent",
    lane="cpu",
    facts=[rule("nodes.latent.edit:scale_facts")],
    aliases=["LatentUpscaleBy", "hires fix", "highres fix"],
)
def scale(
    latent: Latent,
    factor: Annotated[float, Range(0.1, 8, 0.05, soft=(0.5, 4))] = 1.5,
    method: Method = "bislerp",
) -> Latent:
    """Larger or smaller by a factor, by interpolating the latent itself; wants a second pass of denoising.

    Half a strength or more, because it is soft. `bislerp` interpolates direction and length of each cell's vector, so
    that noise keeps its strength.
    """
    rows, columns = scaled_cells(latent, factor)
    return resized(latent, rows, columns, method)


def resized(latent: Latent, rows: int, columns: int, method: str) -> Latent:
    """A latent of so many cells; its noise mask follows, by nearest cells."""
    import torch.nn.functional as F

    if latent.leftover is not None:
        raise refuse(
            "the latent was stopped half-way: resizing would smear the noise that is still in it",
            socket="latent",
            mend="finish it first, or resize its `denoised`",
        )
    space = latent.space
    check_room(space, columns * space.factor, rows * space.factor, latent.samples.shape[0])
    if method == "bislerp":
        samples = _bislerp(latent.samples, rows, columns)
    else:
        smooth = {"align_corners": False} if method in ("bilinear", "bicubic") else {}
        mode = "nearest-exact" if method == "nearest" else method
        samples = F.interpolate(latent.samples, size=(rows, columns), mode=mode, **smooth)
    mask, beside = (
        None if one is None else F.interpolate(one, size=(rows, columns), mode="nearest-exact")
        for one in (latent.noise_mask, latent.beside)
    )
    return replace(latent, samples=samples, noise_mask=mask, beside=beside)


def _bislerp(samples: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """[batch, channel, h, w] at another size: along each axis by slerp between the two nearest cells."""
    import torch

    for axis, size in ((3, columns), (2, rows)):
        length = samples.shape[axis]
        at = ((torch.arange(size, device=samples.device) + 0.5) * length / size - 0.5).clamp(0, length - 1)
        low = at.floor().long()
        share = (at - low).view([-1 if index == axis else 1 for index in range(4)]).to(samples)
        near, far = samples.index_select(axis, low), samples.index_select(axis, (low + 1).clamp(max=length - 1))
        samples = slerp(near, far, share)
    return samples


@node(
    "latent.clear_mask",
    title="Clear noise mask",
    output="latent",
    lane="cpu",
    facts=SAME,
    aliases=["RemoveNoiseMask", "LatentRemoveMask"],
)
def clear_mask(latent: Latent) -> Latent:
    """Without its noise mask: it may change everywhere again, for a last pass over an inpainted picture."""
    return replace(latent, noise_mask=None, beside=None)
