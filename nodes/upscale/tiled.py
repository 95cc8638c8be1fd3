"""Tiled: a large picture denoised tile by tile, so that details appear which fit its new size."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from engine.errors import refuse
from engine.node import Help, Range, Seed, Steps, node
from engine.run import Run
from engine.sockets import Ref, facts_of, rule, same
from nodes.image.filters import MAX_PIXELS, Method, resample
from nodes.image.tiles import Box, Tiling
from nodes.schedule import Sampler, Spacing
from nodes.types import VAE, Conditioning, Control, Denoiser, Image, Mask

if TYPE_CHECKING:
    import torch

# What is done with each tile; the engine knows its steps by what they are given, so a tile that did not change is not
# denoised again, and a cancelled upscale goes on where it stopped.
TILE = {
    "weft": 1,
    "nodes": {
        "encode": {"type": "vae.encode", "inputs": {}},
        "sample": {"type": "denoise.sample", "inputs": {"latent": {"from": "encode.latent"}}},
        "decode": {"type": "vae.decode", "inputs": {"latent": {"from": "sample.latent"}}},
    },
    "parameters": {
        "image": {"to": ["encode.image"]},
        "vae": {"to": ["encode.vae", "decode.vae"]},
        **{
            name: {"to": [f"sample.{name}"]}
            for name in ("model", "positive", "seed", "steps", "cfg", "sampler", "scheduler", "denoise")
        },
    },
    "outputs": {"image": "decode.image"},
}


def facts(**inputs: Any) -> dict[str, dict[str, Any]]:
    """The size of the result."""
    image, factor = facts_of(inputs["image"]), inputs["factor"]
    found = {"batch": image["batch"]} if "batch" in image else {}
    if not isinstance(factor, Ref):
        found |= {side: max(1, round(image[side] * factor)) for side in ("width", "height") if side in image}
    return {"image": found}


@node(
    "upscale.tiled",
    title="Tiled upscale",
    advanced=("overlap", "method"),
    output="image",
    facts=[
        same("latent_space", "vae", "model", why="each model works in the latents of its own VAE"),
        same("text_layout", "model", "positive", "negative", why="encode prompts with the model's own text encoder"),
        rule("nodes.upscale.tiled:facts"),
    ],
    aliases=["UltimateSDUpscale", "tiled diffusion", "SD upscale", "TiledKSampler"],
)
def tiled(
    run: Run,
    image: Image,
    model: Denoiser,
    vae: VAE,
    positive: Conditioning,
    negative: Conditioning | None = None,
    factor: Annotated[
        float, Range(0.25, 16, 0.05, soft=(1, 4)), Help("How many times larger; 1 for a picture that is so already.")
    ] = 2.0,
    denoise: Annotated[float, Range(0, 1, 0.01), Help("How much is redrawn; above 0.4 tiles invent things.")] = 0.3,
    seed: Seed = 0,
    steps: Steps = 20,
    cfg: Annotated[float, Range(0, 100, 0.1, soft=(1, 12))] = 7.0,
    sampler: Sampler = "euler",
    scheduler: Spacing = "normal",
    tile: Annotated[int, Range(64, 4096, 8, soft=(256, 1536)), Help("Pixels a side: what the model knows.")] = 512,
    overlap: Annotated[int, Range(0, 1024, 8, soft=(16, 256)), Help("Pixels that neighbouring tiles share.")] = 64,
    method: Method = "lanczos",
    control: Annotated[Control | None, Help("Its hints are cut like the picture: a tile ControlNet, say.")] = None,
) -> Image:
    """Enlarge a picture and denoise it tile by tile at a low strength; tiles fade into each other.

    Each tile draws its noise from seed + its number. All of it costs as much memory as one tile; progress counts tiles,
    and cancelling between them keeps those that are done. Wire an enlarged picture with factor 1 to use a network for
    the first step (`upscale.model`). Prompts with a mask are cut with the picture; prompts with an area are refused.
    """
    from engine.workflow import from_json

    batch, old_height, old_width = image.pixels.shape[:3]
    width, height = max(1, round(old_width * factor)), max(1, round(old_height * factor))
    if batch * width * height > MAX_PIXELS:
        raise refuse(f"{batch} × {width}×{height} is too large", socket="factor", mend="use a smaller factor")
    unit = 2 * vae.space.factor  # whole cells, and whole patches of models that cut latents into 2 x 2
    across, down = -(-width // unit), -(-height // unit)
    pixels = _padded(resample(image.pixels, width, height, method), across * unit, down * unit)
    tiling = Tiling(down, across, tile // unit, overlap // unit)
    graph = from_json(_graph(negative is not None, control is not None))
    done = 0

    def one(box: Box) -> torch.Tensor:
        nonlocal done
        run.progress(done, len(tiling.boxes), "tiles")
        part = box.times(unit)
        given: dict[str, Any] = {
            "image": Image(pixels[:, part.top : part.bottom, part.left : part.right].contiguous()),
            "vae": vae,
            "model": model,
            "positive": _cut_prompts(positive, part, pixels, "positive"),
            "seed": (seed + done) % 2**64,
            "steps": steps,
            "cfg": cfg,
            "sampler": sampler,
            "scheduler": scheduler,
            "denoise": denoise,
        }
        if negative is not None:
            given["negative"] = _cut_prompts(negative, part, pixels, "negative")
        if control is not None:
            given["control"] = _cut_hints(control, part, pixels)
        made: Image = run.nested(graph, given)["image"]
        done += 1
        return made.pixels.movedim(-1, 1).cpu()

    whole = tiling.put_together(one, unit).movedim(1, -1)
    run.progress(done, len(tiling.boxes), "tiles")
    return Image(whole[:, :height, :width].clamp(0, 1).contiguous())


def _graph(negative: bool, control: bool) -> dict[str, Any]:
    """The graph of one tile, with a negative prompt and ControlNets where there are any."""
    more = {name: {"to": [f"sample.{name}"]} for name, there in (("negative", negative), ("control", control)) if there}
    return {**TILE, "parameters": {**TILE["parameters"], **more}}  # type: ignore[dict-item]


def _padded(pixels: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """[batch, height, width, 3], its right and lower border repeated."""
    import torch.nn.functional as F

    right, bottom = width - pixels.shape[2], height - pixels.shape[1]
    if not (right or bottom):
        return pixels
    return F.pad(pixels.movedim(-1, 1), (0, right, 0, bottom), mode="replicate").movedim(1, -1)


def _cut_prompts(conditioning: Conditioning, part: Box, like: torch.Tensor, socket: str) -> Conditioning:
    """The prompts of one tile: their masks cut like the picture."""
    entries = []
    for entry in conditioning.entries:
        if entry.area is not None:
            raise refuse("a prompt with an area cannot be cut into tiles", socket=socket, mend="give it a mask instead")
        if entry.mask is not None:
            whole = resample(entry.mask.alpha[..., None], like.shape[2], like.shape[1], "bilinear")
            piece = whole[:, part.top : part.bottom, part.left : part.right, 0].contiguous()
            if not bool(piece.any()):
                continue
            entry = replace(entry, mask=Mask(piece))
        entries.append(entry)
    # Where no prompt reaches a tile the first one speaks for it.
    return replace(conditioning, entries=tuple(entries) or (replace(conditioning.entries[0], mask=None),))


def _cut_hints(control: Control, part: Box, like: torch.Tensor) -> Control:
    """The ControlNets of one tile: their hints at the size of the whole, cut like the picture."""
    items = []
    for item in control.items:
        whole = resample(item.image.pixels, like.shape[2], like.shape[1], "bicubic")
        piece = whole[:, part.top : part.bottom, part.left : part.right].contiguous()
        items.append(replace(item, image=Image(piece)))
    return replace(control, items=tuple(items))
