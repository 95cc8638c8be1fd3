"""Image prompts: pictures in the place of words, by an IP-Adapter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.sockets import Facts, Ref, socket
from nodes.types.recipe import nothing, sources_of
from nodes.types.weights import Weights

if TYPE_CHECKING:
    import torch

    from engine.memory import Extent

    Tensor = torch.Tensor
else:
    Tensor = Any


@dataclass(frozen=True)
class ImageEncoder:
    """A CLIP image encoder; `size` is the side of the pictures it sees, in pixels."""

    __module__ = "nodes.types"

    base: Weights
    size: int = 224

    @property
    def weights(self) -> str:
        """The id under which the module is kept."""
        return self.base.id

    def build(self, device: str, dtype: str) -> Any:
        """Load the encoder (engine use: nodes lease)."""
        from nodes.families.ip_adapter import build_encoder

        return build_encoder(self, device, dtype)

    def sources(self, live: bool = False) -> tuple[Extent, ...]:
        """The bytes of files that a lease reads; of a `live` model none (engine use)."""
        return sources_of((self.base,), (), live)

    def attach(self, module: Any) -> Callable[[], None]:
        """Nothing is ever attached to an image encoder."""
        return nothing


@socket(colour="#c9965a", recipe=True)
@dataclass(frozen=True)
class IPAdapter:
    """An IP-Adapter's weights, the image encoder it was trained with, and the family it was made for.

    `plus`: it reads the encoder's patches (the hidden states before the last layer), not the one embedding.
    """

    __module__ = "nodes.types"

    base: Weights
    encoder: ImageEncoder
    family: str
    plus: bool = False

    @property
    def facts(self) -> Facts:
        """Family."""
        return {"family": self.family}


@socket(colour="#d9b36a", recipe=True)
@dataclass(frozen=True, eq=False)
class ImagePrompt:
    """Pictures as an IP-Adapter reads them: float32 [1, pictures, width] or [1, pictures, tokens, width].

    `negative` is an empty picture's, of the same shape: what the unconditional side sees.
    """

    __module__ = "nodes.types"

    embeds: Tensor
    negative: Tensor

    @classmethod
    def outline(cls, ref: Ref) -> ImagePrompt:
        """The prompt that an encoder will give, its tensors not there yet."""
        return cls(ref.part("embeds"), ref.part("negative"))
