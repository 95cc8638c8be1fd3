"""Schedules: how the noise goes, from pure noise to the picture, and by which solver."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal, NamedTuple

from engine.errors import refuse
from engine.node import Help, Range, Steps, node
from nodes.schedule.state import Seen, capture, restore
from nodes.schedule.table import METHODS, SAMPLERS, SPACINGS, Sampler, Spacing, cell, pairs, reason
from nodes.schedule.timetable import (
    Timetable,
    build,
    check,
    evaluations,
    first_step,
    form,
    part,
    sigma_at,
    step_arguments,
    total_steps,
)
from nodes.types import Schedule

__all__ = [
    "METHODS",
    "SAMPLERS",
    "SPACINGS",
    "Sampler",
    "Seen",
    "Spacing",
    "Timetable",
    "build",
    "capture",
    "cell",
    "check",
    "evaluations",
    "first_step",
    "form",
    "make",
    "pairs",
    "part",
    "reason",
    "restore",
    "sigma_at",
    "step_arguments",
    "total_steps",
]


@node(
    "schedule.make",
    title="Make schedule",
    advanced=("policy", "eta", "shift"),
    light=True,
    output="schedule",
    aliases=(
        *("KSamplerSelect", "BasicScheduler", "BetaSamplingScheduler", "SDTurboScheduler", "LaplaceScheduler"),
        *("SamplerEulerAncestral", "SamplerDPMPP_2M_SDE", "SamplerDPMPP_SDE", "SamplerDPMPP_3M_SDE", "SamplerLMS"),
    ),
)
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


class Halves(NamedTuple):
    """The steps before a cut, and those after it."""

    high: Schedule
    low: Schedule


@node(
    "schedule.split",
    title="Split schedule",
    light=True,
    aliases=("SplitSigmas", "SplitSigmasDenoise", "two passes", "refiner"),
)
def split(
    schedule: Schedule,
    step: Annotated[int, Range(1, 10_000, 1, soft=(1, 50)), Help("How many steps come before the cut.")] = 10,
) -> Halves:
    """One way in two parts: `high` from noise to the cut, `low` from the cut to the picture.

    The part before the cut leaves its noise in the latents; who goes on adds none (add_noise off). Both halves keep the
    places of the whole way's steps, so that with one sampler without a memory (euler, ddim) and one model the two
    together are the undivided run, bit for bit.
    """
    end = schedule.steps if schedule.stop is None else schedule.stop
    if not schedule.start < step < end:
        raise refuse(
            f"there is nothing to cut at step {step}: the steps run from {schedule.start} to {end}",
            socket="step",
            mend=f"cut between {schedule.start + 1} and {end - 1}",
        )
    return Halves(replace(schedule, stop=step), replace(schedule, start=step))


def _known(sampler: str, spacing: str) -> None:
    """Refuse at once a pair that exists neither for diffusion nor for flow; which it is only the model knows."""
    if reason(sampler, spacing) and (METHODS[sampler].flow is None or reason(sampler, spacing, flow=True)):
        cell(sampler, spacing)
