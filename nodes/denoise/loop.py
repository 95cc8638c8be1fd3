"""Loop: from noise to picture as a generator of steps; progress, previews, cancel and checkpoints only look on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.run import State
from nodes.denoise.predict import Predict
from nodes.schedule import Timetable, capture, restore
from nodes.types import Latent

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Step:
    """After evaluation `index`: the latents x [batch, channel, h, w], and an estimate of where they are going."""

    index: int
    x: torch.Tensor
    clean: torch.Tensor


def denoise(
    timetable: Timetable,
    predict: Predict,
    x: torch.Tensor,
    first: int,
    arguments: dict[str, Any],
    keep: Callable[[torch.Tensor, int], torch.Tensor],
) -> Iterator[Step]:
    """Step by step through the timetable, beginning with evaluation `first`; `keep` has the last word on each x."""
    scheduler = timetable.scheduler
    for index, t in enumerate(timetable.timesteps):
        if index < first:
            continue
        scaled = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        out = scheduler.step(predict(scaled, t, index), t, x, **arguments)
        x = keep(out.prev_sample.to(x.dtype), index)
        clean = getattr(out, "pred_original_sample", None)
        yield Step(index, x, x if clean is None else clean)


def noisy(timetable: Timetable, samples: torch.Tensor, noise: torch.Tensor, fresh: bool) -> torch.Tensor:
    """What the loop begins with: noise alone (`fresh`), or the latents with noise up to the first timestep."""
    scheduler = timetable.scheduler
    if fresh:
        return noise * getattr(scheduler, "init_noise_sigma", 1.0)
    return add_noise(scheduler, samples, noise, timetable.timesteps[:1].repeat(samples.shape[0]))


def add_noise(scheduler: Any, samples: torch.Tensor, noise: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Latents at the noise level of t; flow schedulers of diffusers have another name for it."""
    out: torch.Tensor
    if hasattr(scheduler, "scale_noise"):
        out = scheduler.scale_noise(samples, t, noise)
    else:
        out = scheduler.add_noise(samples, noise, t)
    return out.to(samples.dtype)


def keeper(
    timetable: Timetable, latent: Latent, samples: torch.Tensor, noise: torch.Tensor
) -> Callable[[torch.Tensor, int], torch.Tensor]:
    """Outside the noise mask the original stays: noised as far as the next step wants it, at the end as it is.

    As diffusers' inpainting with a plain UNet (after Lugmayr et al. 2022, eq. 8).
    """
    if latent.noise_mask is None:
        return lambda x, index: x
    mask = latent.noise_mask.to(samples)  # (batch or 1, 1, h, w), 1 = denoise here

    def keep(x: torch.Tensor, index: int) -> torch.Tensor:
        known, following = samples, timetable.timesteps[index + 1 : index + 2]
        if len(following):
            known = add_noise(timetable.scheduler, samples, noise, following)
        return (1 - mask) * known + mask * x

    return keep


# --- stopping and going on -------------------------------------------------------------------------------------------


def snapshot(step: Step, scheduler: Any, generators: Sequence[torch.Generator]) -> State:
    """All that the next step depends on: latents, the scheduler's own memory, the generators."""
    tensors, data = capture(scheduler)
    rng = tuple(generator.get_state().numpy().tobytes() for generator in generators)
    return State(step.index, {"latent": step.x, **tensors}, {"scheduler": data}, rng)


def go_on(state: State, scheduler: Any, generators: Sequence[torch.Generator], like: torch.Tensor) -> torch.Tensor:
    """Put scheduler and generators back to where the state was taken; returns its latents."""
    import torch

    restore(scheduler, state.tensors, state.data["scheduler"])
    for generator, saved in zip(generators, state.rng, strict=True):
        generator.set_state(torch.frombuffer(bytearray(saved), dtype=torch.uint8))
    return state.tensors["latent"].to(like)
