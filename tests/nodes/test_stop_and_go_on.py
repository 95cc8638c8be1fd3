"""Stopping half-way and going on: what is left in the latents, what can be shown, and what a hand-over keeps."""

import json
from dataclasses import replace

import pytest
import torch

from engine import workflow
from engine.disk import Disk
from engine.errors import WeftError
from engine.events import StepStarted
from engine.keys import checkpoint_ids
from engine.memory import Memory
from engine.numerics import Numerics
from engine.records import Records
from engine.session import Session
from engine.sockets import Ref
from nodes import denoise, load, schedule, text
from nodes.denoise.active import active
from nodes.denoise.lints import advice
from nodes.denoise.loop import estimate
from nodes.schedule import build, sigma_at
from nodes.schedule.table import METHODS, installed
from nodes.types import Conditioning, Denoiser, Latent, LatentSpace, Noise, Schedule, Weights

STEPS = 6
SAMPLERS = [name for name, method in METHODS.items() if all(map(installed, method.noise.needs))]
FLOWS = [name for name, method in METHODS.items() if method.flow]
# Nothing is remembered from step to step but the latents and the stream of noise.
WITHOUT_MEMORY = ["euler", "euler_ancestral", "heun", "dpm_2", "ddim", "ddpm", "lcm", "tcd"]


class Parts:
    def __init__(self, name: str) -> None:
        self.model, self.encoder, _ = load.model(name)
        self.red, self.empty = (text.encode(self.encoder, prompt) for prompt in ("a red cube", ""))

    def latent(self, filled: bool = False) -> Latent:
        shape = (1, self.model.space.channels, 16, 16)
        samples = torch.randn(shape, generator=torch.Generator().manual_seed(1)) if filled else torch.zeros(shape)
        return Latent(samples, self.model.space)

    def sample(self, latent: Latent | None = None, **inputs) -> denoise.Sampled:
        given = {"positive": self.red, "negative": self.empty, "seed": 3, "steps": STEPS, "cfg": 4.0, **inputs}
        return denoise.sample(self.model, latent=latent or self.latent(), **given)


@pytest.fixture
def sd1(home, tiny_sd1) -> Parts:
    return Parts("tiny-sd1")


@pytest.fixture
def sd3(home, tiny_sd3) -> Parts:
    return Parts("tiny-sd3")


def chain(**changed) -> list[str]:
    space = LatentSpace("sd1", 4, 8)
    model = Denoiser(Weights("w", "unet", ""), "sd1", space)
    given = {
        **{"model": model, "positive": outline("p"), "negative": outline("n"), "latent": Ref("canvas"), "seed": 1},
        **{"sampler": "euler", "scheduler": "normal", "steps": 20, "denoise": 1.0, "cfg": 7.0},
    }
    return checkpoint_ids("", active(**{**given, **changed}))


def outline(id: str):
    return Conditioning.outline(Ref(id, {"text_layout": "clip:32"}))


# --- the names of the steps ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", ["euler", "heun", "dpmpp_2m"])
def test_a_stopped_run_has_the_names_of_the_whole_runs_first_steps(sampler):
    whole = chain(sampler=sampler)
    for stop in (1, 6, 19):
        stopped = chain(sampler=sampler, stop_step=stop)
        assert len(stopped) == (2 * stop if sampler == "heun" else stop)
        assert stopped == whole[: len(stopped)]
    assert chain(sampler=sampler, stop_step=20) == chain(sampler=sampler, stop_step=10_000) == whole


def test_whether_the_noise_is_wanted_names_nothing():
    assert chain(stop_step=6, leftover_noise=False) == chain(stop_step=6) == chain()[:6]


def test_the_first_half_of_a_split_schedule_shares_its_steps_with_the_whole():
    made = schedule.make("euler", "normal", 20)
    halves = schedule.split(made, 8)
    assert chain(schedule=halves.high) == chain(schedule=made)[:8] == chain(stop_step=8)
    assert len(chain(schedule=halves.low)) == 12


def test_a_run_that_starts_elsewhere_shares_nothing():
    assert not set(chain(start_step=6)) & set(chain())
    assert not set(chain(add_noise=False)) & set(chain())


# --- stopping --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_stops_with_a_picture_to_show_and_its_noise_left(sd1, sampler):
    stopped, whole = sd1.sample(sampler=sampler, stop_step=3), sd1.sample(sampler=sampler)
    assert stopped.latent.leftover.sigma > 0.3
    assert stopped.denoised.leftover is whole.latent.leftover is whole.denoised.leftover is None
    assert stopped.denoised.samples.isfinite().all()
    assert not torch.equal(stopped.latent.samples, stopped.denoised.samples)
    # At the end next to no noise is left (lcm and ddpm end at the first timestep, whose sigma is 0.03).
    close = (whole.latent.samples - whole.denoised.samples).abs().mean() / whole.latent.samples.abs().mean()
    assert close < 0.1


@pytest.mark.parametrize("sampler", FLOWS)
def test_every_flow_sampler_stops_too(sd3, sampler):
    stopped, whole = sd3.sample(sampler=sampler, stop_step=3), sd3.sample(sampler=sampler)
    assert stopped.latent.leftover.form == "flow"
    assert 0.2 < stopped.latent.leftover.sigma < 1
    assert not torch.equal(stopped.latent.samples, stopped.denoised.samples)
    torch.testing.assert_close(whole.latent.samples, whole.denoised.samples, rtol=0.01, atol=0.01)


def test_the_estimate_is_diffusers_own_where_it_gives_one(sd1):
    for prediction in ("epsilon", "v_prediction", "sample"):
        model = replace(sd1.model, prediction=prediction)
        for sampler, spacing in (("euler", "normal"), ("euler", "karras"), ("ddim", "normal"), ("ddpm", "normal")):
            scheduler = build(Schedule(sampler, spacing, 8, start=4), model, "cpu")
            t, x = scheduler.timesteps[4], torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
            told = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
            scaled = scheduler.scheduler.scale_model_input(x, t)
            theirs = scheduler.scheduler.step(told, t, x, generator=torch.Generator()).pred_original_sample
            ours = estimate(prediction, scaled, told, sigma_at(scheduler.scheduler, float(t), prediction))
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def test_without_its_leftover_noise_the_latent_is_the_estimate(sd1):
    kept, gone = sd1.sample(stop_step=3), sd1.sample(stop_step=3, leftover_noise=False)
    assert torch.equal(gone.latent.samples, kept.denoised.samples)
    assert gone.latent.leftover is None


def test_a_stop_behind_the_last_step_is_the_end(sd1):
    assert torch.equal(sd1.sample(stop_step=99).latent.samples, sd1.sample().latent.samples)


# --- going on --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", WITHOUT_MEMORY)
@pytest.mark.parametrize("stop", [1, 4])
def test_a_hand_over_is_the_undivided_run_bit_for_bit(sd1, sampler, stop):
    half = sd1.sample(sampler=sampler, stop_step=stop)
    rest = sd1.sample(half.latent, sampler=sampler, start_step=stop, add_noise=False)
    assert torch.equal(rest.latent.samples, sd1.sample(sampler=sampler).latent.samples)


def test_a_hand_over_of_a_flow_is_the_undivided_run_bit_for_bit(sd3):
    half = sd3.sample(stop_step=4)
    rest = sd3.sample(half.latent, start_step=4, noise=Noise(3, off=True))
    assert torch.equal(rest.latent.samples, sd3.sample().latent.samples)


def test_the_halves_of_a_schedule_are_the_undivided_run(sd1):
    whole = schedule.make("ddim", "normal", STEPS)
    halves = schedule.split(whole, 2)
    half = sd1.sample(schedule=halves.high)
    rest = sd1.sample(half.latent, schedule=halves.low, add_noise=False)
    assert torch.equal(rest.latent.samples, sd1.sample(schedule=whole).latent.samples)


def test_samplers_of_both_forms_hand_over_to_each_other(sd1):
    """DDIM and Euler are the same first-order solver in two forms: mixed they stay near either."""
    spacing = {"scheduler": "ddim_uniform", "cfg": 1.0, "steps": 12}
    alone = sd1.sample(sampler="euler", **spacing).latent.samples
    for first, second in (("euler", "ddim"), ("ddim", "euler")):
        half = sd1.sample(sampler=first, stop_step=5, **spacing)
        rest = sd1.sample(half.latent, sampler=second, start_step=5, add_noise=False, **spacing)
        off = (rest.latent.samples - alone).abs().mean() / alone.abs().mean()
        assert off < 0.05, (first, second)
        unconverted = replace(half.latent, leftover=None)
        wrong = sd1.sample(unconverted, sampler=second, start_step=5, add_noise=False, **spacing)
        assert (wrong.latent.samples - alone).abs().mean() > 3 * (rest.latent.samples - alone).abs().mean()


def test_a_masked_picture_is_handed_over_with_what_the_mask_protects(sd1):
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., :8] = 1
    latent = replace(sd1.latent(filled=True), noise_mask=mask)
    half = sd1.sample(latent, stop_step=3)
    inside = mask.bool().expand_as(latent.samples)
    assert torch.equal(half.denoised.samples[~inside], latent.samples[~inside])
    rest = sd1.sample(half.latent, start_step=3, add_noise=False)
    assert torch.equal(rest.latent.samples, sd1.sample(latent).latent.samples)


def test_a_start_with_noise_redraws_a_picture_from_that_step_on(sd1):
    latent = sd1.latent(filled=True)
    late, early = (
        (sd1.sample(latent, start_step=start, cfg=1.0).latent.samples - latent.samples).abs().mean() for start in (5, 2)
    )
    assert 0 < late < early
    assert torch.equal(
        sd1.sample(latent, start_step=3).latent.samples,
        sd1.sample(latent, schedule=Schedule("euler", "normal", STEPS, 0.5, "scaled")).latent.samples,
    )


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            {"start_step": 4, "stop_step": 4},
            "the start at step 4 is not before the stop at step 4",
        ),
        ({"start_step": 6}, "not before the last of 6 steps"),
        ({"start_step": 2, "sampler": "pndm"}, "pndm takes its first step twice to warm up"),
    ],
)
def test_a_range_without_a_step_is_refused_on_its_socket(sd1, inputs, message):
    with pytest.raises(WeftError, match=message) as caught:
        sd1.sample(**inputs)
    assert caught.value.problem.where.socket == ("sampler" if "sampler" in inputs else "start_step")
    assert caught.value.problem.mend


@pytest.mark.parametrize("at", [0, 20, 25])
def test_a_cut_outside_the_schedule_is_refused(at):
    with pytest.raises(WeftError, match="nothing to cut") as caught:
        schedule.split(schedule.make("euler", "normal", 20), at)
    assert caught.value.problem.where.socket == "step"


def test_a_second_cut_lies_within_the_first():
    low = schedule.split(schedule.make("euler", "normal", 20), 8).low
    assert schedule.split(low, 12).high == replace(low, stop=12)
    with pytest.raises(WeftError, match="between 9 and 19"):
        schedule.split(low, 8)


def test_noise_on_top_of_noise_is_pointed_out_with_the_mend():
    given = {"sampler": "euler", "scheduler": "normal", "steps": 20, "denoise": 1.0, "cfg": 7.0, "seed": 0}
    half = Ref("half", {"leftover": True})
    (lint,) = advice(latent=half, start_step=6, **given)
    assert lint.code == "lint.noise_twice"
    assert lint.mend.edits == ({"set": "add_noise", "value": False},)
    assert not list(advice(latent=half, start_step=6, add_noise=False, **given))


# --- in the engine ---------------------------------------------------------------------------------------------------


def flow(tmp: str = "tiny-sd1", **change):
    nodes = {
        "load": ("load.model", {"model": tmp}),
        "red": ("text.encode", {"encoder": {"from": "load.text_encoder"}, "text": "a red cube"}),
        "canvas": ("latent.empty", {"model": {"from": "load.model"}, "width": 64, "height": 64}),
        "sample": (
            "denoise.sample",
            {
                **{"model": {"from": "load.model"}, "latent": {"from": "canvas.latent"}, "steps": 10, "seed": 1},
                **{"positive": {"from": "red.conditioning"}, "cfg": 1.0, "sampler": "dpmpp_2m_sde", **change},
            },
        ),
    }
    record = {
        "weft": 1,
        "nodes": {name: {"type": kind, "version": 1, "inputs": inputs} for name, (kind, inputs) in nodes.items()},
        "outputs": {"latent": "sample.latent", "denoised": "sample.denoised"},
    }
    return workflow.parse(json.dumps(record))


@pytest.fixture
def make(home, tiny_sd1):
    made = []

    def session() -> Session:
        numerics = Numerics(device="cpu", threads=1)
        made.append(Session(places=home, memory=Memory(), records=Records(), numerics=numerics, paranoid=True))
        return made[-1]

    yield session
    for one in made:
        one.close()


def run(session: Session, **change):
    """(latent, denoised, the evaluations that were known already, those that were run)."""
    diary = []
    result = session.run(flow(**change), on_event=diary.append)
    (begun,) = [event for event in diary if isinstance(event, StepStarted) and event.path == "sample"]
    return result["latent"].samples, result["denoised"].samples, begun.resumed, begun.steps


def test_finishing_costs_the_steps_that_are_left_and_gives_the_bits_of_a_run_that_never_stopped(make):
    session = make()
    *_, known, steps = run(session, stop_step=4)
    assert (known, steps) == (0, 4)
    latent, denoised, known, steps = run(session)
    assert (known, steps) == (4, 10)
    whole, clean, known, _ = run(make())
    assert known == 0
    assert torch.equal(latent, whole)
    assert torch.equal(denoised, clean)


def test_a_later_stop_goes_on_from_the_earlier_one_and_an_earlier_one_is_known_already(make):
    session = make()
    run(session, stop_step=3)
    assert run(session, stop_step=7)[2:] == (3, 7)
    latent, denoised, known, steps = run(session, stop_step=5)
    assert (known, steps) == (5, 5)
    straight = run(make(), stop_step=5)
    assert torch.equal(latent, straight[0])
    assert torch.equal(denoised, straight[1])


def test_latents_with_their_leftover_noise_survive_the_disk(tmp_path, sd1):
    mask = torch.ones(1, 1, 16, 16)
    half = sd1.sample(replace(sd1.latent(filled=True), noise_mask=mask), stop_step=3).latent
    disk = Disk(tmp_path, {"nodes", "engine"})
    disk.put("a" * 32 + ".latent", half, 10.0)
    disk.close()
    again = Disk(tmp_path, {"nodes", "engine"}).get("a" * 32 + ".latent")
    assert (again.leftover.sigma, again.leftover.form) == (half.leftover.sigma, half.leftover.form)
    assert torch.equal(again.leftover.noise, half.leftover.noise)
