"""ControlNets: nets that steer a denoiser by a picture, and those in use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from engine.sockets import NO_FACTS, Facts, socket
from nodes.types.picture import Image
from nodes.types.recipe import nothing, sources_of, stream_in
from nodes.types.vae import VAE
from nodes.types.weights import Weights

if TYPE_CHECKING:
    from engine.memory import Extent, Footprint


@socket(colour="#5fb87f", recipe=True)
@dataclass(frozen=True)
class ControlNet:
    """A ControlNet's weights and the family it steers."""

    __module__ = "nodes.types"

    base: Weights
    family: str
    config: tuple[tuple[str, Any], ...] = ()

    @property
    def weights(self) -> str:
        """The id under which the module is kept."""
        return self.base.id

    @property
    def facts(self) -> Facts:
        """Family."""
        return {"family": self.family} if self.family else NO_FACTS

    def build(self, device: str, dtype: str) -> Any:
        """Load the ControlNet (engine use: nodes lease)."""
        from nodes.families import family_of

        return family_of(self).build_controlnet(self, device, dtype)

    def footprint(self, dtype: str) -> Footprint:
        """Bytes of the weights in `dtype`, from headers (engine use)."""
        from nodes.families.offload import footprint

        return footprint([self.base], dtype)

    def sources(self, live: bool = False) -> tuple[Extent, ...]:
        """The bytes of files that a lease reads; of a `live` model none (engine use)."""
        return sources_of((self.base,), (), live)

    def attach(self, module: Any) -> Callable[[], None]:
        """Nothing is ever attached to a ControlNet."""
        return nothing

    def stream(self, module: Any, device: str, way: str) -> Callable[[], None]:
        """Let the weights come from the host in parts (engine use)."""
        return stream_in(module, device, way)


@dataclass(frozen=True)
class ControlItem:
    """One ControlNet in use: its hint picture, strength and range of steps (fractions).

    `vae` for nets that read the hint as latents (those of DiTs); `mode` what the hint shows, for nets that were trained
    on several kinds (-1: on one); `guess`: it steers the positive side alone, its coarse layers most.
    """

    __module__ = "nodes.types"

    net: ControlNet
    image: Image
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0
    vae: VAE | None = None
    mode: int = -1
    guess: bool = False


@socket(colour="#79c48d", recipe=True)
@dataclass(frozen=True)
class Control:
    """One or more ControlNets in use; their residuals are added."""

    __module__ = "nodes.types"

    items: tuple[ControlItem, ...]

    @cached_property
    def facts(self) -> Facts:
        """Family of the first net."""
        return self.items[0].net.facts if self.items else NO_FACTS
