"""Noise: where the randomness of a picture comes from."""

from __future__ import annotations

from engine.node import Seed, node
from nodes.types import Noise


@node("noise.make", title="Make noise", light=True, output="noise", aliases=("RandomNoise", "DisableNoise"))
def make(seed: Seed = 0, single_stream: bool = False, off: bool = False) -> Noise:
    """The noise a picture starts from and, with ancestral samplers, gets in each step; drawn on the CPU.

    Args:
        seed: Where the noise comes from; batch item i uses seed + i.
        single_stream: One stream of numbers for the whole batch, as a plain `torch.manual_seed` gives; an item of the
            batch can then not be rendered alone.
        off: Add no noise: the latent already carries it.
    """
    return Noise(seed, single_stream, off)
