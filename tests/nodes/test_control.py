"""ControlNet nodes: read by header, checked against the model, active only in their range, summed when stacked."""

import json
import shutil

import pytest
import torch

from engine.errors import WeftError
from engine.node import spec_of
from engine.sockets import Ref, check_same
from nodes import control, load, text
from nodes.control import apply
from nodes.denoise import sample
from nodes.types import Control, Image, Latent


@pytest.fixture
def net(home, tiny_controlnet):
    return control.load("tiny-canny")


@pytest.fixture
def world(home, tiny_sd1):
    """What a small picture needs: a model, a prompt, a canvas of 64 x 64, a hint."""
    parts = load.model("tiny-sd1")
    generator = torch.Generator().manual_seed(7)
    return {
        "model": parts.model,
        "positive": text.encode(parts.text_encoder, "a red cube"),
        "negative": text.encode(parts.text_encoder, ""),
        "latent": Latent(torch.zeros(1, 4, 32, 32), parts.model.space),
        "hint": Image(torch.rand(1, 64, 64, 3, generator=generator)),
    }


def picture(world, of=None, steps=4, **more):
    given = {key: value for key, value in world.items() if key != "hint"}
    return sample(**given, seed=5, steps=steps, cfg=3.0, control=of, **more).latent.samples


# --- load ----------------------------------------------------------------------------------------------------------


def test_a_folder_tells_its_family_without_its_weights(net, world):
    assert net.family == world["model"].family == "sd1-32"
    assert net.base.component == "controlnet"


@pytest.fixture
def dit(home, models, tiny_sd3):
    """A ControlNet of the DiT, its output layers not zero."""
    from diffusers import SD3ControlNetModel, SD3Transformer2DModel

    transformer = SD3Transformer2DModel.from_pretrained(tiny_sd3 / "transformer")
    torch.manual_seed(6)
    net = SD3ControlNetModel.from_transformer(transformer, num_layers=1, num_extra_conditioning_channels=0)
    for block in (*net.controlnet_blocks, net.pos_embed_input.proj):
        torch.nn.init.normal_(block.weight, std=0.2)
    net.save_pretrained(models / "controlnet" / "tiny-dit")
    return control.load("tiny-dit")


def test_a_dits_controlnet_is_of_the_dits_family(dit):
    from diffusers import SD3ControlNetModel

    assert dit.family == load.model("tiny-sd3").model.family
    assert type(dit.build("cpu", "float32")) is SD3ControlNetModel


def test_what_is_no_controlnet_is_told_apart(home, models, tiny_controlnet, tiny_sd1):
    folder = models / "controlnet"
    shutil.copytree(tiny_sd1 / "unet", folder / "a-unet", dirs_exist_ok=True)
    with pytest.raises(WeftError, match="a-unet is a UNet2DConditionModel, which no family") as refused:
        control.load("a-unet")
    assert refused.value.code == "model.family"

    shutil.copytree(tiny_controlnet, folder / "sdxl", dirs_exist_ok=True)
    config = json.loads((folder / "sdxl" / "config.json").read_text())
    (folder / "sdxl" / "config.json").write_text(json.dumps(config | {"addition_embed_type": "image"}))
    with pytest.raises(WeftError, match="which no family here can be steered by"):
        control.load("sdxl")

    (folder / "sdxl" / "config.json").write_text(json.dumps(config | {"cross_attention_dim": 768}))
    with pytest.raises(WeftError, match=r"'.*attn2.to_k.weight' is \[16, 32\], the configuration says \[None, 768\]"):
        control.load("sdxl")


@pytest.mark.parametrize(("file", "says"), [("canny.pth", "pickled"), ("canny.safetensors", "is damaged")])
def test_a_single_file_says_what_to_get_instead(home, models, file, says):
    (models / "controlnet").mkdir(exist_ok=True)
    (models / "controlnet" / file).write_bytes(b"12345678")
    with pytest.raises(WeftError, match=says) as refused:
        control.load(file)
    assert refused.value.code == "model.format"
    assert refused.value.problem.mend


# --- apply ---------------------------------------------------------------------------------------------------------


def test_applying_is_bookkeeping_and_reads_no_picture(net):
    hint = Ref("0" * 32, {"width": 64, "height": 64})
    one = apply(net, hint, 0.8, 0.1, 0.5)
    two = apply(net, hint, 0.4, previous=one)
    assert [(item.image, item.strength, item.start, item.end) for item in two.items] == [
        (hint, 0.8, 0.1, 0.5),
        (hint, 0.4, 0.0, 1.0),
    ]
    assert two.facts == {"family": "sd1-32"}


def test_strength_0_is_as_if_it_were_not_there(net, world):
    off = apply(net, world["hint"], 0.0)
    assert off.items == ()
    on = apply(net, world["hint"], 0.5)
    assert apply(net, world["hint"], 0.0, previous=on) == on
    assert torch.equal(picture(world, off), picture(world))


@pytest.mark.parametrize(("start", "end"), [(0.5, 0.5), (0.8, 0.2)])
def test_a_range_without_a_step_is_refused(net, world, start, end):
    with pytest.raises(WeftError, match="has no step in it") as refused:
        apply(net, world["hint"], 1.0, start, end)
    assert refused.value.problem.where.socket == "end"


def test_a_controlnet_of_another_family_is_an_error_on_the_socket(net):
    rule = next(rule for rule in spec_of(sample).facts if rule.fact == "family")
    other = load.Denoiser(net.base, "sd3", load.HOME_SPACES["sd3"])
    problem = check_same(rule, {"model": other, "control": Control((apply(net, Ref("0")).items[0],))})
    assert problem is not None
    assert problem.code == "facts.mismatch"
    assert problem.where.socket == "control"
    stack = next(rule for rule in spec_of(apply).facts if rule.kind == "same")
    assert stack.sockets == ("controlnet", "previous")


# --- in the loop ---------------------------------------------------------------------------------------------------


def test_a_controlnet_changes_the_picture_and_more_with_more_strength(net, world):
    plain = picture(world)
    little, much = (picture(world, apply(net, world["hint"], strength)) for strength in (0.1, 1.0))
    assert 0 < (little - plain).norm() < (much - plain).norm()
    other = Image(1 - world["hint"].pixels)
    assert not torch.equal(picture(world, apply(net, other, 1.0)), much)


def latents(world, of):
    """The latents after each step."""
    from engine.invoke import EngineRun, Hooks, using_ambient
    from engine.memory import Memory
    from engine.numerics import Numerics

    seen = []
    hooks = Hooks(checkpoint=lambda state: seen.append(state.tensors["latent"].clone()))
    with using_ambient(EngineRun("", Memory(), Numerics(device="cpu", dtype="float32"), hooks)):
        picture(world, of)
    return seen


def test_a_controlnet_acts_only_inside_its_range(net, world):
    plain, late, early = (
        latents(world, of) for of in (None, apply(net, world["hint"], 1, 0.5, 1), apply(net, world["hint"], 1, 0, 0.5))
    )
    assert len(plain) == 4
    assert [torch.equal(a, b) for a, b in zip(plain, late, strict=True)] == [True, True, False, False]
    assert [torch.equal(a, b) for a, b in zip(plain, early, strict=True)] == [False, False, False, False]
    whole = latents(world, apply(net, world["hint"]))
    assert [torch.equal(a, b) for a, b in zip(whole, early, strict=True)] == [True, True, False, False]


def test_two_of_them_are_summed_in_any_order_and_the_same_net_may_stand_twice(net, world):
    other = Image(1 - world["hint"].pixels)
    one, two = apply(net, world["hint"], 0.5), apply(net, other, 0.25)
    both = picture(world, apply(net, other, 0.25, previous=one))
    assert torch.allclose(both, picture(world, apply(net, world["hint"], 0.5, previous=two)), atol=1e-4)
    assert not torch.allclose(both, picture(world, one), atol=1e-4)
    twice = apply(net, world["hint"], 0.5, previous=one)
    assert torch.allclose(picture(world, twice), picture(world, apply(net, world["hint"], 1.0)), atol=1e-4)


# --- a DiT's -------------------------------------------------------------------------------------------------------


def test_a_dits_hint_needs_the_vae_of_the_model(dit, home, tiny_sd1):
    with pytest.raises(WeftError, match="read their hint as latents") as refused:
        apply(dit, Ref("0" * 32))
    assert refused.value.problem.where.socket == "vae"
    parts, wrong = load.model("tiny-sd3"), load.model("tiny-sd1").vae
    prompt = text.encode(parts.text_encoder, "a red cube")
    canvas = Latent(torch.zeros(1, 16, 32, 32), parts.model.space)
    hint = Image(torch.zeros(1, 64, 64, 3))
    with pytest.raises(WeftError, match="encoded by a VAE of") as refused:
        sample(parts.model, prompt, canvas, cfg=1.0, control=apply(dit, hint, vae=wrong))
    assert refused.value.code == "facts.mismatch"


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_a_dits_controlnet_is_the_pipelines(dit, tiny_sd3, models, monkeypatch, guidance):
    from diffusers import SD3ControlNetModel, StableDiffusion3ControlNetPipeline
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    # The pipeline draws from the posterior without a seed; the mean is what both can agree on.
    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())
    parts = load.model("tiny-sd3")
    net = SD3ControlNetModel.from_pretrained(models / "controlnet" / "tiny-dit")
    pipe = StableDiffusion3ControlNetPipeline.from_pretrained(tiny_sd3, controlnet=net)
    hint = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    asked = {"prompt": "a red cube", "negative_prompt": "blurry", "guidance_scale": guidance, "output_type": "latent"}
    theirs = pipe(
        **asked,
        control_image=hint * 2 - 1,
        height=64,
        width=64,
        num_inference_steps=4,
        controlnet_conditioning_scale=0.6,
        control_guidance_end=0.75,
        generator=torch.Generator().manual_seed(5),
    ).images
    ours = sample(
        parts.model,
        text.encode(parts.text_encoder, "a red cube"),
        Latent(torch.zeros(1, 16, 32, 32), parts.model.space),
        text.encode(parts.text_encoder, "blurry"),
        seed=5,
        steps=4,
        cfg=guidance,
        control=apply(dit, Image(hint.movedim(1, -1)), 0.6, 0.0, 0.75, vae=parts.vae),
    ).latent.samples
    if guidance == 1.0:
        assert torch.equal(ours, theirs)
    else:  # the pipeline encodes the hint twice, in a batch of two, which rounds otherwise
        assert torch.allclose(ours, theirs, atol=1e-5)
    plain = sample(
        parts.model,
        text.encode(parts.text_encoder, "a red cube"),
        Latent(torch.zeros(1, 16, 32, 32), parts.model.space),
        text.encode(parts.text_encoder, "blurry"),
        seed=5,
        steps=4,
        cfg=guidance,
    ).latent.samples
    assert not torch.allclose(plain, ours, atol=1e-3)
