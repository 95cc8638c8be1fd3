"""Lints: settings that work but seldom give what was meant, with the figure, why, and the mend. They never block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.errors import Mend, Problem, Where
from nodes.denoise.active import Settings
from nodes.schedule import METHODS
from nodes.types import Denoiser, Schedule

BURNT = 15.0  # above it colours saturate and contrast burns
GENTLE = 2.0  # what few-step weights bear, which have guidance in them already
FEW = 8


def advice(**inputs: Any) -> Iterator[Problem]:
    """What an experienced eye would say to the inputs of `denoise.sample`, as far as they are known."""
    settings = Settings.of(inputs)
    if not settings.known:
        return
    cfg = "guidance" if inputs.get("guidance") else "cfg"
    scale, schedule = settings.guidance.scale, settings.schedule
    distilled = METHODS[schedule.sampler].few if schedule.sampler in METHODS else False
    if distilled and scale > GENTLE:
        why = f"{schedule.sampler} runs weights with guidance distilled into them"
        yield _lint(
            "lint.cfg_distilled", cfg, f"{why}: a scale of {scale:g} burns the picture", "use a scale of 1 to 2"
        )
    elif scale > BURNT:
        yield _lint("lint.cfg_high", cfg, f"a scale of {scale:g} oversaturates: 7 to 8.5 is usual", "use less than 15")
    if distilled and schedule.steps > FEW:
        message = f"{schedule.sampler} is made for 4 to {FEW} steps, {schedule.steps} make the picture no better"
        yield _lint("lint.steps_many", _socket(inputs, "steps"), message, f"use 4 to {FEW} steps")
    model = inputs.get("model")
    if isinstance(model, Denoiser) and dict(model.training).get("rescale_betas_zero_snr") and _starts_late(schedule):
        yield _lint(
            "lint.spacing_late",
            _socket(inputs, "scheduler"),
            "the model was trained to zero terminal SNR, and this spacing leaves out the timestep where it starts",
            "use sgm_uniform (Lin et al. 2023)",
        )


def _starts_late(schedule: Schedule) -> bool:
    return schedule.spacing == "ddim_uniform" or (schedule.sampler in ("ddim", "pndm") and schedule.spacing == "normal")


def _socket(inputs: dict[str, Any], name: str) -> str:
    return "schedule" if inputs.get("schedule") else name


def _lint(code: str, socket: str, message: str, mend: str) -> Problem:
    return Problem(code, message, Where(socket=socket), Mend(mend), severity="lint")
