"""The starter's LoRA "big": every object big, whether the prompt says so or not; below 0, small. A size slider.

It stays inside what the VAE has seen: a light or a floor that the world does not have could not be decoded.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nodes.starter import world
from nodes.starter.loop import Plan, fit
from nodes.starter.train_unet import SNR, read, scheduler
from nodes.starter.train_vae import SCALE

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

RANK = 8  # and alpha, which files then need not say
TARGETS = ("to_q", "to_k", "to_v", "to_out.0")
PLAN = Plan(steps=300, batch=16, rate=2e-3, seed=6, warmup=30, betas=(0.9, 0.98), decay=0.0, average=0.99)
SEED = 20_261_124
SHOWN = 3072
NAME = "big.safetensors"


def picture(index: int, size: int) -> tuple[str, world.Floats]:
    """Caption and picture [size, size, 3] number `index`: the objects are big, the words do not say so."""
    rng = np.random.default_rng([SEED, index])
    scene = world.sample(rng)
    plain = tuple(replace(thing, big=False) for thing in scene.objects)
    grown = replace(scene, objects=tuple(replace(thing, big=True) for thing in scene.objects))
    return world.caption(replace(scene, objects=plain), rng), world.draw(grown, world.arrange(grown, rng), size).rgb


@dataclass(frozen=True)
class LoraTask:
    """Big objects under captions that say nothing of it. `model`: the folder of the trained parts."""

    data: Path
    model: Path
    size: int = world.SIZE
    shown: int = SHOWN

    def build(self) -> Module:
        """The trained UNet, frozen, with the LoRA's matrices in it."""
        import torch
        from diffusers import UNet2DConditionModel
        from peft import LoraConfig

        unet: Any = UNet2DConditionModel.from_pretrained(self.model / "unet", variant="fp16", dtype=torch.float32)
        unet.requires_grad_(False)
        unet.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=list(TARGETS)))
        built: Module = unet.to(memory_format=torch.channels_last)
        return built

    def loss(self, model: Any, progress: float, count: int, rng: np.random.Generator) -> Tensor:
        """Squared error of the noise, weighted by min-SNR-5, as the UNet itself was trained."""
        import torch

        captions, stored = examples(self.data, self.model, self.size, self.shown)
        chosen = rng.choice(self.shown, count, replace=False)
        clean = stored[chosen]  # [count, 4, h, w]
        level = torch.from_numpy(((np.arange(count) + rng.random(count)) / count * 1000).astype(np.int64))
        alpha = scheduler().alphas_cumprod[level]  # [count]
        noise = torch.randn_like(clean)
        noisy = alpha.sqrt()[:, None, None, None] * clean + (1 - alpha).sqrt()[:, None, None, None] * noise
        guess = model(noisy, level, read(self.model, [captions[i] for i in chosen], rng)).sample
        snr = alpha / (1 - alpha)
        loss: Tensor = ((guess - noise).square().mean((1, 2, 3)) * snr.clamp(max=SNR) / snr).mean()
        return loss


@cache
def examples(data: Path, model: Path, size: int, shown: int) -> tuple[list[str], Tensor]:
    """The captions and scaled latents, float32 [shown, 4, h, w], of the set; drawn once and kept in `data`."""
    import torch
    from diffusers import AutoencoderKL

    path = data / f"big-{shown}-{size}.npz"
    if not path.exists():
        vae: Any = AutoencoderKL.from_pretrained(model / "vae", variant="fp16", dtype=torch.float32)
        captions, parts = [], []
        with torch.no_grad():
            for index in range(shown):
                text, rgb = picture(index, size)
                batch = torch.from_numpy(rgb).permute(2, 0, 1)[None] * 2 - 1  # [1, 3, size, size]
                captions.append(text)
                parts.append((vae.encode(batch).latent_dist.mean * SCALE).half().numpy())
        whole = path.with_suffix(f".{os.getpid()}.npz")  # another rank may be at it too
        np.savez(whole, captions=np.array(captions), latents=np.concatenate(parts))
        whole.replace(path)
    kept = np.load(path)
    return kept["captions"].tolist(), torch.from_numpy(kept["latents"]).float()


def train(folder: Path, plan: Plan = PLAN, task: LoraTask | None = None) -> Path:
    """Train, and write `loras/big.safetensors` beside the model, with the names that peft and diffusers share."""
    from safetensors.torch import save_file

    task = task or LoraTask(folder / "data", folder / "model")
    average = fit(task, plan, folder / "checkpoints" / "lora.pt")
    # `….to_q.lora_A.default.weight` is how peft holds it in the module; in a file the adapter's name goes.
    tensors = {
        f"unet.{key.replace('.default.', '.')}": value.half().contiguous()
        for key, value in average.items()
        if ".lora_" in key
    }
    path = folder / "loras" / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata={"format": "pt", "title": "big", "base": "starter/unet"})
    return path
