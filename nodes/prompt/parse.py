r"""Parse: a prompt's syntax as pieces – words with weights, breaks, embeddings – in the two dialects the field writes.

`comfy`: `(word)` is 1.1 times as strong, `(word:1.3)` has just the strength 1.3, whatever stands around it.
`a1111`: `(word)` times 1.1, `(word:1.3)` times 1.3, `[word]` divided by 1.1, all multiplied with what stands around it;
a bracket that is never closed acts to the end. `plain`: every sign is itself.

In both dialects `BREAK` begins a new window of 75 tokens, `embedding:name` stands for the vectors of a textual
inversion file, `\(` is a bracket and no syntax, and comments are left out. Brackets that do not belong together are
themselves.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

Weights = Literal["comfy", "a1111", "plain"]

STRONGER = 1.1
SPECIAL = frozenset("()[]{}|<>\\")  # what a backslash takes the meaning of
# As text: most prompts need none of them, and what is not compiled costs a plan nothing.
_NUMBER = r":\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*$"
_BREAK = r"\s*\bBREAK\b\s*"
_EMBEDDING = r"\bembedding:([\w+\-]+(?:[./][\w+\-]+)*)"
_COMMENT = r"(?sm)/\*.*?\*/|(?:(?<=\s)|^)//[^\n]*|^[ \t]*#[^\n]*"
_EDITING = r"\[[^\[\]]*:[^\[\]]*:\s*[\d.]+\s*\]|\[[^\[\]|]+\|[^\[\]]+\]"
_LORA = r"<(?:lora|lyco|hypernet):([^:>]+)(?::([^>]*))?>"


@dataclass(frozen=True)
class Piece:
    """Words of one weight; or, by `kind`, an `embedding` whose name is the text, or a `break`."""

    text: str
    weight: float = 1.0
    kind: Literal["text", "embedding", "break"] = "text"


BREAK = Piece("", kind="break")


@dataclass(frozen=True)
class Prompt:
    """A prompt as an encoder takes it: pieces in order, and how weights act on their embeddings."""

    pieces: tuple[Piece, ...]
    weights: Weights = "plain"

    @property
    def weighted(self) -> bool:
        """Does any weight differ from 1?"""
        return any(piece.weight != 1.0 for piece in self.pieces)

    @property
    def text(self) -> str:
        """The words alone."""
        return " ".join(piece.text for piece in self.pieces if piece.kind == "text")


def plain(text: str) -> Prompt:
    """A text in which every sign is itself."""
    return Prompt((Piece(text),) if text else ())


def parse(text: str, weights: Weights) -> Prompt:
    """The pieces of a prompt. Never fails: what is no syntax is text."""
    if weights == "plain":
        return plain(text)
    return Prompt(tuple(_pieces(_spans(uncommented(text), weights))), weights)


def write(prompt: Prompt) -> str:
    """A prompt's pieces in the syntax of its dialect; `parse` reads them back."""
    if prompt.weights == "plain":
        return prompt.text
    out: list[str] = []
    for piece in prompt.pieces:
        if piece.kind == "break":
            out.append(" BREAK ")
            continue
        body = f"embedding:{piece.text}" if piece.kind == "embedding" else escaped(piece.text)
        # Brackets end an embedding's name, whatever comes next; without a weight a gap does.
        gap = " " if piece.kind == "embedding" and piece.weight == 1.0 else ""
        out.append(f"{gap}{body}{gap}" if piece.weight == 1.0 else f"({body}:{piece.weight!r})")
    return "".join(out)


def escaped(text: str) -> str:
    """The text with a backslash before every sign that would be syntax."""
    return "".join(f"\\{sign}" if sign in SPECIAL else sign for sign in text)


def uncommented(text: str) -> str:
    """The text without `/* */`, without `//` to the end of its line, and without lines that begin with `#`.

    A `//` needs space before it, so that addresses stay whole.
    """
    return re.sub(_COMMENT, "", text) if "/" in text or "#" in text else text


def editing(text: str) -> str:
    """The first `[from:to:when]` or `[a|b]` of a prompt that changes between steps; empty when there is none."""
    found = re.search(_EDITING, uncommented(text)) if "[" in text else None
    return found.group() if found else ""


def loras(text: str) -> list[tuple[str, str, float]]:
    """Every `<lora:name:strength>`: as written, its name, its strength (1 where none can be read)."""
    found = []
    for match in re.finditer(_LORA, uncommented(text)) if "<" in text else ():
        first = (match[2] or "").split(":")[0]
        try:
            strength = float(first)
        except ValueError:
            strength = 1.0
        found.append((match.group(), match[1].strip(), strength if math.isfinite(strength) else 1.0))
    return found


def without_loras(text: str) -> str:
    """The text without them."""
    return re.sub(_LORA, "", text).strip()


# --- brackets --------------------------------------------------------------------------------------------------------


class _Range(NamedTuple):
    """A pair of brackets: where it closes, where its number begins (or it closes), and what it does to the weight."""

    end: int
    number: int
    factor: float
    absolute: bool


def _spans(text: str, weights: Weights) -> list[tuple[str, float]]:
    """(text, weight) in order, escapes resolved, brackets gone."""
    ranges = _ranges(text, weights)
    numbers = {one.number for one in ranges.values()}
    found: list[tuple[str, float]] = []
    stack: list[tuple[_Range, float]] = []
    letters: list[str] = []
    weight, index = 1.0, 0

    def flush() -> None:
        if letters:
            found.append(("".join(letters), weight))
            letters.clear()

    while index < len(text):
        here = ranges.get(index)
        if here is not None:
            flush()
            stack.append((here, _with(weight, here)))
            index += 1
        elif index in numbers:
            flush()
            at = next(at for at in range(len(stack) - 1, -1, -1) if stack[at][0].number == index)
            index = stack[at][0].end + 1
            _close(stack, at)
        elif text[index] == "\\" and index + 1 < len(text) and text[index + 1] in SPECIAL:
            letters.append(text[index + 1])
            index += 2
            continue
        else:
            letters.append(text[index])
            index += 1
            continue
        weight = stack[-1][1] if stack else 1.0
    flush()
    return found


def _with(weight: float, here: _Range) -> float:
    return here.factor if here.absolute else weight * here.factor


def _close(stack: list[tuple[_Range, float]], at: int) -> None:
    """Take one range out; those opened after it, where kinds interleave, are weighed anew."""
    later = [entry for entry, _ in stack[at + 1 :]]
    del stack[at:]
    for entry in later:
        stack.append((entry, _with(stack[-1][1] if stack else 1.0, entry)))


def _ranges(text: str, weights: Weights) -> dict[int, _Range]:
    """Where brackets that belong together open."""
    kinds = {"(": ")", "[": "]"} if weights == "a1111" else {"(": ")"}
    openers = {close: open_ for open_, close in kinds.items()}
    waiting: dict[str, list[int]] = {open_: [] for open_ in kinds}
    found: dict[int, _Range] = {}
    index = 0
    while index < len(text):
        sign = text[index]
        if sign == "\\" and index + 1 < len(text) and text[index + 1] in SPECIAL:
            index += 2
            continue
        if sign in kinds:
            waiting[sign].append(index)
        elif sign in openers and waiting[openers[sign]]:
            start = waiting[openers[sign]].pop()
            found[start] = _range(text, start, index, sign, weights)
        index += 1
    if weights == "a1111":
        for open_, starts in waiting.items():
            factor = STRONGER if open_ == "(" else 1 / STRONGER
            found.update({start: _Range(len(text), len(text), factor, False) for start in starts})
    return found


def _range(text: str, start: int, end: int, sign: str, weights: Weights) -> _Range:
    if sign == "]":
        return _Range(end, end, 1 / STRONGER, False)
    # A number is short: looking at the last signs alone keeps a thousand nested brackets quick.
    low = max(start + 1, end - 40)
    number = re.compile(_NUMBER).search(text, low, end)
    if number is None or number.start() == start + 1:
        return _Range(end, end, STRONGER, False)
    return _Range(end, number.start(), float(number[1]), weights == "comfy")


# --- words -----------------------------------------------------------------------------------------------------------


def _pieces(spans: list[tuple[str, float]]) -> Iterator[Piece]:
    merged: list[tuple[str, float]] = []
    for text, weight in spans:
        if merged and merged[-1][1] == weight == 1.0:  # brackets that weigh nothing leave the words whole
            merged[-1] = (merged[-1][0] + text, weight)
        else:
            merged.append((text, weight))
    for text, weight in merged:
        for index, part in enumerate(re.split(_BREAK, text) if "BREAK" in text else (text,)):
            if index:
                yield BREAK
            at = 0
            for match in re.finditer(_EMBEDDING, part) if "embedding:" in part else ():
                before = part[at : match.start()].rstrip()
                if before:
                    yield Piece(before.lstrip() if at else before, weight)
                yield Piece(match[1], weight, "embedding")
                at = match.end()
            rest = part[at:].lstrip() if at else part
            if rest:
                yield Piece(rest, weight)
