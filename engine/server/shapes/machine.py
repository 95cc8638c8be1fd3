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
class DiskShape:
    """What is kept on disk between runs, and how much may be."""

    values: int
    bytes: int
    limit: int


@dataclass(frozen=True)
class MemoryShape:
    """Who holds what; `disk` is null where nothing is kept on disk."""

    devices: list[DeviceMemory]
    disk: DiskShape | None = None


@dataclass(frozen=True)
class FreeRequest:
    """What to give back, as far as it is not in use: models, values in memory, values on disk."""

    models: bool = False
    values: bool = False
    disk: bool = False


@dataclass(frozen=True)
class Freed:
    """The bytes that were given back."""

    bytes: int


@dataclass(frozen=True)
class Folder:
    """A folder of the server's: what lies in it, and where it is."""

    what: str
    path: str


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
