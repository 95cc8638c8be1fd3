"""Tiny checkpoints: tensors of diffusers' modules under the names of the first Stable Diffusion code."""

import re

import torch

FIRST = {
    "conv_in.": "input_blocks.0.0.",
    "conv_norm_out.": "out.0.",
    "conv_out.": "out.2.",
    "time_embedding.linear_1.": "time_embed.0.",
    "time_embedding.linear_2.": "time_embed.2.",
    "add_embedding.linear_1.": "label_emb.0.0.",
    "add_embedding.linear_2.": "label_emb.0.2.",
}
RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
VAE = (
    (r"mid_block\.resnets\.0\.", "mid.block_1."),
    (r"mid_block\.resnets\.1\.", "mid.block_2."),
    (r"mid_block\.attentions\.0\.", "mid.attn_1."),
    (r"attn_1\.group_norm\.", "attn_1.norm."),
    (r"attn_1\.to_(q|k|v)\.", r"attn_1.\1."),
    (r"attn_1\.to_out\.0\.", "attn_1.proj_out."),
    (r"down_blocks\.(\d+)\.resnets\.", r"down.\1.block."),
    (r"down_blocks\.(\d+)\.downsamplers\.0\.", r"down.\1.downsample."),
    (r"up_blocks\.(\d+)\.resnets\.", r"up.\1.block."),
    (r"up_blocks\.(\d+)\.upsamplers\.0\.", r"up.\1.upsample."),
    (r"conv_norm_out\.", "norm_out."),
    (r"conv_shortcut\.", "nin_shortcut."),
)
CLIP_G = {
    "embeddings.position_embedding.weight": "positional_embedding",
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "final_layer_norm.": "ln_final.",
    "encoder.layers.": "transformer.resblocks.",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}


def unet(state: dict[str, torch.Tensor], layers: int) -> dict[str, torch.Tensor]:
    """A UNet of `layers` to each resolution."""
    return {_unet(key, layers + 1, state): tensor for key, tensor in state.items()}


def _unet(key: str, step: int, state: dict[str, torch.Tensor]) -> str:
    for new, old in FIRST.items():
        if key.startswith(new):
            return old + key.removeprefix(new)
    if found := re.match(r"mid_block\.(resnets|attentions)\.(\d)\.(.+)", key):
        return f"middle_block.{1 if found[1] == 'attentions' else int(found[2]) * 2}.{_resnet(found[3], found[1])}"
    side, block, kind, place, rest = re.fullmatch(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.+)", key).groups()
    block, place = int(block), int(place)
    if kind == "downsamplers":
        return f"input_blocks.{block * step + step}.0.op.{rest.removeprefix('conv.')}"
    if kind == "upsamplers":
        beside = any(one.startswith(f"up_blocks.{block}.attentions") for one in state)
        return f"output_blocks.{block * step + step - 1}.{2 if beside else 1}.{rest}"
    index = block * step + place + (1 if side == "down" else 0)
    layer = 0 if kind == "resnets" else 1
    return f"{'input' if side == 'down' else 'output'}_blocks.{index}.{layer}.{_resnet(rest, kind)}"


def _resnet(rest: str, kind: str) -> str:
    first, _, end = rest.partition(".")
    return f"{RESNET[first]}.{end}" if kind == "resnets" else rest


def vae(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """An autoencoder; its attention was made of 1 x 1 convolutions, its decoder counted from the far end."""
    last = max(int(found[1]) for key in state if (found := re.search(r"up_blocks\.(\d+)", key)))
    old = {}
    for key, tensor in state.items():
        name = key
        for new, first in VAE:
            name = re.sub(new, first, name)
        name = re.sub(r"\.up\.(\d+)\.", lambda found: f".up.{last - int(found[1])}.", name)
        conv = "attn_1" in name and name.endswith("weight") and tensor.ndim == 2
        old[name] = tensor[:, :, None, None] if conv else tensor
    return old


def clip_l(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """CLIP-L, which transformers' own names are used for."""
    return {f"text_model.{key.removeprefix('text_model.')}": tensor for key, tensor in state.items()}


def clip_g(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """OpenCLIP's text tower: query, key and value in one, the projection turned."""
    old = {}
    for key, tensor in state.items():
        name = key.removeprefix("text_model.")
        if name == "text_projection.weight":
            old["text_projection"] = tensor.T.contiguous()
            continue
        for new, first in CLIP_G.items():
            name = name.replace(new, first)
        if found := re.match(r"(.+)\.self_attn\.q_proj\.(weight|bias)", name):
            three = [state[key.replace("q_proj", f"{side}_proj")] for side in "qkv"]
            old[f"{found[1]}.attn.in_proj_{found[2]}"] = torch.cat(three)
        elif "self_attn." not in name:
            old[name] = tensor
    return old


PREFIXES = {
    "sd1": {"text_encoder": "cond_stage_model.transformer."},
    "sdxl": {
        "text_encoder": "conditioner.embedders.0.transformer.",
        "text_encoder_2": "conditioner.embedders.1.model.",
    },
}


def whole(kind: str, parts: dict[str, dict[str, torch.Tensor]], layers: int) -> dict[str, torch.Tensor]:
    """One checkpoint of all parts' states."""
    made = {f"model.diffusion_model.{key}": t for key, t in unet(parts["unet"], layers).items()}
    made |= {f"first_stage_model.{key}": t for key, t in vae(parts["vae"]).items()}
    for part, prefix in PREFIXES[kind].items():
        turn = clip_g if part == "text_encoder_2" else clip_l
        made |= {prefix + key: t for key, t in turn(parts[part]).items()}
    return {key: tensor.contiguous() for key, tensor in made.items()}
