"""Beside: what a model's file says of itself in words, and the picture that lies beside it.

Trainers write who made a file, from what, and how often each word stood under the pictures it learned from
(`ss_tag_frequency`, kohya; `modelspec.*`, Stability AI's model metadata standard 1.0). Nothing of it changes what runs.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HEADER_LIMIT = 32 * 2**20
WORDS = 24  # words that are told, the most frequent first
ENDINGS = (".preview.png", ".png", ".preview.jpg", ".jpg", ".jpeg", ".preview.webp", ".webp")


@dataclass(frozen=True)
class Notes:
    """What a file says of itself; `words` are those that call up what it learned, the most frequent first."""

    title: str = ""
    author: str = ""
    about: str = ""
    licence: str = ""
    base: str = ""
    words: tuple[str, ...] = field(default=())


def picture_beside(path: Path) -> Path | None:
    """The picture of a model: `name.preview.png`, `name.png` and the like beside a file, `preview.png` in a folder."""
    stem = path / "preview" if path.is_dir() else path.with_suffix("")
    named = (stem.parent / f"{stem.name}{ending}" for ending in ENDINGS)
    return next((one for one in named if one.is_file() and not one.is_symlink()), None)


def notes_of(path: Path) -> Notes:
    """The notes in a safetensors file's header; empty for any other file, and for a header that cannot be read."""
    told = _metadata(path)
    words: Counter[str] = Counter()
    for trigger in str(told.get("modelspec.trigger_phrase", "")).split(","):
        if trigger.strip():
            words[trigger.strip()] += 10**9  # what the author names comes first
    for tags in _record(told.get("ss_tag_frequency")).values():
        for word, count in tags.items() if isinstance(tags, dict) else ():
            if isinstance(count, int | float) and word.strip():
                words[word.strip()] += int(count)
    return Notes(
        title=_text(told, "modelspec.title", "ss_output_name"),
        author=_text(told, "modelspec.author"),
        about=_text(told, "modelspec.description", "ss_training_comment"),
        licence=_text(told, "modelspec.license"),
        base=_text(told, "modelspec.architecture", "ss_base_model_version", "ss_sd_model_name"),
        words=tuple(word for word, _ in words.most_common(WORDS)),
    )


def _text(told: dict[str, Any], *names: str) -> str:
    return next((str(told[name])[:2000] for name in names if told.get(name) not in (None, "", "None")), "")


def _metadata(path: Path) -> dict[str, Any]:
    if path.suffix != ".safetensors" or not path.is_file():
        return {}
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            raw = stream.read(length) if length <= HEADER_LIMIT else b""
    except OSError:
        return {}
    told = _record(raw).get("__metadata__")
    return told if isinstance(told, dict) else {}


def _record(text: Any) -> dict[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except (ValueError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
