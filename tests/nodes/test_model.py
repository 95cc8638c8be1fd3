"""What a denoiser is said to predict, FreeU, and masks that say how much."""

from dataclasses import replace

import pytest
import torch

from engine.errors import WeftError
from nodes import denoise, load, model, text
from nodes.schedule import Schedule, build
from nodes.types import Denoiser, Latent, LatentSpace, Weights, plain

WHY = "model card: v-prediction, zero terminal SNR"


def recipe(prediction="epsilon", family="sd1", **training) -> Denoiser:
    found = Denoiser(Weights("w", "unet", ""), family, LatentSpace("sd1", 4, 8), prediction)
    return replace(found, training=plain({"prediction_type": prediction, **training}))


# --- what it predicts ------------------------------------------------------------------------------------------------


def test_an_override_reaches_the_scheduler():
    made = model.sampling(recipe(beta_schedule="scaled_linear"), "v_prediction", zero_snr=True, reason=WHY)
    assert made.prediction == "v_prediction"
    scheduler = build(Schedule("euler", "sgm_uniform", 4), made, "cpu").scheduler
    assert scheduler.config.prediction_type == "v_prediction"
    assert scheduler.config.rescale_betas_zero_snr
    assert float(scheduler.sigmas[0]) > 1000, "it starts from noise alone"


def test_nothing_said_changes_nothing():
    assert model.sampling(recipe()) == recipe()


@pytest.mark.parametrize(
    ("of", "inputs", "socket", "said"),
    [
        ({}, {"prediction": "v_prediction"}, "reason", "say how you know"),
        ({}, {"prediction": "v_prediction", "reason": "  "}, "reason", "say how you know"),
        ({}, {"zero_snr": True, "reason": WHY}, "zero_snr", "predicts epsilon says nothing"),
        ({}, {"shift": 3.0}, "shift", "shift moves the times of a flow model"),
        ({"prediction": "flow"}, {"prediction": "epsilon", "reason": WHY}, "prediction", "predicts a flow"),
        ({"prediction": "flow"}, {"shift": 3.0, "max_shift": 1.2}, "shift", "cannot both be"),
    ],
)
def test_what_cannot_be_is_refused_on_its_socket(of, inputs, socket, said):
    with pytest.raises(WeftError, match=said) as caught:
        model.sampling(recipe(**of), **inputs)
    assert caught.value.problem.where.socket == socket


def test_a_shift_moves_a_flow_models_times_and_takes_the_place_of_one_by_size(home, tiny_sd3, tiny_flux):
    for name in ("tiny-sd3", "tiny-flux"):
        flow = load.model(name).model
        times = [
            build(Schedule("euler", "normal", 4), one, "cpu", tokens=64).timesteps
            for one in (flow, model.sampling(flow, shift=1.0), model.sampling(flow, shift=6.0))
        ]
        assert torch.all(times[2][1:] > times[1][1:])
        assert not torch.equal(times[0], times[2])
    flux = load.model("tiny-flux").model
    wide = model.sampling(flux, base_shift=1.0, max_shift=2.0)
    near, far = (build(Schedule("euler", "normal", 4), one, "cpu", tokens=64).timesteps for one in (flux, wide))
    assert torch.all(far[1:] > near[1:])


# --- patches ---------------------------------------------------------------------------------------------------------


class Parts:
    def __init__(self, name: str) -> None:
        self.model, encoder, _ = load.model(name)
        self.red = text.encode(encoder, "a red cube")

    def sample(self, of: Denoiser, latent: Latent | None = None, **inputs) -> torch.Tensor:
        space = of.space
        latent = latent or Latent(torch.zeros(1, space.channels, 16, 16), space)
        given = {"seed": 3, "steps": 4, "cfg": 1.0, **inputs}
        return denoise.sample(of, self.red, latent, **given).latent.samples


@pytest.mark.parametrize("name", ["sd1", "sdxl"])
def test_freeu_acts_and_leaves_nothing_behind(request, home, name):
    request.getfixturevalue(f"tiny_{name}")
    parts = Parts(f"tiny-{name}")
    plain_ = parts.sample(parts.model)
    strong = parts.sample(model.freeu(parts.model, b1=1.2, b2=1.3, s1=0.5, s2=0.4))
    late = parts.sample(model.freeu(parts.model, b1=1.2, b2=1.3, s1=0.5, s2=0.4, start=0.5))
    assert strong.isfinite().all()
    assert not torch.equal(strong, plain_)
    assert not torch.equal(strong, late)
    assert torch.equal(parts.sample(parts.model), plain_)


def test_freeu_on_a_dit_is_refused_with_the_reason():
    for family in ("sd3", "flux-32"):
        with pytest.raises(WeftError, match="weighs a UNet's skips") as caught:
            model.freeu(recipe("flow", family))
        assert caught.value.problem.where.socket == "model"
    with pytest.raises(WeftError, match="never act"):
        model.freeu(recipe(), start=0.5, end=0.5)


@pytest.mark.parametrize("name", ["sd1", "sd3"])
def test_a_soft_mask_says_how_much_of_each_place_changes(request, home, name):
    request.getfixturevalue(f"tiny_{name}")
    parts = Parts(f"tiny-{name}")
    space = parts.model.space
    samples = torch.randn(1, space.channels, 16, 16, generator=torch.Generator().manual_seed(1))
    mask = torch.linspace(0, 1, 16).expand(1, 1, 16, 16)
    soft = Latent(samples, space, mask)
    graded = parts.sample(model.differential(parts.model), soft, steps=8)
    change = (graded - samples).abs().mean(dim=(0, 1, 2))
    assert torch.equal(graded[..., :1], samples[..., :1]), "a place of 0 stays as it is"
    assert change[1:4].mean() < change[12:].mean()
    assert not torch.equal(graded, parts.sample(parts.model, soft, steps=8))
    hard = Latent(samples, space, (mask > 0.5).float())
    both = [parts.sample(of, hard, steps=8) for of in (parts.model, model.differential(parts.model))]
    torch.testing.assert_close(both[0], both[1])
