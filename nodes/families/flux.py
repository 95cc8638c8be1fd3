"""Flux: Flux.1 dev and schnell (Black Forest Labs 2024): a DiT that predicts the velocity of a rectified flow.

It sees latents in patches of 2 x 2 cells, text as T5's tokens, and CLIP-L's pooled text beside the timestep. Guidance
was distilled into dev, which takes its scale as an input; schnell has none and needs 1 to 4 steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import fail
from nodes.families import base, clip, t5
from nodes.families.files import Component, check_shape, component, require
from nodes.prompt.parse import Prompt
from nodes.types import ControlItem, ControlNet, Denoiser, Entry, LatentSpace, TextEncoder, plain

if TYPE_CHECKING:
    import torch

PATCH = 2  # cells
SHAPE = ("joint_attention_dim", "pooled_projection_dim", "num_attention_heads", "attention_head_dim")
GUIDANCE = 3.5  # what dev is told unless guidance.embedded says otherwise, as its makers do
TRAINING = {
    "num_train_timesteps": 1000,
    "shift": 3.0,
    "use_dynamic_shifting": True,
    "base_shift": 0.5,
    "max_shift": 1.15,
    "base_image_seq_len": 256,
    "max_image_seq_len": 4096,
}
SCHNELL = {"num_train_timesteps": 1000, "shift": 1.0, "use_dynamic_shifting": False}
CLIP, T5 = "text_encoder", "text_encoder_2"
TOKENS = {True: 512, False: 256}  # of T5, by whether guidance was distilled into it: both were trained at one length


def family_name(width: int) -> str:
    """`flux`, or `flux-32` for a model of another text width."""
    return "flux" if width == 4096 else f"flux-{width}"


class Flux:
    """Flux.1 dev and schnell."""

    name = "flux"
    masks_text = False

    def owns(self, config: Mapping[str, Any]) -> bool:
        """The transformer of that name in diffusers."""
        return config.get("_class_name") == "FluxTransformer2DModel"

    def denoiser(self, found: Component, space: LatentSpace, training: Mapping[str, Any]) -> Denoiser:
        """Checked by three tensors: the patches', the text's and the pooled text's embedding."""
        config = found.config
        require(config, found.folder, "in_channels", *SHAPE)
        table, width = found.header(), int(config["joint_attention_dim"])
        check_shape(table, "x_embedder.weight", (None, config["in_channels"]), found.folder)
        check_shape(table, "context_embedder.weight", (None, width), found.folder)
        pooled = config["pooled_projection_dim"]
        check_shape(table, "time_text_embed.text_embedder.linear_1.weight", (None, pooled), found.folder)
        told = bool(config.get("guidance_embeds"))
        shape = {name: config[name] for name in SHAPE}
        return Denoiser(
            found.weights("transformer"),
            family_name(width),
            space,
            prediction="flow",
            text_layout=f"clip-l+t5:{width}",
            training=plain({**(TRAINING if told else SCHNELL), **training, "prediction_type": "flow"}),
            config=plain(
                {
                    **shape,
                    "in_channels": int(config["in_channels"]) // PATCH**2,
                    "patch_size": PATCH,
                    "guidance": GUIDANCE if told else None,
                }
            ),
            distilled_guidance=True,
        )

    def text_encoder(self, folders: Mapping[str, Path], config: Mapping[str, Any]) -> TextEncoder:
        """CLIP-L for the pooled text and T5 for the tokens; both are needed."""
        lost = [name for name in (CLIP, T5) if name not in folders]
        if lost:
            raise fail(
                "model.format",
                f"the model lacks {lost[0]}: Flux needs CLIP and T5 both",
                mend="use a whole model folder as diffusers saves it",
            )
        found = {name: component(folders[name]) for name in (CLIP, T5)}
        require(found[CLIP].config, found[CLIP].folder, "hidden_size", "max_position_embeddings")
        require(found[T5].config, found[T5].folder, "d_model")
        for name, key, wanted in ((CLIP, "hidden_size", "pooled_projection_dim"), (T5, "d_model", SHAPE[0])):
            if int(found[name].config[key]) != int(config[wanted]):
                raise fail(
                    "facts.mismatch",
                    f"{name} is {found[name].config[key]} wide, the model takes {config[wanted]}",
                    mend="use the text encoders that came with the model",
                    socket="model",
                )
        width = int(config["joint_attention_dim"])
        tokenizers = {name: folders[f"tokenizer{name.removeprefix('text_encoder')}"] for name in found}
        return TextEncoder(
            tuple(one.weights(name) for name, one in found.items()),
            tuple(base.tokenizer_weights(folder, name) for name, folder in tokenizers.items()),
            family_name(width),
            f"clip-l+t5:{width}",
            base.tokenizer_length(tokenizers[CLIP], int(found[CLIP].config["max_position_embeddings"])),
            config=plain({"tokens": TOKENS[bool(config.get("guidance_embeds"))]}),
        )

    def build_denoiser(self, recipe: Denoiser, device: str, dtype: str) -> Any:
        """The bare `FluxTransformer2DModel`."""
        from diffusers import FluxTransformer2DModel

        return base.load(recipe.base, FluxTransformer2DModel.from_config, device, dtype)

    def build_text_encoder(self, recipe: TextEncoder, device: str, dtype: str) -> Any:
        """CLIP and T5."""
        import torch

        parts, tokenizers = recipe.parts, recipe.tokenizers
        made = {CLIP: clip.build_clip(parts[0], device, dtype, projection=False)}
        encoders: Any = torch.nn.ModuleDict({**made, T5: t5.build_t5(parts[1], device, dtype)})
        encoders.tokenizers = {CLIP: clip.build_tokenizer(tokenizers[0]), T5: t5.build_tokenizer(tokenizers[1])}
        return encoders

    def build_controlnet(self, recipe: ControlNet, device: str, dtype: str) -> Any:
        """The bare `FluxControlNetModel`."""
        from diffusers import FluxControlNetModel

        return base.load(recipe.base, FluxControlNetModel.from_config, device, dtype)

    def attach(self, recipe: Denoiser, module: Any) -> Callable[[], None]:
        """Set adapters, attention and patches to the recipe."""
        return base.attach(recipe, module)

    def attach_text(self, recipe: TextEncoder, module: Any) -> Callable[[], None]:
        """Set adapters to the recipe."""
        return base.attach_adapters(module, recipe)

    def encode(
        self, encoders: Any, recipe: TextEncoder, text: Prompt, skip: int, check: Callable[[], None]
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """T5's tokens [1, 512 or 256, width]; pooled: CLIP's end of text in the first window [1, width].

        Flux takes no hidden layer of CLIP, so clip skip has no meaning.
        """
        import torch

        window = clip.windows(encoders[CLIP], encoders.tokenizers[CLIP], text, recipe.length)[0]
        check()
        with clip.standing_in(encoders[CLIP], window.rows):
            pooled = encoders[CLIP](torch.tensor([window.ids], device=encoders[CLIP].device)).pooler_output
        check()
        hidden = t5.encode_t5(encoders[T5], encoders.tokenizers[T5], text, (dict(recipe.config)["tokens"],))
        return hidden, pooled.to(hidden)

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
        """The transformer's forward on packed latents: the velocity at t, which it takes from 0 to 1."""
        import torch

        batch, _, height, width = x.shape
        told = module.config.guidance_embeds
        double, single, repeat = residuals if residuals is not None else (None, None, False)
        out: torch.Tensor = module(
            hidden_states=pack(x),
            timestep=t.expand(batch).to(x.dtype) / 1000,
            guidance=torch.full([1], scale, device=x.device, dtype=torch.float32).expand(batch) if told else None,
            pooled_projections=pooled,
            encoder_hidden_states=text,
            txt_ids=torch.zeros(text.shape[1], 3, device=x.device),
            img_ids=places(height // PATCH, width // PATCH).to(x.device),
            controlnet_block_samples=double,
            controlnet_single_block_samples=single,
            controlnet_blocks_repeat=repeat,
            return_dict=False,
        )[0]
        return unpack(out, height, width)

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
        """Residuals for the double and the single blocks; the hint is latents, or pixels for nets that embed them.

        The last says whether they repeat over the blocks, one after the other, or share them out in runs.
        """
        import torch

        batch, _, height, width = x.shape
        told = net.config.guidance_embeds
        embeds = net.input_hint_block is not None
        modes = None
        if item is not None and item.mode >= 0:
            modes = torch.full((batch, 1), item.mode, device=x.device, dtype=torch.long)
        double, single = net(
            hidden_states=pack(x),
            controlnet_cond=hint * 2 - 1 if embeds else pack(hint),
            controlnet_mode=modes,
            conditioning_scale=strength,
            timestep=t.expand(batch).to(x.dtype) / 1000,
            guidance=torch.full([1], self.scale(item), device=x.device).expand(batch) if told else None,
            pooled_projections=pooled,
            encoder_hidden_states=text,
            txt_ids=torch.zeros(text.shape[1], 3, device=x.device),
            img_ids=places(height // PATCH, width // PATCH).to(x.device),
            return_dict=False,
        )
        return double, single, embeds

    @staticmethod
    def scale(item: ControlItem | None) -> float:
        """The guidance that a net is told which takes it as an input: what the model is told by default."""
        return GUIDANCE

    def add_residuals(self, first: Any, second: Any) -> Any:
        """Block by block."""
        double, single = (
            mine if other is None else other if mine is None else [a + b for a, b in zip(mine, other, strict=True)]
            for mine, other in zip(first[:2], second[:2], strict=True)
        )
        return double, single, first[2]

    def working_bytes(self, recipe: Denoiser, batch: int, height: int, width: int, item: int) -> int:
        """About 40 rows of the model's width are alive for each patch of cells, and for each token of text."""
        config = dict(recipe.config)
        rows = height * width // PATCH**2 + TOKENS[config["guidance"] is not None]
        return batch * rows * int(config["num_attention_heads"]) * int(config["attention_head_dim"]) * 40 * item


def pack(x: torch.Tensor) -> torch.Tensor:
    """Latents [batch, channel, h, w] as patches [batch, h/2 * w/2, channel * 4]."""
    batch, channels, height, width = x.shape
    x = x.reshape(batch, channels, height // PATCH, PATCH, width // PATCH, PATCH).permute(0, 2, 4, 1, 3, 5)
    return x.reshape(batch, (height // PATCH) * (width // PATCH), channels * PATCH**2)


def unpack(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Patches as latents of `height` x `width` cells: what undoes `pack`."""
    batch, _, channels = x.shape
    x = x.view(batch, height // PATCH, width // PATCH, channels // PATCH**2, PATCH, PATCH).permute(0, 3, 1, 4, 2, 5)
    return x.reshape(batch, channels // PATCH**2, height, width)


def places(rows: int, columns: int) -> torch.Tensor:
    """Where each patch lies [rows * columns, 3]: a number that pictures do not use, its row, its column."""
    import torch

    found = torch.zeros(rows, columns, 3)
    found[..., 1] = torch.arange(rows)[:, None]
    found[..., 2] = torch.arange(columns)[None, :]
    return found.reshape(rows * columns, 3)
