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
    return {
        key if key.startswith("text_projection") else f"text_model.{key.removeprefix('text_model.')}": tensor
        for key, tensor in state.items()
    }


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


SD3 = {
    "pos_embed.pos_embed": "pos_embed",
    "pos_embed.proj.": "x_embedder.proj.",
    "time_text_embed.timestep_embedder.linear_1.": "t_embedder.mlp.0.",
    "time_text_embed.timestep_embedder.linear_2.": "t_embedder.mlp.2.",
    "time_text_embed.text_embedder.linear_1.": "y_embedder.mlp.0.",
    "time_text_embed.text_embedder.linear_2.": "y_embedder.mlp.2.",
    "proj_out.": "final_layer.linear.",
    "norm_out.linear.": "final_layer.adaLN_modulation.1.",
}
SD3_BLOCK = {
    "norm1.linear": "x_block.adaLN_modulation.1",
    "norm1_context.linear": "context_block.adaLN_modulation.1",
    "ff.net.0.proj": "x_block.mlp.fc1",
    "ff.net.2": "x_block.mlp.fc2",
    "ff_context.net.0.proj": "context_block.mlp.fc1",
    "ff_context.net.2": "context_block.mlp.fc2",
    "attn.to_out.0": "x_block.attn.proj",
    "attn.to_add_out": "context_block.attn.proj",
    "attn.norm_q": "x_block.attn.ln_q",
    "attn.norm_k": "x_block.attn.ln_k",
    "attn.norm_added_q": "context_block.attn.ln_q",
    "attn.norm_added_k": "context_block.attn.ln_k",
    "attn2.to_out.0": "x_block.attn2.proj",
    "attn2.norm_q": "x_block.attn2.ln_q",
    "attn2.norm_k": "x_block.attn2.ln_k",
}
FLUX = {
    "x_embedder.": "img_in.",
    "context_embedder.": "txt_in.",
    "time_text_embed.timestep_embedder.linear_1.": "time_in.in_layer.",
    "time_text_embed.timestep_embedder.linear_2.": "time_in.out_layer.",
    "time_text_embed.text_embedder.linear_1.": "vector_in.in_layer.",
    "time_text_embed.text_embedder.linear_2.": "vector_in.out_layer.",
    "time_text_embed.guidance_embedder.linear_1.": "guidance_in.in_layer.",
    "time_text_embed.guidance_embedder.linear_2.": "guidance_in.out_layer.",
    "proj_out.": "final_layer.linear.",
    "norm_out.linear.": "final_layer.adaLN_modulation.1.",
}
FLUX_DOUBLE = {
    "norm1.linear": "img_mod.lin",
    "norm1_context.linear": "txt_mod.lin",
    "attn.to_out.0": "img_attn.proj",
    "attn.to_add_out": "txt_attn.proj",
    "ff.net.0.proj": "img_mlp.0",
    "ff.net.2": "img_mlp.2",
    "ff_context.net.0.proj": "txt_mlp.0",
    "ff_context.net.2": "txt_mlp.2",
}
FLUX_NORMS = {
    "attn.norm_q": "img_attn.norm.query_norm",
    "attn.norm_k": "img_attn.norm.key_norm",
    "attn.norm_added_q": "txt_attn.norm.query_norm",
    "attn.norm_added_k": "txt_attn.norm.key_norm",
}


def swapped(tensor: torch.Tensor) -> torch.Tensor:
    """Scale and shift as shift and scale."""
    return torch.cat(list(tensor.chunk(2))[::-1])


def sd3(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Stable Diffusion 3's transformer as its makers published it."""
    last = max(int(key.split(".")[1]) for key in state if key.startswith("transformer_blocks."))
    old = {}
    for key, tensor in state.items():
        if not key.startswith("transformer_blocks."):
            name = next((value + key.removeprefix(new) for new, value in SD3.items() if key.startswith(new)), key)
            old[name] = swapped(tensor) if key.startswith("norm_out.") else tensor
            continue
        _, index, rest = key.split(".", 2)
        what, end = rest.rsplit(".", 1)
        if what in SD3_BLOCK:
            swap = what == "norm1_context.linear" and int(index) == last
            old[f"joint_blocks.{index}.{SD3_BLOCK[what]}.{end}"] = swapped(tensor) if swap else tensor
        elif what.endswith("to_q"):
            three = [state[key.replace("to_q", f"to_{side}")] for side in "qkv"]
            old[f"joint_blocks.{index}.x_block.{what.split('.')[0]}.qkv.{end}"] = torch.cat(three)
        elif what.endswith("add_q_proj"):
            three = [state[key.replace("add_q", f"add_{side}")] for side in "qkv"]
            old[f"joint_blocks.{index}.context_block.attn.qkv.{end}"] = torch.cat(three)
    return old


def flux(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Flux's transformer as its makers published it."""
    old = {}
    for key, tensor in state.items():
        if "transformer_blocks." not in key:
            name = next((value + key.removeprefix(new) for new, value in FLUX.items() if key.startswith(new)), key)
            old[name] = swapped(tensor) if key.startswith("norm_out.") else tensor
            continue
        kind, index, rest = key.split(".", 2)
        what, end = rest.rsplit(".", 1)
        if kind == "single_transformer_blocks":
            names = {"norm.linear": "modulation.lin", "proj_out": "linear2"}
            if what in names:
                old[f"single_blocks.{index}.{names[what]}.{end}"] = tensor
            elif what in ("attn.norm_q", "attn.norm_k"):
                old[f"single_blocks.{index}.norm.{'query' if what.endswith('q') else 'key'}_norm.scale"] = tensor
            elif what == "attn.to_q":
                three = [state[key.replace("to_q", f"to_{side}")] for side in "qkv"]
                mlp = state[f"{kind}.{index}.proj_mlp.{end}"]
                old[f"single_blocks.{index}.linear1.{end}"] = torch.cat([*three, mlp])
        elif what in FLUX_DOUBLE:
            old[f"double_blocks.{index}.{FLUX_DOUBLE[what]}.{end}"] = tensor
        elif what in FLUX_NORMS:
            old[f"double_blocks.{index}.{FLUX_NORMS[what]}.scale"] = tensor
        elif what in ("attn.to_q", "attn.add_q_proj"):
            three = [state[key.replace("_q", f"_{side}")] for side in "qkv"]
            old[f"double_blocks.{index}.{'img' if 'to_q' in what else 'txt'}_attn.qkv.{end}"] = torch.cat(three)
    return old


def plain(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """T5, which transformers' own names are used for."""
    return dict(state)


# Where the parts of a checkpoint begin, and how each text encoder is written.
ENCODERS = {
    "sd1": {"text_encoder": ("cond_stage_model.transformer.", clip_l)},
    "sd2": {"text_encoder": ("cond_stage_model.model.", clip_g)},
    "sdxl": {
        "text_encoder": ("conditioner.embedders.0.transformer.", clip_l),
        "text_encoder_2": ("conditioner.embedders.1.model.", clip_g),
    },
    "sdxl-refiner": {"text_encoder_2": ("conditioner.embedders.0.model.", clip_g)},
    "sd3": {
        "text_encoder": ("text_encoders.clip_l.transformer.", clip_l),
        "text_encoder_2": ("text_encoders.clip_g.transformer.", clip_l),
        "text_encoder_3": ("text_encoders.t5xxl.transformer.", plain),
    },
    "flux": {
        "text_encoder": ("text_encoders.clip_l.transformer.", clip_l),
        "text_encoder_2": ("text_encoders.t5xxl.transformer.", plain),
    },
}
DITS = {"sd3": sd3, "flux": flux}


def denoiser(kind: str, state: dict[str, torch.Tensor], layers: int = 2) -> dict[str, torch.Tensor]:
    """A denoiser without a prefix."""
    return DITS[kind](state) if kind in DITS else unet(state, layers)


def whole(kind: str, parts: dict[str, dict[str, torch.Tensor]], layers: int) -> dict[str, torch.Tensor]:
    """One checkpoint of all parts' states."""
    of = "transformer" if kind in DITS else "unet"
    made = {f"model.diffusion_model.{key}": t for key, t in denoiser(kind, parts[of], layers).items()}
    first = "vae." if kind == "flux" else "first_stage_model."
    made |= {first + key: t for key, t in vae(parts["vae"]).items()} if "vae" in parts else {}
    for part, (prefix, turn) in ENCODERS[kind].items():
        made |= {prefix + key: t for key, t in turn(parts[part]).items()} if part in parts else {}
    return {key: tensor.contiguous() for key, tensor in made.items()}
