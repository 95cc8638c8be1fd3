"""Machine: the server, its engine, its memory and its settings."""

from __future__ import annotations

from dataclasses import dataclass

from engine.server.shapes.job import Queue
from engine.server.shapes.plain import Json


@dataclass(frozen=True)
class Machine:
    """What the engine computes with."""

    device: str
    dtype: str
    threads: int


@dataclass(frozen=True)
class State:
    """The snapshot that a client starts from; events after `seq` of this `epoch` follow on the socket."""

    version: str
    epoch: str
    seq: int
    numerics: Machine
    queue: Queue
    settings: Json
    user: str | None = None


@dataclass(frozen=True)
class Resident:
    """Something that holds memory."""

    kind: str
    name: str
    bytes: int
    in_use: bool


@dataclass(frozen=True)
class DeviceMemory:
    """A device's memory: of it, what Weft may use and uses."""

    device: str
    total: int
    free: int
    limit: int
    used: int
    residents: list[Resident]


@dataclass(frozen=True)
class MemoryShape:
    """Who holds what."""

    devices: list[DeviceMemory]


@dataclass(frozen=True)
class Settings:
    """What is remembered for everyone who opens the editor: plain JSON by name."""

    settings: Json


@dataclass(frozen=True)
class Health:
    """The process answers; `ready` once the engine does too."""

    ok: bool
    ready: bool
    version: str
