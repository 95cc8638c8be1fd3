"""Sd3: Stable Diffusion 3 and 3.5 (Esser et al. 2024): a DiT that predicts the velocity of a rectified flow.

Text comes from CLIP-L, CLIP-G and T5, concatenated as in the paper's figure 2; any of them may be absent, its place is
then filled with zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import fail, refuse
from nodes.families import base, clip, t5
from nodes.families.files import Component, check_shape, component, require
from nodes.prompt.parse import Prompt
from nodes.types import ControlItem, ControlNet, Denoiser, Entry, LatentSpace, TextEncoder, plain

if TYPE_CHECKING:
    import torch

CONFIG = (
    *("in_channels", "out_channels", "joint_attention_dim", "pooled_projection_dim"),
    *("sample_size", "patch_size", "pos_embed_max_size", "num_attention_heads", "attention_head_dim"),
)
TRAINING = {"num_train_timesteps": 1000, "shift": 3.0, "prediction_type": "flow"}
CLIPS = ("text_encoder", "text_encoder_2")
T5 = "text_encoder_3"
T5_LENGTHS = (256, 512)  # tokens: what the model was trained with, and the most it takes


def family_name(width: int) -> str:
    """`sd3`, or `sd3-32` for a model of another text width."""
    return "sd3" if width == 4096 else f"sd3-{width}"


class SD3:
    """Stable Diffusion 3 and 3.5."""

    name = "sd3"
    masks_text = False

    def owns(self, config: Mapping[str, Any]) -> bool:
        """The transformer of that name in diffusers."""
        return config.get("_class_name") == "SD3Transformer2DModel"

    def denoiser(self, found: Component, space: LatentSpace, training: Mapping[str, Any]) -> Denoiser:
        """Checked by three tensors: the patch embedding and both text embeddings."""
        config = found.config
        require(config, found.folder, "in_channels", "joint_attention_dim", "pooled_projection_dim", "patch_size")
        table, width = found.header(), int(config["joint_attention_dim"])
        patch, pooled = config["patch_size"], config["pooled_projection_dim"]
        check_shape(table, "pos_embed.proj.weight", (None, config["in_channels"], patch, patch), found.folder)
        check_shape(table, "context_embedder.weight", (None, width), found.folder)
        check_shape(table, "time_text_embed.text_embedder.linear_1.weight", (None, pooled), found.folder)
        return Denoiser(
            found.weights("transformer"),
            family_name(width),
            space,
            prediction="flow",
            text_layout=f"clip-l+clip-g+t5:{width}",
            training=plain({**TRAINING, **training, "prediction_type": "flow"}),
            config=plain({name: config.get(name) for name in CONFIG}),
        )

    def text_encoder(self, folders: Mapping[str, Path], config: Mapping[str, Any]) -> TextEncoder:
        """Up to two CLIPs and a T5; at least one of them must be there."""
        width, pooled = int(config["joint_attention_dim"]), int(config["pooled_projection_dim"])
        there = [name for name in (*CLIPS, T5) if name in folders]
        if not there:
            raise fail("model.format", "the model has no text encoder", mend="add at least one of its text encoders")
        found = {name: component(folders[name]) for name in there}
        sizes = {name: _sizes(found[name]) for name in there}
        tokenizers = [(folders[f"tokenizer{name.removeprefix('text_encoder')}"], name) for name in there]
        length = min(
            (base.tokenizer_length(folder, sizes[name][1]) for folder, name in tokenizers if name in CLIPS), default=77
        )
        return TextEncoder(
            tuple(found[name].weights(name) for name in there),
            tuple(base.tokenizer_weights(folder, name) for folder, name in tokenizers),
            family_name(width),
            f"clip-l+clip-g+t5:{width}",
            length,
            config=plain({"width": width, "pooled": pooled, **{name: sizes[name][0] for name in there}}),
        )

    def build_denoiser(self, recipe: Denoiser, device: str, dtype: str) -> Any:
        """The bare `SD3Transformer2DModel`."""
        from diffusers import SD3Transformer2DModel

        return base.load(recipe.base, SD3Transformer2DModel.from_config, device, dtype)

    def build_text_encoder(self, recipe: TextEncoder, device: str, dtype: str) -> Any:
        """The encoders that are there."""
        import torch

        encoders: Any = torch.nn.ModuleDict()
        tokenizers = {}
        for part, tokenizer in zip(recipe.parts, recipe.tokenizers, strict=True):
            if part.component == T5:
                encoders[part.component] = t5.build_t5(part, device, dtype)
                tokenizers[part.component] = t5.build_tokenizer(tokenizer)
            else:
                encoders[part.component] = clip.build_clip(part, device, dtype, projection=True)
                tokenizers[part.component] = clip.build_tokenizer(tokenizer)
        encoders.tokenizers = tokenizers
        return encoders

    def build_controlnet(self, recipe: ControlNet, device: str, dtype: str) -> Any:
        """The bare `SD3ControlNetModel`."""
        from diffusers import SD3ControlNetModel

        return base.load(recipe.base, SD3ControlNetModel.from_config, device, dtype)

    def attach(self, recipe: Denoiser, module: Any) -> Callable[[], None]:
        """Set adapters, attention and patches to the recipe."""
        return base.attach(recipe, module)

    def attach_text(self, recipe: TextEncoder, module: Any) -> Callable[[], None]:
        """Set adapters to the recipe."""
        return base.attach_adapters(module, recipe)

    def encode(
        self, encoders: Any, recipe: TextEncoder, text: Prompt, skip: int, check: Callable[[], None]
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """CLIP-L and CLIP-G side by side, padded to T5's width, then T5's tokens; pooled: both CLIPs' projections."""
        import torch

        config = dict(recipe.config)
        states, pooled = [], []
        for name in CLIPS:
            if name not in encoders:  # its share of the pooled width tells how wide it would be
                share = config["pooled"] - sum(config.get(other, 0) for other in CLIPS)
                share = share if any(other in encoders for other in CLIPS) else config["pooled"] // 2
                states.append(torch.zeros(1, recipe.length, share))
                pooled.append(torch.zeros(1, share))
                continue
            encoder, tokenizer = encoders[name], encoders.tokenizers[name]
            layers = encoder.config.num_hidden_layers
            if skip >= layers:
                raise refuse(
                    f"this text encoder has only {layers} layers", socket="clip_skip", mend=f"use 1 to {layers}"
                )
            given = (encoder, tokenizer, text, recipe.length, skip, check)
            hidden, pool = clip.encode_clip(*given, penultimate=True, component=name)
            states.append(hidden)
            pooled.append(pool)
        tokens = max(state.shape[1] for state in states)  # windows: an absent encoder has as many as the other
        like = next((state for name, state in zip(CLIPS, states, strict=True) if name in encoders), states[0])
        wide = torch.cat([clip.longer(state.to(like), tokens) for state in states], dim=-1)  # (1, tokens, L + G)
        wide = torch.nn.functional.pad(wide, (0, config["width"] - wide.shape[-1]))
        check()
        if T5 in encoders:
            words = t5.encode_t5(encoders[T5], encoders.tokenizers[T5], text, T5_LENGTHS).to(like)
        else:
            words = wide.new_zeros(1, T5_LENGTHS[0], config["width"])
        return torch.cat([wide, words], dim=1), torch.cat([pool.to(like) for pool in pooled], dim=-1)

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
        """The transformer's forward: the velocity at t (Esser et al. 2024, eq. 13)."""
        out: torch.Tensor = module(
            hidden_states=x,
            timestep=t.expand(x.shape[0]),
            encoder_hidden_states=text,
            pooled_projections=pooled,
            block_controlnet_hidden_states=residuals,
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
        """Residuals, one for every few blocks, of an SD 3 ControlNet; the hint is in latents [batch, 16, h, w].

        Nets of the kind with `force_zeros_for_pooled_projection` were trained without pooled text.
        """
        blind = net.config.force_zeros_for_pooled_projection
        return net(
            hidden_states=x,
            timestep=t.expand(x.shape[0]),
            encoder_hidden_states=text,
            pooled_projections=pooled.new_zeros(pooled.shape) if blind and pooled is not None else pooled,
            controlnet_cond=hint,
            conditioning_scale=strength,
            return_dict=False,
        )[0]

    def add_residuals(self, first: Any, second: Any) -> Any:
        """Block by block."""
        return [a + b for a, b in zip(first, second, strict=True)]

    def working_bytes(self, recipe: Denoiser, batch: int, height: int, width: int, item: int) -> int:
        """About 40 rows of the model's width are alive for each patch of cells."""
        config = dict(recipe.config)
        width_ = int(config.get("num_attention_heads") or 24) * int(config.get("attention_head_dim") or 64)
        patches = height * width // int(config.get("patch_size") or 2) ** 2
        return batch * patches * width_ * 40 * item


def _sizes(found: Component) -> tuple[int, int]:
    """(width, positions) of a text encoder; T5's positions are relative, so any number."""
    if found.config.get("model_type") == "t5":
        require(found.config, found.folder, "d_model")
        return int(found.config["d_model"]), T5_LENGTHS[-1]
    require(found.config, found.folder, "hidden_size", "projection_dim", "max_position_embeddings")
    return int(found.config["projection_dim"]), int(found.config["max_position_embeddings"])
