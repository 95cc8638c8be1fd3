"""GGUF files made in the test: packed by the package gguf itself, each with a twin of plain numbers beside it."""

import shutil
from pathlib import Path

import gguf
import numpy as np
import torch
from safetensors.torch import save_file

TYPES = {kind.name: kind for kind in gguf.GGMLQuantizationType}
LLAMA = {
    "shared.weight": "token_embd.weight",
    "encoder.final_layer_norm.weight": "enc.output_norm.weight",
    "layer.0.SelfAttention.relative_attention_bias": "attn_rel_b",
    "layer.0.layer_norm": "attn_norm",
    "layer.1.layer_norm": "ffn_norm",
    "layer.1.DenseReluDense.wi_0": "ffn_gate",
    "layer.1.DenseReluDense.wi_1": "ffn_up",
    "layer.1.DenseReluDense.wo": "ffn_down",
    "encoder.block.": "enc.blk.",
    **{f"layer.0.SelfAttention.{side}.": f"attn_{side}." for side in "qkvo"},
}


def llama(state):
    """A T5 encoder's tensors under llama.cpp's names."""
    found = {}
    for key, tensor in state.items():
        if key == "encoder.embed_tokens.weight":
            continue
        for ours, theirs in LLAMA.items():
            key = key.replace(ours, theirs)
        found[key] = tensor
    return found


def write(file: Path, state, kind="Q8_0", architecture="flux", mixture=7, twin=None):
    """The tensors in `kind` where their rows fill blocks, the rest in float32; the twin has what that comes to.

    Tensors of more than two dimensions whose rows fill none are laid out anew, as the converters for UNets do.
    """
    writer = gguf.GGUFWriter(str(file), architecture)
    writer.add_file_type(mixture)
    writer.add_array("tokenizer.ggml.tokens", ["a", "bb", "ccc"])
    block = gguf.GGML_QUANT_SIZES[TYPES[kind]][0]
    plain = {}
    for name, tensor in state.items():
        values = tensor.float().numpy()
        rows = values
        if values.ndim > 2 and values.shape[-1] % block and values.size % block == 0:
            writer.add_array(f"comfy.gguf.orig_shape.{name}", [int(side) for side in values.shape])
            rows = values.reshape(-1, block)
        if rows.ndim < 2 or rows.shape[-1] % block:
            writer.add_tensor(name, values, raw_dtype=TYPES["F32"])
            plain[name] = tensor.float()
            continue
        packed = gguf.quants.quantize(rows, TYPES[kind])
        writer.add_tensor(name, packed, raw_dtype=TYPES[kind])
        wide = gguf.quants.dequantize(packed, TYPES[kind]).reshape(values.shape)
        plain[name] = torch.from_numpy(np.ascontiguousarray(wide))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    if twin is not None:
        save_file({name: tensor.contiguous() for name, tensor in plain.items()}, twin)
    return file


def configs_beside(source: Path, *files: Path):
    """The configurations and tokenizers of a folder, beside files that are made of it."""
    for file in files:
        ignored = shutil.ignore_patterns("*.safetensors", "model_index.json")
        shutil.copytree(source, file.with_suffix(""), ignore=ignored, dirs_exist_ok=True)
