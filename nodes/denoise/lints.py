"""Lints: settings that work but seldom give what was meant, with the figure, why, and the mend. They never block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.errors import Mend, Problem, Where
from engine.sockets import Facts, facts_of
from nodes.denoise.active import Settings
from nodes.schedule import METHODS
from nodes.types import Denoiser, Schedule

BURNT = 15.0  # above it colours saturate and contrast burns
GENTLE = 2.0  # what few-step weights bear, which have guidance in them already
FEW = 8
TOO_LARGE = 2.5  # times the area that the model was trained on


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
            "lint.cfg_distilled", cfg, f"{why}: a scale of {scale:g} burns the picture", "use a scale of 1 to 2", 1.0
        )
    elif scale > BURNT:
        yield _lint(
            "lint.cfg_high", cfg, f"a scale of {scale:g} oversaturates: 7 to 8.5 is usual", "use less than 15", 7.0
        )
    if distilled and schedule.steps > FEW:
        message = f"{schedule.sampler} is made for 4 to {FEW} steps, {schedule.steps} make the picture no better"
        yield _lint("lint.steps_many", _socket(inputs, "steps"), message, f"use 4 to {FEW} steps", FEW)
    model = inputs.get("model")
    if not distilled and schedule.steps < FEW and not _fast(model):
        message = f"{schedule.steps} steps of {schedule.sampler} leave noise or blur, unless the weights are distilled"
        yield _lint("lint.steps_few", _socket(inputs, "steps"), message, "use 20 steps or more", 20)
    if schedule.denoise >= 1 and isinstance(model, Denoiser):
        yield from _size(model, facts_of(inputs.get("latent")))
    if isinstance(model, Denoiser) and dict(model.training).get("rescale_betas_zero_snr") and _starts_late(schedule):
        yield _lint(
            "lint.spacing_late",
            _socket(inputs, "scheduler"),
            "the model was trained to zero terminal SNR, and this spacing leaves out the timestep where it starts",
            "use sgm_uniform (Lin et al. 2023)",
        )


def _fast(model: Any) -> bool:
    """May the weights be made for few steps? A LoRA may have taught them."""
    return not isinstance(model, Denoiser) or model.distilled_guidance or bool(model.adapters)


def _size(model: Denoiser, latent: Facts) -> Iterator[Problem]:
    """On a canvas much larger than the model ever saw, objects repeat."""
    trained = dict(model.config).get("sample_size")
    if not isinstance(trained, int) or "width" not in latent or "height" not in latent:
        return
    side, width, height = trained * model.space.factor, latent["width"], latent["height"]
    if width * height > TOO_LARGE * side * side:
        message = f"{width} x {height} is far beyond the {side} x {side} the model was trained on: objects repeat"
        yield _lint("lint.size", "latent", message, "draw smaller, scale up, and redraw with denoise below 1")


def _starts_late(schedule: Schedule) -> bool:
    return schedule.spacing == "ddim_uniform" or (schedule.sampler in ("ddim", "pndm") and schedule.spacing == "normal")


def _socket(inputs: dict[str, Any], name: str) -> str:
    return "schedule" if inputs.get("schedule") else name


def _lint(code: str, socket: str, message: str, mend: str, value: float | None = None) -> Problem:
    """`value` is what a button would set a widget to; a wired socket has none."""
    edits = () if value is None or socket in ("guidance", "schedule") else ({"set": socket, "value": value},)
    return Problem(code, message, Where(socket=socket), Mend(mend, edits), severity="lint")
