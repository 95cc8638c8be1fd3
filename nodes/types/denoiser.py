"""Denoiser: a UNet or DiT, with what is attached to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from engine.sockets import Facts, socket
from nodes.types.latent import LatentSpace
from nodes.types.lora import Adapter, Lora
from nodes.types.patch import Patch, has_range, patches_acting, steps_of
from nodes.types.recipe import sources_of, stream_in
from nodes.types.weights import Weights

if TYPE_CHECKING:
    from engine.memory import Extent, Footprint


@socket(colour="#b48ede", recipe=True)
@dataclass(frozen=True)
class Denoiser:
    """A UNet or DiT, as a recipe: base weights, family, what it predicts, and what is attached to it.

    `prediction` is `epsilon`, `v_prediction`, `sample` or `flow`; `training` the schedule it was trained on (the
    scheduler config's numbers: `beta_schedule`, `beta_start`, `shift`, ...). `config` holds the few numbers of the
    architecture that checks need (`in_channels`, `cross_attention_dim`, `sample_size`).
    """

    __module__ = "nodes.types"

    base: Weights
    family: str
    space: LatentSpace
    prediction: str = "epsilon"
    text_layout: str = ""
    training: tuple[tuple[str, Any], ...] = ()
    config: tuple[tuple[str, Any], ...] = ()
    adapters: tuple[Adapter, ...] = ()
    patches: tuple[Any, ...] = ()
    numerics: tuple[tuple[str, Any], ...] = ()  # overrides of the run's numerics: `dtype`, `attention`
    distilled_guidance: bool = False  # takes no CFG (Flux dev, schnell, turbo, lightning)

    @property
    def weights(self) -> str:
        """The id under which the bare module is kept; adapters do not change it, nor patches that can be taken off."""
        own = (str(getattr(patch, "own", "")) for patch in self.patches)
        return "+".join((self.base.id, *filter(None, own)))

    @property
    def facts(self) -> Facts:
        """Family, latent space, prediction type, text layout."""
        known = {"family": self.family, "latent_space": self.space.name, "prediction": self.prediction}
        return {**known, **({"text_layout": self.text_layout} if self.text_layout else {})}

    def with_adapter(self, lora: Lora, strength: float) -> Denoiser:
        """The same denoiser with one more LoRA on it."""
        return replace(self, adapters=(*self.adapters, Adapter.of(lora, strength)))

    @property
    def ranged(self) -> bool:
        """Does an adapter or a patch act in a part of the steps only?"""
        return any(has_range(one) for one in (*self.adapters, *self.patches))

    @property
    def steady(self) -> Denoiser:
        """The same weights with what acts in all steps alone."""
        adapters = tuple(one for one in self.adapters if not has_range(one))
        return replace(self, adapters=adapters, patches=tuple(one for one in self.patches if not has_range(one)))

    @property
    def bare(self) -> Denoiser:
        """The same weights with nothing on them."""
        return replace(self, adapters=(), patches=())

    def acting(self, acts: Callable[[float, float], bool]) -> Denoiser:
        """The recipe where only those act whose range `acts` says; adapters rest at strength 0, patches are left out.

        What acts has no range any more: until when it acts is no part of what a step depends on.
        """
        adapters = tuple(
            replace(one, strength=one.strength if acts(one.start, one.end) else 0.0, start=0.0, end=1.0)
            for one in self.adapters
        )
        return replace(self, adapters=adapters, patches=patches_acting(self.patches, acts))

    def ranges(self) -> set[tuple[float, float]]:
        """All ranges that something on it has."""
        things = (*self.adapters, *(item for patch in self.patches for item in getattr(patch, "items", (patch,))))
        return {steps_of(one) for one in things}

    def with_patch(self, patch: Patch) -> Denoiser:
        """The same denoiser with a third party's patch; its frozen fields become part of the key."""
        return replace(self, patches=(*self.patches, patch))

    def build(self, device: str, dtype: str) -> Any:
        """Load the bare module (engine use: nodes lease)."""
        from nodes.families import family_of
        from nodes.families.quantized import quantized

        smaller = quantized(self.patches)
        if smaller is None:
            return family_of(self).build_denoiser(self, device, dtype)
        return smaller.convert(family_of(self).build_denoiser(self, "cpu", dtype), device)

    def footprint(self, dtype: str) -> Footprint:
        """Bytes of the weights in `dtype`, from headers (engine use)."""
        from nodes.families.offload import footprint
        from nodes.families.quantized import quantized

        return footprint([self.base], dtype, smaller=quantized(self.patches))

    def worn_bytes(self, dtype: str) -> int:
        """Bytes that the adapters will take on a live model, from their headers (engine use)."""
        from nodes.families.sources import worn_bytes

        return worn_bytes(self.adapters, False, dtype) if self.adapters else 0

    def sources(self, live: bool = False) -> tuple[Extent, ...]:
        """The bytes of files that a lease reads; of a `live` model only what is attached to it (engine use)."""
        return sources_of((self.base,), self.adapters, live)

    def working(self, facts: Facts, dtype: str) -> int:
        """Activations of one forward with both sides of guidance, for a picture of these facts (engine use)."""
        from nodes.families import family_of

        if not ("width" in facts and "height" in facts):
            return 0
        cells = [int(facts[side]) // self.space.factor for side in ("height", "width")]
        item = 4 if dtype == "float32" else 2
        return family_of(self).working_bytes(self, 2 * int(facts.get("batch", 1)), cells[0], cells[1], item)

    def attach(self, module: Any) -> Callable[[], None]:
        """Set adapters and patches to this recipe (engine use)."""
        from nodes.families import family_of

        return family_of(self).attach(self, module)

    def stream(self, module: Any, device: str, way: str) -> Callable[[], None]:
        """Let the weights come from the host in parts (engine use)."""
        return stream_in(module, device, way)
