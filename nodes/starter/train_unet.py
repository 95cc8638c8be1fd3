"""The starter's UNet: learns to name the noise in a latent, told the caption and the noise level."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nodes.starter import pictures, world
from nodes.starter.loop import Plan, fit
from nodes.starter.train_text import LENGTH
from nodes.starter.train_vae import COUNT, latents

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

CHANNELS = (80, 128, 128)
PLAN = Plan(steps=3800, batch=32, rate=1.2e-3, seed=4, betas=(0.9, 0.98))
EMPTY = 0.1  # share of examples without their caption, for classifier-free guidance
SNR = 5.0


def denoiser(channels: tuple[int, ...] = CHANNELS, width: int = 128, sample: int = 16) -> Any:
    """The untrained UNet; attention at 8×8 and 4×4 only, where it costs little and is enough to place objects."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=sample,
        in_channels=4,
        out_channels=4,
        block_out_channels=channels,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=4,  # diffusers reads this as the number of heads
        cross_attention_dim=width,
        norm_num_groups=16,
    )


@cache
def scheduler() -> Any:
    """The noise schedule of training, as the scheduler that ships."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


@dataclass(frozen=True)
class UNetTask:
    """Latents of the set in `data`, captions worded anew at every use, read by the frozen encoder in `model`."""

    data: Path
    model: Path
    count: int = COUNT
    channels: tuple[int, ...] = CHANNELS
    width: int = 128
    sample: int = 16

    def build(self) -> Module:
        """The UNet, in the memory layout that convolutions on CPUs like best."""
        import torch

        unet: Module = denoiser(self.channels, self.width, self.sample).to(memory_format=torch.channels_last)
        return unet

    def loss(self, model: Any, progress: float, count: int, rng: np.random.Generator) -> Tensor:
        """Squared error of the noise, weighted by min-SNR-5 (Hang et al. 2023, eq. for epsilon)."""
        import torch

        chosen = rng.choice(self.count, count, replace=False)
        center, std = torch.from_numpy(latents(self.data, self.count)[chosen]).float().chunk(2, dim=1)
        clean = center + std * torch.randn_like(center)  # [count, 4, h, w]
        # One noise level from each of `count` equal bands: the same mean loss with less chance in it.
        level = torch.from_numpy(((np.arange(count) + rng.random(count)) / count * 1000).astype(np.int64))
        alpha = scheduler().alphas_cumprod[level]  # [count]
        noise = torch.randn_like(clean)
        root = alpha.sqrt()[:, None, None, None], (1 - alpha).sqrt()[:, None, None, None]
        guess = model(root[0] * clean + root[1] * noise, level, read(self.model, worded(chosen, rng), rng)).sample
        snr = alpha / (1 - alpha)
        error: Tensor = (guess - noise).square().mean((1, 2, 3))  # [count]
        loss: Tensor = (error * snr.clamp(max=SNR) / snr).mean()
        return loss


def train(folder: Path, plan: Plan = PLAN, task: UNetTask | None = None) -> None:
    """Train and write `unet/`, `scheduler/` and `model_index.json`: with the other stages, the whole model."""
    task = task or UNetTask(folder / "data", folder / "model")
    export(task, fit(task, plan, folder / "checkpoints" / "unet.pt"), folder)


def export(task: UNetTask, average: dict[str, Tensor], folder: Path) -> None:
    """Write the half-precision copy that ships, and the index that makes the parts a pipeline."""
    import json

    from diffusers import __version__

    unet: Any = task.build()
    unet.load_state_dict(average)
    unet.half().save_pretrained(folder / "model" / "unet", variant="fp16")
    scheduler().save_pretrained(folder / "model" / "scheduler")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": __version__,
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (folder / "model" / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


def worded(chosen: Iterable[int], rng: np.random.Generator) -> list[str]:
    """Captions of these pictures of the set, worded anew."""
    return [world.caption(world.sample(np.random.default_rng([pictures.SEED, index])), rng) for index in chosen]


@cache
def _encoder(model: Path) -> tuple[Any, Any]:
    import torch
    from transformers import CLIPTextModel, CLIPTokenizer

    words = CLIPTokenizer.from_pretrained(model / "tokenizer")
    encoder: Any = CLIPTextModel.from_pretrained(model / "text_encoder", variant="fp16", dtype=torch.float32)
    return words, encoder.eval().requires_grad_(False)


def read(model: Path, captions: Iterable[str], rng: np.random.Generator) -> Tensor:
    """The encoder's states [count, length, width] for the captions, one in ten of them emptied."""
    words, encoder = _encoder(model)
    texts = ["" if rng.random() < EMPTY else caption for caption in captions]
    tokens = words(texts, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt").input_ids
    states: Tensor = encoder(tokens).last_hidden_state
    return states
