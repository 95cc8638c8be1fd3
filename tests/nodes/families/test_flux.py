"""Flux: dev and schnell told apart by their configuration, and refused in one line where they do not fit."""

import json
import shutil

import pytest
import torch

from engine.errors import WeftError
from engine.sockets import facts_of
from nodes import load, text
from nodes.denoise import sample
from nodes.denoise.active import embedded_scale, work
from nodes.denoise.lints import advice
from nodes.families import family_of
from nodes.families.flux import family_name, places
from nodes.schedule import build
from nodes.types import Guidance, Latent, Schedule


@pytest.fixture
def dev(home, tiny_flux):
    return load.model("tiny-flux")


@pytest.fixture
def schnell(home, tiny_schnell):
    return load.model("tiny-schnell")


@pytest.fixture
def broken(home, tiny_flux):
    """A copy to damage."""
    folder = home.home / "models" / "checkpoints" / "broken"
    shutil.copytree(tiny_flux, folder)
    return folder


def told(call, *arguments, **inputs) -> str:
    with pytest.raises(WeftError) as caught:
        call(*arguments, **inputs)
    return str(caught.value)


def test_a_folder_tells_family_space_and_layout(dev):
    model, encoder, autoencoder = dev
    assert (model.family, model.space.name, model.prediction) == ("flux-32", "flux", "flow")
    assert model.text_layout == encoder.layout == "clip-l+t5:32"
    assert autoencoder.space == model.space
    assert autoencoder.shift == 0.1159
    assert family_name(4096) == "flux"


def test_dev_and_schnell_differ_in_guidance_and_in_how_long_their_text_is(dev, schnell):
    assert [one.model.distilled_guidance for one in (dev, schnell)] == [True, True]
    assert [embedded_scale(Guidance(1.0), one.model) for one in (dev, schnell)] == [3.5, 1.0]
    lengths = [text.encode(one.text_encoder, "a cube").entries[0].embedding.shape for one in (dev, schnell)]
    assert lengths == [(1, 512, 32), (1, 256, 32)]


def test_without_a_scheduler_beside_it_the_published_shift_is_used(dev, schnell, home):
    for found, dynamic in ((dev, True), (schnell, False)):
        alone = home.home / "models" / "diffusion_models" / f"alone-{dynamic}"
        shutil.copytree(found.model.base.path, alone)
        training = dict(load.denoiser(alone.name).training)
        assert training["use_dynamic_shifting"] is dynamic
        assert load.denoiser(alone.name).space.name == "flux"


def test_a_larger_picture_starts_with_more_noise(dev):
    times = [build(Schedule("euler", "simple", 4), dev.model, "cpu", tokens).timesteps for tokens in (256, 4096)]
    assert bool((times[1][1:] > times[0][1:]).all())


def test_a_prompt_longer_than_t5_reads_is_refused(schnell):
    assert "the prompt has 301 tokens, this model's T5 encoder takes 256" in told(
        text.encode, schnell.text_encoder, "red " * 300
    )


def test_a_picture_of_half_patches_is_refused(dev):
    prompt = text.encode(dev.text_encoder, "a cube")
    latent = Latent(torch.zeros(1, 16, 33, 32), dev.model.space)
    message = told(sample, dev.model, prompt, latent, cfg=1.0)
    assert "the height of 66 pixels is no multiple of 4" in message
    assert "use 64" in message


def test_a_model_for_filling_in_is_told_from_the_plain_one(broken):
    path = broken / "transformer" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"in_channels": 96}))
    assert "'x_embedder.weight' is [32, 64], the configuration says [None, 96]" in told(load.model, "broken")


def test_a_model_without_t5_is_told_by_what_it_lacks(broken):
    index = json.loads((broken / "model_index.json").read_text())
    (broken / "model_index.json").write_text(json.dumps(index | {"text_encoder_2": [None, None]}))
    assert "lacks text_encoder_2: Flux needs CLIP and T5 both" in told(load.model, "broken")


def test_encoders_of_another_width_are_not_this_models(broken):
    path = broken / "text_encoder" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"hidden_size": 48}))
    assert "text_encoder is 48 wide, the model takes 32" in told(load.model, "broken")


def test_few_steps_without_cfg_are_no_lint(dev):
    inputs = {"model": dev.model, "cfg": 1.0, "seed": 0, "sampler": "euler", "scheduler": "simple", "denoise": 1.0}
    assert list(advice(**inputs, steps=4)) == []


def test_work_and_room_are_known_before_it_runs(dev):
    inputs = {"model": dev.model, "cfg": 1.0, "seed": 0, "sampler": "euler", "scheduler": "simple", "denoise": 1.0}
    latent = Latent(torch.zeros(1, 16, 32, 32), dev.model.space)
    assert work(**inputs, steps=4, latent=latent) == 4 * 64 * 64 / 64
    family = family_of(dev.model)
    assert family.working_bytes(dev.model, 1, 32, 32, 4) == (16 * 16 + 512) * 32 * 40 * 4
    assert facts_of(dev.model)["latent_space"] == "flux"


def test_patches_are_numbered_by_row_and_column():
    assert places(2, 3)[4].tolist() == [0, 1, 1]
