"""Guidance: how the prompt's prediction and the unconditional one become one."""

from __future__ import annotations

from typing import Annotated, Literal

from engine.errors import refuse
from engine.node import Help, Range, node
from nodes.types import Guidance

Fraction = Annotated[float, Range(0, 1, 0.01)]


@node("guidance.cfg", light=True, output="guidance", aliases=("CFGGuider", "RescaleCFG"))
def classifier_free_guidance(
    scale: Annotated[float, Range(0, 100, 0.1, soft=(1, 12))] = 7.0,
    rescale: Annotated[Fraction, Help("How much of the contrast that guidance adds is taken back.")] = 0.0,
    start: Annotated[Fraction, Help("From which part of the steps on it acts.")] = 0.0,
    stop: Annotated[
        Fraction, Help("Until which part of the steps it acts; after it one forward a step is enough.")
    ] = 1.0,
    mode: Annotated[
        Literal["batched", "sequential"],
        Help("Both predictions in one forward, or one after the other in half the memory; they differ by rounding."),
    ] = "batched",
) -> Guidance:
    """Move from the unconditional prediction past the conditional one: u + scale * (c - u).

    Ho & Salimans 2022 (arXiv 2207.12598), eq. 6 with scale = 1 + w; rescaling as Lin et al. 2023 (2305.08891), eq. 16;
    acting in an interval only as Kynkäänniemi et al. 2024 (2404.07724). A scale of 1 needs one forward per step.
    """
    if start >= stop:
        raise refuse(f"guidance would never act: start {start:g} is not before stop {stop:g}", socket="stop")
    return Guidance(scale, rescale, start, stop, mode)


@node("guidance.embedded", light=True, output="guidance", aliases=("FluxGuidance",))
def embedded(scale: Annotated[float, Range(1, 100, 0.1, soft=(1, 15))] = 8.5) -> Guidance:
    """The guidance scale as an input of the model, for models that guidance was distilled into (LCM's own UNets).

    One forward a step, no negative prompt (Meng et al. 2022, arXiv 2210.03142; Luo et al. 2023, 2310.04378).
    """
    return Guidance(1.0, kind="embedded", options=(("scale", scale),))
