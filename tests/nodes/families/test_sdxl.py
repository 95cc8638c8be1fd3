"""SDXL: told of sizes, recognised by its configuration, and refused in one line where its parts do not fit."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from engine.errors import WeftError
from engine.node import spec_of
from engine.sockets import Ref, check_same
from nodes import control, load, lora, text, vae
from nodes.denoise import sample
from nodes.denoise.active import active
from nodes.families import family_of, lora_file
from nodes.families.lora_file import Layer
from nodes.types import Conditioning, Framing, Image, Latent


@pytest.fixture
def parts(home, tiny_sdxl):
    return load.model("tiny-sdxl")


@pytest.fixture
def broken(home, tiny_sdxl):
    """A copy to damage."""
    folder = home.home / "models" / "checkpoints" / "broken"
    shutil.copytree(tiny_sdxl, folder)
    return folder


@pytest.fixture
def inputs(parts):
    """What denoise.sample takes, its widgets at their defaults."""
    return {
        "model": parts.model,
        "positive": text.encode(parts.text_encoder, "a cube"),
        "negative": text.encode(parts.text_encoder, ""),
        "latent": Latent(torch.zeros(1, 4, 32, 32), parts.model.space),
        "sampler": "euler",
        "scheduler": "normal",
        "steps": 2,
        "denoise": 1.0,
        "cfg": 5.0,
        "seed": 1,
    }


def told(call, *arguments, **inputs) -> str:
    with pytest.raises(WeftError) as caught:
        call(*arguments, **inputs)
    return str(caught.value)


# --- what is known before weights are read ---------------------------------------------------------------------------


def test_a_folder_tells_family_space_and_layout(parts):
    model, encoder, autoencoder = parts
    assert (model.family, model.space.name, model.text_layout) == ("sdxl-64", "sdxl", "clip-l+clip-g:64")
    assert (encoder.family, encoder.layout) == (model.family, model.text_layout)
    assert autoencoder.space == model.space
    assert [part.component for part in encoder.parts] == ["text_encoder", "text_encoder_2"]


def test_the_published_widths_are_the_base_model_and_the_refiner():
    def layer(width, block):
        return Layer(
            lora_file.DENOISER, f"down_blocks.1.attentions.0.transformer_blocks.{block}.attn2.to_k", (4, width)
        )

    assert lora_file.family([layer(2048, 0)]) == "sdxl"
    assert lora_file.family([layer(1280, 0)]) == "sdxl-refiner"
    assert lora_file.family([layer(64, 1)]) == "sdxl-64", "two blocks in a row are SDXL's"
    assert lora_file.family([layer(64, 0)]) == "sd1-64"
    assert family_of("sdxl-refiner") is family_of("sdxl")


def test_a_lora_of_sd1_is_refused_on_sdxl(home, parts, tiny_sd1):
    from safetensors.torch import save_file

    folder = home.home / "models" / "loras"
    folder.mkdir(parents=True)
    name = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.lora_{}.weight"
    save_file({name.format("A"): torch.ones(4, 768), name.format("B"): torch.ones(16, 4)}, folder / "old.safetensors")
    message = told(lora.apply, parts.model, lora.load("old.safetensors"))
    assert "made for sd1, the model is sdxl-64" in message


def test_a_controlnet_of_sdxl_is_of_the_models_family(parts, home, tiny_sdxl_controlnet):
    assert control.load(tiny_sdxl_controlnet.name).family == parts.model.family


def test_half_a_model_is_told_by_what_it_lacks(broken, home):
    index = json.loads((broken / "model_index.json").read_text())
    (broken / "model_index.json").write_text(json.dumps(index | {"text_encoder_2": [None, None]}))
    assert "lacks text_encoder_2, which makes the pooled text" in told(load.model, "broken")


def test_encoders_of_another_width_are_not_this_models(broken, tiny_sdxl):
    index = json.loads((broken / "model_index.json").read_text())
    (broken / "model_index.json").write_text(json.dumps(index | {"text_encoder": [None, None]}))
    assert "the text encoders are 32 wide together, the model's cross attention is 64" in told(load.model, "broken")


def test_a_configuration_that_lies_about_what_is_added_is_damaged(broken):
    path = broken / "unet" / "config.json"
    config = json.loads(path.read_text()) | {"projection_class_embeddings_input_dim": 99}
    path.write_text(json.dumps(config))
    assert "'add_embedding.linear_1.weight' is [32, 80], the configuration says [None, 99]" in told(
        load.model, "broken"
    )


# --- sizes -----------------------------------------------------------------------------------------------------------


def test_height_comes_before_width_as_it_was_trained(parts, inputs):
    entry = replace(inputs["positive"].entries[0], framing=Framing((640, 480), (3, 4), (512, 384)))
    with_module = parts.model.build("cpu", "float32")
    family = family_of(parts.model)
    assert family.sizes(with_module, entry, 64, 48) == (480, 640, 4, 3, 384, 512)
    assert family.sizes(with_module, inputs["positive"].entries[0], 64, 48) == (48, 64, 0, 0, 48, 64)


def test_what_a_model_is_told_names_the_steps(inputs):
    plain = active(**inputs)
    assert active(**inputs) == plain
    assert active(**{**inputs, "positive": text.size(inputs["positive"], 512, 512)}) != plain


def test_sizes_are_said_before_the_text_is_encoded():
    outline = Conditioning.outline(Ref("0" * 32, facts={"text_layout": "clip-l+clip-g:64"}))
    found = text.size(outline, 512, 384, crop_x=8)
    assert found.entries[0].framing == Framing((512, 384), (8, 0))
    assert found.layout == outline.layout


def test_half_a_size_is_refused_on_the_empty_side(inputs):
    assert "give both" in told(text.size, inputs["positive"], width=512)
    with pytest.raises(WeftError) as refused:
        text.size(inputs["positive"], target_height=512)
    assert refused.value.problem.where.socket == "target_width"


def test_sd1_is_told_nothing_of_sizes(home, tiny_sd1):
    parts = load.model("tiny-sd1")
    latent = Latent(torch.zeros(1, 4, 32, 32), parts.model.space)
    prompt = text.encode(parts.text_encoder, "a cube")
    given = {"latent": latent, "steps": 1, "cfg": 1.0}
    plain = sample(parts.model, positive=prompt, **given).latent.samples
    assert torch.equal(sample(parts.model, positive=text.size(prompt, 9, 9), **given).latent.samples, plain)


# --- belongs together ------------------------------------------------------------------------------------------------


def test_prompts_of_sd1_are_refused_by_facts(inputs, home, tiny_sd1):
    other = text.encode(load.model("tiny-sd1").text_encoder, "a cube")
    rule = next(rule for rule in spec_of(sample).facts if rule.fact == "text_layout")
    assert check_same(rule, inputs) is None
    problem = check_same(rule, {**inputs, "negative": other})
    assert problem is not None
    assert problem.where.socket == "negative"


def test_a_vae_that_overflows_in_half_precision_is_built_in_full(parts):
    assert {parameter.dtype for parameter in parts.vae.build("cpu", "float16").parameters()} == {torch.float32}
    image = Image(torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(1)))
    half = vae.encode(parts.vae, image, precision="float16").samples
    assert torch.equal(half, vae.encode(parts.vae, image).samples)


def test_long_prompts_lose_nothing(parts):
    entry = text.encode(parts.text_encoder, "a " * 90).entries[0]
    assert entry.embedding.shape == (1, 154, 64), "two windows"
    assert entry.pooled.shape == (1, 32)
