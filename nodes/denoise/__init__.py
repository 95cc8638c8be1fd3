"""Denoise: the loop from noise to picture, for UNets and DiTs, diffusion and flow."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from engine.errors import WeftError, fail
from engine.node import Help, Range, Seed, Steps, node
from engine.run import Run
from engine.sockets import rule, same
from nodes import schedule as schedules
from nodes.denoise.active import Settings, active, check, embedded_scale, work
from nodes.denoise.loop import denoise as steps_of
from nodes.denoise.loop import go_on, keeper, noisy, snapshot
from nodes.denoise.predict import Model, guided
from nodes.denoise.preview import picture
from nodes.families import family_of
from nodes.families.offload import where
from nodes.schedule import Sampler, Spacing
from nodes.types import VAE, Conditioning, Control, ControlItem, Denoiser, Guidance, Latent, Noise, Schedule

if TYPE_CHECKING:
    import torch


@node(
    "denoise.sample",
    output="latent",
    steps=active,
    work=work,
    lints="nodes.denoise.lints:advice",
    facts=[
        same("family", "model", "control", why="a ControlNet steers only the family it was made from"),
        same("latent_space", "model", "latent", why="latents must come from the model's own VAE, or be empty ones"),
        same("text_layout", "model", "positive", "negative", why="encode prompts with the model's own text encoder"),
        rule("nodes.denoise.active:check"),
    ],
    aliases=("KSampler", "SamplerCustom", "sampler"),
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
) -> Latent:
    """Noise becomes a picture: the sampling loop of a diffusion or flow model, in its latent space.

    Gives float32 latents of the input's shape. An empty latent is a canvas; one with a picture in it is redrawn from
    `denoise` on; outside a noise mask it stays what it was. Item i of the batch draws from seed + i on the CPU, so any
    item renders alone. Sources: Ho et al. 2020 (2006.11239), Song et al. 2021 (2011.13456), Karras et al. 2022
    (2206.00364), Lipman et al. 2022 (2210.02747). Errors: what does not belong together, and results that overflow.
    """
    inputs = dict(locals())
    import torch

    settings = Settings.of(inputs)
    check(**inputs)
    family, (batch, height, width) = family_of(model), _shape(model, latent)
    sides = 2 if settings.guidance.scale != 1 and settings.guidance.mode == "batched" else 1
    room = family.working_bytes(model, batch * sides, height, width, 4 if run.dtype == "float32" else 2)
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        nets = [stack.enter_context(run.lease(item.net)) for item in (control.items if control else ())]
        module = stack.enter_context(run.lease(model, working_bytes=room))
        device, dtype = where(module)
        samples = latent.samples.to(device, dtype)
        hints = _hints(run, control.items if control else (), nets, samples, latent.space.factor)
        beside = None if latent.beside is None else latent.beside.to(samples)
        ready = Model(family, module, hints, embedded_scale(settings.guidance, model), latent.space.factor, beside)
        tokens = (height // 2) * (width // 2)  # patches of 2 x 2, by which some flow models shift their times
        timetable = schedules.build(settings.schedule, model, device, tokens)
        predict = guided(ready, positive, negative, settings.guidance, control, len(timetable.timesteps))
        x = _loop(run, settings, timetable, predict, latent, samples)
    return replace(latent, samples=x.float())


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
    run: Run, settings: Settings, timetable: schedules.Timetable, predict: Any, latent: Latent, samples: torch.Tensor
) -> torch.Tensor:
    """Draw the noise, begin or go on, and let everybody look on after each step."""
    total, scheduler = len(timetable.timesteps), timetable.scheduler
    if not total:
        return samples
    generators = run.generators(
        (settings.noise.seed + latent.seeds_from) % 2**64, samples.shape[0], settings.noise.single_stream
    )
    noise = _draw(settings.noise, samples, generators)
    # A canvas, or a masked picture redrawn from nothing, begins as noise alone, as diffusers' pipelines do.
    whole = settings.schedule.denoise >= 1 and not settings.noise.off
    masked = latent.noise_mask is not None or latent.beside is not None
    fresh = whole and (masked or not bool(samples.any()))
    state = run.resume()
    if state is None:
        x, first = (samples if settings.noise.off else noisy(timetable, samples, noise, fresh)), 0
    else:
        x, first = go_on(state, scheduler, generators, samples), state.index + 1
    arguments = schedules.step_arguments(settings.schedule, scheduler, generators)
    keep = keeper(timetable, latent, samples, noise)
    run.progress(first, total)
    for step in steps_of(timetable, predict, x, first, arguments, keep):
        x = step.x
        run.checkpoint(snapshot(step, scheduler, generators))
        run.preview(lambda clean=step.clean: picture(clean, latent.space), step.index + 1, total)  # type: ignore[misc]
        run.progress(step.index + 1, total)
    if not bool(x.isfinite().all()):
        raise _overflow(x, settings)
    return x


def _draw(noise: Noise, samples: torch.Tensor, generators: list[torch.Generator]) -> torch.Tensor:
    """Standard normal noise in the latents' shape; always drawn in float32, so it is the same in every dtype."""
    import torch
    from diffusers.utils.torch_utils import randn_tensor

    if noise.off:
        return torch.zeros_like(samples)
    drawn: torch.Tensor = randn_tensor(tuple(samples.shape), generator=generators, device=torch.device("cpu"))
    return drawn.to(samples)


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
    """A hint picture as the latents that a ControlNet of Stable Diffusion 3 reads; some were trained without shift."""
    shift = 0.0 if net.config.force_zeros_for_pooled_projection else vae.shift
    with run.lease(vae) as module:
        like = next(module.parameters())
        z = module.encode((2.0 * hint - 1.0).to(like)).latent_dist.mode()
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
