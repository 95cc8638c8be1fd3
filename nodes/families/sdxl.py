"""Sdxl: Stable Diffusion XL and its refiner (Podell et al. 2023): the UNet of SD 1.x, larger and told more.

Text is the hidden states of CLIP-L and CLIP-G side by side, each from the layer before the last. Pooled text of CLIP-G
and the picture's size are added to the timestep. The refiner has CLIP-G alone and is told an aesthetic score where the
base model is told the size that the picture was cut to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import fail, refuse
from nodes.families import base, clip
from nodes.families.files import Component, check_shape, component, require
from nodes.families.sd1 import CONFIG, SD1, TRAINING
from nodes.prompt.parse import Prompt
from nodes.types import Denoiser, Entry, LatentSpace, TextEncoder, plain

if TYPE_CHECKING:
    import torch

WIDTHS = {2048: "sdxl", 1280: "sdxl-refiner"}
CLIPS = ("text_encoder", "text_encoder_2")
BASE_NUMBERS, REFINER_NUMBERS = 6, 5  # how many numbers about sizes they take


def family_name(width: int) -> str:
    """The family of a UNet whose cross attention is `width` wide: `sdxl`, `sdxl-refiner`, or `sdxl-64` for another."""
    return WIDTHS.get(width, f"sdxl-{width}")


def layout(width: int) -> str:
    """The layout of its text: of both CLIPs, or of the refiner's one."""
    return f"clip-g:{width}" if family_name(width) == "sdxl-refiner" else f"clip-l+clip-g:{width}"


class SDXL(SD1):
    """Stable Diffusion XL and its refiner."""

    name = "sdxl"

    def owns(self, config: Mapping[str, Any]) -> bool:
        """A conditional UNet that adds pooled text and sizes to the timestep."""
        return config.get("_class_name") == "UNet2DConditionModel" and config.get("addition_embed_type") == "text_time"

    def denoiser(self, found: Component, space: LatentSpace, training: Mapping[str, Any]) -> Denoiser:
        """Checked by five tensors: those of SD 1.x, and the embedding of what is added."""
        config = found.config
        require(config, found.folder, "in_channels", "out_channels", "cross_attention_dim")
        require(config, found.folder, "projection_class_embeddings_input_dim", "addition_time_embed_dim")
        table, width = found.header(), int(config["cross_attention_dim"])
        check_shape(table, "conv_in.weight", (None, config["in_channels"], None, None), found.folder)
        check_shape(table, "conv_out.weight", (config["out_channels"], None, None, None), found.folder)
        key = next((name for name in table if name.endswith("attn2.to_k.weight")), "attn2.to_k.weight")
        check_shape(table, key, (None, width), found.folder)
        added = config["projection_class_embeddings_input_dim"]
        check_shape(table, "add_embedding.linear_1.weight", (None, added), found.folder)
        numbers = {**TRAINING, **training}
        return Denoiser(
            found.weights("unet"),
            family_name(width),
            space,
            prediction=str(numbers["prediction_type"]),
            text_layout=layout(width),
            training=plain(numbers),
            config=plain({name: config.get(name) for name in CONFIG}),
            distilled_guidance=config.get("time_cond_proj_dim") is not None,
        )

    def text_encoder(self, folders: Mapping[str, Path], config: Mapping[str, Any]) -> TextEncoder:
        """CLIP-L and CLIP-G, or for a refiner CLIP-G alone, whose widths together are the cross attention's."""
        width = int(config["cross_attention_dim"])
        there = [name for name in CLIPS if name in folders]
        if CLIPS[1] not in there:
            raise fail(
                "model.format",
                "the model lacks text_encoder_2, which makes the pooled text that SDXL needs",
                mend="use a whole model folder as diffusers saves it",
            )
        found = {name: component(folders[name]) for name in there}
        for name, one in found.items():
            require(one.config, one.folder, "hidden_size", "max_position_embeddings", "vocab_size")
            own = int(one.config["hidden_size"])
            prefix = "text_model." if "text_model.final_layer_norm.weight" in one.header() else ""
            vocabulary = (one.config["vocab_size"], own)
            check_shape(one.header(), f"{prefix}embeddings.token_embedding.weight", vocabulary, one.folder)
            if name == CLIPS[1]:
                require(one.config, one.folder, "projection_dim")
                check_shape(
                    one.header(), "text_projection.weight", (int(one.config["projection_dim"]), own), one.folder
                )
        wide = sum(int(one.config["hidden_size"]) for one in found.values())
        if wide != width:
            raise fail(
                "facts.mismatch",
                f"the text encoders are {wide} wide together, the model's cross attention is {width}",
                mend="use the text encoders that came with the model",
                socket="model",
            )
        tokenizers = [(folders[f"tokenizer{name.removeprefix('text_encoder')}"], name) for name in there]
        return TextEncoder(
            tuple(found[name].weights(name) for name in there),
            tuple(base.tokenizer_weights(folder, name) for folder, name in tokenizers),
            family_name(width),
            layout(width),
            min(
                base.tokenizer_length(folder, int(found[name].config["max_position_embeddings"]))
                for folder, name in tokenizers
            ),
        )

    def build_text_encoder(self, recipe: TextEncoder, device: str, dtype: str) -> Any:
        """The encoders that are there."""
        import torch

        encoders: Any = torch.nn.ModuleDict(
            {
                part.component: clip.build_clip(part, device, dtype, projection=part.component == CLIPS[1])
                for part in recipe.parts
            }
        )
        encoders.tokenizers = {
            part.component: clip.build_tokenizer(tokenizer)
            for part, tokenizer in zip(recipe.parts, recipe.tokenizers, strict=True)
        }
        return encoders

    def encode(
        self, encoders: Any, recipe: TextEncoder, text: Prompt, skip: int, check: Callable[[], None]
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The layer before the last of each CLIP side by side [1, tokens, L + G]; pooled: CLIP-G's projection."""
        import torch

        states, pooled = [], None
        for name, encoder in encoders.items():
            layers = encoder.config.num_hidden_layers
            if skip >= layers:
                raise refuse(
                    f"this text encoder has only {layers} layers", socket="clip_skip", mend=f"use 1 to {layers}"
                )
            tokenizer = encoders.tokenizers[name]
            given = (encoder, tokenizer, text, recipe.length, skip, check)
            hidden, pool = clip.encode_clip(*given, penultimate=True, component=name)
            states.append(hidden)
            pooled = pool if name == CLIPS[1] else pooled
        tokens = max(state.shape[1] for state in states)  # windows: two tokenizers may cut a long text differently
        return torch.cat([clip.longer(state, tokens) for state in states], dim=-1), pooled

    def sizes(self, module: Any, entry: Entry, width: int, height: int) -> tuple[float, ...]:
        """Height before width: original size, where it was cut, and target size, or for a refiner the score."""
        if entry.pooled is None:
            raise refuse(
                "the prompt has no pooled text", socket="positive", mend="encode it with the model's own text encoder"
            )
        framing, config = entry.framing, module.config
        room = int(config.projection_class_embeddings_input_dim) - entry.pooled.shape[-1]
        numbers = room // int(config.addition_time_embed_dim)
        original, target = framing.original or (width, height), framing.target or (width, height)
        first = (*original[::-1], *framing.crop[::-1])
        told = (*first, *target[::-1]) if numbers == BASE_NUMBERS else (*first, framing.score)
        if len(told) != numbers:
            raise fail(
                "model.format",
                f"the model has room for {numbers} numbers about sizes, SDXL has {BASE_NUMBERS} or {REFINER_NUMBERS}",
                mend="use the text encoder and the weights of one and the same model",
            )
        return tuple(float(number) for number in told)
