"""Schedules: how the noise goes, from pure noise to the picture, and by which solver."""

from __future__ import annotations

from typing import Annotated, Literal

from engine.node import Range, Steps, node
from nodes.schedule.state import capture, restore
from nodes.schedule.table import METHODS, SAMPLERS, SPACINGS, Sampler, Spacing, cell, pairs, reason
from nodes.schedule.timetable import Timetable, build, check, evaluations, first_step, step_arguments, total_steps
from nodes.types import Schedule

__all__ = [
    "METHODS",
    "SAMPLERS",
    "SPACINGS",
    "Sampler",
    "Spacing",
    "Timetable",
    "build",
    "capture",
    "cell",
    "check",
    "evaluations",
    "first_step",
    "make",
    "pairs",
    "reason",
    "restore",
    "step_arguments",
    "total_steps",
]


@node("schedule.make", light=True, output="schedule", aliases=("KSamplerSelect", "BasicScheduler"))
def make(
    sampler: Sampler = "euler",
    scheduler: Spacing = "normal",
    steps: Steps = 20,
    denoise: Annotated[float, Range(0, 1, 0.01)] = 1.0,
    policy: Literal["all", "scaled"] = "all",
    eta: Annotated[float, Range(0, 1, 0.01)] | None = None,
    shift: Annotated[float, Range(0, 100, 0.01, soft=(1, 12))] | None = None,
) -> Schedule:
    """How the noise goes: a solver, where its steps lie, how many, and from which strength.

    Args:
        sampler: How one step is taken; `docs/samplers.md` says what each is good for.
        scheduler: Where the steps lie between noise and picture.
        steps: Denoise steps.
        denoise: Below 1 the start of the way is skipped: image to image.
        policy: With denoise below 1, run all the steps over the last part, or scale their number (as diffusers does).
        eta: Noise added in each step by ddim (0 is deterministic) and tcd; nothing means the sampler's own default.
        shift: How far a flow model's times are moved towards noise; nothing means the model's own.
    """
    _known(sampler, scheduler)
    options = (("shift", shift),) if shift else ()
    return Schedule(sampler, scheduler, steps, denoise, policy, eta, options)


def _known(sampler: str, spacing: str) -> None:
    """Refuse at once a pair that exists neither for diffusion nor for flow; which it is only the model knows."""
    if reason(sampler, spacing) and (METHODS[sampler].flow is None or reason(sampler, spacing, flow=True)):
        cell(sampler, spacing)
