"""Editing: 300 edits replayed with Stable Diffusion XL's sizes and seconds, under four ways to keep values.

The chain is the usual one: prompts, sampling with its checkpoints, decoding, an enlarged picture, two corrections, a
saved file. An edit changes one value, often back to one it had before. What is counted are the seconds of the steps
that have to run; nothing is computed. The engine's own cache and budget do the keeping, on a device of the given bytes.

    engine                what `engine.cache` keeps under `engine.memory`'s budget
    LRU by bytes          the longest unused goes first
    keep the last run     the values of the run before, as long as they fit, as node editors commonly do
    clairvoyant greedy    knows every edit to come: what gains least per byte until its next use goes first
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bench.measure import Row
from engine.cache import Cache
from engine.keys import hash_text
from engine.memory import Memory

MB = 2**20
EDITS = 300
BUDGETS = (64, 256, 1024)
STEPS = 20
TARGET = 2.0  # points behind the clairvoyant


@dataclass(frozen=True)
class Node:
    """A step: its inputs by name, the settings it depends on, seconds and bytes (1024 x 1024, float32 pictures)."""

    inputs: tuple[str, ...]
    settings: tuple[str, ...]
    seconds: float
    bytes: int


PICTURE = 1024 * 1024 * 3 * 4
LATENT = 4 * 128 * 128 * 4
NODES = {
    "positive": Node((), ("prompt",), 0.12, 77 * 2048 * 4 + 1280 * 4),
    "negative": Node((), ("negative",), 0.12, 77 * 2048 * 4 + 1280 * 4),
    **{
        f"step {index}": Node(
            (f"step {index - 1}",) if index else ("positive", "negative"),
            ("cfg", "seed") if not index else ("late",) if index >= 14 else (),
            0.25,
            LATENT,
        )
        for index in range(STEPS)
    },
    "decode": Node((f"step {STEPS - 1}",), (), 0.6, PICTURE),
    "upscale": Node(("decode",), ("upscaler",), 1.8, PICTURE * 4),
    "sharpen": Node(("upscale",), ("amount",), 0.15, PICTURE * 4),
    "grade": Node(("sharpen",), ("contrast",), 0.1, PICTURE * 4),
}
TARGET_NODE = "grade"
# How often an artist touches what: looks and words most, models of upscaling seldom.
WEIGHTS = {"prompt": 22, "negative": 6, "seed": 20, "cfg": 8, "late": 8, "upscaler": 6, "amount": 16, "contrast": 14}


def session(edits: int = EDITS, seed: int = 7) -> list[dict[str, int]]:
    """The settings after each edit. A third of the edits goes back to a value that the setting had before."""
    draw = random.Random(seed)
    now = dict.fromkeys(WEIGHTS, 0)
    before: dict[str, list[int]] = {name: [0] for name in WEIGHTS}
    states = [dict(now)]
    for _ in range(edits):
        if draw.random() < 0.12 and len(states) > 2:  # undo, or a picture opened again
            now = dict(states[-draw.randint(2, min(len(states), 12))])
        else:
            name = draw.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
            if draw.random() < 0.33 and len(before[name]) > 1:
                now[name] = draw.choice(before[name][-6:])
            else:
                now[name] = max(before[name]) + 1
                before[name].append(now[name])
        states.append(dict(now))
    return states


def ids(state: dict[str, int]) -> dict[str, str]:
    """The id of each node's value, as the engine makes them: a hash over settings and parents' ids."""
    found: dict[str, str] = {}
    for name, node in NODES.items():
        parts = [name, *(f"{one}={state[one]}" for one in node.settings), *(found[one] for one in node.inputs)]
        found[name] = hash_text("|".join(parts))
    return found


class Keeper(Protocol):
    """A way to keep values."""

    def begin(self, turn: int) -> None:
        """The next run begins."""

    def use(self, id: str) -> bool:
        """Is the value there? It is used if so."""

    def offer(self, id: str, name: str) -> None:
        """It was made."""


class Value:
    """So many bytes."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __sizeof__(self) -> int:
        return self.count


class Engine:
    """The real cache under the real budget."""

    def __init__(self, limit: int, states: Sequence[dict[str, int]]) -> None:
        self.cache = Cache(Memory({"cpu": limit}))

    def begin(self, turn: int) -> None:
        """Nothing to do."""

    def use(self, id: str) -> bool:
        """A lease given back at once."""
        found = self.cache.lease(id)
        if found is not None:
            self.cache.release(id)
        return found is not None

    def offer(self, id: str, name: str) -> None:
        """With the seconds that making it took, as the executor does."""
        self.cache.put(id, Value(NODES[name].bytes), NODES[name].seconds)


class Recent:
    """Least recently used, by bytes."""

    def __init__(self, limit: int, states: Sequence[dict[str, int]]) -> None:
        self.limit, self.held = limit, dict[str, int]()

    def begin(self, turn: int) -> None:
        """Nothing to do."""

    def use(self, id: str) -> bool:
        """Moves to the end."""
        if id in self.held:
            self.held[id] = self.held.pop(id)
        return id in self.held

    def offer(self, id: str, name: str) -> None:
        """The first go until it fits."""
        size = NODES[name].bytes
        if size > self.limit:
            return
        while sum(self.held.values()) + size > self.limit:
            del self.held[next(iter(self.held))]
        self.held[id] = size


class Last(Recent):
    """What the run before used or made, and nothing else; no checkpoints, which node editors do not keep."""

    def begin(self, turn: int) -> None:
        """What the last run did not touch goes."""
        touched = getattr(self, "touched", set())
        self.held = {id: size for id, size in self.held.items() if id in touched}
        self.touched: set[str] = set()

    def use(self, id: str) -> bool:
        """Remember that it was used."""
        self.touched.add(id)
        return super().use(id)

    def offer(self, id: str, name: str) -> None:
        """Whole results only."""
        self.touched.add(id)
        if not name.startswith("step") or name == f"step {STEPS - 1}":
            super().offer(id, name)


class Clairvoyant:
    """Knows when each value is wanted next; what gains least per byte and turn goes first."""

    def __init__(self, limit: int, states: Sequence[dict[str, int]]) -> None:
        self.limit, self.held, self.turn = limit, dict[str, str](), 0
        self.wanted: dict[str, list[int]] = {}
        for turn, state in enumerate(states):
            for id in ids(state).values():
                self.wanted.setdefault(id, []).append(turn)

    def begin(self, turn: int) -> None:
        """Time goes on."""
        self.turn = turn

    def use(self, id: str) -> bool:
        """Is it there?"""
        return id in self.held

    def worth(self, id: str) -> float:
        """Seconds by bytes by edits until it is wanted; 0 when it never is."""
        following = next((turn for turn in self.wanted[id] if turn > self.turn), None)
        if following is None:
            return 0.0
        node = NODES[self.held[id]]
        return node.seconds / node.bytes / (following - self.turn)

    def offer(self, id: str, name: str) -> None:
        """The least worth go until all fits."""
        self.held[id] = name
        while sum(NODES[one].bytes for one in self.held.values()) > self.limit:
            del self.held[min(self.held, key=self.worth)]


def replay(keeper: Keeper, states: Sequence[dict[str, int]]) -> float:
    """Seconds of all steps that had to run."""
    spent = 0.0
    for turn, state in enumerate(states):
        keeper.begin(turn)
        names, made, pending = ids(state), [], [TARGET_NODE]
        seen: set[str] = set()
        while pending:
            name = pending.pop()
            if name in seen:
                continue
            seen.add(name)
            if not keeper.use(names[name]):
                made.append(name)
                pending.extend(NODES[name].inputs)
        for name in (one for one in NODES if one in made):
            spent += NODES[name].seconds
            keeper.offer(names[name], name)
    return spent


KEEPERS: dict[str, Callable[[int, Any], Any]] = {
    "the engine": Engine,
    "LRU by bytes": Recent,
    "keep the last run": Last,
    "clairvoyant greedy": Clairvoyant,
}


def rows(edits: int = EDITS, budgets: Sequence[int] = BUDGETS, seeds: Sequence[int] = (7, 8, 9)) -> list[Row]:
    """Share of all seconds that the engine saves, beside what the clairvoyant saves; the others in the note."""
    found = []
    for budget in budgets:
        saved = dict.fromkeys(KEEPERS, 0.0)
        for seed in seeds:
            states = session(edits, seed)
            whole = len(states) * sum(node.seconds for node in NODES.values())
            for name, make in KEEPERS.items():
                saved[name] += 100 * (1 - replay(make(budget * MB, states), states) / whole) / len(seeds)
        others = ", ".join(f"{name} {saved[name]:.1f}" for name in ("LRU by bytes", "keep the last run"))
        found.append(
            Row(
                "editing",
                f"{edits} edits under {budget:,} MB: seconds saved",
                saved["the engine"],
                "%",
                saved["clairvoyant greedy"],
                f"clairvoyant greedy; target: at most {TARGET:g} points behind it at 64 MB",
                note=others,
            )
        )
    return found
