"""Fitting: whether a wire of one type may end in a socket of another: *fits*, *no* (which alone blocks), *unknown*."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

from engine.sockets.kinds import Type


@dataclass(frozen=True, slots=True)
class Fit:
    """The answer of a check. Only `no` blocks; `unknown` is asked again just before the step."""

    verdict: Literal["fits", "no", "unknown"]
    why: str = ""
    offer: str = ""  # "map", or the type that a conversion node would have to give

    FITS: ClassVar[Fit]

    def __bool__(self) -> bool:
        return self.verdict != "no"


Fit.FITS = Fit("fits")

Bases = Callable[[str], tuple[str, ...]]


def no_bases(name: str) -> tuple[str, ...]:
    """The bases of a type in a world without inheritance."""
    return ()


def fit(source: Type, target: Type, bases: Bases = no_bases, bound: dict[str, Type] | None = None) -> Fit:
    """May a wire that carries `source` end in a socket of `target`?

    `bases` gives the base types of a socket type; `bound` holds what type variables of the node already stand for and
    is extended when the answer is *fits*.
    """
    if source == target and not (target.variable or target.args or target.name == "any"):
        return Fit.FITS
    if target.variable:
        held = None if bound is None else bound.get(target.name)
        if held is None:
            if bound is not None:
                bound[target.name] = source.required
            return Fit.FITS
        back = fit(source, held, bases)
        if back.verdict != "fits" and source.name != "any" and fit(held, source, bases).verdict == "fits":
            # The wider of the two holds both: the order of the wires does not decide.
            assert bound is not None
            bound[target.name] = source.required
            return Fit.FITS
        return back if back else Fit("no", f"{target.name} is {held} here, the wire carries {source}")
    if target.name == "list" and target.args[0].variable and source.name == "list" and bound is not None:
        return fit(source.args[0], target.args[0], bases, bound)
    return _fit(source, target, bases)


@lru_cache(maxsize=4096)
def _fit(source: Type, target: Type, bases: Bases) -> Fit:
    if target.name == "any":
        return Fit.FITS
    if source.variable or source.name == "any":
        return Fit("unknown", "what the wire carries is only known when it is there")
    if source.optional and not target.optional:
        inner = _fit(source.required, target, bases)
        return Fit("unknown", f"the wire may carry nothing, {target} is required") if inner else inner
    if source.name == "list" and target.name == "list":
        return _fit(source.args[0], target.args[0], bases)
    if source.name == "list":
        inner = _fit(source.args[0], target, bases)
        return Fit("no", f"the wire carries a {source}, the socket takes one {target.required}", "map" if inner else "")
    if target.name == "list":
        inner = _fit(source, target.args[0], bases)
        return Fit("no", f"the socket takes a {target}, the wire carries one {source}", "list" if inner else "")
    if target.name in ("choice", "variant"):
        if source.name == target.name and set(source.choices) <= set(target.choices):
            return Fit.FITS
        if target.name == "choice" and source.name in ("str", "int", "choice"):
            return Fit("unknown", f"must turn out to be one of {', '.join(map(str, target.choices))}")
    elif source.name == "choice" and target.name == "str":
        return Fit.FITS
    if source.name == target.name:
        return Fit.FITS
    if (source.name, target.name) in (("int", "float"), ("bool", "int")):
        return Fit.FITS
    if target.name in bases(source.name):
        return Fit.FITS
    if source.name in bases(target.name):
        return Fit("unknown", f"{source.name} may or may not be a {target.name}")
    return Fit("no", f"the wire carries {source}, the socket takes {target}", target.name)
