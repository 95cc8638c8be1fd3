"""Single_file: checkpoints of one file, in the layout of the first Stable Diffusion code, read as if they were folders.

A part of a file is named as though the file were a folder: `model.safetensors/unet`. What a file is, its header tells;
how its parts are built, JSON that ships beside this module, or a folder of the file's own name beside it (`model/` for
`model.safetensors`, as diffusers saves it, weights left out). Names are translated here for what is known before a
weight is read; the weights themselves go through diffusers' own conversions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import places
from engine.errors import WeftError, fail
from nodes.families.files import Component, Header, damaged, read_header, read_json
from nodes.families.single_file_names import convert, diffusers_names

if TYPE_CHECKING:
    import torch

CONFIGS = Path(__file__).parent / "configs"
UNET, VAE = "model.diffusion_model.", "first_stage_model."


@dataclass(frozen=True)
class Kind:
    """One kind of checkpoint: tensors of its UNet that no other kind has in these shapes, and where its parts lie."""

    name: str
    about: str
    needs: Mapping[str, tuple[int | None, ...]]
    prefixes: Mapping[str, str]
    readable: bool = True


def _attention(block: int) -> str:
    return f"input_blocks.{block}.1.transformer_blocks.0.attn2.to_k.weight"


FIRST, LABEL = "input_blocks.0.0.weight", "label_emb.0.0.weight"
DECODER, MIDDLE = "decoder.conv_in.weight", "decoder.mid.block_1.norm1.weight"  # of a VAE
_SD1 = {"unet": UNET, "vae": VAE, "text_encoder": "cond_stage_model.transformer."}
_SDXL = {
    "unet": UNET,
    "vae": VAE,
    "text_encoder": "conditioner.embedders.0.transformer.",
    "text_encoder_2": "conditioner.embedders.1.model.",
}
KINDS = (
    Kind("sdxl", "Stable Diffusion XL", {_attention(4): (640, 2048), LABEL: (1280, 2816)}, _SDXL),
    Kind("sdxl-refiner", "Stable Diffusion XL's refiner", {_attention(4): (768, 1280), LABEL: (1536, 2560)}, {}, False),
    Kind("sd1", "Stable Diffusion 1.x", {_attention(1): (320, 768), FIRST: (320, None, 3, 3)}, _SD1),
    Kind("sd2", "Stable Diffusion 2.x", {_attention(1): (320, 1024)}, {}, False),
)
BY_NAME = {kind.name: kind for kind in KINDS}
# Names by which a file of another sort is told what it is, and which node or form of it is the right one.
SIGNS = (
    ("lora_", "a LoRA", "load it with lora.load"),
    (".lora_A.", "a LoRA", "load it with lora.load"),
    ("control_model.", "a ControlNet", "get the ControlNet's folder as diffusers saves it, for control.load"),
    ("controlnet_", "a ControlNet", "get the ControlNet's folder as diffusers saves it, for control.load"),
    ("joint_blocks.", "Stable Diffusion 3", "use its model folder as diffusers saves it"),
    ("double_blocks.", "Flux", "use its model folder as diffusers saves it"),
    ("encoder.block.0.layer.0.SelfAttention.", "a T5 text encoder", "use the folder of the whole model"),
    ("text_model.encoder.layers.", "a CLIP text encoder", "use the folder of the whole model"),
    ("down_blocks.", "one part of a model under diffusers' names", "put its config.json beside it and name the folder"),
)
# Latent spaces whose autoencoders have the same tensors: a header cannot tell them apart.
SPACES = {4: ("sd1", "sdxl"), 16: ("sd3", "flux")}


@dataclass(frozen=True)
class Checkpoint:
    """A file that was looked into: its kind (None for a lone VAE), its tensors, and its configurations' folder."""

    file: Path
    table: Header
    kind: Kind | None
    configs: Path
    bare: str = ""  # the part whose tensors have no prefix, when the file has only that

    def prefix(self, part: str) -> str:
        """What a part's tensors begin with."""
        return "" if part == self.bare else VAE if self.kind is None else self.kind.prefixes.get(part, "")

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that the file has tensors of."""
        if self.bare:
            return (self.bare,)
        prefixes = {"vae": VAE} if self.kind is None else self.kind.prefixes
        return tuple(part for part, prefix in prefixes.items() if any(key.startswith(prefix) for key in self.table))

    @property
    def training(self) -> dict[str, Any]:
        """The scheduler's numbers of this kind, and what a fine-tune says of itself in its tensors' names."""
        path = self.configs / "scheduler" / "scheduler_config.json"
        found = {key: value for key, value in read_json(path).items() if key[0] != "_"} if path.is_file() else {}
        if "v_pred" in self.table:
            found["prediction_type"] = "v_prediction"
        if "ztsnr" in self.table:
            found["rescale_betas_zero_snr"] = True
        return found


@dataclass(frozen=True)
class Part(Component):
    """A component inside a file; `folder` is the name of the place: `model.safetensors/unet`."""

    checkpoint: Checkpoint | None = None
    prefix: str = ""
    part: str = ""

    def header(self) -> Header:
        """Its tensors under diffusers' names, as far as checks and adapters ask for them."""
        mine = self._checkpoint.table
        return diffusers_names(
            self.part,
            {key.removeprefix(self.prefix): entry for key, entry in mine.items() if self.holds(key)},
            self.config,
        )

    def weights(self, component: str) -> Any:
        """The recipe's part: the id is the content of the file, of the configuration, and which part it is."""
        from nodes.types import Weights

        config = config_folder(self._checkpoint, self.folder.name) / "config.json"
        identity = f"{places.file_id(self._checkpoint.file)}:{places.file_id(config)}:{self.folder.name}"
        return Weights(hashlib.blake2b(identity.encode(), digest_size=16).hexdigest(), component, str(self.folder))

    def holds(self, key: str) -> bool:
        """Is a tensor of the file one of this part's?"""
        return key.startswith(self.prefix)

    def convert(self, module: Any, state: dict[str, torch.Tensor]) -> None:
        """Its tensors under the names of the module, by diffusers' own conversions."""
        convert(self.part, self.prefix, module, self.config, state)

    @property
    def _checkpoint(self) -> Checkpoint:
        assert self.checkpoint is not None
        return self.checkpoint


def is_inside(folder: Path) -> bool:
    """Is this the name of a part inside a file?"""
    return folder.parent.suffix == ".safetensors" and folder.parent.is_file()


def open_file(file: Path) -> Checkpoint:
    """What a file is, from its header; raises `model.format` or `model.family` with what it is instead."""
    if file.suffix.lower() in places.PICKLED:
        raise fail(
            "model.format",
            f"{file.name} is pickled and could run any program when opened",
            mend="get its safetensors version",
            socket="model",
        )
    if file.suffix != ".safetensors":
        raise fail(
            "model.format", f"{file.name} is no .safetensors file", mend="get its safetensors version", socket="model"
        )
    told = file.stat()
    beside = file.with_suffix("")
    return _open(file, told.st_size, told.st_mtime_ns, beside if (beside / "unet" / "config.json").is_file() else None)


@lru_cache(maxsize=16)
def _open(file: Path, size: int, mtime: int, beside: Path | None) -> Checkpoint:
    table = read_header(file)
    if beside is not None:  # of whatever size: its own configurations say how it is built
        added = read_json(beside / "unet" / "config.json").get("addition_embed_type")
        kind = BY_NAME["sdxl" if added == "text_time" else "sd1"]
        return Checkpoint(file, table, kind, beside, "" if any(key.startswith(UNET) for key in table) else "unet")
    for prefix in (UNET, ""):
        for kind in KINDS:
            if all(_fits(table, prefix + name, shape) for name, shape in kind.needs.items()):
                if not kind.readable:
                    raise _unknown(file, kind.about, "use its model folder as diffusers saves it")
                return Checkpoint(file, table, kind, CONFIGS / kind.name, "" if prefix else "unet")
    whole = any(key.startswith(UNET) for key in table)
    for prefix in (VAE, "") if not whole else ():
        if _fits(table, prefix + DECODER, (512, None, 3, 3)) and prefix + MIDDLE in table:
            return Checkpoint(file, table, None, CONFIGS, "" if prefix else "vae")
    for sign, about, mend in SIGNS:
        if any(sign in key for key in table):
            raise _unknown(file, about, mend)
    if whole:
        mend = f"put its configurations, as diffusers saves them, in a folder '{file.stem}' beside it"
        raise _unknown(file, "a UNet of a size that no published model has", mend)
    about = f"none of the models known here (its first tensor is '{next(iter(table), 'missing')}')"
    raise _unknown(file, about, "use its model folder as diffusers saves it")


def _fits(table: Header, name: str, shape: tuple[int | None, ...]) -> bool:
    found = table.get(name)
    return (
        found is not None
        and len(found[1]) == len(shape)
        and all(want in (None, got) for want, got in zip(shape, found[1], strict=True))
    )


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


def part(folder: Path) -> Part:
    """A component inside a file, by the name of its place (`model.safetensors/vae`, or `.../vae@sdxl`)."""
    checkpoint = open_file(folder.parent)
    name = folder.name.partition("@")[0]
    if name not in checkpoint.parts:
        raise fail(
            "model.format",
            f"{folder.parent.name} has no {name}, only {', '.join(checkpoint.parts) or 'other things'}",
            mend=f"load the {name} from another file or folder",
            socket="model",
        )
    config = read_json(config_folder(checkpoint, folder.name) / "config.json")
    prefix = checkpoint.prefix(name)
    if name == "unet":  # inpainting models differ in this alone
        entry = checkpoint.table.get(prefix + FIRST)
        config |= {"in_channels": entry[1][1]} if entry is not None and len(entry[1]) == 4 else {}
    if name == "vae":
        entry = checkpoint.table.get(prefix + DECODER)
        if entry is None or len(entry[1]) != 4 or entry[1][1] != config.get("latent_channels"):
            got = "missing" if entry is None else list(entry[1])
            raise damaged(folder.parent, f"'decoder.conv_in.weight' is {got}, latents have {config['latent_channels']}")
    return Part(folder, config, (folder.parent,), "", checkpoint, prefix, name)


def config_folder(checkpoint: Checkpoint, name: str) -> Path:
    """Where the configuration of a part lies; a lone VAE has to be told which one it is (`vae@sdxl`)."""
    name, _, space = name.partition("@")
    if name == "vae" and space:
        return CONFIGS / space / "vae"
    if checkpoint.kind is not None:
        return checkpoint.configs / name
    entry = checkpoint.table[checkpoint.prefix("vae") + DECODER]
    spaces = SPACES.get(entry[1][1])
    if spaces is None:
        raise _unknown(checkpoint.file, f"a VAE with latents of {entry[1][1]} channels", "use the folder of its model")
    raise fail(
        "model.family",
        f"{checkpoint.file.name} is a VAE of {' or '.join(spaces)}: their tensors are alike, their scale is not",
        mend=f"set space to {' or '.join(spaces)}",
        socket="space",
    )


# --- tokenizers ------------------------------------------------------------------------------------------------------

PADS = {"tokenizer": "<|endoftext|>", "tokenizer_2": "!"}  # CLIP-L's and CLIP-G's, where no file says it
TREES = ("tokenizers/*", "checkpoints/*/tokenizer", "checkpoints/*/*/tokenizer", "text_encoders/*")
HUB = (
    ("openai/clip-vit-large-patch14", "."),
    ("stable-diffusion-v1-5/stable-diffusion-v1-5", "tokenizer"),
    ("stabilityai/stable-diffusion-xl-base-1.0", "tokenizer"),
)


def tokenizer(folder: Path) -> tuple[Path, str]:
    """The folder of a tokenizer that fits a file's CLIP, and its padding; `folder` is its place in the file.

    Looked for beside the file, in the models tree, and in the hub's cache; it must have as many words as the encoder.
    """
    checkpoint = open_file(folder.parent)
    encoder = folder.name.replace("tokenizer", "text_encoder")
    words = int(read_json(config_folder(checkpoint, encoder) / "config.json")["vocab_size"])
    beside = [checkpoint.file.with_suffix("") / folder.name, checkpoint.file.with_suffix("") / "tokenizer"]
    beside += [checkpoint.file.parent / "tokenizer"]
    trees = (path for root in places.current().roots() for tree in TREES for path in sorted(root.glob(tree)))
    hub = (snapshot / where for name, where in HUB if (snapshot := places.hub_snapshot(name)) is not None)
    for path in (*beside, *trees, *hub):
        if _vocabulary(path) == words:
            return path, PADS[folder.name]
    raise fail(
        "model.format",
        f"{checkpoint.file.name} has no tokenizer in it, and none with CLIP's {words:,} words was found",
        mend="fetch it once: `hf download openai/clip-vit-large-patch14 vocab.json merges.txt tokenizer_config.json`",
        socket="model",
    )


def _vocabulary(folder: Path) -> int:
    """How many words a CLIP tokenizer's folder has; 0 when it is none."""
    words, whole = folder / "vocab.json", folder / "tokenizer.json"
    try:
        if words.is_file() and (folder / "merges.txt").is_file():
            return _count(words, words.stat().st_mtime_ns)
        return _count(whole, whole.stat().st_mtime_ns) if whole.is_file() else 0
    except WeftError:
        return 0


@lru_cache(maxsize=64)
def _count(path: Path, mtime: int) -> int:
    found: Any = read_json(path)
    if path.name == "tokenizer.json":
        found = (found.get("model") or {}).get("vocab")
    return len(found) if isinstance(found, dict) else 0
