"""Guidance: how prompt and negative prompt become one prediction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.sockets import socket


@dataclass(frozen=True)
class Perturbation:
    """One more prediction, of the model made worse, from which guidance moves away by `scale`.

    `kind` is `attention` (PAG), `energy` (SEG, with its `blur`) or `layers` (SLG); `layers` the transformer blocks that
    are changed, none for those in the middle; `start`..`stop` the range of steps as fractions.
    """

    __module__ = "nodes.types"

    kind: str
    scale: float
    layers: tuple[int, ...] = ()
    start: float = 0.0
    stop: float = 1.0
    blur: float = 0.0


@socket(colour="#5aa7a7", recipe=True)
@dataclass(frozen=True)
class Guidance:
    """How prompt and negative prompt are combined. `scale` 1 needs one forward per step.

    `start`..`stop` is the range of steps (fractions) in which it acts, `rescale` the share of CFG rescaling
    (Lin et al. 2023), `mode` whether both predictions share a forward (`batched`) or not (`sequential`): they differ by
    rounding, so it is part of the key. `kind` is `cfg`, or `embedded` for models that take the scale as an input
    (`options` has it then), or `cfg_zero`, `apg`, `tcfg`, which differ in how the two become one. `perturbations` are
    what it moves away from beside the unconditional prediction.
    """

    __module__ = "nodes.types"

    scale: float = 7.0
    rescale: float = 0.0
    start: float = 0.0
    stop: float = 1.0
    mode: str = "batched"
    kind: str = "cfg"
    options: tuple[tuple[str, Any], ...] = ()
    perturbations: tuple[Perturbation, ...] = ()
