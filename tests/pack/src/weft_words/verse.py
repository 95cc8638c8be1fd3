"""Verses, written and counted."""

from typing import Annotated

from engine.node import Multiline, Range, node
from weft_words import metre
from weft_words.types import Verse


@node("words/verse.write", aliases=["poem"])
def write(
    text: Annotated[str, Multiline()] = "the sea\nthe sea",
    repeat: Annotated[int, Range(1, 99)] = 1,
) -> Verse:
    """A verse from text, a line for each line.

    Args:
        text: What it says.
        repeat: How often the whole is said.
    """
    return Verse(tuple(text.splitlines()) * repeat)


@node("words/verse.count", version=2, migrate="weft_words.verse:from_old")
def count(verse: Verse) -> int:
    """How many words a verse has."""
    return sum(metre.count(line) for line in verse.lines)


def from_old(version: int, inputs: dict) -> tuple:
    """Version 1 called its input `poem` and its output `words`."""
    return "words/verse.count", {"verse": inputs.get("poem", inputs.get("verse"))}, {"words": "out"}
