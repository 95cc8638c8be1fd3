"""Weights: a file or folder on this machine, named by its content."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Weights:
    """A file or folder of weights. `id` is its content; where it lies on this machine is not part of any key."""

    __module__ = "nodes.types"

    id: str
    component: str  # `unet`, `transformer`, `vae`, `text_encoder`, `controlnet`, `lora`, ...
    path: str = field(compare=False)
    variant: str = field(default="", compare=False)  # `fp16` in `model.fp16.safetensors`
