"""Lora_file: which layers a LoRA's file changes, read from its header, and whether they are those of a model.

Four ways of naming are in use: peft's (`unet.down_blocks.0.….to_q.lora_A.weight`), the older one of diffusers
(`….to_q.lora.down.weight`, `….processor.to_q_lora.down.weight`), kohya's, where dots have become underscores
(`lora_unet_down_blocks_0_…_to_q.lora_down.weight`), and XLabs' for Flux; each over diffusers' names of the layers or
over those of the model's first code. A layer is found by its name without either. LyCORIS' kinds (LoHa, LoKr, …) have
other matrices for a layer; they are set by `lycoris`, all others by peft.
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
from nodes.families.layer_names import Target, plain_name, targets
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
_XLABS = re.compile(
    r"^(?P<block>(?:double|single)_blocks\.\d+)\.processor\.(?P<what>qkv|proj)_lora(?P<side>[12]?)\.(?P<end>down|up)\.weight$"
)
_KOHYA = re.compile(r"^(?:lora_(?P<of>unet|transformer|te[123]?)|lycoris)_(?P<layer>.+)$")
# What the kinds have for a layer that peft does not hold.
ENDS = re.compile(
    r"^(?P<layer>.+?)\.(?P<end>hada_[wt][12](?:_[ab])?|lokr_(?:w[12](?:_[ab])?|t2)|lora_(?:up|down|mid|A|B)|diff_b|diff"
    r"|w_norm|b_norm|dora_scale|alpha)(?:\.weight)?$"
)
DENSE = {"hada_w1_a": "LoHa", "lokr_w1": "LoKr", "lokr_w1_a": "LoKr", "lora_mid": "LoCon", "diff": "full difference"}
DENSE |= {"dora_scale": "DoRA", "w_norm": "norm", "b_norm": "norm", "diff_b": "full difference"}
_ENCODERS = {"te": "text_encoder", "te1": "text_encoder", "te2": "text_encoder_2", "te3": "text_encoder_3"}
_OTHER_KINDS = {"oft_blocks": "OFT", "oft_R": "OFT", "oft_diag": "OFT", "boft_blocks": "BOFT", "glora_A1": "GLoRA"}
_DEEP = re.compile(r"_transformer_blocks_[1-9]")  # of a UNet; those of DiTs stand at the beginning


@dataclass(frozen=True)
class Layer:
    """One layer that a file changes: of which component, its name as the file has it, and the two matrices' shapes.

    `down` is [rank, in, ...] and `up` [out, rank, ...]; empty when the file has only one of them. Of other `kind`s than
    `LoRA` they are what two such matrices would have; 0 where that is not known.
    """

    of: str
    name: str
    down: tuple[int, ...] = ()
    up: tuple[int, ...] = ()
    kind: str = "LoRA"

    @property
    def key(self) -> str:
        """The name without dots and underscores' difference, under which both ways of naming meet."""
        return plain_name(self.name)


def split(key: str) -> tuple[str, str, bool] | None:
    """(component, layer, is it the first matrix) of a tensor's name, or None for what is no part of a LoRA."""
    key = key.removeprefix("base_model.model.")
    old, part, xlabs = _OLD.match(key), _PART.match(key), _XLABS.match(key)
    if xlabs is not None:
        side = {"1": "img_attn.", "2": "txt_attn."}.get(xlabs["side"])
        what = {"qkv": "linear1", "proj": "linear2"}[xlabs["what"]] if side is None else f"{side}{xlabs['what']}"
        return DENOISER, f"{xlabs['block']}.{what}", xlabs["end"] == "down"
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
        return _ENCODERS.get(kohya["of"] or "", DENOISER), kohya["layer"]
    first, _, rest = layer.partition(".")
    if first in ("unet", "transformer", "diffusion_model"):
        return DENOISER, rest
    if first in _ENCODERS.values():
        return first, rest
    return ("text_encoder" if first == "text_model" else DENOISER), layer


def component_of(layer: str) -> tuple[str, str]:
    """(component, plain name) of a layer as a file has it."""
    of, name = _component(layer.removeprefix("base_model.model."))
    return of, plain_name(name)


def is_dense(header: Header) -> bool:
    """Has the file anything that peft does not hold? Then all of it is set as differences to the weights."""
    return any((found := ENDS.match(key)) is not None and found["end"] in DENSE for key in header)


def layers(header: Header) -> list[Layer]:
    """The layers that a file's tensors make up, in the file's order."""
    if is_dense(header):
        return _dense_layers(header)
    shapes: dict[tuple[str, str], dict[bool, tuple[int, ...]]] = {}
    for key, (_, shape) in header.items():
        found = split(key)
        if found is not None:
            shapes.setdefault(found[:2], {})[found[2]] = shape
    xlabs = any(_XLABS.match(key) for key in header)
    return [
        Layer(of, name, ends.get(True, ()), ends.get(False, ()), "XLabs" if xlabs else "LoRA")
        for (of, name), ends in shapes.items()
    ]


def _dense_layers(header: Header) -> list[Layer]:
    found: dict[tuple[str, str], dict[str, tuple[int, ...]]] = {}
    for key, (_, shape) in header.items():
        told = ENDS.match(key)
        if told is not None:
            of, layer = _component(told["layer"].removeprefix("base_model.model."))
            found.setdefault((of, layer), {})[told["end"]] = shape
    return [_dense_layer(of, name, ends) for (of, name), ends in found.items() if set(ends) - {"alpha"}]


def _dense_layer(of: str, name: str, ends: Mapping[str, tuple[int, ...]]) -> Layer:
    kind = next((kind for end, kind in DENSE.items() if end in ends), "LoRA")
    if "hada_w1_a" in ends and "hada_w1_b" in ends:
        a, b = ends["hada_w1_a"], ends["hada_w1_b"]
        out, into, rank = (a[1], b[1], b[0]) if "hada_t1" in ends else (a[0], b[1], b[0])
    elif kind == "LoKr":
        first, second = _factor(ends, "1"), _factor(ends, "2")
        rank = ends.get("lokr_w2_b", ends.get("lokr_w1_b", (0,)))[0]
        out, into = first[0] * second[0], first[1] * second[1]
    elif "lora_up" in ends or "lora_B" in ends:
        up, down = ends.get("lora_up", ends.get("lora_B", ())), ends.get("lora_down", ends.get("lora_A", ()))
        if "lora_mid" in ends and up and down:
            up = (up[0], down[0])  # its two ranks need not be one
        return Layer(of, name, down, up, kind)
    else:
        shape = ends.get("diff", ends.get("w_norm", (0,)))
        out, into, rank = shape[0], shape[1] if len(shape) > 1 else 0, 0
    return Layer(of, name, (rank, into), (out, rank), kind)


def _factor(ends: Mapping[str, tuple[int, ...]], side: str) -> tuple[int, int]:
    """Rows and columns of one side of a Kronecker product; 0 where they cannot be told."""
    whole = ends.get(f"lokr_w{side}")
    if whole is not None:
        return (whole[0], whole[1]) if len(whole) > 1 else (0, 0)
    a, b = ends.get(f"lokr_w{side}_a", (0, 0)), ends.get(f"lokr_w{side}_b", (0, 0))
    return (a[1], b[1]) if side == "2" and "lokr_t2" in ends else (a[0], b[1])


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
        what = (
            f"an adapter of the kind {' and '.join(sorted(kinds))}, which nothing here reads,"
            if kinds
            else "a model of some kind,"
        )
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
    rank = max(layer.down[0] for layer in found)
    return Lora(Weights(identity, "lora", str(path)), family(found), rank, encoders, dense=is_dense(header))


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
            if not width:
                continue
            return sdxl.family_name(width) if deep or width in sdxl.WIDTHS else sd1.family_name(width)
    return ""


# --- does it fit? ----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=32)
def _base(weights: Weights) -> tuple[Mapping[str, list[Target]], Mapping[str, tuple[int, ...]]]:
    """A base model's layers by plain name, older names too, and their shapes; a plan asks on every change."""
    table = component(Path(weights.path)).header()
    shapes = {key.removesuffix(".weight"): shape for key, (_, shape) in table.items() if key.endswith(".weight")}
    return targets(shapes), shapes


@lru_cache(maxsize=64)
def _layers(weights: Weights) -> tuple[Layer, ...]:
    return tuple(layers(read_header(lora_path(Path(weights.path)))))


def check_fit(lora: Lora, base: Weights, of: str = DENOISER) -> None:
    """Raise `facts.mismatch` when the file's layers for this component are not the base's; reads headers only."""
    there, shapes = _base(base)
    name = Path(lora.weights.path).name
    mine = [layer for layer in _layers(lora.weights) if layer.of == of]
    for layer in mine:
        found = there.get(layer.key)
        if found is None or layer.kind == "XLabs" or not (layer.up[0] and layer.down[1]):
            continue
        # Several layers of the module may be one of the file (query, key and value).
        into = shapes[found[0].name][1] if len(shapes[found[0].name]) > 1 else layer.down[1]
        out = max(target.stop or shapes[target.name][0] for target in found)
        if (layer.up[0], layer.down[1]) != (out, into) and layer.down[1] != into * _area(shapes[found[0].name]):
            made = f"{layer.down[1]} → {layer.up[0]}"
            raise mismatch(f"{name} changes '{layer.name}' as {made}, the model has {into} → {out} there")
    check_matched(name, [layer.name for layer in mine], unused(lora, base, of))


def _area(shape: tuple[int, ...]) -> int:
    """Of a convolution's kernel, by which LoHa's second matrix is wider."""
    area = 1
    for side in shape[2:]:
        area *= side
    return area


def unused(lora: Lora, base: Weights, of: str = DENOISER) -> list[str]:
    """The file's layers for a component that the base does not have."""
    there, _ = _base(base)
    return [layer.name for layer in _layers(lora.weights) if layer.of == of and layer.key not in there]


def matches(lora: Lora, base: Weights, of: str = DENOISER) -> tuple[int, int]:
    """(how many of the file's layers for a component the base has, how many there are)."""
    count = sum(layer.of == of for layer in _layers(lora.weights))
    return count - len(unused(lora, base, of)), count


def ignored(lora: Lora) -> list[str]:
    """Tensors in the file that nothing here makes use of (embeddings that came along)."""
    header = read_header(lora_path(Path(lora.weights.path)))
    if lora.dense:
        return [key for key in header if not ENDS.match(key)]
    return [key for key in header if split(key) is None and beside(key) is None]


def has_lengths(lora: Lora) -> bool:
    """Has it DoRA's lengths in peft's names? With them a layer's change depends on the model's own weights."""
    return any(".lora_magnitude_vector" in key for key in read_header(lora_path(Path(lora.weights.path))))


def changes_weights(lora: Lora) -> bool:
    """Is it set as a difference to the weights, or does it need them to compute its own?"""
    return lora.dense or has_lengths(lora)


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
