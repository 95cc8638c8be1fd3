"""Pictures: what is seen, where it is to change, and how a piece goes back into it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.sockets import Facts, socket

if TYPE_CHECKING:
    import numpy
    import PIL.Image
    import torch

    Tensor = torch.Tensor
else:
    Tensor = Any


@socket(colour="#4e9bd6", portable=True)
@dataclass(frozen=True, eq=False)
class Image:
    """Pictures: float32 [batch, height, width, 3], RGB, 0..1, on the CPU or a device. Alpha travels as a `Mask`."""

    __module__ = "nodes.types"

    pixels: Tensor

    @property
    def facts(self) -> Facts:
        """Size and batch."""
        batch, height, width = self.pixels.shape[:3]
        return {"batch": int(batch), "height": int(height), "width": int(width)}

    def numpy(self) -> numpy.ndarray[Any, Any]:
        """A copy as float32 [batch, height, width, 3]; writing into it changes nothing here."""
        return self.pixels.detach().float().cpu().numpy().copy()

    def pil(self) -> list[PIL.Image.Image]:
        """One 8-bit RGB picture per item, rounded to the nearest level as diffusers does."""
        import PIL.Image

        levels = (self.pixels.detach().float().clamp(0, 1) * 255).round().byte().cpu().numpy()
        return [PIL.Image.fromarray(item, "RGB") for item in levels]


@socket(colour="#3fae9b", portable=True)
@dataclass(frozen=True, eq=False)
class Mask:
    """Where something happens: float32 [batch, height, width], 0..1, 1 = change this."""

    __module__ = "nodes.types"

    alpha: Tensor

    @property
    def facts(self) -> Facts:
        """Size and batch."""
        batch, height, width = self.alpha.shape
        return {"batch": int(batch), "height": int(height), "width": int(width)}


@socket(colour="#5c8f86", portable=True)
@dataclass(frozen=True, eq=False)
class Stitch:
    """How a piece cut out of a picture goes back into it.

    `pixels` float32 [batch, height, width, 3] is the whole picture, `alpha` float32 [batch, h, w] how much of the new
    piece counts (0 keeps the old pixel's very bits), `box` its (x, y, width, height), which may lie partly outside.
    """

    __module__ = "nodes.types"

    pixels: Tensor
    alpha: Tensor
    box: tuple[int, int, int, int]

    @property
    def facts(self) -> Facts:
        """Size and batch of the whole picture."""
        batch, height, width = self.pixels.shape[:3]
        return {"batch": int(batch), "height": int(height), "width": int(width)}
