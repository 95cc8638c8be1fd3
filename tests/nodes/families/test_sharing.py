"""Sharing: weights are read once and never copied, what is attached is counted, a replaced file is another model."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.errors import WeftError
from engine.memory import Memory, module_bytes
from engine.numerics import Numerics
from engine.records import Records
from engine.session import Session
from nodes.families.offload import footprint, stream
from nodes.load import model
from nodes.lora import load as load_lora
from nodes.types import Denoiser
from tests.nodes.families.test_adapters import make_lora
from tests.nodes.families.test_in_the_engine import flow
from tests.nodes.families.test_offload import unet_forward
from tests.nodes.test_single_file import write


@pytest.fixture
def loras(home, tiny_sd1):
    """Two LoRAs of the tiny UNet, by name."""
    folder = home.home / "models" / "loras"
    folder.mkdir(parents=True)
    unet = model("tiny-sd1").model.build("cpu", "float32")
    return {name: made(make_lora, folder / name, unet, seed, home) for seed, name in enumerate(("red", "blue"))}


def made(make, folder, unet, seed, home):
    folder.mkdir()
    make(folder, unet, seed)
    return folder


def base_tensors(module):
    """The base's own tensors, wherever an adapter has wrapped their layer: plain name -> where they lie."""
    return {
        name.replace(".base_layer", ""): tensor.data_ptr()
        for name, tensor in module.named_parameters()
        if "lora" not in name
    }


@pytest.fixture
def builds(monkeypatch):
    """How often the weights of a denoiser were read."""
    count = []
    build = Denoiser.build
    monkeypatch.setattr(Denoiser, "build", lambda self, *where: (count.append(self), build(self, *where))[1])
    return count


def test_loras_on_one_base_neither_read_nor_copy_it(home, loras, builds):
    memory, base = Memory(), model("tiny-sd1").model
    red, blue = (load_lora(name) for name in ("red", "blue"))
    recipes = [base, base.with_adapter(red, 0.7), base.with_adapter(blue, 1.0), base.with_adapter(red, 0.2), base]
    seen, pictures = [], []
    for recipe in recipes:
        with memory.lease(recipe, "cpu", "float32") as module:
            seen.append((id(module), base_tensors(module)))
            pictures.append(unet_forward(module))
    assert len(builds) == 1 and all(one == seen[0] for one in seen)
    assert torch.equal(pictures[0], pictures[-1])
    assert len({tuple(picture.flatten().tolist()) for picture in pictures}) == 4


def test_what_loras_take_is_counted_as_long_as_they_stay_on_the_module(home, loras):
    memory, base = Memory(), model("tiny-sd1").model
    used = []
    for recipe in (base, base.with_adapter(load_lora("red"), 0.7), base, base.with_adapter(load_lora("blue"), 0.7)):
        with memory.lease(recipe, "cpu", "float32") as module:
            assert memory.budget("cpu").used == module_bytes(module)
        assert memory.budget("cpu").used == module_bytes(module)
        used.append(memory.budget("cpu").used)
    bare, worn, resting, other = used
    assert bare < worn == resting == other
    assert worn - bare == base.with_adapter(load_lora("red"), 1.0).worn_bytes("float32") > 0


def test_what_came_in_a_range_of_steps_is_counted_afterwards(home, loras):
    """The module is leased bare; the LoRA comes between two steps and stays on it, off."""
    work = flow("tiny-sd1", sample={"steps": 4})
    numerics = Numerics("cpu", threads=1)
    with Session(places=home, memory=Memory(), records=Records(), numerics=numerics) as session:
        result = session.run(with_lora(work, "red", start=0.5))
        assert result.state == "succeeded", result.problems
        memory = session.engine.memory
        (name,) = (name for name in memory.modules() if name.startswith("Denoiser"))
        module = memory._modules[name].module
        assert any("lora" in key for key, _ in module.named_parameters())
        assert memory.budget("cpu").residents[name].bytes == module_bytes(module)


def with_lora(work, name, **settings):
    from dataclasses import replace

    from engine.workflow import Link, Node, Value

    load = Node("lora.load", {"lora": Value(name)})
    part = Node("lora.range", {"lora": Link("lora", "lora"), **{key: Value(value) for key, value in settings.items()}})
    apply = Node("lora.apply", {"model": Link("load", "model"), "lora": Link("part", "lora")})
    sample = work.nodes["sample"]
    inputs = {**sample.inputs, "model": Link("worn", "model")}
    return replace(
        work, nodes={**work.nodes, "lora": load, "part": part, "worn": apply, "sample": replace(sample, inputs=inputs)}
    )


def test_a_lora_replaced_under_its_name_is_another_lora(home, loras, builds):
    """New bytes, new ids; the base is not read again and the old one is not left on it."""
    work = with_lora(flow("tiny-sd1"), "red")
    with Session(places=home, memory=Memory(), records=Records(), numerics=Numerics("cpu", threads=1)) as session:
        first = session.run(work)
        assert session.run(work).ran == []
        file = next(loras["red"].glob("*.safetensors"))
        before, state = file.read_bytes(), load_file(file)
        save_file({key: tensor * 3 for key, tensor in state.items()}, file.with_suffix(".new"))
        shutil.move(file.with_suffix(".new"), file)
        second = session.run(work)
        assert set(second.ran) == {"sample", "decode"} and len(builds) == 1
        assert not torch.equal(first["image"].pixels, second["image"].pixels)
        file.with_suffix(".new").write_bytes(before)
        shutil.move(file.with_suffix(".new"), file)
        third = session.run(work)
        assert third.ran == [] and torch.equal(first["image"].pixels, third["image"].pixels)


@pytest.mark.parametrize("how", ["put in its place", "written over"])
def test_a_single_file_replaced_under_its_name_is_another_model(home, tiny_sd1, how):
    folder = home.home / "models" / "checkpoints"
    folder.mkdir(parents=True)
    file = write("sd1", tiny_sd1, folder / "changing.safetensors")
    work = flow("changing.safetensors")
    with Session(places=home, memory=Memory(), records=Records(), numerics=Numerics("cpu", threads=1)) as session:
        first = session.run(work)
        before, state = set(session.engine.memory.weights()), load_file(file)
        state = {key: tensor.clone() for key, tensor in state.items()}
        for key in [
            key for key in state if key.startswith("model.diffusion_model.") and state[key].is_floating_point()
        ]:
            state[key] = state[key] * 1.5
        new = file.with_suffix(".new")
        save_file(state, new)
        if how == "written over":
            file.write_bytes(new.read_bytes())
        else:
            shutil.move(new, file)
        second = session.run(work)
        assert {"sample", "decode"} <= set(second.ran)
        assert not torch.equal(first["image"].pixels, second["image"].pixels)
        session.engine.cache.clear()
        session.engine.memory.free_everything("cpu")
        scratch = session.run(work)
        assert torch.equal(second["image"].pixels, scratch["image"].pixels)
        assert not before & session.engine.memory.weights()


def test_a_recipe_whose_file_was_replaced_is_refused_rather_than_mixed(home, tiny_sd1):
    folder = home.home / "models" / "checkpoints"
    folder.mkdir(parents=True)
    file = write("sd1", tiny_sd1, folder / "changing.safetensors")
    recipe = model("changing.safetensors").vae
    save_file({key: tensor * 2 for key, tensor in load_file(file).items()}, file.with_suffix(".new"))
    shutil.move(file.with_suffix(".new"), file)
    with pytest.raises(WeftError) as wrong, Memory().lease(recipe, "cpu", "float32"):
        pass
    assert wrong.value.code == "model.changed"


# --- in parts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tiny-sd1", "tiny-sdxl", "tiny-flux", "tiny-sd3"])
@pytest.mark.parametrize("way", ["blocks", "layers"])
def test_no_more_is_on_the_device_at_once_than_was_said(home, request, monkeypatch, name, way):
    """Counted by the hooks that bring weights and take them away: without a stream one part at a time."""
    from diffusers.hooks.group_offloading import ModuleGroup

    request.getfixturevalue(name.replace("-", "_"))
    recipe = model(name).model
    module = recipe.build("cpu", "float32")
    there, most = {}, [0]
    bring, take = ModuleGroup.onload_, ModuleGroup.offload_

    def size(group):
        tensors = [*group.parameters, *(one for part in group.modules for one in part.parameters())]
        return sum(one.numel() * one.element_size() for one in {id(one): one for one in tensors}.values())

    def onload(group):
        there[group] = size(group)
        most[0] = max(most[0], sum(there.values()))
        bring(group)

    def offload(group):
        there.pop(group, None)
        take(group)

    undo = stream(module, "cpu", way)
    monkeypatch.setattr(ModuleGroup, "onload_", onload)
    monkeypatch.setattr(ModuleGroup, "offload_", offload)
    forward(name, recipe, module)
    undo()
    said = footprint([recipe.base], "float32")
    assert 0 < most[0] <= said.on_device(way)


def forward(name, recipe, module):
    from tests.nodes.test_numerics import steps

    steps(module, recipe, name, count=1)
