"""State: what a plan says, and what is known of one step while it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from engine.errors import Problem
from engine.graph import Step
from engine.node import NodeSpec
from engine.numerics import Numerics
from engine.places import Places
from engine.records import Records
from engine.sockets import TypeSpec

Known = Callable[[str], str | None]
Order = tuple[int, ...]


@dataclass(frozen=True)
class Scope:
    """Where a step stands: the path before its name, and the parameters of the body it belongs to."""

    prefix: str = ""
    free: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Live:
    """What is known of one step while a plan is made and carried out."""

    step: Step
    path: str
    scope: Scope
    order: Order
    inputs: dict[str, Any] | None = None
    outputs: dict[str, Any] = field(default_factory=dict)
    key: str = ""
    exact: str = ""  # the key it would have with memory to spare; `key` is another when `leaner` is not empty
    leaner: tuple[str, ...] = ()  # the ways in which it makes do with less memory, each of which changes bits
    effect_key: str = ""
    unsettled: tuple[str, ...] = ()  # cut-off outputs whose content is not known
    blockers: frozenset[str] = frozenset()  # paths that must be settled before this step can be keyed
    problem: Problem | None = None
    failed_by: str = ""
    status: str = ""
    why: str = ""
    files: tuple[str, ...] = ()  # of an effect already in place
    tier: str = ""
    checkpoints: tuple[str, ...] = ()
    resumed: int = 0
    shared: int = 0  # the states that steps before it in this plan will have made
    turn: int = 0
    items: tuple[Scope, ...] = ()
    wanted: bool = False
    alike: str = ""  # steps with the same text may share their work
    alone: str = ""  # why a step that could does not

    @property
    def spec(self) -> NodeSpec:
        """The node's declaration."""
        return self.step.spec


class PlanStep(NamedTuple):
    """One row of a plan. A tuple, because a plan of 10,000 steps is made of them."""

    path: str
    node: str
    status: str
    why: str = ""
    seconds: float | None = None
    steps: int = 0
    resumed: int = 0
    waits_for: tuple[str, ...] = ()
    problem: Problem | None = None
    memory: int | None = None  # bytes in use at most while it runs, as far as was ever measured

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        record = {k: v for k, v in self._asdict().items() if v and k != "problem"}
        if self.problem:
            record["problem"] = self.problem.to_json()
        return record


@dataclass(frozen=True)
class Plan:
    """A snapshot: what would happen now."""

    steps: tuple[PlanStep, ...]
    problems: tuple[Problem, ...] = ()
    lints: tuple[Problem, ...] = ()

    def count(self, status: str) -> int:
        """How many steps have this status."""
        return sum(step.status == status for step in self.steps)

    @property
    def seconds(self) -> float | None:
        """Expected seconds of what will certainly run; None when a step was never measured."""
        rows = [step.seconds for step in self.steps if step.status == "run"]
        return None if any(row is None for row in rows) else sum(row or 0.0 for row in rows)

    @property
    def memory(self) -> int | None:
        """Bytes that will be in use at most, of the steps that were ever measured; None when none was."""
        return max((step.memory for step in self.steps if step.status == "run" and step.memory), default=None)

    def to_json(self) -> dict[str, Any]:
        """Plain data for the editor, the API and `weft plan --json`."""
        return {
            "steps": [step.to_json() for step in self.steps],
            "seconds": self.seconds,
            "memory": self.memory,
            "problems": [problem.to_json() for problem in self.problems],
            "lints": [problem.to_json() for problem in self.lints],
        }


@dataclass(frozen=True)
class Setting:
    """Everything a frontier asks of the world around it."""

    numerics: Numerics
    records: Records
    places: Places
    types: Mapping[str, TypeSpec] = field(default_factory=dict)
    known: Known = lambda id: None  # id -> tier
    light_memo: dict[str, Any] | None = None
    nonce: str = ""  # makes volatile nodes new; one a job
    flow: str = ""  # the workflow's name in the records, for "what changed"
    again: bool = False  # effects write again even when their files are in place
    leaner: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # exact key -> ways found necessary before
    together: bool = False  # steps of `batched` nodes share their work, under ids of their own
    source_digest: Callable[[NodeSpec], str] = lambda spec: ""
