import shutil

import pytest
import torch

from engine.errors import WeftError
from engine.sockets import Ref
from nodes import denoise, load, mask, text, vae
from nodes.inpaint.encode import condition, condition_facts, encode, fill, wiped
from nodes.types import Image, Latent


@pytest.fixture(scope="session")
def tiny_inpaint(models, tiny_sd1):
    """`tiny_sd1` with a UNet of 9 channels."""
    from diffusers import UNet2DConditionModel

    folder = models / "checkpoints" / "tiny-inpaint"
    shutil.copytree(tiny_sd1, folder)
    shutil.rmtree(folder / "unet")
    torch.manual_seed(8)
    config = {**UNet2DConditionModel.load_config(tiny_sd1 / "unet"), "in_channels": 9}
    UNet2DConditionModel.from_config(config).save_pretrained(folder / "unet")
    return folder


def picture(seed=0):
    return Image(torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(seed)))


HOLE = mask.rectangle(64, 64, 20, 20, 44, 44)


def test_the_masked_part_is_wiped_before_it_is_encoded(home, tiny_sd1):
    _, _, autoencoder = load.model("tiny-sd1")
    inside, outside = picture().pixels.clone(), picture().pixels.clone()
    inside[:, 24:40, 24:40] = 1 - inside[:, 24:40, 24:40]
    outside[:, :8] = 1 - outside[:, :8]
    made = encode(autoencoder, picture(), HOLE).samples
    assert torch.equal(made, encode(autoencoder, Image(inside), HOLE).samples)
    assert not torch.equal(made, encode(autoencoder, Image(outside), HOLE).samples)
    assert wiped(picture().pixels, HOLE.alpha)[:, 30, 30].tolist() == [[0.5] * 3]


def test_growing_lets_more_cells_change(home, tiny_sd1):
    _, _, autoencoder = load.model("tiny-sd1")
    sizes = [float(encode(autoencoder, picture(), HOLE, grow).noise_mask.sum()) for grow in (0, 6)]
    assert 0 < sizes[0] < sizes[1] < 32 * 32


def test_the_model_made_for_it_sees_the_mask_and_the_rest_of_the_picture(home, tiny_sd1):
    _, _, autoencoder = load.model("tiny-sd1")
    made = condition(autoencoder, picture(), HOLE)
    factor = made.space.factor
    assert made.beside.shape == (1, 5, 64 // factor, 64 // factor)
    assert torch.equal(made.beside[:, :1], HOLE.alpha[:, None, ::factor, ::factor])
    rest = Image(wiped(picture().pixels, HOLE.alpha))
    assert torch.equal(made.beside[:, 1:], vae.encode(autoencoder, rest).samples)
    assert torch.equal(made.samples, vae.encode(autoencoder, picture()).samples)
    assert condition(autoencoder, picture(), HOLE, keep=False).noise_mask is None


def test_the_rest_of_the_picture_matters_to_a_model_made_for_inpainting(home, tiny_inpaint):
    model, encoder, autoencoder = load.model("tiny-inpaint")
    prompt = text.encode(encoder, "a red cube")

    def sample(image):
        latent = condition(autoencoder, image, HOLE, keep=False)
        return first(denoise.sample(model, prompt, latent, seed=3, steps=2, cfg=1.0))

    other = picture().pixels.clone()
    other[:, :10] = 0
    made, changed = sample(picture()), sample(Image(other))
    assert made.samples.isfinite().all()
    assert not torch.equal(made.samples, changed.samples)


def first(result):
    """The latent of a sampling node, whatever else it gives."""
    return result if isinstance(result, Latent) else result[0]


def test_each_kind_of_model_says_which_latent_it_wants(home, tiny_sd1, tiny_inpaint):
    plain, encoder, autoencoder = load.model("tiny-sd1")
    made_for_it, _, _ = load.model("tiny-inpaint")
    prompt = text.encode(encoder, "a red cube")
    masked, shown = encode(autoencoder, picture(), HOLE), condition(autoencoder, picture(), HOLE)
    with pytest.raises(WeftError, match="takes 9 channels where its latents have 4"):
        denoise.sample(made_for_it, prompt, masked, steps=1, cfg=1.0)
    with pytest.raises(WeftError, match="brings 5 channels beside the noise"):
        denoise.sample(plain, prompt, shown, steps=1, cfg=1.0)


def test_the_plan_already_knows_what_stands_beside_the_noise(home, tiny_sd1):
    _, _, autoencoder = load.model("tiny-sd1")
    given = {"vae": autoencoder, "image": picture(), "fit": "refuse"}
    assert condition_facts(**given)["latent"]["beside"] == 5
    assert "beside" not in condition_facts(**given | {"vae": Ref("later")})["latent"]
    assert vae.encode_facts(**given)["latent"]["beside"] == 0


@pytest.mark.parametrize("how", ["smooth", "grey", "noise"])
def test_filling_changes_only_the_hole(how):
    image = picture()
    made = fill(image, HOLE, how, seed=4).pixels
    kept = HOLE.alpha == 0
    assert torch.equal(made[kept], image.pixels[kept])
    assert not torch.equal(made, image.pixels)


def test_a_smooth_fill_carries_the_surroundings_into_the_hole():
    ramp = torch.linspace(0, 1, 64).view(1, 1, 64, 1).expand(1, 64, 64, 3).contiguous()
    hidden = ramp.clone()
    hidden[:, 20:44, 20:44] = 0
    made = fill(Image(hidden), HOLE).pixels
    assert (made - ramp).abs().max() < 0.2
    assert (made - ramp).abs().mean() < 0.02
    whole = fill(Image(hidden), mask.solid(64, 64)).pixels
    assert whole.isfinite().all()
