"""Canvas: what is denoised. Making one, joining and picking items, and saying where it may change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from engine.errors import WeftError, refuse
from engine.node import Help, Range, Size, node
from engine.sockets import Ref, copy, facts_of, rule, same
from nodes.types import Denoiser, Latent, LatentSpace, Leftover, Mask

if TYPE_CHECKING:
    import torch

MAX_BYTES = 8 * 2**30  # of one float32 latent: a 16k square fits, a slip of the finger does not
Batch = Annotated[int, Range(1, 4096, 1, soft=(1, 16)), Help("How many pictures.")]
Cells = Annotated[
    Literal["nearest", "cover", "average"],
    Help("A cell changes when its first pixel does (nearest, as diffusers), any pixel (cover), or in part (average)."),
]


def check_size(space: LatentSpace, width: int, height: int, *, socket: str = "") -> None:
    """Refuse a size in pixels that is no whole number of latent cells, naming the nearest two that are."""
    for name, size in (("width", width), ("height", height)):
        if size < 1:
            raise refuse(f"{name} {size} is no size", socket=socket or name, mend="use at least one latent cell")
        low = size - size % space.factor
        if low != size:
            near = " or ".join(str(one) for one in (low, low + space.factor) if one > 0)
            raise refuse(
                f"{name} {size} is not a multiple of {space.factor}, the pixels of one {space.name} latent cell",
                socket=socket or name,
                mend=f"use {near}",
            )


def check_room(space: LatentSpace, width: int, height: int, batch: int) -> None:
    """Refuse latents that no memory would hold: a slip of the finger."""
    count = batch * space.channels * (height // space.factor) * (width // space.factor)
    if count * 4 > MAX_BYTES:
        raise refuse(
            f"{batch} × {width}×{height} pixels would take {count * 4 / 2**30:,.0f} GiB as latents",
            socket="batch" if width * height <= 2**28 else "width",
            mend="use a smaller size or batch",
        )


def empty_facts(**inputs: Any) -> dict[str, dict[str, Any]]:
    """The facts of an empty latent; refuses sizes that do not fit as soon as they are known."""
    model, sizes = inputs["model"], {key: inputs[key] for key in ("width", "height", "batch")}
    known = {key: value for key, value in sizes.items() if not isinstance(value, Ref)}
    if isinstance(model, Denoiser):
        check_size(model.space, known.get("width", model.space.factor), known.get("height", model.space.factor))
    space = facts_of(model).get("latent_space")
    return {"latent": {**known, "beside": 0, **({"latent_space": space} if space else {})}}


@node(
    "latent.empty",
    title="Empty latent",
    output="latent",
    lane="cpu",
    facts=[rule("nodes.latent.canvas:empty_facts")],
    aliases=["EmptyLatentImage", "EmptySD3LatentImage", "EmptyHunyuanImageLatent", "width", "batch size"],
)
def empty_latent(model: Denoiser, width: Size = 512, height: Size = 512, batch: Batch = 1) -> Latent:
    """Zeros float32 [batch, channel, height / factor, width / factor] in the model's latent space: a blank canvas.

    The model tells channels and factor; width and height are in pixels, whole latent cells (8 for most models).
    """
    import torch

    check_size(model.space, width, height)
    check_room(model.space, width, height, batch)
    factor = model.space.factor
    return Latent(torch.zeros(batch, model.space.channels, height // factor, width // factor), model.space)


@node(
    "latent.batch",
    title="Batch latents",
    output="latent",
    lane="cpu",
    aliases=["LatentBatch", "BatchLatentsNode", "RebatchLatents"],
)
def batch_latents(*latents: Latent) -> Latent:
    """One latent whose batch holds all items in order; they must share latent space and size.

    Items are renumbered: item i of the result draws its noise from seed + i. Where only some have a noise mask, the
    others may change everywhere.
    """
    import torch

    if not latents:
        raise refuse("there is nothing to join", socket="latents", mend="wire at least one latent")
    first = latents[0]
    for one in latents:
        if one.space != first.space or one.samples.shape[1:] != first.samples.shape[1:]:
            raise refuse(
                f"{describe(one)} cannot stand in one batch with {describe(first)}",
                socket="latents",
                mend="join latents of one space and size",
            )
    samples = torch.cat([one.samples.to(first.samples) for one in latents])
    masks = [one.noise_mask for one in latents]
    mask = (
        None if all(one is None for one in masks) else torch.cat([_mask_per_item(one).to(samples) for one in latents])
    )
    shown = [_per_item(one.beside, len(one.samples)) for one in latents if one.beside is not None]
    if len(shown) not in (0, len(latents)) or len({one.shape[1] for one in shown}) > 1:
        raise refuse(
            "some latents bring channels for an inpainting model and others do not",
            socket="latents",
            mend="make all of them with inpaint.condition, or none",
        )
    for one in latents:
        same_leftover(first, one, "latents")
    left = first.leftover
    if left is not None and left.original is not None:
        lefts = [one.leftover for one in latents if one.leftover is not None]
        originals = [one.original.to(samples) for one in lefts if one.original is not None]
        noises = [one.noise.to(samples) for one in lefts if one.noise is not None]
        if not len(originals) == len(noises) == len(latents):
            message = "some of the latents that were stopped half-way have a noise mask and others do not"
            raise refuse(message, socket="latents", mend="stop all with a mask, or all without")
        left = replace(left, original=torch.cat(originals), noise=torch.cat(noises))
    beside = torch.cat([one.to(samples) for one in shown]) if shown else None
    return Latent(samples, first.space, mask, beside=beside, leftover=left)


def _mask_per_item(latent: Latent) -> torch.Tensor:
    """The noise mask as [batch, 1, h, w]; ones where there is none."""
    batch, _, *_, height, width = latent.samples.shape
    if latent.noise_mask is None:
        return latent.samples.new_ones(batch, 1, height, width)
    return _per_item(latent.noise_mask, batch)


def _per_item(one: torch.Tensor, batch: int) -> torch.Tensor:
    """[batch or 1, ...] as [batch, ...]."""
    return one.expand(batch, *[-1] * (one.dim() - 1))


@node(
    "latent.pick",
    title="Pick latent from batch",
    output="latent",
    lane="cpu",
    facts=[
        copy("count", "latent.batch"),
        *(copy(f"latent.{fact}", f"latent.{fact}") for fact in ("latent_space", "width", "height")),
    ],
    aliases=["LatentFromBatch"],
)
def pick_latent(
    latent: Latent,
    index: Annotated[int, Range(0, 4095, 1)] = 0,
    count: Batch = 1,
) -> Latent:
    """Items `index` .. `index + count - 1` of a batch; each keeps the noise it had there (`seeds_from`)."""
    batch = latent.samples.shape[0]
    if index + count > batch:
        raise refuse(
            f"items {index}..{index + count - 1} of a batch of {batch}", socket="index", mend=f"use 0..{batch - 1}"
        )

    def some(one: torch.Tensor | None) -> torch.Tensor | None:
        return one[index : index + count].clone() if one is not None and one.shape[0] > 1 else one

    samples = latent.samples[index : index + count].clone()
    return replace(
        latent,
        samples=samples,
        noise_mask=some(latent.noise_mask),
        seeds_from=latent.seeds_from + index,
        beside=some(latent.beside),
        leftover=with_leftover(latent.leftover, some),
    )


def with_leftover(
    leftover: Leftover | None, change: Callable[[torch.Tensor | None], torch.Tensor | None]
) -> Leftover | None:
    """What noise is still in latents after the same was done to them as to these tensors."""
    if leftover is None:
        return None
    return replace(leftover, original=change(leftover.original), noise=change(leftover.noise))


def same_leftover(first: Latent, second: Latent, socket: str) -> None:
    """Refuse two latents that do not have as much noise in them."""
    one, two = ((x.leftover.sigma, x.leftover.form) if x.leftover else None for x in (first, second))
    if one != two:
        raise refuse(
            "one of the latents was stopped half-way and still has noise in it, the other not, or more of it",
            socket=socket,
            mend="finish both, or stop both at the same step",
        )


@node(
    "latent.set_mask",
    title="Set noise mask",
    output="latent",
    lane="cpu",
    facts=[
        same("width", "latent", "mask"),
        same("height", "latent", "mask"),
        *(copy(f"latent.{fact}", f"latent.{fact}") for fact in ("latent_space", "width", "height", "batch")),
    ],
    aliases=["SetLatentNoiseMask"],
)
def set_mask(latent: Latent, mask: Mask, cells: Cells = "nearest") -> Latent:
    """Let the latent change only where the mask says so (1 = change); the mask has the size of the picture."""
    return replace(latent, noise_mask=mask_cells(mask, latent, cells))


def mask_cells(mask: Mask, latent: Latent, cells: str) -> torch.Tensor:
    """A mask of picture size [batch, height, width] as latent cells [batch, 1, h, w]."""
    import torch.nn.functional as F

    batch, height, width = mask.alpha.shape
    size, factor = latent.samples.shape[-2:], latent.space.factor
    if (height, width) != (size[0] * factor, size[1] * factor):
        raise refuse(
            f"the mask is {width}×{height}, the picture {size[1] * factor}×{size[0] * factor}",
            socket="mask",
            mend="give the mask the size of the picture",
        )
    if batch not in (1, latent.samples.shape[0]):
        raise refuse(
            f"{batch} masks for {latent.samples.shape[0]} pictures", socket="mask", mend="use one, or one each"
        )
    alpha = mask.alpha.to(latent.samples.device)[:, None]  # (B, 1, H, W)
    if cells == "cover":
        return F.max_pool2d(alpha, factor)
    return F.interpolate(alpha, size=tuple(size), mode="area" if cells == "average" else "nearest")


def describe(latent: Latent) -> str:
    """A latent in a few words for messages: `sd1 latent 512×512`."""
    facts = latent.facts
    return f"{facts['latent_space']} latent {facts['width']}×{facts['height']}"


def check_space(vae_space: LatentSpace, latent: Latent) -> WeftError | None:
    """The error for a latent that was made by another kind of VAE, if it was."""
    if latent.space == vae_space:
        return None
    return refuse(
        f"the latent is of space {latent.space.name}, the VAE makes {vae_space.name}: they do not belong together",
        socket="latent",
        mend="use the VAE that was loaded with the model",
    )
