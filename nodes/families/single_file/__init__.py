"""Single_file: models of one file, whole or in part, read as if they were folders.

A part of a file is named as though the file were a folder: `model.safetensors/unet`. What a file is, its header tells
(`kinds`); how its parts are built, shipped JSON and the tensors' shapes (`configs`), or a folder of the file's own name
beside it (`model/` for `model.safetensors`, as diffusers saves it, weights left out); what its tensors are called in
diffusers, `names`; where the tokenizer lies that no such file holds, `tokenizers`.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import places
from engine.errors import WeftError, fail
from nodes.families.files import ENDINGS, Component, Header, damaged, is_inside, read_header, read_json
from nodes.families.gguf import header as gguf
from nodes.families.single_file import configs as derived
from nodes.families.single_file import tokenizers
from nodes.families.single_file.configs import CONFIGS
from nodes.families.single_file.kinds import ABOUT, UNET_KINDS, Place, look
from nodes.families.single_file.names import convert, diffusers_names

if TYPE_CHECKING:
    import torch

PARTS = ("unet", "transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3")
# Names by which a file of another sort is told what it is, and which node or form of it is the right one.
SIGNS = (
    ("lora_", "a LoRA", "load it with lora.load"),
    (".lora_A.", "a LoRA", "load it with lora.load"),
    ("hada_w1", "a LyCORIS adapter", "load it with lora.load"),
    ("lokr_w1", "a LyCORIS adapter", "load it with lora.load"),
    ("control_model.", "a ControlNet", "load it with control.load"),
    ("controlnet_", "a ControlNet", "load it with control.load"),
    ("input_hint_block.", "a ControlNet", "load it with control.load"),
    ("ip_adapter.", "an IP-Adapter", "load it with ip_adapter.load"),
    ("image_proj", "an IP-Adapter", "load it with ip_adapter.load"),
    ("vision_model.", "an image encoder", "put it into models/clip_vision, for ip_adapter.load"),
    ("emb_params", "a textual inversion", "put it into models/embeddings and write embedding:its-name in a prompt"),
    ("RDB1", "an upscaler", "put it into models/upscale_models"),
    ("double_blocks.", "a relative of Flux", "use its model folder as diffusers saves it"),
    ("down_blocks.", "one part of a model under diffusers' names", "put its config.json beside it and name the folder"),
)
# Latent spaces whose autoencoders have the same tensors: a header cannot tell them apart.
SPACES = {4: ("sd1", "sdxl"), 16: ("sd3", "flux")}


@dataclass(frozen=True)
class Checkpoint:
    """A file that was looked into: its kind ("" without a denoiser), its tensors, its parts, configurations beside."""

    file: Path
    table: Header
    kind: str
    places: Mapping[str, Place]
    beside: Path | None = None
    notes: Mapping[str, str] = field(default_factory=dict)  # what the file says of itself

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that the file has, a text encoder that stands alone by its kind (`clip_l`)."""
        return tuple(self.places)

    @property
    def about(self) -> str:
        """What the file is, in words: `Flux`, `the denoiser of Flux`, `a CLIP-L text encoder`, `a VAE`."""
        if self.kind:
            whole = len(self.places) > 1
            return ABOUT[self.kind] if whole else f"the denoiser of {ABOUT[self.kind]}"
        names = [ABOUT[place.kind] for place in self.places.values() if place.kind in ABOUT]
        return f"a {' and '.join(names)} text encoder" if names else "a VAE"

    @property
    def training(self) -> dict[str, Any]:
        """The scheduler's numbers of this kind, and what a fine-tune says of itself in names or notes."""
        path = derived.shipped(self.kind, "scheduler") / "scheduler_config.json"
        if self.beside is not None and (self.beside / "scheduler" / "scheduler_config.json").is_file():
            path = self.beside / "scheduler" / "scheduler_config.json"
        found = {key: value for key, value in read_json(path).items() if key[0] != "_"} if path.is_file() else {}
        if self.kind in UNET_KINDS:
            said = _PREDICTIONS.get(self.notes.get("modelspec.prediction_type", "").lower())
            if said is None and self.kind == "sd2" and self.beside is None:
                said = self._sd2_prediction()
            found |= {"prediction_type": said} if said else {}
            if "v_pred" in self.table:
                found["prediction_type"] = "v_prediction"
            if "ztsnr" in self.table:
                found["rescale_betas_zero_snr"] = True
        return found

    def _sd2_prediction(self) -> str | None:
        """Stable Diffusion 2.x came as both, with the same names: in those that predict v one bias spreads wider."""
        name = "output_blocks.11.1.transformer_blocks.0.norm1.bias"
        place = self.places["unet"]
        values = _read_numbers(self.file, place.prefix + name) if place.layout == "ldm" else []
        if not values:
            return None
        mean = sum(values) / len(values)
        spread = (sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5
        return "v_prediction" if spread > SD2_V_SPREAD else "epsilon"


_PREDICTIONS = {"epsilon": "epsilon", "eps": "epsilon", "v": "v_prediction", "v_prediction": "v_prediction"}
SD2_V_SPREAD = 0.09  # between the published models' 0.06 and 0.12


NOWHERE = Place("", "")


@dataclass(frozen=True)
class Part(Component):
    """A component inside a file; `folder` is the name of the place: `model.safetensors/unet`."""

    checkpoint: Checkpoint | None = None
    place: Place = NOWHERE
    part: str = ""

    def header(self) -> Header:
        """Its tensors under diffusers' names, as far as checks and adapters ask for them."""
        return _translated(self._checkpoint, self.place, self.part, int(self.config.get("layers_per_block") or 2))

    def weights(self, component: str) -> Any:
        """The recipe's part: the id is the content of the file, of the configuration, and which part it is."""
        from nodes.types import Weights

        file = self._checkpoint.file
        if file.suffix.lower() == gguf.ENDING:
            gguf.check(file, gguf.read(file))
        told = json.dumps(dict(self.config), sort_keys=True)
        identity = f"{places.file_id(file)}:{told}:{self.folder.name}"
        return Weights(hashlib.blake2b(identity.encode(), digest_size=16).hexdigest(), component, str(self.folder))

    def holds(self, key: str) -> bool:
        """Is a tensor of the file one of this part's?"""
        return key.startswith(self.place.prefix)

    @property
    def packs(self) -> bool:
        """Names and rows are all that is changed of UNets, DiTs, T5 and CLIP under transformers' names."""
        return self.part != "vae" and self.place.layout != "openclip"

    def convert(self, module: Any, state: dict[str, torch.Tensor]) -> None:
        """Its tensors under the names of the module."""
        convert(self.part, self.place.layout, self.place.prefix, module, self.config, state)

    @property
    def _checkpoint(self) -> Checkpoint:
        assert self.checkpoint is not None
        return self.checkpoint


def _translated(checkpoint: Checkpoint, place: Place, part: str, layers: int) -> Header:
    mine = {
        key.removeprefix(place.prefix): entry for key, entry in checkpoint.table.items() if key.startswith(place.prefix)
    }
    # A VAE's names are never asked for, but for the one that tells its channels.
    return mine if part == "vae" else diffusers_names(place.layout, mine, {"layers_per_block": layers})


def open_file(file: Path) -> Checkpoint:
    """What a file is, from its header; raises `model.format` or `model.family` with what it is instead."""
    if file.suffix.lower() in places.PICKLED:
        raise fail(
            "model.format",
            f"{file.name} is pickled and could run any program when opened",
            mend=f"get its safetensors version, or convert it once: `weft models convert {file}`",
            socket="model",
        )
    if file.suffix.lower() not in ENDINGS:
        raise fail(
            "model.format",
            f"{file.name} is no .safetensors or .gguf file",
            mend="get its safetensors version",
            socket="model",
        )
    told = file.stat()
    beside = file.with_suffix("")
    here = any((beside / part / "config.json").is_file() for part in PARTS)
    return _open(file, told.st_size, told.st_mtime_ns, beside if here else None)


@lru_cache(maxsize=32)
def _open(file: Path, size: int, mtime: int, beside: Path | None) -> Checkpoint:
    table = read_header(file)
    config = None
    if beside is not None and (beside / "unet" / "config.json").is_file():
        config = read_json(beside / "unet" / "config.json")
    found = look(table, config)
    if found.parts:
        return Checkpoint(file, table, found.kind, found.parts, beside, _notes(file))
    for sign, about, mend in SIGNS:
        if any(sign in key for key in table):
            raise _unknown(file, about, mend)
    if any(key.startswith("model.diffusion_model.input_blocks.") or key == "input_blocks.0.0.weight" for key in table):
        mend = f"put its configurations, as diffusers saves them, in a folder '{file.stem}' beside it"
        raise _unknown(file, "a UNet of a size that no published model has", mend)
    about = f"none of the models known here (its first tensor is '{next(iter(table), 'missing')}')"
    if file.suffix.lower() == gguf.ENDING and (told := gguf.read(file).architecture):
        about = f"a GGUF file of '{told[:40]}', none of the models known here"
    raise _unknown(file, about, "use its model folder as diffusers saves it")


def _notes(file: Path) -> dict[str, str]:
    if file.suffix.lower() == gguf.ENDING:
        return {key: str(value) for key, value in gguf.read(file).notes.items() if isinstance(value, str)}
    with file.open("rb") as stream:
        raw = stream.read(int.from_bytes(stream.read(8), "little"))
    notes = json.loads(raw).get("__metadata__") or {}
    return {str(key): str(value)[:1000] for key, value in notes.items()} if isinstance(notes, dict) else {}


def _read_numbers(file: Path, name: str) -> list[float]:
    """A small tensor's numbers, read without torch; empty when it is not there."""
    if file.suffix.lower() == gguf.ENDING:
        found = gguf.read(file).tensors.get(name)
        if found is None:
            return []
        with file.open("rb") as stream:
            stream.seek(found.start)
            return _numbers(found.kind, stream.read(min(found.bytes, 2**16)))
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        entry = json.loads(stream.read(length)).get(name)
        if not isinstance(entry, dict):
            return []
        start, end = entry["data_offsets"]
        stream.seek(8 + length + start)
        raw = stream.read(min(end - start, 2**16))
    return _numbers(entry["dtype"], raw)


def _numbers(kind: str, raw: bytes) -> list[float]:
    if kind == "BF16":
        return [struct.unpack("<f", b"\0\0" + raw[at : at + 2])[0] for at in range(0, len(raw) - 1, 2)]
    letter = {"F32": "f", "F16": "e", "F64": "d"}.get(kind)
    return [] if letter is None else [float(one) for (one,) in struct.iter_unpack(f"<{letter}", raw)]


def _unknown(file: Path, about: str, mend: str) -> WeftError:
    return fail(
        "model.family",
        f"{file.name} is {about}, which this node does not read as a single file",
        mend=mend,
        socket="model",
    )


def parts(file: Path) -> dict[str, Path]:
    """The parts of a file by name, as `model_index.json` tells them of a folder; tokenizers are always named."""
    found = {part: file / part for part in open_file(file).parts}
    tokens = {f"tokenizer{part.removeprefix('text_encoder')}" for part in found if part.startswith("text_encoder")}
    return {**found, **{name: file / name for name in tokens}}


def part(folder: Path) -> Component:
    """A component inside a file, by the name of its place (`model.safetensors/vae`, or `.../vae@sdxl`)."""
    from nodes.families.single_file import nets

    if folder.name == nets.NAME:
        return nets.part(folder)
    checkpoint = open_file(folder.parent)
    name = folder.name.partition("@")[0]
    place = checkpoint.places.get(name)
    if place is None:
        raise fail(
            "model.format",
            f"{folder.parent.name} has no {name}, only {', '.join(checkpoint.parts) or 'other things'}",
            mend=f"load the {name} from another file or folder",
            socket="model",
        )
    config = _config(checkpoint, folder.name, place)
    return Part(folder, config, (folder.parent,), "", checkpoint, place, name)


def _config(checkpoint: Checkpoint, name: str, place: Place) -> dict[str, Any]:
    """How a part is built; a lone VAE has to be told which one it is (`vae@sdxl`)."""
    part, _, space = name.partition("@")
    file, table, prefix = checkpoint.file, checkpoint.table, place.prefix
    for own in (part, "text_encoder") if place.kind in tokenizers.PADS else (part,):
        if checkpoint.beside is not None and (checkpoint.beside / own / "config.json").is_file():
            config = read_json(checkpoint.beside / own / "config.json")
            break
    else:
        if part == "vae":
            config = read_json(_vae_folder(checkpoint, space) / "config.json")
        elif place.kind in derived.READ:
            config = derived.READ[place.kind](_translated(checkpoint, place, part, 2), file)
        else:
            config = read_json(derived.shipped(place.kind, part) / "config.json")
    if part == "unet":  # inpainting models differ in this alone
        entry = table.get(prefix + ("input_blocks.0.0.weight" if place.layout == "ldm" else "conv_in.weight"))
        config |= {"in_channels": entry[1][1]} if entry is not None and len(entry[1]) == 4 else {}
    if part == "vae":
        entry = table.get(prefix + "decoder.conv_in.weight")
        if entry is None or len(entry[1]) != 4 or entry[1][1] != config.get("latent_channels"):
            got = "missing" if entry is None else list(entry[1])
            raise damaged(file, f"'decoder.conv_in.weight' is {got}, latents have {config['latent_channels']}")
    return config


def _vae_folder(checkpoint: Checkpoint, space: str) -> Path:
    if space or checkpoint.kind:
        return derived.shipped(space or checkpoint.kind, "vae")
    prefix = checkpoint.places["vae"].prefix
    channels = checkpoint.table[prefix + "decoder.conv_in.weight"][1][1]
    spaces = SPACES.get(channels)
    if spaces is None:
        raise _unknown(checkpoint.file, f"a VAE with latents of {channels} channels", "use the folder of its model")
    raise fail(
        "model.family",
        f"{checkpoint.file.name} is a VAE of {' or '.join(spaces)}: their tensors are alike, their scale is not",
        mend=f"set space to {' or '.join(spaces)}",
        socket="space",
    )


def tokenizer(folder: Path) -> tuple[Path, str]:
    """The folder of a tokenizer that fits a file's encoder, and its padding; `folder` is its place in the file.

    Looked for beside the file, in the models tree, and in the hub's cache; it must have as many words as the encoder.
    """
    checkpoint = open_file(folder.parent)
    name = folder.name.replace("tokenizer", "text_encoder")
    encoder = name if name in checkpoint.places else folder.name.removeprefix("tokenizer@")
    words = int(part(checkpoint.file / encoder).config["vocab_size"])
    return tokenizers.find(checkpoint.file, folder.name.partition("@")[0], checkpoint.places[encoder].kind, words)


__all__ = ["CONFIGS", "ENDINGS", "Checkpoint", "Part", "is_inside", "open_file", "part", "parts", "tokenizer"]
