"""Latents: what a denoiser works on, the space they live in, and the noise left in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.sockets import Facts, socket

if TYPE_CHECKING:
    import torch

    Tensor = torch.Tensor
else:
    Tensor = Any


@dataclass(frozen=True)
class LatentSpace:
    """Which VAE's latents these are: `name` (`sd1`, `sdxl`, `sd3`, `flux`, or `8x4@0.5`), channels, pixels a cell.

    `preview` is a linear map to RGB (0..1) for pictures on their way: a row of 3 for each channel, then the bias; empty
    when nobody has fitted one.
    """

    __module__ = "nodes.types"

    name: str
    channels: int
    factor: int
    preview: tuple[tuple[float, float, float], ...] = field(default=(), compare=False)


@dataclass(frozen=True, eq=False)
class Leftover:
    """The noise that latents still carry when denoising was stopped: x = x0 + sigma * noise.

    `form` is how x is written: `ve` as just said (Euler and its kin), `vp` divided by sqrt(1 + sigma^2) (DDIM, DPM++
    multistep and others), `flow` as (1 - sigma) * x0 + sigma * noise. The two forms of diffusion are turned into each
    other where a sampler of the other form goes on. Latents with a noise mask bring along what stays outside it:
    `original` and the `noise` it was covered with, in the latents' shape.
    """

    __module__ = "nodes.types"

    sigma: float
    form: str
    original: Tensor | None = None
    noise: Tensor | None = None


@socket(colour="#c678b4", portable=True)
@dataclass(frozen=True, eq=False)
class Latent:
    """Latents: [batch, channel, h, w] (video: [batch, channel, frame, h, w]), already scaled once by the VAE.

    `noise_mask` is float32 [batch or 1, 1, h, w] in latent cells, 1 = denoise here, or None for everywhere.
    `seeds_from` shifts the batch index for seeds, so that an item picked out of a batch keeps its own noise.
    `beside` is [batch or 1, channel, h, w], what models made for inpainting see beside the noise (the mask and the
    masked picture's latents), or None for models that take the noise alone.
    `leftover` says what noise is still in it after a stop half-way; None for clean latents.
    """

    __module__ = "nodes.types"

    samples: Tensor
    space: LatentSpace
    noise_mask: Tensor | None = None
    seeds_from: int = 0
    beside: Tensor | None = None
    leftover: Leftover | None = None

    @property
    def facts(self) -> Facts:
        """Latent space, size in pixels, batch, channels beside the noise; `leftover` when noise is still in it."""
        known = {
            "latent_space": self.space.name,
            "batch": int(self.samples.shape[0]),
            "height": int(self.samples.shape[-2]) * self.space.factor,
            "width": int(self.samples.shape[-1]) * self.space.factor,
            "beside": 0 if self.beside is None else int(self.beside.shape[1]),
        }
        return known if self.leftover is None else {**known, "leftover": True}
