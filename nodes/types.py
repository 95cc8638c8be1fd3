"""Page one: what each wire carries, with shapes, dtypes, ranges and scaling.

Values that hold tensors (`Image`, `Mask`, `Latent`) are heavy: they exist only after a step has run. All others are
**recipes**: leaves plus plain numbers, known while a plan is made, before any weight is read. A recipe never holds a
live module; `with run.lease(recipe) as module:` borrows one, set exactly to the recipe.

Facts (`.facts`) are what is known of a value before it exists; the nodes' rules compare them, so that "this LoRA does
not fit this model" is an error on the socket and not a matrix-shape traceback. A field with `compare=False` (a path on
this machine) is not part of any key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from engine.errors import refuse
from engine.sockets import NO_FACTS, Facts, Ref, socket

if TYPE_CHECKING:
    import numpy
    import PIL.Image
    import torch

    from engine.memory import Extent, Footprint

    Tensor = torch.Tensor
else:
    Tensor = Any


# --- values that hold tensors --------------------------------------------------------------------------------------


@socket(colour="#4e9bd6", portable=True)
@dataclass(frozen=True, eq=False)
class Image:
    """Pictures: float32 [batch, height, width, 3], RGB, 0..1, on the CPU or a device. Alpha travels as a `Mask`."""

    pixels: Tensor

    @property
    def facts(self) -> Facts:
        """Size and batch."""
        batch, height, width = self.pixels.shape[:3]
        return {"batch": int(batch), "height": int(height), "width": int(width)}

    def numpy(self) -> numpy.ndarray[Any, Any]:
        """A copy as float32 [batch, height, width, 3]; writing into it changes nothing here."""
        return self.pixels.detach().float().cpu().numpy().copy()

    def pil(self) -> list[PIL.Image.Image]:
        """One 8-bit RGB picture per item, rounded to the nearest level as diffusers does."""
        import PIL.Image

        levels = (self.pixels.detach().float().clamp(0, 1) * 255).round().byte().cpu().numpy()
        return [PIL.Image.fromarray(item, "RGB") for item in levels]


@socket(colour="#3fae9b", portable=True)
@dataclass(frozen=True, eq=False)
class Mask:
    """Where something happens: float32 [batch, height, width], 0..1, 1 = change this."""

    alpha: Tensor

    @property
    def facts(self) -> Facts:
        """Size and batch."""
        batch, height, width = self.alpha.shape
        return {"batch": int(batch), "height": int(height), "width": int(width)}


@socket(colour="#5c8f86", portable=True)
@dataclass(frozen=True, eq=False)
class Stitch:
    """How a piece cut out of a picture goes back into it.

    `pixels` float32 [batch, height, width, 3] is the whole picture, `alpha` float32 [batch, h, w] how much of the new
    piece counts (0 keeps the old pixel's very bits), `box` its (x, y, width, height), which may lie partly outside.
    """

    pixels: Tensor
    alpha: Tensor
    box: tuple[int, int, int, int]

    @property
    def facts(self) -> Facts:
        """Size and batch of the whole picture."""
        batch, height, width = self.pixels.shape[:3]
        return {"batch": int(batch), "height": int(height), "width": int(width)}


@dataclass(frozen=True)
class LatentSpace:
    """Which VAE's latents these are: `name` (`sd1`, `sdxl`, `sd3`, `flux`, or `8x4@0.5`), channels, pixels a cell.

    `preview` is a linear map to RGB (0..1) for pictures on their way: a row of 3 for each channel, then the bias; empty
    when nobody has fitted one.
    """

    name: str
    channels: int
    factor: int
    preview: tuple[tuple[float, float, float], ...] = field(default=(), compare=False)


@dataclass(frozen=True, eq=False)
class Leftover:
    """The noise that latents still carry when denoising was stopped: x = x0 + sigma * noise.

    `form` is how x is written: `ve` as just said (Euler and its kin), `vp` divided by sqrt(1 + sigma^2) (DDIM, DPM++
    multistep and others), `flow` as (1 - sigma) * x0 + sigma * noise. The two forms of diffusion are turned into each
    other where a sampler of the other form goes on. Latents with a noise mask bring along what stays outside it:
    `original` and the `noise` it was covered with, in the latents' shape.
    """

    sigma: float
    form: str
    original: Tensor | None = None
    noise: Tensor | None = None


@socket(colour="#c678b4", portable=True)
@dataclass(frozen=True, eq=False)
class Latent:
    """Latents: [batch, channel, h, w] (video: [batch, channel, frame, h, w]), already scaled once by the VAE.

    `noise_mask` is float32 [batch or 1, 1, h, w] in latent cells, 1 = denoise here, or None for everywhere.
    `seeds_from` shifts the batch index for seeds, so that an item picked out of a batch keeps its own noise.
    `beside` is [batch or 1, channel, h, w], what models made for inpainting see beside the noise (the mask and the
    masked picture's latents), or None for models that take the noise alone.
    `leftover` says what noise is still in it after a stop half-way; None for clean latents.
    """

    samples: Tensor
    space: LatentSpace
    noise_mask: Tensor | None = None
    seeds_from: int = 0
    beside: Tensor | None = None
    leftover: Leftover | None = None

    @property
    def facts(self) -> Facts:
        """Latent space, size in pixels, batch, channels beside the noise; `leftover` when noise is still in it."""
        known = {
            "latent_space": self.space.name,
            "batch": int(self.samples.shape[0]),
            "height": int(self.samples.shape[-2]) * self.space.factor,
            "width": int(self.samples.shape[-1]) * self.space.factor,
            "beside": 0 if self.beside is None else int(self.beside.shape[1]),
        }
        return known if self.leftover is None else {**known, "leftover": True}


# --- recipes -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Weights:
    """A file or folder of weights. `id` is its content; where it lies on this machine is not part of any key."""

    id: str
    component: str  # `unet`, `transformer`, `vae`, `text_encoder`, `controlnet`, `lora`, ...
    path: str = field(compare=False)
    variant: str = field(default="", compare=False)  # `fp16` in `model.fp16.safetensors`


@runtime_checkable
class Patch(Protocol):
    """A third party's change to a denoiser: a frozen dataclass whose fields are its key.

    One with the fields `start` and `end` (fractions of the steps) is attached in that range only. With
    `rowwise: ClassVar[bool] = True` it says that it treats each picture of a batch by itself, so that runs with it may
    share forwards.
    """

    def attach(self, module: Any, recipe: Denoiser) -> Callable[[], None]:
        """Change the live module; return what undoes it exactly."""


@socket(colour="#e0a040", recipe=True)
@dataclass(frozen=True)
class Lora:
    """A low-rank adapter (Hu et al. 2021): its file and the family it was made for ("" when its keys do not tell).

    `rank` is the largest of its layers', `encoders` the text encoders that it changes too. `strength` is what it was
    loaded or weighed with; where it is used, the strength there multiplies it. `blocks` are shares of it by block
    (`in04`, `mid`, `double`); `start`..`end` the range of steps, as fractions, in which it acts. `dense`: it is set as
    a difference to the weights (LyCORIS).
    """

    weights: Weights
    family: str = ""
    rank: int = 0
    encoders: tuple[str, ...] = ()
    strength: float = 1.0
    blocks: tuple[tuple[str, float], ...] = ()
    start: float = 0.0
    end: float = 1.0
    dense: bool = False

    @property
    def facts(self) -> Facts:
        """Family, rank."""
        return {**({"family": self.family} if self.family else {}), "rank": self.rank}


@dataclass(frozen=True)
class Adapter:
    """A LoRA in use: its strength (0 restores the base exactly), shares by block, and range of steps (fractions)."""

    lora: Lora
    strength: float = 1.0
    blocks: tuple[tuple[str, float], ...] = ()
    start: float = 0.0
    end: float = 1.0

    @classmethod
    def of(cls, lora: Lora, strength: float) -> Adapter:
        """The LoRA's own strength times the one here, in one number, so that 0.5 × 2 has the key of 1."""
        bare = replace(lora, strength=1.0, blocks=(), start=0.0, end=1.0)
        return cls(bare, lora.strength * strength, lora.blocks, lora.start, lora.end)


@socket(colour="#b48ede", recipe=True)
@dataclass(frozen=True)
class Denoiser:
    """A UNet or DiT, as a recipe: base weights, family, what it predicts, and what is attached to it.

    `prediction` is `epsilon`, `v_prediction`, `sample` or `flow`; `training` the schedule it was trained on (the
    scheduler config's numbers: `beta_schedule`, `beta_start`, `shift`, ...). `config` holds the few numbers of the
    architecture that checks need (`in_channels`, `cross_attention_dim`, `sample_size`).
    """

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
        return {_range(one) for one in things}

    def with_patch(self, patch: Patch) -> Denoiser:
        """The same denoiser with a third party's patch; its frozen fields become part of the key."""
        return replace(self, patches=(*self.patches, patch))

    def build(self, device: str, dtype: str) -> Any:
        """Load the bare module (engine use: nodes lease)."""
        from nodes.families import family_of

        return family_of(self).build_denoiser(self, device, dtype)

    def footprint(self, dtype: str) -> Footprint:
        """Bytes of the weights in `dtype`, from headers (engine use)."""
        from nodes.families.offload import footprint

        return footprint([self.base], dtype)

    def worn_bytes(self, dtype: str) -> int:
        """Bytes that the adapters will take on a live model, from their headers (engine use)."""
        from nodes.families.sources import worn_bytes

        return worn_bytes(self.adapters, False, dtype) if self.adapters else 0

    def sources(self, live: bool = False) -> tuple[Extent, ...]:
        """The bytes of files that a lease reads; of a `live` model only what is attached to it (engine use)."""
        return _sources((self.base,), self.adapters, live)

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
        return _stream(module, device, way)


@socket(colour="#d8c04a", recipe=True)
@dataclass(frozen=True)
class TextEncoder:
    """One or more text encoders with their tokenizers, as one recipe.

    `layout` names what the denoiser must have been trained with (`clip-l:128`, `clip-l+clip-g+t5`); `length` is the
    tokenizer's length, `clip_skip` counts from the last layer (1 = last), `config` holds widths that absent encoders
    would have had.
    """

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
        return _sources(self.parts, self.adapters, live)

    def attach(self, module: Any) -> Callable[[], None]:
        """Set adapters to this recipe (engine use)."""
        from nodes.families import family_of

        return family_of(self).attach_text(self, module)

    def stream(self, module: Any, device: str, way: str) -> Callable[[], None]:
        """Let the weights come from the host in parts (engine use)."""
        return _stream(module, device, way)


@socket(colour="#d2605c", recipe=True)
@dataclass(frozen=True)
class VAE:
    """The autoencoder between pictures and latents. `latent = (encode(x) - shift) * scale`, once.

    `width` is how many channels its widest map at the picture's full size has: what its activations cost.
    """

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
        return _sources((self.base,), (), live)

    def attach(self, module: Any) -> Callable[[], None]:
        """Nothing is ever attached to a VAE."""
        return _nothing


@dataclass(frozen=True)
class Framing:
    """What SDXL is told of a picture's size (Podell et al. 2023, section 2.2), in pixels; None: the size it will have.

    `original` is (width, height) of the picture as if found, `crop` the (x, y) where it was cut, `target` (width,
    height) after it; `score` is how beautiful it is said to be, from 0 to 10, which only the refiner reads.
    """

    original: tuple[int, int] | None = None
    crop: tuple[int, int] = (0, 0)
    target: tuple[int, int] | None = None
    score: float = 6.0


@dataclass(frozen=True)
class Entry:
    """One prompt's part of a conditioning.

    `embedding` float [1, tokens, width], `pooled` float [1, width] or None; `weight` scales its share where several
    entries act at once; `area` is (x, y, width, height) as fractions of the picture, or in `pixels`; `start`..`end` the
    range of steps, as fractions of the schedule, in which it acts; `framing` what the model is told of the picture's
    size.
    """

    embedding: Tensor
    pooled: Tensor | None = None
    mask: Mask | None = None
    weight: float = 1.0
    area: tuple[float, float, float, float] | None = None
    start: float = 0.0
    end: float = 1.0
    framing: Framing = Framing()
    pixels: bool = False


@socket(colour="#e2934a", recipe=True)
@dataclass(frozen=True)
class Conditioning:
    """What the picture should be: entries, and the encoder layout they were made with."""

    entries: tuple[Entry, ...]
    layout: str = ""
    text: str = field(default="", compare=False)
    zeroed: bool = field(default=False, compare=False)  # zeros in place of an embedding, for lints

    @property
    def facts(self) -> Facts:
        """Text layout, and whether it is zeros."""
        return {**({"text_layout": self.layout} if self.layout else {}), **({"zeroed": True} if self.zeroed else {})}

    @classmethod
    def outline(cls, ref: Ref) -> Conditioning:
        """The conditioning that an encoder will give: one entry, its tensors not there yet."""
        entry = Entry(ref.part("entries", 0, "embedding"), ref.part("entries", 0, "pooled"))
        return cls((entry,), ref.facts.get("text_layout", ""), zeroed=ref.facts.get("zeroed", False))


@socket(colour="#7fb35a", recipe=True)
@dataclass(frozen=True)
class Schedule:
    """How the noise goes: a sampler, a spacing of its steps, how many, and from which strength.

    `sampler` and `spacing` are the field's names (`dpmpp_2m`, `karras`); `denoise` < 1 starts part of the way.
    `policy` says what steps mean then: `all` runs `steps` steps over the last part (as node editors do), `scaled` runs
    `steps * denoise` of them (as diffusers does). Of the steps that are left only `start`..`stop` are run, counted
    from 0, `stop` not included (None: to the end). `sigmas`, falling, replace the spacing: one more than steps.
    """

    sampler: str
    spacing: str
    steps: int
    denoise: float = 1.0
    policy: str = "all"
    eta: float | None = None
    options: tuple[tuple[str, Any], ...] = ()
    start: int = 0
    stop: int | None = None
    sigmas: tuple[float, ...] = ()


@dataclass(frozen=True)
class Perturbation:
    """One more prediction, of the model made worse, from which guidance moves away by `scale`.

    `kind` is `attention` (PAG), `energy` (SEG, with its `blur`) or `layers` (SLG); `layers` the transformer blocks that
    are changed, none for those in the middle; `start`..`stop` the range of steps as fractions.
    """

    kind: str
    scale: float
    layers: tuple[int, ...] = ()
    start: float = 0.0
    stop: float = 1.0
    blur: float = 0.0


@socket(colour="#5aa7a7", recipe=True)
@dataclass(frozen=True)
class Guidance:
    """How prompt and negative prompt are combined. `scale` 1 needs one forward per step.

    `start`..`stop` is the range of steps (fractions) in which it acts, `rescale` the share of CFG rescaling
    (Lin et al. 2023), `mode` whether both predictions share a forward (`batched`) or not (`sequential`): they differ by
    rounding, so it is part of the key. `kind` is `cfg`, or `embedded` for models that take the scale as an input
    (`options` has it then), or `cfg_zero`, `apg`, `tcfg`, which differ in how the two become one. `perturbations` are
    what it moves away from beside the unconditional prediction.
    """

    scale: float = 7.0
    rescale: float = 0.0
    start: float = 0.0
    stop: float = 1.0
    mode: str = "batched"
    kind: str = "cfg"
    options: tuple[tuple[str, Any], ...] = ()
    perturbations: tuple[Perturbation, ...] = ()


@socket(colour="#9a9aa5", recipe=True)
@dataclass(frozen=True)
class Noise:
    """Where the noise comes from: item i of a batch from `seed + i`, unless `single_stream`; `off` adds none."""

    seed: int
    single_stream: bool = False
    off: bool = False


@socket(colour="#5fb87f", recipe=True)
@dataclass(frozen=True)
class ControlNet:
    """A ControlNet's weights and the family it steers."""

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
        return _sources((self.base,), (), live)

    def attach(self, module: Any) -> Callable[[], None]:
        """Nothing is ever attached to a ControlNet."""
        return _nothing

    def stream(self, module: Any, device: str, way: str) -> Callable[[], None]:
        """Let the weights come from the host in parts (engine use)."""
        return _stream(module, device, way)


@socket(colour="#6fa3c8", recipe=True)
@dataclass(frozen=True)
class Upscaler:
    """A network that makes pictures larger: its weights, its architecture, how many times (0: not known yet).

    `config` holds what its architecture was built with (`features`, `blocks`), read from the shapes of its tensors.
    """

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
        return _sources((self.base,), (), live)

    def attach(self, module: Any) -> Callable[[], None]:
        """Nothing is ever attached to an upscaler."""
        return _nothing


@dataclass(frozen=True)
class ControlItem:
    """One ControlNet in use: its hint picture, strength and range of steps (fractions).

    `vae` for nets that read the hint as latents (those of DiTs); `mode` what the hint shows, for nets that were trained
    on several kinds (-1: on one); `guess`: it steers the positive side alone, its coarse layers most.
    """

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

    items: tuple[ControlItem, ...]

    @cached_property
    def facts(self) -> Facts:
        """Family of the first net."""
        return self.items[0].net.facts if self.items else NO_FACTS


@dataclass(frozen=True)
class ImageEncoder:
    """A CLIP image encoder; `size` is the side of the pictures it sees, in pixels."""

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
        return _sources((self.base,), (), live)

    def attach(self, module: Any) -> Callable[[], None]:
        """Nothing is ever attached to an image encoder."""
        return _nothing


@socket(colour="#c9965a", recipe=True)
@dataclass(frozen=True)
class IPAdapter:
    """An IP-Adapter's weights, the image encoder it was trained with, and the family it was made for.

    `plus`: it reads the encoder's patches (the hidden states before the last layer), not the one embedding.
    """

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

    embeds: Tensor
    negative: Tensor

    @classmethod
    def outline(cls, ref: Ref) -> ImagePrompt:
        """The prompt that an encoder will give, its tensors not there yet."""
        return cls(ref.part("embeds"), ref.part("negative"))


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


def has_range(thing: Any) -> bool:
    """Does an adapter or a patch act in a part of the steps only?"""
    return bool(getattr(thing, "ranged", False)) or _range(thing) != (0.0, 1.0)


def patches_acting(patches: tuple[Any, ...], acts: Callable[[float, float], bool]) -> tuple[Any, ...]:
    """Those of which `acts` says so of their range, without it; several in one are asked one by one (`acting`)."""
    found: list[Any] = []
    for one in patches:
        if hasattr(one, "acting"):
            left = one.acting(acts)
            found += [] if left is None else [left]
        elif acts(*_range(one)):
            found.append(one if _range(one) == (0.0, 1.0) else replace(one, start=0.0, end=1.0))
    return tuple(found)


def _range(thing: Any) -> tuple[float, float]:
    """The steps in which an adapter or a patch acts, as fractions."""
    return float(getattr(thing, "start", 0.0)), float(getattr(thing, "end", 1.0))


def _nothing() -> None:
    """Undo nothing."""


def _stream(module: Any, device: str, way: str) -> Callable[[], None]:
    from nodes.families.offload import stream

    return stream(module, device, way)


def _sources(weights: tuple[Weights, ...], adapters: tuple[Adapter, ...], live: bool) -> tuple[Extent, ...]:
    from nodes.families.sources import extents, worn

    return (*(() if live else extents(weights)), *worn(adapters))
