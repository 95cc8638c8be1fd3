import pytest
import torch

from engine.errors import WeftError
from nodes import mask
from nodes.types import Image, Mask


def square():
    return mask.rectangle(16, 12, 4, 3, 8, 9)


def test_a_rectangle_is_one_inside_and_zero_outside():
    alpha = square().alpha
    assert alpha.shape == (1, 12, 16)
    assert alpha.sum() == 4 * 6
    assert alpha[0, 3, 4] == alpha[0, 8, 7] == 1
    assert alpha[0, 9, 8] == alpha[0, 2, 3] == 0


@pytest.mark.parametrize("corners", [(4, 0, 4, 8), (0, 0, 17, 8), (0, 8, 4, 4), (0, 0, 8, 13)])
def test_a_rectangle_lies_within_its_mask(corners):
    with pytest.raises(WeftError, match="no rectangle within 16×12"):
        mask.rectangle(16, 12, *corners)


def test_growing_adds_pixels_in_each_direction_and_shrinking_takes_them_back():
    assert mask.grow(square(), 2).alpha.sum() == 8 * 10
    assert mask.grow(square(), -1).alpha.sum() == 2 * 4
    assert torch.equal(mask.grow(mask.grow(square(), 2), -2).alpha, square().alpha)
    assert torch.equal(mask.grow(square(), 0).alpha, square().alpha)


def test_feathering_softens_the_edge_and_keeps_the_amount():
    soft = mask.feather(mask.rectangle(64, 64, 24, 24, 40, 40), 2.0).alpha
    assert soft.sum().item() == pytest.approx(16 * 16, rel=1e-3)
    assert soft[0, 32, 32] > 0.99
    assert 0.3 < soft[0, 32, 24] < 0.7
    assert soft[0, 0, 0] == 0


def test_the_mask_of_a_picture_is_its_channel_or_its_brightness():
    image = Image(torch.rand(2, 5, 7, 3))
    assert torch.equal(mask.from_image(image, "green").alpha, image.pixels[..., 1])
    assert mask.from_image(Image(torch.ones(1, 2, 2, 3))).alpha.allclose(torch.ones(1, 2, 2))


def test_masks_combine_as_sets_do():
    a, b = mask.rectangle(16, 16, 0, 0, 8, 16), mask.rectangle(16, 16, 4, 0, 12, 16)
    columns = {
        mode: mask.combine(a, b, mode).alpha[0, 0].nonzero().flatten().tolist() for mode in ("union", "intersect")
    }
    assert columns == {"union": list(range(12)), "intersect": [4, 5, 6, 7]}
    assert mask.combine(a, b, "subtract").alpha[0, 0].nonzero().flatten().tolist() == [0, 1, 2, 3]
    assert mask.combine(a, b, "difference").alpha.sum() == 8 * 16


def test_masks_of_other_sizes_are_refused_on_the_second_socket():
    with pytest.raises(WeftError) as caught:
        mask.combine(mask.solid(16, 16), mask.solid(16, 24))
    assert caught.value.problem.where.socket == "other"


def test_the_rest():
    assert mask.invert(mask.solid(16, 16, 0.25)).alpha.unique().tolist() == [0.75]
    assert mask.threshold(mask.solid(16, 16, 0.6), 0.5).alpha.unique().tolist() == [1]
    assert mask.resize(square(), 32, 24, "nearest").alpha.sum() == 4 * 4 * 6


def test_no_mask_is_written_into():
    alpha = torch.rand(1, 16, 16)
    before = alpha.clone()
    for made in (
        mask.invert(Mask(alpha)),
        mask.grow(Mask(alpha), 2),
        mask.feather(Mask(alpha)),
        mask.threshold(Mask(alpha)),
    ):
        assert made.alpha.data_ptr() != alpha.data_ptr()
    assert torch.equal(alpha, before)
    assert alpha._version == 0
