"""Weft's engine: typed graphs of nodes, planned, cached and run. It knows graphs, not diffusion."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.author import Workflow
    from engine.node import node
    from engine.session import Session

__all__ = ["Session", "Workflow", "node"]

_LAZY = {"Session": "engine.session", "Workflow": "engine.author"}


def __getattr__(name: str) -> Any:
    """`from engine import Workflow, Session, node`: read when asked for, so that `import engine` costs nothing."""
    if name not in _LAZY:
        raise AttributeError(f"module 'engine' has no attribute '{name}'")
    return getattr(importlib.import_module(_LAZY[name]), name)
