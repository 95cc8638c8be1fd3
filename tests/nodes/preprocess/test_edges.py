import pytest
import torch

from engine.errors import WeftError
from engine.invoke import EngineRun, using_ambient
from engine.memory import Memory
from engine.numerics import Numerics
from nodes.image.blend import composite
from nodes.image.draw import gradient, solid
from nodes.preprocess import edges, simple
from nodes.types import Image


@pytest.fixture(autouse=True)
def run():
    with using_ambient(EngineRun("", Memory({"cpu": 2**28}), Numerics(device="cpu"))) as made:
        yield made


def square():
    """A white square of 32 on black, 64 x 64."""
    return composite(solid(64, 64, "black"), solid(32, 32, "white"), 16, 16)


EDGES = [edges.canny, edges.soft_edge, edges.line, edges.scribble]


@pytest.mark.parametrize("make", EDGES)
def test_a_plain_picture_has_no_edges(make):
    assert make(solid(48, 48, "#808080")).pixels.max() < 1e-6


@pytest.mark.parametrize("make", EDGES)
def test_edges_are_white_on_black_and_where_the_outline_is(make):
    made = make(square()).pixels
    assert made.shape == (1, 64, 64, 3)
    assert made.std(-1).max() == 0
    assert made.min() == 0
    assert made.max() > 0.5
    lit = made[0, ..., 0] > 0.5
    assert lit[32, 10:22].any()
    assert not lit[32, 28:36].any(), "not in the middle"
    assert not lit[:4].any(), "not at the border"


def test_canny_is_one_pixel_wide_and_closed():
    lit = edges.canny(square()).pixels[0, ..., 0] > 0
    assert [int(lit[32, :32].sum()), int(lit[32, 32:].sum())] == [1, 1]
    from scipy import ndimage

    inside = ndimage.binary_fill_holes(lit.numpy()) & ~lit.numpy()
    assert 28 * 28 <= inside.sum() <= 34 * 34


def test_a_weak_edge_stays_only_where_it_touches_a_strong_one():
    step = solid(64, 64, "black")
    faint = composite(step, solid(64, 32, "#262626"), 0, 32)  # 0.15
    both = composite(step, gradient(64, 32, "#262626", "white"), 0, 32)  # it grows strong to the right
    alone = edges.canny(faint, 0.05, 0.3).pixels
    touched = edges.canny(both, 0.05, 0.3).pixels[0, 28:36, 2:24, 0]
    assert alone.max() == 0
    assert touched.max() == 1
    assert edges.canny(faint, 0.05, 0.05).pixels.max() == 1
    with pytest.raises(WeftError, match="is above high"):
        edges.canny(faint, 0.4, 0.2)


def test_a_slope_of_sobel_is_one_for_a_step_from_black_to_white():
    dx, dy = edges.slopes(square().pixels[..., :1])
    assert dx.max() == 1
    assert dx.min() == -1
    assert dy[0, 16, 32] == 1


def test_strokes_are_as_wide_as_asked_for():
    thin, thick = (edges.scribble(square(), width=width).pixels.mean() for width in (2, 8))
    assert thick > 2 * thin


def test_lines_are_drawn_where_it_is_dark():
    drawn = composite(solid(64, 64, "white"), solid(2, 40, "black"), 31, 12)
    made = edges.line(drawn).pixels[0, ..., 0]
    assert made[32, 31:33].min() > 0.5
    assert made[32, :24].max() == 0


# --- simpler pictures ------------------------------------------------------------------------------------------------


def noisy():
    return Image(torch.rand(1, 64, 96, 3, generator=torch.Generator().manual_seed(0)))


def test_tiles_lose_detail_and_keep_the_size():
    made = simple.tile(noisy(), 8).pixels
    assert made.shape == noisy().pixels.shape
    assert made.std() < noisy().pixels.std() / 2
    assert simple.tile(noisy(), 2, blur=4).pixels.std() < simple.tile(noisy(), 2).pixels.std()


def test_a_colour_grid_has_squares_of_one_colour():
    made = simple.colour_grid(noisy(), 32).pixels
    assert len(made.reshape(-1, 3).unique(dim=0)) == 6
    assert torch.allclose(made[0, 0, 0], noisy().pixels[0, :32, :32].mean((0, 1)), atol=1e-5)


def test_luminance_is_stretched_and_bent():
    ramp = gradient(101, 16, "black", "white")
    made = simple.luminance(ramp, 2.0, 0.2, 0.7).pixels[0, 0, :, 0]
    assert made[20] == 0
    assert made[70].item() == pytest.approx(1)
    assert made[45].item() == pytest.approx(0.25, abs=0.01)


def test_a_threshold_parts_dark_from_bright_by_itself():
    two = composite(solid(64, 64, "#202020"), solid(32, 64, "#505050"), 32, 0)
    grain = Image(
        (two.pixels + 0.02 * torch.randn(1, 64, 64, 3, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    )
    assert simple.threshold(grain).pixels.max() == 0
    made = simple.threshold(grain, automatic=True).pixels[0, ..., 0]
    assert made[:, :32].mean() < 0.02
    assert made[:, 32:].mean() > 0.98
    assert torch.equal(simple.threshold(grain, automatic=True, invert=True).pixels[0, ..., 0], 1 - made)


def test_shuffling_keeps_colours_and_moves_them():
    scene = composite(solid(64, 64, "red"), solid(32, 64, "blue"), 32, 0)
    made = simple.shuffle(scene, 16, seed=3).pixels
    assert not torch.equal(made, scene.pixels)
    assert (made[..., 0] + made[..., 2]).sub(1).abs().max() < 1e-4, "every pixel is red, blue or between"
    assert torch.equal(simple.shuffle(scene, 16, seed=3).pixels, made)
    assert not torch.equal(simple.shuffle(scene, 16, seed=4).pixels, made)


def test_normals_point_at_us_on_a_flat_wall_and_sideways_on_a_slope():
    flat = simple.normals(solid(32, 32, "grey")).pixels[0, 16, 16]
    assert flat.tolist() == pytest.approx([0.5, 0.5, 1.0], abs=1e-3)
    slope = simple.normals(gradient(32, 32, "black", "white"), strength=20).pixels[0, 16, 16]
    assert slope[0] < 0.3
    assert slope[1].item() == pytest.approx(0.5, abs=1e-3)


def test_colours_of_one_brightness_have_an_edge_between_them():
    pixels = torch.zeros(1, 16, 16, 3)
    pixels[..., :8, 0] = 0.7152  # red and green of the same luma
    pixels[..., 8:, 1] = 0.2126
    found = edges.canny(Image(pixels), 0.1, 0.2).pixels[0, :, :, 0]
    assert found.sum(1).tolist() == [1.0] * 16
