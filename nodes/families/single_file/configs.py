"""Configs: how the parts of a single file are built.

Shipped as JSON for UNets and autoencoders, read from the shapes of the tensors for transformers and text encoders.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nodes.families.files import Header, damaged

CONFIGS = Path(__file__).parent.parent / "configs"
SHIPPED = {"vae": {"sd2": "sd1", "sdxl-refiner": "sdxl"}}  # whose JSON is another kind's too


def shipped(kind: str, part: str) -> Path:
    """The folder of a shipped configuration."""
    return CONFIGS / SHIPPED.get(part, {}).get(kind, kind) / part


def sd3(table: Header, file: Path) -> dict[str, Any]:
    """`SD3Transformer2DModel` from its tensors under diffusers' names: heads are 64 wide in all published sizes."""
    shape = _shapes(table, file)
    inner, channels, patch, _ = shape("pos_embed.proj.weight", 4)
    caption, width = shape("context_embedder.weight", 2)
    places = shape("pos_embed.pos_embed", 3)[1]
    out = shape("proj_out.weight", 2)[0]
    if inner % 64 or math.isqrt(places) ** 2 != places:
        raise damaged(file, f"a width of {inner} and {places} places are no Stable Diffusion 3")
    return {
        "_class_name": "SD3Transformer2DModel",
        "sample_size": 128,
        "patch_size": patch,
        "in_channels": channels,
        "out_channels": out // patch**2,
        "num_layers": _count(table, "transformer_blocks."),
        "attention_head_dim": 64,
        "num_attention_heads": inner // 64,
        "joint_attention_dim": width,
        "caption_projection_dim": caption,
        "pooled_projection_dim": shape("time_text_embed.text_embedder.linear_1.weight", 2)[1],
        "pos_embed_max_size": math.isqrt(places),
        "dual_attention_layers": [
            index
            for index in range(_count(table, "transformer_blocks."))
            if f"transformer_blocks.{index}.attn2.to_q.weight" in table
        ],
        "qk_norm": "rms_norm" if "transformer_blocks.0.attn.norm_q.weight" in table else None,
    }


def flux(table: Header, file: Path) -> dict[str, Any]:
    """`FluxTransformer2DModel` from its tensors under diffusers' names: heads are 128 wide, their axes 16, 56, 56."""
    shape = _shapes(table, file)
    inner, channels = shape("x_embedder.weight", 2)
    head = shape("transformer_blocks.0.attn.norm_q.weight", 1)[0]
    if head != 128 or inner % head:
        raise damaged(file, f"heads of {head} in a width of {inner} are no Flux")
    return {
        "_class_name": "FluxTransformer2DModel",
        "patch_size": 1,
        "in_channels": channels,
        "out_channels": shape("proj_out.weight", 2)[0],
        "num_layers": _count(table, "transformer_blocks."),
        "num_single_layers": _count(table, "single_transformer_blocks."),
        "attention_head_dim": head,
        "num_attention_heads": inner // head,
        "joint_attention_dim": shape("context_embedder.weight", 2)[1],
        "pooled_projection_dim": shape("time_text_embed.text_embedder.linear_1.weight", 2)[1],
        "guidance_embeds": "time_text_embed.guidance_embedder.linear_1.weight" in table,
        "axes_dims_rope": [16, 56, 56],
    }


def clip(table: Header, file: Path) -> dict[str, Any]:
    """A CLIP text encoder from its tensors under transformers' names.

    Heads are 64 wide, OpenAI's CLIP-L has its own activation, and the last of CLIP-H's 24 layers is never used (Stable
    Diffusion 2.x).
    """
    shape = _shapes(table, file)
    words, width = shape("text_model.embeddings.token_embedding.weight", 2)
    layers = _count(table, "text_model.encoder.layers.")
    projection = table.get("text_projection.weight")
    if width % 64:
        raise damaged(file, f"a width of {width} is no published CLIP's")
    return {
        "architectures": ["CLIPTextModelWithProjection" if projection is not None else "CLIPTextModel"],
        "model_type": "clip_text_model",
        "bos_token_id": 0,
        "eos_token_id": 2,
        "pad_token_id": 1,
        "hidden_act": "quick_gelu" if width == 768 else "gelu",
        "hidden_size": width,
        "intermediate_size": shape("text_model.encoder.layers.0.mlp.fc1.weight", 2)[0],
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": shape("text_model.embeddings.position_embedding.weight", 2)[0],
        "num_attention_heads": width // 64,
        "num_hidden_layers": layers - 1 if (width, layers) == (1024, 24) else layers,
        "projection_dim": width if projection is None else projection[1][0],
        "vocab_size": words,
    }


def t5(table: Header, file: Path) -> dict[str, Any]:
    """A T5 encoder from its tensors: every size stands in a shape."""
    shape = _shapes(table, file)
    first = "encoder.block.0.layer."
    inner, width = shape(first + "0.SelfAttention.q.weight", 2)
    buckets, heads = shape(first + "0.SelfAttention.relative_attention_bias.weight", 2)
    gated = first + "1.DenseReluDense.wi_0.weight" in table
    words = table.get("shared.weight") or table.get("encoder.embed_tokens.weight")
    if words is None:
        raise damaged(file, "its T5 has no 'shared.weight'")
    return {
        "model_type": "t5",
        "d_model": width,
        "d_kv": inner // heads,
        "num_heads": heads,
        "d_ff": shape(first + ("1.DenseReluDense.wi_0.weight" if gated else "1.DenseReluDense.wi.weight"), 2)[0],
        "num_layers": _count(table, "encoder.block."),
        "vocab_size": words[1][0],
        "relative_attention_num_buckets": buckets,
        "feed_forward_proj": "gated-gelu" if gated else "relu",
        "is_encoder_decoder": False,
        "tie_word_embeddings": False,
    }


READ = {"sd3": sd3, "flux": flux, "clip_l": clip, "clip_g": clip, "clip_h": clip, "t5": t5}


def _count(table: Header, prefix: str) -> int:
    """How many numbered blocks there are."""
    return 1 + max((int(key.split(".")[prefix.count(".")]) for key in table if key.startswith(prefix)), default=-1)


def _shapes(table: Header, file: Path) -> Any:
    def shape(name: str, dimensions: int) -> tuple[int, ...]:
        found: Mapping[str, tuple[str, tuple[int, ...]]] = table
        if name not in found:
            raise damaged(file, f"it lacks '{name}'")
        if len(found[name][1]) != dimensions:
            raise damaged(file, f"'{name}' is {list(found[name][1])}")
        return found[name][1]

    return shape
