"""What the wires of this pack carry."""

from dataclasses import dataclass

from engine.sockets import socket


@socket(name="words/Verse", colour="#c08457", portable=True)
@dataclass(frozen=True)
class Verse:
    """Lines of text, top to bottom."""

    lines: tuple[str, ...]
