"""Prompt: what is done with a prompt's words before any encoder reads them."""

from __future__ import annotations

from typing import Annotated, Any

from engine import places
from engine.node import Help, Multiline, Range, Seed, node

PROMPT = Multiline(prompt=True, names="nodes.prompt.writing:names")

# Imported where they are used: every plan with a prompt imports this folder, and few prompts have choices.


def files(**inputs: Any) -> list[tuple[str, str]]:
    """The wildcard files that a text may read, with the ids of their contents."""
    from nodes.prompt import choices

    text = inputs["text"]
    return choices.Files(places.current()).ids(text) if isinstance(text, str) else []


@node(
    "prompt.resolve",
    title="Resolve prompt",
    light=True,
    output="text",
    fingerprint=files,
    aliases=("ImpactWildcardProcessor", "WildcardEncode", "Dynamic Prompts", "Random Prompts", "wildcards"),
)
def resolve(text: Annotated[str, PROMPT] = "", seed: Seed = 0) -> str:
    """A prompt with its choices made: `{red|blue} cube`, `__animal__`; comments are left out.

    Known before anything runs, so that two seeds which choose the same words share all the work behind them; a saved
    picture carries the words that were chosen. docs/prompts.md has the whole syntax. Errors: `media.missing` for a
    wildcard without a file.

    Args:
        text: `{a|b}` is one of them, `{3::a|1::b}` with odds, `{2$$a|b|c}` two of them; `__name__` is a line of
            wildcards/name.txt in WEFT_HOME or a model tree.
        seed: Which choices are made.
    """
    from nodes.prompt import choices

    return choices.resolve(text, seed, places.current())


@node(
    "prompt.combinations",
    title="Prompt combinations",
    light=True,
    output="texts",
    fingerprint=files,
    aliases=("Combinatorial Prompts", "dynamic prompts combinatorial", "matrix"),
)
def combinations(
    text: Annotated[str, PROMPT] = "",
    most: Annotated[int, Range(1, 10_000, 1, soft=(1, 100)), Help("More than these are refused.")] = 100,
) -> list[str]:
    """Every prompt that the choices of a text allow: `{red|blue} {cube|sphere}` gives four. Send them through `map`."""
    from nodes.prompt import choices

    return choices.combinations(text, places.current(), most)
