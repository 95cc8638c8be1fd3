"""Schedules: the table, what it refuses, and that diffusers' schedulers run and resume as they should."""

import importlib.util
import inspect
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import pytest
import safetensors.torch
import torch

from engine.errors import WeftError
from engine.node import spec_of
from engine.sockets import Ref
from nodes import schedule as schedules
from nodes.schedule import METHODS, SAMPLERS, SPACINGS, build, capture, cell, check, pairs, reason, restore
from nodes.schedule.table import document, installed
from nodes.types import Denoiser, LatentSpace, Schedule, Weights, plain

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers")

SD1 = {  # scheduler_config.json of Stable Diffusion 1.5
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
}
SD3 = {"num_train_timesteps": 1000, "shift": 3.0}
SPACE = LatentSpace("sd1", 4, 8)
ROOT = Path(__file__).resolve().parents[2]


def model(prediction="epsilon", **training):
    numbers = {**(SD3 if prediction == "flow" else SD1), **training}
    return Denoiser(Weights("w", "unet", ""), "sd1", SPACE, prediction, training=plain(numbers))


EPSILON, FLOW = model(), model("flow")
SHIFTED = Denoiser(Weights("w", "unet", ""), "sd1", SPACE, "epsilon", training=plain(SD3))
PICTURE = torch.linspace(-1, 1, 64).reshape(1, 1, 8, 8)
SIGMAS = ((1 - (a := torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2, 0))) / a) ** 0.5
PAIRS = [(EPSILON, *pair) for pair in pairs()] + [(FLOW, *pair) for pair in pairs(flow=True)]
IDS = [f"{m.prediction}-{s}-{p}" for m, s, p in PAIRS]


class Walk:
    """One sampling with the ideal model of a world that has one picture: predict exactly what leads there."""

    def __init__(self, schedule, of, seeds=(3,)):
        self.of, self.table = of, build(schedule, of, "cpu")
        self.scheduler = self.table.scheduler
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.extra = schedules.step_arguments(schedule, self.scheduler, self.generators)
        x = torch.cat([torch.randn(1, 1, 8, 8, generator=g) for g in self.generators])
        self.x = x if of.prediction == "flow" else x * self.scheduler.init_noise_sigma

    def predict(self, t):
        if self.of.prediction == "flow":
            index = self.table.begin if self.scheduler.step_index is None else self.scheduler.step_index
            return (self.x - PICTURE) / self.scheduler.sigmas[index]
        seen, low = self.scheduler.scale_model_input(self.x, t), int(t)
        sigma = torch.lerp(SIGMAS[low], SIGMAS[min(low + 1, 999)], float(t) - low)
        alpha = 1 / (1 + sigma**2)
        return (seen - alpha**0.5 * PICTURE) / (1 - alpha) ** 0.5

    def run(self, timesteps):
        for t in timesteps:
            self.x = self.scheduler.step(self.predict(t), t, self.x, return_dict=False, **self.extra)[0]
        return self.x


# --- the table -----------------------------------------------------------------------------------------------------


def test_the_widgets_offer_exactly_the_table():
    assert get_args(schedules.Sampler) == tuple(METHODS) == SAMPLERS
    inputs = spec_of(schedules.make).by_name
    assert inputs["sampler"].type.choices == SAMPLERS
    assert inputs["scheduler"].type.choices == SPACINGS


def test_the_names_of_the_field_are_all_there():
    core = {"euler", "euler_ancestral", "dpmpp_2m", "lcm", "ddim"}
    assert core < set(METHODS)
    assert {s for s, p in pairs() if p == "normal"} >= core
    assert {p for s, p in pairs() if s == "euler"} >= set(SPACINGS) - {"beta"}


@pytest.mark.parametrize(("of", "sampler", "spacing"), PAIRS, ids=IDS)
def test_every_pair_offered_leads_from_noise_to_the_picture(of, sampler, spacing):
    found = Walk(Schedule(sampler, spacing, 12), of)
    found.run(found.table.timesteps)
    # What is left: these stop at the first training timestep, whose sigma is 0.03, and lms integrates in quadrature.
    left = 0.12 if sampler in ("ddim", "pndm", "deis", "tcd") else 0.01 if sampler == "lms" else 1e-4
    assert (found.x - PICTURE).abs().max() < left


@pytest.mark.parametrize("start", ["PNDMScheduler", "DDIMScheduler", "EulerDiscreteScheduler"])
def test_each_pair_is_what_from_config_on_the_pipelines_scheduler_gives(start):
    import diffusers

    config = getattr(diffusers, start).from_config(SD1).config
    for sampler, spacing in pairs():
        there = cell(sampler, spacing)
        reference = getattr(diffusers, there.cls).from_config(config, **there.flags)
        reference.set_timesteps(9)
        ours = build(Schedule(sampler, spacing, 9), EPSILON, "cpu").scheduler
        assert all(ours.config[name] == reference.config[name] for name in inspect.signature(type(ours)).parameters)
        assert torch.equal(ours.timesteps, reference.timesteps)
        if hasattr(reference, "sigmas"):
            assert torch.equal(ours.sigmas, reference.sigmas)


def test_a_flow_model_takes_its_shift_from_its_folder_or_from_the_schedule():
    first = {}
    for shift in (None, 1.0, 6.0):
        options = (("shift", shift),) if shift else ()
        for sampler in ("euler", "dpmpp_2m"):
            table = build(Schedule(sampler, "normal", 4, options=options), FLOW, "cpu")
            first[sampler, shift] = float(table.scheduler.sigmas[1])
    assert first["euler", 1.0] < first["euler", None] < first["euler", 6.0]
    assert first["dpmpp_2m", 1.0] < first["dpmpp_2m", None] < first["dpmpp_2m", 6.0]
    assert first["dpmpp_2m", None] == pytest.approx(3 * 0.74925 / (1 + 2 * 0.74925), abs=1e-6)


def test_times_shifted_by_image_size_are_those_of_the_sd3_pipeline():
    from diffusers.pipelines.stable_diffusion_3.pipeline_stable_diffusion_3 import calculate_shift

    dynamic = model("flow", use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15)
    small = build(Schedule("euler", "normal", 4), dynamic, "cpu", tokens=256).scheduler.sigmas
    large = build(Schedule("euler", "normal", 4), dynamic, "cpu", tokens=4096).scheduler
    mu = calculate_shift(4096, 256, 4096, 0.5, 1.15)
    reference = type(large).from_config(large.config)
    reference.set_timesteps(4, mu=mu)
    assert torch.equal(large.sigmas, reference.sigmas)
    assert small[1] < large.sigmas[1]


# --- what cannot be ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of", "made", "socket", "says"),
    [
        (EPSILON, Schedule("ddim", "karras", 20), "scheduler", "evenly in time"),
        (EPSILON, Schedule("lcm", "karras", 4), "scheduler", "distilled"),
        (FLOW, Schedule("ddim", "normal", 20), "sampler", "predicts a flow"),
        (FLOW, Schedule("euler_ancestral", "normal", 20), "sampler", "no flow form"),
        (FLOW, Schedule("heun", "karras", 20), "scheduler", "spaces a flow model's steps itself"),
        (EPSILON, Schedule("eulr", "normal", 20), "sampler", "no sampler 'eulr'"),
        (EPSILON, Schedule("euler", "even", 20), "scheduler", "no spacing 'even'"),
        (EPSILON, Schedule("euler", "normal", 1001), "steps", "at most 1000"),
        (EPSILON, Schedule("lcm", "normal", 51), "steps", "at most 50"),
        (EPSILON, Schedule("lcm", "normal", 8, denoise=0.1), "steps", "are 80 in all"),
        (EPSILON, Schedule("euler", "normal", 20, eta=0.5), "eta", "no meaning"),
        (EPSILON, Schedule("euler", "normal", 20, options=(("shift", 3.0),)), "shift", "predicts epsilon"),
        (model("sample"), Schedule("pndm", "normal", 20), "sampler", "predicts sample"),
        (model("v_prediction", rescale_betas_zero_snr=True), Schedule("heun", "normal", 20), "sampler", "terminal SNR"),
        (model("epsilon", rescale_betas_zero_snr=True), Schedule("euler", "normal", 20), "model", "terminal SNR"),
        (model("flow", **SD1, prediction_type="v_prediction"), Schedule("euler", "normal", 20), "model", "betas"),
        (model("flow", **SD1), Schedule("euler", "normal", 20), "model", "betas"),
        (SHIFTED, Schedule("euler", "normal", 20), "model", "flow"),
        (Ref("0" * 32, {"prediction": "flow"}), Schedule("ddim", "normal", 20), "sampler", "predicts a flow"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_one_sentence_with_a_mend(of, made, socket, says):
    with pytest.raises(WeftError) as refused:
        check(made, of)
    problem = refused.value.problem
    assert says in problem.message
    assert "\n" not in problem.message
    assert problem.where.socket == socket
    assert problem.mend


def test_a_model_of_which_nothing_is_known_yet_is_not_blamed():
    check(Schedule("ddim", "normal", 20), Ref("0" * 32))


def test_every_pair_is_either_offered_or_refused_with_a_reason():
    for flow in (False, True):
        offered = set(pairs(flow))
        for sampler in SAMPLERS:
            for spacing in SPACINGS:
                assert bool(reason(sampler, spacing, flow)) == ((sampler, spacing) not in offered)


MISSING = [("euler", "beta", "scipy"), ("dpmpp_sde", "normal", "torchsde")]


@pytest.mark.parametrize(("sampler", "spacing", "package"), MISSING)
def test_a_pair_whose_package_is_missing_says_so(monkeypatch, sampler, spacing, package):
    real = importlib.util.find_spec
    there = {name: None if name == package else "a spec" for name in ("scipy", "torchsde")}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: there[name] if name in there else real(name))
    installed.cache_clear()
    try:
        with pytest.raises(WeftError, match=f"needs the package {package}, which is not installed"):
            cell(sampler, spacing)
    finally:
        installed.cache_clear()


def test_the_node_refuses_at_once_what_no_model_can_run():
    with pytest.raises(WeftError, match="evenly in time"):
        schedules.make("ddim", "karras")
    # Impossible for diffusion, possible for flow: only the model can tell.
    assert schedules.make("lcm", "exponential", 4).spacing == "exponential"
    assert schedules.make(steps=7, denoise=0.5, policy="scaled", shift=3.0) == Schedule(
        "euler", "normal", 7, 0.5, "scaled", None, (("shift", 3.0),)
    )


def test_checking_a_schedule_imports_no_torch():
    code = (
        "import sys; from nodes.schedule import check, make; from nodes.types import *;"
        "check(make(), Denoiser(Weights('w', 'unet', ''), 'sd1', LatentSpace('sd1', 4, 8)));"
        "assert not {'torch', 'diffusers', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


# --- part of the way -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", ["euler", "heun", "ddim", "pndm", "lcm", "dpmpp_2m"])
@pytest.mark.parametrize("strength", [0.05, 0.33, 0.6, 0.75, 1.0])
def test_scaled_is_the_get_timesteps_of_the_img2img_pipelines(sampler, strength):
    from diffusers import StableDiffusion3Img2ImgPipeline, StableDiffusionImg2ImgPipeline

    for of, pipeline in ((EPSILON, StableDiffusionImg2ImgPipeline), (FLOW, StableDiffusion3Img2ImgPipeline)):
        if of is FLOW and METHODS[sampler].flow is None:
            continue
        ours = build(Schedule(sampler, "normal", 20, denoise=strength, policy="scaled"), of, "cpu")
        reference = build(Schedule(sampler, "normal", 20), of, "cpu").scheduler
        # The method only asks its pipeline for the scheduler.
        timesteps, _ = pipeline.get_timesteps(SimpleNamespace(scheduler=reference), 20, strength, None)
        assert torch.equal(ours.timesteps, timesteps)
        if hasattr(reference, "begin_index"):
            assert ours.scheduler.begin_index == reference.begin_index == ours.begin


@pytest.mark.parametrize("denoise", [0.25, 0.4, 0.77, 1.0])
def test_all_runs_every_step_over_the_last_part(denoise):
    for sampler, of in (("euler", EPSILON), ("ddim", EPSILON), ("euler", FLOW)):
        whole = build(Schedule(sampler, "simple", 12), of, "cpu")
        part = build(Schedule(sampler, "simple", 12, denoise=denoise), of, "cpu")
        assert len(part.timesteps) == 12
        assert float(part.timesteps[0]) <= float(whole.timesteps[0])
        if denoise < 0.5:
            assert float(part.timesteps[0]) < float(whole.timesteps[3])
    assert len(build(Schedule("heun", "normal", 12, denoise=denoise), EPSILON, "cpu").timesteps) in (23, 24)


@pytest.mark.parametrize("policy", ["all", "scaled"])
def test_nothing_is_run_when_denoise_is_0(policy):
    assert len(build(Schedule("euler", "normal", 5, denoise=0.0, policy=policy), EPSILON, "cpu").timesteps) == 0


@pytest.mark.parametrize(("of", "sampler"), [(EPSILON, s) for s, p in pairs() if p == "normal"] + [(FLOW, "euler")])
def test_part_of_the_way_leads_to_the_picture_too(of, sampler):
    walk = Walk(Schedule(sampler, "normal", 8, denoise=0.5), of)
    noise = torch.randn(1, 1, 8, 8, generator=walk.generators[0])
    mix = walk.scheduler.scale_noise if of is FLOW else walk.scheduler.add_noise
    first = walk.table.timesteps[:1]
    walk.x = mix(PICTURE, first, noise) if of is FLOW else mix(PICTURE, noise, first)
    walk.run(walk.table.timesteps)
    assert (walk.x - PICTURE).abs().max() < (0.12 if sampler in ("ddim", "pndm", "deis", "tcd", "lms") else 0.01)


@pytest.mark.parametrize("policy", ["all", "scaled"])
@pytest.mark.parametrize("denoise", [0.0, 0.05, 0.3, 0.5, 1.0])
def test_the_number_of_evaluations_is_known_without_a_timetable(denoise, policy):
    for of, sampler, spacing in PAIRS:
        if spacing == "normal" and not (sampler in ("lcm", "tcd") and denoise == 0.05):
            made = Schedule(sampler, spacing, 6, denoise, policy)
            assert schedules.evaluations(made, of is FLOW) == len(build(made, of, "cpu").timesteps), made


def test_as_many_steps_as_timesteps_is_said_to_be_too_many_where_diffusers_would_look_behind_the_last():
    with pytest.raises(WeftError, match="begin behind the model's last timestep"):
        build(Schedule("ddim", "normal", 1000), EPSILON, "cpu")
    assert float(build(Schedule("ddim", "sgm_uniform", 1000), EPSILON, "cpu").timesteps.max()) == 999


# --- stop and go on ------------------------------------------------------------------------------------------------

RESUMED = [row for row in PAIRS if row[2] in ("normal", "karras")]


@pytest.mark.parametrize(("of", "sampler", "spacing"), RESUMED, ids=[f"{m.prediction}-{s}-{p}" for m, s, p in RESUMED])
def test_a_run_resumes_bit_for_bit_at_any_step(of, sampler, spacing):
    made = Schedule(sampler, spacing, 6, eta=0.7 if METHODS[sampler].eta is not None else None)
    straight = Walk(made, of, seeds=(3, 4))
    total = len(straight.table.timesteps)
    end = straight.run(straight.table.timesteps)
    for stop in range(1, total):
        before = Walk(made, of, seeds=(3, 4))
        before.run(before.table.timesteps[:stop])
        tensors, data = capture(before.scheduler)
        blob = safetensors.torch.save({"x": before.x, **tensors})
        rng = [g.get_state() for g in before.generators]
        text = json.dumps(data)
        del before, tensors, data

        after = Walk(made, of, seeds=(98, 99))
        after.extra = schedules.step_arguments(
            made, after.scheduler, [torch.Generator().manual_seed(s) for s in (3, 4)]
        )
        after.generators = list(after.extra.get("generator", after.generators))
        for generator, state in zip(after.generators, rng, strict=True):
            generator.set_state(state)
        loaded = safetensors.torch.load(blob)
        restore(after.scheduler, loaded, json.loads(text))
        after.x = loaded["x"]
        assert torch.equal(after.run(after.table.timesteps[stop:]), end), f"differs after a stop at {stop}"


def test_a_captured_state_is_not_changed_by_the_steps_that_follow():
    walk = Walk(Schedule("dpmpp_2m", "karras", 6), EPSILON)
    walk.run(walk.table.timesteps[:3])
    tensors, data = capture(walk.scheduler)
    kept = {name: tensor.clone() for name, tensor in tensors.items()}
    told = json.dumps(data)
    walk.run(walk.table.timesteps[3:])
    assert all(torch.equal(tensors[name], kept[name]) for name in kept)
    assert json.dumps(data) == told


@pytest.mark.parametrize("sampler", ["ddim", "dpmpp_2m", "heun", "uni_pc"])
def test_what_no_step_writes_into_is_cloned_once_and_every_state_is_as_if_it_were_not(sampler):
    walk, seen, clones = Walk(Schedule(sampler, "normal", 6), EPSILON), schedules.Seen(), []
    for t in walk.table.timesteps:
        walk.run([t])
        tensors, data = capture(walk.scheduler, seen)
        plain, told = capture(walk.scheduler)
        assert json.dumps(data) == json.dumps(told) and tensors.keys() == plain.keys()
        assert all(torch.equal(tensors[name], plain[name]) for name in plain)
        clones.append(tensors["scheduler.timesteps"])
    assert all(one is clones[0] for one in clones)
    walk.scheduler.timesteps.add_(1)  # written in place: the same tensor, and no longer the same
    assert torch.equal(capture(walk.scheduler, seen)[0]["scheduler.timesteps"], clones[0] + 1)


def test_a_state_that_no_checkpoint_can_hold_is_named():
    walk = Walk(Schedule("euler", "normal", 3), EPSILON)
    walk.scheduler.hook = lambda: None
    with pytest.raises(TypeError, match=r"scheduler\.hook of the scheduler is a function"):
        capture(walk.scheduler)


# --- for people ----------------------------------------------------------------------------------------------------


def test_the_page_for_people_is_the_table():
    page = (ROOT / "docs" / "samplers.md").read_text(encoding="utf-8")
    assert page == document(), "write docs/samplers.md again: it is nodes.schedule.table.document()"
    assert all(f"`{name}`" in page for name in (*SAMPLERS, *SPACINGS))
