"""Values: how big, where, frozen, moved, told apart, shown."""

from dataclasses import dataclass, field

import pytest
import torch

from engine.values import (
    bit_equal,
    content,
    content_digest,
    dense,
    device_of,
    map_tensors,
    moved,
    nbytes,
    owned,
    parts,
    summaries,
    summary,
    tensors,
    versions,
)


@dataclass(frozen=True)
class Pair:
    a: torch.Tensor
    b: torch.Tensor
    name: str = ""
    place: str = field(default="", compare=False)


def test_each_storage_is_counted_once():
    tensor = torch.zeros(1000)
    assert 4000 <= nbytes(Pair(tensor, tensor[:10])) < 4200
    assert 8000 <= nbytes([tensor, torch.zeros(1000)]) < 8300
    assert nbytes({"x": tensor, "y": tensor.view(10, 100)}) < 4500


def test_a_small_view_does_not_keep_a_large_storage_alive():
    large = torch.arange(1_000_000)
    kept = owned(Pair(large[:5], large[5:10]))
    assert nbytes(kept) < 1000 and kept.a.tolist() == [0, 1, 2, 3, 4]


def test_what_is_a_whole_is_not_copied():
    tensor = torch.zeros(1000)
    assert owned(tensor).data_ptr() == tensor.data_ptr()
    assert not owned(torch.zeros(3, requires_grad=True)).requires_grad


@pytest.mark.parametrize(
    ("tensor", "whole"),
    [
        (torch.zeros(2, 3, 4), True),
        (torch.zeros(2, 3, 4).permute(2, 0, 1), True),
        (torch.zeros(1, 3, 4, 4).to(memory_format=torch.channels_last), True),
        (torch.zeros(3), True),
        (torch.tensor(1.0), True),
        (torch.zeros(0, 3), True),
        (torch.zeros(2, 3, 4)[:, :2], False),
        (torch.zeros(1, 4).expand(3, 4), False),
        (torch.zeros(4, 4)[:, ::2], False),
    ],
)
def test_what_has_gaps_or_overlaps_is_cloned_before_it_is_kept_and_what_has_none_keeps_its_order(tensor, whole):
    assert dense(tensor) == whole
    kept = owned(tensor)
    assert dense(kept) and torch.equal(kept, tensor)
    if whole:
        assert kept.stride() == tensor.stride() and kept.data_ptr() == tensor.data_ptr()


def test_tensors_are_found_in_a_fixed_order():
    a, b, c = (torch.tensor([float(i)]) for i in range(3))
    assert [t.item() for t in tensors({"x": Pair(a, b), "y": [(c,)]})] == [0, 1, 2]
    assert list(tensors(["text", 1, None, b"x"])) == []


def test_versions_tell_of_writing_in_place():
    value = Pair(torch.zeros(3), torch.zeros(3))
    before = versions(value)
    value.b.add_(1)
    assert versions(value) != before


def test_parts_without_tensors_are_shared():
    value = {"plain": [1, 2], "t": torch.zeros(2), "p": Pair(torch.zeros(1), torch.ones(1), "n")}
    changed = map_tensors(value, lambda t: t + 1)
    assert changed["plain"] == [1, 2] and changed["t"].tolist() == [1, 1]
    assert changed["p"].name == "n" and changed["p"].b.item() == 2
    assert value["t"].tolist() == [0, 0]


def test_moving_to_where_it_is_copies_nothing():
    tensor = torch.zeros(3)
    assert moved(tensor, "cpu") is tensor and device_of([tensor]) == "cpu" and device_of("x") == "cpu"


@pytest.mark.parametrize(
    "other",
    [
        Pair(torch.zeros(2), torch.ones(3)),
        Pair(torch.ones(2), torch.zeros(2)),
        Pair(torch.zeros(2, dtype=torch.float64), torch.ones(2)),
        Pair(torch.zeros(1, 2), torch.ones(2)),
        Pair(torch.zeros(2), torch.ones(2), "other"),
    ],
)
def test_content_tells_bits_dtypes_shapes_and_names_apart(other):
    one = Pair(torch.zeros(2), torch.ones(2))
    assert not bit_equal(one, other)
    assert bit_equal(one, Pair(torch.zeros(2), torch.ones(2), place="elsewhere"))


def test_content_does_not_depend_on_strides():
    base = torch.arange(6.0).reshape(2, 3)
    assert bit_equal(base.t(), base.t().contiguous()) and bit_equal(torch.zeros(0, 3), torch.zeros(0, 3))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.bool, torch.int64, torch.uint8])
def test_every_dtype_has_content(dtype):
    assert content_digest(torch.ones(3).to(dtype)) != content_digest(torch.zeros(3).to(dtype))


def test_minus_zero_is_another_bit_pattern():
    assert not bit_equal(torch.tensor([0.0]), torch.tensor([-0.0]))


def test_a_pack_can_teach_its_own_values():
    class Mesh:
        def __init__(self, points):
            self.points = points

    with pytest.raises(TypeError, match="register it"):
        content_digest(Mesh(torch.ones(2)))
    parts.register(Mesh, lambda value: iter((value.points,)))
    content.register(Mesh, lambda value: content(value.points))
    summary.register(Mesh, lambda value: "a mesh")
    mesh = Mesh(torch.ones(250))
    assert nbytes(mesh) >= 1000 and bit_equal(mesh, Mesh(torch.ones(250))) and summary(mesh) == "a mesh"


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("short", "'short'"),
        ("x" * 100, "text of 100 characters"),
        (3.5, "3.5"),
        (None, "None"),
        ([1, 2], "list of 2 (1, ...)"),
        ([], "list of 0"),
        (torch.zeros(2, 3), "tensor (2, 3) torch.float32"),
        (Pair(torch.zeros(1), torch.zeros(1)), "Pair"),
    ],
)
def test_a_value_in_one_line(value, line):
    assert summary(value) == line


def test_an_image_is_told_by_its_size():
    from nodes.types import Image

    assert summary(Image(torch.zeros(1, 48, 64, 3))) == "Image 64x48"
    assert summary(Image(torch.zeros(4, 48, 64, 3))) == "Image 64x48, 4 of them"
    assert summaries({"image": Image(torch.zeros(1, 48, 64, 3)), "scale": 2}) == "  image: Image 64x48\n  scale: 2"
