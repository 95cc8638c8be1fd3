"""The shipped model loads offline with diffusers, is small, and draws what it is told."""

import json
from pathlib import Path

import numpy as np
import pytest

from nodes.starter import CONTROLNET, LORA, MODEL, check, check_adapters, train_control, world

ASKED = [
    ("a red sphere on a gray background", 1),
    ("a blue cube on the left on a beige floor", 2),
    ("a big yellow cylinder on the right on a mint background", 3),
    ("a green cube left of a purple sphere on a white background", 4),
    ("a cyan sphere right of a black cylinder on a pink floor", 5),
    ("an orange cylinder and a blue sphere on a lavender background", 6),
]


@pytest.fixture(scope="module")
def pipe():
    import torch
    from diffusers import StableDiffusionPipeline

    loaded = StableDiffusionPipeline.from_pretrained(MODEL, variant="fp16", dtype=torch.float32, local_files_only=True)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def test_it_draws_what_it_is_told():
    asked = [check.Prompt(text, scene, seed, False) for text, seed in ASKED if (scene := world.read(text))]
    assert len(asked) == len(ASKED)
    for prompt, rgb in zip(asked, check.render(MODEL, asked, batch=6), strict=True):
        assert rgb.shape == (128, 128, 3) and rgb.dtype == np.float32
        assert check.judge(rgb, prompt.scene).all, prompt.text


def test_a_picture_survives_the_vae(pipe):
    import torch

    _, scene, drawn = world.picture(77, 3, held=None)
    x = torch.from_numpy(drawn.rgb).permute(2, 0, 1)[None] * 2 - 1  # [1, 3, 128, 128]
    with torch.no_grad():
        latent = pipe.vae.encode(x).latent_dist.mean
        made = (pipe.vae.decode(latent).sample[0].permute(1, 2, 0) / 2 + 0.5).clamp(0, 1).numpy()
    assert latent.shape == (1, 4, 16, 16)
    assert -10 * np.log10(np.square(made - drawn.rgb).mean()) > 33
    assert check.judge(made, scene).all


def test_its_constants_are_not_the_usual_ones(pipe):
    assert pipe.vae.config.scaling_factor == 0.5
    assert pipe.tokenizer.model_max_length == pipe.text_encoder.config.max_position_embeddings == 32
    assert pipe.unet.config.cross_attention_dim == pipe.text_encoder.config.hidden_size == 128
    assert pipe.scheduler.config.prediction_type == "epsilon"
    assert pipe.scheduler.config.beta_schedule == "scaled_linear"
    assert pipe.safety_checker is None


def test_words_it_never_met_do_no_harm(pipe):
    made = pipe("a zebra, naïve 🙂 " + "very " * 60, num_inference_steps=2, output_type="np").images
    assert np.isfinite(made).all()


def test_the_lora_makes_objects_bigger_and_below_zero_smaller(pipe):
    asked = check_adapters.prompts(4)
    pipe.load_lora_weights(LORA, adapter_name="big")
    sizes = []
    for strength in (-1.0, 0.0, 1.0):
        pipe.set_adapters("big", strength)
        sizes.append(check_adapters.radius(list(check_adapters.drawn(pipe, asked))))
    pipe.unload_lora_weights()
    assert sizes[0] < 0.97 * sizes[1] and sizes[2] > 1.2 * sizes[1]


def test_the_controlnet_holds_the_edges_of_a_picture(pipe):
    import torch
    from diffusers import ControlNetModel, StableDiffusionControlNetPipeline

    asked = check_adapters.prompts(4)
    real = list(check.truth(asked))
    lines = np.stack([train_control.edges(np.round(rgb * 255)) for rgb in real])
    hint = torch.from_numpy(lines)[:, None].expand(-1, 3, -1, -1)
    net = ControlNetModel.from_pretrained(CONTROLNET, variant="fp16", dtype=torch.float32)
    guided = StableDiffusionControlNetPipeline.from_pipe(pipe, controlnet=net)
    guided.set_progress_bar_config(disable=True)
    made = list(check_adapters.drawn(guided, asked, hint))
    assert np.mean([check_adapters.overlap(a, b) for a, b in zip(made, real, strict=True)]) > 0.8
    assert all(check.judge(rgb, one.scene).all for rgb, one in zip(made, asked, strict=True))


def test_it_is_small_and_in_half_precision():
    from safetensors import safe_open

    files = [path for path in MODEL.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 20_000_000
    weights = [path for path in files if path.suffix == ".safetensors"]
    assert len(weights) == 3 and all(".fp16." in path.name for path in weights)
    for path in weights:
        with safe_open(path, "np") as stored:
            assert {stored.get_slice(key).get_dtype() for key in stored.keys()} == {"F16"}  # noqa: SIM118


def test_nothing_of_the_machine_that_made_it_is_in_its_files():
    for path in Path(MODEL).rglob("*.json"):
        json.loads(path.read_text())
        assert not any(mark in path.read_text() for mark in ("/tmp", "/work", "/home"))
