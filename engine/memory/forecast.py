"""Forecast: what the steps of a workflow would need on a device, before anything is loaded.

Sizes come from the headers of the models' files and from the facts of what is wired; nothing is read beyond that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.memory.modules import HOST
from engine.memory.placing import Footprint, Way, choose
from engine.sockets import Ref, facts_of
from engine.values import parts

SIZES = ("width", "height", "batch")


@dataclass(frozen=True)
class Need:
    """What one step needs: the model's weights, its activations, and how the weights come."""

    path: str
    model: str
    weights: int
    working: int
    way: Way
    fits: bool

    @property
    def on_device(self) -> int:
        """Bytes on the device while the step runs, `weights` being what is there of them at once."""
        return self.weights + self.working


def forecast(steps: Iterable[tuple[str, Mapping[str, Any]]], device: str, dtype: str, limit: int) -> list[Need]:
    """A row for each step that leases a model, in the order given: (path, inputs as far as they are known)."""
    found = []
    for path, inputs in steps:
        known: dict[str, Any] = {}
        for value in inputs.values():
            known.update({name: fact for name, fact in facts_of(value).items() if name in SIZES})
        recipes = list(dict.fromkeys(leasable(inputs)))
        sizes = [_sized(recipe, device, dtype, known) for recipe in recipes]
        for recipe, (footprint, working) in zip(recipes, sizes, strict=True):
            others = sum(other.whole for other, _ in sizes) - footprint.whole
            room = limit - others
            way: Way = choose(footprint, working, room) if device != HOST and hasattr(recipe, "stream") else "whole"
            there = footprint.on_device(way)
            model = f"{type(recipe).__name__} {getattr(recipe, 'family', '') or recipe.weights[:8]}".strip()
            found.append(Need(path, model, there, working, way, there + working <= room))
    # A step that only asks a model for its shape (an empty canvas) leases nothing.
    busy = {need.model for need in found if need.working}
    return [need for need in found if need.working or need.model not in busy]


def seats(inputs: Mapping[str, Any], device: str, dtype: str, limit: int, most: int) -> int:
    """How many steps with inputs like these have room on a device at once: at least 1, at most `most`.

    The weights are there once, the activations of each beside the others'. With no room for the weights as a whole
    they come in parts, and the parts are what is counted.
    """
    known: dict[str, Any] = {}
    for value in inputs.values():
        known.update({name: fact for name, fact in facts_of(value).items() if name in SIZES})
    sizes = [_sized(recipe, device, dtype, known) for recipe in dict.fromkeys(leasable(inputs))]
    each = sum(working for _, working in sizes)
    if not each:
        return most
    ways: tuple[Way, ...] = ("whole",) if device == HOST else ("whole", "blocks", "layers")
    for way in ways:
        room = limit - sum(footprint.on_device(way) for footprint, _ in sizes)
        if room >= each:
            return min(most, room // each)
    return 1


def _sized(recipe: Any, device: str, dtype: str, known: Mapping[str, Any]) -> tuple[Footprint, int]:
    own = dict(getattr(recipe, "numerics", ())).get("dtype", dtype)
    own = recipe.computes_in(device, own) if hasattr(recipe, "computes_in") else own
    working = getattr(recipe, "working", None)
    return recipe.footprint(own), int(working(known, own)) if working is not None else 0


def leasable(value: Any, says: str = "footprint") -> Iterator[Any]:
    """The recipes inside a value that say how large they are (or, with `sources`, from which files they come)."""
    if isinstance(value, Ref | str | bytes):
        return
    if hasattr(value, says):
        yield value
    else:
        inner = value.values() if isinstance(value, Mapping) else parts(value)
        for one in inner:
            yield from leasable(one, says)
