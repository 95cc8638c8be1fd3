"""Tokenizers: no single file holds one; they are looked for beside it, in the models tree and in the hub's cache."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from engine import places
from engine.errors import WeftError, fail
from nodes.families.files import read_json

TREES = ("tokenizers/*", "tokenizers/*/*", "checkpoints/*/tokenizer*", "checkpoints/*/*/tokenizer*", "text_encoders/*")
# Public repositories that hold each tokenizer, and where; the first is what `weft models get` is told.
HUB = {
    "clip": (
        ("openai/clip-vit-large-patch14", "."),
        ("stable-diffusion-v1-5/stable-diffusion-v1-5", "tokenizer"),
        ("stabilityai/stable-diffusion-xl-base-1.0", "tokenizer"),
        ("black-forest-labs/FLUX.1-schnell", "tokenizer"),
        ("black-forest-labs/FLUX.1-dev", "tokenizer"),
    ),
    "t5": (
        ("google/t5-v1_1-xxl", "."),
        ("black-forest-labs/FLUX.1-schnell", "tokenizer_2"),
        ("black-forest-labs/FLUX.1-dev", "tokenizer_2"),
        ("stabilityai/stable-diffusion-3.5-medium", "tokenizer_3"),
        ("stabilityai/stable-diffusion-3-medium-diffusers", "tokenizer_3"),
    ),
}
PADS = {"clip_l": "<|endoftext|>", "clip_g": "!", "clip_h": "!", "t5": ""}  # where no file says it
SPARE = 256  # T5's embedding has more rows than there are words: it was padded


def find(file: Path, name: str, kind: str, words: int) -> tuple[Path, str]:
    """The folder of a tokenizer for an encoder with `words` rows, and how it pads; `name` is `tokenizer`, `..._2`."""
    sort = "t5" if kind == "t5" else "clip"
    beside = file.with_suffix("")
    near = [beside / name, beside / "tokenizer", beside, file.parent / name, file.parent / "tokenizer"]
    for path in (*near, *_elsewhere(sort)):
        count, of = vocabulary(path)
        if of == sort and (count == words or (of == "t5" and words - SPARE <= count <= words)):
            return path, "" if path == near[0] else PADS[kind]  # one that lies there for it knows how it pads
    repository = HUB[sort][0][0]
    raise fail(
        "model.format",
        f"{file.name} has no tokenizer in it, and none with {sort.upper()}'s {words:,} words was found",
        mend=f"fetch it once: `weft models get {repository} --only tokenizer`",
        socket="model",
    )


def _elsewhere(sort: str) -> Iterator[Path]:
    for root in places.current().roots():
        for tree in TREES:
            yield from sorted(root.glob(tree))
    for repository, where in HUB[sort]:
        snapshot = places.hub_snapshot(repository)
        if snapshot is not None:
            yield snapshot / where


def vocabulary(folder: Path) -> tuple[int, str]:
    """How many words the tokenizer in a folder has, and of which sort it is (`clip`, `t5`); (0, "") when none."""
    words, whole, pieces = folder / "vocab.json", folder / "tokenizer.json", folder / "spiece.model"
    try:
        if words.is_file() and (folder / "merges.txt").is_file():
            return _count(words, words.stat().st_mtime_ns), "clip"
        if whole.is_file():
            return _whole(whole, whole.stat().st_mtime_ns)
        if pieces.is_file():
            return _pieces(pieces, pieces.stat().st_mtime_ns), "t5"
    except (WeftError, OSError):
        pass
    return 0, ""


@lru_cache(maxsize=64)
def _count(path: Path, mtime: int) -> int:
    return len(read_json(path))


@lru_cache(maxsize=64)
def _whole(path: Path, mtime: int) -> tuple[int, str]:
    model: Any = read_json(path).get("model")
    found = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(found, list):  # [piece, score], as sentencepiece has them
        return len(found), "t5"
    return (len(found), "clip") if isinstance(found, dict) else (0, "")


@lru_cache(maxsize=16)
def _pieces(path: Path, mtime: int) -> int:
    """The pieces of a sentencepiece model (field 1 of its protobuf), and T5's hundred words for gaps."""
    data, at, count = path.read_bytes(), 0, 0
    while at < len(data):
        key, at = _varint(data, at)
        if key & 7 != 2:
            break
        length, at = _varint(data, at)
        at += length
        count += key >> 3 == 1
    return count + 100 if count else 0


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if not byte & 128:
            break
        shift += 7
    return value, at
