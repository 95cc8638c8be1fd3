"""Sockets: what a wire may carry, when one type fits another, and what is known of a value before it exists.

Nothing here touches a tensor. `kinds` has the types, `fitting` says when a wire of one type may end in a socket of
another, `refs` stand for values that do not exist yet, with their facts (`family`, `latent_space`, `width`: plain
values that travel along the wires while nothing has run), and `rules` say what a node knows about facts.
"""

from __future__ import annotations

from engine.sockets.fitting import Bases, Fit, fit, no_bases
from engine.sockets.kinds import ANY, PLAIN, Type, TypeSpec, list_of, socket, type_of
from engine.sockets.refs import NO_FACTS, Facts, Ref, facts_of, field_names, fill, holes
from engine.sockets.rules import FactRule, check_same, copy, rule, same

__all__ = [
    "ANY",
    "NO_FACTS",
    "PLAIN",
    "Bases",
    "FactRule",
    "Facts",
    "Fit",
    "Ref",
    "Type",
    "TypeSpec",
    "check_same",
    "copy",
    "facts_of",
    "field_names",
    "fill",
    "fit",
    "holes",
    "list_of",
    "no_bases",
    "rule",
    "same",
    "socket",
    "type_of",
]
