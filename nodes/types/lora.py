"""LoRA: a low-rank adapter, and one in use."""

from __future__ import annotations

from dataclasses import dataclass, replace

from engine.sockets import Facts, socket
from nodes.types.weights import Weights


@socket(colour="#e0a040", recipe=True)
@dataclass(frozen=True)
class Lora:
    """A low-rank adapter (Hu et al. 2021): its file and the family it was made for ("" when its keys do not tell).

    `rank` is the largest of its layers', `encoders` the text encoders that it changes too. `strength` is what it was
    loaded or weighed with; where it is used, the strength there multiplies it. `blocks` are shares of it by block
    (`in04`, `mid`, `double`); `start`..`end` the range of steps, as fractions, in which it acts. `dense`: it is set as
    a difference to the weights (LyCORIS).
    """

    __module__ = "nodes.types"

    weights: Weights
    family: str = ""
    rank: int = 0
    encoders: tuple[str, ...] = ()
    strength: float = 1.0
    blocks: tuple[tuple[str, float], ...] = ()
    start: float = 0.0
    end: float = 1.0
    dense: bool = False

    @property
    def facts(self) -> Facts:
        """Family, rank."""
        return {**({"family": self.family} if self.family else {}), "rank": self.rank}


@dataclass(frozen=True)
class Adapter:
    """A LoRA in use: its strength (0 restores the base exactly), shares by block, and range of steps (fractions)."""

    __module__ = "nodes.types"

    lora: Lora
    strength: float = 1.0
    blocks: tuple[tuple[str, float], ...] = ()
    start: float = 0.0
    end: float = 1.0

    @classmethod
    def of(cls, lora: Lora, strength: float) -> Adapter:
        """The LoRA's own strength times the one here, in one number, so that 0.5 × 2 has the key of 1."""
        bare = replace(lora, strength=1.0, blocks=(), start=0.0, end=1.0)
        return cls(bare, lora.strength * strength, lora.blocks, lora.start, lora.end)
