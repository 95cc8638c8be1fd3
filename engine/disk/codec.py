"""Codec: a value as JSON and tensors, and back; the header of a safetensors file, read without its tensors."""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from engine.errors import fail
from engine.node import resolve
from engine.values import content, dense, is_tensor

MAX_HEADER = 16 * 2**20


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors header; `ValueError` for anything else. Reads no tensor, imports no torch."""
    with path.open("rb") as stream:
        head = stream.read(8)
        if len(head) < 8:
            raise ValueError("too short")
        (length,) = struct.unpack("<Q", head)
        if length > MAX_HEADER:
            raise ValueError("no safetensors header")
        header = json.loads(stream.read(length))
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    if not isinstance(metadata, dict):
        raise ValueError("no metadata")
    return metadata


# --- values as JSON and tensors ------------------------------------------------------------------------------------


def encode(value: Any, tensors: dict[str, Any], digests: dict[str, str]) -> Any:
    """The value as JSON, its tensors set aside under numbers. `TypeError` for what cannot be written down."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, bytes):
        import torch

        # A generator's state; frombuffer takes no empty buffer.
        plain = torch.frombuffer(bytearray(value), dtype=torch.uint8) if value else torch.empty(0, dtype=torch.uint8)
        return {"$bytes": encode(plain, tensors, digests)["$tensor"]}
    if is_tensor(value):
        name = str(len(tensors))
        tensors[name] = value
        digests[name] = content(value)
        record = {"$tensor": name, "device": str(value.device)}
        # The order in memory is part of it: the next step may sum in another order, and give other last bits.
        kept = not value.is_contiguous() and dense(value)
        return {**record, "stride": list(value.stride())} if kept else record
    if isinstance(value, tuple):
        return {"$tuple": [encode(item, tensors, digests) for item in value]}
    if isinstance(value, list):
        return [encode(item, tensors, digests) for item in value]
    if isinstance(value, Mapping):
        return {"$dict": [[key, encode(item, tensors, digests)] for key, item in value.items()]}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        cls = type(value)
        fields = {f.name: encode(getattr(value, f.name), tensors, digests) for f in dataclasses.fields(value)}
        return {"$type": f"{cls.__module__}:{cls.__qualname__}", "fields": fields}
    raise TypeError(f"a {type(value).__name__} cannot be written down")


def decode(record: Any, tensors: Mapping[str, Any], modules: Collection[str]) -> Any:
    """What `encode` wrote; only classes of these top-level modules are made."""
    if isinstance(record, list):
        return [decode(item, tensors, modules) for item in record]
    if not isinstance(record, dict):
        return record
    if "$tensor" in record:
        tensor = tensors[record["$tensor"]]
        if "stride" in record:
            order = sorted(range(tensor.dim()), key=lambda dim: -record["stride"][dim])
            tensor = tensor.permute(order).contiguous().as_strided(tensor.shape, record["stride"])
        # Made on a device, and back on it: the next step reads it there anyway.
        return tensor if record["device"] == "cpu" else tensor.to(record["device"])
    if "$bytes" in record:
        return bytes(tensors[record["$bytes"]].numpy())
    if "$tuple" in record:
        return tuple(decode(item, tensors, modules) for item in record["$tuple"])
    if "$dict" in record:
        return {key: decode(item, tensors, modules) for key, item in record["$dict"]}
    path = record["$type"]
    if path.partition(":")[0].partition(".")[0] not in modules:
        raise fail("pack.broken", f"{path} is of no installed pack")
    cls = resolve(path)
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        raise ValueError(f"{path} is no dataclass")
    return cls(**{name: decode(item, tensors, modules) for name, item in record["fields"].items()})
