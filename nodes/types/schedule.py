"""Schedule: how the noise goes, and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.sockets import socket


@socket(colour="#7fb35a", recipe=True)
@dataclass(frozen=True)
class Schedule:
    """How the noise goes: a sampler, a spacing of its steps, how many, and from which strength.

    `sampler` and `spacing` are the field's names (`dpmpp_2m`, `karras`); `denoise` < 1 starts part of the way.
    `policy` says what steps mean then: `all` runs `steps` steps over the last part (as node editors do), `scaled` runs
    `steps * denoise` of them (as diffusers does). Of the steps that are left only `start`..`stop` are run, counted
    from 0, `stop` not included (None: to the end). `sigmas`, falling, replace the spacing: one more than steps.
    """

    __module__ = "nodes.types"

    sampler: str
    spacing: str
    steps: int
    denoise: float = 1.0
    policy: str = "all"
    eta: float | None = None
    options: tuple[tuple[str, Any], ...] = ()
    start: int = 0
    stop: int | None = None
    sigmas: tuple[float, ...] = ()


@socket(colour="#9a9aa5", recipe=True)
@dataclass(frozen=True)
class Noise:
    """Where the noise comes from: item i of a batch from `seed + i`, unless `single_stream`; `off` adds none."""

    __module__ = "nodes.types"

    seed: int
    single_stream: bool = False
    off: bool = False
