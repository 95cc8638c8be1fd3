"""Unpickle: the child process of `convert`: `python -m engine.shelf.unpickle SOURCE TARGET SECONDS MEMORY SIZE`.

It prints one line of JSON: how many tensors, which notes, what was left out; or why not.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Where trainers put the tensors, the smoothed ones (EMA) first where there are both.
INNER = ("params_ema", "state_dict", "model_state_dict", "params", "model", "module", "string_to_param")
EMBEDDING = "string_to_param"


def main(words: list[str]) -> int:
    """Read, write, tell."""
    source, target = Path(words[0]), Path(words[1])
    try:
        _limit(*map(int, words[2:5]))
        sys.stdout.write(json.dumps(_convert(source, target)) + "\n")
        return 0
    except Exception as error:
        sys.stdout.write(json.dumps({"why": _why(error)}) + "\n")
        return 1


def _limit(seconds: int, memory: int, size: int) -> None:
    """What this process may use, where the system has such limits."""
    try:
        import resource
    except ImportError:
        return
    for name, most in (("RLIMIT_CPU", seconds), ("RLIMIT_AS", memory), ("RLIMIT_FSIZE", size), ("RLIMIT_CORE", 0)):
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (most if hard < 0 else min(most, hard), hard))


def _convert(source: Path, target: Path) -> dict[str, Any]:
    import torch
    from safetensors.torch import save_file

    loaded = torch.load(source, map_location="cpu", weights_only=True)
    notes = {"format": "pt", "converted_from": source.name, "source_sha256": _sha256(source)}
    notes |= {key: str(value) for key, value in _items(loaded) if isinstance(value, int | float | str | bool)}
    state, outer = loaded, ""
    while isinstance(state, Mapping) and (key := next((key for key in INNER if _holds(state, key)), "")):
        state, outer = state[key], key
    tensors = {str(key): value for key, value in _items(state) if isinstance(value, torch.Tensor)}
    if outer == EMBEDDING:  # a textual inversion: one row for each of its tokens
        tensors = {"emb_params": next(iter(tensors.values()))} if tensors else {}
    if not tensors:
        raise ValueError("it holds no tensors by name")
    left = [str(key) for key, value in _items(state) if not isinstance(value, torch.Tensor)]
    # Tensors that share memory become each their own: safetensors knows no sharing.
    save_file({key: value.detach().contiguous().clone() for key, value in tensors.items()}, target, metadata=notes)
    return {"tensors": len(tensors), "notes": notes, "left_out": left[:20]}


def _items(state: Any) -> list[tuple[Any, Any]]:
    return list(state.items()) if isinstance(state, Mapping) else []


def _holds(state: Mapping[Any, Any], key: str) -> bool:
    return isinstance(state.get(key), Mapping) and bool(state[key])


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _why(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "Unsupported global" in text or "weights_only" in text or "Unsupported operand" in text:
        name = text.partition("GLOBAL ")[2].split(" ")[0].rstrip(".,")
        what = f" ({name})" if name else ""
        return f"it holds more than tensors{what}, and opening that would run a program from the file"
    if isinstance(error, MemoryError):
        return "it asks for more memory than a file of its size can need"
    return text[:200] or type(error).__name__


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
