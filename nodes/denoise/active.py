"""Active: what acts in which step, known without a tensor. It checks what fits, and names what each step depends on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine.errors import fail, refuse
from engine.sockets import Facts, Ref, facts_of
from nodes import schedule as schedules
from nodes.families.choices import stateful
from nodes.guiders import FAMILIES, KINDS
from nodes.types import (
    Conditioning,
    Control,
    ControlItem,
    Denoiser,
    Entry,
    Guidance,
    Noise,
    Perturbation,
    Schedule,
    has_range,
    patches_acting,
)


def acts(index: int, total: int, start: float, end: float) -> bool:
    """Is evaluation `index` of `total` inside a range of fractions, as diffusers' `control_guidance_start`?"""
    return index / total >= start and (index + 1) / total <= end


@dataclass(frozen=True)
class Settings:
    """The widgets, each replaced by what is wired in its place."""

    schedule: Schedule
    guidance: Guidance
    noise: Noise

    @classmethod
    def of(cls, inputs: Mapping[str, Any]) -> Settings:
        """From the inputs of `denoise.sample`."""
        given = inputs.get("schedule")
        chosen: Any = given or Schedule(inputs["sampler"], inputs["scheduler"], inputs["steps"], inputs["denoise"])
        if not isinstance(chosen, Ref):
            start, stop = inputs.get("start_step"), inputs.get("stop_step")
            chosen = replace(
                chosen,
                start=chosen.start if start is None else start,
                stop=chosen.stop if stop is None else stop,
            )
        guidance = inputs.get("guidance") or Guidance(inputs["cfg"])
        noise = inputs.get("noise") or Noise(inputs["seed"])
        if not inputs.get("add_noise", True) and not isinstance(noise, Ref):
            noise = replace(noise, off=True)
        return cls(chosen, guidance, noise)

    @property
    def known(self) -> bool:
        """False while one of them is made by a node that has not run."""
        return not any(isinstance(part, Ref) for part in (self.schedule, self.guidance, self.noise))


# --- what acts in a step -------------------------------------------------------------------------------------------


def entries_at(conditioning: Conditioning | None, index: int, total: int) -> tuple[Entry, ...]:
    """The prompts that act in a step: those in whose range it begins, so that ranges side by side leave no step out."""
    entries = () if conditioning is None else conditioning.entries
    return tuple(entry for entry in entries if entry.start <= index / total < entry.end)


def guided_at(guidance: Guidance, index: int, total: int) -> bool:
    """Does the unconditional prediction matter in a step? A scale of 1 cancels it."""
    return guidance.scale != 1 and acts(index, total, guidance.start, guidance.stop)


def perturbed_at(guidance: Guidance, index: int, total: int) -> tuple[Perturbation, ...]:
    """What guidance moves away from in a step beside the unconditional prediction."""
    return tuple(one for one in guidance.perturbations if one.scale != 0 and one.start <= index / total < one.stop)


def embedded_scale(guidance: Guidance, model: Denoiser) -> float:
    """The scale that a model with guidance distilled into it takes as an input: the one wired, or its own; 1: none."""
    told = dict(guidance.options).get("scale") if guidance.kind == "embedded" else dict(model.config).get("guidance")
    return float(told or 1.0)


def takes_scale(model: Denoiser) -> bool:
    """Does the model take the guidance scale as an input?"""
    config = dict(model.config)
    return config.get("time_cond_proj_dim") is not None or config.get("guidance") is not None


def acting_patch(patch: Any, index: int, total: int) -> Any:
    """A patch with a range as it is in a step; None when it rests, and for one that acts in all of them."""
    if not has_range(patch):
        return None
    return next(iter(patches_acting((patch,), lambda start, end: acts(index, total, start, end))), None)


def at_step(model: Denoiser, index: int, total: int) -> Denoiser:
    """The recipe as it is in a step: of adapters and patches with a range only those that act in it."""
    return model.acting(lambda start, end: acts(index, total, start, end))


def control_at(control: Control | None, index: int, total: int) -> tuple[ControlItem, ...]:
    """The ControlNets that act in a step."""
    items = () if control is None else control.items
    return tuple(item for item in items if item.strength != 0 and acts(index, total, item.start, item.end))


def active(**inputs: Any) -> tuple[Any, ...]:
    """What each step depends on beyond the steps before it: a late change keeps the names of the early steps.

    Ranges are left out on purpose: what matters is who acts, not until when. So is the step at which it stops, and
    whether the leftover noise is wanted: a run that is stopped and one that is not share the steps before the stop.
    """
    settings, model = Settings.of(inputs), inputs["model"]
    positive, negative, control = inputs["positive"], inputs.get("negative"), inputs.get("control")
    if not settings.known or any(isinstance(one, Ref) for one in (model, positive, negative, control)):
        return ()
    if stateful(model.patches):
        return ()  # what a cache remembers of earlier forwards is in no checkpoint: such a run starts over
    flow = model.prediction == "flow"
    total, run = schedules.evaluations(settings.schedule, flow), schedules.part(settings.schedule, flow)
    guidance = settings.guidance
    scales = (guidance.scale, guidance.rescale, guidance.mode, guidance.kind, guidance.options)
    base = model.steady
    late = [place for place, one in enumerate(model.adapters) if one not in base.adapters]
    first = (base, replace(settings.schedule, stop=None), settings.noise, inputs["latent"])

    def step(index: int) -> Iterator[Any]:
        guided = guided_at(guidance, index, total)
        yield first if index == run.start else ()
        yield scales if guided or guidance.kind != "cfg" else ()
        away = perturbed_at(guidance, index, total)
        yield guidance.rescale if away else (), tuple((one.kind, one.scale, one.layers, one.blur) for one in away)
        for side in (positive, negative if guided else None):
            found = entries_at(side, index, total)
            yield tuple(
                (one.embedding, one.pooled, one.mask, one.weight, one.area, one.pixels, one.framing) for one in found
            )
        yield tuple(
            (one.net, one.image, one.strength, one.vae, one.mode, one.guess)
            for one in control_at(control, index, total)
        )
        # What acts in a part of the steps, and where it stands among the others, whose order counts for rounding.
        now = at_step(model, index, total).adapters if late else ()
        yield tuple((place, now[place]) for place in late if now[place].strength != 0)
        yield tuple(found for one in model.patches if (found := acting_patch(one, index, total)) is not None)

    return tuple(tuple(step(index)) for index in run)


def work(**inputs: Any) -> float:
    """Forwards times latent cells, from which seconds are predicted."""
    settings, latent = Settings.of(inputs), facts_of(inputs["latent"])
    if not settings.known:
        return 0.0
    flow = facts_of(inputs["model"]).get("prediction") == "flow"
    total, run = schedules.evaluations(settings.schedule, flow), schedules.part(settings.schedule, flow)
    guidance = settings.guidance
    forwards = sum(1 + guided_at(guidance, index, total) + len(perturbed_at(guidance, index, total)) for index in run)
    cells = latent.get("width", 512) * latent.get("height", 512) * latent.get("batch", 1) / 64
    return float(forwards * cells)


# --- what fits -------------------------------------------------------------------------------------------------------


def check(**inputs: Any) -> dict[str, dict[str, Any]]:
    """Refuse what cannot work, as far as it is known; the result has the latent's facts."""
    settings, model = Settings.of(inputs), inputs["model"]
    if not isinstance(settings.schedule, Ref):
        schedules.check(settings.schedule, model)
    if isinstance(model, Denoiser):
        _check_model(model, settings, inputs)
    if not isinstance(settings.guidance, Ref):
        _check_guidance(settings.guidance, inputs)
    if settings.known and not isinstance(model, Ref):
        _check_prompts(inputs, settings.schedule, model.prediction == "flow")
    clean = {name: fact for name, fact in facts_of(inputs["latent"]).items() if name != "leftover"}
    return {"latent": {**clean, **({"leftover": True} if _leaves_noise(inputs, settings) else {})}, "denoised": clean}


def _leaves_noise(inputs: Mapping[str, Any], settings: Settings) -> bool:
    """Will the latents still carry noise, because it stops before the last step?"""
    schedule, model = settings.schedule, inputs["model"]
    if isinstance(schedule, Ref) or schedule.stop is None or not inputs.get("leftover_noise", True):
        return False
    flow = facts_of(model).get("prediction") == "flow"
    return schedules.part(schedule, flow).stop < schedules.evaluations(schedule, flow)


def _check_model(model: Denoiser, settings: Settings, inputs: Mapping[str, Any]) -> None:
    _check_beside(model, facts_of(inputs["latent"]).get("beside"))
    guidance = settings.guidance
    if isinstance(guidance, Ref):
        pass
    elif guidance.kind == "embedded" and not takes_scale(model):
        mend = "unwire it and set cfg to 1" if model.distilled_guidance else "use guidance.cfg"
        raise refuse("this model takes no guidance scale as an input", socket="guidance", mend=mend)
    elif model.distilled_guidance and guidance.scale != 1:
        socket = "guidance" if inputs.get("guidance") else "cfg"
        edits = [{"set": "cfg", "value": 1.0}] if socket == "cfg" else []
        message = (
            f"this model was distilled with guidance inside it; a scale of {guidance.scale:g} would guide it twice"
        )
        mend = "set the scale to 1" + (", or wire guidance.embedded" if takes_scale(model) else "")
        raise fail("node.refused", message, socket=socket, mend=mend, edits=edits)
    _check_size(model, facts_of(inputs["latent"]))
    control = inputs.get("control")
    for item in control.items if isinstance(control, Control) else ():
        if item.vae is not None and item.vae.space.name != model.space.name:
            raise fail(
                "facts.mismatch",
                f"the hint is encoded by a VAE of {item.vae.space.name}, the model's latents are {model.space.name}",
                socket="control",
                mend="wire the model's own VAE into control.apply",
            )


def _check_beside(model: Denoiser, shown: int | None) -> None:
    """A model for inpainting takes more channels than its latents have; the latent must bring just those."""
    channels, own = dict(model.config).get("in_channels", model.space.channels), model.space.channels
    if shown is None or channels == own + shown:
        return
    if channels == own:
        raise refuse(
            f"the latent brings {shown} channels beside the noise, this model takes the noise alone",
            socket="latent",
            mend="use inpaint.encode, whose mask works with any model, or load the model made for inpainting",
        )
    raise refuse(
        f"this model takes {channels} channels where its latents have {own}: "
        "it was made for inpainting or editing and needs the picture beside the noise",
        socket="model" if not shown else "latent",
        mend="wire inpaint.condition into 'latent'; or use the plain model, which a mask on the latent lets inpaint",
    )


def _check_size(model: Denoiser, latent: Facts) -> None:
    """A DiT cuts the latents into whole patches and has learnt so many places for them."""
    config = dict(model.config)
    patch, most = config.get("patch_size"), config.get("pos_embed_max_size")
    for side in ("width", "height"):
        if not patch or side not in latent:
            continue
        step = int(model.space.factor * patch)
        if latent[side] % step:
            message = f"the {side} of {latent[side]} pixels is no multiple of {step}, which this model needs"
            raise refuse(message, socket="latent", mend=f"use {latent[side] // step * step or step}")
        if most and latent[side] > most * step:
            message = f"the {side} of {latent[side]} pixels is more than this model can place"
            raise refuse(message, socket="latent", mend=f"use at most {most * step}")


def _check_guidance(guidance: Guidance, inputs: Mapping[str, Any]) -> None:
    if guidance.kind != "embedded" and guidance.kind not in KINDS:
        raise refuse(f"denoise.sample does not know guidance of the kind {guidance.kind}", socket="guidance")
    model = inputs["model"]
    if guidance.perturbations and isinstance(model, Denoiser) and stateful(model.patches):
        raise refuse(
            "this guidance asks a worse model in between, which a cache on the model would take for the model itself",
            socket="guidance",
            mend="take the cache off the model, or the perturbation off the guidance",
        )
    able = FAMILIES.get(str(facts_of(inputs["model"]).get("family", "")).partition("-")[0])
    for one in guidance.perturbations:
        if able is not None and one.kind not in able:
            raise refuse(f"{KINDS[one.kind]} does not work with this model's family", socket="guidance")
    if guidance.scale != 1 and inputs.get("negative") is None:
        raise refuse(
            f"guidance of scale {guidance.scale:g} needs an unconditional prediction to move away from",
            socket="negative",
            mend="wire text.encode with an empty text into 'negative', or set cfg to 1",
        )


def _check_prompts(inputs: Mapping[str, Any], schedule: Schedule, flow: bool) -> None:
    positive = inputs["positive"]
    if not isinstance(positive, Conditioning):
        return
    total, run = schedules.evaluations(schedule, flow), schedules.part(schedule, flow)
    idle = next((index for index in run if not entries_at(positive, index, total)), None)
    if idle is not None:
        raise refuse(
            f"no prompt acts in step {idle + 1} of {total}",
            socket="positive",
            mend="let the ranges of the prompts cover all steps from 0 to 1",
        )
