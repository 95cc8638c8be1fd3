from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as some

from engine.errors import WeftError
from nodes.image.tiles import Tiling, ramps, spans


@given(some.integers(1, 400), some.integers(4, 128), some.integers(0, 100))
def test_tiles_cover_everything_and_share_at_least_the_overlap(length, tile, overlap):
    overlap = min(overlap, tile - 1)
    found = spans(length, tile, overlap)
    assert found[0][0] == 0
    assert found[-1][1] == length
    assert all(stop - start == min(tile, length) for start, stop in found)
    assert all(after[0] <= before[1] - overlap for before, after in pairwise(found))


@settings(deadline=None)
@given(some.integers(8, 200), some.integers(8, 64), some.integers(0, 40), some.integers(1, 4))
def test_what_the_tiles_count_adds_up_to_one_everywhere(length, tile, overlap, scale):
    stretches = spans(length, tile, min(overlap, tile - 1))
    total = torch.zeros(length * scale)
    for weight, (start, stop) in zip(ramps(stretches, scale), stretches, strict=True):
        assert (weight >= 0).all()
        total[start * scale : stop * scale] += weight
    assert torch.allclose(total, torch.ones_like(total), atol=1e-6)


@pytest.mark.parametrize("scale", [1, 2])
def test_what_looks_a_quarter_of_the_overlap_far_is_the_same_with_tiles(scale):
    torch.manual_seed(0)
    plane, kernel = torch.randn(1, 3, 50, 70), torch.randn(3, 3, 9, 9)  # looks 4 cells around

    def local(x):
        y = F.conv2d(x, kernel, padding=4)
        return y.repeat_interleave(scale, 2).repeat_interleave(scale, 3)

    tiling = Tiling(50, 70, 32, 16)
    seen = []

    def make(box):
        seen.append(box)
        return local(plane[..., box.top : box.bottom, box.left : box.right])

    made = tiling.put_together(make, scale)
    assert len(seen) == len(tiling.boxes) > 4
    assert torch.allclose(made, local(plane), atol=1e-4)


def test_one_tile_that_is_large_enough_is_the_whole():
    plane = torch.rand(1, 3, 8, 8)
    assert Tiling(8, 8, 0, 4).put_together(lambda box: plane) is plane
    assert Tiling(8, 8, 8, 4).put_together(lambda box: plane) is plane


def test_an_overlap_as_large_as_the_tile_is_refused():
    with pytest.raises(WeftError) as caught:
        Tiling(100, 100, 32, 32)
    assert caught.value.problem.where.socket == "overlap"
