"""Workflow: the file, as plain data. Read, write, set parameters.

One concept: a graph is `{nodes, parameters, outputs}`. A workflow is one graph with a title; its `graphs` are others,
used by nodes of type `#name`. Nothing here knows which nodes exist; `engine.graph` does. What the reader does not
understand it keeps, so that a file survives a round trip through an older or smaller installation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from engine.workflow.data import VERSION, Link, Many, Named, Net, Node, Origin, Parameter, Source, Value, Workflow
from engine.workflow.edits import apply_edits
from engine.workflow.reading import from_json, parse, read
from engine.workflow.writing import dumps, net_to_json, node_to_json, source_to_json, to_json, write

__all__ = [
    "VERSION",
    "Link",
    "Many",
    "Named",
    "Net",
    "Node",
    "Origin",
    "Parameter",
    "Source",
    "Value",
    "Workflow",
    "apply_edits",
    "dumps",
    "from_json",
    "links",
    "map_links",
    "net_to_json",
    "node_to_json",
    "parse",
    "read",
    "source_to_json",
    "to_json",
    "write",
]


def links(source: Source) -> Iterator[Link]:
    """Every link inside an input."""
    match source:
        case Link():
            yield source
        case Many(items):
            for item in items:
                yield from links(item)
        case Named(pairs):
            for _, item in pairs:
                yield from links(item)


def map_links(source: Source, change: Callable[[Link], Source]) -> Source:
    """The input with every link changed."""
    match source:
        case Link():
            return change(source)
        case Many(items):
            return Many(tuple(map_links(item, change) for item in items))
        case Named(pairs):
            return Named(tuple((name, map_links(item, change)) for name, item in pairs))
    return source
