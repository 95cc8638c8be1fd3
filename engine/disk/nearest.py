"""Nearest: why a value was not found – the value on disk that is most like it, and what differs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from engine.disk.tier import Kept


@dataclass(frozen=True)
class Difference:
    """The kept value that is most like the one that was looked for."""

    kept: Kept
    differs: tuple[str, ...]  # names of inputs; `version`, `numerics`, `code` for what is no input


def nearest(about: Mapping[str, str], kept: Iterable[Kept]) -> Difference | None:
    """The value of the same node and output with the fewest differences, the newest of equals; None without any.

    `about` is what the tier would be told of the value: `node`, `output`, `version`, `numerics`, `code`, and a digest
    of each input as `in.<name>`.
    """
    best: tuple[int, float, Difference] | None = None
    for item in kept:
        if (item.about.get("node"), item.about.get("output")) != (about.get("node"), about.get("output")):
            continue
        names = sorted({*item.about, *about})
        differs = tuple(name.removeprefix("in.") for name in names if item.about.get(name) != about.get(name))
        rank = (len(differs), -item.used)
        if best is None or rank < best[:2]:
            best = (*rank, Difference(item, differs))
    return best[2] if best is not None else None
