"""Sd1: Stable Diffusion 1.x and 2.x, and small models of the same build (Rombach et al. 2022).

A UNet with cross attention to the hidden states of one CLIP text encoder, in the latent space of an autoencoder. The
family's name says how wide the cross attention is, because that is what adapters and ControlNets have to fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import fail, refuse
from nodes.families import base, clip
from nodes.families.files import Component, check_shape, component, require
from nodes.prompt.parse import Prompt
from nodes.types import ControlItem, ControlNet, Denoiser, Entry, LatentSpace, TextEncoder, plain

if TYPE_CHECKING:
    import torch

WIDTHS = {768: "sd1", 1024: "sd2"}
CONFIG = (
    *("in_channels", "out_channels", "cross_attention_dim", "sample_size", "time_cond_proj_dim"),
    "block_out_channels",
)
# What stabilityai's and runwayml's first models were trained with; used when a folder has no scheduler.
TRAINING = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "epsilon",
    "steps_offset": 1,
    "set_alpha_to_one": False,
    "clip_sample": False,
}


def family_name(width: int) -> str:
    """The family of a UNet whose cross attention is `width` wide: `sd1`, `sd2`, or `sd1-128` for another width."""
    return WIDTHS.get(width, f"sd1-{width}")


class SD1:
    """Stable Diffusion 1.x and 2.x."""

    name = "sd1"
    masks_text = True

    def owns(self, config: Mapping[str, Any]) -> bool:
        """A conditional UNet without SDXL's extra embeddings."""
        return config.get("_class_name") == "UNet2DConditionModel" and config.get("addition_embed_type") is None

    def denoiser(self, found: Component, space: LatentSpace, training: Mapping[str, Any]) -> Denoiser:
        """Checked by four tensors: the first and last convolution, and one cross attention."""
        config = found.config
        require(config, found.folder, "in_channels", "out_channels", "cross_attention_dim")
        table, width = found.header(), int(config["cross_attention_dim"])
        check_shape(table, "conv_in.weight", (None, config["in_channels"], None, None), found.folder)
        check_shape(table, "conv_out.weight", (config["out_channels"], None, None, None), found.folder)
        key = next((name for name in table if name.endswith("attn2.to_k.weight")), "attn2.to_k.weight")
        check_shape(table, key, (None, width), found.folder)
        numbers = {**TRAINING, **training}
        return Denoiser(
            found.weights("unet"),
            family_name(width),
            space,
            prediction=str(numbers["prediction_type"]),
            text_layout=f"clip:{width}",
            training=plain(numbers),
            config=plain({name: config.get(name) for name in CONFIG}),
            distilled_guidance=config.get("time_cond_proj_dim") is not None,
        )

    def text_encoder(self, folders: Mapping[str, Path], config: Mapping[str, Any]) -> TextEncoder:
        """One CLIP text encoder and its tokenizer."""
        found = component(folders["text_encoder"])
        require(found.config, found.folder, "hidden_size", "max_position_embeddings", "vocab_size")
        own = int(found.config["hidden_size"])
        prefix = "text_model." if "text_model.final_layer_norm.weight" in found.header() else ""
        vocabulary = (found.config["vocab_size"], own)
        check_shape(found.header(), f"{prefix}embeddings.token_embedding.weight", vocabulary, found.folder)
        tokenizer = folders["tokenizer"]
        return TextEncoder(
            (found.weights("text_encoder"),),
            (base.tokenizer_weights(tokenizer, "tokenizer"),),
            family_name(own),
            f"clip:{own}",
            base.tokenizer_length(tokenizer, int(found.config["max_position_embeddings"])),
        )

    def build_denoiser(self, recipe: Denoiser, device: str, dtype: str) -> Any:
        """The bare `UNet2DConditionModel`."""
        from diffusers import UNet2DConditionModel

        return base.load(recipe.base, UNet2DConditionModel.from_config, device, dtype)

    def build_text_encoder(self, recipe: TextEncoder, device: str, dtype: str) -> Any:
        """One `CLIPTextModel`."""
        import torch

        encoder = clip.build_clip(recipe.parts[0], device, dtype, projection=False)
        encoders: Any = torch.nn.ModuleDict({"text_encoder": encoder})
        encoders.tokenizers = {"text_encoder": clip.build_tokenizer(recipe.tokenizers[0])}
        return encoders

    def build_controlnet(self, recipe: ControlNet, device: str, dtype: str) -> Any:
        """The bare `ControlNetModel`, one for several kinds of hint (`ControlNetUnionModel`), or `T2IAdapter`."""
        import diffusers

        cls = getattr(diffusers, str(dict(recipe.config).get("_class_name") or "ControlNetModel"))
        return base.load(recipe.base, cls.from_config, device, dtype)

    def attach(self, recipe: Denoiser, module: Any) -> Callable[[], None]:
        """Set adapters, attention and patches to the recipe."""
        return base.attach(recipe, module)

    def attach_text(self, recipe: TextEncoder, module: Any) -> Callable[[], None]:
        """Set adapters to the recipe."""
        return base.attach_adapters(module, recipe)

    def encode(
        self, encoders: Any, recipe: TextEncoder, text: Prompt, skip: int, check: Callable[[], None]
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The hidden states of CLIP's last layer, or of an earlier one normalised as the last one is."""
        encoder = encoders["text_encoder"]
        if skip >= encoder.config.num_hidden_layers:
            layers = encoder.config.num_hidden_layers
            raise refuse(f"this text encoder has only {layers} layers", socket="clip_skip", mend=f"use 1 to {layers}")
        tokenizer = encoders.tokenizers["text_encoder"]
        return clip.encode_clip(encoder, tokenizer, text, recipe.length, skip, check)[0], None

    def predict(
        self,
        module: Any,
        x: torch.Tensor,
        t: torch.Tensor,
        text: torch.Tensor,
        pooled: torch.Tensor | None,
        residuals: Any = None,
        scale: float = 1.0,
        sizes: torch.Tensor | None = None,
        seen: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The UNet's forward, ControlNet residuals added to its skips and middle."""
        down, mid, inner = residuals if residuals is not None else (None, None, None)
        width = module.config.time_cond_proj_dim
        out: torch.Tensor = module(
            x,
            t,
            encoder_hidden_states=text,
            encoder_attention_mask=seen,
            timestep_cond=None if width is None else _scale_embedding(scale, width).repeat(x.shape[0], 1).to(x),
            added_cond_kwargs=_added(pooled, sizes),
            down_block_additional_residuals=down,
            mid_block_additional_residual=mid,
            # The UNet takes them off the list as it goes.
            down_intrablock_additional_residuals=None if inner is None else list(inner),
            return_dict=False,
        )[0]
        return out

    def sizes(self, module: Any, entry: Entry, width: int, height: int) -> tuple[float, ...]:
        """It is told nothing of sizes."""
        return ()

    def control(
        self,
        net: Any,
        x: torch.Tensor,
        t: torch.Tensor,
        text: torch.Tensor,
        pooled: torch.Tensor | None,
        hint: torch.Tensor,
        strength: float,
        sizes: torch.Tensor | None = None,
        item: ControlItem | None = None,
    ) -> Any:
        """Residuals (twelve or so for the skips, one for the middle) of a ControlNet (Zhang et al. 2023, eq. 4).

        Of a T2I-Adapter the four for the downward blocks, which depend on the hint alone.
        """
        import torch

        if hasattr(net, "adapter"):
            seen = hint[:, :1] if net.config.in_channels == 1 else hint
            states = [state * strength for state in net(seen)]
            return None, None, [torch.cat([state] * (x.shape[0] // state.shape[0])) for state in states]
        given: dict[str, Any] = {
            "encoder_hidden_states": text,
            "conditioning_scale": strength,
            "added_cond_kwargs": _added(pooled, sizes),
            "guess_mode": item is not None and item.guess,
            "return_dict": False,
        }
        kinds = getattr(net.config, "num_control_type", None)
        if kinds is None or item is None:
            return (*net(x, t, controlnet_cond=hint, **given), None)
        kind = torch.zeros(x.shape[0], kinds, device=x.device, dtype=x.dtype)
        kind[:, item.mode] = 1
        return (*net(x, t, controlnet_cond=[hint], control_type=kind, control_type_idx=[item.mode], **given), None)

    def add_residuals(self, first: Any, second: Any) -> Any:
        """Skip by skip, the middle, and what T2I-Adapters add inside the blocks."""
        down, mid, inner = (_both(a, b) for a, b in zip(first, second, strict=True))
        return down, mid, inner

    def working_bytes(self, recipe: Denoiser, batch: int, height: int, width: int, item: int) -> int:
        """About 60 maps of the first block's channels are alive at the top resolution, attention included."""
        blocks = dict(recipe.config).get("block_out_channels") or (320,)
        return batch * height * width * int(blocks[0]) * 60 * item


def _both(first: Any, second: Any) -> Any:
    """The sum of two nets' residuals, where both have some."""
    if first is None or second is None:
        return second if first is None else first
    if isinstance(first, list | tuple):
        return [a + b for a, b in zip(first, second, strict=True)]
    return first + second


def _added(pooled: torch.Tensor | None, sizes: torch.Tensor | None) -> dict[str, torch.Tensor] | None:
    """What SDXL's UNets and ControlNets add to the timestep: pooled text and the sizes, as diffusers names them."""
    return None if sizes is None or pooled is None else {"text_embeds": pooled, "time_ids": sizes}


def _scale_embedding(scale: float, width: int) -> torch.Tensor:
    """The guidance scale as sinusoids [1, width], for UNets it was distilled into (Meng et al. 2022, section 3.1)."""
    import torch
    from diffusers import StableDiffusionPipeline

    w = torch.tensor([scale - 1.0])
    found: torch.Tensor = StableDiffusionPipeline.get_guidance_scale_embedding(None, w, width)
    return found


def unknown(config: Mapping[str, Any]) -> Exception:
    """The error for a denoiser of no family here."""
    kind = config.get("_class_name") or config.get("model_type") or "without a class name"
    return fail(
        "model.family",
        f"no family here knows a denoiser of the kind {kind}",
        mend="Stable Diffusion 1.x, 2.x, XL, 3 and Flux work today; docs/families.md says how to add one",
    )
