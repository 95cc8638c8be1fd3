"""What a bound graph is made of: sources of inputs, steps, and the graph itself. Immutable, safe to share."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from engine.errors import Problem, WeftError, did_you_mean, fail
from engine.node import NodeSpec
from engine.sockets import Type


@dataclass(frozen=True, slots=True)
class Const:
    """A coerced literal (still plain data; `node.dress` makes the objects functions expect)."""

    value: Any


@dataclass(frozen=True, slots=True)
class Out:
    """An output of a node of this graph."""

    path: str
    output: str


@dataclass(frozen=True, slots=True)
class Free:
    """A parameter of a body graph, given anew for every item or turn."""

    name: str


@dataclass(frozen=True, slots=True)
class Several:
    """A list of sources."""

    items: tuple[Bound, ...]


@dataclass(frozen=True, slots=True)
class Keyed:
    """Sources by name."""

    items: tuple[tuple[str, Bound], ...]


@dataclass(frozen=True, slots=True)
class Muted:
    """Nothing comes here, because `by` is muted."""

    by: str


Bound = Const | Out | Free | Several | Keyed | Muted


class Step(NamedTuple):
    """One node of the bound graph. A tuple: a frozen dataclass of this size takes five times as long to make."""

    path: str
    spec: NodeSpec
    sources: tuple[tuple[str, Bound], ...]
    flow: str = ""  # "", "map", "fold", "switch"
    body: Graph | None = None
    until: str = ""
    turns: int = 0
    mapped: tuple[str, ...] = ()  # the body's parameters that `map` goes over


@dataclass(frozen=True, eq=False)
class Graph:
    """A bound graph, in topological order. Safe to keep, share and plan many times."""

    steps: Mapping[str, Step]
    outputs: Mapping[str, Bound]
    output_types: Mapping[str, Type] = field(default_factory=dict)
    parameters: Mapping[str, Type] = field(default_factory=dict)
    muted: Mapping[str, str] = field(default_factory=dict)  # path -> the muted node that is to blame
    problems: tuple[Problem, ...] = ()  # lints
    defaults: Mapping[str, Any] = field(default_factory=dict)  # of a body's parameters, where they have one

    @cached_property
    def effects(self) -> tuple[str, ...]:
        """The steps that leave something outside, in order."""
        steps = self.steps.items()
        return tuple(path for path, step in steps if step.spec.effect or (step.body is not None and step.body.effects))

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """The steps that every run makes sure of, in order: effects, and what is there to be looked at."""
        return tuple(
            path
            for path, step in self.steps.items()
            if step.spec.effect or step.spec.target or (step.body is not None and step.body.targets)
        )

    @cached_property
    def readers(self) -> Mapping[str, tuple[str, ...]]:
        """For each path, the paths that read one of its outputs."""
        found: dict[str, list[str]] = {path: [] for path in self.steps}
        for path, step in self.steps.items():
            for source in {out.path for _, bound in step.sources for out in outs(bound)}:
                found[source].append(path)
        return {path: tuple(readers) for path, readers in found.items()}

    def descendants(self, path: str) -> set[str]:
        """Every step that depends on this one."""
        seen: set[str] = set()
        pending = [path]
        while pending:
            for reader in self.readers[pending.pop()]:
                if reader not in seen:
                    seen.add(reader)
                    pending.append(reader)
        return seen


def outs(bound: Bound) -> Iterator[Out]:
    """Every output a source reads."""
    if isinstance(bound, Out):
        yield bound
    elif isinstance(bound, Several):
        for item in bound.items:
            yield from outs(item)
    elif isinstance(bound, Keyed):
        for _, item in bound.items:
            yield from outs(item)


def muted_by(bound: Bound) -> str | None:
    """The muted node that a source would have come from, if there is one."""
    if isinstance(bound, Muted):
        return bound.by
    if isinstance(bound, Several):
        return next((by for item in bound.items if (by := muted_by(item))), None)
    if isinstance(bound, Keyed):
        return next((by for _, item in bound.items if (by := muted_by(item))), None)
    return None


@contextmanager
def uncollected() -> Iterator[None]:
    """No search for cyclic garbage within the block.

    A graph or plan of 10,000 nodes makes none, and every pass over what is there already would let its cost grow faster
    than its size. The collector is the process's: the first block to begin stops it, the last one to end starts it
    again, whichever threads they are on; one that somebody else has stopped stays so.
    """
    global _uncollected, _was_enabled
    with _collecting:
        if not _uncollected:
            _was_enabled = gc.isenabled()
            gc.disable()
        _uncollected += 1
    try:
        yield
    finally:
        with _collecting:
            _uncollected -= 1
            if not _uncollected and _was_enabled:
                gc.enable()


_collecting = threading.Lock()
_uncollected = 0
_was_enabled = True


def unknown_target(graph: Graph, target: str) -> WeftError:
    """The error for a target that is neither a node nor an output of the graph."""
    known = [*graph.outputs, *graph.steps]
    return fail(
        "graph.target",
        f"there is no node or output '{target}'.{did_you_mean(target, known)}",
        mend=f"outputs: {', '.join(graph.outputs) or 'none'}",
    )
