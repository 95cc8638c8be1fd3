"""The shipped workflows, each run by the engine on a small random model: what they promise is what happens."""

import json
import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from engine import workflow as workflows
from engine.graph import bind
from engine.memory import Memory
from engine.numerics import Numerics
from engine.places import Places
from engine.records import Records
from engine.registry import load_registry
from engine.session import Session
from nodes import metadata
from nodes.image.filters import resample
from nodes.types import Image

FOLDER = Path(__file__).resolve().parents[2] / "workflows"
FILES = sorted(FOLDER.glob("*.json"))
NAMES = [file.stem for file in FILES]


def read(name):
    return workflows.read(FOLDER / f"{name}.json")


@pytest.fixture(scope="module")
def registry():
    return load_registry()


@pytest.fixture(scope="module")
def session(
    tmp_path_factory,
    models,
    tiny_sd1,
    tiny_controlnet,
    tiny_upscaler,
    tiny_inpaint,
    textbook_lora,
    tiny_flux,
    tiny_likeness,
    tiny_union,
):
    places = Places(home=tmp_path_factory.mktemp("home"), model_folders=(models,))
    made = Session(places=places, records=Records(), memory=Memory({"cpu": 2**35}), numerics=Numerics(device="cpu"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def textbook_lora(models, tiny_sd1):
    """A LoRA made with peft on the small UNet; both of its matrices are random, so that it acts."""
    from diffusers import UNet2DConditionModel
    from peft import LoraConfig

    unet = UNet2DConditionModel.from_pretrained(tiny_sd1 / "unet")
    unet.add_adapter(LoraConfig(r=4, lora_alpha=8, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    torch.manual_seed(3)
    for name, weight in unet.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.3)
    unet.save_lora_adapter(models / "loras", weight_name="tiny-style.safetensors")
    return models / "loras" / "tiny-style.safetensors"


@pytest.fixture(scope="module")
def tiny_inpaint(models, tiny_sd1):
    """`tiny_sd1` with a UNet of nine channels, as models made for inpainting have it."""
    from diffusers import UNet2DConditionModel

    folder = models / "checkpoints" / "tiny-inpaint"
    if not folder.is_dir():
        shutil.copytree(tiny_sd1, folder)
        shutil.rmtree(folder / "unet")
        torch.manual_seed(8)
        config = {**UNet2DConditionModel.load_config(tiny_sd1 / "unet"), "in_channels": 9}
        UNet2DConditionModel.from_config(config).save_pretrained(folder / "unet")
    return folder


@pytest.fixture(scope="module")
def tiny_upscaler(models):
    """A network of the Real-ESRGAN kind that makes pictures four times larger."""
    from safetensors.torch import save_file

    from nodes.upscale.networks import rrdb

    torch.manual_seed(4)
    folder = models / "upscale_models"
    folder.mkdir(exist_ok=True)
    save_file(rrdb(8, 4, 1, 2, 1).state_dict(), folder / "tiny-4x.safetensors")
    return folder / "tiny-4x.safetensors"


@pytest.fixture(scope="module")
def tiny_likeness(models, tiny_sd1):
    """A plus IP-Adapter for the small UNet, and the image encoder it reads."""
    from diffusers import UNet2DConditionModel

    from tests.parity.test_ip_adapter import adapter, vision

    vision(models / "clip_vision" / "tiny-eye")
    unet = UNet2DConditionModel.from_pretrained(tiny_sd1 / "unet")
    return adapter(models / "ip_adapter" / "tiny-like.safetensors", unet, "plus")


@pytest.fixture(scope="module")
def tiny_union(models, tiny_sdxl):
    """A ControlNet for several kinds of hint."""
    from tests.parity.test_nets import make_union

    return make_union(models / "controlnet" / "tiny-union", tiny_sdxl)


def run(session, name, **values):
    """Run a workflow on the small model, in few steps."""
    flow = read(name)
    small = {"model": "tiny-sd1", "steps": 2, "lora": "tiny-style.safetensors", "controlnet": "tiny-canny"}
    small |= {"upscaler": "tiny-4x.safetensors", "inpaint_model": "tiny-inpaint", "handover": 1}
    small |= {"adapter": "tiny-like.safetensors", "encoder": "tiny-eye", "sdxl": "tiny-sdxl", "union": "tiny-union"}
    small |= {"transformer": "tiny-flux", "encoders": "tiny-flux", "second": "", "autoencoder": "tiny-flux"}
    small |= {"width": 64, "height": 64} if name in ("union_controlnet", "flux_from_split_files") else {}
    return session.run(flow, {**{k: v for k, v in small.items() if k in flow.parameters}, **values})


def levels(path):
    with PIL.Image.open(path) as picture:
        return np.array(picture)


# --- the files -----------------------------------------------------------------------------------------------------


def test_there_are_enough_to_learn_from():
    assert len(FILES) >= 10
    assert {"text_to_image", "image_to_image", "inpaint", "textbook_dag"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_says_what_it_does_and_what_can_be_set(name):
    flow = read(name)
    assert flow.title
    assert flow.about.count(".") >= 2, "a paragraph"
    assert flow.outputs["image"]
    assert flow.parameters
    places = [(p.extra["group"], p.extra["order"]) for p in flow.parameters.values()]
    assert len(set(places)) == len(places), "each has its own place in the form"
    assert all(p.label for p in flow.parameters.values())


@pytest.mark.parametrize("name", NAMES)
def test_each_is_written_in_canonical_form(name):
    text = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
    assert workflows.dumps(read(name)) == text
    assert all(node["version"] == 1 for node in json.loads(text)["nodes"].values() if "." in node["type"])


@pytest.mark.parametrize("name", NAMES)
def test_each_fits_together(name, registry):
    assert bind(read(name), registry).problems == ()


@pytest.mark.parametrize("name", NAMES)
def test_the_range_of_a_parameter_lies_within_what_its_inputs_take(name, registry):
    flow = read(name)
    for parameter in flow.parameters.values():
        if "range" not in parameter.extra:
            continue
        low, high, step = parameter.extra["range"]
        assert low < high
        assert step > 0
        for target in parameter.to:
            node, _, socket = target.partition(".")
            spec = registry.get(flow.nodes[node].type)
            if spec is not None:
                widget = spec.by_name[socket].widget
                assert widget.get("low", low) <= low
                assert widget.get("high", high) >= high


# --- running -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_each_runs_to_a_picture_and_a_second_time_runs_nothing(session, name):
    first = run(session, name)
    assert first.problems == ()
    assert first.state == "succeeded"
    assert levels(first.files[0]).std() > 1, "there is something to see"
    again = run(session, name)
    assert again.ran == []
    assert again.files == first.files


def test_a_saved_picture_carries_the_workflow_that_makes_it_again(session):
    made = run(session, "text_to_image", seed=11)
    found = metadata.read(Path(made.files[0]))
    again = session.run(workflows.from_json(found["workflow"]), again=True)
    assert again.files != made.files
    assert np.array_equal(levels(again.files[0]), levels(made.files[0]))
    assert found["resolved"]["seed"] == 11


def test_the_textbook_graph_has_every_part_of_the_textbook():
    types = {node.type for node in read("textbook_dag").nodes.values()}
    assert types >= {"vae.encode", "text.encode", "schedule.make", "guidance.cfg", "noise.make", "vae.decode"}
    assert types >= {"lora.load", "lora.apply", "control.load", "control.apply", "denoise.sample"}


@pytest.mark.parametrize("change", [{"lora_strength": 0.0}, {"control_strength": 0.0}, {"seed": 8}, {"cfg": 5.0}])
def test_every_part_of_the_textbook_graph_acts(session, change):
    before, after = run(session, "textbook_dag"), run(session, "textbook_dag", **change)
    assert not np.array_equal(levels(before.files[0]), levels(after.files[0]))
    assert after.ran == ["decode", "sample", "save"]


def test_inpainting_leaves_the_rest_of_the_picture_as_it_was(session):
    made = run(session, "inpaint")
    original, result = levels(FOLDER / "assets" / "red_sphere_blue_cube.png"), levels(made.files[0])
    assert np.array_equal(original[:, :50], result[:, :50])
    assert not np.array_equal(original[:, 70:], result[:, 70:])


def test_another_prompt_in_the_list_computes_only_itself(session):
    run(session, "prompt_map", prompts="a red cube\na blue sphere")
    more = run(session, "prompt_map", prompts="a green cube\na blue sphere\na red cube")
    assert more.ran == ["each/0/decode", "each/0/encode", "each/0/sample", "grid", "save"]


def test_another_guidance_scale_computes_only_itself(session):
    run(session, "cfg_comparison", scales=[1.0, 2.0], labels="")
    more = run(session, "cfg_comparison", scales=[4.25, 2.0, 1.0], labels="")
    assert more.ran == ["each/0/decode", "each/0/sample", "grid", "save"]


def test_a_picture_of_the_grid_renders_alone_from_its_own_seed(session):
    many = run(session, "seeds_grid", count=3, seed=20)
    alone = run(session, "seeds_grid", count=1, seed=22)
    assert (many["pictures"].pixels[2] - alone["pictures"].pixels[0]).abs().max() < 1e-4
    assert (many["pictures"].pixels[1] - alone["pictures"].pixels[0]).abs().max() > 1e-2


def test_at_strength_zero_the_picture_comes_back_as_the_vae_sees_it(session):
    decoded = run(session, "vae_round_trip")["decoded"]
    cell = levels(run(session, "strength_comparison").files[0])[4 : 4 + 128, 4 : 4 + 128]
    assert np.array_equal(cell, np.array(decoded.pil()[0]))


def test_the_second_pass_has_the_size_asked_for(session):
    made = run(session, "upscale_second_pass", width=160, height=96)
    assert levels(made.files[0]).shape == (96, 160, 3)
    assert made["first"].facts["width"] == 128


# --- techniques ----------------------------------------------------------------------------------------------------


def test_another_column_of_a_plot_computes_only_itself(session):
    run(session, "xy_plot", scales="1\n2", samplers="ddim\neuler", seed=3)
    more = run(session, "xy_plot", scales="1\n2\n4", samplers="ddim\neuler", seed=3)
    sampled = [path for path in more.ran if path.endswith("/sample")]
    assert sampled == ["rows/0/cells/2/sample", "rows/1/cells/2/sample"]


def test_redrawing_by_colour_leaves_everything_else_as_it_was(session):
    made = run(session, "recolour_by_mask", grow=2)
    original, result = levels(FOLDER / "assets" / "red_sphere_blue_cube.png"), levels(made.files[0])
    assert np.array_equal(original[:, 75:], result[:, 75:]), "the blue cube"
    assert not np.array_equal(original[:, :60], result[:, :60])


def test_a_piece_is_redrawn_and_the_rest_keeps_its_very_bits(session):
    made = run(session, "inpaint_crop_stitch")
    small = torch.from_numpy(levels(FOLDER / "assets" / "red_sphere_blue_cube.png")).float() / 255
    large = np.array(Image(resample(small[None], 256, 256, "lanczos")).pil()[0])
    result = levels(made.files[0])
    assert np.array_equal(large[:, 160:], result[:, 160:])
    assert not np.array_equal(large[60:180, 30:110], result[60:180, 30:110])


def test_an_animation_has_every_picture_there_and_back(session):
    made = run(session, "morph_animation", count=4)
    with PIL.Image.open(made.files[0]) as picture:
        assert picture.n_frames == 6
    assert metadata.read(Path(made.files[0]))["workflow"]["title"] == read("morph_animation").title


def test_a_folder_of_pictures_is_gone_through_one_by_one(session):
    made = run(session, "folder_batch")
    assert len(made["pictures"]) == 2
    assert [path for path in made.ran if path.endswith("/sample")] in ([], ["each/0/sample", "each/1/sample"])
    again = run(session, "folder_batch", pattern="green_cylinder.png")
    assert not [path for path in again.ran if path.endswith("/sample")]


def test_the_network_makes_the_picture_as_large_as_it_says(session):
    assert levels(run(session, "upscale_model").files[0]).shape == (512, 512, 3)
    assert levels(run(session, "upscale_model", factor=2.0).files[0]).shape == (256, 256, 3)
