"""Where in a JSON text a path lies: only asked when there is an error to show, so it may read the text again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from json.decoder import scanstring  # type: ignore[attr-defined]

_SPACE = " \t\r\n"


def locate(text: str, path: Sequence[str | int]) -> tuple[int, int] | None:
    """Line and column (1-based) of the key or item that `path` leads to; of its nearest parent if it is missing."""
    decoder = json.JSONDecoder()
    at = _skip(text, 0)
    spot = at
    try:
        for step in path:
            if isinstance(step, str) and text[at : at + 1] == "{":
                found = _member(decoder, text, at, step)
            elif isinstance(step, int) and text[at : at + 1] == "[":
                found = _item(decoder, text, at, step)
            else:
                break
            if found is None:
                break
            spot, at = found
    except (ValueError, IndexError, RecursionError):
        return None
    return text.count("\n", 0, spot) + 1, spot - text.rfind("\n", 0, spot)


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def _member(decoder: json.JSONDecoder, text: str, at: int, name: str) -> tuple[int, int] | None:
    at = _skip(text, at + 1)
    while text[at] == '"':
        spot = at
        key, at = scanstring(text, at + 1, True)
        at = _skip(text, _skip(text, at) + 1)
        if key == name:
            return spot, at
        _, at = decoder.raw_decode(text, at)
        at = _skip(text, at)
        if text[at] != ",":
            return None
        at = _skip(text, at + 1)
    return None


def _item(decoder: json.JSONDecoder, text: str, at: int, index: int) -> tuple[int, int] | None:
    at = _skip(text, at + 1)
    for count in range(index + 1):
        if text[at] == "]":
            return None
        if count == index:
            return at, at
        _, at = decoder.raw_decode(text, at)
        at = _skip(text, at)
        if text[at] != ",":
            return None
        at = _skip(text, at + 1)
    return None
