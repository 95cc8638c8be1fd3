"""Clip: CLIP text encoders, as Stable Diffusion 1.x to 3 use them, for prompts of any length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine import places
from engine.errors import refuse
from nodes.families.base import assemble, unchanged
from nodes.prompt.parse import Prompt
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


@dataclass(eq=False)
class Window:
    """What an encoder reads at once: token ids, the weight of each, and rows that stand in for some embeddings."""

    ids: list[int]
    weights: list[float]
    rows: list[tuple[int, torch.Tensor]] = field(default_factory=list)  # (place of the first, [vectors, width])


def windows(encoder: Any, tokenizer: Any, prompt: Prompt, length: int, component: str = "text_encoder") -> list[Window]:
    """The prompt as windows of `length` tokens, each with its own start, end and padding.

    A prompt that fits gives one window, exactly what the tokenizer pads and truncates it to; a longer one goes on in
    further windows of `length - 2` tokens, so that nothing is cut off in silence. BREAK begins a new one, and an
    embedding's vectors stay together. `component` says which of a model's encoders it is.
    """
    room = length - 2
    found = fill(tokenizer, prompt, room, lambda name: _rows(name, component, encoder.config.hidden_size, room))
    return [_padded(window, tokenizer, length) for window in found]


def fill(tokenizer: Any, prompt: Prompt, room: int, rows_of: Callable[[str], Any]) -> list[Window]:
    """The windows without start, end and padding, at most `room` tokens in each.

    `rows_of` gives the vectors of an embedding's name, or None where the encoder has none of it; who only counts gives
    anything of the same length.
    """
    found = [Window([], [])]
    for piece in prompt.pieces:
        if piece.kind == "break":
            found.append(Window([], []))
            continue
        if piece.kind == "embedding":
            rows = rows_of(piece.text)
            if rows is None:
                continue
            if len(found[-1].ids) + len(rows) > room:
                found.append(Window([], []))
            found[-1].rows.append((len(found[-1].ids) + 1, rows))
            ids = [0] * len(rows)  # any token but the end of text, at which some models look for the pooled output
        else:
            # verbose=False: transformers warns about long texts, which are no trouble here.
            ids = tokenizer(piece.text, add_special_tokens=False, verbose=False).input_ids
        while ids:
            free = room - len(found[-1].ids)
            if free == 0:
                found.append(Window([], []))
                continue
            found[-1].ids += ids[:free]
            found[-1].weights += [piece.weight] * len(ids[:free])
            ids = ids[free:]
    return found


def _padded(window: Window, tokenizer: Any, length: int) -> Window:
    ids = [tokenizer.bos_token_id, *window.ids, tokenizer.eos_token_id]
    padding = length - len(ids)
    return Window(ids + [tokenizer.pad_token_id] * padding, [1.0, *window.weights, 1.0] + [1.0] * padding, window.rows)


def _rows(name: str, component: str, width: int, room: int) -> torch.Tensor | None:
    from nodes.prompt import embeddings

    rows = embeddings.vectors(embeddings.find(name, places.current()), component, width)
    if rows is not None and len(rows) > room:
        raise refuse(f"the embedding '{name}' has {len(rows)} vectors, a window has room for {room}", socket="text")
    return rows


@contextmanager
def standing_in(encoder: Any, rows: Sequence[tuple[int, torch.Tensor]]) -> Iterator[None]:
    """While it lasts, the encoder reads these rows in place of its own embeddings of the tokens there."""
    if not rows:
        yield
        return

    def replaced(_: Any, __: Any, out: torch.Tensor) -> torch.Tensor:
        out = out.clone()  # (1, length, width)
        for start, row in rows:
            out[:, start : start + len(row)] = row.to(out)
        return out

    hook = encoder.get_input_embeddings().register_forward_hook(replaced)
    try:
        yield
    finally:
        hook.remove()


def encode_clip(
    encoder: Any,
    tokenizer: Any,
    prompt: Prompt,
    length: int,
    skip: int,
    check: Callable[[], None],
    *,
    penultimate: bool = False,
    component: str = "text_encoder",
) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states [1, windows * length, width] and the pooled output [1, width] of the first window.

    `skip` counts layers from the last one (0 = last). Stable Diffusion 1.x normalises the layer it takes with the final
    layer norm; later models take the one before the last as it is (`penultimate`).
    """
    import torch

    def hidden(window: Window) -> tuple[torch.Tensor, torch.Tensor | None]:
        check()
        ids = torch.tensor([window.ids], device=encoder.device)  # (1, length)
        with standing_in(encoder, window.rows):
            if skip == 0 and not penultimate:
                return encoder(ids).last_hidden_state, None
            out = encoder(ids, output_hidden_states=True)
        state = out.hidden_states[-(skip + (2 if penultimate else 1))]
        return (state, out[0]) if penultimate else (encoder.final_layer_norm(state), None)

    found = [(window, *hidden(window)) for window in windows(encoder, tokenizer, prompt, length, component)]
    states = [state for _, state, _ in found]
    if prompt.weighted:
        empty = hidden(_padded(Window([], []), tokenizer, length))[0] if prompt.weights == "comfy" else None
        states = [weighed(state, window.weights, empty) for window, state, _ in found]
    pooled = found[0][2]
    return torch.cat(states, dim=1), pooled if pooled is not None else torch.zeros(1, 0)


def weighed(state: torch.Tensor, weights: Sequence[float], empty: torch.Tensor | None) -> torch.Tensor:
    """Hidden states [1, tokens, width] with a weight on each token, in the way of either dialect.

    With `empty`, the states of the empty prompt: e + w (z - e), as ComfyUI does it. Without: w z, with the mean of all
    of them put back to what it was, as A1111's web UI does it.
    """
    import torch

    scale = torch.tensor(weights, device=state.device, dtype=state.dtype)[None, :, None]
    if empty is not None:
        return torch.where(scale == 1, state, empty + scale * (state - empty))
    scaled = state * scale
    return scaled * (state.mean() / scaled.mean())


def longer(state: torch.Tensor, tokens: int) -> torch.Tensor:
    """The state [1, n, width] with zeros up to `tokens` rows."""
    import torch

    return torch.nn.functional.pad(state, (0, 0, 0, tokens - state.shape[1]))
