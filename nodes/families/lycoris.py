"""Lycoris: adapters that are no two small matrices.

LoHa, LoKr, Tucker-decomposed convolutions, full differences, norms (Yeh et al. 2023, arXiv 2309.14859), and DoRA as
kohya writes it (Liu et al. 2024, arXiv 2402.09353). Each is a difference to a weight, so that is how it is set: the
layer gets `W + strength * dW` in place of W, and W itself is put back afterwards, the very same tensor. A forward costs
nothing more than without it. Of weights that are packed (GGUF) the changed layers are plain numbers while it lasts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import fail
from engine.memory import ASIDE
from nodes.families.layer_names import Target, block_step, share, targets
from nodes.families.lora_file import ENDS, component_of, lora_path
from nodes.types import Lora

if TYPE_CHECKING:
    import torch

Ends = dict[str, "torch.Tensor"]
"""What a file has for one layer: `hada_w1_a` -> tensor, ..."""

Shares = Mapping[tuple[tuple[str, float], ...], float]


def attach(part: Any, of: str, adapters: Mapping[Lora, Shares]) -> Callable[[], None]:
    """Set these adapters on a module at these strengths; returns what puts its own weights back."""
    import torch

    before: dict[tuple[str, str], torch.nn.Parameter] = {}
    layers = dict(part.named_modules())
    own = {_bare(name): name for name, layer in layers.items() if _weighs(layer)}
    where, flux, step = names(part), hasattr(part, "single_transformer_blocks"), block_step(part)

    def back() -> None:
        for (name, what), parameter in before.items():
            setattr(layers[name], what, parameter)
        setattr(part, ASIDE, 0)

    try:
        for lora, shares in adapters.items():
            for layer, ends in read(Path(lora.weights.path), of).items():
                for target in where.get(layer, ()):
                    name = own[target.name]
                    scale = sum(s * share(target.name, dict(blocks), step, flux) for blocks, s in shares.items())
                    for what, changed in _changed(layers[name], ends, target, scale):
                        before.setdefault((name, what), getattr(layers[name], what))
                        setattr(layers[name], what, torch.nn.Parameter(changed, requires_grad=False))
    except BaseException:
        back()
        raise
    setattr(part, ASIDE, sum(one.numel() * one.element_size() for one in before.values()))
    return back


def _bare(name: str) -> str:
    """A layer's own name, where peft has wrapped it."""
    return name.removesuffix(".base_layer")


def _weighs(layer: Any) -> bool:
    """Is it a layer with a weight of its own, and not one of peft's?"""
    import torch

    return isinstance(getattr(layer, "weight", None), torch.nn.Parameter) and not hasattr(layer, "base_layer")


def names(part: Any) -> dict[str, list[Target]]:
    """Plain name -> the layers of a module that it stands for."""
    weights = {_bare(name): layer.weight for name, layer in part.named_modules() if _weighs(layer)}
    return targets({name: tuple(getattr(held, "quant_shape", held.shape)) for name, held in weights.items()})


def read(path: Path, of: str) -> dict[str, Ends]:
    """The tensors of a file for one component, by the plain name of their layer."""
    from safetensors import SafetensorError, safe_open

    file, found = lora_path(path), dict[str, Ends]()
    try:
        with safe_open(str(file), framework="pt") as stream:
            for key in stream.keys():  # noqa: SIM118 - it is no mapping
                told = ENDS.match(key)
                if told is None:
                    continue
                component, layer = component_of(told["layer"])
                if component == of:
                    found.setdefault(layer, {})[told["end"]] = stream.get_tensor(key)
    except FileNotFoundError:
        raise fail("model.missing", f"{file.name} is gone", mend="put it back, or choose another LoRA") from None
    except (OSError, SafetensorError) as error:
        raise fail("model.format", f"{file.name} cannot be read: {error}", mend="download it again") from None
    return found


def _changed(layer: Any, ends: Ends, target: Target, scale: float) -> Iterator[tuple[str, torch.Tensor]]:
    """(parameter, its new value) of one layer."""
    if scale == 0:
        return
    weight = _numbers(layer)
    exact = {key: tensor.to(weight.device).float() for key, tensor in ends.items()}
    rows = slice(target.start, target.stop)
    for end, what in (("diff_b", "bias"), ("b_norm", "bias"), ("w_norm", "weight")):
        if end in exact and getattr(layer, what, None) is not None:
            old = weight if what == "weight" else layer.bias
            yield what, (old.float() + scale * exact[end][rows].reshape(old.shape)).to(old.dtype)
    change = delta(exact, tuple(weight.shape), target)
    if change is None:
        return
    base = weight.float()
    if "dora_scale" in exact:
        change = dora(base, base + change, exact["dora_scale"]) - base
    yield "weight", (base + scale * change).to(weight.dtype)


def _numbers(layer: Any) -> torch.Tensor:
    """A layer's weight as plain numbers."""
    from nodes.families.gguf import layers

    return layers.widen(layer.weight, layer.compute_dtype) if layers.is_packed(layer.weight) else layer.weight


def dora(base: torch.Tensor, moved: torch.Tensor, magnitude: torch.Tensor) -> torch.Tensor:
    """The moved weight with the lengths that were learnt: by output ([out, 1, …]) or by input ([1, in, …])."""
    if magnitude.shape[0] == base.shape[0] and magnitude.numel() == base.shape[0]:
        length = moved.reshape(moved.shape[0], -1).norm(dim=1).reshape(-1, *[1] * (base.dim() - 1))
    else:
        length = moved.transpose(0, 1).reshape(moved.shape[1], -1).norm(dim=1).reshape(1, -1, *[1] * (base.dim() - 2))
    found: torch.Tensor = magnitude.reshape(length.shape) * moved / length.clamp(min=1e-12)
    return found


def delta(ends: Ends, shape: tuple[int, ...], target: Target) -> torch.Tensor | None:
    """The difference to a weight of `shape`, alpha over rank included; None when the layer has none."""
    found = _raw(ends)
    if found is None:
        return None
    rank = _rank(ends)
    if "alpha" in ends and rank:
        found = found * (float(ends["alpha"]) / rank)
    whole = (shape[0] if target.stop is None else found.reshape(-1).numel() // max(_count(shape[1:]), 1), *shape[1:])
    if found.numel() != _count(whole):
        raise fail(
            "facts.mismatch",
            f"a layer of the adapter is {list(found.shape)}, the model's is {list(shape)}",
            mend="use a LoRA that was made for this family of models",
            socket="lora",
        )
    return found.reshape(whole)[target.start : target.stop]


def _count(shape: tuple[int, ...]) -> int:
    size = 1
    for side in shape:
        size *= side
    return size


def _raw(ends: Ends) -> torch.Tensor | None:
    import torch

    if "hada_w1_a" in ends:  # LoHa: (A1 B1) * (A2 B2), elementwise
        return _half(ends, "1") * _half(ends, "2")
    if "lokr_w1" in ends or "lokr_w1_a" in ends:  # LoKr: a Kronecker product
        first = ends["lokr_w1"] if "lokr_w1" in ends else ends["lokr_w1_a"] @ ends["lokr_w1_b"]
        if "lokr_w2" in ends:
            second = ends["lokr_w2"]
        elif "lokr_t2" in ends:
            second = torch.einsum("ijkl,ip,jr->prkl", ends["lokr_t2"], ends["lokr_w2_a"], ends["lokr_w2_b"])
        else:
            second = ends["lokr_w2_a"] @ ends["lokr_w2_b"].flatten(1)
            sides = ends["lokr_w2_b"].shape[2:]
            second = second.reshape(second.shape[0], -1, *sides) if sides else second
        first, second = first.contiguous(), second.contiguous()
        if second.dim() > first.dim():
            first = first.reshape(*first.shape, *[1] * (second.dim() - first.dim()))
        product: torch.Tensor = torch.kron(first, second)
        return product
    up, down = ends.get("lora_up", ends.get("lora_B")), ends.get("lora_down", ends.get("lora_A"))
    if up is not None and down is not None:
        if "lora_mid" in ends:  # Tucker: a small convolution between the two
            product = torch.einsum("ijkl,pi,jr->prkl", ends["lora_mid"], up.flatten(1), down.flatten(1))
            return product
        product = up.flatten(1) @ down.flatten(1)
        return product.reshape(up.shape[0], *down.shape[1:])
    return ends.get("diff")


def _half(ends: Ends, side: str) -> torch.Tensor:
    import torch

    a, b, core = ends[f"hada_w{side}_a"], ends[f"hada_w{side}_b"], ends.get(f"hada_t{side}")
    return a @ b if core is None else torch.einsum("ijkl,ip,jr->prkl", core, a, b)


def _rank(ends: Ends) -> int:
    """By which alpha is divided; 0 where it has no meaning (full matrices)."""
    for name in ("hada_w1_b", "lokr_w1_b", "lora_down", "lora_A"):
        if name in ends:
            return int(ends[name].shape[0])
    if "lokr_w2_b" in ends:
        return int(ends["lokr_t2"].shape[0]) if "lokr_t2" in ends else int(ends["lokr_w2_b"].shape[0])
    return 0
