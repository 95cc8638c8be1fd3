"""Quantized: weights made smaller when they are loaded, by bitsandbytes, torchao or quanto.

The linear layers inside the blocks are changed, which are nearly all of a transformer and most of a UNet; what stands
outside of them, convolutions and norms stay as they are. A layer goes to the device in its dtype, is made smaller
there, and the next one follows: the device never holds the model at its full size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from engine.errors import fail, refuse
from nodes.families.offload import BLOCK

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Method:
    """A way to make weights smaller: whose it is, and bits for a number and for what each row or each block adds."""

    package: str  # as it is installed, and after `weft[...]`
    module: str
    bits: int
    row: int = 0
    block: int = 0  # numbers that share 32 bits of scale
    devices: tuple[str, ...] = ()  # all, when none is named

    def bytes(self, shape: tuple[int, int], item: int) -> int:
        """Of a matrix; `item` bytes has a number of the dtype that is computed in."""
        numbers = math.prod(shape)
        scales = shape[0] * (self.row // 8 if self.row else 0) if not self.block else -(-numbers // self.block) * 4
        return numbers * self.bits // 8 + scales


_BNB = ("cuda", "cpu", "xpu")
METHODS: Mapping[str, Method] = {
    "bnb-int8": Method("bitsandbytes", "bitsandbytes", 8, row=32, devices=_BNB),
    "bnb-nf4": Method("bitsandbytes", "bitsandbytes", 4, block=64, devices=_BNB),
    "bnb-fp4": Method("bitsandbytes", "bitsandbytes", 4, block=64, devices=_BNB),
    "torchao-int8": Method("torchao", "torchao", 8, row=40),
    "torchao-float8": Method("torchao", "torchao", 8, row=32),
    "quanto-int8": Method("optimum-quanto", "optimum.quanto", 8, row=32),
}


def held(name: str, shape: tuple[int, ...]) -> bool:
    """Is a tensor of this name a matrix that is made smaller?"""
    return len(shape) == 2 and name.endswith(".weight") and BLOCK.match(name) is not None


@dataclass(frozen=True)
class Quantized:
    """Weights made smaller by one method; the package's version is part of the key, as another may round otherwise."""

    method: str
    version: str

    @classmethod
    def of(cls, method: str) -> Quantized:
        """By the package that is installed; `package.missing` without it. Nothing is imported."""
        how = METHODS[method]
        try:
            there = find_spec(how.module) is not None
        except ModuleNotFoundError:  # the package that it is a part of
            there = False
        if not there:
            raise fail(
                "package.missing",
                f"{method} needs the package {how.package}, which is not installed",
                mend=f'pip install "weft[{how.package}]", or choose another method',
                socket="method",
            )
        return cls(method, metadata.version(how.package))

    @property
    def own(self) -> str:
        """The rounded weights are no longer the file's."""
        return f"{self.method}@{self.version}"

    def attach(self, module: Any, recipe: Any) -> Callable[[], None]:
        """It was done when the module was built."""
        return lambda: None

    def size(self, name: str, shape: tuple[int, ...], item: int) -> int | None:
        """Bytes of a tensor of the file; None where it is left as it is."""
        return METHODS[self.method].bytes((shape[0], shape[1]), item) if held(name, shape) else None

    def convert(self, module: Any, device: str) -> Any:
        """A module that lies on the host, made smaller layer by layer and brought to the device."""
        import torch

        how = METHODS[self.method]
        if how.devices and torch.device(device).type not in how.devices:
            raise refuse(
                f"{how.package} does not compute on '{device}'",
                socket="method",
                mend="choose a method of torchao or quanto",
            )
        dtype = next(module.parameters()).dtype
        names = [
            name
            for name, layer in module.named_modules()
            if isinstance(layer, torch.nn.Linear) and held(f"{name}.weight", tuple(layer.weight.shape))
        ]
        _WAYS[how.package](module, names, self.method, device, dtype)
        module.to(device)
        module.computes_in, module.stays_whole = dtype, True
        return module.eval().requires_grad_(False)


def _bitsandbytes(module: Any, names: list[str], method: str, device: str, dtype: torch.dtype) -> None:
    import bitsandbytes

    nn: Any = bitsandbytes.nn
    for name in names:
        layer = module.get_submodule(name)
        rows, columns, bias = layer.out_features, layer.in_features, layer.bias is not None
        if method == "bnb-int8":
            # Without outliers apart: they would be taken in another dtype, by what happens to stand in a batch.
            made = nn.Linear8bitLt(columns, rows, bias, has_fp16_weights=False, threshold=0.0, device="meta")
            made.weight = nn.Int8Params(layer.weight.data, requires_grad=False, has_fp16_weights=False)
        else:
            kind = {"quant_type": method.removeprefix("bnb-"), "compress_statistics": False}
            made = nn.Linear4bit(columns, rows, bias, compute_dtype=dtype, device="meta", **kind)
            made.weight = nn.Params4bit(layer.weight.data, requires_grad=False, module=made, **kind)
            # Its CPU kernel lays weights out anew at the first forward, only for rows that come in 32s, and for good.
            made.support_avx512bf16_for_cpu = False
        made.bias = layer.bias
        _put(module, name, made.to(device))


def _torchao(module: Any, names: list[str], method: str, device: str, dtype: torch.dtype) -> None:
    from torchao import quantization

    made: Any = quantization
    config = made.Int8WeightOnlyConfig() if method == "torchao-int8" else made.Float8WeightOnlyConfig()
    wanted = set(names)
    made.quantize_(module, config, filter_fn=lambda _, name: name in wanted, device=device)


def _quanto(module: Any, names: list[str], method: str, device: str, dtype: torch.dtype) -> None:
    from optimum import quanto

    made: Any = quanto
    for name in names:
        layer = made.QLinear.from_module(module.get_submodule(name).to(device), weights=made.qint8)
        layer.freeze()
        _put(module, name, layer)


_WAYS: Mapping[str, Callable[[Any, list[str], str, str, Any], None]] = {
    "bitsandbytes": _bitsandbytes,
    "torchao": _torchao,
    "optimum-quanto": _quanto,
}


def _put(module: Any, name: str, layer: Any) -> None:
    where, _, last = name.rpartition(".")
    setattr(module.get_submodule(where), last, layer)


def quantized(patches: tuple[Any, ...]) -> Quantized | None:
    """The choice of a recipe, if it made one."""
    return next((patch for patch in patches if isinstance(patch, Quantized)), None)
