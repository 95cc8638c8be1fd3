"""Ranged: adapters and patches that act only in a part of the steps, set and taken off between two of them."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from nodes.denoise.active import acts, at_step
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
    ranges, now = sorted(model.ranges()), list[tuple[Any, Any]]()

    def off() -> None:
        while now:
            now.pop()[1]()

    stack.callback(off)

    def step(x: torch.Tensor, t: torch.Tensor, index: int) -> torch.Tensor:
        wanted = [acts(index, total, *one) for one in ranges]
        if not now or now[0][0] != wanted:
            off()
            now.append((wanted, at_step(model, index, total).attach(module)))
        return predict(x, t, index)

    return step
