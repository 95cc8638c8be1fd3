import numpy as np
import PIL.Image
import pytest
import torch

from engine.errors import WeftError
from engine.invoke import EngineRun, Hooks, using_ambient
from engine.memory import Memory
from engine.numerics import Numerics
from engine.sockets import Ref
from nodes import mask
from nodes.image import adjust, batch, blend, size
from nodes.image.filters import gaussian, resample
from nodes.types import Image


def picture(count=1, height=24, width=36, seed=0):
    return Image(torch.rand(count, height, width, 3, generator=torch.Generator().manual_seed(seed)))


def plain(*colour, width=16, height=16):
    return Image(torch.tensor(colour).expand(1, height, width, 3).contiguous())


# --- size ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["lanczos", "bicubic", "bilinear", "area", "nearest"])
def test_resizing_gives_the_size_asked_for_and_keeps_a_plain_colour(method):
    made = size.resize(plain(0.2, 0.5, 0.9), 40, 24, method)
    assert made.pixels.shape == (1, 24, 40, 3)
    assert torch.allclose(made.pixels, torch.tensor([0.2, 0.5, 0.9]).expand_as(made.pixels), atol=1e-5)
    assert made.pixels.is_contiguous()


def test_lanczos_is_pillows_but_not_rounded_to_levels():
    image = Image(0.3 + 0.4 * picture().pixels)  # no overshoot: Pillow clips between its two passes
    eight = image.pil()[0].resize((20, 12), PIL.Image.Resampling.LANCZOS)
    ours = resample(image.pixels, 20, 12, "lanczos")[0].numpy()
    assert np.abs(ours * 255 - np.array(eight)).max() < 2
    assert len(np.unique(ours)) > 256


def test_results_stay_within_0_and_1():
    edges = Image((picture().pixels > 0.5).float())
    for method in ("lanczos", "bicubic"):
        made = size.resize(edges, 96, 64, method).pixels
        assert made.min() >= 0
        assert made.max() <= 1


@pytest.mark.parametrize(
    ("fit", "shape"), [("stretch", (32, 32)), ("inside", (21, 32)), ("cover", (32, 32)), ("pad", (32, 32))]
)
def test_fit_says_what_happens_to_the_shape_and_the_plan_knows_it(fit, shape):
    image = picture()
    made = size.resize(image, 32, 32, "bilinear", fit)
    assert tuple(made.pixels.shape[1:3]) == shape
    facts = size.resize_facts(image=image, width=32, height=32, fit=fit)["image"]
    assert (facts["height"], facts["width"]) == shape


def test_padding_to_fit_puts_black_around_and_covering_cuts_the_middle():
    white = Image(torch.ones(1, 16, 32, 3))
    padded = size.resize(white, 32, 32, "bilinear", "pad").pixels[0, :, 0, 0]
    assert padded.tolist() == [0] * 8 + [1] * 16 + [0] * 8
    ramp = Image(torch.linspace(0, 1, 64).view(1, 1, 64, 1).expand(1, 32, 64, 3).contiguous())
    assert torch.equal(size.resize(ramp, 32, 32, "nearest", "cover").pixels, ramp.pixels[:, :, 16:48])


def test_a_size_that_is_not_known_yet_stays_unknown():
    later = Ref("later", {"batch": 2})
    assert size.resize_facts(image=later, width=32, height=Ref("x"), fit="cover") == {"image": {"batch": 2}}
    assert size.resize_facts(image=later, width=32, height=32, fit="inside") == {"image": {"batch": 2}}


def test_a_picture_too_large_to_make_is_refused():
    with pytest.raises(WeftError, match="more than"):
        size.scale(picture(2, 2048, 2048), 16)


def test_cropping_takes_the_rectangle_and_refuses_one_that_sticks_out():
    image = picture()
    assert torch.equal(size.crop(image, 4, 2, 16, 20).pixels, image.pixels[:, 2:22, 4:20])
    with pytest.raises(WeftError) as caught:
        size.crop(image, 0, 8, 16, 20)
    assert caught.value.problem.where.socket == "height"
    assert "ends at (16, 28), the picture at (36, 24)" in str(caught.value)


@pytest.mark.parametrize(("fill", "value"), [("gray", 0.5), ("black", 0), ("white", 1)])
def test_padding_says_where_the_picture_is_new(fill, value):
    made = size.pad(picture(2), 4, 0, 0, 8, fill)
    assert made.image.pixels.shape == (2, 32, 40, 3)
    assert made.mask.alpha.shape == (2, 32, 40)
    assert made.image.pixels[made.mask.alpha == 1].unique().tolist() == [value]
    assert torch.equal(made.image.pixels[made.mask.alpha == 0].view(2, 24, 36, 3), picture(2).pixels)


def test_padding_with_the_edge_repeats_it():
    made = size.pad(picture(), 3, 0, 0, 0, "edge").image.pixels
    assert torch.equal(made[:, :, 0], made[:, :, 3])


def test_turning_and_mirroring_undo_themselves():
    image = picture()
    assert torch.equal(size.flip(size.flip(image, "vertical"), "vertical").pixels, image.pixels)
    assert torch.equal(size.rotate(size.rotate(image, 90), 270).pixels, image.pixels)
    assert torch.equal(size.rotate(image, 90).pixels[0, 0, -1], image.pixels[0, 0, 0]), "clockwise"
    assert size.size(size.rotate(picture(3), 90)) == (24, 36, 3)


# --- colours -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "result"),
    [
        ("normal", 0.75),
        ("multiply", 0.1875),
        ("screen", 0.8125),
        ("overlay", 0.375),
        ("add", 1.0),
        ("difference", 0.5),
        ("lighten", 0.75),
        ("darken", 0.25),
    ],
)
def test_every_blend_mode_is_its_formula(mode, result):
    below, above = plain(0.25, 0.25, 0.25), plain(0.75, 0.75, 0.75)
    assert blend.blend(below, above, 1.0, mode).pixels.unique().tolist() == pytest.approx([result])
    halfway = blend.blend(below, above, 0.5, mode).pixels.unique().tolist()
    assert halfway == pytest.approx([0.25 + (result - 0.25) / 2])


def test_where_the_mask_is_zero_a_blend_changes_not_one_bit():
    below, above = picture(2), picture(1, seed=1)
    where = mask.rectangle(36, 24, 0, 0, 18, 24)
    made = blend.blend(below, above, 1.0, "normal", where).pixels
    assert torch.equal(made[:, :, 18:], below.pixels[:, :, 18:])
    assert torch.allclose(made[:, :, :18], above.pixels[:, :, :18].expand(2, -1, -1, -1), atol=1e-6)


def test_pictures_that_do_not_match_are_refused_on_the_socket_that_is_to_blame():
    with pytest.raises(WeftError, match="'other' is 36×20, the other 36×24"):
        blend.blend(picture(), picture(height=20))
    with pytest.raises(WeftError, match="'other' has 3 items, the other 2"):
        blend.blend(picture(2), picture(3))
    with pytest.raises(WeftError) as caught:
        blend.blend(picture(), picture(), mask=mask.solid(16, 16))
    assert caught.value.problem.where.socket == "mask"


def test_a_blur_spreads_a_point_into_a_bell_and_loses_nothing():
    point = torch.zeros(1, 41, 41, 1)
    point[0, 20, 20] = 1
    bell = gaussian(point, 3.0)[0, :, :, 0]
    assert bell.sum().item() == pytest.approx(1, abs=1e-5)
    x = torch.arange(41.0) - 20
    assert ((bell.sum(0) * x**2).sum() ** 0.5).item() == pytest.approx(3, rel=0.03)
    assert torch.allclose(bell, bell.T)


def test_blurring_and_sharpening_leave_a_plain_colour_alone():
    colour = plain(0.3, 0.6, 0.9)
    assert torch.allclose(adjust.blur(colour, 5).pixels, colour.pixels, atol=1e-6)
    assert torch.allclose(adjust.sharpen(colour, 2).pixels, colour.pixels, atol=1e-5)
    noise = picture()
    assert adjust.sharpen(noise).pixels.std() > noise.pixels.std() > adjust.blur(noise).pixels.std()


def test_levels_stretch_bend_and_fade():
    ramp = Image(torch.linspace(0, 1, 101).view(1, 1, 101, 1).expand(1, 1, 101, 3).contiguous())
    stretched = adjust.levels(ramp, 0.2, 0.7).pixels[0, 0, :, 0]
    assert stretched[20] == 0
    assert stretched[70].item() == pytest.approx(1)
    assert stretched[45].item() == pytest.approx(0.5)
    assert adjust.levels(ramp, gamma=2.0).pixels[0, 0, 25, 0].item() == pytest.approx(0.5)
    grey = adjust.levels(picture(), saturation=0.0).pixels
    assert torch.allclose(grey[..., 0], grey[..., 2], atol=1e-6)
    with pytest.raises(WeftError, match="not above"):
        adjust.levels(ramp, 0.5, 0.5)


def test_inverting_twice_gives_the_picture_back():
    image = picture()
    assert torch.allclose(adjust.invert(adjust.invert(image)).pixels, image.pixels, atol=1e-6)


def test_a_mask_as_a_picture_and_back_is_the_mask():
    shape = mask.rectangle(36, 24, 4, 4, 20, 20)
    assert torch.equal(mask.from_image(adjust.from_mask(shape), "red").alpha, shape.alpha)


# --- batches -------------------------------------------------------------------------------------------------------


def test_pictures_are_joined_picked_and_split():
    joined = batch.batch(picture(2), picture(1, seed=1))
    assert joined.pixels.shape[0] == 3
    assert torch.equal(batch.pick(joined, 2).pixels, picture(1, seed=1).pixels)
    apart = batch.split(joined)
    assert [len(one.pixels) for one in apart] == [1, 1, 1]
    assert torch.equal(batch.batch(*apart).pixels, joined.pixels)
    with pytest.raises(WeftError, match="36×24 and 36×20"):
        batch.batch(picture(), picture(height=20))
    with pytest.raises(WeftError, match=r"pictures 1\.\.2 of a batch of 2"):
        batch.pick(picture(2), 1, 2)


def test_a_picked_picture_does_not_hold_the_whole_batch_in_memory():
    picked = batch.pick(picture(8), 3).pixels
    assert picked.untyped_storage().nbytes() == picked.numel() * 4


def test_a_grid_has_every_picture_in_its_place():
    cells = [plain(value, 0.0, 0.0) for value in (0.1, 0.2, 0.3, 0.4, 0.5)]
    sheet = batch.grid(*cells, columns=3, gap=2).pixels[0]
    assert sheet.shape == (2 * 18 + 2, 3 * 18 + 2, 3)
    middles = [sheet[10 + 18 * (i // 3), 10 + 18 * (i % 3), 0].item() for i in range(6)]
    assert middles == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 1.0])


def test_a_grid_is_about_square_and_centres_smaller_pictures():
    assert batch.grid(picture(9, 8, 8), gap=0).pixels.shape == (1, 24, 24, 3)
    assert batch.grid(picture(2, 8, 8), gap=0, columns=5).pixels.shape == (1, 8, 16, 3)
    mixed = batch.grid(plain(0.0, 0.0, 0.0), plain(0.0, 0.0, 0.0, width=8, height=8), gap=0).pixels[0, ..., 0]
    assert mixed[:, 16:].sum() == 16 * 16 - 8 * 8
    assert mixed[4:12, 20:28].sum() == 0


def test_labels_stand_above_their_pictures_and_long_ones_are_cut():
    dark = [plain(0.5, 0.5, 0.5, width=64) for _ in range(2)]
    sheet = batch.grid(*dark, labels="one\n" + "long " * 100, gap=4).pixels[0]
    assert sheet.shape == (16 + 16 + 8, 2 * 68 + 4, 3)
    for left in (4, 72):
        assert sheet[4:20, left : left + 64].min() < 0.3, "ink"
    assert (sheet[:, 68:72] == 1).all(), "nothing runs over"
    with pytest.raises(WeftError, match="3 labels for 2 pictures"):
        batch.grid(*dark, labels="a\nb\nc")


def test_nothing_to_show_is_refused():
    for node in (batch.grid, batch.batch):
        with pytest.raises(WeftError, match="there is nothing"):
            node()


def test_a_preview_shows_and_passes_on():
    shown = []
    run = EngineRun("", Memory({"cpu": 2**28}), Numerics(device="cpu"), Hooks(show=shown.append))
    image = picture()
    with using_ambient(run):
        assert batch.preview(image) is image
    assert shown == [image]


@pytest.mark.parametrize(
    "edit",
    [
        lambda i: size.resize(i, 36, 24),
        lambda i: size.crop(i, 0, 0, 36, 24),
        lambda i: adjust.levels(i),
        lambda i: adjust.blur(i),
        lambda i: batch.batch(i),
        lambda i: batch.grid(i),
    ],
)
def test_no_edit_writes_into_its_input(edit):
    image = picture()
    edit(image)
    assert image.pixels._version == 0
    assert torch.equal(image.pixels, picture().pixels)
