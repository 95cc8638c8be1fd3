"""Embeddings: the vectors of textual inversion files (Gal et al. 2022), which `embedding:name` in a prompt stands for.

    emb_params                 one encoder: A1111's name
    <token>                    one encoder: diffusers' (a single tensor under any name)
    clip_l, clip_g, t5xxl      several encoders, one tensor each: SDXL's and SD 3's

A tensor is [vectors, width], or [width] for one vector. Planning reads headers only.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import did_you_mean, fail
from engine.places import PICKLED, Places
from nodes.families.files import component, read_header
from nodes.types import TextEncoder, Weights

if TYPE_CHECKING:
    import torch

# What the tensors of a file for several encoders are called, by the component of the model that they are for.
COMPONENTS: Mapping[str, tuple[str, ...]] = {
    "text_encoder": ("clip_l",),
    "text_encoder_2": ("clip_g", "t5xxl"),
    "text_encoder_3": ("t5xxl",),
}


def find(name: str, places: Places) -> Path:
    """The file of an embedding's name, with or without its ending; `model.missing` where there is none."""
    known = {one.rpartition(".")[0] or one: one for one in places.models("embeddings")}
    wanted = known.get(name, name)
    if wanted in known.values():
        return places.model("embeddings", wanted)
    for old in (root / "embeddings" / f"{name}{end}" for root in places.roots() for end in ("", *PICKLED)):
        if old.suffix in PICKLED and old.is_file():
            raise fail(
                "model.format",
                f"the embedding {old.name} is a pickle, which may run code and is not opened",
                socket="text",
                mend=f"run `weft models convert {old}`, which makes a safetensors file of it",
            )
    raise fail(
        "model.missing",
        f"there is no embedding '{name}'.{did_you_mean(name, list(known))}",
        socket="text",
        mend=f"put it in {places.home / 'models' / 'embeddings'}, or use: {', '.join(list(known)[:8]) or 'none yet'}",
    )


def shapes(path: Path) -> dict[str, tuple[int, int]]:
    """(vectors, width) of each tensor, from the header."""
    found: dict[str, tuple[int, int]] = {}
    for key, (_, shape) in read_header(path).items():
        if len(shape) in (1, 2):
            found[key] = (shape[0] if len(shape) == 2 else 1, shape[-1])
    if not found:
        raise fail("model.format", f"{path.name} holds no vectors", socket="text", mend="use a textual inversion file")
    return found


def key_for(found: Mapping[str, tuple[int, int]], component: str, width: int) -> str | None:
    """Which tensor is for an encoder: by its name where the file has one for each, else the only one of its width."""
    told = next((name for name in COMPONENTS.get(component, ()) if name in found), None)
    several = any(name in found for names in COMPONENTS.values() for name in names)
    key = told if several else next(iter(found))
    return key if key is not None and found[key][1] == width else None


def check(name: str, places: Places, encoder: TextEncoder) -> None:
    """Refuse an embedding that is not there, and one that fits none of the encoders; headers only."""
    found = shapes(find(name, places))
    widths = {part.component: _width(part) for part in encoder.parts}
    if not any(key_for(found, part, width) for part, width in widths.items()):
        told = " and ".join(str(width) for width in sorted({width for _, width in found.values()}))
        wanted = " or ".join(str(width) for width in sorted(set(widths.values())))
        raise fail(
            "facts.mismatch",
            f"the embedding '{name}' is {told} wide, this model's text encoder takes {wanted}",
            socket="text",
            mend=f"use an embedding that was trained for {encoder.family}",
        )


def configuration(part: Weights) -> Mapping[str, Any]:
    """An encoder's own configuration, from its folder."""
    return component(Path(part.path)).config


def _width(part: Weights) -> int:
    config = configuration(part)
    return int(config.get("hidden_size") or config.get("d_model") or 0)


def vectors(path: Path, component: str, width: int) -> torch.Tensor | None:
    """The vectors for one encoder, float32 [vectors, width]; None when the file has none for it."""
    from safetensors import safe_open

    key = key_for(shapes(path), component, width)
    if key is None:
        return None
    with safe_open(str(path), framework="pt") as stream:
        found: torch.Tensor = stream.get_tensor(key).float()
    return found[None] if found.dim() == 1 else found
