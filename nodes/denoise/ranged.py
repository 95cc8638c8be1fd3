"""Ranged: adapters and patches that act only in a part of the steps, set and taken off between two of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from nodes.denoise.active import acts, at_step
from nodes.denoise.meeting import MEETING, wearing
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
        wanted = tuple(acts(index, total, *one) for one in ranges)
        if MEETING.get() is not None:  # the module is everybody's: it is set for each forward
            with wearing(("ranges", wanted), partial(_attached, at_step(model, index, total), module)):
                return predict(x, t, index)
        if not now or now[0][0] != wanted:
            off()
            now.append((wanted, at_step(model, index, total).attach(module)))
        return predict(x, t, index)

    return step


@contextmanager
def _attached(recipe: Denoiser, module: Any) -> Iterator[None]:
    undo = recipe.attach(module)
    try:
        yield
    finally:
        undo()
