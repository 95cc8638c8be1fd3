"""Writing: what the author of a prompt is told while typing – names to complete, and how many tokens there are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from engine import places
from engine.places import Places
from nodes.prompt import choices, embeddings
from nodes.prompt.parse import parse
from nodes.types import TextEncoder, Weights

T5_MOST = 512  # tokens that a T5 encoder takes where its model does not say


def names(where: Places) -> dict[str, list[str]]:
    """What a prompt can name: textual inversions, wildcards, and LoRAs, in whose place a mend puts nodes."""
    return {
        "embedding": sorted(one.rpartition(".")[0] or one for one in where.models("embeddings")),
        "wildcard": sorted(choices.Files(where).names),
        "lora": sorted(where.models("loras")),
    }


def tokens(**inputs: Any) -> Sequence[tuple[str, Sequence[int], int]]:
    """(encoder, tokens of each window, room of a window) for every encoder that reads the text; () while unknown.

    Exactly what `text.encode` hands to the encoders, without the start and end that each window has beside: the same
    tokenizers, and the same filling of windows. No module is loaded. Errors: those of the prompt's embeddings.
    """
    text, encoder = inputs.get("text"), inputs.get("encoder")
    if not isinstance(text, str) or not isinstance(encoder, TextEncoder):
        return ()
    from nodes.families import clip, t5

    prompt, found = parse(text, inputs.get("weights", "comfy")), []
    for part, words in zip(encoder.parts, encoder.tokenizers, strict=True):
        config = embeddings.configuration(part)
        if "d_model" in config:
            count = len(t5.tokens(_tokenizer(words, "t5"), prompt)[0])
            found.append(("T5", [count], int(dict(encoder.config).get("tokens", T5_MOST)) - 1))
            continue
        width, room = int(config["hidden_size"]), encoder.length - 2

        def vectors(name: str, component: str = part.component, width: int = width) -> range | None:
            shapes = embeddings.shapes(embeddings.find(name, places.current()))
            key = embeddings.key_for(shapes, component, width)
            return None if key is None else range(shapes[key][0])

        windows = clip.fill(_tokenizer(words, "clip"), prompt, room, vectors)
        found.append((NAMES.get(width, "CLIP"), [len(window.ids) for window in windows], room))
    return found


NAMES = {768: "CLIP-L", 1024: "CLIP-H", 1280: "CLIP-G"}


@lru_cache(maxsize=8)
def _tokenizer(words: Weights, kind: str) -> Any:
    from engine.invoke import import_ahead
    from nodes.families import clip, t5

    # A library that another thread is just importing does not give its names yet: here it is waited for.
    import_ahead(("transformers",))
    return clip.build_tokenizer(words) if kind == "clip" else t5.build_tokenizer(words)
