import pytest
import torch

from engine.errors import WeftError
from engine.node import spec_of
from engine.sockets import Ref
from nodes import latent, mask
from nodes.types import Denoiser, Latent, LatentSpace, Weights

SPACE = LatentSpace("sd1", 4, 8)
MODEL = Denoiser(Weights("id", "unet", "nowhere"), "sd1", SPACE)


def numbered(count, size=4):
    return Latent(torch.arange(count).float().view(-1, 1, 1, 1).expand(-1, 4, size, size).contiguous(), SPACE)


def test_the_model_tells_channels_and_cells():
    made = latent.empty_latent(MODEL, 128, 64, 3)
    assert made.samples.shape == (3, 4, 8, 16)
    assert not made.samples.any()
    other = Denoiser(Weights("id", "transformer", ""), "sd3", LatentSpace("sd3", 16, 16))
    assert latent.empty_latent(other, 128, 64).samples.shape == (1, 16, 4, 8)


@pytest.mark.parametrize(
    ("width", "mend"), [(100, "use 96 or 104"), (1, "use 8"), (7, "use 8"), (513, "use 512 or 520")]
)
def test_a_size_between_cells_is_refused_with_the_two_next_to_it(width, mend):
    with pytest.raises(WeftError) as caught:
        latent.empty_latent(MODEL, width, 64)
    assert caught.value.problem.where.socket == "width"
    assert caught.value.problem.mend.text == mend


@pytest.mark.parametrize("size", [0, -8])
def test_no_size_is_refused(size):
    with pytest.raises(WeftError, match="no size"):
        latent.empty_latent(MODEL, 64, size)


def test_a_size_that_no_machine_holds_is_refused_before_it_is_allocated():
    with pytest.raises(WeftError, match="GiB"):
        latent.empty_latent(MODEL, 10**9, 10**9)
    with pytest.raises(WeftError, match="GiB"):
        latent.empty_latent(MODEL, 16384, 16384, 4096)


def test_the_size_is_refused_while_planning():
    with pytest.raises(WeftError, match="not a multiple of 8"):
        latent.empty_facts(model=MODEL, width=100, height=64, batch=1)
    unknown = latent.empty_facts(model=MODEL, width=Ref("later"), height=64, batch=2)
    assert unknown == {"latent": {"latent_space": "sd1", "height": 64, "batch": 2, "beside": 0}}


def test_a_batch_holds_all_items_in_order():
    made = latent.batch_latents(numbered(2), numbered(3))
    assert made.samples[:, 0, 0, 0].tolist() == [0, 1, 0, 1, 2]
    assert made.noise_mask is None


def test_in_a_batch_items_without_a_mask_change_everywhere():
    masked = latent.set_mask(numbered(1), mask.rectangle(32, 32, 0, 0, 16, 32))
    made = latent.batch_latents(numbered(1), masked)
    assert made.noise_mask.shape == (2, 1, 4, 4)
    assert made.noise_mask[0].all()
    assert made.noise_mask[1].sum() == 8


def test_other_spaces_and_sizes_do_not_stand_in_one_batch():
    with pytest.raises(WeftError, match="sd1 latent 64×64 cannot stand"):
        latent.batch_latents(numbered(1), numbered(1, 8))
    with pytest.raises(WeftError, match="nothing to join"):
        latent.batch_latents()


def test_a_picked_item_keeps_its_own_noise():
    picked = latent.pick_latent(latent.pick_latent(numbered(8), 2, 5), 1, 2)
    assert picked.samples[:, 0, 0, 0].tolist() == [3, 4]
    assert picked.seeds_from == 3
    assert picked.samples.untyped_storage().nbytes() == 2 * 4 * 4 * 4 * 4


def test_an_item_that_is_not_there_is_refused():
    with pytest.raises(WeftError, match=r"items 1\.\.2 of a batch of 2"):
        latent.pick_latent(numbered(2), 1, 2)


def test_a_picked_item_keeps_its_own_mask():
    both = latent.batch_latents(numbered(1), latent.set_mask(numbered(1), mask.solid(32, 32, 0)))
    assert not latent.pick_latent(both, 1).noise_mask.any()


@pytest.mark.parametrize(("cells", "expected"), [("nearest", 0), ("cover", 1), ("average", 4 * 4 / 64)])
def test_a_mask_in_the_corner_of_a_cell_counts_as_asked(cells, expected):
    small = mask.rectangle(32, 32, 12, 12, 16, 16)
    made = latent.set_mask(numbered(1), small, cells)
    assert made.noise_mask.shape == (1, 1, 4, 4)
    assert made.noise_mask[0, 0, 1, 1].item() == pytest.approx(expected)
    assert made.noise_mask.sum().item() == pytest.approx(expected)


def test_a_mask_has_the_size_of_the_picture():
    with pytest.raises(WeftError, match="the mask is 64×32, the picture 32×32"):
        latent.set_mask(numbered(1), mask.solid(64, 32))


def test_resizing_goes_by_pixels_and_takes_the_mask_along():
    masked = latent.set_mask(numbered(2), mask.rectangle(32, 32, 0, 0, 16, 32))
    made = latent.resize_latent(masked, 64, 48)
    assert made.samples.shape == (2, 4, 6, 8)
    assert made.noise_mask.shape == (1, 1, 6, 8)
    assert made.noise_mask.mean() == 0.5
    assert latent.resize_facts(latent=masked, width=64, height=48)["latent"]["width"] == 64


@pytest.mark.parametrize("function", [latent.empty_latent, latent.pick_latent, latent.set_mask, latent.resize_latent])
def test_the_output_is_called_latent(function):
    assert [out.name for out in spec_of(function).outputs] == ["latent"]
