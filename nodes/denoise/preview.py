"""Preview: a cheap picture of latents on their way, by a linear estimate of colour in each cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nodes.types import LatentSpace

if TYPE_CHECKING:
    import PIL.Image
    import torch

WIDEST = 512


def picture(clean: torch.Tensor, space: LatentSpace) -> PIL.Image.Image:
    """The first item of [batch, channel, h, w] as an RGB picture, at most 512 pixels wide or high.

    With the latent space's own linear map where one is known; otherwise its three strongest directions of variation,
    which show shapes in false colours.
    """
    import PIL.Image
    import torch

    z = clean[0].detach().float().cpu().nan_to_num()  # (channel, h, w)
    flat = z.flatten(1).T  # (h * w, channel)
    if space.preview:
        table = torch.tensor(space.preview)  # (channel + 1, 3), the last row is the bias
        rgb = flat @ table[:-1] + table[-1]
    else:
        centred = flat - flat.mean(dim=0)
        _, vectors = torch.linalg.eigh(centred.T @ centred)
        axes = vectors[:, -3:].flip(1)  # strongest first
        axes = axes * torch.where(axes.sum(dim=0) < 0, -1.0, 1.0)  # one sign, so that previews do not flicker
        shown = centred @ axes
        rgb = 0.5 + shown / (4 * shown.std(dim=0).clamp(min=1e-6))
    levels = (rgb.clamp(0, 1) * 255).round().byte().reshape(*z.shape[1:], -1)
    if levels.shape[-1] < 3:
        levels = levels[..., :1].repeat(1, 1, 3)
    small = PIL.Image.fromarray(levels.numpy(), "RGB")
    scale = min(space.factor, max(WIDEST // max(small.size), 1))
    return small.resize((small.width * scale, small.height * scale), PIL.Image.Resampling.BICUBIC)


def fit(latents: torch.Tensor, pixels: torch.Tensor) -> tuple[tuple[float, float, float], ...]:
    """The linear map to RGB that a latent space's `preview` holds, by least squares.

    `latents` [batch, channel, h, w], `pixels` [batch, height, width, 3] of the same pictures, 0..1.
    """
    import torch

    cells = torch.nn.functional.adaptive_avg_pool2d(
        pixels.movedim(-1, 1), (latents.shape[-2], latents.shape[-1])
    )  # (B, 3, h, w)
    z = latents.movedim(1, -1).flatten(0, 2).double()  # (B * h * w, channel)
    z = torch.cat([z, torch.ones(len(z), 1, dtype=z.dtype)], dim=1)
    rgb = cells.movedim(1, -1).flatten(0, 2).double()
    found = torch.linalg.lstsq(z, rgb).solution  # (channel + 1, 3)
    return tuple((float(r), float(g), float(b)) for r, g, b in found.round(decimals=4).tolist())
