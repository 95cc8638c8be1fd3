"""Conditioning: several prompts as one – blended, one after the other, side by side in the picture."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

from engine.errors import refuse
from engine.node import Help, Range, node
from engine.sockets import copy, rule, same
from nodes.text import combine
from nodes.types import Conditioning, Entry

if TYPE_CHECKING:
    import torch

Pixels = Annotated[int, Range(0, 16_384, 8, soft=(0, 2048))]
Side = Annotated[int, Range(8, 16_384, 8, soft=(64, 2048))]
LAYOUT = (
    same("text_layout", "first", "second", why="encode both with one text encoder"),
    copy("first.text_layout", "conditioning.text_layout"),
    rule("nodes.conditioning:single"),
)


def single(**inputs: Any) -> dict[str, dict[str, Any]]:
    """Refuse what is several prompts already, or has a place: blending knows of neither, and would lose them."""
    for name in ("first", "second"):
        given = inputs[name]
        if isinstance(given, Conditioning):
            _only(given, name)
    return {}


def _only(conditioning: Conditioning, name: str) -> Entry:
    if len(conditioning.entries) != 1:
        many = len(conditioning.entries)
        raise refuse(f"'{name}' is {many} prompts already", socket=name, mend="blend first, and combine afterwards")
    entry = conditioning.entries[0]
    if entry.area is not None or entry.mask is not None or (entry.start, entry.end) != (0.0, 1.0):
        raise refuse(f"'{name}' has a place or a range", socket=name, mend="blend first, and place the result")
    return entry


@node(
    "text.average",
    title="Average conditionings",
    output="conditioning",
    lane="cpu",
    facts=LAYOUT,
    aliases=("ConditioningAverage",),
)
def average(
    first: Conditioning,
    second: Conditioning,
    share: Annotated[float, Range(0, 1, 0.01), Help("How much of the second: 0 is the first, 1 the second.")] = 0.5,
) -> Conditioning:
    """Two prompts as one in between: `(1 - share) first + share second`, token by token, pooled text too.

    Float [1, tokens, width]; the shorter one is filled up with zeros. What is half one thing and half another is drawn
    as one: for two things beside each other use text.combine.
    """
    import torch

    one, other = _only(first, "first"), _only(second, "second")
    tokens = max(one.embedding.shape[1], other.embedding.shape[1])

    def longer(state: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(state, (0, 0, 0, tokens - state.shape[1]))

    embedding = torch.lerp(longer(one.embedding), longer(other.embedding).to(one.embedding), share)
    pooled = one.pooled
    if one.pooled is not None and other.pooled is not None:
        pooled = torch.lerp(one.pooled, other.pooled.to(one.pooled), share)
    return Conditioning((replace(one, embedding=embedding, pooled=pooled),), first.layout)


@node(
    "text.concat",
    title="Concatenate conditionings",
    output="conditioning",
    lane="cpu",
    facts=LAYOUT,
    aliases=("ConditioningConcat",),
)
def concat(first: Conditioning, second: Conditioning) -> Conditioning:
    """Two prompts as one text: the second's tokens after the first's, [1, tokens + tokens, width]; pooled of the first.

    What BREAK does inside one prompt: neither sees the other, and the model sees both.
    """
    import torch

    one, other = _only(first, "first"), _only(second, "second")
    embedding = torch.cat([one.embedding, other.embedding.to(one.embedding)], dim=1)
    return Conditioning((replace(one, embedding=embedding),), first.layout)


@node(
    "text.area",
    title="Conditioning area",
    light=True,
    output="conditioning",
    aliases=("ConditioningSetArea", "regional prompt"),
)
def area(
    conditioning: Conditioning,
    x: Pixels = 0,
    y: Pixels = 0,
    width: Side = 512,
    height: Side = 512,
    weight: Annotated[float, Range(0, 10, 0.05), Help("Its share where several prompts act.")] = 1.0,
) -> Conditioning:
    """Where in the picture a prompt acts, in pixels from the left upper corner; text.place says it in fractions.

    Combine it with a prompt for the whole picture: where areas overlap, predictions are averaged by weight. An area
    that reaches out of the picture is cut off at its edge.
    """
    entries = tuple(
        replace(entry, area=(x, y, width, height), pixels=True, weight=weight) for entry in conditioning.entries
    )
    return replace(conditioning, entries=entries)


@node(
    "text.schedule",
    title="Schedule conditionings",
    light=True,
    output="conditioning",
    aliases=(
        "prompt editing",
        "[from:to:when]",
        "PromptSchedule",
        "ConditioningSetTimestepRange",
        "BatchPromptSchedule",
    ),
)
def schedule(
    *conditionings: Conditioning,
    at: Annotated[
        str, Help("Where each next one begins, in fractions of the steps: 0.4, or 0.3, 0.6 for three.")
    ] = "0.5",
) -> Conditioning:
    """One prompt after another: the first until `at`, then the next. What A1111's web UI writes `[from:to:0.4]`.

    The early steps decide the layout, the late ones the surface. A change of a late prompt, or of `at`, runs only the
    steps from there on.
    """
    many = len(conditionings)
    if many < 2:
        raise refuse("a schedule needs two prompts or more", socket="conditionings", mend="wire another one")
    try:
        points = [float(part) for part in at.replace(";", ",").split(",") if part.strip()]
    except ValueError:
        raise refuse(f"'{at}' is no list of fractions", socket="at", mend="write such as 0.3, 0.6") from None
    if len(points) != many - 1:
        raise refuse(
            f"{many} prompts change {many - 1} times, 'at' has {len(points)} fractions",
            socket="at",
            mend="write one fraction for each prompt but the first",
        )
    ranges = list(pairwise([0.0, *points, 1.0]))
    if any(start >= end for start, end in ranges):
        raise refuse(f"'{at}' does not rise between 0 and 1", socket="at", mend="write such as 0.3, 0.6")
    pieces = [
        replace(one, entries=tuple(replace(entry, start=start, end=end) for entry in one.entries))
        for one, (start, end) in zip(conditionings, ranges, strict=True)
    ]
    return combine(*pieces)
