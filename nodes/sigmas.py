"""Sigmas: noise levels by hand, by formula, or as found by others, in place of a scheduler's own spacing.

For diffusion a level is noise over signal (SD and SDXL were trained from about 14.6 down to 0.03), for a flow the share
of noise from 1 to 0. A list falls, and has one number more than there are steps; it mostly ends at 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Literal

from engine.errors import refuse
from engine.node import Help, Range, Steps, node
from nodes.schedule.table import Sampler
from nodes.types import Schedule

MOST = 1000
# The levels that align a sampler's ten steps with the data (Sabour et al. 2024, arXiv 2404.14507, table 6).
ALIGNED: Mapping[str, tuple[float, ...]] = {
    "sd1": (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029),
    "sdxl": (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029),
}
High = Annotated[float, Range(0.001, 1000, 0.001, soft=(0.5, 80))]


def of(sampler: str, levels: list[float]) -> Schedule:
    """A schedule of these levels; refuses what does not fall."""
    if len(levels) < 2:
        raise refuse("one step needs two noise levels: from where, and to where", socket="sigmas", mend="add a 0")
    if len(levels) > MOST:
        raise refuse(f"there are {len(levels):,} levels, at most {MOST:,} make sense", socket="sigmas")
    wrong = next((pair for pair in pairwise(levels) if not pair[0] > pair[1] >= 0), None)
    if wrong is not None:
        raise refuse(f"noise must fall: {wrong[1]:g} comes after {wrong[0]:g}", socket="sigmas", mend="sort the levels")
    return Schedule(sampler, "normal", len(levels) - 1, sigmas=tuple(levels))


@node(
    "schedule.sigmas",
    title="Manual sigmas",
    light=True,
    output="schedule",
    aliases=("ManualSigmas", "StringToSigmas", "custom sigmas"),
)
def by_hand(
    sampler: Sampler = "euler",
    sigmas: Annotated[
        str, Help("Noise levels from high to low, such as 14.6, 6.5, 2.7, 1, 0.4, 0.")
    ] = "14.6, 6.5, 2.7, 1, 0.4, 0",
) -> Schedule:
    """A schedule from noise levels that you write down: one step from each to the next."""
    try:
        levels = [float(part) for part in sigmas.replace(";", ",").replace("\n", ",").split(",") if part.strip()]
    except ValueError:
        raise refuse(
            f"'{sigmas[:60]}' is no list of numbers", socket="sigmas", mend="write such as 14.6, 2.7, 0"
        ) from None
    if not all(map(math.isfinite, levels)):
        raise refuse("a noise level must be a number", socket="sigmas")
    return of(sampler, levels)


@node(
    "schedule.curve",
    title="Sigma curve",
    light=True,
    output="schedule",
    aliases=("KarrasScheduler", "ExponentialScheduler", "PolyexponentialScheduler"),
)
def curve(
    sampler: Sampler = "dpmpp_2m",
    shape: Literal["karras", "exponential", "linear"] = "karras",
    steps: Steps = 20,
    high: Annotated[High, Help("The first level: 14.6 is where SD was trained from.")] = 14.6146,
    low: Annotated[High, Help("The last before 0: 0.03 is the least it was trained on.")] = 0.0292,
    rho: Annotated[
        float, Range(0.1, 100, 0.1, soft=(1, 12)), Help("Of karras: larger spends more steps at low noise.")
    ] = 7.0,
) -> Schedule:
    """Noise levels along a curve from `high` to `low`, then 0.

    Karras et al. 2022 (arXiv 2206.00364, eq. 5): sigma^(1/rho) even; exponential: log sigma even; linear: sigma even.
    """
    if high <= low:
        raise refuse(f"the first level {high:g} is not above the last {low:g}", socket="low", mend="make it smaller")
    shares = [index / max(steps - 1, 1) for index in range(steps)]
    if shape == "karras":
        ends = high ** (1 / rho), low ** (1 / rho)
        levels = [(ends[0] + share * (ends[1] - ends[0])) ** rho for share in shares]
    elif shape == "exponential":
        levels = [math.exp(math.log(high) + share * (math.log(low) - math.log(high))) for share in shares]
    else:
        levels = [high + share * (low - high) for share in shares]
    return of(sampler, [*levels, 0.0])


@node(
    "schedule.align_steps",
    title="Align Your Steps schedule",
    light=True,
    output="schedule",
    aliases=("AlignYourStepsScheduler", "AYS"),
)
def align_steps(
    sampler: Sampler = "dpmpp_2m",
    model: Literal["sd1", "sdxl"] = "sd1",
    steps: Annotated[int, Range(2, 100, 1, soft=(5, 20)), Help("Found for 10; others lie between them.")] = 10,
) -> Schedule:
    """Noise levels that were found to fit the data, for few steps: Align Your Steps (Sabour et al. 2024, 2404.14507).

    Ten levels for each model, as published; another number of steps is read between them, log-linearly.
    """
    found, last = ALIGNED[model], len(ALIGNED[model]) - 1
    levels = []
    for index in range(steps):
        at = index * last / steps
        low = int(at)
        levels.append(math.exp((1 - (at - low)) * math.log(found[low]) + (at - low) * math.log(found[low + 1])))
    return of(sampler, [*levels, 0.0])
