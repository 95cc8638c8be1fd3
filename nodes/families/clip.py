"""Clip: CLIP text encoders, as Stable Diffusion 1.x to 3 use them, for prompts of any length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from nodes.families.base import assemble, unchanged
from nodes.types import Weights

if TYPE_CHECKING:
    import torch


def build_clip(weights: Weights, device: str, dtype: str, *, projection: bool) -> Any:
    """`CLIPTextModel`, or with `projection` `CLIPTextModelWithProjection`, from its component's folder."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    found = unchanged(weights)
    cls = CLIPTextModelWithProjection if projection else CLIPTextModel

    def make() -> Any:
        config = CLIPTextConfig(**found.config)
        config._attn_implementation = "sdpa"
        return cls(config)

    return assemble(make, found, device, dtype, _rename)


def _rename(module: Any, state: dict[str, torch.Tensor]) -> None:
    """Files written before transformers 5 wrap the text model once more, and store the position ids."""
    nested = any(key.startswith("text_model.") for key in module.state_dict())
    for key in list(state):
        if key.endswith("embeddings.position_ids"):
            del state[key]
        elif key.startswith("text_model.") and not nested:
            state[key.removeprefix("text_model.")] = state.pop(key)
        elif nested and not key.startswith(("text_model.", "text_projection.")):
            state[f"text_model.{key}"] = state.pop(key)


def build_tokenizer(weights: Weights) -> Any:
    """The CLIP tokenizer of a folder, padding with the word that its variant names where the recipe says so."""
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(weights.path, local_files_only=True)
    if weights.variant:
        tokenizer.pad_token = weights.variant
    return tokenizer


def chunks(tokenizer: Any, text: str, length: int) -> Iterator[list[int]]:
    """The text as windows of `length` token ids, each with its own start, end and padding.

    A prompt that fits gives one window, exactly what the tokenizer pads and truncates it to; a longer one goes on in
    further windows of `length - 2` tokens, so that nothing is cut off in silence.
    """
    # verbose=False: transformers warns about long texts, which are no trouble here.
    ids = tokenizer(text, add_special_tokens=False, verbose=False).input_ids
    step = length - 2
    for start in range(0, max(len(ids), 1), step):
        window = [tokenizer.bos_token_id, *ids[start : start + step], tokenizer.eos_token_id]
        yield window + [tokenizer.pad_token_id] * (length - len(window))


def encode_clip(
    encoder: Any,
    tokenizer: Any,
    text: str,
    length: int,
    skip: int,
    check: Callable[[], None],
    *,
    penultimate: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states [1, windows * length, width] and the pooled output [1, width] of the first window.

    `skip` counts layers from the last one (0 = last). Stable Diffusion 1.x normalises the layer it takes with the final
    layer norm; later models take the one before the last as it is (`penultimate`).
    """
    import torch

    states, pooled = [], None
    for window in chunks(tokenizer, text, length):
        check()
        ids = torch.tensor([window], device=encoder.device)  # (1, length)
        if skip == 0 and not penultimate:
            out = encoder(ids)
            states.append(out.last_hidden_state)
        else:
            out = encoder(ids, output_hidden_states=True)
            hidden = out.hidden_states[-(skip + (2 if penultimate else 1))]
            states.append(hidden if penultimate else encoder.final_layer_norm(hidden))
        pooled = out[0] if penultimate and pooled is None else pooled
    return torch.cat(states, dim=1), pooled if pooled is not None else torch.zeros(1, 0)


def longer(state: torch.Tensor, tokens: int) -> torch.Tensor:
    """The state [1, n, width] with zeros up to `tokens` rows."""
    import torch

    return torch.nn.functional.pad(state, (0, 0, 0, tokens - state.shape[1]))
