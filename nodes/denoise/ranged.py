"""Ranged: adapters and patches that act only in a part of the steps, set and taken off between two of them."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from nodes.denoise.active import at_step
from nodes.denoise.predict import Predict
from nodes.types import Denoiser

if TYPE_CHECKING:
    import torch


def ranged(predict: Predict, model: Denoiser, module: Any, total: int, stack: ExitStack) -> Predict:
    """`predict` with the module set to the step's own recipe; `stack` takes off what the last step had on.

    The module was leased without adapters and patches (`Denoiser.bare`).
    """
    if not model.ranged:
        return predict
    now: list[tuple[Denoiser, Any]] = []

    def off() -> None:
        while now:
            now.pop()[1]()

    stack.callback(off)

    def step(x: torch.Tensor, t: torch.Tensor, index: int) -> torch.Tensor:
        wanted = at_step(model, index, total)
        if not now or now[0][0] != wanted:
            off()
            now.append((wanted, wanted.attach(module)))
        return predict(x, t, index)

    return step
