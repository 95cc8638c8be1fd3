"""The sampling loop: what acts when, stopping and going on, masks, several prompts, and what it refuses."""

from dataclasses import dataclass, replace
from functools import cache

import pytest
import torch

from engine.errors import Cancelled, WeftError
from engine.invoke import EngineRun, Hooks, using_ambient
from engine.keys import checkpoint_ids
from engine.memory import Memory
from engine.node import spec_of
from engine.numerics import Numerics
from engine.sockets import Ref, check_same
from nodes import denoise, guidance, load, schedule, text
from nodes.denoise import predict as layers
from nodes.denoise.active import acts
from nodes.denoise.lints import advice
from nodes.denoise.preview import fit, picture
from nodes.schedule import evaluations
from nodes.schedule.table import METHODS, installed, pairs
from nodes.types import Conditioning, Denoiser, Entry, Guidance, Latent, LatentSpace, Mask, Noise, Schedule

MEMORY = Memory()
STEPS = 5


@dataclass
class Watcher:
    """What somebody who watches a run sees, and where it is told to go on or stop."""

    states: list
    done: list
    pictures: list
    start: object = None
    stop_after: int = 10**9

    def run(self) -> EngineRun:
        hooks = Hooks(
            progress=lambda done, total, text: self.done.append((done, total)),
            preview=lambda thunk, done, total: self.pictures.append(thunk),
            cancelled=lambda: bool(self.done) and self.done[-1][0] >= self.stop_after,
            resume=lambda: self.start,
            checkpoint=self.states.append,
        )
        return EngineRun("sample", MEMORY, Numerics(device="cpu", dtype="float32"), hooks)


def watch(**more) -> Watcher:
    return Watcher([], [], [], **more)


class Parts:
    def __init__(self, name: str) -> None:
        self.model, self.encoder, self.vae = load.model(name)
        self.red, self.blue = (text.encode(self.encoder, f"a {colour} cube") for colour in ("red", "blue"))
        self.empty = text.encode(self.encoder, "")

    def latent(self, batch: int = 1, *, filled: bool = False, size: int = 16) -> Latent:
        shape = (batch, self.model.space.channels, size, size)
        samples = torch.randn(shape, generator=torch.Generator().manual_seed(1)) if filled else torch.zeros(shape)
        return Latent(samples, self.model.space)

    def sample(self, latent: Latent | None = None, watcher: Watcher | None = None, **inputs) -> torch.Tensor:
        given = {"positive": self.red, "negative": self.empty, "seed": 3, "steps": STEPS, "cfg": 4.0, **inputs}
        with using_ambient((watcher or watch()).run()):
            return denoise.sample(self.model, latent=latent or self.latent(), **given).latent.samples

    def refused(self, latent: Latent | None = None, **inputs) -> WeftError:
        with pytest.raises(WeftError) as caught:
            self.sample(latent, **inputs)
        assert "\n" not in str(caught.value)
        return caught.value


@cache
def parts(name: str) -> Parts:
    return Parts(name)


@pytest.fixture
def sd1(home, tiny_sd1) -> Parts:
    return parts("tiny-sd1")


@pytest.fixture
def sd3(home, tiny_sd3) -> Parts:
    return parts("tiny-sd3")


def forwards(parts: Parts, **inputs) -> list[int]:
    """The batch of each forward of the denoiser."""
    seen: list[int] = []
    with watch().run().lease(parts.model) as module:
        hook = module.register_forward_pre_hook(
            lambda _, args, kwargs: seen.append(len(args[0] if args else kwargs["hidden_states"])), with_kwargs=True
        )
    parts.sample(**inputs)
    hook.remove()
    return seen


# --- stopping and going on -------------------------------------------------------------------------------------------

# Every sampler that is offered: one that is added is tried without being named here.
NOISE_SAMPLERS = [name for name, method in METHODS.items() if all(map(installed, method.noise.needs))]
FLOW_SAMPLERS = [name for name, method in METHODS.items() if method.flow and all(map(installed, method.flow.needs))]


def goes_on(parts: Parts, latent: Latent, **inputs) -> None:
    straight = watch()
    whole = parts.sample(latent, straight, **inputs)
    assert [state.index for state in straight.states] == list(range(len(straight.states)))
    for state in straight.states:
        rest = watch(start=state)
        assert torch.equal(parts.sample(latent, rest, **inputs), whole), f"after step {state.index}"
        assert len(rest.states) == len(straight.states) - state.index - 1


@pytest.mark.parametrize("sampler", NOISE_SAMPLERS)
def test_a_run_goes_on_bit_for_bit_after_any_step(sd1, sampler):
    goes_on(sd1, sd1.latent(2), sampler=sampler)


def test_ddim_with_eta_goes_on_bit_for_bit(sd1):
    goes_on(sd1, sd1.latent(), schedule=schedule.make("ddim", "normal", STEPS, eta=0.7))


@pytest.mark.parametrize("sampler", FLOW_SAMPLERS)
def test_a_flow_goes_on_bit_for_bit_after_any_step(sd3, sampler):
    goes_on(sd3, sd3.latent(2), sampler=sampler)


def test_a_masked_run_goes_on_bit_for_bit(sd1):
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., :8] = 1
    goes_on(sd1, replace(sd1.latent(filled=True), noise_mask=mask), sampler="euler_ancestral", denoise=0.7)


def test_cancel_takes_effect_after_the_step_and_keeps_its_state(sd1):
    stopped = watch(stop_after=2)
    with pytest.raises(Cancelled):
        sd1.sample(watcher=stopped, sampler="euler_ancestral")
    assert [state.index for state in stopped.states] == [0, 1]
    rest = watch(start=stopped.states[-1])
    assert torch.equal(sd1.sample(watcher=rest, sampler="euler_ancestral"), sd1.sample(sampler="euler_ancestral"))


def test_a_state_is_the_runs_own_and_later_steps_do_not_touch_it(sd1):
    watcher = watch()
    states: list[torch.Tensor] = []
    run = watcher.run()
    run._hooks.checkpoint = lambda state: states.append((state, {k: v.clone() for k, v in state.tensors.items()}))
    with using_ambient(run):
        denoise.sample(sd1.model, sd1.red, sd1.latent(), sd1.empty, steps=STEPS, sampler="dpmpp_2m")
    assert len(states) == STEPS
    for state, copies in states:
        assert all(torch.equal(state.tensors[key], copies[key]) for key in copies)


# --- who looks on ----------------------------------------------------------------------------------------------------


def test_progress_counts_every_step_and_previews_are_pictures_made_on_demand(sd1):
    watcher = watch()
    sd1.sample(watcher=watcher)
    assert watcher.done == [(index, STEPS) for index in range(STEPS + 1)]
    assert len(watcher.pictures) == STEPS
    shown = watcher.pictures[-1]()
    assert (shown.mode, shown.size) == ("RGB", (32, 32))


def test_a_preview_shows_shapes_in_any_latent_space():
    z = torch.zeros(1, 16, 8, 8)
    z[:, :, :4] = torch.randn(16, 1, 1, generator=torch.Generator().manual_seed(0))
    shown = picture(z, LatentSpace("unheard-of", 16, 8))
    top, bottom = (shown.crop(box).resize((1, 1)).getpixel((0, 0)) for box in ((0, 0, 64, 24), (0, 40, 64, 64)))
    assert max(abs(a - b) for a, b in zip(top, bottom, strict=True)) > 60
    picture(torch.full((1, 4, 2, 2), float("nan")), LatentSpace("x", 4, 8))
    picture(torch.zeros(1, 1, 2, 2), LatentSpace("x", 1, 8))


def test_a_known_latent_space_previews_by_its_linear_map():
    space = LatentSpace(
        "x", 4, 8, preview=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0, 0, 0.5))
    )
    z = torch.tensor([1.0, 0.0, 9.0, 9.0]).reshape(1, 4, 1, 1)
    assert picture(z, space).getpixel((0, 0)) == (255, 0, 128)


def test_a_linear_map_is_found_again_by_fitting():
    table = torch.tensor([[0.1, 0.0, 0.2], [0.0, -0.1, 0.1], [0.4, 0.5, 0.6]])
    z = torch.randn(2, 2, 4, 4, generator=torch.Generator().manual_seed(0)) * 0.5
    cells = z.movedim(1, -1) @ table[:-1] + table[-1]
    pixels = cells.repeat_interleave(8, 1).repeat_interleave(8, 2)
    torch.testing.assert_close(torch.tensor(fit(z, pixels)), table, rtol=0, atol=1e-4)


# --- seeds and noise -------------------------------------------------------------------------------------------------


def test_each_item_of_a_batch_renders_alone_from_its_own_seed(sd1):
    batch = sd1.sample(sd1.latent(3), sampler="euler_ancestral")
    for index in range(3):
        alone = sd1.sample(sampler="euler_ancestral", seed=3 + index)
        torch.testing.assert_close(batch[index : index + 1], alone, rtol=1e-4, atol=1e-4)
    picked = replace(sd1.latent(), seeds_from=2)
    assert torch.equal(sd1.sample(picked, sampler="euler_ancestral"), sd1.sample(sampler="euler_ancestral", seed=5))


def test_the_largest_seed_works_and_wraps(sd1):
    last = 2**64 - 1
    both = sd1.sample(sd1.latent(2), seed=last)
    torch.testing.assert_close(both[1:], sd1.sample(seed=0), rtol=1e-4, atol=1e-4)


def test_wired_noise_replaces_the_seed(sd1):
    assert torch.equal(sd1.sample(noise=Noise(9)), sd1.sample(seed=9))
    assert not torch.equal(sd1.sample(noise=Noise(9)), sd1.sample())


def test_without_noise_the_latent_is_taken_as_it_is(sd1):
    latent = sd1.latent(filled=True)
    first = watch()
    sd1.sample(latent, first, noise=Noise(0, off=True), sampler="ddim")
    assert torch.equal(
        sd1.sample(latent, noise=Noise(0, off=True), sampler="ddim"),
        sd1.sample(latent, noise=Noise(77, off=True), sampler="ddim"),
    )


# --- from pictures, and masks ----------------------------------------------------------------------------------------


def test_no_denoising_gives_the_latent_back(sd1):
    latent = sd1.latent(filled=True)
    assert torch.equal(sd1.sample(latent, denoise=0.0), latent.samples)


def test_less_denoising_changes_less_and_runs_all_steps(sd1):
    latent = sd1.latent(filled=True)
    change = []
    for strength in (0.2, 0.6, 0.99):
        watcher = watch()
        change.append(float((sd1.sample(latent, watcher, denoise=strength, cfg=1.0) - latent.samples).abs().mean()))
        assert len(watcher.states) == STEPS
    assert change == sorted(change)


@pytest.mark.parametrize("name", ["sd1", "sd3"])
def test_outside_the_mask_the_original_stays_exactly(request, name):
    parts = request.getfixturevalue(name)
    latent = parts.latent(2, filled=True)
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 4:12, 4:12] = 1
    inside = mask.bool().expand_as(latent.samples)
    for strength in (0.5, 1.0):
        found = parts.sample(replace(latent, noise_mask=mask), denoise=strength)
        assert torch.equal(found[~inside], latent.samples[~inside])
        assert not torch.equal(found[inside], latent.samples[inside])


def test_a_mask_of_ones_changes_nothing(sd1):
    latent = sd1.latent(filled=True)
    ones = replace(latent, noise_mask=torch.ones(1, 1, 16, 16))
    assert torch.equal(sd1.sample(ones, denoise=0.6), sd1.sample(latent, denoise=0.6))


def test_inputs_are_not_written_to(sd1):
    latent = replace(sd1.latent(filled=True), noise_mask=torch.ones(1, 1, 16, 16))
    tensors = [latent.samples, latent.noise_mask, sd1.red.entries[0].embedding, sd1.empty.entries[0].embedding]
    before = [(tensor._version, tensor.clone()) for tensor in tensors]
    for sampler in ("euler", "dpmpp_2m", "heun"):
        sd1.sample(latent, sampler=sampler, denoise=0.5)
    for tensor, (version, copy) in zip(tensors, before, strict=True):
        assert tensor._version == version
        assert torch.equal(tensor, copy)


# --- guidance --------------------------------------------------------------------------------------------------------


def test_forwards_are_one_without_guidance_one_double_when_batched_two_when_sequential(sd1):
    assert forwards(sd1, cfg=1.0) == [1] * STEPS
    assert forwards(sd1) == [2] * STEPS
    sequential = guidance.classifier_free_guidance(4.0, mode="sequential")
    assert forwards(sd1, guidance=sequential) == [1] * (2 * STEPS)
    part = guidance.classifier_free_guidance(4.0, start=0.2, stop=0.6)
    assert forwards(sd1, guidance=part) == [1, 2, 2, 1, 1]


def test_sequential_guidance_is_batched_guidance_but_for_rounding(sd1):
    one, other = sd1.sample(), sd1.sample(guidance=Guidance(4.0, mode="sequential"))
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


def test_wired_guidance_replaces_cfg(sd1):
    assert torch.equal(sd1.sample(guidance=Guidance(4.0)), sd1.sample())
    assert torch.equal(sd1.sample(guidance=Guidance(1.0)), sd1.sample(cfg=1.0))


def test_a_scale_of_nought_is_the_negative_prompt_alone(sd1):
    alone = sd1.sample(positive=sd1.empty, cfg=1.0)
    torch.testing.assert_close(sd1.sample(cfg=0.0), alone, rtol=1e-4, atol=1e-4)


# --- several prompts -------------------------------------------------------------------------------------------------


def test_one_prompt_twice_is_that_prompt(sd1):
    twice = text.combine(sd1.red, sd1.red)
    torch.testing.assert_close(sd1.sample(positive=twice), sd1.sample(), rtol=1e-4, atol=1e-4)


def test_a_prompt_of_no_weight_does_not_count(sd1):
    both = text.combine(sd1.red, text.place(sd1.blue, weight=0.0))
    torch.testing.assert_close(sd1.sample(positive=both), sd1.sample(), rtol=1e-4, atol=1e-4)


def test_all_prompts_of_one_length_share_a_forward(sd1):
    assert forwards(sd1, positive=text.combine(sd1.red, sd1.blue)) == [3] * STEPS
    long = text.encode(sd1.encoder, "red " * 60)
    assert forwards(sd1, positive=long) == [1] * (2 * STEPS)


def test_areas_and_masks_share_the_picture():
    x = torch.zeros(2, 4, 8, 8)
    left = Entry(torch.zeros(1, 1, 1), area=(0.0, 0.0, 0.5, 1.0))
    mask = torch.zeros(1, 32, 32)
    mask[:, :, 16:] = 1
    right = Entry(torch.zeros(1, 1, 1), mask=Mask(mask))
    found = layers._average([left, right], [torch.full_like(x, 1.0), torch.full_like(x, 2.0)], x, 8)
    assert bool((found[..., :4] == 1).all())
    assert bool((found[..., 4:] == 2).all())
    tiny = Entry(torch.zeros(1, 1, 1), area=(0.999, 0.999, 0.001, 0.001), weight=3.0)
    everywhere = Entry(torch.zeros(1, 1, 1))
    found = layers._average([tiny, everywhere], [torch.full_like(x, 4.0), torch.zeros_like(x)], x, 8)
    assert bool((found[..., 7, 7] == 3).all())
    assert float(found.sum()) == 3 * 2 * 4


def test_where_no_prompt_reaches_all_count_the_same():
    x = torch.zeros(1, 4, 4, 4)
    one, two = (Entry(torch.zeros(1, 1, 1), area=(0.0, 0.0, 0.5, share)) for share in (0.5, 1.0))
    found = layers._average([one, two], [torch.full_like(x, 1.0), torch.full_like(x, 3.0)], x, 8)
    assert bool((found[..., 2:] == 2).all())
    assert bool((found[..., 2:, :2] == 3).all())


def test_prompts_act_in_their_range_only(sd1):
    first, rest = text.place(sd1.red, end=0.4), text.place(sd1.blue, start=0.4)
    watcher, reference = watch(), watch()
    sd1.sample(watcher=watcher, positive=text.combine(first, rest))
    sd1.sample(watcher=reference)
    for state, same in zip(watcher.states, reference.states, strict=True):
        assert torch.equal(state.tensors["latent"], same.tensors["latent"]) == (state.index < 2)


# --- what each step depends on ---------------------------------------------------------------------------------------


def chain(**inputs) -> list[str]:
    """The names of the states, as the engine makes them."""
    given = {
        **{"model": recipe(), "positive": outline("red"), "negative": outline("empty"), "latent": Ref("canvas")},
        **{"seed": 1, "steps": 10, "cfg": 5.0, "sampler": "euler", "scheduler": "normal", "denoise": 1.0},
        **{"schedule": None, "guidance": None, "noise": None, "control": None, **inputs},
    }
    return checkpoint_ids("open", denoise.active(**given))


def recipe(**change) -> Denoiser:
    from nodes.types import Weights

    return replace(Denoiser(Weights("w", "unet", "/here"), "sd1", LatentSpace("sd1", 4, 8)), **change)


def outline(id: str) -> Conditioning:
    return Conditioning.outline(Ref(id, {"text_layout": "clip:32"}))


def shared(one: list[str], other: list[str]) -> int:
    """How many steps two chains have in common from the beginning."""
    return next((index for index, pair in enumerate(zip(one, other, strict=False)) if len(set(pair)) > 1), len(one))


def test_each_step_has_a_name_of_its_own():
    assert len(set(chain())) == 10
    assert chain() == chain()


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 2},
        {"steps": 11},
        {"cfg": 6.0},
        {"sampler": "ddim"},
        {"scheduler": "karras"},
        {"denoise": 0.9},
        {"latent": Ref("other")},
        {"positive": outline("blue")},
        {"negative": outline("blurry")},
        {"model": recipe(prediction="v_prediction")},
        {"guidance": Guidance(5.0, mode="sequential")},
        {"noise": Noise(1, single_stream=True)},
        {"guidance": guidance.embedded(3.0)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_matters_from_the_start_names_every_step_anew(change):
    assert shared(chain(), chain(**change)) == 0


def test_another_embedded_scale_names_every_step_anew():
    assert shared(chain(guidance=guidance.embedded(3.0)), chain(guidance=guidance.embedded(4.0))) == 0


def test_a_late_change_keeps_the_names_of_the_early_steps():
    whole = chain(guidance=Guidance(5.0))
    assert shared(whole, chain(guidance=Guidance(5.0, stop=0.7))) == 7
    assert shared(chain(guidance=Guidance(5.0, stop=0.6)), chain(guidance=Guidance(5.0, stop=0.7))) == 6
    assert shared(whole, chain(guidance=Guidance(5.0, start=0.1))) == 0
    late = text.place(outline("blue"), start=0.5)
    both = text.combine(text.place(outline("red"), end=0.5), late)
    assert shared(chain(), chain(positive=both)) == 5


def test_what_does_not_matter_changes_no_name():
    assert chain(cfg=1.0) == chain(cfg=1.0, negative=outline("blurry")) == chain(cfg=1.0, negative=None)
    assert chain(schedule=Schedule("euler", "normal", 10)) == chain(schedule=Schedule("euler", "normal", 10), steps=99)
    assert chain(noise=Noise(1)) == chain(noise=Noise(1), seed=5)


def test_what_is_made_by_a_node_that_has_not_run_names_nothing():
    assert chain(model=Ref("later")) == []


@pytest.mark.parametrize("flow", [False, True], ids=["diffusion", "flow"])
@pytest.mark.parametrize("denoise_", [1.0, 0.6, 0.3, 0.0])
@pytest.mark.parametrize("policy", ["all", "scaled"])
def test_the_number_of_evaluations_is_the_timetables(sd1, sd3, flow, denoise_, policy):
    model = (sd3 if flow else sd1).model
    seen = set()
    for sampler, spacing in pairs(flow):
        if sampler in seen:
            continue
        seen.add(sampler)
        wanted = Schedule(sampler, spacing, 6, denoise_, policy)
        assert evaluations(wanted, flow) == len(schedule.build(wanted, model, "cpu").timesteps), sampler
    assert {"euler", "heun", "lcm"} <= seen
    # Those that no model here can run for want of a package are in the table all the same.
    lacking = {sampler for sampler in METHODS if not installed_for(sampler)}
    assert flow or {name for name, method in METHODS.items() if method.twice or method.once_more} - lacking <= seen


def installed_for(sampler: str) -> bool:
    return all(installed(package) for package in METHODS[sampler].noise.needs)


def test_ranges_are_those_of_diffusers():
    for total in (1, 7, 20):
        for start, end in ((0.0, 1.0), (0.3, 0.8), (0.5, 1.0)):
            theirs = [1.0 - float(i / total < start or (i + 1) / total > end) for i in range(total)]
            assert [float(acts(i, total, start, end)) for i in range(total)] == theirs


# --- what is attached ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scaled:
    """A third party's patch: the prediction times a factor."""

    factor: float

    def attach(self, module, recipe):
        hook = module.register_forward_hook(lambda _, args, out: (out[0] * self.factor,))
        return hook.remove


@dataclass(frozen=True)
class Broken:
    def attach(self, module, recipe):
        raise ValueError("no")


def test_a_patch_acts_while_leased_and_leaves_nothing_behind(sd1):
    before, model = sd1.sample(), sd1.model
    patched = Parts.__new__(Parts)
    patched.__dict__.update(sd1.__dict__, model=model.with_patch(Scaled(0.5)))
    halved = patched.sample()
    assert not torch.equal(before, halved)
    assert torch.equal(sd1.sample(), before)
    patched.model = model.with_patch(Scaled(0.5)).with_patch(Broken())
    with pytest.raises(ValueError, match="no"):
        patched.sample()
    assert torch.equal(sd1.sample(), before)


def test_numbers_that_overflow_are_one_clear_error(sd1):
    patched = Parts.__new__(Parts)
    patched.__dict__.update(sd1.__dict__, model=sd1.model.with_patch(Scaled(float("inf"))))
    error = patched.refused()
    assert error.code == "node.refused"
    assert "float32" in str(error)


# --- what is refused -------------------------------------------------------------------------------------------------


def test_guidance_without_a_negative_prompt_is_refused_with_the_mend(sd1):
    error = sd1.refused(negative=None)
    assert error.problem.where.socket == "negative"
    assert "empty text" in error.problem.mend.text
    assert sd1.sample(negative=None, cfg=1.0).shape == (1, 4, 16, 16)


def test_a_distilled_model_takes_no_guidance(sd1):
    distilled = Parts.__new__(Parts)
    distilled.__dict__.update(sd1.__dict__, model=replace(sd1.model, distilled_guidance=True))
    error = distilled.refused()
    assert "distilled" in str(error)
    assert error.at(path="sample").problem.mend.edits == ({"set": "sample.cfg", "value": 1.0},)
    assert distilled.sample(cfg=1.0).shape == (1, 4, 16, 16)


def test_a_scale_as_an_input_needs_a_model_that_has_one(sd1):
    assert sd1.refused(guidance=guidance.embedded(8.0)).problem.where.socket == "guidance"


def test_an_inpainting_model_is_refused_with_what_to_use(sd1):
    with pytest.raises(WeftError, match="9 channels"):
        denoise.check(**inputs(latent=Ref("c", {"beside": 0}), model=recipe(config=(("in_channels", 9),))))


def test_a_flow_sampler_and_a_diffusion_model_do_not_meet(sd3):
    error = sd3.refused(sampler="ddim")
    assert error.code == "node.refused"


def test_a_range_in_which_no_prompt_acts_is_refused(sd1):
    error = sd1.refused(positive=text.place(sd1.red, start=0.5))
    assert "step 1 of 5" in str(error)


def inputs(**change):
    return {
        **{"model": recipe(), "positive": outline("red"), "negative": outline("empty"), "latent": Ref("canvas")},
        **{"seed": 1, "steps": 10, "cfg": 5.0, "sampler": "euler", "scheduler": "normal", "denoise": 1.0},
        **{"schedule": None, "guidance": None, "noise": None, "control": None, **change},
    }


@pytest.mark.parametrize(
    ("socket", "facts"),
    [
        ("control", {"family": "sd2"}),
        ("latent", {"latent_space": "sdxl"}),
        ("positive", {"text_layout": "clip:768"}),
        ("negative", {"text_layout": "clip:768"}),
    ],
)
def test_what_does_not_belong_together_is_an_error_on_the_socket_before_anything_runs(socket, facts):
    given = inputs(model=recipe(text_layout="clip:32"), **{socket: Ref("other", facts)})
    rules = [rule for rule in spec_of(denoise.sample).facts if rule.kind == "same"]
    problems = [problem for rule in rules if (problem := check_same(rule, given)) is not None]
    assert [problem.where.socket for problem in problems] == [socket]


def test_latents_of_another_model_are_refused_before_torch_meets_them(sd1, sd3):
    assert sd1.refused(sd3.latent()).code == "facts.mismatch"
    video = replace(sd1.latent(), samples=torch.zeros(1, 4, 2, 16, 16))
    assert sd1.refused(video).problem.where.socket == "latent"


def test_a_size_that_a_transformer_cannot_place_is_refused_while_planning(sd3):
    for width, mend in ((66, "use 64"), (2, "use 4"), (500, "use at most 384")):
        latent = Ref("canvas", {"latent_space": "sd3", "width": width, "height": 64})
        with pytest.raises(WeftError) as caught:
            denoise.check(**inputs(model=sd3.model, latent=latent))
        assert caught.value.problem.mend.text == mend


@pytest.mark.parametrize("name", ["sd1", "sd3"])
def test_half_precision_runs_and_comes_near_full(request, name):
    parts = request.getfixturevalue(name)
    with using_ambient(EngineRun("", MEMORY, Numerics(device="cpu", dtype="bfloat16"))):
        given = {"seed": 3, "steps": STEPS, "cfg": 1.0}
        half = denoise.sample(parts.model, parts.red, parts.latent(), **given).latent.samples
    full = parts.sample(cfg=1.0)
    assert half.dtype == torch.float32
    assert float((half - full).std() / full.std()) < 0.05


def test_the_result_has_the_latents_facts():
    latent = Ref("canvas", {"latent_space": "sd1", "width": 64, "height": 64, "batch": 2})
    assert denoise.check(**inputs(latent=latent)) == {"latent": dict(latent.facts), "denoised": dict(latent.facts)}
    left = {**latent.facts, "leftover": True}
    assert denoise.check(**inputs(latent=latent, stop_step=3)) == {"latent": left, "denoised": dict(latent.facts)}
    noisy = Ref("half", left)
    assert denoise.check(**inputs(latent=noisy, start_step=3, add_noise=False))["latent"] == dict(latent.facts)


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        ({"steps": 20}, []),
        ({"cfg": 16.0, "steps": 20}, ["lint.cfg_high"]),
        ({"sampler": "lcm", "steps": 6, "cfg": 1.5}, ["lint.not_distilled"]),
        ({"sampler": "lcm", "steps": 20, "cfg": 7.0}, ["lint.cfg_distilled", "lint.steps_many", "lint.not_distilled"]),
        ({"steps": 4}, ["lint.steps_few"]),
        ({"steps": 4, "model": "distilled", "cfg": 1.0}, []),
        ({"latent": Ref("l", {"width": 1024, "height": 1024})}, ["lint.size"]),
        ({"latent": Ref("l", {"width": 1024, "height": 1024}), "denoise": 0.4}, []),
        ({"latent": Ref("l", {"width": 768, "height": 512})}, []),
        ({"schedule": Ref("later"), "cfg": 90.0}, []),
    ],
)
def test_advice_follows_the_fields_figures_and_never_blocks(change, codes):
    model = recipe(config=(("sample_size", 64),), distilled_guidance=change.get("model") == "distilled")
    found = list(advice(**inputs(**{"steps": 20, **change, "model": model})))
    assert [problem.code for problem in found] == codes
    assert all(problem.severity == "lint" and problem.mend for problem in found)


def test_work_grows_with_steps_pixels_batch_and_guidance():
    def work(width=512, batch=1, **change):
        return denoise.work(**inputs(latent=Ref("l", {"width": width, "height": 512, "batch": batch}), **change))

    assert work(cfg=1.0) * 2 == work()
    assert work(width=1024) == work(batch=2) == work(steps=20) == 2 * work()
