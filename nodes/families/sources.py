"""Sources: the bytes of files that weights come from, so that they can be read before they are needed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from engine.memory import Extent, signature
from nodes.families.files import ENDINGS, component, is_inside, read_header
from nodes.families.gguf import header as gguf
from nodes.families.offload import SIZES
from nodes.types import Adapter, Weights

GAP = 2**20  # bytes between two tensors that are read along, rather than begun anew


def extents(weights: Iterable[Weights]) -> tuple[Extent, ...]:
    """Where the tensors lie: whole files, or of a part inside a single file the stretches that are its own."""
    return tuple(extent for one in weights for extent in _of(Path(one.path)))


def worn(adapters: Iterable[Adapter]) -> tuple[Extent, ...]:
    """The files of LoRAs."""
    from nodes.families.lora_file import lora_path

    files = dict.fromkeys(lora_path(Path(one.lora.weights.path)) for one in adapters)
    return tuple(_whole(file) for file in files)


def worn_bytes(adapters: Iterable[Adapter], encoders: bool, dtype: str) -> int:
    """Bytes of the LoRAs' matrices in `dtype`: those for the text encoders, or those for the denoiser."""
    from nodes.families.lora_file import lora_path

    files = dict.fromkeys(lora_path(Path(one.lora.weights.path)) for one in adapters)
    return sum(_numbers(str(file), signature(str(file)))[encoders] for file in files) * SIZES[dtype]


@lru_cache(maxsize=64)
def _numbers(file: str, state: tuple[int, ...]) -> tuple[int, int]:
    """How many numbers a LoRA has for (the denoiser, the text encoders)."""
    from nodes.families.lora_file import DENOISER, beside, split

    found = [0, 0]
    for key, (_, shape) in read_header(Path(file)).items():
        its = split(key) or beside(key)
        found[its is not None and its[0] != DENOISER] += math.prod(shape)
    return found[0], found[1]


def _of(path: Path) -> tuple[Extent, ...]:
    if path.is_file():
        return (_whole(path),)
    found = component(path)
    if not is_inside(path) or found.files[0].suffix.lower() not in ENDINGS:
        return tuple(_whole(file) for file in found.files)
    file = found.files[0]
    table = _table(str(file), signature(str(file)))
    return tuple(
        Extent(str(file), start, end) for start, end in _joined(span for key, span in table if found.holds(key))
    )


def _whole(file: Path) -> Extent:
    return Extent(str(file), 0, file.stat().st_size)


def _joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if found and start - found[-1][1] <= GAP:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


@lru_cache(maxsize=8)
def _table(file: str, state: tuple[int, ...]) -> tuple[tuple[str, tuple[int, int]], ...]:
    """The tensors of a single file and where they lie in it; the header was checked when it became a recipe."""
    if file.lower().endswith(gguf.ENDING):
        tensors = gguf.read(Path(file)).tensors
        return tuple((key, (one.start, one.start + one.bytes)) for key, one in tensors.items())
    with open(file, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        record = json.loads(stream.read(length))
    begin = 8 + length
    return tuple(
        (key, (begin + entry["data_offsets"][0], begin + entry["data_offsets"][1]))
        for key, entry in record.items()
        if key != "__metadata__"
    )
