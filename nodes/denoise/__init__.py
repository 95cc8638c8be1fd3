"""Denoise: the loop from noise to picture, for UNets and DiTs, diffusion and flow."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from engine.errors import WeftError, fail
from engine.node import Help, Range, Seed, Steps, node
from engine.run import Run
from engine.sockets import rule, same
from nodes import schedule as schedules
from nodes.denoise.active import Settings, active, check, embedded_scale, work
from nodes.denoise.loop import as_left, go_on, keeper, noisy, snapshot
from nodes.denoise.loop import denoise as steps_of
from nodes.denoise.predict import Model, guided
from nodes.denoise.preview import picture
from nodes.denoise.ranged import ranged
from nodes.families import family_of
from nodes.families.compiling import as_far_as_it_compiles, telling
from nodes.families.offload import where
from nodes.patches import Differential
from nodes.schedule import Sampler, Spacing
from nodes.types import VAE, Conditioning, Control, ControlItem, Denoiser, Guidance, Latent, Leftover, Noise, Schedule

if TYPE_CHECKING:
    import torch


class Sampled(NamedTuple):
    """What the loop came to: the latents, and the model's estimate of the picture without noise at the last step."""

    latent: Latent
    denoised: Latent


@node(
    "denoise.sample",
    title="Denoise",
    advanced=("start_step", "stop_step", "add_noise", "leftover_noise"),
    steps=active,
    stop=("stop_step", "leftover_noise"),
    batched="nodes.denoise.together",
    work=work,
    lints="nodes.denoise.lints:advice",
    facts=[
        same("family", "model", "control", why="a ControlNet steers only the family it was made from"),
        same("latent_space", "model", "latent", why="latents must come from the model's own VAE, or be empty ones"),
        same("text_layout", "model", "positive", "negative", why="encode prompts with the model's own text encoder"),
        rule("nodes.denoise.active:check"),
    ],
    aliases=(
        *("KSampler", "KSamplerAdvanced", "SamplerCustom", "SamplerCustomAdvanced", "sampler"),
        *("start_at_step", "end_at_step", "return_with_leftover_noise", "denoised_output"),
        *("txt2img", "text to image", "generate", "denoising strength"),
    ),
)
def sample(
    run: Run,
    model: Denoiser,
    positive: Conditioning,
    latent: Latent,
    negative: Annotated[Conditioning | None, Help("What to move away from; for most models the empty prompt.")] = None,
    seed: Seed = 0,
    steps: Steps = 20,
    cfg: Annotated[float, Range(0, 100, 0.1, soft=(1, 12)), Help("Guidance scale; 1 is none.")] = 7.0,
    sampler: Sampler = "euler",
    scheduler: Spacing = "normal",
    denoise: Annotated[float, Range(0, 1, 0.01), Help("Below 1 the latent is only partly redrawn.")] = 1.0,
    schedule: Annotated[Schedule | None, Help("Replaces steps, sampler, scheduler and denoise.")] = None,
    guidance: Annotated[Guidance | None, Help("Replaces cfg.")] = None,
    noise: Annotated[Noise | None, Help("Replaces seed.")] = None,
    control: Control | None = None,
    start_step: Annotated[
        int | None, Range(0, 10_000, 1, soft=(0, 50)), Help("Step to begin with, counted from 0; nothing: the first.")
    ] = None,
    stop_step: Annotated[
        int | None, Range(1, 10_000, 1, soft=(1, 50)), Help("Step before which it stops; nothing: after the last.")
    ] = None,
    add_noise: Annotated[bool, Help("Off when the latent already carries its noise: to go on after a stop.")] = True,
    leftover_noise: Annotated[
        bool, Help("After a stop, keep the noise that is still in the latents; off gives `denoised` there too.")
    ] = True,
) -> Sampled:
    """Noise becomes a picture: the sampling loop of a diffusion or flow model, in its latent space.

    Gives float32 latents of the input's shape, and as `denoised` the model's estimate of them without noise at the
    last step run, which can be decoded at any stop. An empty latent is a canvas; one with a picture in it is redrawn
    from `denoise` on; outside a noise mask it stays what it was. Item i of the batch draws from seed + i on the CPU, so
    any item renders alone. Of `steps` only `start_step`..`stop_step` are run; a run that was stopped goes on, bit for
    bit and for the price of the steps that are left, when stop_step is emptied or raised (docs/sampling.md). Sources:
    Ho et al. 2020 (2006.11239), Song et al. 2021 (2011.13456), Karras et al. 2022 (2206.00364), Lipman et al. 2022
    (2210.02747). Errors: what does not belong together, empty ranges of steps, and results that overflow.
    """
    inputs = dict(locals())
    import torch

    settings = Settings.of(inputs)
    check(**inputs)
    family, (batch, height, width) = family_of(model), _shape(model, latent)
    sides = 2 if settings.guidance.scale != 1 and settings.guidance.mode == "batched" else 1
    if sides == 2 and run.leaner("guidance in two forwards"):
        settings, sides = replace(settings, guidance=replace(settings.guidance, mode="sequential")), 1
    alone = batch > 1 and run.leaner("one picture at a time")
    room = family.working_bytes(
        model, sides * (1 if alone else batch), height, width, 4 if run.dtype == "float32" else 2
    )
    model = as_far_as_it_compiles(model, run)
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        nets = [stack.enter_context(run.lease(item.net)) for item in (control.items if control else ())]
        if model.ranged:  # adapters and patches with a range come and go between steps
            room += model.worn_bytes(run.dtype)
        module = stack.enter_context(run.lease(model.bare if model.ranged else model, working_bytes=room))
        device, dtype = where(module)
        samples = latent.samples.to(device, dtype)
        hints = _hints(run, control.items if control else (), nets, samples, latent.space.factor)
        beside = None if latent.beside is None else latent.beside.to(samples)
        plain = not model.patches and "attention" not in dict(model.numerics)
        scale = embedded_scale(settings.guidance, model)
        ready = Model(family, module, hints, scale, latent.space.factor, beside, alone, plain)
        tokens = (height // 2) * (width // 2)  # patches of 2 x 2, by which some flow models shift their times
        timetable = schedules.build(settings.schedule, model, device, tokens)
        total = len(timetable.timesteps)
        memory: dict[str, torch.Tensor] = {}  # what guidance carries from step to step
        predict = guided(ready, positive, negative, settings.guidance, control, total, memory)
        predict = ranged(predict, model, module, total, stack)
        x, clean, left = _loop(run, settings, timetable, predict, latent, samples, model, memory)
    denoised = replace(latent, samples=clean.float(), leftover=None)
    if not leftover_noise:
        return Sampled(denoised, denoised)
    return Sampled(replace(latent, samples=x.float(), leftover=left), denoised)


def _leftover(
    timetable: schedules.Timetable, prediction: str, latent: Latent, samples: torch.Tensor, noise: torch.Tensor
) -> Leftover | None:
    """What noise is still in the latents, when the last evaluation run was not the last there is."""
    stop, scheduler = timetable.run.stop, timetable.scheduler
    if stop >= len(timetable.timesteps):
        return None
    sigma = schedules.sigma_at(scheduler, float(timetable.timesteps[stop]), prediction)
    masked = latent.noise_mask is not None
    return Leftover(
        sigma, schedules.form(scheduler), samples.float() if masked else None, noise.float() if masked else None
    )


def _shape(model: Denoiser, latent: Latent) -> tuple[int, int, int]:
    """Batch, height and width of the latents, which must be the model's own."""
    shape, space = tuple(latent.samples.shape), model.space
    if len(shape) != 4 or shape[1] != space.channels or latent.space.name != space.name:
        raise fail(
            "facts.mismatch",
            f"the latents are {list(shape)} of {latent.space.name}, the model takes {space.channels} of {space.name}",
            socket="latent",
            mend="encode the picture with the model's own VAE, or make the canvas for this model",
        )
    return shape[0], shape[2], shape[3]


def _loop(
    run: Run,
    settings: Settings,
    timetable: schedules.Timetable,
    predict: Any,
    latent: Latent,
    samples: torch.Tensor,
    model: Denoiser,
    memory: dict[str, torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor, Leftover | None]:
    """Draw the noise, begin or go on, and let everybody look on after each step.

    Gives the latents, the estimate of x0, and what noise is left in the latents.
    """
    part, scheduler = timetable.run, timetable.scheduler
    total = len(part)
    if not total:
        return samples, samples, latent.leftover
    generators = run.generators(
        (settings.noise.seed + latent.seeds_from) % 2**64, samples.shape[0], settings.noise.single_stream
    )
    noise = _draw(settings, samples, generators, part.start)
    # A canvas, or a masked picture redrawn from nothing, begins as noise alone, as diffusers' pipelines do.
    whole = settings.schedule.denoise >= 1 and not settings.noise.off and not part.start
    masked = latent.noise_mask is not None or latent.beside is not None
    fresh = whole and (masked or not bool(samples.any())) and not settings.schedule.sigmas
    state = run.resume()
    if state is None:
        begin = as_left(latent, samples, scheduler) if settings.noise.off else noisy(timetable, samples, noise, fresh)
        x, clean, first = begin, samples, 0
    else:
        (x, clean), first = go_on(state, scheduler, generators, samples, memory), state.index + 1
    arguments = schedules.step_arguments(settings.schedule, scheduler, generators)
    left = latent.leftover if settings.noise.off else None
    if left is not None and left.original is not None and left.noise is not None:
        samples, noise = left.original.to(samples), left.noise.to(samples)
    gradual = any(isinstance(patch, Differential) for patch in model.patches)
    keep = keeper(timetable, latent, samples, noise, gradual)
    done, seen = first, schedules.Seen()
    run.progress(done, total)
    with telling(lambda text: run.progress(done, total, text)):
        for step in steps_of(timetable, model.prediction, predict, x, part[first:], arguments, keep):
            x, clean, done = step.x, step.clean, step.index + 1 - part.start
            run.checkpoint(snapshot(step, part.start, scheduler, generators, memory, seen))
            run.preview(lambda clean=clean: picture(clean, latent.space), done, total)  # type: ignore[misc]
            run.progress(done, total)
    if not bool(x.isfinite().all()):
        raise _overflow(x, settings)
    return x, clean, _leftover(timetable, model.prediction, latent, samples, noise)


def _draw(settings: Settings, samples: torch.Tensor, generators: list[torch.Generator], skipped: int) -> torch.Tensor:
    """Standard normal noise in the latents' shape; always drawn in float32, so it is the same in every dtype.

    Who goes on after `skipped` evaluations without noise of its own passes over what those drew: a sampler that adds
    noise in each step then goes on with the numbers of the undivided run, and never with those of its first noise.
    """
    import torch
    from diffusers.utils.torch_utils import randn_tensor

    def draw() -> torch.Tensor:
        drawn: torch.Tensor = randn_tensor(tuple(samples.shape), generator=generators, device=torch.device("cpu"))
        return drawn

    if not settings.noise.off:
        return draw().to(samples)
    if skipped and schedules.METHODS[settings.schedule.sampler].draws:
        for _ in range(1 + skipped):
            draw()
    return torch.zeros_like(samples)


def _hints(
    run: Run, items: Sequence[ControlItem], nets: Sequence[Any], samples: torch.Tensor, factor: int
) -> list[tuple[ControlItem, Any, torch.Tensor]]:
    """Each ControlNet with its hint at the size of the result: [batch, 3, height, width], 0..1, or as latents."""
    import torch

    size = (samples.shape[-2] * factor, samples.shape[-1] * factor)
    found = []
    for item, net in zip(items, nets, strict=True):
        hint = item.image.pixels.movedim(-1, 1).to(samples)
        if hint.shape[-2:] != size:
            hint = torch.nn.functional.interpolate(hint, size, mode="bilinear", antialias=True).clamp(0, 1)
        if hint.shape[0] not in (1, samples.shape[0]):
            raise fail(
                "node.refused",
                f"the hint has {hint.shape[0]} pictures, the latent a batch of {samples.shape[0]}",
                socket="control",
                mend="give one picture, or one for each item",
            )
        found.append((item, net, hint if item.vae is None else _encoded(run, item.vae, net, hint)))
    return found


def _encoded(run: Run, vae: VAE, net: Any, hint: torch.Tensor) -> torch.Tensor:
    """A hint picture as the latents that a DiT's ControlNet reads; some of SD 3's were trained without shift."""
    shift = 0.0 if getattr(net.config, "force_zeros_for_pooled_projection", False) else vae.shift
    with run.lease(vae) as module:
        like = next(module.parameters())
        z = module.encode((2.0 * hint - 1.0).to(like).contiguous()).latent_dist.mode()
    latents: torch.Tensor = (z - shift) * vae.scale
    return latents.to(hint)


def _overflow(x: torch.Tensor, settings: Settings) -> WeftError:
    dtype = str(x.dtype).removeprefix("torch.")
    other = "bfloat16 or float32" if dtype == "float16" else "float32" if dtype == "bfloat16" else "a lower cfg"
    return fail(
        "node.refused",
        f"the result overflowed: it has numbers that {dtype} cannot hold (cfg {settings.guidance.scale:g})",
        mend=f"use {other}" + (", or a lower cfg" if dtype != "float32" else ", or other weights"),
    )
