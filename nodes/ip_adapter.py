"""IP-Adapter: a picture as a prompt – its subject, its style or its layout, beside the words (Ye et al. 2023).

arXiv 2308.06721. A small net turns the picture, as an image encoder sees it, into a few tokens, which the model's cross
attention reads with keys and values of their own. Loading and applying is bookkeeping; encoding runs the image encoder.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from engine import places
from engine.errors import refuse
from engine.node import Model, Range, node
from engine.run import Run
from engine.sockets import copy, same
from nodes.families.ip_adapter import IPAdapters, IPItem, encode_pictures, read_adapter
from nodes.types import Denoiser, Image, ImagePrompt, IPAdapter, Mask

Part = Literal["all", "style", "layout", "style and layout"]


@node(
    "ip_adapter.load",
    title="Load IP-Adapter",
    light=True,
    output="adapter",
    aliases=("IPAdapterModelLoader", "IPAdapterUnifiedLoader", "CLIPVisionLoader"),
)
def load(adapter: Annotated[str, Model("ip_adapter")], encoder: Annotated[str, Model("clip_vision")]) -> IPAdapter:
    """An IP-Adapter of Stable Diffusion 1.x or XL and the image encoder it was trained with; reads headers only.

    Plain, plus, plus-face and full-face adapters (.safetensors); those of FaceID need another recogniser of faces and
    are refused. Errors: `model.missing`, `model.format` for what is damaged or pickled, `model.family` for another
    kind, `facts.mismatch` for an image encoder of another width.

    Args:
        adapter: A file under models/ip_adapter.
        encoder: A CLIP image encoder under models/clip_vision: ViT-H for most, ViT-bigG for SDXL's first adapter.
    """
    where = places.current()
    return read_adapter(where.model("ip_adapter", adapter), where.model("clip_vision", encoder))


@node(
    "ip_adapter.encode",
    title="Encode image prompt",
    output="prompt",
    aliases=("IPAdapterEncoder", "CLIPVisionEncode", "PrepImageForClipVision"),
)
def encode(run: Run, adapter: IPAdapter, *images: Image) -> ImagePrompt:
    """Pictures as an adapter reads them: [1, pictures, width], or [1, pictures, tokens, width] for the plus kinds.

    Each is brought to the encoder's size by its shorter side, and its middle is taken. Several together are read at
    once; a batch counts as so many pictures.

    Args:
        run: Leases the image encoder.
        adapter: From ip_adapter.load.
        images: What to be like.
    """
    if not images:
        raise refuse("there is no picture to encode", socket="images", mend="wire an image")
    return encode_pictures(run, adapter, images)


@node(
    "ip_adapter.apply",
    title="Apply IP-Adapter",
    advanced=("part",),
    light=True,
    output="model",
    aliases=("IPAdapter", "IPAdapterAdvanced", "IPAdapterApply", "IPAdapterStyleComposition"),
    facts=[
        same("family", "model", "adapter", why="an IP-Adapter has keys and values for one model's attention"),
        copy("model.family", "model.family"),
        copy("model.latent_space", "model.latent_space"),
        copy("model.prediction", "model.prediction"),
        copy("model.text_layout", "model.text_layout"),
    ],
    bypass={"model": "model"},
)
def apply(
    model: Denoiser,
    adapter: IPAdapter,
    prompt: ImagePrompt,
    strength: Annotated[float, Range(-1, 3, 0.05, soft=(0, 1))] = 0.6,
    start: Annotated[float, Range(0, 1, 0.01)] = 0.0,
    end: Annotated[float, Range(0, 1, 0.01)] = 1.0,
    part: Part = "all",
    mask: Mask | None = None,
) -> Denoiser:
    """A model that looks at pictures beside its prompt; apply it again for another adapter, or other pictures.

    The unconditional side sees an empty picture, as the adapters were trained to. Steps before `start` do not depend on
    it. Style and layout alone: Wang et al. 2024 (InstantStyle, arXiv 2404.02733).

    Args:
        model: The denoiser that the adapter was made for.
        adapter: From ip_adapter.load.
        prompt: From ip_adapter.encode.
        strength: How much the pictures count beside the words; 0 takes them out.
        start: From which part of the steps on, 0 is the first.
        end: Until which part of the steps, 1 is the last.
        part: All of the picture, or its style or layout alone, which are known for SDXL.
        mask: Where the pictures count; everywhere without one.
    """
    if start >= end:
        mend = f"choose an end above {start:g}"
        raise refuse(f"the range from {start:g} to {end:g} has no step in it", socket="end", mend=mend)
    if part != "all" and not adapter.family.startswith("sdxl"):
        raise refuse(f"{part} alone is known for SDXL's blocks only", socket="part", mend="set part to all")
    if strength == 0:
        return model
    item = IPItem(adapter, prompt, strength, start, end, part, mask)
    others = tuple(patch for patch in model.patches if not isinstance(patch, IPAdapters))
    before = next((patch.items for patch in model.patches if isinstance(patch, IPAdapters)), ())
    return replace(model, patches=(*others, IPAdapters((*before, item))))
