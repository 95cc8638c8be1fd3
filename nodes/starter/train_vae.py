"""The starter's VAE: 128×128 pictures to 4×16×16 latents and back.

Trained on crops of 32 and 64 pixels first, where steps are cheap, then on full pictures. Its latents are then
whitened and written down for the UNet.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nodes.starter import pictures
from nodes.starter.loop import Plan, fit

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

COUNT = 32_768  # pictures in the training set
CHANNELS = (16, 32, 64, 96)
SCALE = 0.5  # not 1 and not SD's 0.18215: a constant written into a node shows at once
PLAN = Plan(steps=3000, batch=8, rate=1.5e-3, seed=2, betas=(0.9, 0.98), decay=0.0)


def autoencoder(channels: tuple[int, ...] = CHANNELS) -> Any:
    """The untrained VAE; every residual branch begins at zero, so that it first learns the plain path."""
    import torch
    from diffusers import AutoencoderKL

    vae: Any = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        block_out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        layers_per_block=1,
        norm_num_groups=2,
        mid_block_add_attention=False,
        sample_size=128,
        scaling_factor=SCALE,
    )
    for name, module in vae.named_modules():
        if name.endswith("conv2"):
            torch.nn.init.zeros_(module.weight)
            torch.nn.init.zeros_(module.bias)
    return vae


@dataclass(frozen=True)
class VaeTask:
    """Pictures in, the same pictures out. `folder` holds the drawn set, `count` its length."""

    folder: Path
    count: int = COUNT
    size: int = 128
    channels: tuple[int, ...] = CHANNELS

    def build(self) -> Module:
        """The VAE, in the memory layout that convolutions on CPUs like best (a tenth quicker)."""
        import torch

        vae: Module = autoencoder(self.channels).to(memory_format=torch.channels_last)
        return vae

    def loss(self, model: Any, progress: float, count: int, rng: np.random.Generator) -> Tensor:
        """Reconstruction with a whisper of KL; crops grow at 20 % and 65 % of the way, small ones in large batches."""
        shrink, more = (4, 8) if progress < 0.2 else (2, 4) if progress < 0.65 else (1, 1)
        pixels = pictures.render(self.folder, self.count, 1, self.size)
        batch = _tensor(_crops(pixels, count * more, self.size // shrink, rng))
        posterior = model.encode(batch).latent_dist
        made = model.decode(posterior.sample()).sample
        whisper: Tensor = 1e-3 * posterior.kl().mean() / posterior.mean[0].numel()
        return reconstruction(made, batch) + whisper


def reconstruction(made: Tensor, real: Tensor) -> Tensor:
    """L1, squared error and L1 of the gradients, [batch, 3, h, w] each; pixels near an edge count up to five times.

    The floor is most of the picture and easy; what tells a cube from a cylinder is a few edges.
    """
    from torch.nn.functional import max_pool2d, pad

    across, down = real.diff(dim=3), real.diff(dim=2)
    steep = pad(across.abs().amax(1, keepdim=True), (0, 1)) + pad(down.abs().amax(1, keepdim=True), (0, 0, 0, 1))
    weight = 1 + 4 * max_pool2d(steep.clamp(max=1.0), 7, 1, 3)  # [batch, 1, h, w]
    error = made - real
    edges = (made.diff(dim=3) - across).abs().mean() + (made.diff(dim=2) - down).abs().mean()
    return (weight * (error.abs() + 2 * error.square())).mean() + 0.5 * edges


def whiten(vae: Any, mean: Tensor, std: Tensor) -> None:
    """Make latents times `SCALE` zero-mean and unit-variance per channel, exactly, in the two 1×1 convolutions.

    mean, std: [4], of the posterior means as they are now. New latents are (z − mean) / (std · SCALE).
    """
    import torch

    step = 1 / (std * SCALE)
    with torch.no_grad():
        conv = vae.quant_conv  # its outputs are 4 means, then 4 log variances
        conv.weight[:4] *= step[:, None, None, None]
        conv.bias[:4] = (conv.bias[:4] - mean) * step
        conv.bias[4:] += 2 * torch.log(step)
        conv = vae.post_quant_conv
        conv.bias += conv.weight[:, :, 0, 0] @ mean
        conv.weight /= step[None, :, None, None]


def train(folder: Path, plan: Plan = PLAN, task: VaeTask | None = None) -> float:
    """Train, whiten, write `vae/` and every picture's latents; returns the PSNR on fresh pictures."""
    import torch

    task = task or VaeTask(folder / "data")
    average = fit(task, plan, folder / "checkpoints" / "vae.pt")
    vae: Any = task.build()
    vae.load_state_dict(average)
    vae.eval()
    pixels = pictures.render(task.folder, task.count, 1, task.size)
    with torch.no_grad():
        starts = range(0, min(1024, task.count), 32)
        means = torch.cat([vae.encode(_tensor(pixels[i : i + 32])).latent_dist.mean for i in starts])  # [n, 4, h, w]
        whiten(vae, means.mean((0, 2, 3)), means.std((0, 2, 3)))
    _write_latents(vae, pixels, _latents_path(task.folder, task.count))
    decibels = psnr(vae, task.size)
    vae.half().save_pretrained(folder / "model" / "vae", variant="fp16")
    return decibels


def psnr(vae: Any, size: int, count: int = 48) -> float:
    """Mean peak signal-to-noise ratio, in dB, of posterior means decoded, on pictures outside the set."""
    import torch

    from nodes.starter import world

    values = []
    with torch.no_grad():
        for index in range(count):
            scene = world.sample(rng := np.random.default_rng([7, index]), held=None)
            real = world.draw(scene, world.arrange(scene, rng), size).rgb
            made = vae.decode(vae.encode(_tensor(np.round(real[None] * 255))).latent_dist.mean).sample
            error = (made[0].permute(1, 2, 0) / 2 + 0.5).clamp(0, 1) - torch.from_numpy(real)  # [h, w, 3]
            values.append(-10 * float(torch.log10(error.square().mean())))
    return float(np.mean(values))


def latents(folder: Path, count: int) -> np.ndarray[Any, np.dtype[np.float16]]:
    """What `train` wrote, float16 [count, 8, h, w]: whitened means, then standard deviations, both times `SCALE`."""
    stored: np.ndarray[Any, np.dtype[np.float16]] = np.load(_latents_path(folder, count), mmap_mode="r")
    return stored


def _latents_path(folder: Path, count: int) -> Path:
    return folder / f"latents-{count}.npy"


def _write_latents(vae: Any, pixels: pictures.Bytes, path: Path) -> None:
    import torch

    parts = []
    with torch.no_grad():
        for start in range(0, len(pixels), 32):
            posterior = vae.encode(_tensor(pixels[start : start + 32])).latent_dist
            parts.append((torch.cat([posterior.mean, posterior.std], 1) * SCALE).half().numpy())
    np.save(path, np.concatenate(parts))


def _crops(pixels: pictures.Bytes, count: int, size: int, rng: np.random.Generator) -> pictures.Bytes:
    """Random squares; of three tries the busiest is kept, since most of a picture is empty floor."""
    full = pixels.shape[1]
    out = np.empty((count, size, size, 3), dtype=np.uint8)
    for i in range(count):
        image = pixels[rng.integers(len(pixels))]
        corners = rng.integers(0, full - size + 1, (1 if size == full else 3, 2))
        tries = [image[y : y + size, x : x + size] for y, x in corners]
        out[i] = max(tries, key=lambda t: float(t[::4, ::4].std())) if len(tries) > 1 else tries[0]
    return out


def _tensor(pixels: Any) -> Tensor:
    """Bytes [count, h, w, 3] to the VAE's range: [count, 3, h, w], -1..1."""
    import torch

    batch = torch.from_numpy(np.asarray(pixels, dtype=np.float32)).permute(0, 3, 1, 2) / 127.5 - 1
    return batch.contiguous(memory_format=torch.channels_last)
