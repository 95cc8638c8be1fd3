"""Placing: whether a model stands on the device whole, or its weights come from the host as they are needed.

    whole        everything on the device                                         the quickest
    blocks       the weights wait on the host; a block is copied while the one     some percent slower on a wide bus
                 before it computes
    layers       the same layer by layer                                          slow; needs hardly any room

None of them changes a bit of the result: they are settings of a run, not part of any key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Way = Literal["whole", "blocks", "layers"]
WAYS: tuple[Way, ...] = ("whole", "blocks", "layers")


@dataclass(frozen=True)
class Footprint:
    """Bytes of a model's weights in the dtype it computes in, known from its files' headers.

    `blocks` and `layers` are the most that is on the device at once when it comes in parts: what is outside the blocks
    and two blocks (one computes, the next is on its way), or two of the largest layers.
    """

    whole: int
    blocks: int = 0
    layers: int = 0

    def on_device(self, way: Way) -> int:
        """Bytes on the device at once."""
        return {"whole": self.whole, "blocks": self.blocks or self.whole, "layers": self.layers or self.whole}[way]

    def grown(self, more: int) -> Footprint:
        """The same model with so many bytes attached to it, spread over its parts as its weights are."""
        if not more or not self.whole:
            return self
        return Footprint(*(size + -(-more * size // self.whole) for size in (self.whole, self.blocks, self.layers)))

    def plus(self, other: Footprint) -> Footprint:
        """Two models that are leased as one."""
        return Footprint(self.whole + other.whole, max(self.blocks, other.blocks), max(self.layers, other.layers))


def choose(footprint: Footprint, working: int, room: int, at_least: Way = "whole") -> Way:
    """The first way in which weights and activations (`working` bytes) fit into `room`; layers when none does.

    `at_least` is where to begin: after a device ran out, whole is not tried again.
    """
    for way in WAYS[WAYS.index(at_least) :]:
        if footprint.on_device(way) + working <= room:
            return way
    return "layers"
