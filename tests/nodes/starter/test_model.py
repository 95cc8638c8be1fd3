"""The shipped model loads offline with diffusers, is small, and draws what it is told."""

import json
from pathlib import Path

import numpy as np
import pytest

from nodes.starter import MODEL, check, world

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
