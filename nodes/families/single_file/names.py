"""Names: what the tensors of a file are called in diffusers and transformers.

`diffusers_names` translates a header, for checks and adapters, without torch; `convert` translates weights: UNets,
autoencoders and OpenCLIP with diffusers' own functions, DiTs by the same table as their headers, so that their slices
stay mapped from the file. Tests hold both to diffusers, name by name and value by value.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nodes.families.files import Header

if TYPE_CHECKING:
    import torch

Entry = tuple[str, tuple[int, ...]]

FIRST = {
    "time_embed.0.": "time_embedding.linear_1.",
    "time_embed.2.": "time_embedding.linear_2.",
    "label_emb.0.0.": "add_embedding.linear_1.",
    "label_emb.0.2.": "add_embedding.linear_2.",
    "input_blocks.0.0.": "conv_in.",
    "out.0.": "conv_norm_out.",
    "out.2.": "conv_out.",
}
RESNET = {
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
# A T5 as llama.cpp names it.
_T5 = {"token_embd.weight": "shared.weight", "enc.output_norm.weight": "encoder.final_layer_norm.weight"}
_T5_LAYER = re.compile(r"^enc\.blk\.(\d+)\.(\w+)\.weight$")
_IN_T5 = {
    **{f"attn_{side}": f"0.SelfAttention.{side}" for side in "qkvo"},
    "attn_rel_b": "0.SelfAttention.relative_attention_bias",
    "attn_norm": "0.layer_norm",
    "ffn_norm": "1.layer_norm",
    "ffn_gate": "1.DenseReluDense.wi_0",
    "ffn_up": "1.DenseReluDense.wi_1",
    "ffn_down": "1.DenseReluDense.wo",
}
_LAYER = re.compile(r"^transformer\.resblocks\.(\d+)\.(.+)$")
_IN_LAYER = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}


# What comes with weights in 8 bits: a scale for each tensor (multiplied in), one for its inputs, and a mark.
SCALES = (".scale_weight", ".weight_scale")
_NOT_KEPT = (*SCALES, ".scale_input", ".input_scale", "scaled_fp8", ".comfy_quant")


def diffusers_names(layout: str, table: Header, config: Mapping[str, Any]) -> Header:
    """The header of a part under diffusers' names; tensors that diffusers does not keep are left out.

    `layout`: `ldm` is a UNet of the first code, `openclip` its text encoder, `sd3` and `flux` the DiTs as published,
    `llama` a T5 as llama.cpp names it.
    """
    table = {key: entry for key, entry in table.items() if not key.endswith(_NOT_KEPT)}
    if layout == "ldm":
        step = int(config["layers_per_block"]) + 1
        return {name: entry for key, entry in table.items() if (name := _unet(key, step)) is not None}
    if layout == "openclip":
        return {name: entry for key, old in table.items() for name, entry in _clip_g(key, old)}
    if layout == "llama":
        return {name: entry for key, entry in table.items() if (name := _t5(key, table)) is not None}
    if layout in DITS:
        return {new: (table[old][0], cut.shape(table[old][1])) for new, old, cut in moves(layout, table)}
    return table


def _unet(key: str, step: int) -> str | None:
    """A UNet's tensor: blocks are numbered through, `step` to each resolution."""
    for old, new in FIRST.items():
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
    return next((new + rest.removeprefix(old) for old, new in RESNET.items() if rest.startswith(old)), rest)


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


def _t5(key: str, table: Collection[str]) -> str | None:
    """A tensor of llama.cpp's T5; without a gate the way up has another name."""
    if key in _T5:
        return _T5[key]
    found = _T5_LAYER.match(key)
    if found is None or found[2] not in _IN_T5:
        return None
    plain = found[2] == "ffn_up" and f"enc.blk.{found[1]}.ffn_gate.weight" not in table
    return f"encoder.block.{found[1]}.layer.{'1.DenseReluDense.wi' if plain else _IN_T5[found[2]]}.weight"


# --- DiTs ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cut:
    """Which rows of a tensor: from `start` to `stop` (None: all), or its halves the other way round."""

    start: int = 0
    stop: int | None = None
    swap: bool = False

    def shape(self, whole: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of what is cut."""
        return whole if self.stop is None else (self.stop - self.start, *whole[1:])

    def of(self, tensor: torch.Tensor) -> torch.Tensor:
        """The rows; a view where nothing is swapped."""
        if self.swap:  # the first code has shift and scale, diffusers scale and shift
            import torch

            return torch.cat(list(reversed(tensor.chunk(2, dim=0))))
        return tensor if self.stop is None else tensor[self.start : self.stop]


WHOLE, SWAPPED = Cut(), Cut(swap=True)
_SD3_TOP = {
    "pos_embed": "pos_embed.pos_embed",
    "x_embedder.proj.": "pos_embed.proj.",
    "t_embedder.mlp.0.": "time_text_embed.timestep_embedder.linear_1.",
    "t_embedder.mlp.2.": "time_text_embed.timestep_embedder.linear_2.",
    "y_embedder.mlp.0.": "time_text_embed.text_embedder.linear_1.",
    "y_embedder.mlp.2.": "time_text_embed.text_embedder.linear_2.",
    "context_embedder.": "context_embedder.",
    "final_layer.linear.": "proj_out.",
    "final_layer.adaLN_modulation.1.": "norm_out.linear.",
}
_SD3_BLOCK = re.compile(
    r"^joint_blocks\.(\d+)\.(x|context)_block\.(attn2?\.\w+|adaLN_modulation\.1|mlp\.fc[12])\.(\w+)$"
)
SD3_IN_BLOCK = {
    "x": {
        "attn.ln_q": "attn.norm_q",
        "attn.ln_k": "attn.norm_k",
        "attn.proj": "attn.to_out.0",
        "attn2.ln_q": "attn2.norm_q",
        "attn2.ln_k": "attn2.norm_k",
        "attn2.proj": "attn2.to_out.0",
        "adaLN_modulation.1": "norm1.linear",
        "mlp.fc1": "ff.net.0.proj",
        "mlp.fc2": "ff.net.2",
    },
    "context": {
        "attn.ln_q": "attn.norm_added_q",
        "attn.ln_k": "attn.norm_added_k",
        "attn.proj": "attn.to_add_out",
        "adaLN_modulation.1": "norm1_context.linear",
        "mlp.fc1": "ff_context.net.0.proj",
        "mlp.fc2": "ff_context.net.2",
    },
}
_FLUX_TOP = {
    "img_in.": "x_embedder.",
    "txt_in.": "context_embedder.",
    "time_in.in_layer.": "time_text_embed.timestep_embedder.linear_1.",
    "time_in.out_layer.": "time_text_embed.timestep_embedder.linear_2.",
    "vector_in.in_layer.": "time_text_embed.text_embedder.linear_1.",
    "vector_in.out_layer.": "time_text_embed.text_embedder.linear_2.",
    "guidance_in.in_layer.": "time_text_embed.guidance_embedder.linear_1.",
    "guidance_in.out_layer.": "time_text_embed.guidance_embedder.linear_2.",
    "final_layer.linear.": "proj_out.",
    "final_layer.adaLN_modulation.1.": "norm_out.linear.",
}
_FLUX_DOUBLE = re.compile(r"^double_blocks\.(\d+)\.(img|txt)_([\w.]+)\.(weight|bias|scale)$")
FLUX_IN_DOUBLE = {
    "mod.lin": ("norm1.linear", "norm1_context.linear"),
    "attn.norm.query_norm": ("attn.norm_q", "attn.norm_added_q"),
    "attn.norm.key_norm": ("attn.norm_k", "attn.norm_added_k"),
    "attn.proj": ("attn.to_out.0", "attn.to_add_out"),
    "mlp.0": ("ff.net.0.proj", "ff_context.net.0.proj"),
    "mlp.2": ("ff.net.2", "ff_context.net.2"),
}
_FLUX_SINGLE = re.compile(r"^single_blocks\.(\d+)\.([\w.]+)\.(weight|bias|scale)$")
FLUX_IN_SINGLE = {
    "modulation.lin": "norm.linear",
    "norm.query_norm": "attn.norm_q",
    "norm.key_norm": "attn.norm_k",
    "linear2": "proj_out",
}
_JOINT = (("to_q", "to_k", "to_v"), ("add_q_proj", "add_k_proj", "add_v_proj"))


def moves(layout: str, table: Header) -> Iterator[tuple[str, str, Cut]]:
    """(new name, old name, which rows) for every tensor of a DiT."""
    yield from _sd3_moves(table) if layout == "sd3" else _flux_moves(table)


DITS = ("sd3", "flux")


def _top(names: Mapping[str, str], key: str) -> Iterator[tuple[str, str, Cut]]:
    old = next((old for old in names if key == old or (old.endswith(".") and key.startswith(old))), None)
    if old is not None:
        new = names[old] + key.removeprefix(old)
        yield new, key, SWAPPED if new.startswith("norm_out.") else WHOLE


def _thirds(block: str, names: tuple[str, ...], key: str, rows: int, end: str) -> Iterator[tuple[str, str, Cut]]:
    for index, name in enumerate(names):
        yield f"{block}.{name}.{end}", key, Cut(index * rows, (index + 1) * rows)


def _sd3_moves(table: Header) -> Iterator[tuple[str, str, Cut]]:
    last = max((int(found[1]) for key in table if (found := _SD3_BLOCK.match(key))), default=0)
    for key, (_, shape) in table.items():
        found = _SD3_BLOCK.match(key)
        if found is None:
            yield from _top(_SD3_TOP, key)
            continue
        index, side, what, end = int(found[1]), found[2], found[3], found[4]
        block = f"transformer_blocks.{index}"
        if what.endswith(".qkv"):
            where = f"{block}.{what.partition('.')[0]}"
            yield from _thirds(where, _JOINT[side == "context"], key, shape[0] // 3, end)
        elif what in SD3_IN_BLOCK[side]:
            swap = what == "adaLN_modulation.1" and side == "context" and index == last
            yield f"{block}.{SD3_IN_BLOCK[side][what]}.{end}", key, SWAPPED if swap else WHOLE


def _flux_moves(table: Header) -> Iterator[tuple[str, str, Cut]]:
    inner = table["img_in.weight"][1][0]
    for key, (_, shape) in table.items():
        if (found := _FLUX_DOUBLE.match(key)) is not None:
            side, what, end = int(found[2] == "txt"), found[3], "weight" if found[4] == "scale" else found[4]
            block = f"transformer_blocks.{found[1]}"
            if what == "attn.qkv":
                yield from _thirds(f"{block}.attn", _JOINT[side], key, shape[0] // 3, end)
            elif what in FLUX_IN_DOUBLE:
                yield f"{block}.{FLUX_IN_DOUBLE[what][side]}.{end}", key, WHOLE
        elif (found := _FLUX_SINGLE.match(key)) is not None:
            what, end = found[2], "weight" if found[3] == "scale" else found[3]
            block = f"single_transformer_blocks.{found[1]}"
            if what == "linear1":
                yield from _thirds(f"{block}.attn", _JOINT[0], key, inner, end)
                yield f"{block}.proj_mlp.{end}", key, Cut(3 * inner, shape[0])
            elif what in FLUX_IN_SINGLE:
                yield f"{block}.{FLUX_IN_SINGLE[what]}.{end}", key, WHOLE
        else:
            yield from _top(_FLUX_TOP, key)


# --- weights ---------------------------------------------------------------------------------------------------------


def convert(
    part: str, layout: str, prefix: str, module: Any, config: Mapping[str, Any], state: dict[str, torch.Tensor]
) -> None:
    """Put a part's tensors under the names of its module, in place; weights in 8 bits with a scale are multiplied."""
    from diffusers.loaders import single_file_utils as theirs

    mine = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
    state.clear()
    for key in [key for key in mine if key.endswith(SCALES)]:
        scale, weight = mine.pop(key), key.rpartition(".")[0] + ".weight"
        if weight in mine:
            mine[weight] = mine[weight] * scale.to(mine[weight])
    mine = {key: tensor for key, tensor in mine.items() if not key.endswith(_NOT_KEPT)}
    if part == "unet" and layout == "ldm":
        found = theirs.convert_ldm_unet_checkpoint(
            {f"model.diffusion_model.{key}": tensor for key, tensor in mine.items()}, config
        )
    elif part == "vae" and layout == "ldm":
        found = theirs.convert_ldm_vae_checkpoint(
            {f"first_stage_model.{key}": tensor for key, tensor in mine.items()}, config
        )
    elif layout == "openclip":
        found = theirs.convert_open_clip_checkpoint(module, mine, prefix="")
    elif layout == "llama":
        found = {name: tensor for key, tensor in mine.items() if (name := _t5(key, mine)) is not None}
    elif layout in DITS:
        table = {key: ("", tuple(tensor.shape)) for key, tensor in mine.items()}
        found = {new: cut.of(mine[old]) for new, old, cut in moves(layout, table)}
    else:
        found = mine
        if part == "vae":
            module._fix_state_dict_keys_on_load(found)
    state.update(found)
