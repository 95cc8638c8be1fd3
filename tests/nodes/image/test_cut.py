import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from engine.errors import WeftError
from nodes.image.cut import join_tiles, morphology, tiles
from nodes.types import Image


def picture(height=90, width=120, batch=1):
    return Image(torch.rand(batch, height, width, 3, generator=torch.Generator().manual_seed(0)))


@settings(deadline=None, max_examples=30)
@given(some.integers(16, 130), some.integers(16, 130), some.integers(16, 64), some.integers(0, 15))
def test_a_picture_cut_into_tiles_and_joined_is_the_picture(height, width, tile, overlap):
    image = picture(height, width)
    made = join_tiles(*tiles(image, tile, overlap))
    assert torch.allclose(made.pixels, image.pixels, atol=1e-5)


def test_tiles_that_became_larger_make_a_larger_picture():
    cut = tiles(picture(batch=2), 48, 16)
    larger = [Image(one.pixels.repeat_interleave(2, 1).repeat_interleave(2, 2)) for one in cut.images]
    made = join_tiles(larger, *cut[1:])
    wanted = picture(batch=2).pixels.repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert torch.allclose(made.pixels, wanted, atol=1e-5)


def test_tiles_that_do_not_belong_are_refused():
    cut = tiles(picture(), 48, 16)
    with pytest.raises(WeftError, match="tiles for a cut into"):
        join_tiles(cut.images[1:], *cut[1:])
    with pytest.raises(WeftError, match="no whole multiple"):
        join_tiles([Image(one.pixels[:, :40]) for one in cut.images], *cut[1:])


def square():
    pixels = torch.zeros(1, 20, 20, 3)
    pixels[:, 5:15, 5:15] = 1
    pixels[:, 10, 10] = 0  # a gap
    pixels[:, 2, 2] = 1  # a speck
    return Image(pixels)


@pytest.mark.parametrize(
    ("how", "bright"),
    [("dilate", 12 * 12 + 9), ("erode", 8 * 8 - 9), ("close", 10 * 10 + 1), ("top hat", None), ("bottom hat", 1)],
)
def test_morphology_is_what_its_names_say(how, bright):
    made = morphology(square(), how).pixels[0, ..., 0]
    if bright is None:
        assert made[2, 2] == 1, "the speck"
        assert made[7, 7] == 0
    else:
        assert made.sum() == bright


def test_a_gradient_is_the_outline():
    made = morphology(square(), "gradient").pixels[0, ..., 0]
    assert made[5, 8] == made[4, 8] == 1
    assert made[7, 7] == 0
