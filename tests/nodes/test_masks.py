"""Masks from shapes, colours and files, and what is done with them; the first ones are in test_mask.py."""

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from engine.errors import WeftError
from engine.sockets import Ref
from nodes import mask
from nodes.image.draw import solid
from nodes.mask.make import rectangle_facts
from nodes.types import Image, Mask


def test_a_rectangle_outside_its_mask_is_told_while_planning():
    corners = {"left": 128, "top": 128, "right": 384, "bottom": 384}
    with pytest.raises(WeftError, match="no rectangle within 64×64") as caught:
        rectangle_facts(width=64, height=64, **corners)
    assert caught.value.problem.where.socket == "left"
    with pytest.raises(WeftError) as caught:
        rectangle_facts(width=256, height=512, **corners)
    assert caught.value.problem.where.socket == "right"
    assert rectangle_facts(width=Ref("later"), height=64, **corners) == {}
    assert rectangle_facts(width=512, height=512, **corners) == {}


def test_an_ellipse_has_its_area_and_a_smooth_edge():
    made = mask.ellipse(128, 96, 0.5, 0.5, 0.5, 0.5).alpha[0]
    assert made.sum().item() == pytest.approx(np.pi * 32 * 24, rel=0.01)
    assert made[48, 64] == 1
    assert made[0, 0] == 0
    assert 0 < ((made > 0) & (made < 1)).sum() < 400


def test_a_polygon_is_what_its_corners_enclose():
    made = mask.polygon(64, 64, "0,0 1,0 0,1").alpha[0]
    assert made.sum().item() == pytest.approx(64 * 64 / 2, rel=0.02)
    assert made[4, 4] == 1
    assert made[60, 60] == 0
    for bad in ("0,0 1,1", "a b c", "0,0 1 1,1"):
        with pytest.raises(WeftError, match="are no corners"):
            mask.polygon(64, 64, bad)


@pytest.mark.parametrize(
    ("direction", "low", "high"),
    [
        ("right", (5, 0), (5, -1)),
        ("left", (5, -1), (5, 0)),
        ("down", (0, 5), (-1, 5)),
        ("outwards", (16, 16), (0, 0)),
        ("inwards", (0, 0), (16, 16)),
    ],
)
def test_a_gradient_rises_in_its_direction(direction, low, high):
    made = mask.gradient(33, 33, direction).alpha[0]
    assert made[low] < 0.05
    assert made[high] > 0.95
    hard = mask.gradient(32, 32, "right", 0.5, 0.5).alpha[0]
    assert hard[0].tolist() == [0] * 16 + [1] * 16


def test_a_colour_is_found_within_its_tolerance():
    image = Image(
        torch.cat([solid(8, 8, "#00ff00").pixels, solid(8, 8, "#20f020").pixels, solid(8, 8, "red").pixels], 2)
    )
    exact, near = mask.from_colour(image, tolerance=1).alpha[0, 0], mask.from_colour(image, tolerance=20).alpha[0, 0]
    assert exact.tolist() == [1] * 8 + [0] * 16
    assert near.tolist() == [1] * 16 + [0] * 8
    soft = mask.from_colour(image, tolerance=0, softness=20).alpha[0, 0]
    assert 0 < soft[10] < 1


def test_a_range_of_brightness_or_colour_is_found():
    ramp = Image(torch.linspace(0, 1, 101).view(1, 1, 101, 1).expand(1, 2, 101, 3).contiguous())
    made = mask.from_range(ramp, 0.295, 0.605).alpha[0, 0]
    assert made.nonzero().flatten().tolist() == list(range(30, 61))
    soft = mask.from_range(ramp, 0.3, 0.6, softness=0.1).alpha[0, 0]
    assert soft[25].item() == pytest.approx(0.5, abs=0.01)
    assert mask.from_range(solid(4, 4, "red"), 0.9, 1.0, "saturation").alpha.min() == 1
    with pytest.raises(WeftError, match="above high"):
        mask.from_range(ramp, 0.6, 0.3)


def test_a_file_is_a_mask_by_brightness_or_by_what_is_transparent(home):
    levels = np.zeros((6, 9, 4), np.uint8)
    levels[:, :3, :3], levels[:, 3:, 3] = 255, 255
    home.input.mkdir(parents=True)
    PIL.Image.fromarray(levels).save(home.input / "m.png")
    assert mask.load("m.png").alpha[0, 0].tolist() == pytest.approx([1] * 3 + [0] * 6, abs=1e-6)
    assert mask.load("m.png", "alpha").alpha[0, 0].tolist() == [1] * 3 + [0] * 6
    assert mask.load("m.png", "red").alpha[0, 0].tolist() == [1] * 3 + [0] * 6


soft_masks = some.integers(0, 2**31).map(
    lambda seed: torch.rand(1, 12, 16, generator=torch.Generator().manual_seed(seed))
)


@settings(deadline=None)
@given(soft_masks, soft_masks)
def test_combining_is_the_arithmetic_it_says_and_stays_in_range(a, b):
    hard = Mask((a > 0.5).float()), Mask((b > 0.5).float())
    one, two = hard[0].alpha.bool(), hard[1].alpha.bool()
    truth = {
        "union": one | two,
        "add": one | two,
        "intersect": one & two,
        "multiply": one & two,
        "subtract": one & ~two,
        "difference": one ^ two,
        "xor": one ^ two,
    }
    for mode, wanted in truth.items():
        assert torch.equal(mask.combine(*hard, mode).alpha.bool(), wanted), mode
        soft = mask.combine(Mask(a), Mask(b), mode).alpha
        assert soft.min() >= 0
        assert soft.max() <= 1


@settings(deadline=None, max_examples=30)
@given(soft_masks, some.integers(0, 5), some.sampled_from(["square", "round"]))
def test_growing_and_shrinking_mirror_each_other(a, pixels, shape):
    hard = Mask((a > 0.7).float())
    grown = mask.grow(hard, pixels, shape).alpha
    assert (grown >= hard.alpha).all()
    shrunk = 1 - mask.grow(Mask(1 - hard.alpha), -pixels, shape).alpha
    assert torch.equal(grown, shrunk)


def test_a_round_mask_grows_round():
    point = torch.zeros(1, 21, 21)
    point[0, 10, 10] = 1
    disc = mask.grow(Mask(point), 6, "round").alpha
    assert disc.sum().item() == pytest.approx(np.pi * 36, rel=0.1)
    assert mask.grow(Mask(point), 6).alpha.sum() == 13 * 13
    assert torch.equal(mask.grow(Mask(point * 0.5), 6, "round").alpha, disc * 0.5)
    assert mask.grow(Mask(point * 0), 6, "round").alpha.max() == 0


def test_fading_reaches_zero_at_the_sides_named():
    made = mask.fade(mask.solid(32, 32), left=8, bottom=4).alpha[0]
    assert made[10, 0] < 0.1
    assert made[10, 8:].min() == 1
    assert made[-1, 20] < 0.2
    assert made[0, 20] == 1


def test_levels_stretch_and_weaken():
    ramp = Mask(torch.linspace(0, 1, 11).expand(1, 2, 11))
    assert mask.levels(ramp, 0.2, 0.7, 0.5).alpha[0, 0].tolist() == pytest.approx(
        [0, 0, 0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.5, 0.5], abs=1e-6
    )
    with pytest.raises(WeftError, match="not above"):
        mask.levels(ramp, 0.5, 0.5)


def test_a_hole_is_filled_and_a_bay_is_not():
    ring = mask.combine(mask.rectangle(32, 32, 4, 4, 28, 28), mask.rectangle(32, 32, 10, 10, 20, 20), "subtract")
    assert torch.equal(mask.fill_holes(ring).alpha, mask.rectangle(32, 32, 4, 4, 28, 28).alpha)
    bay = mask.combine(ring, mask.rectangle(32, 32, 0, 12, 12, 14), "subtract")
    assert torch.equal(mask.fill_holes(bay).alpha, bay.alpha)


def test_specks_go_and_the_largest_stay():
    both = mask.combine(mask.rectangle(64, 64, 4, 4, 40, 40), mask.rectangle(64, 64, 50, 50, 60, 60))
    speck = mask.combine(both, mask.rectangle(64, 64, 0, 60, 2, 62))
    assert torch.equal(mask.clean(speck, 16).alpha, both.alpha)
    assert torch.equal(mask.clean(speck, 0, keep=1).alpha, mask.rectangle(64, 64, 4, 4, 40, 40).alpha)
    assert mask.clean(speck, 10_000).alpha.max() == 0


def test_the_box_around_a_mask_is_measured():
    found = mask.box(mask.rectangle(64, 48, 10, 12, 30, 40))
    assert found[1:] == (10, 12, 20, 28)
    assert torch.equal(found.mask.alpha, mask.rectangle(64, 48, 10, 12, 30, 40).alpha)
    assert mask.box(mask.rectangle(64, 48, 10, 12, 30, 40), 16)[1:] == (0, 0, 46, 48)
    with pytest.raises(WeftError, match="the mask is empty"):
        mask.box(mask.solid(64, 48, 0.0))


def test_masks_are_cut_joined_and_picked():
    shape = mask.rectangle(64, 48, 10, 12, 30, 40)
    assert mask.crop(shape, 10, 12, 20, 28).alpha.min() == 1
    with pytest.raises(WeftError, match="smaller rectangle"):
        mask.crop(shape, 50, 0, 20, 28)
    joined = mask.batch(shape, mask.solid(64, 48))
    assert torch.equal(mask.pick(joined, 0).alpha, shape.alpha)
    with pytest.raises(WeftError, match="masks of 64×48 and 32×32"):
        mask.batch(shape, mask.solid(32, 32))
    with pytest.raises(WeftError, match="of a batch of 2"):
        mask.pick(joined, 2)


def test_a_mask_is_shown_in_red_over_its_picture():
    image, shape = solid(64, 48, "#808080"), mask.rectangle(64, 48, 10, 12, 30, 40)
    over = mask.show(shape, image).pixels
    assert torch.equal(over[:, :10], image.pixels[:, :10])
    assert over[0, 20, 20, 0] > 0.7 > over[0, 20, 20, 1]
    assert torch.equal(mask.show(shape).pixels[..., 0], shape.alpha)
