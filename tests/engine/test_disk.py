"""The disk tier: what was computed once outlives the process, and a damaged file is never a value."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass

import pytest
import torch

from engine.disk import Disk, read_metadata
from engine.places import Places
from engine.registry import load_registry
from engine.run import State
from engine.values import bit_equal, owned
from nodes.types import Conditioning, Entry, Image, Latent, LatentSpace, Mask

SPACE = LatentSpace("starter", 4, 8)


def values():
    torch.manual_seed(0)
    mask = Mask(torch.rand(1, 8, 8))
    return {
        "image": Image(torch.rand(2, 8, 8, 3)),
        "half": Latent(torch.randn(1, 4, 2, 2, dtype=torch.float16), SPACE, torch.rand(1, 1, 2, 2)),
        "bf16": Latent(torch.randn(1, 4, 2, 2, dtype=torch.bfloat16), SPACE),
        "text": Conditioning((Entry(torch.randn(1, 3, 5), None, mask, 0.5, (0.0, 0.0, 0.5, 1.0)),), "clip-l", "x"),
        "list": [Image(torch.rand(1, 4, 4, 3)), 3, "text", None, {"a": 1.5}],
    }


@pytest.fixture
def disk(tmp_path):
    tier = Disk(tmp_path, {"engine", "nodes"}, limit=10 * 2**20)
    yield tier
    tier.close()


def written(disk, id, value, seconds=1.0):
    disk.put(id, value, seconds)
    disk.close()
    return disk._path(id)


@pytest.mark.parametrize("name", values())
def test_a_value_comes_back_bit_for_bit(disk, name):
    value = values()[name]
    written(disk, "ab12.out", value)
    assert disk.known("ab12.out")
    found = disk.get("ab12.out")
    assert bit_equal(found, value)
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.rand(1, 4, 8, 8).to(memory_format=torch.channels_last),
        torch.rand(2, 3, 8, 5).permute(0, 2, 3, 1),
        torch.rand(3, 1, 5).transpose(0, 2),
        torch.rand(4, 4)[:, ::2],
        torch.rand(1, 4).expand(3, 4),
        torch.tensor(2.0),
    ],
    ids=["channels last", "a picture", "a dimension of one", "gaps", "overlaps", "a number"],
)
def test_a_tensor_comes_back_in_the_order_in_memory_that_it_had(disk, tensor):
    """A convolution sums another order differently: the same picture would have other bits after a restart."""
    written(disk, "ab.out", [tensor])
    (found,) = disk.get("ab.out")
    assert torch.equal(found, tensor)
    assert found.stride() == owned(tensor).stride()


def test_what_is_quicker_made_than_read_is_not_kept(disk):
    written(disk, "ab.out", values()["image"], seconds=0.001)
    assert not disk.known("ab.out")


def test_a_state_comes_back_with_its_generators_and_what_is_only_shown_stays_in_memory(disk):
    rng = torch.Generator().manual_seed(7).get_state().numpy().tobytes()
    state = State(
        3, {"latent": torch.randn(1, 4, 2, 2)}, {"scheduler": {"index": 4, "sigma": 0.1, "past": [None]}}, (rng, b"")
    )
    written(disk, "kabc", state)
    found = disk.get("kabc")
    assert (found.index, found.data, found.rng) == (3, state.data, (rng, b""))
    assert torch.equal(found.tensors["latent"], state.tensors["latent"])
    written(disk, "ab.shown0", values()["image"])
    assert [item.summary for item in disk.entries()] == ["state after step 4"]


@pytest.mark.parametrize(
    "harm",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: b"\xff" * 8 + data[8:],
        lambda data: data[:-3] + bytes([data[-3] ^ 1]) + data[-2:],
        lambda data: b"not a safetensors file at all",
    ],
    ids=["truncated", "empty", "lying header", "one bit", "foreign"],
)
def test_a_damaged_file_is_no_value_and_goes_away(disk, harm):
    path = written(disk, "ab.out", values()["image"])
    path.write_bytes(harm(path.read_bytes()))
    assert disk.get("ab.out") is None
    assert not path.exists()


def test_a_file_under_another_name_is_no_value(disk):
    path = written(disk, "ab.out", values()["image"])
    path.rename(path.with_name("ab.other.safetensors"))
    assert disk.get("ab.other") is None


@dataclass(frozen=True)
class Foreign:
    tensor: torch.Tensor


def test_a_file_can_name_no_class_but_those_of_installed_packs(disk):
    written(disk, "ab.out", Foreign(torch.zeros(3)))
    assert disk.known("ab.out")
    assert disk.get("ab.out") is None


def test_an_unreadable_value_costs_nothing_but_its_reuse(disk):
    written(disk, "ab.out", object())
    assert not disk.known("ab.out")
    assert disk.problem == ""


def test_what_saves_least_for_its_bytes_goes_first(tmp_path):
    disk = Disk(tmp_path, {"nodes"}, limit=420_000)
    for id, seconds in (("aa.out", 0.1), ("bb.out", 50.0), ("cc.out", 20.0)):
        written(disk, id, Image(torch.rand(1, 100, 100, 3)), seconds)
    written(disk, "dd.out", Image(torch.rand(1, 100, 100, 3)), 10.0)
    assert {item.id for item in disk.entries()} == {"bb.out", "cc.out", "dd.out"}
    assert sum(item.bytes for item in disk.entries()) <= disk.limit


def test_a_limit_of_nothing_keeps_nothing(tmp_path):
    disk = Disk(tmp_path, {"nodes"}, limit=0)
    written(disk, "aa.out", values()["image"])
    assert not disk.known("aa.out")


@pytest.mark.skipif(os.name == "nt", reason="a file in the place of a folder is another error there")
def test_a_folder_that_cannot_be_written_stops_the_tier_not_the_run(tmp_path):
    (tmp_path / "file").write_text("in the way")
    disk = Disk(tmp_path / "file", {"nodes"}, limit=2**20)
    written(disk, "aa.out", values()["image"])
    assert disk.problem
    assert disk.get("aa.out") is None


def test_a_killed_writer_leaves_nothing_that_is_read(tmp_path):
    code = (
        "import os, torch, engine.places as p\n"
        "from engine.disk import Disk\nfrom nodes.types import Image\nfrom pathlib import Path\n"
        "os.replace = lambda *a: os._exit(9)\n"
        f"d = Disk(Path({str(tmp_path)!r}), {{'nodes'}})\n"
        "d.put('ab.out', Image(torch.rand(1, 9, 9, 3)), 1.0)\nd.close()\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    disk = Disk(tmp_path, {"nodes"})
    assert not disk.known("ab.out")
    assert list(disk.entries()) == []
    assert list(tmp_path.rglob("*.part"))
    assert disk.clear() > 0
    assert not list(tmp_path.rglob("*.part"))


def test_two_processes_may_write_one_id(tmp_path):
    code = (
        "import torch\nfrom engine.disk import Disk\nfrom nodes.types import Image\nfrom pathlib import Path\n"
        f"d = Disk(Path({str(tmp_path)!r}), {{'nodes'}})\n"
        "d.put('ab.out', Image(torch.full((1, 64, 64, 3), 0.25)), 1.0); d.close()\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait() for process in running] == [0, 0]
    found = Disk(tmp_path, {"nodes"}).get("ab.out")
    assert found is not None
    assert bool((found.pixels == 0.25).all())


def test_the_header_is_read_without_the_tensors(disk):
    path = written(disk, "ab.out", values()["image"], seconds=2.5)
    metadata = read_metadata(path)
    assert (metadata["id"], metadata["seconds"]) == ("ab.out", "2.5")
    assert "Image 8x8" in metadata["summary"]


def test_the_tier_of_a_session_knows_the_installed_packs(tmp_path):
    tier = Disk.of(Places(home=tmp_path), load_registry())
    assert "nodes" in tier._modules
    assert tier.folder == tmp_path / "cache"
