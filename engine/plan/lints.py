"""Lints: which pieces of advice a plan tells. What only some items of a `map` do is the point of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from engine.errors import Mend, Problem


def told(lints: Sequence[Problem], spread: Mapping[str, int]) -> tuple[Problem, ...]:
    """The lints without those that only some items of a map deserve; what all deserve is told once, of the first.

    `spread`: the paths of the maps and how many items each has. A strength of 0 among eight strengths is a
    comparison's end, not a slip; its mend, which would set one widget, is left out for what a wire brings.
    """
    kept: list[Problem] = []
    groups: dict[tuple[str, str, str | None, str], list[Problem]] = {}
    for lint in lints:
        path = lint.where.path or ""
        over = max((one for one in spread if path.startswith(f"{one}/")), key=len, default=None)
        if over is None:
            kept.append(lint)
            continue
        rest = path[len(over) + 1 :].partition("/")[2]
        groups.setdefault((lint.code, _any_item(over, spread), lint.where.socket, rest), []).append(lint)
    for (_, over, *_), same in groups.items():
        items = sum(count for one, count in spread.items() if _any_item(one, spread) == over)
        if len({lint.where.path for lint in same}) == items:
            first = same[0]
            kept.append(replace(first, mend=Mend(first.mend.text) if first.mend else None))
    return tuple(kept)


def _any_item(path: str, spread: Mapping[str, int]) -> str:
    """`rows/3/cells` as `rows/*/cells`: a map in a map, whichever item of the outer one it is in."""
    parts = path.split("/")
    return "/".join("*" if "/".join(parts[:index]) in spread else part for index, part in enumerate(parts))
