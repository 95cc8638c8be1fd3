"""Noise as a recipe: which seed, which convention, or none."""

import pytest
import torch

from engine.node import MAX_SEED, coerce, spec_of
from nodes import load, noise, text
from nodes.denoise import sample
from nodes.types import Latent, Noise


def test_noise_is_known_before_anything_runs():
    spec = spec_of(noise.make)
    assert spec.light
    assert [out.name for out in spec.outputs] == ["noise"]
    assert noise.make(7, single_stream=True) == Noise(7, True, False)


def test_a_seed_is_exact_up_to_its_largest():
    seed = spec_of(noise.make).by_name["seed"]
    assert noise.make(coerce(seed, str(MAX_SEED))).seed == 2**64 - 1


@pytest.fixture
def world(home, tiny_sd1):
    parts = load.model("tiny-sd1")
    return {"model": parts.model, "positive": text.encode(parts.text_encoder, "a red cube")}


def run(world, noise, batch=1, samples=None, **more):
    space = world["model"].space
    samples = torch.zeros(batch, 4, 32, 32) if samples is None else samples
    return sample(**world, latent=Latent(samples, space), steps=2, cfg=1.0, noise=noise, **more).latent.samples


@pytest.mark.parametrize("sampler", ["euler", "euler_ancestral"])
def test_an_item_of_a_batch_renders_alone_from_its_own_seed(world, sampler):
    batch = run(world, Noise(40), batch=3, sampler=sampler)
    for index in range(3):
        alone = run(world, Noise(40 + index), sampler=sampler)
        assert torch.allclose(batch[index : index + 1], alone, atol=1e-3)  # a batch rounds otherwise


def test_a_single_stream_is_one_draw_for_the_whole_batch(world):
    batch = run(world, Noise(40, single_stream=True), batch=2)
    assert torch.allclose(batch[:1], run(world, Noise(40)), atol=1e-3)
    assert not torch.allclose(batch[1:], run(world, Noise(41)), atol=1.0)


def test_noise_off_takes_the_latent_as_it_is(world):
    start = torch.randn(1, 4, 32, 32, generator=torch.Generator().manual_seed(1))
    assert torch.equal(run(world, Noise(1, off=True), samples=start), run(world, Noise(2, off=True), samples=start))
    other = start + 1
    assert not torch.equal(run(world, Noise(1, off=True), samples=start), run(world, Noise(1, off=True), samples=other))
