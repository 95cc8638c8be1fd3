"""Nets: ControlNets and T2I-Adapters in single files, as first published or under diffusers' names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import places
from engine.errors import fail
from nodes.families.files import Component, Header, read_header, read_json
from nodes.families.single_file import configs
from nodes.families.single_file.kinds import UNETS, fits

if TYPE_CHECKING:
    import torch

NAME = "controlnet"  # what the part is called: `canny.safetensors/controlnet`
PREFIXES = ("control_model.", "")
NOT_IN_NETS = ("up_block_types", "out_channels", "sample_size", "center_input_sample", "_class_name")


@dataclass(frozen=True)
class Net(Component):
    """A net inside a file; `layout` is `ldm` or `diffusers`, `prefix` what its tensors begin with."""

    layout: str = "diffusers"
    prefix: str = ""

    def header(self) -> Header:
        """Its tensors; those of the first layout under its own names, which no check asks for."""
        return {key.removeprefix(self.prefix): entry for key, entry in read_header(self.files[0]).items()}

    def weights(self, component: str) -> Any:
        """The recipe's part: the id is the content of the file and how it is built."""
        from nodes.types import Weights

        told = json.dumps(dict(self.config), sort_keys=True)
        identity = f"{places.file_id(self.files[0])}:{told}"
        return Weights(hashlib.blake2b(identity.encode(), digest_size=16).hexdigest(), component, str(self.folder))

    def convert(self, module: Any, state: dict[str, torch.Tensor]) -> None:
        """Its tensors under the names of the module, by diffusers' own conversion."""
        mine = {key.removeprefix(self.prefix): tensor for key, tensor in state.items()}
        if self.layout == "ldm":
            from diffusers.loaders.single_file_utils import convert_controlnet_checkpoint

            mine = convert_controlnet_checkpoint(mine, self.config)
        state.clear()
        state.update(mine)


def part(folder: Path) -> Net:
    """The net in a file, by the name of its place (`canny.safetensors/controlnet`).

    A folder of the file's own name beside it, with the config.json of diffusers, is believed before the shapes.
    """
    file = folder.parent
    table = read_header(file)
    own = file.with_suffix("") / "config.json"
    for prefix in PREFIXES:
        mine = {key.removeprefix(prefix): entry for key, entry in table.items() if key.startswith(prefix)}
        found = _net(mine, file, read_json(own) if own.is_file() else None)
        if found is not None:
            return Net(folder, found[1], (file,), "", found[0], prefix)
    raise fail(
        "model.family",
        f"{file.name} is no ControlNet or T2I-Adapter that is known here",
        mend="put its config.json, as diffusers saves it, in a folder of its name beside it",
        socket="controlnet",
    )


def _net(table: Header, file: Path, told: Mapping[str, Any] | None) -> tuple[str, Mapping[str, Any]] | None:
    """(layout, configuration) of a net, or None."""
    if "adapter.conv_in.weight" in table:
        return "diffusers", told or _t2i(table)
    if "controlnet_x_embedder.weight" in table:
        return "diffusers", told or _flux(table, file)
    if "pos_embed_input.proj.weight" in table:
        return "diffusers", told or _sd3(table, file)
    first = "input_hint_block.0.weight" in table or "zero_convs.0.0.weight" in table
    layout = "ldm" if first else "diffusers"
    if not first and "controlnet_cond_embedding.conv_in.weight" not in table:
        return None
    if told is not None:
        return layout, told
    for kind, of, needs in UNETS:
        if of == layout and all(fits(table, name, shape) for name, shape in needs.items()):
            return layout, _unet(kind, table)
    raise fail(
        "model.family",
        f"{file.name} is a ControlNet of a size that no published model has",
        mend=f"put its config.json, as diffusers saves it, in a folder '{file.stem}' beside it",
        socket="controlnet",
    )


def _unet(kind: str, table: Header) -> dict[str, Any]:
    """The ControlNet of a UNet: a copy of its first half; a union of several has an embedding of what is meant."""
    base = read_json(configs.shipped(kind, "unet") / "config.json")
    found = {key: value for key, value in base.items() if key not in NOT_IN_NETS}
    union = table.get("control_add_embedding.linear_1.weight")
    first = table.get("controlnet_cond_embedding.conv_in.weight") or table.get("input_hint_block.0.weight")
    found |= {
        "_class_name": "ControlNetModel",
        "conditioning_channels": first[1][1] if first is not None else 3,
        "conditioning_embedding_out_channels": [16, 32, 96, 256],
        "controlnet_conditioning_channel_order": "rgb",
        "global_pool_conditions": False,
    }
    if union is not None:
        last = table.get("controlnet_cond_embedding.blocks.5.weight")
        channels = [48, 96, 192, 384] if last is not None and last[1][0] == 384 else [16, 32, 96, 256]
        embedded = union[1][1] // int(found["addition_time_embed_dim"])
        found |= {"_class_name": "ControlNetUnionModel", "num_control_type": embedded}
        found |= {"conditioning_embedding_out_channels": channels}
    return found


def _flux(table: Header, file: Path) -> dict[str, Any]:
    more = {"proj_out.weight": ("", (64, 0))}
    found = configs.flux({**more, **table}, file)
    modes = table.get("controlnet_mode_embedder.weight")
    for key in ("out_channels", "_class_name"):
        found.pop(key)
    hint = table.get("input_hint_block.conv_in.weight")
    return found | {
        "_class_name": "FluxControlNetModel",
        "num_mode": None if modes is None else modes[1][0],
        "conditioning_embedding_channels": None if hint is None else 16,
    }


def _sd3(table: Header, file: Path) -> dict[str, Any]:
    channels = table["pos_embed_input.proj.weight"][1][1]
    found = configs.sd3({"proj_out.weight": ("", (64, 0)), **table}, file)
    extra = channels - int(found["in_channels"])
    return found | {"_class_name": "SD3ControlNetModel", "extra_conditioning_channels": extra}


def _t2i(table: Header) -> dict[str, Any]:
    """A T2I-Adapter (Mou et al. 2023): pixels are unshuffled by 8 for SD 1.x, by 16 for XL."""
    rows, wide = table["adapter.conv_in.weight"][1][:2]
    factor = 16 if wide in (256, 768) else 8
    light = any(key.startswith("adapter.body.0.in_conv.") for key in table) and rows != 320
    kind = "light_adapter" if light else "full_adapter_xl" if factor == 16 else "full_adapter"
    return {
        "_class_name": "T2IAdapter",
        "adapter_type": kind,
        "in_channels": wide // factor**2,
        "channels": [320, 640, 1280, 1280],
        "num_res_blocks": 4 if light else 2,
        "downscale_factor": factor,
    }
