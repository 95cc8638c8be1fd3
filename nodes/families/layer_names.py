"""Layer_names: what a layer is called elsewhere, and in which block of the model it stands.

Adapters are written over the names of diffusers, over those of the model's first code (`input_blocks.4.1…`,
`double_blocks.0.img_attn.qkv`), with dots or with underscores. All meet in `plain_name`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nodes.families.single_file.names import (
    FIRST,
    FLUX_IN_DOUBLE,
    FLUX_IN_SINGLE,
    RESNET,
    SD3_IN_BLOCK,
    moves,
)

Shapes = Mapping[str, tuple[int, ...]]
"""Layer name under diffusers' names -> shape of its weight."""


@dataclass(frozen=True)
class Target:
    """A layer of the module, and which rows of the adapter's layer are its own (None: all)."""

    name: str
    start: int = 0
    stop: int | None = None


def plain_name(name: str) -> str:
    """`down_blocks.0.attn.to_q` and `down_blocks_0_attn_to_q` as one; recent transformers drop `text_model`."""
    return name.replace(".", "_").removeprefix("text_model_")


def targets(shapes: Shapes) -> dict[str, list[Target]]:
    """Plain name -> the layers it stands for: a module's own names, and those of its first code."""
    found = {plain_name(name): [Target(name)] for name in shapes}
    for old, target in _older(shapes):
        found.setdefault(plain_name(old), []).append(target)
    return found


def _older(shapes: Shapes) -> Iterator[tuple[str, Target]]:
    if any(name.startswith("single_transformer_blocks.") for name in shapes):
        yield from _dit("flux", _flux_table(shapes))
    elif "pos_embed.proj" in shapes:
        yield from _dit("sd3", _sd3_table(shapes))
    elif "conv_in" in shapes and any(name.startswith("down_blocks.") for name in shapes):
        step = 1 + len({name.split(".")[3] for name in shapes if name.startswith("down_blocks.0.resnets.")})
        crossed = {name.split(".")[1] for name in shapes if re.match(r"up_blocks\.\d+\.attentions\.", name)}
        for name in shapes:
            old = ldm_name(name, step, crossed)
            if old != name:
                yield old, Target(name)


def _dit(layout: str, table: Mapping[str, tuple[str, tuple[int, ...]]]) -> Iterator[tuple[str, Target]]:
    for new, old, cut in moves(layout, table):
        if new.endswith(".weight") and old.endswith(".weight"):
            yield old.removesuffix(".weight"), Target(new.removesuffix(".weight"), cut.start, cut.stop)


def _numbers(shapes: Shapes, prefix: str) -> list[int]:
    return sorted({int(name.split(".")[1]) for name in shapes if name.startswith(prefix)})


def _flux_table(shapes: Shapes) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The first code's layers, as far as adapters change them, with their shapes."""
    table = {"img_in.weight": ("", shapes["x_embedder"])}
    for index in _numbers(shapes, "transformer_blocks."):
        block = f"transformer_blocks.{index}"
        for place, (side, q) in enumerate((("img", "attn.to_q"), ("txt", "attn.add_q_proj"))):
            rows, into = shapes.get(f"{block}.{q}", (0, 0))[:2]
            table[f"double_blocks.{index}.{side}_attn.qkv.weight"] = ("", (3 * rows, into))
            for old, both in FLUX_IN_DOUBLE.items():
                shape = shapes.get(f"{block}.{both[place]}")
                if shape is not None:
                    table[f"double_blocks.{index}.{side}_{old}.weight"] = ("", shape)
    for index in _numbers(shapes, "single_transformer_blocks."):
        block = f"single_transformer_blocks.{index}"
        rows, into = shapes.get(f"{block}.attn.to_q", (0, 0))[:2]
        wide = shapes.get(f"{block}.proj_mlp", (0, 0))[0]
        table[f"single_blocks.{index}.linear1.weight"] = ("", (3 * rows + wide, into))
        for old, new in FLUX_IN_SINGLE.items():
            shape = shapes.get(f"{block}.{new}")
            if shape is not None:
                table[f"single_blocks.{index}.{old}.weight"] = ("", shape)
    return table


def _sd3_table(shapes: Shapes) -> dict[str, tuple[str, tuple[int, ...]]]:
    table: dict[str, tuple[str, tuple[int, ...]]] = {}
    for index in _numbers(shapes, "transformer_blocks."):
        block, old_block = f"transformer_blocks.{index}", f"joint_blocks.{index}"
        for side, attention, q in (
            ("x", "attn", "attn.to_q"),
            ("x", "attn2", "attn2.to_q"),
            ("context", "attn", "attn.add_q_proj"),
        ):
            shape = shapes.get(f"{block}.{q}")
            if shape is not None:
                table[f"{old_block}.{side}_block.{attention}.qkv.weight"] = ("", (3 * shape[0], *shape[1:]))
        for side, names in SD3_IN_BLOCK.items():
            for old, new in names.items():
                shape = shapes.get(f"{block}.{new}")
                if shape is not None:
                    table[f"{old_block}.{side}_block.{old}.weight"] = ("", shape)
    return table


_BLOCK = re.compile(r"^(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.?(.*)$")
_MIDDLE = re.compile(r"^mid_block\.(resnets|attentions)\.(\d+)\.?(.*)$")


def ldm_name(name: str, step: int, crossed: set[str]) -> str:
    """A UNet's layer in the first code: blocks are numbered through, `step` to each resolution.

    `crossed` are the numbers of the upward blocks that have attention: their upsampler stands one place later.
    """
    if (middle := _MIDDLE.match(name)) is not None:
        kind, index, rest = middle[1], int(middle[2]), middle[3]
        return f"middle_block.{1 if kind == 'attentions' else 2 * index}.{_old(rest) if kind == 'resnets' else rest}"
    if (found := _BLOCK.match(name)) is None:
        return next((old + name.removeprefix(new[:-1]) for old, new in _TOP if name == new[:-1]), name)
    down, block, kind, place, rest = found[1] == "down", int(found[2]), found[3], int(found[4]), found[5]
    side = "input_blocks" if down else "output_blocks"
    if kind == "downsamplers":
        return f"{side}.{(block + 1) * step}.0.op"
    if kind == "upsamplers":
        return f"{side}.{block * step + step - 1}.{2 if found[2] in crossed else 1}.conv"
    index = block * step + place + (1 if down else 0)
    return f"{side}.{index}.{0 if kind == 'resnets' else 1}.{_old(rest) if kind == 'resnets' else rest}"


_TOP = [(old.removesuffix("."), new) for old, new in FIRST.items()]


def _old(rest: str) -> str:
    return next((old.removesuffix(".") for old, new in RESNET.items() if rest == new.removesuffix(".")), rest)


# --- blocks ----------------------------------------------------------------------------------------------------------

_IN_LDM = re.compile(r"^(input_blocks|middle_block|output_blocks)\.(\d+)")
_SHORT = {"input_blocks": "in", "output_blocks": "out"}
_IN_DIT = re.compile(r"^(single_)?transformer_blocks\.(\d+)\.")
BLOCK_NAME = re.compile(r"(base|mid|m00|in|out|joint|double|single)(\d\d)?", re.I)


def blocks_of(name: str, step: int, flux: bool = False) -> tuple[str, ...]:
    """The names of the block a layer stands in, the narrowest first: `("in04", "in")`; `("base",)` outside of all.

    UNets have the names that block-weight users know: in00..in11, mid (or m00), out00..out11; Stable Diffusion 3
    joint00…, Flux double00… and single00….
    """
    if (found := _IN_DIT.match(name)) is not None:
        kind = "single" if found[1] else "double" if flux else "joint"
        return f"{kind}{int(found[2]):02}", kind
    ldm = _IN_LDM.match(ldm_name(name, step, set()))
    if ldm is None:
        return ("base",)
    if ldm[1] == "middle_block":
        return "mid", "m00"
    return f"{_SHORT[ldm[1]]}{int(ldm[2]):02}", _SHORT[ldm[1]]


def block_step(part: Any) -> int:
    """By how many a module's blocks are numbered on from one resolution to the next."""
    layers = getattr(getattr(part, "config", None), "layers_per_block", None)
    return 1 + (layers if isinstance(layers, int) else 2)


def share(name: str, weights: Mapping[str, float], step: int, flux: bool = False) -> float:
    """What a layer's share of an adapter's strength is, by its block; 1 where no weight speaks of it."""
    if not weights:
        return 1.0
    return next((weights[block] for block in blocks_of(name, step, flux) if block in weights), 1.0)
