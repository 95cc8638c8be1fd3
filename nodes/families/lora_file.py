"""Lora_file: which layers a LoRA's file changes, read from its header, and whether they are those of a model.

Three ways of naming are in use: peft's (`unet.down_blocks.0.….to_q.lora_A.weight`), the older one of diffusers
(`….to_q.lora.down.weight`, `….processor.to_q_lora.down.weight`) and kohya's, where dots have become underscores
(`lora_unet_down_blocks_0_…_to_q.lora_down.weight`). A layer is found by its name without either.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from engine import places
from engine.errors import WeftError, fail
from nodes.families.files import Header, component, damaged, read_header, read_json
from nodes.types import Lora, Weights

FOLDER_FILES = ("pytorch_lora_weights.safetensors", "adapter_model.safetensors")
DENOISER = "denoiser"
# Below this share of layers that fit, a file is of another model, and using the few that do would only mislead.
LEAST_MATCHED = 0.5

_PART = re.compile(
    r"^(?P<layer>.+?)\.(?P<end>lora_A|lora_B|lora_down|lora_up|lora(?:_linear_layer)?\.(?:down|up))(?:\.\w+)?\.weight$"
)
# What a file may have beside the two matrices: kept by peft (DoRA's lengths, a bias), folded in (alpha), or not used.
_BESIDE = re.compile(r"^(?P<layer>.+?)\.(?P<end>lora_magnitude_vector|lora_B(?:\.\w+)?\.bias|alpha)(?:\.\w+)*$")
_OLD = re.compile(r"^(?P<layer>.+?)\.(?:processor\.)?to_(?P<to>q|k|v|out)_lora\.(?P<end>down|up)\.weight$")
_KOHYA = re.compile(r"^lora_(?P<of>unet|transformer|te[123]?)_(?P<layer>.+)$")
_ENCODERS = {"te": "text_encoder", "te1": "text_encoder", "te2": "text_encoder_2", "te3": "text_encoder_3"}
_OTHER_KINDS = {"hada_w1_a": "LoHa", "lokr_w1": "LoKr", "oft_blocks": "OFT", "oft_R": "OFT", "diff": "full-difference"}
_DEEP = re.compile(r"_transformer_blocks_[1-9]")  # of a UNet; those of DiTs stand at the beginning
_SGM = re.compile(r"(^|_)(input_blocks|middle_block|output_blocks|joint_blocks|double_blocks|single_blocks)(_|$)")


@dataclass(frozen=True)
class Layer:
    """One layer that a file changes: of which component, its name as the file has it, and the two matrices' shapes.

    `down` is [rank, in, ...] and `up` [out, rank, ...]; empty when the file has only one of them.
    """

    of: str
    name: str
    down: tuple[int, ...] = ()
    up: tuple[int, ...] = ()

    @property
    def key(self) -> str:
        """The name without dots and underscores' difference, under which both ways of naming meet."""
        return plain_name(self.name)


def plain_name(name: str) -> str:
    """`down_blocks.0.attn.to_q` and `down_blocks_0_attn_to_q` as one; recent transformers drop `text_model`."""
    return name.replace(".", "_").removeprefix("text_model_")


def split(key: str) -> tuple[str, str, bool] | None:
    """(component, layer, is it the first matrix) of a tensor's name, or None for what is no part of a LoRA."""
    key = key.removeprefix("base_model.model.")
    old, part = _OLD.match(key), _PART.match(key)
    if old is not None:
        of, layer = _component(old["layer"])
        to = f"{old['to']}_proj" if of != DENOISER else "to_out.0" if old["to"] == "out" else f"to_{old['to']}"
        return of, f"{layer}.{to}", old["end"] == "down"
    if part is None:
        return None
    of, layer = _component(part["layer"])
    return of, layer, part["end"].endswith(("A", "down"))


def beside(key: str) -> tuple[str, str, str] | None:
    """(component, layer, what) of a tensor that belongs to a layer without being one of its two matrices."""
    found = _BESIDE.match(key.removeprefix("base_model.model."))
    return None if found is None else (*_component(found["layer"]), found["end"])


def _component(layer: str) -> tuple[str, str]:
    kohya = _KOHYA.match(layer)
    if kohya is not None:
        return _ENCODERS.get(kohya["of"], DENOISER), kohya["layer"]
    first, _, rest = layer.partition(".")
    if first in ("unet", "transformer"):
        return DENOISER, rest
    if first in _ENCODERS.values():
        return first, rest
    return ("text_encoder" if first == "text_model" else DENOISER), layer


def layers(header: Header) -> list[Layer]:
    """The layers that a file's tensors make up, in the file's order."""
    shapes: dict[tuple[str, str], dict[bool, tuple[int, ...]]] = {}
    for key, (_, shape) in header.items():
        found = split(key)
        if found is not None:
            shapes.setdefault(found[:2], {})[found[2]] = shape
    return [Layer(of, name, ends.get(True, ()), ends.get(False, ())) for (of, name), ends in shapes.items()]


def lora_path(path: Path) -> Path:
    """The safetensors file of a name: the file itself, or the one in a folder that diffusers or peft has saved."""
    if path.suffix.lower() in places.PICKLED:
        raise fail(
            "model.format",
            f"{path.name} is pickled and could run any program when opened",
            mend="get the safetensors version of the LoRA",
            file=str(path),
        )
    if path.is_dir():
        found = next((path / name for name in FOLDER_FILES if (path / name).is_file()), None)
        if found is None:
            raise fail(
                "model.format",
                f"the folder {path.name} holds no LoRA ({' or '.join(FOLDER_FILES)})",
                mend="name the .safetensors file itself",
                file=str(path),
            )
        return found
    return path


def read_lora(path: Path) -> Lora:
    """The recipe of a LoRA's file or folder, from its header alone; `model.format` when it is damaged or no LoRA."""
    file = lora_path(path)
    header = read_header(file)
    found = layers(header)
    if not found:
        kinds = {
            kind for end, kind in _OTHER_KINDS.items() if any(key.endswith((end, f"{end}.weight")) for key in header)
        }
        what = f"a {' and '.join(sorted(kinds))} adapter, which is" if kinds else "a model of some kind,"
        raise fail(
            "model.format",
            f"{path.name} is {what} not a LoRA: none of its {len(header)} tensors is a low-rank matrix",
            mend="choose a LoRA file; whole models are loaded with load.model",
            file=str(file),
        )
    halves = [layer for layer in found if not (layer.down and layer.up)]
    if halves:
        raise damaged(file, f"'{halves[0].name}' has only one of its two matrices")
    wrong = [layer for layer in found if len(layer.up) < 2 or layer.down[0] != layer.up[1]]
    if wrong:
        raise damaged(file, f"'{wrong[0].name}' has matrices {list(wrong[0].down)} and {list(wrong[0].up)}")
    config = path / "adapter_config.json"
    if path.is_dir() and config.is_file():
        read_json(config)
    identity = places.file_id(file) + (places.file_id(config) if path.is_dir() and config.is_file() else "")
    encoders = tuple(sorted({layer.of for layer in found} - {DENOISER}))
    return Lora(Weights(identity, "lora", str(path)), family(found), max(layer.down[0] for layer in found), encoders)


def family(found: Iterable[Layer]) -> str:
    """The family of the UNet these layers belong to, by the width of its cross attention; "" when they do not tell.

    SDXL's UNets are told from those of SD 1.x by that width, or by more than one transformer block in a row.
    """
    from nodes.families import sd1, sdxl

    mine = [layer for layer in found if layer.of == DENOISER]
    deep = any(_DEEP.search(layer.key) for layer in mine)
    for layer in mine:
        if layer.key.endswith(("attn2_to_k", "attn2_to_v")):
            width = layer.down[1]
            return sdxl.family_name(width) if deep or width in sdxl.WIDTHS else sd1.family_name(width)
    return ""


# --- does it fit? ----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=32)
def _base(weights: Weights) -> Mapping[str, tuple[int, ...]]:
    """The shapes of a base model's layers by plain name; kept, because a plan asks on every change."""
    table = component(Path(weights.path)).header()
    return {
        plain_name(key.removesuffix(".weight")): shape for key, (_, shape) in table.items() if key.endswith(".weight")
    }


@lru_cache(maxsize=64)
def _layers(weights: Weights) -> tuple[Layer, ...]:
    return tuple(layers(read_header(lora_path(Path(weights.path)))))


def check_fit(lora: Lora, base: Weights, of: str = DENOISER) -> None:
    """Raise `facts.mismatch` when the file's layers for this component are not the base's; reads headers only."""
    there = _base(base)
    name = Path(lora.weights.path).name
    mine = [layer for layer in _layers(lora.weights) if layer.of == of]
    for layer in mine:
        shape = there.get(layer.key)
        if shape is not None and (layer.up[0], layer.down[1]) != tuple(shape[:2]):
            made = f"{layer.down[1]} → {layer.up[0]}"
            raise mismatch(f"{name} changes '{layer.name}' as {made}, the model has {shape[1]} → {shape[0]} there")
    check_matched(name, [layer.name for layer in mine], unused(lora, base, of))


def unused(lora: Lora, base: Weights, of: str = DENOISER) -> list[str]:
    """The file's layers for a component that the base does not have.

    None when they have the names of the first Stable Diffusion code: those are translated when the file is loaded, and
    looked at then.
    """
    mine = [layer for layer in _layers(lora.weights) if layer.of == of]
    if any(_SGM.search(layer.key) for layer in mine):
        return []
    there = _base(base)
    return [layer.name for layer in mine if layer.key not in there]


def ignored(lora: Lora) -> list[str]:
    """Tensors in the file that nothing here makes use of (`dora_scale`, `lora_mid`, embeddings that came along)."""
    header = read_header(lora_path(Path(lora.weights.path)))
    return [key for key in header if split(key) is None and beside(key) is None]


def check_matched(name: str, all_: list[str], unused: list[str]) -> None:
    """Raise when less than half of a file's layers are the model's; the message names the first that are not."""
    if len(unused) > len(all_) * (1 - LEAST_MATCHED):
        first = ", ".join(f"'{key}'" for key in unused[:3])
        raise mismatch(
            f"only {len(all_) - len(unused)} of the {len(all_)} layers in {name} are this model's; unused: {first}"
        )


def mismatch(message: str) -> WeftError:
    """The error for a LoRA of another model."""
    return fail("facts.mismatch", message, socket="lora", mend="use a LoRA that was made for this family of models")
