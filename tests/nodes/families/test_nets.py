"""ControlNets and T2I-Adapters in single files: known by their headers, built as their makers published them."""

import json
import re

import diffusers
import pytest
import torch
from safetensors.torch import save_file

from engine.errors import WeftError
from nodes import control
from nodes.families import base
from nodes.families.files import component, read_json
from nodes.families.single_file import configs
from tests.nodes import first_layout
from tests.nodes.test_single_file import hollow


def unet(kind: str, **more):
    """A ControlNet's configuration: the first half of its model's UNet."""
    told = read_json(configs.shipped(kind, "unet") / "config.json")
    keep = {key: value for key, value in told.items() if key not in ("up_block_types", "out_channels", "sample_size")}
    keep.pop("center_input_sample")
    return keep | {"_class_name": "ControlNetModel", "conditioning_embedding_out_channels": [16, 32, 96, 256]} | more


FLUX = {"_class_name": "FluxControlNetModel", "num_layers": 5, "num_single_layers": 10, "guidance_embeds": True}
SD3 = {"_class_name": "SD3ControlNetModel", "num_layers": 6, "num_attention_heads": 24, "caption_projection_dim": 1536}
SD3 |= {"joint_attention_dim": 4096, "pooled_projection_dim": 2048, "pos_embed_max_size": 192, "sample_size": 128}
SD3 |= {"extra_conditioning_channels": 0}
UNION = {"_class_name": "ControlNetUnionModel", "num_control_type": 8}
UNION |= {"conditioning_embedding_out_channels": [48, 96, 192, 384]}
XL_ADAPTER = {"_class_name": "T2IAdapter", "adapter_type": "full_adapter_xl", "downscale_factor": 16}
NETS = {
    "sd1": (unet("sd1"), "sd1"),
    "sd2": (unet("sd2"), "sd2"),
    "sdxl": (unet("sdxl"), "sdxl"),
    "union": (unet("sdxl", **UNION), "sdxl"),
    "flux": (FLUX, "flux"),
    "flux-union": (FLUX | {"num_mode": 10}, "flux"),
    "sd3": (SD3, "sd3"),
    "t2i": ({"_class_name": "T2IAdapter", "adapter_type": "full_adapter", "downscale_factor": 8}, "sd1"),
    "t2i-xl": (XL_ADAPTER, "sdxl"),
}


def made(told: dict) -> dict[str, torch.Tensor]:
    """The tensors of a net without storage."""
    with torch.device("meta"), base.unmade():
        module = getattr(diffusers, told["_class_name"]).from_config(told)
    return {name: tensor.detach().to("meta") for name, tensor in module.state_dict().items()}


@pytest.fixture
def folder(home):
    made = home.home / "models" / "controlnet"
    made.mkdir(parents=True)
    return made


def first_code(state: dict[str, torch.Tensor], layers: int) -> dict[str, torch.Tensor]:
    """A ControlNet as its makers published it."""
    old = {}
    for key, tensor in state.items():
        head, _, rest = key.partition(".")
        if head == "controlnet_cond_embedding":
            part, _, end = rest.rpartition(".")
            number = {"conv_in": 0, "conv_out": 14}.get(part) if part.startswith("conv") else 2 * int(part[7:]) + 2
            old[f"input_hint_block.{number}.{end}"] = tensor
        elif head == "controlnet_down_blocks":
            old[f"zero_convs.{rest.replace('.', '.0.')}"] = tensor
        elif head == "controlnet_mid_block":
            old[f"middle_block_out.0.{rest}"] = tensor
        else:
            old |= first_layout.unet({key: tensor}, layers)
    return {f"control_model.{key}": tensor for key, tensor in old.items()}


@pytest.mark.parametrize("name", NETS)
def test_a_net_is_known_and_built_by_its_header(folder, name):
    told, family = NETS[name]
    state = made(told)
    hollow(folder / "net.safetensors", state)
    found = control.load("net.safetensors")
    assert found.family == family
    config = dict(component(folder / "net.safetensors" / "controlnet").config)
    assert {key: tuple(t.shape) for key, t in made(config).items()} == {k: tuple(t.shape) for k, t in state.items()}


@pytest.mark.parametrize("name", ["sd1", "sd2"])
def test_a_net_of_the_first_code_is_the_same_net(folder, name):
    told, family = NETS[name]
    hollow(folder / "old.safetensors", first_code(made(told), 2))
    hollow(folder / "new.safetensors", made(told))
    old, new = control.load("old.safetensors"), control.load("new.safetensors")
    assert (old.family, old.config) == (new.family, new.config)
    assert old.family == family
    assert old.base.id != new.base.id


def test_a_net_of_an_unpublished_size_asks_for_its_configuration(folder, tiny_controlnet):
    state = {
        "controlnet_cond_embedding.conv_in.weight": torch.ones(8, 3, 3, 3),
        "conv_in.weight": torch.ones(8, 4, 3, 3),
    }
    save_file(state, folder / "small.safetensors")
    with pytest.raises(WeftError, match="of a size that no published model has") as told:
        control.load("small.safetensors")
    assert told.value.problem.mend.text.endswith("in a folder 'small' beside it")


def test_what_is_no_net_is_told(folder):
    save_file({"something": torch.ones(2)}, folder / "no.safetensors")
    with pytest.raises(WeftError, match=re.escape("no.safetensors is no ControlNet or T2I-Adapter that is known here")):
        control.load("no.safetensors")
    (folder / "config.json").write_text(json.dumps({}))
    (folder / "old.pth").write_bytes(b"x")
    with pytest.raises(WeftError, match="pickled") as told:
        control.load("old.pth")
    assert "weft models convert" in told.value.problem.mend.text
