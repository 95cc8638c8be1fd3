"""Recipes: leaves plus plain numbers, frozen, so that they can be keyed before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from engine.errors import refuse
from nodes.types.lora import Adapter
from nodes.types.weights import Weights

if TYPE_CHECKING:
    from engine.memory import Extent


def plain(values: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """A mapping as a sorted tuple, so that it can stand in a frozen recipe: lists become tuples."""

    def freeze(value: Any) -> Any:
        if isinstance(value, Mapping):
            return plain(value)
        if isinstance(value, list | tuple):
            return tuple(freeze(item) for item in value)
        if value is None or isinstance(value, str | int | float | bool):
            return value
        raise refuse(f"a recipe holds plain numbers and text, not {type(value).__name__}")

    return tuple(sorted((str(key), freeze(value)) for key, value in values.items()))


def nothing() -> None:
    """Undo nothing."""


def stream_in(module: Any, device: str, way: str) -> Callable[[], None]:
    """Let a module's weights come from the host in parts, as `way` says (`blocks`, `layers`)."""
    from nodes.families.offload import stream

    return stream(module, device, way)


def sources_of(weights: tuple[Weights, ...], adapters: tuple[Adapter, ...], live: bool) -> tuple[Extent, ...]:
    """The bytes of files that a lease of these weights reads; of a `live` model only those of the adapters."""
    from nodes.families.sources import extents, worn

    return (*(() if live else extents(weights)), *worn(adapters))
