"""Patches: changes to a denoiser, and the steps in which they act."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from nodes.types.denoiser import Denoiser


@runtime_checkable
class Patch(Protocol):
    """A third party's change to a denoiser: a frozen dataclass whose fields are its key.

    One with the fields `start` and `end` (fractions of the steps) is attached in that range only. With
    `rowwise: ClassVar[bool] = True` it says that it treats each picture of a batch by itself, so that runs with it may
    share forwards.
    """

    def attach(self, module: Any, recipe: Denoiser) -> Callable[[], None]:
        """Change the live module; return what undoes it exactly."""


def has_range(thing: Any) -> bool:
    """Does an adapter or a patch act in a part of the steps only?"""
    return bool(getattr(thing, "ranged", False)) or steps_of(thing) != (0.0, 1.0)


def patches_acting(patches: tuple[Any, ...], acts: Callable[[float, float], bool]) -> tuple[Any, ...]:
    """Those of which `acts` says so of their range, without it; several in one are asked one by one (`acting`)."""
    found: list[Any] = []
    for one in patches:
        if hasattr(one, "acting"):
            left = one.acting(acts)
            found += [] if left is None else [left]
        elif acts(*steps_of(one)):
            found.append(one if steps_of(one) == (0.0, 1.0) else replace(one, start=0.0, end=1.0))
    return tuple(found)


def steps_of(thing: Any) -> tuple[float, float]:
    """The steps in which an adapter or a patch acts, as fractions."""
    return float(getattr(thing, "start", 0.0)), float(getattr(thing, "end", 1.0))
