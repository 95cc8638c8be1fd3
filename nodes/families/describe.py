"""Describe: what a model file or folder is, from its header and configurations: for lists, and to find its folder."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine import places
from nodes.families import family_of, single_file
from nodes.families.files import BITS, Header, component, read_header, read_json
from nodes.families.gguf import header as gguf
from nodes.families.lora_file import layers, read_lora
from nodes.families.single_file.kinds import ABOUT

PRECISIONS = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64", "I8": "int8", "U8": "uint8"}
PRECISIONS |= {"F8_E4M3": "float8_e4m3", "F8_E5M2": "float8_e5m2"}
FOLDERS = {"vae": "vae", "unet": "diffusion_models", "transformer": "diffusion_models"}


def describe(path: Path) -> dict[str, Any] | None:
    """A model's kind of folder, family, words, precision and what it goes with; None for what is not known here."""
    if path.is_dir():
        return _folder(path)
    if path.suffix.lower() in single_file.ENDINGS:
        found = _file(path, read_header(path))
        if found is not None and path.suffix.lower() == gguf.ENDING:
            found["precision"] = gguf.read(path).mixture
        return found
    if path.suffix.lower() in places.PICKLED:
        return {"what": "pickled: `weft models convert` makes it safe"}
    return None


def _told(kind: str, family: str, what: str, header: Header, fits: str = "") -> dict[str, str]:
    return {"kind": kind, "family": family, "what": what, "precision": precision(header), "fits": fits}


def precision(header: Header) -> str:
    """In what most of a file's bytes are."""
    count: Counter[str] = Counter()
    for dtype, shape in header.values():
        count[dtype] += BITS.get(dtype, 8) * math.prod(shape)
    return PRECISIONS.get(count.most_common(1)[0][0], count.most_common(1)[0][0].lower()) if count else ""


def _file(path: Path, header: Header) -> dict[str, str] | None:
    small = _small(path, header)
    if small is not None:
        return small
    found = single_file.open_file(path)
    encoders = [part for part in found.parts if part in ABOUT]
    if encoders:
        return _told("text_encoders", "", found.about, header)
    whole = bool(found.kind) and ("vae" in found.parts or len(found.parts) > 1)
    kind = "checkpoints" if whole else FOLDERS[found.parts[0]]
    more = "" if not found.kind else _channels(path, found)
    return _told(kind, found.kind, found.about + more, header)


def _channels(path: Path, found: single_file.Checkpoint) -> str:
    """What a denoiser reads beside the noise."""
    part = next((part for part in found.parts if part in ("unet", "transformer")), "")
    config: Mapping[str, Any] = single_file.part(path / part).config if part else {}
    channels = int(config.get("in_channels") or 0)
    plain = {"flux": 64, "sd3": 16}.get(found.kind, 4)
    return ", for inpainting or editing" if channels > plain else ""


def _small(path: Path, header: Header) -> dict[str, str] | None:
    """Adapters, ControlNets and what else is not a model of its own."""
    names = tuple(header)
    if any(one.startswith(("ip_adapter.", "image_proj.")) for one in names):
        return _told("ip_adapter", "", "an IP-Adapter", header)
    if any(one.startswith(("control_model.", "controlnet_", "input_hint_block.")) for one in names):
        return _told("controlnet", "", "a ControlNet", header)
    if any(one.startswith("adapter.body.") for one in names):
        return _told("controlnet", "", "a T2I-Adapter", header)
    if any(one.startswith("vision_model.") for one in names):
        return _told("clip_vision", "", "an image encoder", header)
    if set(names) <= {"emb_params", "clip_l", "clip_g"} and names:
        widths = " + ".join(str(shape[-1]) for _, shape in header.values())
        return _told("embeddings", "", f"a textual inversion, {widths} wide", header)
    if any("RDB1.conv1" in one or "rdb1.conv1" in one for one in names):
        return _told("upscale_models", "", "an upscaler (RRDB)", header)
    if layers(header):
        lora = read_lora(path)
        return _told("loras", lora.family, f"a LoRA of rank {lora.rank}", header, lora.family)
    return None


def _side(path: Path, config: Mapping[str, Any]) -> int:
    """The pixels across a picture that a model folder was trained with: its latent's cells times the VAE's factor."""
    cells, file = config.get("sample_size"), path / "vae" / "config.json"
    levels = len(read_json(file).get("block_out_channels") or ()) if file.is_file() else 0
    return cells * 2 ** (levels - 1) if isinstance(cells, int) and levels else 0


def _folder(path: Path) -> dict[str, Any] | None:
    if (path / "model_index.json").is_file():
        index = read_json(path / "model_index.json")
        part = next((name for name in ("unet", "transformer") if (path / name / "config.json").is_file()), None)
        what = str(index.get("_class_name", "")).removesuffix("Pipeline")
        if part is None:
            return {"kind": "checkpoints", "what": what}
        found = component(path / part)
        told = _told("checkpoints", family_of(found.config).name, f"a model folder ({what})", found.header())
        return {**told, "side": _side(path, found.config)}
    if not (path / "config.json").is_file():
        return None
    config = read_json(path / "config.json")
    cls = str(config.get("_class_name") or config.get("model_type") or "")
    kinds = {"ControlNet": "controlnet", "T2IAdapter": "controlnet", "Autoencoder": "vae", "UNet": "diffusion_models"}
    kinds |= {
        "Transformer": "diffusion_models",
        "vision": "clip_vision",
        "clip_text": "text_encoders",
        "t5": "text_encoders",
    }
    kind = next((kind for sign, kind in kinds.items() if sign in cls), "")
    return _told(kind, "", cls, component(path).header())
