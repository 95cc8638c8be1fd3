import pytest
import torch

from engine.errors import WeftError
from engine.invoke import EngineRun, using_ambient
from engine.memory import Memory
from engine.numerics import Numerics
from nodes.image import batch, size
from nodes.image.draw import broken, gradient, noise, solid, text
from nodes.types import Image


@pytest.fixture(autouse=True)
def run():
    with using_ambient(EngineRun("", Memory({"cpu": 2**28}), Numerics(device="cpu"))) as made:
        yield made


def grey(height=64, width=128, count=1):
    return Image(torch.full((count, height, width, 3), 0.5))


def test_one_colour_everywhere():
    made = solid(32, 16, "orange", 2).pixels
    assert made.shape == (2, 16, 32, 3)
    assert made[1, 3, 4].tolist() == pytest.approx([1, 165 / 255, 0])
    with pytest.raises(WeftError, match="more than"):
        solid(16_384, 16_384, batch=2)


@pytest.mark.parametrize(
    ("direction", "dark", "bright"),
    [
        ("right", (5, 0), (5, -1)),
        ("down", (0, 5), (-1, 5)),
        ("diagonal", (0, 0), (-1, -1)),
        ("outwards", (8, 16), (0, 0)),
    ],
)
def test_a_gradient_goes_from_the_first_colour_to_the_second(direction, dark, bright):
    made = gradient(33, 17, "black", "white", direction).pixels[0, ..., 0]
    assert made[dark] < 0.05
    assert made[bright] > 0.95


@pytest.mark.parametrize("place", ["top left", "top", "right", "middle", "bottom right", "bottom"])
def test_text_stands_where_it_should_and_leaves_the_rest_alone(place):
    image = grey()
    made = text(image, "Weft", place, 20, "white", 2, "black", 4).pixels[0]
    changed = (made != 0.5).any(-1).nonzero().float()
    assert len(changed) > 50
    assert made.max() == 1
    assert made.min() == 0
    middle = changed.mean(0)
    if "top" in place:
        assert middle[0] < 32
        assert changed[:, 0].min() >= 2
    if "bottom" in place:
        assert middle[0] > 32
    if "left" in place:
        assert middle[1] < 64
    if "right" in place:
        assert middle[1] > 64
        assert changed[:, 1].max() < 126


def test_no_text_is_no_change_and_long_lines_are_broken_between_words():
    image = grey()
    assert text(image, "  ") is image
    import PIL.ImageFont

    font = PIL.ImageFont.load_default(size=20)
    rows = broken("one two three four five six seven", 100, font)
    assert " ".join(rows) == "one two three four five six seven"
    assert len(rows) > 1
    assert all(font.getlength(row) <= 100 for row in rows)


def test_noise_is_drawn_for_each_picture_from_its_own_seed():
    both = noise(grey(count=2), 0.1, seed=7).pixels
    alone = noise(grey(), 0.1, seed=8).pixels
    assert torch.equal(both[1:], alone)
    assert (both - 0.5).std().item() == pytest.approx(0.1, rel=0.1)
    assert (both[..., 0] == both[..., 2]).all(), "one for all channels"
    coloured = noise(grey(), 0.1, colour=True).pixels
    assert not (coloured[..., 0] == coloured[..., 2]).all()


def test_film_grain_leaves_black_and_white_clean():
    for level in (0.0, 1.0):
        plain = Image(torch.full((1, 8, 8, 3), level))
        assert torch.equal(noise(plain, 0.3, film=True).pixels, plain.pixels)
    coarse, fine = (noise(grey(), 0.1, grain).pixels for grain in (4.0, 0.0))
    step = lambda x: (x[:, :, 1:] - x[:, :, :-1]).abs().mean()  # noqa: E731
    assert step(coarse) < step(fine) / 2


# --- joined and sized ------------------------------------------------------------------------------------------------


def test_pictures_stand_side_by_side_or_below_each_other():
    first, second = solid(32, 16, "red"), solid(64, 32, "blue")
    beside = batch.stitch(first, second, gap=4).pixels
    assert beside.shape == (1, 16, 32 + 4 + 32, 3)
    assert beside[0, 8, 33].tolist() == [1, 1, 1]
    assert beside[0, 8, 50].tolist() == pytest.approx([0, 0, 1])
    below = batch.stitch(first, second, direction="down", match=False).pixels
    assert below.shape == (1, 48, 64, 3)
    assert below[0, 0, 0].tolist() == [1, 1, 1], "the smaller one stands in the middle"
    assert below[0, 0, 20].tolist() == [1, 0, 0]


def test_batches_go_in_pairs():
    many, one = solid(16, 16, "red", 3), solid(16, 16, "blue")
    assert batch.stitch(many, one).pixels.shape == (3, 16, 32, 3)
    with pytest.raises(WeftError, match="do not go in pairs"):
        batch.stitch(many, solid(16, 16, "blue", 2))


def test_a_plot_has_labels_for_columns_and_rows():
    cells = [solid(48, 48, "grey") for _ in range(6)]
    bare = batch.grid(*cells, columns=3).pixels
    plot = batch.grid(*cells, column_labels="1\n2\n3", row_labels="first\nsecond").pixels
    assert plot.shape[1] > bare.shape[1]
    assert plot.shape[2] > bare.shape[2]
    left = plot.shape[2] - bare.shape[2]
    assert plot[0, :, :left].min() < 0.3, "ink at the side"
    assert plot[0, :16].min() < 0.3, "ink above"
    with pytest.raises(WeftError, match="3 labels for 2 rows") as caught:
        batch.grid(*cells, columns=3, row_labels="a\nb\nc")
    assert caught.value.problem.where.socket == "row_labels"
    by_rows = batch.grid(*cells, row_labels="a\nb\nc").pixels
    assert by_rows.shape[1] > by_rows.shape[2], "two columns of three rows"


def test_a_batch_is_repeated():
    assert batch.repeat(grey(8, 8, 2), 3).pixels.shape[0] == 6


@pytest.mark.parametrize(
    ("by", "value", "shape"),
    [
        ("megapixels", 0.25, (360, 728)),
        ("longest side", 256, (128, 256)),
        ("shortest side", 256, (256, 512)),
        ("width", 64, (32, 64)),
        ("height", 64, (64, 128)),
    ],
)
def test_one_measure_gives_the_size_and_the_plan_knows_it(by, value, shape):
    made = size.resize_to(grey(), by, value)
    assert made.pixels.shape[1:3] == shape
    facts = size.resize_to_facts(image=grey(), by=by, size=value, multiple=8)["image"]
    assert (facts["height"], facts["width"]) == shape


def test_a_padded_mask_may_reach_back_into_the_old_picture():
    made = size.pad(grey(), left=16, feather=8)
    line = made.mask.alpha[0, 30]
    assert (line[:16] == 1).all()
    assert line[16:24].tolist() == sorted(line[16:24].tolist(), reverse=True)
    assert (line[24:] == 0).all(), "the other side did not grow"
    mirrored = size.pad(Image(torch.rand(1, 4, 6, 3)), left=6, right=6, fill="mirror").image.pixels
    assert torch.equal(mirrored[:, :, :6], mirrored[:, :, 6:12].flip(2))
    assert torch.equal(mirrored[:, :, 12:], mirrored[:, :, 6:12].flip(2))
