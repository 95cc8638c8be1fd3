"""Kinds: what a single file is, from the names and shapes in its header alone.

A file holds parts: a denoiser, an autoencoder, text encoders, a ControlNet. Each part has a prefix (where its tensors
begin), a layout (how its tensors are called) and a kind (of which model it is).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from nodes.families.files import Header

Shape = tuple[int | None, ...]

DENOISER_PREFIXES = ("model.diffusion_model.", "")
VAE_PREFIXES = ("first_stage_model.", "vae.", "")
ENCODER_PREFIXES = (
    *("cond_stage_model.transformer.", "cond_stage_model.model.", "conditioner.embedders.0.transformer."),
    *("conditioner.embedders.0.model.", "conditioner.embedders.1.model.", "text_encoders.clip_l.transformer."),
    *("text_encoders.clip_g.transformer.", "text_encoders.clip_h.transformer.", "text_encoders.t5xxl.transformer."),
    "",
)
ABOUT = {
    "sd1": "Stable Diffusion 1.x",
    "sd2": "Stable Diffusion 2.x",
    "sdxl": "Stable Diffusion XL",
    "sdxl-refiner": "Stable Diffusion XL's refiner",
    "sd3": "Stable Diffusion 3",
    "flux": "Flux",
    "clip_l": "CLIP-L",
    "clip_g": "CLIP-G",
    "clip_h": "CLIP-H",
    "t5": "T5",
}
# The text encoders of each kind of model, by the name of the component that they are in diffusers.
ENCODERS: Mapping[str, Mapping[str, str]] = {
    "sd1": {"text_encoder": "clip_l"},
    "sd2": {"text_encoder": "clip_h"},
    "sdxl": {"text_encoder": "clip_l", "text_encoder_2": "clip_g"},
    "sdxl-refiner": {"text_encoder_2": "clip_g"},
    "sd3": {"text_encoder": "clip_l", "text_encoder_2": "clip_g", "text_encoder_3": "t5"},
    "flux": {"text_encoder": "clip_l", "text_encoder_2": "t5"},
}
UNET_KINDS = ("sd1", "sd2", "sdxl", "sdxl-refiner")


@dataclass(frozen=True)
class Place:
    """Where a part lies in a file: what its tensors begin with, how they are called, and of which kind it is."""

    prefix: str
    layout: str
    kind: str = ""


@dataclass(frozen=True)
class Found:
    """What a header tells: the kind of the denoiser ("" without one), and the parts by their names in diffusers."""

    kind: str = ""
    parts: Mapping[str, Place] = field(default_factory=dict)


def _attention(block: str) -> str:
    return f"{block}.transformer_blocks.0.attn2.to_k.weight"


# UNets by tensors that no other kind has in these shapes: in the layout of the first code, and under diffusers' names.
UNETS: tuple[tuple[str, str, Mapping[str, Shape]], ...] = (
    ("sdxl", "ldm", {_attention("input_blocks.4.1"): (640, 2048), "label_emb.0.0.weight": (1280, 2816)}),
    ("sdxl-refiner", "ldm", {_attention("input_blocks.4.1"): (768, 1280), "label_emb.0.0.weight": (1536, 2560)}),
    ("sd1", "ldm", {_attention("input_blocks.1.1"): (320, 768), "input_blocks.0.0.weight": (320, None, 3, 3)}),
    ("sd2", "ldm", {_attention("input_blocks.1.1"): (320, 1024), "input_blocks.0.0.weight": (320, None, 3, 3)}),
    (
        "sdxl",
        "diffusers",
        {_attention("down_blocks.1.attentions.0"): (640, 2048), "add_embedding.linear_1.weight": (1280, 2816)},
    ),
    (
        "sdxl-refiner",
        "diffusers",
        {_attention("down_blocks.1.attentions.0"): (768, 1280), "add_embedding.linear_1.weight": (1536, 2560)},
    ),
    ("sd1", "diffusers", {_attention("down_blocks.0.attentions.0"): (320, 768), "conv_in.weight": (320, None, 3, 3)}),
    ("sd2", "diffusers", {_attention("down_blocks.0.attentions.0"): (320, 1024), "conv_in.weight": (320, None, 3, 3)}),
)
# DiTs by the names that no other has; their sizes are read from the shapes.
DITS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("sd3", "sd3", ("joint_blocks.0.context_block.attn.qkv.weight", "x_embedder.proj.weight")),
    ("flux", "flux", ("double_blocks.0.img_attn.qkv.weight", "double_blocks.0.img_mod.lin.weight", "img_in.weight")),
    ("sd3", "diffusers", ("transformer_blocks.0.attn.add_q_proj.weight", "pos_embed.proj.weight")),
    (
        "flux",
        "diffusers",
        ("single_transformer_blocks.0.proj_mlp.weight", "x_embedder.weight", "proj_out.weight"),
    ),
)
# ControlNets have a name of their own, and the names of the denoiser that they are a copy of.
NET_MARKS = ("controlnet_", "control_model.", "input_hint_block.", "zero_convs.", "control_add_embedding.")


def fits(table: Header, name: str, shape: Shape) -> bool:
    """Is there a tensor of this name and shape (None: any)?"""
    found = table.get(name)
    return (
        found is not None
        and len(found[1]) == len(shape)
        and all(want in (None, got) for want, got in zip(shape, found[1], strict=True))
    )


def look(table: Header, config: Mapping[str, Any] | None = None) -> Found:
    """What the tensors are; `config` is a denoiser's own configuration, for one of a size that is not published."""
    if any(key.startswith(NET_MARKS) for key in table):
        return Found()
    kind, parts = "", {}
    found = _denoiser(table, config)
    if found is not None:
        kind = found.kind
        parts["unet" if kind in UNET_KINDS else "transformer"] = found
    bare = found is not None and not found.prefix
    autoencoder = _vae(table, bare)
    if autoencoder is not None:
        parts["vae"] = autoencoder
    bare = bare or (autoencoder is not None and not autoencoder.prefix)
    encoders = {place.kind: place for place in _encoders(table, bare)}
    names = {one: name for name, one in ENCODERS.get(kind, {}).items()}
    if kind and len(names) == 1 and len(encoders) == 1:  # of a size that its own configuration tells
        encoders = dict(zip(names, encoders.values(), strict=True))
    parts |= {names.get(one, one): place for one, place in encoders.items() if not kind or one in names}
    return Found(kind, parts)


def _denoiser(table: Header, config: Mapping[str, Any] | None) -> Place | None:
    for prefix in DENOISER_PREFIXES:
        for kind, layout, needs in UNETS:
            if all(fits(table, prefix + name, shape) for name, shape in needs.items()):
                return Place(prefix, layout, kind)
        for kind, layout, names in DITS:
            if all(prefix + name in table for name in names):
                return Place(prefix, layout, kind)
        for layout, name in (("ldm", "input_blocks.0.0.weight"), ("diffusers", "conv_in.weight")):
            if config is not None and prefix + name in table:
                return Place(prefix, layout, _kind_of(config))
    return None


def _kind_of(config: Mapping[str, Any]) -> str:
    """The kind of a UNet by its configuration."""
    width = config.get("cross_attention_dim")
    if config.get("addition_embed_type") == "text_time":
        return "sdxl-refiner" if width == 1280 else "sdxl"
    return "sd2" if width == 1024 else "sd1"


def _vae(table: Header, taken: bool) -> Place | None:
    """An autoencoder; `taken`: a tensor without a prefix is a denoiser's."""
    for prefix in VAE_PREFIXES:
        if (taken and not prefix) or prefix + "decoder.conv_in.weight" not in table:
            continue
        if prefix + "decoder.mid.block_1.norm1.weight" in table:
            return Place(prefix, "ldm", "vae")
        if prefix + "decoder.mid_block.resnets.0.norm1.weight" in table:
            return Place(prefix, "diffusers", "vae")
    return None


def _encoders(table: Header, taken: bool) -> Iterator[Place]:
    for prefix in ENCODER_PREFIXES:
        if taken and not prefix:
            continue
        if prefix + "encoder.block.0.layer.0.SelfAttention.q.weight" in table:
            yield Place(prefix, "diffusers", "t5")
        elif prefix + "enc.blk.0.attn_q.weight" in table:
            yield Place(prefix, "llama", "t5")
        elif prefix + "transformer.resblocks.0.attn.in_proj_weight" in table:
            width = table.get(prefix + "ln_final.weight", ("", (0,)))[1][0]
            yield Place(prefix, "openclip", "clip_h" if width == 1024 else "clip_g")
        elif prefix + "text_model.embeddings.token_embedding.weight" in table:
            width = table[prefix + "text_model.embeddings.token_embedding.weight"][1][-1]
            second = ".1." in prefix or "clip_g" in prefix or (not prefix and "text_projection.weight" in table)
            wide = "clip_g" if second else "clip_l"
            yield Place(prefix, "diffusers", {768: "clip_l", 1024: "clip_h", 1280: "clip_g"}.get(width, wide))
