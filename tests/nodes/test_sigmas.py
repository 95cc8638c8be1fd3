"""Noise levels by hand: what a list means, that samplers follow it, and what is no list."""

import pytest
import torch

from engine.errors import WeftError
from nodes import denoise, load, schedule, sigmas, text
from nodes.schedule import METHODS, Schedule, build
from nodes.schedule.table import installed
from nodes.schedule.timetable import SIGMAS, sigma_at, time_at
from nodes.sigmas import ALIGNED
from nodes.types import Latent, Noise


class Parts:
    def __init__(self, name: str) -> None:
        self.model, encoder, _ = load.model(name)
        self.red = text.encode(encoder, "a red cube")

    def sample(self, of: Schedule, latent: Latent | None = None, **inputs) -> denoise.Sampled:
        space = self.model.space
        latent = latent or Latent(torch.zeros(1, space.channels, 16, 16), space)
        return denoise.sample(self.model, self.red, latent, **{"seed": 3, "cfg": 1.0, "schedule": of, **inputs})


@pytest.fixture
def sd1(home, tiny_sd1) -> Parts:
    return Parts("tiny-sd1")


@pytest.fixture
def sd3(home, tiny_sd3) -> Parts:
    return Parts("tiny-sd3")


def test_the_levels_of_a_schedule_written_down_are_that_schedule(sd1):
    spaced = Schedule("euler", "karras", 5)
    levels = [float(sigma) for sigma in build(spaced, sd1.model, "cpu").scheduler.sigmas]
    hand = sigmas.by_hand("euler", ", ".join(map(repr, levels)))
    found, wanted = sd1.sample(hand).latent.samples, sd1.sample(spaced).latent.samples
    torch.testing.assert_close(found, wanted, rtol=1e-2, atol=1e-2)
    curve = sigmas.curve("euler", "karras", 5, high=levels[0], low=levels[-2])
    torch.testing.assert_close(sd1.sample(curve).latent.samples, wanted, rtol=1e-2, atol=1e-2)


def test_a_flows_levels_are_final(sd3):
    spaced = Schedule("euler", "normal", 4)
    levels = [float(sigma) for sigma in build(spaced, sd3.model, "cpu").scheduler.sigmas]
    found = sd3.sample(sigmas.by_hand("euler", ", ".join(map(repr, levels)))).latent.samples
    torch.testing.assert_close(found, sd3.sample(spaced).latent.samples, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sampler", [name for name in METHODS if all(map(installed, METHODS[name].noise.needs))])
def test_every_sampler_follows_them_or_says_that_it_cannot(sd1, sampler):
    hand = sigmas.by_hand(sampler, "14, 6, 2, 0.5, 0")
    if sampler not in SIGMAS["noise"]:
        with pytest.raises(WeftError, match="takes no noise levels by hand") as caught:
            sd1.sample(hand)
        assert caught.value.problem.where.socket == "sampler"
        return
    found = sd1.sample(hand)
    assert found.latent.samples.isfinite().all()
    assert not torch.equal(found.latent.samples, sd1.sample(sigmas.by_hand(sampler, "14, 5, 1, 0.5, 0")).latent.samples)
    stopped = sd1.sample(hand, stop_step=2).latent.leftover
    assert stopped.sigma == pytest.approx(2, rel=0.02)


@pytest.mark.parametrize("sampler", SIGMAS["flow"])
def test_every_flow_sampler_follows_them(sd3, sampler):
    found = sd3.sample(sigmas.by_hand(sampler, "1, 0.8, 0.4, 0"))
    assert found.latent.samples.isfinite().all()
    assert not torch.equal(found.latent.samples, sd3.sample(sigmas.by_hand(sampler, "1, 0.6, 0.4, 0")).latent.samples)


def test_a_list_that_ends_above_nought_leaves_noise_for_who_goes_on(sd1):
    whole = sigmas.by_hand("euler", "14, 6, 2, 0.5, 0")
    half = sd1.sample(sigmas.by_hand("euler", "14, 6, 2"))
    rest = sd1.sample(sigmas.by_hand("euler", "2, 0.5, 0"), half.latent, noise=Noise(3, off=True))
    assert torch.equal(rest.latent.samples, sd1.sample(whole).latent.samples)
    halves = schedule.split(whole, 2)
    again = sd1.sample(halves.low, sd1.sample(halves.high).latent, add_noise=False)
    assert torch.equal(again.latent.samples, sd1.sample(whole).latent.samples)


def test_timesteps_and_levels_are_each_others_inverse(sd1, sd3):
    for parts, times in ((sd1, (0.0, 17.3, 500.0, 999.0)), (sd3, (0.0, 250.0, 1000.0))):
        scheduler = build(Schedule("euler", "normal", 4), parts.model, "cpu").scheduler
        for t in times:
            prediction = parts.model.prediction
            assert time_at(scheduler, sigma_at(scheduler, t, prediction), prediction) == pytest.approx(t, abs=1e-2)


def test_aligned_steps_are_the_published_ones_and_others_lie_between():
    for name, levels in ALIGNED.items():
        assert sigmas.align_steps("euler", name, 10).sigmas == pytest.approx((*levels[:-1], 0.0))
        five = sigmas.align_steps("euler", name, 5).sigmas
        assert five == pytest.approx((*levels[:-1:2], 0.0))


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        ("14, x", "is no list of numbers"),
        ("14", "one step needs two noise levels"),
        ("", "one step needs two noise levels"),
        ("1, 2, 0", "noise must fall: 2 comes after 1"),
        ("1, 1, 0", "noise must fall"),
        ("1, -1", "noise must fall"),
        ("inf, 1", "must be a number"),
        ("nan, 0", "must be a number"),
    ],
)
def test_what_is_no_list_of_falling_levels_is_refused(levels, said):
    with pytest.raises(WeftError, match=said) as caught:
        sigmas.by_hand("euler", levels)
    assert caught.value.problem.where.socket == "sigmas"


def test_more_noise_than_a_flow_has_is_refused(sd3):
    with pytest.raises(WeftError, match="noise goes from 1 to 0, the first level is 14"):
        sd3.sample(sigmas.by_hand("euler", "14, 1, 0"))
    with pytest.raises(WeftError, match="not above the last"):
        sigmas.curve(high=1.0, low=2.0)
