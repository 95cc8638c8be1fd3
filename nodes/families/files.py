"""Files: what a model's files hold, read from JSON and safetensors headers alone.

A safetensors file is an 8-byte length, a JSON header of that length, and the bytes of the tensors. Every number in the
header is checked against the size of the file before anything is believed.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import places
from engine.errors import WeftError, fail
from nodes.types import Weights

Header = Mapping[str, tuple[str, tuple[int, ...]]]
"""Tensor name -> (dtype as safetensors spells it, shape)."""

ENDINGS = (".safetensors", ".sft", ".gguf")
HEADER_LIMIT = 100 * 2**20
JSON_LIMIT = 16 * 2**20
BITS = {"F64": 64, "I64": 64, "U64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16, "BF16": 16, "I16": 16, "U16": 16}
BITS |= {"F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "I8": 8, "U8": 8, "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}
PREVIEW = "preview.json"  # beside a VAE's weights: the linear map from its latents to RGB, if somebody fitted one
STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")


def damaged(path: Path, why: str) -> WeftError:
    """The error for a file that is not what it says it is."""
    return fail(
        "model.format", f"{path.name} is damaged: {why}", mend="download or copy the file again", file=str(path)
    )


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; a clear error when it is missing, too large, or something else."""
    try:
        if path.stat().st_size > JSON_LIMIT:
            raise damaged(path, f"a configuration of more than {JSON_LIMIT // 2**20} MB is none")
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise fail(
            "model.format",
            f"there is no {path.name} in {path.parent}",
            mend="use a whole model folder as diffusers saves it",
            file=str(path),
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, f"it is not readable as JSON ({str(error)[:120]})") from None
    if not isinstance(found, dict):
        raise damaged(path, "it holds no JSON object")
    return found


def read_header(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The tensor table of a safetensors or GGUF file, checked against the file's size. Reads no tensor."""
    if path.suffix.lower() == ".gguf":
        from nodes.families.gguf import header  # here: it needs `damaged`, and few files are of this kind

        return {name: (one.kind, one.shape) for name, one in header.read(path).tensors.items()}
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 10 or length > min(size - 8, HEADER_LIMIT):
            raise damaged(path, f"its header claims {length:,} bytes, the file has {size:,}")
        raw = stream.read(length)
    try:
        record = json.loads(raw)
        if not isinstance(record, dict):
            raise ValueError("it is no table of tensors")
        return {
            name: _entry(name, entry, size - 8 - length) for name, entry in record.items() if name != "__metadata__"
        }
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise damaged(path, f"its header cannot be believed ({str(error)[:160]})") from None


def _entry(name: str, entry: Any, room: int) -> tuple[str, tuple[int, ...]]:
    """One line of the table: do dtype, shape and place agree with each other and with the file?"""
    dtype, shape, (start, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    if not all(type(n) is int and n >= 0 for n in (*shape, start, end)):
        raise ValueError(f"'{name}' has a size that is no number")
    if not start <= end <= room:
        raise ValueError(f"'{name}' lies beyond the end of the file")
    if (math.prod(shape) * BITS.get(dtype, 0) + 7) // 8 != end - start:
        raise ValueError(f"'{name}' is {dtype} {list(shape)} in {end - start} bytes")
    return dtype, shape


@dataclass(frozen=True)
class Component:
    """One component's folder: its configuration, the weight files chosen, and which variant they are."""

    folder: Path
    config: Mapping[str, Any]
    files: tuple[Path, ...]
    variant: str

    def header(self) -> Header:
        """The tensors of all its files."""
        return {name: entry for file in self.files for name, entry in read_header(file).items()}

    def weights(self, component: str) -> Weights:
        """The recipe's part: the id is the content of configuration and weights, wherever they lie."""
        digest = hashlib.blake2b(digest_size=16)
        for file in (self.folder / "config.json", *self.files):
            digest.update(places.file_id(file).encode())
        return Weights(digest.hexdigest(), component, str(self.folder), self.variant)

    def holds(self, key: str) -> bool:
        """Is a tensor of its files one of the component's?"""
        return True

    @property
    def packs(self) -> bool:
        """May what a GGUF file has packed stay so? Not where its layout is changed on the way."""
        return False

    def convert(self, module: Any, state: dict[str, Any]) -> None:
        """Put the tensors under the names of the module, in place; a folder's have them already."""


def is_inside(folder: Path) -> bool:
    """Is this the name of a part inside a single file (`model.safetensors/unet`)?"""
    return folder.parent.suffix.lower() in ENDINGS and folder.parent.is_file()


def component(folder: Path) -> Component:
    """A component as diffusers and transformers save it: `config.json` and safetensors, whole or in shards.

    Or one inside a checkpoint of a single file, named as though the file were a folder. Weights without a variant are
    preferred; when there are only variants (`model.fp16.safetensors`), one is taken.
    """
    if is_inside(folder):
        from nodes.families import single_file  # here: a model's folder is planned without it

        return single_file.part(folder)
    config = read_json(folder / "config.json")
    made = config.get("quantization_config")
    if made is not None:
        how = str(made.get("quant_method") or "some method")[:40] if isinstance(made, Mapping) else "some method"
        raise fail(
            "model.format",
            f"{folder.name} was saved quantized by {how}, which is not read from a folder",
            mend="use its plain weights, with numerics.quantize where memory is short, or a GGUF file",
            file=str(folder),
        )
    files, variant = weight_files(folder)
    return Component(folder, config, files, variant)


def weight_files(folder: Path) -> tuple[tuple[Path, ...], str]:
    """The safetensors files of a component and their variant ("" when there is none)."""
    pattern = re.compile(rf"({'|'.join(STEMS)})\.(?:([\w-]+)\.)?safetensors")
    found = {match[2] or "": path for path in sorted(folder.iterdir()) if (match := pattern.fullmatch(path.name))}
    indices = re.compile(rf"({'|'.join(STEMS)})\.safetensors\.index\.(?:([\w-]+)\.)?json")
    shards = {match[2] or "": path for path in sorted(folder.iterdir()) if (match := indices.fullmatch(path.name))}
    for variant in sorted({*found, *shards}):
        if variant in found:
            return (found[variant],), variant
        return _shards(shards[variant]), variant
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in places.PICKLED)
    if pickled:
        raise fail(
            "model.format",
            f"{folder.name} has only pickled weights ({pickled[0]}), which could run any program when opened",
            mend="get the safetensors version of the model, or convert it where you trust it",
            file=str(folder),
        )
    raise fail(
        "model.format",
        f"there are no weights (.safetensors) in {folder}",
        mend="download the whole model, weights included",
        file=str(folder),
    )


def preview_map(folder: Path, channels: int) -> tuple[tuple[float, float, float], ...]:
    """A VAE's own map from latents to RGB: a row for each channel and the bias; empty when there is none."""
    path = folder / PREVIEW
    rows = read_json(path).get("latent_rgb") if path.is_file() else None
    if rows is None:
        return ()
    good = isinstance(rows, list) and len(rows) == channels + 1
    if not good or not all(isinstance(row, list) and len(row) == 3 and all(map(_is_number, row)) for row in rows):
        raise damaged(path, f"'latent_rgb' is not {channels + 1} rows of 3 numbers")
    return tuple((float(r), float(g), float(b)) for r, g, b in rows)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shards(index: Path) -> tuple[Path, ...]:
    named = read_json(index).get("weight_map")
    if not isinstance(named, dict) or not all(isinstance(name, str) for name in named.values()):
        raise damaged(index, "it has no weight_map")
    files = tuple(index.parent / places.check_name(name) for name in sorted(set(named.values())))
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise fail("model.format", f"{missing[0]} is missing", mend="download all parts of the model", file=str(index))
    return files


def require(config: Mapping[str, Any], path: Path, *keys: str) -> None:
    """The configuration has these keys, as numbers; else it is damaged."""
    for key in keys:
        value = config.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise damaged(path / "config.json", f"'{key}' is {'missing' if value is None else 'no number'}")


def check_shape(table: Header, name: str, shape: Sequence[int | None], folder: Path) -> None:
    """A tensor the family cannot be without is there in the shape its configuration implies (None: any)."""
    found = table.get(name)
    if found is None:
        raise damaged(folder / "config.json", f"the weights have no '{name}'")
    if len(found[1]) != len(shape) or any(want not in (None, got) for want, got in zip(shape, found[1], strict=True)):
        raise damaged(folder / "config.json", f"'{name}' is {list(found[1])}, the configuration says {list(shape)}")
