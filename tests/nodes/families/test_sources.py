"""Sources: which bytes of which files a lease will read, so that they can be in memory before it."""

import os
from pathlib import Path

import pytest
from safetensors.torch import load_file

from engine.events import StepFinished, WeightsComing, WeightsNear
from engine.memory import Disk, Memory
from engine.numerics import Numerics
from engine.records import Records
from engine.session import Session
from nodes.load import model
from nodes.types import Adapter, Lora, Weights
from tests.nodes.families.test_in_the_engine import flow
from tests.nodes.test_single_file import write


def held(extents):
    """The bytes of the extents, by file."""
    found = {}
    for path, start, end in extents:
        found.setdefault(path, []).append(Path(path).read_bytes()[start:end])
    return found


def test_of_a_folder_the_files_of_the_part(home, tiny_sd1):
    parts = model("tiny-sd1")
    for recipe, folder in ((parts.model, "unet"), (parts.vae, "vae"), (parts.text_encoder, "text_encoder")):
        (extent,) = recipe.sources()
        assert Path(extent.path).parent == tiny_sd1 / folder
        assert (extent.start, extent.end) == (0, Path(extent.path).stat().st_size)


def test_of_a_single_file_the_tensors_of_the_part_and_no_others(home, tiny_sdxl):
    folder = home.home / "models" / "checkpoints"
    folder.mkdir(parents=True)
    file = write("sdxl", tiny_sdxl, folder / "one.safetensors")
    parts, state = model("one.safetensors"), load_file(file)
    for recipe, prefix in ((parts.model, "model.diffusion_model."), (parts.vae, "first_stage_model.")):
        found = held(recipe.sources())
        assert set(found) == {str(file)}
        there = b"".join(found[str(file)])
        mine = [tensor for key, tensor in state.items() if key.startswith(prefix)]
        assert mine and all(tensor.numpy().tobytes() in there for tensor in mine)
    encoder = recipe_bytes(parts.text_encoder)
    assert recipe_bytes(parts.model) + recipe_bytes(parts.vae) + encoder <= 1.05 * file.stat().st_size


def recipe_bytes(recipe):
    return sum(end - start for _, start, end in recipe.sources())


def test_of_a_live_model_only_the_loras_on_it(home, tiny_sd1, tmp_path):
    (tmp_path / "slider.safetensors").write_bytes(b"x" * 100)
    lora = Lora(Weights("l", "lora", str(tmp_path / "slider.safetensors")))
    for recipe in (model("tiny-sd1").model, model("tiny-sd1").text_encoder):
        worn = recipe.with_adapter(lora, 0.5).with_adapter(lora, 0.2)
        assert recipe.sources(live=True) == ()
        assert worn.sources() == (*recipe.sources(), *worn.sources(live=True))
        assert [Path(path).name for path, *_ in worn.sources(live=True)] == ["slider.safetensors"]
        assert worn.adapters[0] == Adapter.of(lora, 0.5)


class Cold(Disk):
    """The real disk, where nothing of the models is in memory at first, as after a start of the machine."""

    def __init__(self):
        super().__init__()
        self.warm = set()

    def missing(self, extent):
        return 0 if extent in self.warm else super().missing(extent) or extent.end - extent.start

    def bring(self, extent):
        yield from super().bring(extent)
        self.warm.add(extent)
        yield extent.end - extent.start


@pytest.mark.parametrize("name", ["tiny-sdxl", "tiny-sdxl.safetensors"])
def test_a_picture_is_the_same_and_its_weights_are_read_before_their_steps_begin(home, tiny_sdxl, name):
    folder = home.home / "models" / "checkpoints"
    folder.mkdir(parents=True)
    write("sdxl", tiny_sdxl, folder / "tiny-sdxl.safetensors")
    numerics = Numerics(device="cpu", threads=1)
    with Session(places=home, memory=Memory(), records=Records(), numerics=numerics, disk=Cold()) as session:
        events = session.run(flow(name, sample={"steps": 12})).events
        assert {kind for kind, *_ in session.engine.memory.report()["cpu"]} <= {"weights", "value"}
    said = [(type(event), event.path) for event in events if hasattr(event, "path")]
    assert said.index((WeightsComing, "decode")) < said.index((StepFinished, "sample"))
    assert all(not event.stopped for event in events if isinstance(event, WeightsNear))


def test_reading_ahead_leaves_the_file_cold_or_warm_but_never_other(home, tiny_sd1):
    (extent,) = model("tiny-sd1").vae.sources()
    before, state = Path(extent.path).read_bytes(), os.stat(extent.path).st_mtime_ns
    list(Disk().bring(extent))
    assert Path(extent.path).read_bytes() == before and os.stat(extent.path).st_mtime_ns == state
