from contextlib import contextmanager

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from diffusers.image_processor import VaeImageProcessor

from engine.errors import Cancelled, WeftError
from engine.invoke import EngineRun, Hooks, using_ambient
from engine.memory import Memory
from engine.numerics import Numerics
from engine.sockets import Ref
from nodes import mask, vae
from nodes.types import VAE, Image, Latent, LatentSpace, Weights

SPACE = LatentSpace("tiny", 4, 8)
BUILT = []


class Tiny(VAE):
    """A recipe whose module is made here, as a family would load it; tells in which dtype."""

    def build(self, device, dtype):
        torch.manual_seed(0)
        BUILT.append(dtype)
        made = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(4, 4, 8, 8),
            norm_num_groups=2,
            latent_channels=4,
            sample_size=32,
        )
        return made.to(device, getattr(torch, dtype)).eval()


RECIPE = Tiny(Weights("tiny", "vae", ""), SPACE, scale=0.5, shift=0.1, width=8)


@pytest.fixture(scope="module", autouse=True)
def run():
    made = EngineRun("", Memory({"cpu": 2**30}), Numerics(device="cpu"))
    with using_ambient(made):
        yield made


@pytest.fixture(scope="module")
def module(run):
    with run.lease(RECIPE) as live:
        return live


def picture(batch=2, height=32, width=48):
    levels = torch.randint(0, 256, (batch, height, width, 3), generator=torch.Generator().manual_seed(1))
    return Image(levels.float() / 255)


def noise(batch=2):
    return Latent(torch.randn(batch, 4, 4, 6, generator=torch.Generator().manual_seed(2)), SPACE)


@torch.no_grad()
def test_decoding_is_bit_equal_to_diffusers(module):
    latent = noise()
    reference = module.decode(latent.samples / 0.5 + 0.1, return_dict=False)[0]
    processor = VaeImageProcessor(vae_scale_factor=8)
    made = vae.decode(RECIPE, latent)
    assert np.array_equal(made.numpy(), processor.postprocess(reference, output_type="np"))
    ours, theirs = made.pil(), processor.postprocess(reference, output_type="pil")
    assert [np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True)] == [True, True]
    assert made.pixels.dtype == torch.float32
    assert made.pixels.min() >= 0
    assert made.pixels.max() <= 1


@torch.no_grad()
def test_encoding_is_bit_equal_to_diffusers(module):
    image = picture()
    pixels = VaeImageProcessor(vae_scale_factor=8).preprocess(image.pil())
    reference = (module.encode(pixels).latent_dist.mode() - 0.1) * 0.5
    made = vae.encode(RECIPE, image)
    assert torch.equal(made.samples, reference)
    assert made.facts == {"latent_space": "tiny", "batch": 2, "height": 32, "width": 48, "beside": 0}


@torch.no_grad()
def test_a_draw_from_the_posterior_is_diffusers_draw_and_each_item_has_its_own_seed(module):
    image = picture()
    posterior = module.encode(picture().pixels.movedim(-1, 1) * 2 - 1).latent_dist
    eps = torch.cat([torch.randn(1, 4, 4, 6, generator=torch.Generator().manual_seed(5 + i)) for i in range(2)])
    made = vae.encode(RECIPE, image, sample=True, seed=5)
    assert torch.equal(made.samples, (posterior.mean + posterior.std * eps - 0.1) * 0.5)
    alone = vae.encode(RECIPE, Image(image.pixels[1:]), sample=True, seed=6)
    assert torch.allclose(alone.samples, made.samples[1:], atol=1e-5)
    assert not torch.equal(vae.encode(RECIPE, image).samples, made.samples)


def test_a_size_that_is_no_whole_number_of_cells_is_refused_cut_or_filled_as_asked():
    image = picture(1, 35, 50)
    with pytest.raises(WeftError) as caught:
        vae.encode(RECIPE, image)
    assert caught.value.problem.where.socket == "image"
    assert "width 50 is not a multiple of 8" in str(caught.value)
    cut = vae.encode(RECIPE, image, fit="crop")
    assert torch.equal(cut.samples, vae.encode(RECIPE, Image(image.pixels[:, 1:33, 1:49].contiguous())).samples)
    filled = vae.encode(RECIPE, image, fit="pad")
    assert filled.samples.shape == (1, 4, 5, 7)


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_the_mask_is_cut_or_filled_with_the_picture(fit):
    image, size = picture(1, 35, 50), {"crop": (4, 6), "pad": (5, 7)}[fit]
    made = vae.encode(RECIPE, image, mask.solid(50, 35, 1), fit=fit)
    assert made.noise_mask.shape == (1, 1, *size)
    assert made.noise_mask.all()


def test_the_size_is_known_or_refused_while_planning():
    known = Ref("image", {"width": 50, "height": 32, "batch": 3})
    with pytest.raises(WeftError, match="multiple of 8"):
        vae.encode_facts(vae=RECIPE, image=known, fit="refuse")
    facts = vae.encode_facts(vae=RECIPE, image=known, fit="crop")
    known = {"latent_space": "tiny", "batch": 3, "width": 48, "height": 32}
    assert facts == {"latent": {**known, "beside": 0, "picture": True}}
    assert vae.encode_facts(vae=RECIPE, image=Ref("later"), fit="refuse") == {
        "latent": {"latent_space": "tiny", "beside": 0, "picture": True}
    }


def test_a_latent_of_another_vae_is_refused():
    with pytest.raises(WeftError, match="space sdxl, the VAE makes tiny"):
        vae.decode(RECIPE, Latent(torch.zeros(1, 4, 4, 4), LatentSpace("sdxl", 4, 8)))


def test_the_precision_asked_for_is_what_the_vae_computes_in():
    BUILT.clear()
    half = vae.decode(RECIPE, noise(), precision="bfloat16")
    assert BUILT == ["bfloat16"]
    assert half.pixels.dtype == torch.float32
    assert 0 < (half.pixels - vae.decode(RECIPE, noise()).pixels).abs().max() < 0.1


def test_a_result_that_overflows_names_the_precision_and_the_mend():
    huge = Latent(torch.full((1, 4, 4, 4), 3e38), SPACE)
    with pytest.raises(WeftError) as caught:
        vae.decode(RECIPE, huge, precision="bfloat16")
    assert caught.value.problem.where.socket == "precision"
    assert caught.value.problem.mend.text == "set precision to float32"
    with pytest.raises(WeftError, match="float32 gave values that are not finite"):
        vae.decode(RECIPE, Latent(torch.full((1, 4, 4, 4), torch.nan), SPACE))


def test_room_is_asked_for_the_activations_before_the_module_runs(run):
    asked = []

    class Asking(EngineRun):
        @contextmanager
        def lease(self, recipe, working_bytes=0):
            asked.append(working_bytes)
            with run.lease(recipe, working_bytes) as module:
                yield module

    with using_ambient(Asking("", run.memory, run.numerics)):
        vae.decode(RECIPE, noise(1))
        vae.decode(RECIPE, noise(2))
    assert asked == [32 * 48 * 8 * 6 * 4, 2 * 32 * 48 * 8 * 6 * 4]


def test_no_input_is_written_into():
    latent, image = noise(), picture()
    vae.decode(RECIPE, latent)
    vae.encode(RECIPE, image)
    assert latent.samples._version == image.pixels._version == 0


# --- tiles -----------------------------------------------------------------------------------------------------------


class Told(EngineRun):
    """A run that remembers its progress."""

    def __init__(self):
        super().__init__("", Memory({"cpu": 2**30}), Numerics(device="cpu"))
        self.told = []

    def progress(self, done, total, text=""):
        self.told.append((done, total, text))


def test_tiles_decode_to_nearly_the_same_picture_and_tell_how_far_they_are():
    latent = Latent(torch.randn(1, 4, 24, 32, generator=torch.Generator().manual_seed(3)), SPACE)
    with using_ambient(Told()) as told:
        whole = vae.decode(RECIPE, latent).pixels
        assert told.told == []
        tiled = vae.decode(RECIPE, latent, tile=128, overlap=64).pixels
    assert told.told == [(index, 6, "tiles") for index in range(6)]
    assert tiled.shape == whole.shape
    assert (tiled - whole).abs().mean() < 0.02, "a normalisation sees only its tile"
    assert (tiled - whole).abs().mean() > 0, "which is why tiles are part of the key"


def test_tiles_encode_to_nearly_the_same_latents_of_the_same_draw():
    image = picture(1, 192, 256)
    for sample in (False, True):
        whole = vae.encode(RECIPE, image, sample=sample, seed=5).samples
        tiled = vae.encode(RECIPE, image, sample=sample, seed=5, tile=128, overlap=64).samples
        assert tiled.shape == whole.shape
        assert (tiled - whole).abs().mean() < 0.1 * whole.std()


def test_one_tile_is_the_whole_bit_for_bit():
    latent = noise(1)
    assert torch.equal(vae.decode(RECIPE, latent, tile=512).pixels, vae.decode(RECIPE, latent).pixels)
    image = picture(1)
    assert torch.equal(vae.encode(RECIPE, image, tile=512).samples, vae.encode(RECIPE, image).samples)


def test_a_cancelled_tiled_decode_ends_at_the_next_tile():
    asked = []
    hooks = Hooks(cancelled=lambda: len(asked) > 2, progress=lambda done, total, text: asked.append(done))
    latent = Latent(torch.zeros(1, 4, 32, 32), SPACE)
    with using_ambient(EngineRun("", Memory({"cpu": 2**30}), Numerics(device="cpu"), hooks)), pytest.raises(Cancelled):
        vae.decode(RECIPE, latent, tile=64, overlap=16)
    assert len(asked) == 3


def test_a_picture_that_does_not_fit_is_decoded_in_a_leaner_way_and_says_so(home, tiny_sd1):
    """One picture at a time first: the mildest way that fits, under another key."""
    from engine.events import StepRetried
    from engine.memory import Memory
    from engine.numerics import Numerics
    from engine.records import Records
    from engine.session import Session
    from nodes.load import model
    from tests.nodes.families.test_in_the_engine import flow

    class Small(Memory):
        """Memory in which a decode of more than a tile, or of more than one picture, runs out."""

        most = 10**9

        def lease(self, recipe, device, dtype, working_bytes=0, check=None):
            if type(recipe).__name__ == "VAE" and working_bytes > self.most:
                raise RuntimeError(f"out of memory: {working_bytes}")
            return super().lease(recipe, device, dtype, working_bytes, check)

    memory = Small({"cpu": 10**9})
    recipe = model("tiny-sd1").vae
    memory.most = vae._working(recipe, (1, 3, 64, 64))
    work = flow("tiny-sd1", canvas={"batch": 2})
    with Session(places=home, memory=memory, records=Records(), numerics=Numerics("cpu", threads=1)) as session:
        found = session.run(work)
        assert found.state == "succeeded"
        told = [event.how for event in found.events if isinstance(event, StepRetried) and event.numerics_changed]
        assert told == ["with one picture at a time, which changes the result slightly"]
        memory.most = 10**9
        whole = Session(places=home, memory=Memory(), records=Records(), numerics=Numerics("cpu", threads=1))
        with whole:
            other = whole.run(work)
        assert (found["image"].pixels - other["image"].pixels).abs().max() < 1e-3
