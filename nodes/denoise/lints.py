"""Lints: settings that work but seldom give what was meant, with the figure, why, and the mend. They never block.

Each rule looks at what is known before the run and says at most one thing; `RULES` is the list, in the order in which
they are told. The figures are the field's: see the rule's own words for their source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from engine.errors import Mend, Problem, Where
from engine.sockets import Facts, facts_of
from nodes.denoise.active import Settings, embedded_scale, takes_scale
from nodes.schedule import METHODS
from nodes.types import Control, Denoiser, Schedule

BURNT = 15.0  # above it colours saturate and contrast burns
GENTLE = 2.0  # what few-step weights bear, which have guidance in them already
FEW = 8
RESTLESS = 40  # steps of an ancestral sampler, which never settles: from here on they only change the picture
TOO_LARGE = 2.5  # times the area that the model was trained on
TOO_SMALL = 0.4
TOLD = 10.0  # guidance told to a distilled model; its makers trained it to about 5 and advise 3.5
STEERED = 2.0  # a ControlNet's strength; above it its lines burn into the picture
ZEROED = ("sd1", "sd2")  # families that never saw zeros in place of a prompt

Rule = Callable[[Settings, dict[str, Any]], Iterator[Problem]]


def advice(**inputs: Any) -> Iterator[Problem]:
    """What an experienced eye would say to the inputs of `denoise.sample`, as far as they are known."""
    settings = Settings.of(inputs)
    if not settings.known:
        return
    for rule in RULES:
        yield from rule(settings, inputs)


# --- guidance --------------------------------------------------------------------------------------------------------


def _scale(settings: Settings, inputs: dict[str, Any]) -> Iterator[Problem]:
    socket = "guidance" if inputs.get("guidance") else "cfg"
    scale, sampler = settings.guidance.scale, settings.schedule.sampler
    if _quick(settings) and scale > GENTLE:
        why = f"{sampler} runs weights with guidance distilled into them"
        message = f"{why}: a scale of {scale:g} burns the picture"
        yield _lint("lint.cfg_distilled", socket, message, "use a scale of 1 to 2", 1.0)
    elif scale > BURNT:
        message = f"a scale of {scale:g} oversaturates: 7 to 8.5 is usual"
        yield _lint("lint.cfg_high", socket, message, "use less than 15", 7.0)


def _told(settings: Settings, inputs: dict[str, Any]) -> Iterator[Problem]:
    model = inputs.get("model")
    if settings.guidance.kind == "embedded" and isinstance(model, Denoiser) and takes_scale(model):
        scale = embedded_scale(settings.guidance, model)
        if scale > TOLD:
            message = f"a guidance of {scale:g} is more than the model was trained to be told: 3.5 is usual"
            yield _lint("lint.cfg_high", "guidance", message, "use 1 to 5")


def _unread(settings: Settings, inputs: dict[str, Any]) -> Iterator[Problem]:
    """Few-step and distilled models run without guidance on purpose, often with the negative still wired."""
    model, guidance = inputs.get("model"), settings.guidance
    on_purpose = _quick(settings) or settings.schedule.steps < FEW or _fast(model)
    if guidance.kind == "cfg" and guidance.scale == 1 and inputs.get("negative") is not None and not on_purpose:
        message = "with a scale of 1 there is no guidance, and the negative prompt is not read"
        yield _lint("lint.negative_unread", "negative", message, "use a scale of 7, or unwire the negative prompt")


def _zeroed(settings: Settings, inputs: dict[str, Any]) -> Iterator[Problem]:
    model, negative = inputs.get("model"), facts_of(inputs.get("negative"))
    if (
        settings.guidance.scale != 1
        and negative.get("zeroed")
        and str(facts_of(model).get("family", "")).startswith(ZEROED)
    ):
        message = "this family was trained with the empty prompt as unconditional, and never saw zeros"
        yield _lint("lint.zeroed", "negative", message, "wire text.encode with an empty text")


# --- schedule --------------------------------------------------------------------------------------------------------


def _steps(settings: Settings, inputs: dict[str, Any]) -> Iterator[Problem]:
    schedule, model = settings.schedule, inputs.get("model")
    socket = _socket(inputs, "steps")
    if _quick(settings) and schedule.steps > FEW:
        message = f"{schedule.sampler} is made for 4 to {FEW} steps, {schedule.steps} make the picture no better"
        yield _lint("lint.steps_many", socket, message, f"use 4 to {FEW} steps", FEW)
    elif isinstance(model, Denoiser) and model.distilled_guidance and not takes_scale(model) and schedule.steps > FEW:
        message = f"this model was distilled to 1 to 4 steps, {schedule.steps} make the picture no better"
        yield _lint("lint.steps_many", socket, message, "use 4 steps", 4)
    elif not _quick(settings) and schedule.steps < FEW and not _fast(model):
        message = f"{schedule.steps} steps of {schedule.sampler} leave noise or blur, unless the weights are distilled"
        yield _lint("lint.steps_few", socket, message, "use 20 steps or more", 20)
    elif "ancestral" in schedule.sampler and schedule.steps > RESTLESS:
        message = f"{schedule.sampler} adds noise in every step and settles on no picture: 25 to 30 steps are usual"
        yield _lint("lint.steps_many", socket, message, "use 30 steps, or a sampler that converges", 30)


def _weights(settings: Settings, inputs: dict[str, Any]) -> Iterator[Problem]:
    model, sampler = inputs.get("model"), settings.schedule.sampler
    if _quick(settings) and isinstance(model, Denoiser) and not _fast(model):
        message = f"{sampler} needs weights or a LoRA distilled for it, and nothing says that these are"
        yield _lint("lint.not_distilled", _socket(inputs, "sampler"), message, "add the LoRA, or use euler", "euler")


def _spacing(settings: Settings, inputs: dict[str, Any]) -> Iterator[Problem]:
    model, schedule = inputs.get("model"), settings.schedule
    if not isinstance(model, Denoiser) or not dict(model.training).get("rescale_betas_zero_snr"):
        return
    late = schedule.spacing == "ddim_uniform" or (schedule.sampler in ("ddim", "pndm") and schedule.spacing == "normal")
    if late:
        message = "the model was trained to zero terminal SNR, and this spacing leaves out the timestep where it starts"
        yield _lint(
            "lint.spacing_late", _socket(inputs, "scheduler"), message, "use sgm_uniform (Lin et al. 2023)", None
        )


# --- canvas ----------------------------------------------------------------------------------------------------------


def _size(settings: Settings, inputs: dict[str, Any]) -> Iterator[Problem]:
    """On a canvas much larger than the model ever saw objects repeat, on a much smaller one they are cut off."""
    model, latent = inputs.get("model"), facts_of(inputs.get("latent"))
    if settings.schedule.denoise < 1 or not isinstance(model, Denoiser) or not {"width", "height"} <= latent.keys():
        return
    trained = dict(model.config).get("sample_size")
    if not isinstance(trained, int):
        return
    side, width, height = trained * model.space.factor, latent["width"], latent["height"]
    share, canvas = width * height / side**2, f"{width} x {height}"
    if share > TOO_LARGE:
        message = f"{canvas} is far beyond the {side} x {side} the model was trained on: objects repeat"
        yield _lint("lint.size", "latent", message, "draw smaller, scale up, and redraw with denoise below 1")
    elif share < TOO_SMALL:
        message = f"{canvas} is far below the {side} x {side} the model was trained on: pictures come out cut or broken"
        yield _lint("lint.size", "latent", message, f"draw at about {side} x {side}, and scale the picture down")


def _strength(settings: Settings, inputs: dict[str, Any]) -> Iterator[Problem]:
    latent: Facts = facts_of(inputs.get("latent"))
    socket = _socket(inputs, "denoise")
    if settings.schedule.denoise == 0:
        yield _lint("lint.strength", socket, "with denoise 0 nothing is redrawn", "use 0.3 to 0.8", 0.6)
    elif (
        settings.schedule.denoise == 1
        and latent.get("picture")
        and not (settings.noise.off or settings.schedule.start or latent.get("leftover"))
    ):
        message = "with denoise 1 nothing of the picture is kept: only its size matters"
        yield _lint("lint.strength", socket, message, "use 0.3 to 0.8 to keep some of it", 0.6)


def _twice(settings: Settings, inputs: dict[str, Any]) -> Iterator[Problem]:
    if facts_of(inputs.get("latent")).get("leftover") and not settings.noise.off:
        message = "the latent still carries the noise of the run before, and this one adds its own on top"
        yield _lint("lint.noise_twice", "add_noise", message, "switch add_noise off to go on", False)


def _control(settings: Settings, inputs: dict[str, Any]) -> Iterator[Problem]:
    control = inputs.get("control")
    items = control.items if isinstance(control, Control) else ()
    strength = max((item.strength for item in items), default=0.0)
    if strength > STEERED:
        message = f"a ControlNet at strength {strength:g} burns its lines into the picture: 0.5 to 1 is usual"
        yield _lint("lint.control_strong", "control", message, "use a strength of 1, and a shorter range of steps")


RULES: tuple[Rule, ...] = (
    _scale,
    _told,
    _unread,
    _zeroed,
    _steps,
    _weights,
    _spacing,
    _size,
    _strength,
    _twice,
    _control,
)


def _quick(settings: Settings) -> bool:
    """Is the sampler one for weights distilled to few steps?"""
    name = settings.schedule.sampler
    return name in METHODS and METHODS[name].few


def _fast(model: Any) -> bool:
    """May the weights be made for few steps? A LoRA may have taught them."""
    return not isinstance(model, Denoiser) or model.distilled_guidance or bool(model.adapters)


def _socket(inputs: dict[str, Any], name: str) -> str:
    return "schedule" if isinstance(inputs.get("schedule"), Schedule) else name


def _lint(code: str, socket: str, message: str, mend: str, value: float | str | bool | None = None) -> Problem:
    """`value` is what a button would set a widget to; a wired socket has none."""
    edits = () if value is None or socket in ("guidance", "schedule") else ({"set": socket, "value": value},)
    return Problem(code, message, Where(socket=socket), Mend(mend, edits), severity="lint")
