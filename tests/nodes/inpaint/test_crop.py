import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from engine.errors import WeftError
from engine.sockets import Ref
from nodes import mask
from nodes.inpaint.crop import crop, crop_facts, faded, stitch
from nodes.types import Image, Mask


def picture(height=90, width=120, batch=1, seed=0):
    return Image(torch.rand(batch, height, width, 3, generator=torch.Generator().manual_seed(seed)))


def square(left, top, right, bottom, width=120, height=90):
    return mask.rectangle(width, height, left, top, right, bottom)


boxes = some.tuples(some.integers(0, 119), some.integers(0, 89), some.integers(1, 120), some.integers(1, 90))


@settings(deadline=None, max_examples=60)
@given(
    box=boxes,
    context=some.floats(1, 4),
    padding=some.integers(0, 64),
    feather=some.integers(0, 20),
    size=some.sampled_from([(0, 0), (64, 64), (48, 0), (0, 96), (32, 128)]),
)
def test_what_lies_outside_the_mask_and_its_feather_keeps_its_very_bits(box, context, padding, feather, size):
    left, top = box[0], box[1]
    hole = square(left, top, min(left + box[2], 120), min(top + box[3], 90))
    image = picture()
    cut = crop(image, hole, context, padding, feather, *size)
    made = stitch(cut.stitch, Image(1 - cut.image.pixels)).pixels
    far = mask.grown(hole.alpha, feather) == 0
    assert torch.equal(made[far], image.pixels[far])
    assert made.shape == image.pixels.shape
    wanted = [want or got for want, got in zip(size, cut.image.pixels.shape[2:0:-1], strict=True)]
    assert list(cut.image.pixels.shape[2:0:-1]) == wanted


@settings(deadline=None, max_examples=30)
@given(box=boxes, feather=some.integers(0, 9))
def test_on_the_mask_all_of_the_new_piece_counts(box, feather):
    left, top = box[0], box[1]
    hole = square(left, top, min(left + box[2], 120), min(top + box[3], 90))
    cut = crop(picture(), hole, 1.2, 8, feather)
    made = stitch(cut.stitch, Image(torch.full_like(cut.image.pixels, 2.0))).pixels
    assert (made[hole.alpha == 1] == 2).all()


def test_a_piece_that_is_not_resized_goes_back_without_a_trace():
    image, hole = picture(), square(30, 20, 60, 50)
    cut = crop(image, hole, feather=6)
    assert cut.image.pixels.shape[1:3] == (96, 112), "the mask, 32 pixels around, up to a multiple of 8"
    assert torch.equal(stitch(cut.stitch, cut.image).pixels, image.pixels)


def test_the_piece_is_what_stood_there():
    image = picture(200, 300)
    cut = crop(image, square(100, 100, 140, 132, 300, 200), context=1, padding=0, feather=0)
    x, y, width, height = cut.stitch.box
    assert (x, y, width, height) == (100, 100, 40, 32)
    assert torch.equal(cut.image.pixels, image.pixels[:, 100:132, 100:140])
    assert cut.mask.alpha.min() == 1


def test_a_piece_larger_than_the_picture_repeats_the_border_and_may_not_change_there():
    image = picture(40, 100)
    cut = crop(image, square(10, 5, 90, 35, 100, 40), width=64, height=64, method="nearest")
    _, y, width, height = cut.stitch.box
    assert width == height
    assert y < 0
    rows = round(-y * 64 / height)
    assert torch.equal(cut.image.pixels[:, 0], cut.image.pixels[:, rows - 1])
    assert cut.mask.alpha[:, : rows - 1].max() == 0


def test_the_shape_is_never_bent():
    image, hole = picture(200, 300), square(20, 20, 200, 50, 300, 200)
    for size in [(64, 64), (128, 64), (64, 0), (0, 64)]:
        cut = crop(image, hole, width=size[0], height=size[1], multiple=8)
        _, _, across, down = cut.stitch.box
        height, width = cut.image.pixels.shape[1:3]
        assert across / down == pytest.approx(width / height, rel=0.05)


def test_a_feather_falls_from_one_on_the_mask_to_nothing_at_its_reach():
    soft = faded(square(40, 30, 80, 60).alpha, 10)[0]
    line = soft[45, 60:95].tolist()
    assert line[:20] == [1.0] * 20
    assert line[20:31] == sorted(line[20:31], reverse=True)
    assert 0 < line[25] < 1
    assert set(line[30:]) == {0.0}


def test_one_piece_tried_several_times_gives_as_many_pictures():
    image, hole = picture(), square(30, 20, 60, 50)
    cut = crop(image, hole)
    made = stitch(cut.stitch, Image(cut.image.pixels.repeat(3, 1, 1, 1))).pixels
    assert made.shape[0] == 3
    with pytest.raises(WeftError, match="3 pieces for 2 pictures"):
        two = crop(picture(batch=2), hole)
        stitch(two.stitch, Image(two.image.pixels[:1].repeat(3, 1, 1, 1)))


def test_one_box_serves_the_whole_batch():
    both = Mask(torch.cat([square(10, 10, 20, 20).alpha, square(90, 60, 100, 70).alpha]))
    cut = crop(picture(batch=2), both, context=1, padding=0, feather=0)
    assert cut.stitch.box == (11, 10, 88, 64) or cut.stitch.box[2] >= 90
    made = stitch(cut.stitch, Image(torch.zeros_like(cut.image.pixels))).pixels
    assert (made[0, 10:20, 10:20] == 0).all()
    assert (made[0, 60:70, 90:100] > 0).any(), "the other picture's hole is not this one's"


def test_an_empty_mask_and_a_mask_of_another_size_are_refused():
    with pytest.raises(WeftError, match="the mask is empty"):
        crop(picture(), mask.solid(120, 90, 0.0))
    with pytest.raises(WeftError, match="'mask' is 64×64"):
        crop(picture(), mask.solid(64, 64))


def test_the_plan_knows_the_size_of_the_piece_and_of_the_picture():
    facts = crop_facts(image=picture(), width=64, height=32)
    assert facts["image"] == {"batch": 1, "width": 64, "height": 32}
    assert facts["stitch"] == {"batch": 1, "width": 120, "height": 90}
    assert crop_facts(image=Ref("later"), width=0, height=32) == {"image": {}, "mask": {}, "stitch": {}}
