"""Sources of badly declared nodes: what is wrong, the code, what the message must say, and at which line."""

HEAD = """
import enum
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

from engine.node import Choices, Multiline, Range, Seed, node
from engine.run import Run
from engine.sockets import copy, same
from tests.engine.toys import Thing
"""

CASES = {
    "an input without a type": ('def n(x) -> Thing:\n    """Doc."""', "input 'x' has no type"),
    "no return type": ('def n(x: int = 1):\n    """Doc."""', "the return type is missing"),
    "no docstring": ("def n(x: int = 1) -> Thing:\n    return Thing('')", "docstring"),
    "an annotation that is not there": ('def n(x: "Nowhere") -> Thing:\n    """Doc."""', "cannot be read"),
    "a type no wire can carry": ('def n(x: dict = {}) -> Thing:\n    """Doc."""', "input 'x'"),
    "an output no wire can carry": ('def n(x: int = 1) -> bytes:\n    """Doc."""', "output 'out'"),
    "a default out of range": ('def n(x: Annotated[int, Range(0, 5)] = 9) -> Thing:\n    """Doc."""', "at most 5"),
    "a default of another type": ('def n(x: int = "a") -> Thing:\n    """Doc."""', "whole number"),
    "a default that is no choice": ('def n(x: Literal["a"] = "b") -> Thing:\n    """Doc."""', "not one of a"),
}

OPTIONS = {
    "an id without a chapter": ('"thing"', "chapter.verb"),
    "a fact rule about no input": ('"t.n", facts=[same("family", "y")]', "names the input 'y'"),
    "a fact rule about no output": ('"t.n", facts=[copy("x.family", "image.family")]', "names the output"),
    "a bypass of nothing": ('"t.n", bypass={"out": "y"}', "names no output or input"),
    "folding nothing away": ('"t.n", advanced=["y"]', "advanced names 'y', no input"),
    "light with an effect": ('"t.n", light=True, effect=True', "light node has no effect"),
    "version zero": ('"t.n", version=0', "version"),
}
