"""Latent: the canvas that is denoised – made, joined, mixed, resized, saved – and where it may change."""

from nodes.latent.canvas import (
    Cells,
    batch_latents,
    check_size,
    check_space,
    describe,
    empty_facts,
    empty_latent,
    mask_cells,
    pick_latent,
    set_mask,
)
from nodes.latent.edit import resize_facts, resize_latent

__all__ = [
    "Cells",
    "batch_latents",
    "check_size",
    "check_space",
    "describe",
    "empty_facts",
    "empty_latent",
    "mask_cells",
    "pick_latent",
    "resize_facts",
    "resize_latent",
    "set_mask",
]
