"""Ip_adapter: reading an IP-Adapter's file, encoding pictures, and setting it on a live UNet.

Attention processors and projections are diffusers' own; they are taken off again, and what was there before is put
back. The pictures reach the model's forward through a hook, which gives each chunk of the batch its side's: the
positive side the pictures, the negative side an empty one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from engine import places
from engine.errors import fail
from nodes.families.base import SIDES, assemble
from nodes.families.files import Component, Header, component, damaged, read_header
from nodes.families.sd1 import family_name as unet_family
from nodes.families.sdxl import WIDTHS as XL_WIDTHS
from nodes.families.sdxl import family_name as sdxl_family
from nodes.types import Denoiser, Image, ImageEncoder, ImagePrompt, IPAdapter, Mask, Weights

if TYPE_CHECKING:
    import torch

STYLE, LAYOUT = "up_blocks.0.attentions.1", "down_blocks.2.attentions.1"  # of SDXL (Wang et al. 2024)
PARTS = {"style": (STYLE,), "layout": (LAYOUT,), "style and layout": (STYLE, LAYOUT)}


@dataclass(frozen=True)
class IPItem:
    """One adapter in use."""

    adapter: IPAdapter
    prompt: ImagePrompt
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0
    part: str = "all"
    mask: Mask | None = None


@dataclass(frozen=True)
class IPAdapters:
    """A denoiser's patch: all its IP-Adapters, which share the attention's processors."""

    items: tuple[IPItem, ...]
    rowwise: ClassVar[bool] = True

    @property
    def ranged(self) -> bool:
        """Does one act in a part of the steps only?"""
        return any((item.start, item.end) != (0.0, 1.0) for item in self.items)

    def acting(self, acts: Callable[[float, float], bool]) -> IPAdapters | None:
        """Those that act in a step; None when none does."""
        items = tuple(replace(item, start=0.0, end=1.0) for item in self.items if acts(item.start, item.end))
        return IPAdapters(items) if items else None

    def attach(self, module: Any, recipe: Denoiser) -> Callable[[], None]:
        """Set the processors and the hook; returns what puts back what was there."""
        before = dict(module.attn_processors), module.encoder_hid_proj, module.config.encoder_hid_dim_type
        like = next(module.parameters())
        handle: list[Any] = []

        def undo() -> None:
            for hook in handle:
                hook.remove()
            module.encoder_hid_proj = None  # its own processors would be counted as the module's
            module.set_attn_processor(dict(before[0]))
            module.encoder_hid_proj = before[1]
            module.config.encoder_hid_dim_type = before[2]

        try:
            module._load_ip_adapter_weights([_state(item.adapter) for item in self.items])
            module.encoder_hid_proj.to(like.device, like.dtype)
            for name, processor in module.attn_processors.items():
                if hasattr(processor, "to_k_ip"):
                    processor.to(like.device, like.dtype).requires_grad_(False)
                    processor.scale = [_scale(item, name) for item in self.items]
            handle.append(module.register_forward_pre_hook(self._before, with_kwargs=True))
        except BaseException:
            undo()
            raise
        return undo

    def _before(self, module: Any, words: Any, given: dict[str, Any]) -> Any:
        """Give the forward the pictures of each side."""
        import torch

        sides = SIDES.get()
        like: Any = given["sample"] if "sample" in given else words[0]
        each = like.shape[0] // len(sides)
        embeds = []
        for item in self.items:
            rows = [item.prompt.embeds if side else item.prompt.negative for side in sides]
            embeds.append(torch.cat([row.to(like).repeat(each, *[1] * (row.dim() - 1)) for row in rows]))
        added = {**(given.get("added_cond_kwargs") or {}), "image_embeds": embeds}
        more = {"added_cond_kwargs": added}
        if any(item.mask is not None for item in self.items):
            masks = [_mask(item, like) for item in self.items]
            more["cross_attention_kwargs"] = {**(given.get("cross_attention_kwargs") or {}), "ip_adapter_masks": masks}
        return words, {**given, **more}


def _mask(item: IPItem, like: torch.Tensor) -> torch.Tensor:
    """[1, pictures, height, width]: where each picture counts."""
    count = item.prompt.embeds.shape[1]
    if item.mask is None:
        return like.new_ones(1, count, like.shape[-2], like.shape[-1])
    return item.mask.alpha[:1].to(like)[:, None].repeat(1, count, 1, 1)


def _scale(item: IPItem, name: str) -> float:
    """How much it counts in one attention."""
    return item.strength if item.part == "all" or name.startswith(PARTS[item.part]) else 0.0


def _state(adapter: IPAdapter) -> dict[str, dict[str, Any]]:
    """The file's tensors in the two halves that diffusers asks for."""
    from safetensors import SafetensorError, safe_open

    path = Path(adapter.base.path)
    found: dict[str, dict[str, Any]] = {"image_proj": {}, "ip_adapter": {}}
    try:
        with safe_open(str(path), framework="pt") as stream:
            for key in stream.keys():  # noqa: SIM118 - it is no mapping
                half, _, rest = key.partition(".")
                if half in found:
                    found[half][rest] = stream.get_tensor(key)
    except FileNotFoundError:
        raise fail("model.missing", f"{path.name} is gone", mend="put it back, or choose another adapter") from None
    except (OSError, SafetensorError) as error:
        raise fail("model.format", f"{path.name} cannot be read: {error}", mend="download it again") from None
    return found


# --- from files ------------------------------------------------------------------------------------------------------


def read_adapter(path: Path, encoder: Path) -> IPAdapter:
    """The recipe of an adapter's file and its image encoder, from headers alone."""
    if path.suffix.lower() in places.PICKLED:
        raise fail(
            "model.format",
            f"{path.name} is pickled and could run any program when opened",
            mend=f"get its safetensors version, or convert it once: `weft models convert {path}`",
            socket="adapter",
        )
    table = read_header(path)
    keys = table.get("ip_adapter.1.to_k_ip.weight")
    if keys is None or not any(key.startswith("image_proj.") for key in table):
        what = "a FaceID adapter" if "ip_adapter.0.to_q_lora.down.weight" in table else "no IP-Adapter"
        raise fail(
            "model.family",
            f"{path.name} is {what} that is known here",
            mend="use a plain or plus adapter of Stable Diffusion 1.x or XL",
            socket="adapter",
        )
    if "image_proj.norm.weight" in table and "image_proj.proj.0.weight" in table:
        message = f"{path.name} is a FaceID adapter, which reads faces by another recogniser"
        raise fail("model.family", message, mend="use a plus-face adapter", socket="adapter")
    plus, wanted = _reads(table, path)
    width = keys[1][1]
    last = max(int(key.split(".")[1]) for key in table if key.startswith("ip_adapter."))
    # SDXL has 70 cross attentions, SD 1.x 16: every second processor is one.
    family = sdxl_family(width) if width in XL_WIDTHS or last > 2 * 16 else unet_family(width)
    found = image_encoder(encoder)
    have = int(found.config["hidden_size" if plus else "projection_dim"])
    if have != wanted:
        raise fail(
            "facts.mismatch",
            f"the image encoder is {have} wide, the adapter reads {wanted}",
            mend="use the image encoder it was trained with: ViT-H for most, ViT-bigG for SDXL's first",
            socket="encoder",
        )
    weights = Weights(places.file_id(path), "ip_adapter", str(path))
    size = int(found.config.get("image_size") or 224)
    return IPAdapter(weights, ImageEncoder(found.weights("image_encoder"), size), family, plus)


def _reads(table: Header, path: Path) -> tuple[bool, int]:
    """(does it read the hidden states, how wide they are)."""
    for name, plus in (
        ("image_proj.proj.weight", False),  # plain: the projected embedding
        ("image_proj.proj_in.weight", True),  # plus: a resampler over the patches
        ("image_proj.proj.0.weight", True),  # full face: an MLP over the patches
    ):
        if name in table and len(table[name][1]) == 2:
            return plus, table[name][1][1]
    raise damaged(path, "its projection of pictures is of an unknown kind")


def image_encoder(path: Path) -> Component:
    """A CLIP image encoder's folder or single file, how it is built read from its shapes."""
    if path.is_dir():
        found = component(path)
        if "vision" not in str(found.config.get("model_type")):
            message = f"{path.name} is a {found.config.get('model_type') or 'model of unknown kind'}, no image encoder"
            raise fail("model.family", message, mend="choose a CLIP image encoder", socket="encoder")
        return found
    table = read_header(path)
    first = table.get("vision_model.embeddings.patch_embedding.weight")
    projection = table.get("visual_projection.weight")
    rows = table.get("vision_model.embeddings.position_embedding.weight")
    inner = table.get("vision_model.encoder.layers.0.mlp.fc1.weight")
    if first is None or projection is None or rows is None or inner is None:
        message = f"{path.name} is no CLIP image encoder"
        raise fail("model.family", message, mend="choose a file from models/clip_vision", socket="encoder")
    width, _, patch, _ = first[1]
    layers = 1 + max(int(key.split(".")[3]) for key in table if key.startswith("vision_model.encoder.layers."))
    config = {
        "model_type": "clip_vision_model",
        "hidden_size": width,
        "intermediate_size": inner[1][0],
        "num_attention_heads": 16,  # of all published sizes: ViT-L, ViT-H, ViT-bigG
        "num_hidden_layers": layers,
        "hidden_act": "quick_gelu" if width == 1024 else "gelu",
        "projection_dim": projection[1][0],
        "patch_size": patch,
        "image_size": patch * round((rows[1][0] - 1) ** 0.5),
    }
    return File(path, config, (path,), "")


class File(Component):
    """An image encoder in a file."""

    def weights(self, component: str) -> Weights:
        """The recipe's part: the content of the file."""
        return Weights(places.file_id(self.folder), component, str(self.folder))


def build_encoder(recipe: ImageEncoder, device: str, dtype: str) -> Any:
    """`CLIPVisionModelWithProjection`, in float32 on the CPU."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    found = image_encoder(Path(recipe.base.path))

    def make() -> Any:
        config = CLIPVisionConfig(**found.config)
        config._attn_implementation = "sdpa"
        return CLIPVisionModelWithProjection(config)

    def rename(module: Any, state: dict[str, torch.Tensor]) -> None:
        for key in [key for key in state if key.endswith("position_ids")]:
            del state[key]

    return assemble(make, found, device, "float32" if device == "cpu" else dtype, rename)


def encode_pictures(run: Any, adapter: IPAdapter, images: Sequence[Image]) -> ImagePrompt:
    """The pictures through the image encoder: what the adapter reads, and an empty picture's."""
    import torch
    from transformers import CLIPImageProcessor

    size = adapter.encoder.size
    processor = CLIPImageProcessor(size={"shortest_edge": size}, crop_size={"height": size, "width": size})
    pictures = [picture for image in images for picture in image.pil()]
    with torch.no_grad(), run.lease(adapter.encoder) as encoder:
        like = next(encoder.parameters())
        pixels = processor(pictures, return_tensors="pt").pixel_values.to(like)
        if adapter.plus:
            seen = encoder(pixels, output_hidden_states=True).hidden_states[-2]
            empty = encoder(torch.zeros_like(pixels), output_hidden_states=True).hidden_states[-2]
        else:
            seen = encoder(pixels).image_embeds
            empty = torch.zeros_like(seen)
    return ImagePrompt(seen[None].float(), empty[None].float())
