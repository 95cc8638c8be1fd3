"""Single_file_names: what the tensors of the first Stable Diffusion code are called in diffusers.

`diffusers_names` translates a header, for checks and adapters, without torch; `convert` translates weights with
diffusers' own functions. A test holds the one to the other, name by name and shape by shape.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nodes.families.files import Header

if TYPE_CHECKING:
    import torch

Entry = tuple[str, tuple[int, ...]]

_FIRST = {
    "time_embed.0.": "time_embedding.linear_1.",
    "time_embed.2.": "time_embedding.linear_2.",
    "label_emb.0.0.": "add_embedding.linear_1.",
    "label_emb.0.2.": "add_embedding.linear_2.",
    "input_blocks.0.0.": "conv_in.",
    "out.0.": "conv_norm_out.",
    "out.2.": "conv_out.",
}
_RESNET = {
    "in_layers.0.": "norm1.",
    "in_layers.2.": "conv1.",
    "out_layers.0.": "norm2.",
    "out_layers.3.": "conv2.",
    "emb_layers.1.": "time_emb_proj.",
    "skip_connection.": "conv_shortcut.",
}
_BLOCK = re.compile(r"^(input|output)_blocks\.(\d+)\.(\d+)\.(.+)$")
_MIDDLE = re.compile(r"^middle_block\.([012])\.(.+)$")
_CLIP_G = {
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "text_projection": "text_projection.weight",
}
_LAYER = re.compile(r"^transformer\.resblocks\.(\d+)\.(.+)$")
_IN_LAYER = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}


def diffusers_names(part: str, table: Header, config: Mapping[str, Any]) -> Header:
    """The header of a part under diffusers' names; tensors that diffusers does not keep are left out."""
    if part == "unet":
        step = int(config["layers_per_block"]) + 1
        return {name: entry for key, entry in table.items() if (name := _unet(key, step)) is not None}
    if part == "text_encoder_2":
        return {name: entry for key, old in table.items() for name, entry in _clip_g(key, old)}
    return table


def _unet(key: str, step: int) -> str | None:
    """A UNet's tensor: blocks are numbered through, `step` to each resolution."""
    for old, new in _FIRST.items():
        if key.startswith(old):
            return new + key.removeprefix(old)
    if (found := _MIDDLE.match(key)) is not None:
        index, rest = int(found[1]), found[2]
        return f"mid_block.attentions.0.{rest}" if index == 1 else f"mid_block.resnets.{index // 2}.{_resnet(rest)}"
    if (found := _BLOCK.match(key)) is None:
        return None
    down, index, layer, rest = found[1] == "input", int(found[2]), int(found[3]), found[4]
    block, place = divmod(index - 1 if down else index, step)
    where = f"{'down' if down else 'up'}_blocks.{block}"
    if rest.startswith(("op.", "conv.")):
        return f"{where}.{'down' if down else 'up'}samplers.0.conv.{rest.split('.', 1)[1]}"
    return f"{where}.resnets.{place}.{_resnet(rest)}" if layer == 0 else f"{where}.attentions.{place}.{rest}"


def _resnet(rest: str) -> str:
    return next((new + rest.removeprefix(old) for old, new in _RESNET.items() if rest.startswith(old)), rest)


def _clip_g(key: str, entry: Entry) -> list[tuple[str, Entry]]:
    """A tensor of OpenCLIP's text tower; query, key and value lie in one there, and the projection is turned."""
    if key in _CLIP_G:
        dtype, shape = entry
        return [(_CLIP_G[key], (dtype, shape[::-1]) if key == "text_projection" else entry)]
    found = _LAYER.match(key)
    if found is None:
        return []
    where, rest = f"text_model.encoder.layers.{found[1]}", found[2]
    if rest.startswith("attn.in_proj_"):
        dtype, shape = entry
        third = (shape[0] // 3, *shape[1:])
        end = rest.removeprefix("attn.in_proj_")
        return [(f"{where}.self_attn.{side}_proj.{end}", (dtype, third)) for side in "qkv"]
    if rest.startswith("attn."):
        return [(f"{where}.self_{rest}", entry)]
    old = next((old for old in _IN_LAYER if rest.startswith(old)), None)
    return [] if old is None else [(f"{where}.{_IN_LAYER[old]}{rest.removeprefix(old)}", entry)]


def convert(part: str, prefix: str, module: Any, config: Mapping[str, Any], state: dict[str, torch.Tensor]) -> None:
    """Put a part's tensors under the names of its module, in place."""
    from diffusers.loaders import single_file_utils as theirs

    if part == "unet":
        found = theirs.convert_ldm_unet_checkpoint(
            {f"model.diffusion_model.{key.removeprefix(prefix)}": tensor for key, tensor in state.items()}, config
        )
    elif part == "vae":
        found = theirs.convert_ldm_vae_checkpoint(
            {f"first_stage_model.{key.removeprefix(prefix)}": tensor for key, tensor in state.items()}, config
        )
    elif part == "text_encoder_2":
        found = theirs.convert_open_clip_checkpoint(module, dict(state), prefix=prefix)
    else:
        found = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
    state.clear()
    state.update(found)
