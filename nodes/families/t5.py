"""T5: the text encoder of Stable Diffusion 3 and Flux (Raffel et al. 2020): long prompts, word by word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engine.errors import refuse
from nodes.families.base import assemble, unchanged
from nodes.families.clip import weighed
from nodes.prompt.parse import Prompt
from nodes.types import Weights

if TYPE_CHECKING:
    import torch


def build_t5(weights: Weights, device: str, dtype: str) -> Any:
    """`T5EncoderModel` from its component's folder."""
    from transformers import T5Config, T5EncoderModel

    found = unchanged(weights)

    def tie(module: Any, state: dict[str, torch.Tensor]) -> None:
        # The embedding is stored once, under either of its two names.
        names = ("shared.weight", "encoder.embed_tokens.weight")
        known = next((state[name] for name in names if name in state), None)
        if known is not None:
            state.update(dict.fromkeys(names, known))

    return assemble(lambda: T5EncoderModel(T5Config(**found.config)), found, device, dtype, tie)


def build_tokenizer(weights: Weights) -> Any:
    """The T5 tokenizer of a folder."""
    from transformers import T5Tokenizer

    return T5Tokenizer.from_pretrained(weights.path, local_files_only=True)


def tokens(tokenizer: Any, prompt: Prompt) -> tuple[list[int], list[float]]:
    """The tokens of a prompt without the end, and the weight of each."""
    ids: list[int] = []
    weights: list[float] = []
    for piece in prompt.pieces:
        if piece.kind == "text":
            more = tokenizer(piece.text, add_special_tokens=False, verbose=False).input_ids
            ids, weights = ids + more, weights + [piece.weight] * len(more)
    return ids, weights


def encode_t5(encoder: Any, tokenizer: Any, prompt: Prompt, lengths: Sequence[int]) -> torch.Tensor:
    """Hidden states [1, length, width], padded to the first of `lengths` that fits; a longer prompt is refused.

    T5 has one window and no textual inversion: breaks and embeddings are passed over.
    """
    ids, weights = tokens(tokenizer, prompt)
    count = len(ids) + 1
    length = next((length for length in lengths if count <= length), None)
    if length is None:
        raise refuse(
            f"the prompt has {count:,} tokens, this model's T5 encoder takes {lengths[-1]}",
            socket="text",
            mend="shorten the prompt",
        )
    import torch

    def hidden(ids: list[int]) -> torch.Tensor:
        whole = [*ids, tokenizer.eos_token_id]
        whole += [tokenizer.pad_token_id] * (length - len(whole))
        out: torch.Tensor = encoder(torch.tensor([whole], device=encoder.device))[0]
        return out

    state = hidden(ids)
    if not prompt.weighted:
        return state
    weights += [1.0] * (length - len(weights))
    return weighed(state, weights, hidden([]) if prompt.weights == "comfy" else None)
