"""Conditioning: what the picture should be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.sockets import Facts, Ref, socket
from nodes.types.picture import Mask

if TYPE_CHECKING:
    import torch

    Tensor = torch.Tensor
else:
    Tensor = Any


@dataclass(frozen=True)
class Framing:
    """What SDXL is told of a picture's size (Podell et al. 2023, section 2.2), in pixels; None: the size it will have.

    `original` is (width, height) of the picture as if found, `crop` the (x, y) where it was cut, `target` (width,
    height) after it; `score` is how beautiful it is said to be, from 0 to 10, which only the refiner reads.
    """

    __module__ = "nodes.types"

    original: tuple[int, int] | None = None
    crop: tuple[int, int] = (0, 0)
    target: tuple[int, int] | None = None
    score: float = 6.0


@dataclass(frozen=True)
class Entry:
    """One prompt's part of a conditioning.

    `embedding` float [1, tokens, width], `pooled` float [1, width] or None; `weight` scales its share where several
    entries act at once; `area` is (x, y, width, height) as fractions of the picture, or in `pixels`; `start`..`end` the
    range of steps, as fractions of the schedule, in which it acts; `framing` what the model is told of the picture's
    size.
    """

    __module__ = "nodes.types"

    embedding: Tensor
    pooled: Tensor | None = None
    mask: Mask | None = None
    weight: float = 1.0
    area: tuple[float, float, float, float] | None = None
    start: float = 0.0
    end: float = 1.0
    framing: Framing = Framing()
    pixels: bool = False


@socket(colour="#e2934a", recipe=True)
@dataclass(frozen=True)
class Conditioning:
    """What the picture should be: entries, and the encoder layout they were made with."""

    __module__ = "nodes.types"

    entries: tuple[Entry, ...]
    layout: str = ""
    text: str = field(default="", compare=False)
    zeroed: bool = field(default=False, compare=False)  # zeros in place of an embedding, for lints

    @property
    def facts(self) -> Facts:
        """Text layout, and whether it is zeros."""
        return {**({"text_layout": self.layout} if self.layout else {}), **({"zeroed": True} if self.zeroed else {})}

    @classmethod
    def outline(cls, ref: Ref) -> Conditioning:
        """The conditioning that an encoder will give: one entry, its tensors not there yet."""
        entry = Entry(ref.part("entries", 0, "embedding"), ref.part("entries", 0, "pooled"))
        return cls((entry,), ref.facts.get("text_layout", ""), zeroed=ref.facts.get("zeroed", False))
