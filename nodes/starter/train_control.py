"""The starter's ControlNet "edges": a copy of the UNet's encoder that reads the edges of a picture.

Zhang et al. 2023 (arXiv 2302.05543), with two departures that a short training needs: the hint's last convolution
does not begin at zero (the nets' outputs still do, so the first step changes nothing), and most examples are noisy
ones, where the layout is decided.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nodes.starter import pictures, world
from nodes.starter.loop import Plan, fit
from nodes.starter.train_unet import SNR, read, scheduler, worded
from nodes.starter.train_vae import COUNT, latents

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

HINT = (16, 24, 48, 64)  # channels of the layers that bring the hint to the latent's size, a factor of 8
PLAN = Plan(steps=450, batch=16, rate=2e-3, seed=5, warmup=50, betas=(0.9, 0.98), average=0.99)
SHOWN = 6144  # pictures of the set whose edges are shown
NOISY = 2.0  # > 1 leans towards high noise levels


@dataclass(frozen=True)
class ControlTask:
    """Pictures of the set in `data` with their edges; the trained UNet and encoder in `model` stay as they are."""

    data: Path
    model: Path
    count: int = COUNT
    size: int = world.SIZE
    shown: int = SHOWN
    hint: tuple[int, ...] = HINT

    def build(self) -> Module:
        """The ControlNet before its first step: the UNet's encoder, and nothing added to the UNet yet."""
        import torch
        from diffusers import ControlNetModel

        net: Any = ControlNetModel.from_unet(_unet(self.model), conditioning_embedding_out_channels=self.hint)
        torch.nn.init.kaiming_normal_(net.controlnet_cond_embedding.conv_out.weight, nonlinearity="linear")
        built: Module = net.to(memory_format=torch.channels_last)
        return built

    def loss(self, model: Any, progress: float, count: int, rng: np.random.Generator) -> Tensor:
        """Squared error of the UNet's noise with the net's help, weighted by min-SNR-5."""
        import torch

        chosen = rng.choice(self.shown, count, replace=False)
        center, std = torch.from_numpy(latents(self.data, self.count)[chosen]).float().chunk(2, dim=1)
        clean = center + std * torch.randn_like(center)  # [count, 4, h, w]
        lines = hints(self.data, self.count, self.size, self.shown)[chosen]
        hint = torch.from_numpy(lines).float()[:, None].expand(-1, 3, -1, -1)  # [count, 3, H, W]
        at = 1 - ((np.arange(count) + rng.random(count)) / count) ** NOISY  # 0..1, mostly near 1
        level = torch.from_numpy((at * 1000).clip(0, 999).astype(np.int64))
        alpha = scheduler().alphas_cumprod[level]  # [count]
        noise = torch.randn_like(clean)
        noisy = alpha.sqrt()[:, None, None, None] * clean + (1 - alpha).sqrt()[:, None, None, None] * noise
        states = read(self.model, worded(chosen, rng), rng)
        down, middle = model(noisy, level, states, hint, return_dict=False)
        guess = _unet(self.model)(
            noisy, level, states, down_block_additional_residuals=down, mid_block_additional_residual=middle
        ).sample
        snr = alpha / (1 - alpha)
        loss: Tensor = ((guess - noise).square().mean((1, 2, 3)) * snr.clamp(max=SNR) / snr).mean()
        return loss


def edges(pixels: Any, low: float = 0.04, high: float = 0.1, blur: float = 1.0) -> world.Floats:
    """The edges of a picture, uint8 [h, w, 3], as float32 [h, w] of 0 and 1: what `preprocess.canny` gives."""
    import torch

    from nodes.preprocess.edges import canny
    from nodes.types import Image

    image = Image(torch.from_numpy(np.array(pixels, dtype=np.float32))[None] / 255)
    lines: world.Floats = canny(image, low, high, blur).pixels[0, ..., 0].numpy()
    return lines


@cache
def hints(data: Path, count: int, size: int, shown: int) -> pictures.Bytes:
    """The edges of the first `shown` pictures of the set, uint8 [shown, h, w], 0 or 1; drawn once and kept in `data`.

    Thresholds and blur differ from picture to picture, as they do from user to user.
    """
    path = data / f"edges-{shown}-{size}.npy"
    if not path.exists():
        seen, made = pictures.render(data, count, 1, size), np.empty((shown, size, size), dtype=np.uint8)
        for index in range(shown):
            rng = np.random.default_rng([PLAN.seed, index])
            low = float(rng.uniform(0.02, 0.08))
            made[index] = edges(seen[index], low, low * rng.uniform(1.5, 3.0), rng.uniform(0.6, 1.4))
        whole = path.with_suffix(f".{os.getpid()}.npy")  # another rank may be at it too
        np.save(whole, made)
        whole.replace(path)
    kept: pictures.Bytes = np.load(path)
    return kept


@cache
def _unet(model: Path) -> Any:
    import torch
    from diffusers import UNet2DConditionModel

    unet: Any = UNet2DConditionModel.from_pretrained(model / "unet", variant="fp16", dtype=torch.float32)
    return unet.requires_grad_(False).to(memory_format=torch.channels_last)


def train(folder: Path, plan: Plan = PLAN, task: ControlTask | None = None) -> Path:
    """Train, and write `controlnet/edges/` beside the model, as diffusers saves a ControlNet."""
    task = task or ControlTask(folder / "data", folder / "model")
    net: Any = task.build()
    net.load_state_dict(fit(task, plan, folder / "checkpoints" / "control.pt"))
    path = folder / "controlnet" / "edges"
    net.half().save_pretrained(path, variant="fp16")
    return path
