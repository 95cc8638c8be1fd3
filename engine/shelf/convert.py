"""Convert: a pickled file into safetensors, in a process of its own that may do nothing but that.

A pickle is a program. `torch.load(weights_only=True)` runs only the few instructions that build tensors; the child
process around it has limits on time, memory and what it may write, so that a file made to attack the reader takes
nothing else down.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import fail
from engine.places import PICKLED

SECONDS = 1800
ROOM = 4  # bytes of address space for each byte of the file, and
BASE = 16 * 2**30  # what torch maps before it has read anything


@dataclass(frozen=True)
class Converted:
    """The new file, how many tensors it has, and what of the old one had no place in it."""

    path: Path
    tensors: int
    notes: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


def convert(source: Path, target: Path | None = None, seconds: int = SECONDS) -> Converted:
    """Write `target` (beside the source, `.safetensors`) from a .ckpt, .pt, .pth, .bin or .pkl file.

    Raises `model.missing`, or `model.format` with the reason: a file that holds more than tensors, is damaged, or
    would not end. The new file keeps the old one's numbers (step, epoch) and its SHA-256 as notes.
    """
    if not source.is_file():
        raise fail("model.missing", f"there is no file {source}", mend="check the path")
    if source.suffix.lower() not in PICKLED:
        mend = f"it converts {', '.join(PICKLED)}"
        raise fail("model.format", f"{source.name} is no pickled file", mend=mend, file=str(source))
    made = target or source.with_suffix(".safetensors")
    if made.exists():
        raise fail("model.format", f"{made} is there already", mend="remove it, or give another name with --name")
    part = made.with_name(f".{made.name}.part")
    limits = [str(seconds), str(BASE + ROOM * source.stat().st_size), str(2 * source.stat().st_size + 2**24)]
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "engine.shelf.unpickle", str(source), str(part), *limits],
            capture_output=True,
            text=True,
            timeout=seconds + 30,
            check=False,
        )
        answer = _answer(ended.stdout)
        if ended.returncode != 0 or "tensors" not in answer:
            why = answer.get("why") or _last(ended.stderr) or f"the reader ended with {ended.returncode}"
            mend = "get the safetensors version of the model; this file is not opened"
            raise fail("model.format", f"{source.name} cannot be converted: {why}", mend=mend, file=str(source))
        part.replace(made)
    except subprocess.TimeoutExpired:
        message = f"{source.name} was not read within {seconds} seconds"
        raise fail("model.format", message, mend="it may be damaged: download it again", file=str(source)) from None
    finally:
        part.unlink(missing_ok=True)
    return Converted(made, int(answer["tensors"]), answer.get("notes") or {}, tuple(answer.get("left_out") or ()))


def _answer(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return {}
    return found if isinstance(found, dict) else {}


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""
