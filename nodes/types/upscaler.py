"""Upscaler: a network that makes pictures larger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.sockets import NO_FACTS, Facts, socket
from nodes.types.recipe import nothing, sources_of
from nodes.types.weights import Weights

if TYPE_CHECKING:
    from engine.memory import Extent


@socket(colour="#6fa3c8", recipe=True)
@dataclass(frozen=True)
class Upscaler:
    """A network that makes pictures larger: its weights, its architecture, how many times (0: not known yet).

    `config` holds what its architecture was built with (`features`, `blocks`), read from the shapes of its tensors.
    """

    __module__ = "nodes.types"

    base: Weights
    architecture: str
    scale: int = 0
    config: tuple[tuple[str, Any], ...] = ()
    numerics: tuple[tuple[str, Any], ...] = ()

    @property
    def weights(self) -> str:
        """The id under which the module is kept."""
        return self.base.id

    @property
    def facts(self) -> Facts:
        """How many times larger."""
        return {"scale": self.scale} if self.scale else NO_FACTS

    def build(self, device: str, dtype: str) -> Any:
        """Load the network (engine use: nodes lease)."""
        from nodes.upscale.files import build

        return build(self, device, dtype)

    def sources(self, live: bool = False) -> tuple[Extent, ...]:
        """The bytes of files that a lease reads; of a `live` model none (engine use)."""
        return sources_of((self.base,), (), live)

    def attach(self, module: Any) -> Callable[[], None]:
        """Nothing is ever attached to an upscaler."""
        return nothing
