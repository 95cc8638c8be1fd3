"""Loop: from noise to picture as a generator of steps; progress, previews, cancel and checkpoints only look on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from engine.run import State
from nodes.denoise.predict import Predict
from nodes.schedule import Seen, Timetable, capture, form, restore, sigma_at
from nodes.types import Latent

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Step:
    """After evaluation `index`: the latents x [batch, channel, h, w], and the model's estimate of x0, noise gone."""

    index: int
    x: torch.Tensor
    clean: torch.Tensor


Keep = Callable[["torch.Tensor", int | None], "torch.Tensor"]


def denoise(
    timetable: Timetable,
    prediction: str,
    predict: Predict,
    x: torch.Tensor,
    run: range,
    arguments: dict[str, Any],
    keep: Keep,
) -> Iterator[Step]:
    """Step by step through the evaluations `run` of the timetable; `keep` has the last word on each x."""
    scheduler, times = timetable.scheduler, timetable.timesteps.tolist()
    for index in run:
        t = timetable.timesteps[index]
        scaled = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        told = predict(scaled, t, index)
        out = scheduler.step(told, t, x, **arguments)
        clean = getattr(out, "pred_original_sample", None)
        if clean is None:
            clean = estimate(prediction, scaled, told, sigma_at(scheduler, times[index], prediction))
        x = keep(out.prev_sample.to(x.dtype), index)
        yield Step(index, x, keep(clean.to(x.dtype), None))


def estimate(prediction: str, x: torch.Tensor, told: torch.Tensor, sigma: float) -> torch.Tensor:
    """x0 as the model sees it, from what it predicts for its input x at the noise level sigma.

    x is sqrt(a) x0 + sqrt(1 - a) noise with a = 1 / (1 + sigma^2), whatever form the sampler keeps its latents in
    (Ho et al. 2020, eq. 15; Salimans & Ho 2022, 2202.00512, appendix D); for a flow (1 - sigma) x0 + sigma noise.
    """
    if prediction == "flow":
        return x - sigma * told
    if prediction == "sample":
        return told
    a = 1.0 / (1.0 + sigma**2)
    if prediction == "v_prediction":
        return float(a**0.5) * x - float((1.0 - a) ** 0.5) * told
    return (x - float((1.0 - a) ** 0.5) * told) / float(a**0.5)


def noisy(timetable: Timetable, samples: torch.Tensor, noise: torch.Tensor, fresh: bool) -> torch.Tensor:
    """What the loop begins with: noise alone (`fresh`), or the latents with noise up to the first timestep."""
    scheduler, first = timetable.scheduler, timetable.run.start
    if fresh:
        return noise * getattr(scheduler, "init_noise_sigma", 1.0)
    return add_noise(scheduler, samples, noise, timetable.timesteps[first : first + 1].repeat(samples.shape[0]))


def as_left(latent: Latent, samples: torch.Tensor, scheduler: Any) -> torch.Tensor:
    """Latents that carry noise, in the form in which this scheduler keeps them."""
    left = latent.leftover
    if left is None or left.form == form(scheduler):
        return samples
    root = float((1.0 + left.sigma**2) ** 0.5)
    return samples / root if left.form == "ve" else samples * root


def add_noise(scheduler: Any, samples: torch.Tensor, noise: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Latents at the noise level of t; flow schedulers of diffusers have another name for it."""
    out: torch.Tensor
    if hasattr(scheduler, "scale_noise"):
        out = scheduler.scale_noise(samples, t, noise)
    else:
        out = scheduler.add_noise(samples, noise, t)
    return out.to(samples.dtype)


def keeper(
    timetable: Timetable, latent: Latent, samples: torch.Tensor, noise: torch.Tensor, gradual: bool = False
) -> Keep:
    """Outside the noise mask the original stays: noised as far as the next step wants it, at the end as it is.

    As diffusers' inpainting with a plain UNet (after Lugmayr et al. 2022, eq. 8). Without an index the original stays
    as it is: for estimates of the picture without noise. With `gradual` a cell of the mask's value v is let go when
    1 - v of the way is done (Levin & Fried 2023, eq. 4), and one of 0 never.
    """
    if latent.noise_mask is None:
        return lambda x, index: x
    mask = latent.noise_mask.to(samples)  # (batch or 1, 1, h, w), 1 = denoise here
    total = len(timetable.timesteps)

    def keep(x: torch.Tensor, index: int | None) -> torch.Tensor:
        known = samples
        if index is not None and index + 1 < total:
            known = add_noise(timetable.scheduler, samples, noise, timetable.timesteps[index + 1 : index + 2])
        free = mask
        if gradual:
            done = 1.0 if index is None else (index + 1) / total
            free = ((mask > 0) & (mask >= 1.0 - done)).to(mask)
        return (1 - free) * known + free * x

    return keep


GUIDANCE = "guidance."  # before the names of what guidance remembers, in a state


def _named(memory: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{GUIDANCE}{name}": tensor for name, tensor in memory.items()}


# --- stopping and going on -------------------------------------------------------------------------------------------


def snapshot(
    step: Step,
    start: int,
    scheduler: Any,
    generators: Sequence[torch.Generator],
    memory: Mapping[str, torch.Tensor] = MappingProxyType({}),
    seen: Seen | None = None,
) -> State:
    """All that the next step depends on: latents, the scheduler's own memory, the generators; and what a stop shows.

    `start` is the evaluation that the run began with; states are counted from there. `seen` is what `capture` keeps.
    """
    tensors, data = capture(scheduler, seen)
    rng = tuple(generator.get_state().numpy().tobytes() for generator in generators)
    return State(
        step.index - start,
        {"latent": step.x, "denoised": step.clean, **_named(memory), **tensors},
        {"scheduler": data},
        rng,
    )


def go_on(
    state: State,
    scheduler: Any,
    generators: Sequence[torch.Generator],
    like: torch.Tensor,
    memory: dict[str, torch.Tensor] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Put scheduler and generators back to where the state was taken; returns its latents and its estimate of x0."""
    import torch

    restore(scheduler, state.tensors, state.data["scheduler"])
    for generator, saved in zip(generators, state.rng, strict=True):
        generator.set_state(torch.frombuffer(bytearray(saved), dtype=torch.uint8))
    if memory is not None:
        told = {name: state.tensors[name] for name in state.tensors if name.startswith(GUIDANCE)}
        memory.update({name.removeprefix(GUIDANCE): tensor.to(like) for name, tensor in told.items()})
    return state.tensors["latent"].to(like), state.tensors["denoised"].to(like)
