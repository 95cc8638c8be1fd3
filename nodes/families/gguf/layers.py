"""Layers: a GGUF file's tensors on a live module: matrices as they lie in the file, widened as each layer computes.

The arithmetic is diffusers' (`diffusers.quantizers.gguf`). Bytes stay mapped from the file on the CPU. In float32 what
was packed is widened in float32, else in float16, as diffusers does, before it is cast to what the model computes in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import fail
from nodes.families.files import damaged
from nodes.families.gguf import header

if TYPE_CHECKING:
    import torch

_PLAIN = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64", "I8": "int8", "I16": "int16"}
_PLAIN |= {"I32": "int32", "I64": "int64"}


def tensors(
    file: Path, holds: Callable[[str], bool], keep: bool, device: str, dtype: torch.dtype
) -> Iterator[tuple[str, Any]]:
    """(name, tensor) of a file's part: matrices packed where `keep`, everything else in `dtype`, all on the device."""
    import torch

    table = header.read(file)
    header.check(file, table)
    try:
        whole = torch.from_file(str(file), shared=False, size=file.stat().st_size, dtype=torch.uint8)
    except (OSError, RuntimeError):
        raise fail("model.missing", f"{file} is gone", mend="put it back, or run the workflow again") from None
    for name, one in table.tensors.items():
        if not holds(name):
            continue
        raw = whole[one.start : one.start + one.bytes]
        if one.kind in _PLAIN:
            # A view where the file has it on a boundary of its own size, which the format promises.
            tensor = raw.view(getattr(torch, _PLAIN[one.kind])).reshape(one.shape)
            yield name, tensor.to(device, dtype if tensor.is_floating_point() else tensor.dtype)
            continue
        rows = one.shape[0] if header.packed(one.kind, one.shape) else 1
        # int8 and not uint8: transformers' T5 casts what it computes to the dtype of some weights, unless it is int8.
        held = _parameter(raw.view(torch.int8).reshape(rows, -1), one.kind)
        if keep and header.packed(one.kind, one.shape):
            yield name, held.to(device)
        else:
            yield name, widen(held, dtype).reshape(one.shape).to(device)


def _parameter(raw: torch.Tensor, kind: str) -> Any:
    import gguf
    from diffusers.quantizers.gguf.utils import GGUFParameter

    return GGUFParameter(raw, quant_type=gguf.GGMLQuantizationType[kind])


def is_packed(tensor: Any) -> bool:
    """Is this a tensor as it lies in a file?"""
    return hasattr(tensor, "quant_type")


def widen(held: Any, dtype: torch.dtype) -> torch.Tensor:
    """The numbers of a packed tensor [rows, bytes] as [rows, columns] in `dtype`."""
    import torch
    from diffusers.quantizers.gguf.utils import GGML_QUANT_SIZES, dequantize_functions

    block, width = GGML_QUANT_SIZES[held.quant_type]
    raw = held.as_tensor().view(torch.uint8)
    within = torch.float32 if dtype == torch.float32 else torch.float16
    change: Callable[..., torch.Tensor] = dequantize_functions[held.quant_type]
    return change(raw.reshape(-1, width), block, width, within).reshape(*raw.shape[:-1], -1).to(dtype)


@cache
def _classes() -> tuple[Any, Any]:
    import torch
    from diffusers.quantizers.gguf.utils import GGUFLinear

    class PackedLinear(GGUFLinear):
        """diffusers' layer, in float32 without its detour over float16."""

        def forward_native(self, inputs: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.linear(inputs, _wide(self), self.bias)

    class PackedEmbedding(torch.nn.Embedding):
        """Rows are looked up as bytes; only those that are asked for are widened."""

        compute_dtype: torch.dtype

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            held: Any = self.weight
            if not is_packed(held):
                return super().forward(ids)
            rows = type(held)(held.as_tensor()[ids.flatten()], quant_type=held.quant_type)
            return widen(rows, self.compute_dtype).reshape(*ids.shape, -1)

    return PackedLinear, PackedEmbedding


def _wide(layer: Any) -> torch.Tensor:
    """A layer's weight as numbers; plain ones already where an adapter stands in for what was packed."""
    weight: torch.Tensor = layer.weight
    return widen(weight, layer.compute_dtype) if is_packed(weight) else weight


def place(module: torch.nn.Module, state: dict[str, Any], dtype: torch.dtype, file: Path) -> set[str]:
    """Move the packed tensors out of `state` onto layers of the module that can hold them; returns their names.

    What is no linear layer or embedding gets its numbers widened at once, and stays in `state`.
    """
    import torch

    linear, embedding = _classes()
    placed = set()
    parameters = dict(module.named_parameters(remove_duplicate=False))
    for key in [key for key, tensor in state.items() if is_packed(tensor)]:
        held, wanted = state[key], parameters.get(key)
        where, _, name = key.rpartition(".")
        if wanted is None:
            continue  # nothing of the module's
        if tuple(held.quant_shape) != tuple(wanted.shape):
            raise damaged(file, f"'{key}' is {list(held.quant_shape)}, the model has {list(wanted.shape)}")
        layer = module.get_submodule(where)
        if name == "weight" and isinstance(layer, torch.nn.Linear):
            if not isinstance(layer, linear):
                layer = _instead(module, where, _linear(linear, layer, dtype))
        elif name == "weight" and isinstance(layer, torch.nn.Embedding):
            if not isinstance(layer, embedding):
                with torch.device("meta"):
                    made = embedding(layer.num_embeddings, layer.embedding_dim, layer.padding_idx)
                made.compute_dtype = dtype
                layer = _instead(module, where, made)
        else:
            state[key] = widen(held, dtype)
            continue
        layer.weight = held
        del state[key]
        placed.add(key)
    return placed


def _linear(cls: Any, layer: torch.nn.Linear, dtype: torch.dtype) -> Any:
    import torch

    with torch.device("meta"):
        return cls(layer.in_features, layer.out_features, layer.bias is not None, compute_dtype=dtype)


def _instead(module: torch.nn.Module, where: str, layer: Any) -> Any:
    parent, _, name = where.rpartition(".")
    setattr(module.get_submodule(parent), name, layer)
    return layer
