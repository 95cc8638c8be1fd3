"""Foreign: workflows of other programs, made ours by a pack that knows them.

Which programs there are, packs tell: `__weft_pack__ = {"convert": "package.module:function"}` names a function from a
JSON object to `(document, [what is to be looked at])`, or None for what it does not know.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from engine.errors import WeftError, fail
from engine.registry import Registry
from engine.workflow.data import Workflow
from engine.workflow.reading import MAX_BYTES, from_json


def convert(record: Any, registry: Registry, title: str = "") -> tuple[Workflow, list[str]] | None:
    """A workflow from another program's, and what is to be looked at in it; None when no pack knows the program.

    Nodes get the versions of the nodes that are installed. A file that a pack cannot make sense of is a `file.shape`
    error that says so.
    """
    if not isinstance(record, Mapping):
        return None
    for pack in registry.packs:
        if not pack.convert:
            continue
        module, _, name = pack.convert.partition(":")
        try:
            found = getattr(importlib.import_module(module), name)(record)
        except WeftError:
            raise
        except Exception as error:
            raise fail(
                "file.shape", f"the graph cannot be read ({type(error).__name__}: {error})", mend="save it anew there"
            ) from error
        if found is not None:
            document, told = found
            made = from_json({"title": title, **document})
            return replace(made, nodes={name: _dated(node, registry) for name, node in made.nodes.items()}), told
    return None


def _dated(node: Any, registry: Registry) -> Any:
    spec = registry.get(node.type)
    return replace(node, version=spec.version) if spec is not None else node


def parse(text: str, registry: Registry, title: str = "") -> tuple[Workflow, list[str]] | None:
    """The same from JSON text; None for what is no JSON object or too large."""
    if len(text) > MAX_BYTES:
        return None
    try:
        return convert(json.loads(text), registry, title)
    except (ValueError, RecursionError):
        return None
