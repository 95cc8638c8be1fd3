"""Weft's engine: typed graphs of nodes, planned, cached and run. It knows graphs, not diffusion."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.author import Workflow
    from engine.node import node
    from engine.session import Session

# GNU OpenMP's threads spin while they wait for each other, and starve each other so where cores are busy: a picture of
# the starter on two of them took 4.8 to 6.1 s, and 1.4 with less spinning; on free ones 0.44 to 0.61, and 0.49 (without
# any 1.9 and 1.3). Read once, when torch is loaded; who has set either keeps it.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "30000")

__all__ = ["Session", "Workflow", "node"]

_LAZY = {"Session": "engine.session", "Workflow": "engine.author"}


def __getattr__(name: str) -> Any:
    """`from engine import Workflow, Session, node`: read when asked for, so that `import engine` costs nothing."""
    if name not in _LAZY:
        raise AttributeError(f"module 'engine' has no attribute '{name}'")
    return getattr(importlib.import_module(_LAZY[name]), name)
