import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from engine.errors import WeftError
from nodes.image.colour import (
    adjust,
    channels,
    from_channels,
    from_lab,
    grey,
    match_colour,
    quantize,
    rgb,
    to_lab,
)
from nodes.types import Image, Mask


def picture(height=24, width=36, batch=1, seed=0):
    return Image(torch.rand(batch, height, width, 3, generator=torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize(
    ("name", "value"),
    [("#ff8000", (1, 128 / 255, 0)), ("orange", (1, 165 / 255, 0)), ("#f00", (1, 0, 0)), ("rgb(0,0,255)", (0, 0, 1))],
)
def test_colours_have_their_names_from_the_web(name, value):
    assert rgb(name) == pytest.approx(value)


def test_what_is_no_colour_is_refused_on_its_socket():
    with pytest.raises(WeftError, match="'reddish' is no colour") as caught:
        rgb("reddish", "first")
    assert caught.value.problem.where.socket == "first"


def test_lab_is_the_standards():
    known = {
        (1, 1, 1): (100, 0, 0),
        (0, 0, 0): (0, 0, 0),
        (1, 0, 0): (53.24, 80.09, 67.20),
        (0, 0, 1): (32.30, 79.19, -107.86),
    }
    for colour, lab in known.items():
        assert to_lab(torch.tensor(colour, dtype=torch.float32)).tolist() == pytest.approx(lab, abs=0.05)


@given(some.tuples(*[some.floats(0, 1, width=32)] * 3))
def test_lab_and_back_is_the_colour(colour):
    there = torch.tensor(colour)
    assert torch.allclose(from_lab(to_lab(there)), there, atol=2e-4)


def test_adjusting_by_nothing_changes_nothing_and_each_does_what_it_says():
    image = picture()
    assert torch.equal(adjust(image).pixels, image.pixels)
    assert torch.allclose(adjust(image, brightness=0.5).pixels, image.pixels * 0.5)
    assert adjust(image, contrast=0).pixels.unique().tolist() == [0.5]
    faded = adjust(image, saturation=0).pixels
    assert faded.std(-1).max() < 1e-6
    red = Image(torch.tensor([0.5, 0.2, 0.2]).expand(1, 2, 2, 3).contiguous())
    turned = adjust(red, hue=120).pixels[0, 0, 0]
    assert turned.argmax() == 1, "red becomes green"
    full = adjust(adjust(red, hue=90), hue=-90).pixels
    assert torch.allclose(full, red.pixels, atol=1e-3)


@pytest.mark.parametrize("how", ["lab", "mean", "histogram"])
def test_matched_colours_are_the_references(how):
    image = Image(picture(seed=1).pixels * 0.4 + 0.3)
    reference = Image(picture(40, 20, seed=2).pixels * torch.tensor([0.4, 0.3, 0.2]) + torch.tensor([0.2, 0.4, 0.5]))
    made = match_colour(image, reference, how)
    before, after = (
        (one.pixels.mean((0, 1, 2)) - reference.pixels.mean((0, 1, 2))).abs().max() for one in (image, made)
    )
    assert after < 0.04 < before
    if how != "mean":
        assert torch.allclose(made.pixels.std((0, 1, 2)), reference.pixels.std((0, 1, 2)), atol=0.04)
    assert torch.equal(match_colour(image, reference, how, 0.0).pixels, image.pixels)


def test_a_picture_matched_to_itself_stays():
    image = picture()
    for how in ("lab", "mean", "histogram"):
        assert torch.allclose(match_colour(image, image, how).pixels, image.pixels, atol=5e-3)


def test_a_reference_for_each_or_one_for_all():
    assert match_colour(picture(batch=2), picture(seed=3)).pixels.shape[0] == 2
    with pytest.raises(WeftError, match="3 references for 2 pictures"):
        match_colour(picture(batch=2), picture(batch=3))


def test_channels_and_back_are_the_picture():
    image = picture(batch=2)
    apart = channels(image)
    assert torch.equal(from_channels(*apart).pixels, image.pixels)
    with pytest.raises(WeftError, match="the channels differ"):
        from_channels(apart.red, apart.green, Mask(torch.zeros(2, 8, 8)))


@pytest.mark.parametrize("how", ["luma", "lightness", "average", "maximum"])
def test_grey_has_no_colour_and_keeps_black_and_white(how):
    assert grey(picture(), how).pixels.std(-1).max() == 0
    for level in (0.0, 1.0):
        assert grey(Image(torch.full((1, 2, 2, 3), level)), how).pixels.unique().item() == pytest.approx(
            level, abs=1e-3
        )


def test_a_palette_has_as_many_colours_as_asked_for():
    image = picture()
    few = quantize(image, 5).pixels
    assert len(np.unique((few.reshape(-1, 3) * 255).round().int().numpy(), axis=0)) <= 5
    dithered = quantize(image, 5, dither=True).pixels
    assert not torch.equal(few, dithered)
