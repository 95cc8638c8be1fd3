"""From a schedule and a model to a diffusers scheduler with its timesteps set.

`check` says, without torch, what cannot work; `build` makes what does. The scheduler that `build` gives is the one that
`Scheduler.from_config(pipe.scheduler.config, **flags)` gives, bit for bit.
"""

from __future__ import annotations

import bisect
import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.errors import refuse
from engine.sockets import Ref, facts_of
from nodes.schedule.table import METHODS, Cell, cell
from nodes.types import Denoiser, Schedule

if TYPE_CHECKING:
    import torch

BY_SIZE = {"base_image_seq_len": 256, "max_image_seq_len": 4096, "base_shift": 0.5, "max_shift": 1.15}  # diffusers'
# Samplers that take noise levels by hand: those whose classes go by their sigmas alone.
SIGMAS = {
    "noise": ("euler", "euler_ancestral", "lms", "dpmpp_2m", "dpmpp_2m_sde", "dpmpp_3m_sde", "uni_pc"),
    "flow": ("euler", "dpmpp_2m", "dpmpp_2m_sde", "uni_pc"),
}
BETA_PREDICTIONS = ("epsilon", "v_prediction", "sample")


@dataclass(frozen=True, eq=False)
class Timetable:
    """A scheduler ready for its first step, and the timesteps to run.

    `timesteps` is a 1-D tensor, one entry per evaluation of the model (two a step for heun, dpm_2 and dpmpp_sde, one
    more than steps for pndm); it starts at entry `begin` of `scheduler.timesteps` and is empty when `denoise` is 0.
    `run` says which of them are evaluated: all, unless the schedule starts or stops half-way.
    """

    scheduler: Any
    timesteps: torch.Tensor
    begin: int
    run: range


def check(schedule: Schedule, model: Denoiser | Ref) -> None:
    """Raise a `WeftError` when this schedule cannot run this model; torch-free, on what is known of the model."""
    prediction = facts_of(model).get("prediction")
    training = {} if isinstance(model, Ref) else dict(model.training)
    if prediction is None:
        return
    flow = prediction == "flow"
    _check_training(prediction, training)
    cell(schedule.sampler, schedule.spacing, flow)
    method = METHODS[schedule.sampler]
    if not flow and prediction not in method.predicts:
        raise refuse(
            f"{schedule.sampler} cannot run a model that predicts {prediction}",
            socket="sampler",
            mend="choose euler, which can",
        )
    if training.get("rescale_betas_zero_snr") and not method.zero_snr:
        raise refuse(
            f"the model was trained to zero terminal SNR, from which {schedule.sampler} cannot start in diffusers",
            socket="sampler",
            mend="choose euler, ddim or dpmpp_2m",
        )
    if schedule.eta is not None and method.eta is None:
        able = " or ".join(name for name, other in METHODS.items() if other.eta is not None)
        raise refuse(f"eta has no meaning for {schedule.sampler}", socket="eta", mend=f"leave it out, or choose {able}")
    if not flow and dict(schedule.options).get("shift") is not None:
        raise refuse(
            f"shift moves the times of a flow model, and this one predicts {prediction}",
            socket="shift",
            mend="leave shift empty",
        )
    check_part(schedule, flow)
    _check_sigmas(schedule, flow)
    total = total_steps(schedule)
    most = min(method.most_steps if not flow else 10_000, int(training.get("num_train_timesteps", 1000)))
    if total > most:
        part = (
            f"{schedule.steps} steps over the last {schedule.denoise:g} are {total} in all"
            if total != schedule.steps
            else f"{total} steps"
        )
        raise refuse(
            f"{part}, and {schedule.sampler} has at most {most} for this model",
            socket="steps",
            mend="use fewer steps" + (", a larger denoise, or the policy 'scaled'" if total != schedule.steps else ""),
        )


def _check_sigmas(schedule: Schedule, flow: bool) -> None:
    able = SIGMAS["flow" if flow else "noise"]
    if schedule.sigmas and schedule.sampler not in able:
        raise refuse(
            f"{schedule.sampler} goes by timesteps and takes no noise levels by hand",
            socket="sampler",
            mend=f"choose one of {', '.join(able)}",
        )
    if schedule.sigmas and flow and schedule.sigmas[0] > 1:
        raise refuse(
            f"a flow model's noise goes from 1 to 0, the first level is {schedule.sigmas[0]:g}",
            socket="schedule",
            mend="write levels such as 1, 0.9, 0.75, 0.5, 0",
        )


def _check_training(prediction: str, training: Mapping[str, Any]) -> None:
    """The schedule a model was trained on and what it predicts must tell the same story."""
    told = training.get("prediction_type")
    betas = any(name in training for name in ("beta_start", "beta_schedule", "trained_betas"))
    if prediction == "flow" and (told in BETA_PREDICTIONS or (betas and told not in ("flow", "flow_prediction"))):
        raise refuse(
            f"the model is said to predict a flow, but its schedule has betas and predicts {told or 'epsilon'}",
            socket="model",
            mend="load it with the scheduler_config.json that it was published with",
        )
    if prediction != "flow" and ("shift" in training or told in ("flow", "flow_prediction")) and not betas:
        raise refuse(
            f"the model is said to predict {prediction}, but its schedule is that of a flow model",
            socket="model",
            mend="load it with the scheduler_config.json that it was published with",
        )
    if prediction == "epsilon" and training.get("rescale_betas_zero_snr"):
        raise refuse(
            "the model predicts epsilon, which says nothing about the picture at zero terminal SNR",
            socket="model",
            mend="models trained to zero terminal SNR predict v: check the scheduler_config.json",
        )


def total_steps(schedule: Schedule) -> int:
    """How many steps the whole way has, of which the last part is run."""
    if schedule.policy == "all" and 0 < schedule.denoise < 1:
        return int(schedule.steps / schedule.denoise)
    return schedule.steps


def first_step(schedule: Schedule, flow: bool) -> int:
    """The first of `total_steps` that is run; the rest is skipped because `denoise` < 1.

    `scaled` is diffusers' `get_timesteps`, which rounds one way for Stable Diffusion 1 and the other for SD 3.
    """
    steps, denoise = schedule.steps, schedule.denoise
    if denoise >= 1:
        return 0
    if denoise <= 0:
        return total_steps(schedule)
    if schedule.policy == "all":
        return total_steps(schedule) - steps
    if flow:
        return int(max(steps - min(steps * denoise, steps), 0))
    return max(steps - min(int(steps * denoise), steps), 0)


def evaluations(schedule: Schedule, flow: bool) -> int:
    """How often the whole way asks the model (guidance not counted): the length of `Timetable.timesteps`."""
    return _evaluation(schedule, total_steps(schedule) - first_step(schedule, flow), flow)


def part(schedule: Schedule, flow: bool) -> range:
    """Which evaluations of the whole way are run: those of the steps `start`..`stop`. All, unless it is cut."""
    steps = total_steps(schedule) - first_step(schedule, flow)
    stop = steps if schedule.stop is None else min(schedule.stop, steps)
    return range(_evaluation(schedule, schedule.start, flow), _evaluation(schedule, stop, flow))


def _evaluation(schedule: Schedule, step: int, flow: bool) -> int:
    """How many evaluations the first `step` steps take."""
    method, steps = METHODS[schedule.sampler], total_steps(schedule) - first_step(schedule, flow)
    if step <= 0:
        return 0
    if method.twice:
        return 2 * step - 1 if step >= steps else 2 * step
    return step + method.once_more


def check_part(schedule: Schedule, flow: bool) -> None:
    """Refuse a start that lies behind the stop or the end, and one in the middle of a sampler that must warm up."""
    steps = total_steps(schedule) - first_step(schedule, flow)
    if not steps or not (schedule.start or schedule.stop):
        return
    end = steps if schedule.stop is None else min(schedule.stop, steps)
    if schedule.start >= end:
        told = f"the stop at step {schedule.stop}" if end == schedule.stop else f"the last of {steps} steps"
        raise refuse(
            f"no step would be run: the start at step {schedule.start} is not before {told}",
            socket="start_step",
            mend=f"start at {end - 1} or before; steps are counted from 0",
        )
    if schedule.start and METHODS[schedule.sampler].once_more:
        raise refuse(
            f"{schedule.sampler} takes its first step twice to warm up and cannot start in the middle",
            socket="sampler",
            mend="choose another sampler to go on with, such as euler, ddim or dpmpp_2m",
        )


def build(schedule: Schedule, model: Denoiser, device: Any, tokens: int | None = None) -> Timetable:
    """The scheduler for this model, its timesteps on `device`, and which of them are run.

    `tokens` is the length of the image sequence (latent cells / patch²), by which some flow models shift their times.
    """
    check(schedule, model)
    flow = model.prediction == "flow"
    found = cell(schedule.sampler, schedule.spacing, flow)
    scheduler = _scheduler(found, schedule, model)
    mu = _mu(dict(model.training), tokens)
    _set_timesteps(scheduler, found, total_steps(schedule), device, mu)
    known = getattr(scheduler, "alphas_cumprod", None)
    if not flow and known is not None and float(scheduler.timesteps.max()) > len(known) - 1:
        # As many steps as timesteps, counted from 1 (`steps_offset`): diffusers would look up one behind the last.
        raise refuse(
            f"{total_steps(schedule)} steps with spacing '{schedule.spacing}' begin behind the model's last timestep",
            socket="steps",
            mend="use fewer steps, or the spacing 'sgm_uniform'",
        )
    if schedule.sigmas:
        _set_sigmas(scheduler, schedule.sigmas, model.prediction, device)
    begin = first_step(schedule, flow) * scheduler.order if evaluations(schedule, flow) else len(scheduler.timesteps)
    timetable = Timetable(scheduler, scheduler.timesteps[begin:], begin, part(schedule, flow))
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(begin + timetable.run.start)
    return timetable


def _scheduler(found: Cell, schedule: Schedule, model: Denoiser) -> Any:
    import diffusers

    cls = getattr(diffusers, found.cls)
    accepted = inspect.signature(cls.__init__).parameters
    config = {name: _thaw(value) for name, value in model.training if name in accepted}
    flags = dict(found.flags)
    if model.prediction == "flow":
        shift = dict(schedule.options).get("shift") or dict(model.training).get("shift", 1.0)
        flags["flow_shift" if "flow_shift" in accepted else "shift"] = shift
        if dict(schedule.options).get("shift"):  # a shift that is said takes the place of one by the picture's size
            config.pop("use_dynamic_shifting", None)
    elif "prediction_type" in accepted:
        flags["prediction_type"] = model.prediction
    # As `from_config`, which would ask the signatures of all its relatives first: 1 ms a picture.
    return cls(**{**config, **flags})


def _set_timesteps(scheduler: Any, found: Cell, steps: int, device: Any, mu: float) -> None:
    extra: dict[str, Any] = {}
    if getattr(scheduler.config, "use_dynamic_shifting", False):
        extra["mu"] = mu
    if found.even:
        import numpy

        extra["sigmas"] = numpy.linspace(1.0, 1 / steps, steps)
    scheduler.set_timesteps(steps, device=device, **extra)


def _set_sigmas(scheduler: Any, sigmas: Sequence[float], prediction: str, device: Any) -> None:
    """Put noise levels in the place of the scheduler's own, with the timesteps at which the model knows them."""
    import torch

    times = torch.tensor([time_at(scheduler, sigma, prediction) for sigma in sigmas[:-1]], dtype=torch.float32)
    whole = not scheduler.timesteps.is_floating_point()
    scheduler.timesteps = (times.round() if whole else times).to(device, scheduler.timesteps.dtype)
    scheduler.sigmas = torch.tensor(sigmas, dtype=torch.float32).to(scheduler.sigmas.device)


def _mu(training: Mapping[str, Any], tokens: int | None) -> float:
    """The shift of a flow model by its image's size: linear in the number of tokens (SD 3 and Flux pipelines).

    Read from the training, because not every solver's own configuration has a place for these numbers.
    """
    numbers = {**BY_SIZE, **training}
    low, high = numbers["base_image_seq_len"], numbers["max_image_seq_len"]
    slope = (numbers["max_shift"] - numbers["base_shift"]) / (high - low)
    return float((low if tokens is None else tokens) * slope + numbers["base_shift"] - slope * low)


# Schedulers that keep their latents as x0 + sigma * noise; the others of diffusion keep the variance.
_VE = frozenset(
    {
        *("EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler", "LMSDiscreteScheduler"),
        *("KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler", "DPMSolverSDEScheduler"),
    }
)


def form(scheduler: Any) -> str:
    """In which of the forms of `Leftover` a scheduler keeps its latents on the way."""
    if getattr(scheduler, "alphas_cumprod", None) is None or getattr(scheduler.config, "use_flow_sigmas", False):
        return "flow"
    return "ve" if type(scheduler).__name__ in _VE else "vp"


def sigma_at(scheduler: Any, t: float, prediction: str) -> float:
    """The noise level at timestep t: noise over signal for diffusion, the share of noise (0..1) for a flow.

    Between two timesteps of the training log sigma is linear, as where schedulers turn sigmas into timesteps.
    """
    if prediction == "flow":
        return float(t) / float(getattr(scheduler.config, "num_train_timesteps", 1000))
    table = scheduler.alphas_cumprod
    last = len(table) - 1
    low = min(max(int(t), 0), last)
    levels = [float(table[index]) for index in (low, min(low + 1, last))]
    logs = [0.5 * math.log((1.0 - level) / max(level, 2.0**-24)) for level in levels]
    return math.exp(logs[0] + (logs[1] - logs[0]) * min(max(float(t) - low, 0.0), 1.0))


def time_at(scheduler: Any, sigma: float, prediction: str) -> float:
    """The timestep of a noise level: what undoes `sigma_at`, within the timesteps of the training."""
    if prediction == "flow":
        return sigma * float(getattr(scheduler.config, "num_train_timesteps", 1000))
    logs = [0.5 * math.log((1.0 - float(level)) / max(float(level), 2.0**-24)) for level in scheduler.alphas_cumprod]
    wanted = math.log(max(sigma, 1e-10))
    high = bisect.bisect_left(logs, wanted)
    if high == 0 or high == len(logs):
        return float(min(high, len(logs) - 1))
    return high - 1 + (wanted - logs[high - 1]) / (logs[high] - logs[high - 1])


def step_arguments(schedule: Schedule, scheduler: Any, generators: Sequence[Any]) -> dict[str, Any]:
    """What `scheduler.step` takes beside prediction, timestep, sample: `generator` and `eta`, where it knows them.

    `dpmpp_sde` draws from Brownian paths of its own; they are seeded here, item by item, from the generators' seeds.
    """
    accepted = inspect.signature(scheduler.step).parameters
    found: dict[str, Any] = {}
    if hasattr(scheduler, "noise_sampler_seed"):
        seeds = [generator.initial_seed() for generator in generators]
        scheduler.noise_sampler_seed = seeds if len(seeds) > 1 else seeds[0]  # the same paths, for a batch of one
    if "generator" in accepted:
        found["generator"] = list(generators) if len(generators) > 1 else generators[0]
    eta = METHODS[schedule.sampler].eta if schedule.eta is None else schedule.eta
    if "eta" in accepted and eta is not None:
        found["eta"] = eta
    return found


def _thaw(value: Any) -> Any:
    return [_thaw(item) for item in value] if isinstance(value, tuple) else value
