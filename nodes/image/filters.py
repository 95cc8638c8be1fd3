"""Filters: resampling and blurring of [batch, height, width, channel], for nodes of image and mask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from engine.errors import refuse

if TYPE_CHECKING:
    import torch

Method = Literal["lanczos", "bicubic", "bilinear", "area", "nearest"]
MAX_PIXELS = 2**28  # of one result, batch and all: 3 GiB in float32


def check_alike(first: torch.Tensor, second: torch.Tensor, socket: str) -> None:
    """Refuse two stacks of pictures that differ in size, or in number when neither has just one."""
    if first.shape[1:3] != second.shape[1:3]:
        (height, width), (to_height, to_width) = first.shape[1:3], second.shape[1:3]
        message = f"'{socket}' is {to_width}×{to_height}, the other {width}×{height}"
        raise refuse(message, socket=socket, mend="resize one of them")
    if len(first) != len(second) and 1 not in (len(first), len(second)):
        raise refuse(
            f"'{socket}' has {len(second)} items, the other {len(first)}", socket=socket, mend="use one, or as many"
        )


def resample(pixels: torch.Tensor, width: int, height: int, method: str) -> torch.Tensor:
    """[batch, height, width, channel] at another size, 0..1; smaller sizes are low-passed first (not for nearest)."""
    import torch.nn.functional as F

    if pixels.shape[1:3] == (height, width):
        return pixels
    if method == "lanczos":
        return _lanczos(pixels, width, height)
    x = pixels.movedim(-1, 1)  # (B, C, H, W)
    if method in ("bicubic", "bilinear"):
        x = F.interpolate(x, size=(height, width), mode=method, antialias=True, align_corners=False)
    else:
        x = F.interpolate(x, size=(height, width), mode="area" if method == "area" else "nearest-exact")
    return x.movedim(1, -1).clamp(0, 1).contiguous()


def _lanczos(pixels: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """Pillow's Lanczos (a = 3), in float, channel by channel: torch has none."""
    import numpy as np
    import PIL.Image
    import torch

    planes = pixels.detach().float().cpu().movedim(-1, 1).numpy()  # (B, C, H, W)
    size, lanczos = (width, height), PIL.Image.Resampling.LANCZOS
    done = [[np.asarray(PIL.Image.fromarray(p).resize(size, lanczos)) for p in item] for item in planes]
    return torch.from_numpy(np.asarray(done)).movedim(1, -1).clamp(0, 1).contiguous().to(pixels.device)


def gaussian(pixels: torch.Tensor, sigma: float) -> torch.Tensor:
    """A Gaussian blur of standard deviation `sigma` pixels, cut off at 3 sigma, the border repeated outwards."""
    import torch
    import torch.nn.functional as F

    reach = max(1, round(3 * sigma))
    x = torch.arange(-reach, reach + 1, dtype=torch.float32, device=pixels.device)
    kernel = torch.exp(-0.5 * (x / sigma) ** 2)
    kernel /= kernel.sum()
    channels = pixels.shape[-1]
    rows = kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
    planes = F.pad(pixels.movedim(-1, 1), (reach, reach, reach, reach), mode="replicate")
    planes = F.conv2d(F.conv2d(planes, rows, groups=channels), rows.movedim(3, 2), groups=channels)
    return planes.movedim(1, -1).contiguous()
