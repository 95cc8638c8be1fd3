"""Patches: what ships with Weft to be put on a denoiser; the nodes that put it there are in `nodes/model.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from nodes.types import Denoiser


@dataclass(frozen=True)
class FreeU:
    """A patch of UNets: backbone features stronger, skip features filtered (Si et al. 2023, arXiv 2309.11497)."""

    b1: float
    b2: float
    s1: float
    s2: float
    start: float = 0.0
    end: float = 1.0
    rowwise: ClassVar[bool] = True

    def attach(self, module: Any, recipe: Denoiser) -> Callable[[], None]:
        """Diffusers' own, put on the module."""
        module.enable_freeu(s1=self.s1, s2=self.s2, b1=self.b1, b2=self.b2)

        def undo() -> None:
            module.disable_freeu()

        return undo


@dataclass(frozen=True)
class Differential:
    """A patch that the denoise loop reads: a noise mask says how much of each place may change, not only where."""

    rowwise: ClassVar[bool] = True

    def attach(self, module: Any, recipe: Denoiser) -> Callable[[], None]:
        """The module itself stays as it is."""
        return _nothing


def _nothing() -> None:
    """Undo nothing."""
