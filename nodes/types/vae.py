"""VAE: the way between pictures and latents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.sockets import Facts, socket
from nodes.types.latent import LatentSpace
from nodes.types.recipe import nothing, sources_of
from nodes.types.weights import Weights

if TYPE_CHECKING:
    from engine.memory import Extent, Footprint


@socket(colour="#d2605c", recipe=True)
@dataclass(frozen=True)
class VAE:
    """The autoencoder between pictures and latents. `latent = (encode(x) - shift) * scale`, once.

    `width` is how many channels its widest map at the picture's full size has: what its activations cost.
    """

    __module__ = "nodes.types"

    base: Weights
    space: LatentSpace
    scale: float = 0.18215
    shift: float = 0.0
    numerics: tuple[tuple[str, Any], ...] = ()
    width: int = field(default=256, compare=False)

    @property
    def weights(self) -> str:
        """The id under which the module is kept."""
        return self.base.id

    @property
    def facts(self) -> Facts:
        """Latent space."""
        return {"latent_space": self.space.name}

    def build(self, device: str, dtype: str) -> Any:
        """Load the autoencoder (engine use: nodes lease)."""
        from nodes.families import build_vae

        return build_vae(self, device, dtype)

    def footprint(self, dtype: str) -> Footprint:
        """Bytes of the weights in `dtype`, from headers (engine use)."""
        from nodes.families import vae_dtype
        from nodes.families.offload import footprint

        return footprint([self.base], vae_dtype(self, dtype), blocks=False)

    def working(self, facts: Facts, dtype: str) -> int:
        """Activations for a picture of these facts (engine use)."""
        from nodes.vae import _working

        if not ("width" in facts and "height" in facts):
            return 0
        return _working(self, (int(facts.get("batch", 1)), 3, int(facts["height"]), int(facts["width"])))

    def sources(self, live: bool = False) -> tuple[Extent, ...]:
        """The bytes of files that a lease reads; of a `live` model none (engine use)."""
        return sources_of((self.base,), (), live)

    def attach(self, module: Any) -> Callable[[], None]:
        """Nothing is ever attached to a VAE."""
        return nothing
