"""Text encoders: what reads the prompt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from engine.sockets import Facts, socket
from nodes.types.lora import Adapter, Lora
from nodes.types.recipe import sources_of, stream_in
from nodes.types.weights import Weights

if TYPE_CHECKING:
    from engine.memory import Extent, Footprint


@socket(colour="#d8c04a", recipe=True)
@dataclass(frozen=True)
class TextEncoder:
    """One or more text encoders with their tokenizers, as one recipe.

    `layout` names what the denoiser must have been trained with (`clip-l:128`, `clip-l+clip-g+t5`); `length` is the
    tokenizer's length, `clip_skip` counts from the last layer (1 = last), `config` holds widths that absent encoders
    would have had.
    """

    __module__ = "nodes.types"

    parts: tuple[Weights, ...]
    tokenizers: tuple[Weights, ...]
    family: str
    layout: str
    length: int = 77
    clip_skip: int = 1
    adapters: tuple[Adapter, ...] = ()
    config: tuple[tuple[str, Any], ...] = ()

    @property
    def weights(self) -> str:
        """The id under which the encoders are kept together."""
        return "+".join(part.id for part in (*self.parts, *self.tokenizers))

    @property
    def facts(self) -> Facts:
        """Family and text layout."""
        return {"family": self.family, "text_layout": self.layout}

    def with_adapter(self, lora: Lora, strength: float) -> TextEncoder:
        """The same encoders with one more LoRA on them."""
        return replace(self, adapters=(*self.adapters, Adapter.of(lora, strength)))

    def build(self, device: str, dtype: str) -> Any:
        """Load tokenizers and encoders (engine use: nodes lease)."""
        from nodes.families import family_of

        return family_of(self).build_text_encoder(self, device, dtype)

    def computes_in(self, device: str, dtype: str) -> str:
        """The run's dtype; float32 on the CPU, where it costs little and half precision is slow (engine use)."""
        return "float32" if device == "cpu" else dtype

    def footprint(self, dtype: str) -> Footprint:
        """Bytes of the encoders in `dtype`, from headers (engine use)."""
        from nodes.families.offload import footprint

        return footprint(self.parts, dtype, blocks=False)

    def worn_bytes(self, dtype: str) -> int:
        """Bytes that the adapters will take on a live model, from their headers (engine use)."""
        from nodes.families.sources import worn_bytes

        return worn_bytes(self.adapters, True, dtype) if self.adapters else 0

    def sources(self, live: bool = False) -> tuple[Extent, ...]:
        """The bytes of files that a lease reads; of a `live` model only what is attached to it (engine use)."""
        return sources_of(self.parts, self.adapters, live)

    def attach(self, module: Any) -> Callable[[], None]:
        """Set adapters to this recipe (engine use)."""
        from nodes.families import family_of

        return family_of(self).attach_text(self, module)

    def stream(self, module: Any, device: str, way: str) -> Callable[[], None]:
        """Let the weights come from the host in parts (engine use)."""
        return stream_in(module, device, way)
