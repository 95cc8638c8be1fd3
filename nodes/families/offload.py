"""Offload: how large a model is before it is read, and how its weights come to the device in parts.

The parts are diffusers' group offloading: block by block with the next block on its way while one computes, or layer by
layer. It moves weights and changes no bit of the result. The engine decides when (`engine.memory.placing`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from engine.memory import Footprint
from nodes.families.files import BITS, component
from nodes.families.gguf import header as gguf
from nodes.types import Weights

if TYPE_CHECKING:
    import torch

# What comes as one: a transformer block at the top (`single_transformer_blocks.17.`), or in the blocks of a UNet, which
# are a third of it each, an attention or a residual block (`up_blocks.0.attentions.2.`).
BLOCK = re.compile(r"((?:(?:down|up)_blocks\.\d+|mid_block)\.[a-z_]+\.\d+|[a-z_]+\.\d+)\.")
FLOATS = ("F64", "F32", "F16", "BF16")
SIZES = {"float32": 4, "bfloat16": 2, "float16": 2, "float8_e4m3fn": 1, "float8_e5m2": 1}
# Modules that diffusers' layer by layer offloading knows; their parameters have these names.
HOOKS = ("lazy_prefetch_group_offloading", "layer_execution_tracker", "group_offloading")


class Smaller(Protocol):
    """What makes weights smaller when they are loaded (`nodes.families.quantized`)."""

    def size(self, name: str, shape: tuple[int, ...], item: int) -> int | None:
        """Bytes of a tensor of the file; None where it is left as it is."""


def footprint(weights: Iterable[Weights], dtype: str, blocks: bool = True, smaller: Smaller | None = None) -> Footprint:
    """Bytes of the weights once they are in `dtype`, from their files' headers; `blocks`: has it a list of blocks?

    What is made `smaller` as it is loaded stays whole on its device.
    """
    found = [_footprint(one, dtype, blocks, smaller) for one in weights]
    total = found[0]
    for more in found[1:]:
        total = total.plus(more)
    return total


def _footprint(weights: Weights, dtype: str, blocks: bool, smaller: Smaller | None) -> Footprint:
    size = SIZES[dtype]
    every: dict[str, int] = {}
    found = component(Path(weights.path))
    for name, (kind, shape) in found.header().items():
        less = None if smaller is None else smaller.size(name, shape, size)
        every[name] = _bytes(kind, shape, size, found.packs) if less is None else less
    if smaller is not None:
        return Footprint(sum(every.values()))
    whole, layers = sum(every.values()), 2 * max(every.values(), default=0)
    groups: dict[str, int] = {}
    for name, count in every.items():
        match = BLOCK.match(name)
        groups[match[1] if match else ""] = groups.get(match[1] if match else "", 0) + count
    rest = groups.pop("", 0)
    if not blocks or not groups:
        return Footprint(whole, 0, layers)
    return Footprint(whole, min(whole, rest + sum(sorted(groups.values())[-2:])), layers)


def _bytes(kind: str, shape: tuple[int, ...], size: int, packs: bool) -> int:
    """Of one tensor once it is loaded, `size` bytes a number; what GGUF files have packed stays so in matrices."""
    if packs and gguf.packed(kind, shape):
        return gguf.size(kind, shape)
    floats = kind in FLOATS or gguf.BLOCKS.get(kind, (1, 0))[0] > 1
    return math.prod(shape) * (size if floats else BITS.get(kind, 8) // 8)


def stream(module: Any, device: str, way: str) -> Callable[[], None]:
    """Let the weights of a module on the host come to `device` as they are needed; returns what ends that.

    `blocks` or `layers`; a module without a list of blocks at its top comes in layers either way.
    """
    import torch
    from diffusers.hooks.group_offloading import apply_group_offloading

    if getattr(module, "stays_whole", False):
        module.to(device)

        def home() -> None:
            module.to("cpu")

        return home
    parts = list(module.values()) if isinstance(module, torch.nn.ModuleDict) else [module]
    onload = torch.device(device)
    done: list[Any] = []

    def hook(one: Any, kind: str) -> None:
        apply_group_offloading(
            one,
            onload_device=onload,
            offload_device=torch.device("cpu"),
            offload_type=kind,
            num_blocks_per_group=1 if kind == "block_level" else None,
            use_stream=onload.type in ("cuda", "xpu"),
        )

    def undo() -> None:
        while done:
            _unhook(done.pop())

    try:
        for part in parts:
            done.append(part)
            blocks = [*getattr(part, "down_blocks", ()), *getattr(part, "up_blocks", ())]
            if way == "blocks" and blocks:
                for one in (*blocks, part.mid_block):
                    hook(one, "block_level")
                for name, one in part.named_children():
                    if name not in ("down_blocks", "up_blocks", "mid_block"):
                        one.to(onload)  # embeddings and the first and last convolution: hundredths of it
            elif way == "blocks" and any(isinstance(one, torch.nn.ModuleList) for one in part.children()):
                hook(part, "block_level")
            else:
                hook(part, "leaf_level")
            part.runs_on = onload
    except BaseException:
        undo()
        raise
    return undo


def _unhook(part: Any) -> None:
    for one in part.modules():
        registry: Any = getattr(one, "_diffusers_hook", None)
        for name in HOOKS if registry is not None else ():
            if registry.get_hook(name) is not None:
                registry.remove_hook(name, recurse=False)
    if hasattr(part, "runs_on"):
        del part.runs_on
    part.to("cpu")


def where(module: Any) -> tuple[torch.device, torch.dtype]:
    """The device and dtype in which a leased module takes its inputs, wherever its weights wait and however stored."""
    first = next(module.parameters())
    return getattr(module, "runs_on", first.device), getattr(module, "computes_in", first.dtype)
