"""Header: what a GGUF file holds, read from its head alone.

The head is a number of notes (key, type, value) and a table of tensors (name, shape, type, place). Every number in
it is checked against the size of the file before anything is believed, and what is not needed here – a tokenizer's
words – is passed over.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from engine.errors import WeftError, fail
from nodes.families.files import HEADER_LIMIT, damaged

ENDING = ".gguf"
MAGIC = b"GGUF"
# Types of numbers by their number in a file: name, how many stand in a block, bytes of a block.
TYPES: Mapping[int, tuple[str, int, int]] = {
    **{0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22)},
    **{7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110)},
    **{12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292)},
    **{16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50)},
    **{20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136)},
    **{24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8)},
    **{29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66)},
}
BLOCKS = {name: (count, size) for name, count, size in TYPES.values()}
# What diffusers widens again; the others are refused by name.
WIDENED = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS")
# `general.file_type`: the mixture that a file was made with, by the number that llama.cpp gives it.
MIXTURES = {
    **{0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S"},
    **{12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 25: "IQ4_NL"},
    **{30: "IQ4_XS", 32: "BF16"},
}
SHAPE_NOTE = "comfy.gguf.orig_shape."  # the shape of a tensor that was laid out anew so that its rows fill blocks
MOST = 2**16  # notes, tensors
NAME_LIMIT, TEXT_LIMIT = 1024, 1000
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _LIST = 8, 9


@dataclass(frozen=True)
class Tensor:
    """One tensor: its type (`Q4_K`), its shape as torch has it, and where in the file its bytes are."""

    kind: str
    shape: tuple[int, ...]
    start: int
    bytes: int


@dataclass(frozen=True)
class Table:
    """What a file holds: its notes (text, numbers, shapes) and its tensors in their order."""

    notes: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    @property
    def architecture(self) -> str:
        """What the file says it is: `flux`, `t5encoder`, `llama`."""
        return str(self.notes.get("general.architecture", ""))

    @property
    def mixture(self) -> str:
        """How it was made (`Q4_K_S`), as it says; of what most of its bytes are when it says nothing."""
        told = MIXTURES.get(self.notes.get("general.file_type", -1))
        count: dict[str, int] = {}
        for tensor in self.tensors.values():
            count[tensor.kind] = count.get(tensor.kind, 0) + tensor.bytes
        most = max(count, key=lambda kind: count[kind], default="")
        return told if told and told.startswith(most) else most


class _Head:
    """The head of a file, read from the front; nothing is read that it cannot have."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self.stream, self.at, self.end = stream, 0, min(size, HEADER_LIMIT)

    def take(self, count: int) -> bytes:
        if count > self.end - self.at:
            raise ValueError(f"it ends within its header, or claims {count:,} bytes where there are none")
        self.at += count
        return self.stream.read(count)

    def skip(self, count: int) -> None:
        if count > self.end - self.at:
            raise ValueError(f"it ends within its header, or claims {count:,} bytes where there are none")
        self.at += count
        self.stream.seek(count, 1)

    def number(self, letter: str) -> Any:
        (found,) = struct.unpack(f"<{letter}", self.take(struct.calcsize(f"<{letter}")))
        return found

    def count(self, what: str, most: int = MOST) -> int:
        found = int(self.number("Q"))
        if found > most:
            raise ValueError(f"it claims {found:,} {what}")
        return found

    def text(self, limit: int) -> str:
        length = int(self.number("Q"))
        kept = min(length, limit)
        found = self.take(kept).decode("utf-8", "replace")
        self.skip(length - kept)
        return found

    def value(self, kind: int, keep: bool, depth: int = 0) -> Any:
        """A note's value; of lists only short ones of numbers, where they are wanted."""
        if kind in _NUMBERS:
            return self.number(_NUMBERS[kind])
        if kind == _TEXT:
            return self.text(TEXT_LIMIT)
        if kind != _LIST or depth > 3:
            raise ValueError(f"a note is of the unknown type {kind}")
        inner, length = int(self.number("I")), int(self.number("Q"))
        if keep and inner in _NUMBERS and length <= 8:
            return tuple(self.number(_NUMBERS[inner]) for _ in range(length))
        if inner in _NUMBERS:
            self.skip(length * struct.calcsize(f"<{_NUMBERS[inner]}"))
        elif inner == _TEXT:
            for _ in range(length):
                self.skip(int(self.number("Q")))
        else:
            for _ in range(length):
                self.value(inner, False, depth + 1)
        return None


def read(path: Path) -> Table:
    """What a GGUF file holds; `model.format` for one that is damaged or of a form that is not read here."""
    told = path.stat()
    return _read(path, told.st_size, told.st_mtime_ns)


@lru_cache(maxsize=32)
def _read(path: Path, size: int, mtime: int) -> Table:
    with path.open("rb") as stream:
        head = _Head(stream, size)
        try:
            if head.take(4) != MAGIC:
                raise ValueError("it does not begin as a GGUF file")
            version = int(head.number("I"))
            if version in (0x02000000, 0x03000000, 1):
                why = "of the first version" if version == 1 else "for machines with the other order of bytes"
                raise fail("model.format", f"{path.name} is a GGUF file {why}", mend="get a newer one", file=str(path))
            if version not in (2, 3):
                raise ValueError(f"it is of version {version}")
            tensors, notes = head.count("tensors"), head.count("notes")
            kept: dict[str, Any] = {}
            for _ in range(notes):
                key = head.text(NAME_LIMIT)
                value = head.value(int(head.number("I")), key.startswith(SHAPE_NOTE))
                if value is not None:
                    kept[key] = value
            return Table(kept, _tensors(head, tensors, kept, size))
        except (ValueError, struct.error, OverflowError) as error:
            raise damaged(path, str(error)[:160]) from None


def _tensors(head: _Head, count: int, notes: Mapping[str, Any], size: int) -> dict[str, Tensor]:
    rows: dict[str, tuple[str, tuple[int, ...], int, int]] = {}
    for _ in range(count):
        name, dimensions = head.text(NAME_LIMIT), int(head.number("I"))
        if dimensions > 8 or name in rows:
            raise ValueError(f"'{name[:80]}' is {'there twice' if name in rows else f'of {dimensions} dimensions'}")
        shape = tuple(int(head.number("Q")) for _ in range(dimensions))[::-1]  # the innermost stands first
        kind, offset = int(head.number("I")), int(head.number("Q"))
        if kind not in TYPES:
            raise ValueError(f"'{name[:80]}' is of type {kind}, which is not known here")
        label, block, width = TYPES[kind]
        numbers = math.prod(shape)
        if (shape and shape[-1] % block) or numbers > 2**48:
            raise ValueError(f"'{name[:80]}' is {label} {list(shape)}, which fills no blocks of {block}")
        own = notes.get(SHAPE_NOTE + name)
        if own is not None:
            if math.prod(own) != numbers or min(own, default=0) < 0:
                raise ValueError(f"'{name[:80]}' is {list(shape)}, and {list(own)} was not that before")
            shape = tuple(int(side) for side in own)
        rows[name] = (label, shape, offset, numbers // block * width)
    step = notes.get("general.alignment", 32)
    if not isinstance(step, int) or isinstance(step, bool) or not 1 <= step <= 2**16:
        raise ValueError(f"its tensors are laid out in steps of {step!r}")
    begin = -(-head.at // step) * step
    for name, (label, shape, offset, length) in rows.items():
        if offset % step or begin + offset + length > size:
            raise ValueError(f"'{name[:80]}' ({label} {list(shape)}) lies beyond the end of the file")
    return {name: Tensor(label, shape, begin + at, length) for name, (label, shape, at, length) in rows.items()}


def packed(kind: str, shape: tuple[int, ...]) -> bool:
    """Does a tensor stay as it is in the file when it is loaded? Matrices do; the rest is small, or convolutions."""
    return len(shape) == 2 and BLOCKS.get(kind, (1, 0))[0] > 1


def size(kind: str, shape: tuple[int, ...]) -> int:
    """Bytes of a tensor of one of the types here."""
    block, width = BLOCKS[kind]
    return math.prod(shape) // block * width


def check(path: Path, table: Table) -> None:
    """Can it be loaded here? Raises `package.missing` without the package, `model.format` for types not widened."""
    from importlib.util import find_spec

    other = {one.kind for one in table.tensors.values() if BLOCKS[one.kind][0] > 1 and one.kind not in WIDENED}
    if other:
        raise fail(
            "model.format",
            f"{path.name} has tensors in {' and '.join(sorted(other))}, which diffusers does not widen",
            mend="get the model in Q4_K, Q8_0 or another of the usual types",
            socket="model",
        )
    if find_spec("gguf") is None:
        raise missing(path)


def missing(path: Path) -> WeftError:
    """The error for a GGUF file where the package that reads its numbers is not installed."""
    return fail(
        "package.missing",
        f"{path.name} is a GGUF file, and the package gguf is not installed",
        mend='pip install "weft[gguf]"',
        socket="model",
    )


def packed_as(path: str) -> str:
    """How the weights of a recipe's part are stored (`Q4_K_S`), when they lie in a GGUF file; "" else."""
    file = Path(path).parent
    return read(file).mixture if file.suffix.lower() == ENDING and file.is_file() else ""
