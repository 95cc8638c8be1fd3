"""Rules: what a node knows about the facts of its inputs and outputs, as data that can stand in a manifest."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from engine.errors import Mend, Problem, Where
from engine.sockets.refs import facts_of


@dataclass(frozen=True)
class FactRule:
    """One line of what a node knows about facts; plain data, so that it can stand in a manifest.

    * `same`: the fact must agree on these sockets, wherever it is known.
    * `copy`: an output's fact is an input's fact (`model.family`) or an input's own value (`width`).
    * `call`: a dotted, torch-free function `(**inputs) -> {output: facts}`, which may raise a `WeftError`.
    """

    kind: Literal["same", "copy", "call"]
    fact: str = ""
    sockets: tuple[str, ...] = ()
    path: str = ""
    why: str = field(default="")

    def to_json(self) -> dict[str, Any]:
        """Plain data, as in a pack's manifest."""
        record = {k: v for k, v in dataclasses.asdict(self).items() if v}
        if self.sockets:
            record["sockets"] = list(self.sockets)
        return record

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> FactRule:
        """Read back what `to_json` wrote."""
        return FactRule(**{**record, "sockets": tuple(record.get("sockets", ()))})


def same(fact: str, *sockets: str, why: str = "") -> FactRule:
    """The fact must agree on all these inputs; `why` is added to the message."""
    return FactRule("same", fact, sockets, why=why)


def copy(source: str, target: str) -> FactRule:
    """`copy("model.latent_space", "out.latent_space")`, or `copy("width", "out.width")` for an input's own value."""
    return FactRule("copy", sockets=(source, target))


def rule(path: str) -> FactRule:
    """A torch-free function at `module:name`, called with the inputs (values or Refs) as keywords."""
    return FactRule("call", path=path)


def check_same(rule_: FactRule, inputs: Mapping[str, Any]) -> Problem | None:
    """Does a `same` rule hold? The first socket that knows the fact is the measure, the later one is blamed."""
    first: tuple[str, Any] | None = None
    for name in rule_.sockets:
        value = inputs.get(name)
        known = facts_of(value).get(rule_.fact) if value is not None else None
        if known is None:
            continue
        if first is None:
            first = (name, known)
        elif known != first[1]:
            label = rule_.fact.replace("_", " ")
            message = f"'{name}' has {label} {known}, but '{first[0]}' has {first[1]}"
            message += f": {rule_.why}" if rule_.why else "; they do not belong together"
            return Problem(
                "facts.mismatch",
                message,
                Where(socket=name),
                Mend(f"wire something of {label} {first[1]} into '{name}', or change '{first[0]}'"),
            )
    return None
