import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from engine.errors import WeftError
from nodes import mask
from nodes.image.blend import Mode, blend, composite, layer, over
from nodes.types import Image

MODES = Mode.__args__
values = some.floats(0, 1, width=32)
colours = some.tuples(values, values, values)


def plain(*colour, width=4, height=4):
    return Image(torch.tensor(colour).expand(1, height, width, 3).contiguous())


def picture(height=24, width=36, batch=1, seed=0):
    return Image(torch.rand(batch, height, width, 3, generator=torch.Generator().manual_seed(seed)))


# Worked out by hand from the formulas, for below 0.25 and above 0.75, and the other way round.
TABLE = {
    "soft light": (0.25 + 0.5 * (0.5 - 0.25), 0.75 - 0.5 * 0.75 * 0.25),
    "hard light": (0.625, 0.375),
    "color dodge": (1.0, 1.0),
    "color burn": (0.0, 0.0),
    "linear burn": (0.0, 0.0),
    "linear light": (0.75, 0.25),
    "vivid light": (0.5, 0.5),
    "pin light": (0.5, 0.5),
    "hard mix": (1.0, 1.0),
    "exclusion": (0.625, 0.625),
    "subtract": (0.0, 0.5),
    "divide": (1 / 3, 1.0),
}


@pytest.mark.parametrize("mode", TABLE)
def test_every_mode_of_one_channel_is_its_formula(mode):
    for (low, high), wanted in zip(((0.25, 0.75), (0.75, 0.25)), TABLE[mode], strict=True):
        made = blend(plain(low, low, low), plain(high, high, high), 1.0, mode).pixels
        assert made.unique().tolist() == pytest.approx([wanted], abs=1e-5), (low, high)


@settings(deadline=None)
@given(colours, colours, some.sampled_from(MODES))
def test_every_mode_stays_within_the_range_for_all_colours(below, above, mode):
    made = blend(plain(*below, width=1, height=1), plain(*above, width=1, height=1), 1.0, mode).pixels
    assert made.isfinite().all()
    assert made.min() >= 0
    assert made.max() <= 1


@settings(deadline=None)
@given(colours, colours)
def test_modes_of_the_whole_colour_take_what_they_say_from_each_side(below, above):
    b, s = (torch.tensor(one).view(1, 1, 1, 3) for one in (below, above))
    lum = lambda c: (c * torch.tensor([0.3, 0.59, 0.11])).sum().item()  # noqa: E731
    assert lum(layer(b, s, "luminosity")) == pytest.approx(lum(s), abs=1e-3)
    for mode in ("hue", "saturation", "color"):
        assert lum(layer(b, s, mode)) == pytest.approx(lum(b), abs=1e-3)


def test_colour_of_grey_is_grey():
    grey = plain(0.4, 0.4, 0.4)
    for mode in ("hue", "saturation", "color"):
        made = blend(plain(0.9, 0.2, 0.1), grey, 1.0, mode).pixels
        assert made.std(-1).max() < 1e-5


@pytest.mark.parametrize(("x", "y"), [(0, 0), (5, 3), (-10, -4), (30, 20), (100, 0)])
def test_a_picture_is_laid_at_its_place_and_nothing_else_changes(x, y):
    below, above = picture(), picture(8, 12, seed=1)
    made = composite(below, above, x, y).pixels
    inside = torch.zeros(24, 36, dtype=torch.bool)
    inside[max(y, 0) : max(y + 8, 0), max(x, 0) : max(x + 12, 0)] = True
    assert torch.equal(made[:, ~inside], below.pixels[:, ~inside])
    if (x, y) == (5, 3):
        assert torch.equal(made[:, 3:11, 5:17], above.pixels)


def test_a_mask_covers_part_of_what_is_laid_on():
    half = mask.rectangle(16, 16, 0, 0, 8, 16)
    made = composite(picture(), picture(16, 16, seed=1), 4, 4, mask=half).pixels
    assert torch.equal(made[:, 4:20, 4:12], picture(16, 16, seed=1).pixels[:, :, :8])
    assert torch.equal(made[:, 4:20, 12:20], picture().pixels[:, 4:20, 12:20])
    with pytest.raises(WeftError, match="'mask' is 32×32"):
        composite(picture(), picture(16, 16), mask=mask.solid(32, 32))


def test_one_picture_goes_with_every_picture_of_the_other_batch():
    assert composite(picture(batch=1), picture(8, 8, batch=3)).pixels.shape[0] == 3
    assert composite(picture(batch=3), picture(8, 8)).pixels.shape[0] == 3
    with pytest.raises(WeftError, match="2 items, the other 3"):
        composite(picture(batch=3), picture(8, 8, batch=2))


def test_transparency_is_laid_on_a_colour():
    red = plain(1.0, 0.0, 0.0, width=16, height=16)
    made = over(red, mask.rectangle(16, 16, 0, 0, 8, 16), "#0000ff").pixels
    assert made[0, 0, 0].tolist() == [0, 0, 1]
    assert made[0, 0, 15].tolist() == [1, 0, 0]
