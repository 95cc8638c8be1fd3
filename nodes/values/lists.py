"""Lists: made, joined, picked from and measured, of whatever a wire carries. All of it is known before Run."""

from __future__ import annotations

import random
from typing import Annotated, Any, Literal, TypeVar

from engine.errors import refuse
from engine.node import Help, Range, Seed, node

MAX_ITEMS = 10_000
T = TypeVar("T")


def _bounded(items: list[Any]) -> list[Any]:
    if len(items) > MAX_ITEMS:
        raise refuse(f"the list would have {len(items):,} items, the limit is {MAX_ITEMS:,}")
    return items


@node(
    "values.list",
    title="Make list",
    output="items",
    light=True,
    aliases=["CreateList", "MakeImageList", "ImpactMakeAnyList", "to list"],
)
def make(*items: T) -> list[T]:
    """A list of what is wired, in order, for `map`; all of one type."""
    return _bounded(list(items))


@node("values.join_lists", title="Join lists", output="items", light=True, aliases=["JoinLists", "append list"])
def join(first: list[T], second: list[T]) -> list[T]:
    """The items of the first list, then those of the second."""
    return _bounded([*first, *second])


@node(
    "values.pick",
    title="Pick item",
    output="item",
    light=True,
    aliases=["SelectFromList", "ListItem", "ImpactSelectNthItemOfAnyList"],
)
def pick(
    items: list[T],
    index: Annotated[int, Range(-MAX_ITEMS, MAX_ITEMS, 1), Help("From 0; negative counts from the end.")] = 0,
    around: Annotated[bool, Help("Beyond the end begin again, instead of refusing.")] = False,
) -> T:
    """One item of a list."""
    if not items:
        raise refuse("the list is empty", socket="items", mend="give it at least one item")
    if around:
        return items[index % len(items)]
    if not -len(items) <= index < len(items):
        raise refuse(
            f"there is no item {index} in a list of {len(items)}", socket="index", mend=f"use 0..{len(items) - 1}"
        )
    return items[index]


@node("values.slice", title="Slice list", output="items", light=True, aliases=["ListSlice", "take from list"])
def part(
    items: list[T],
    start: Annotated[int, Range(-MAX_ITEMS, MAX_ITEMS, 1), Help("From 0; negative counts from the end.")] = 0,
    count: Annotated[int, Range(0, MAX_ITEMS, 1), Help("0 is up to the end.")] = 0,
    every: Annotated[int, Range(1, MAX_ITEMS, 1), Help("Take every so-manieth.")] = 1,
) -> list[T]:
    """Some of a list's items."""
    chosen = items[start:][::every]
    return chosen[:count] if count else chosen


@node(
    "values.order",
    title="Sort or shuffle",
    output="items",
    light=True,
    aliases=["ListReverse", "ShuffleList", "SortList"],
)
def order(items: list[T], how: Literal["reverse", "shuffle"] = "reverse", seed: Seed = 0) -> list[T]:
    """A list backwards, or shuffled by a seed."""
    if how == "reverse":
        return items[::-1]
    mixed = list(items)
    random.Random(seed).shuffle(mixed)
    return mixed


@node("values.count", title="Count items", output="count", light=True, aliases=["ListLength", "list length"])
def count(items: list[T]) -> int:
    """How many items a list has."""
    return len(items)


@node("values.repeat", title="Repeat item", output="items", light=True, aliases=["RepeatList", "fill list"])
def repeat(item: T, times: Annotated[int, Range(1, MAX_ITEMS, 1, soft=(1, 64))] = 2) -> list[T]:
    """A list with the same item several times."""
    return [item] * times


@node(
    "values.random",
    title="Random number",
    output="value",
    light=True,
    aliases=["RandomInt", "RandomFloat", "random number"],
)
def draw(
    seed: Seed = 0,
    low: float = 0.0,
    high: float = 1.0,
    whole: Annotated[bool, Help("A whole number; both ends count.")] = False,
) -> float:
    """A number between two others, by the seed: the same seed gives the same number."""
    if low > high:
        raise refuse(f"low {low:g} is above high {high:g}", socket="low", mend="swap them")
    dice = random.Random(seed)
    return float(dice.randint(round(low), round(high))) if whole else dice.uniform(low, high)
