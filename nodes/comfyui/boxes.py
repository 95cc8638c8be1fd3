"""Boxes: the nodes of a ComfyUI graph, whichever of its two forms it came in.

The API's form names every input. The editor's keeps widgets as a bare list of values, in the order of the class's
declaration; reroutes, primitives and sub-graphs exist there alone, and are dissolved here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.errors import fail
from nodes.comfyui.widgets import WIDGETS

MODES = {2: "mute", 4: "bypass"}
POLICIES = ("fixed", "increment", "decrement", "randomize")  # what stands behind a seed in the list of widgets
DEEPEST = 16  # sub-graphs within each other
MOST = 20_000  # nodes, sub-graphs opened up


@dataclass(frozen=True)
class Link:
    """A wire: the box it comes from, and which of its outputs."""

    box: str
    slot: int


@dataclass
class Box:
    """One node: its class, its inputs by name (a value or a `Link`), its title, mode and the names of its outputs."""

    id: str
    kind: str
    inputs: dict[str, Any] = field(default_factory=dict)
    title: str = ""
    mode: str = ""
    outputs: tuple[str, ...] = ()
    policy: str = ""  # what happens to its seed after a run


def is_graph(record: Mapping[str, Any]) -> bool:
    """Is it one of the forms?"""
    return _is_file(record) or _is_api(record) or _is_picture(record)


def _is_file(record: Any) -> bool:
    return isinstance(record, Mapping) and isinstance(record.get("nodes"), list) and "links" in record


def _is_api(record: Any) -> bool:
    return (
        isinstance(record, Mapping)
        and bool(record)
        and all(isinstance(one, Mapping) and isinstance(one.get("class_type"), str) for one in record.values())
    )


def _is_picture(record: Mapping[str, Any]) -> bool:
    return "weft" not in record and (_is_api(record.get("prompt")) or _is_file(record.get("workflow")))


def boxes_of(record: Mapping[str, Any]) -> tuple[dict[str, Box], list[str]]:
    """Every node by its id, and the texts of its notes."""
    if _is_file(record):
        return _file(record)
    if _is_api(record):
        return _api(record), []
    notes: list[str] = []
    shown: dict[str, Box] = {}
    if _is_file(record.get("workflow")):
        shown, notes = _file(record["workflow"])
    if not _is_api(record.get("prompt")):
        return shown, notes
    made = _api(record["prompt"])
    for id, box in made.items():
        if id in shown:  # the values are those of the run, the titles those of the editor
            box.title, box.outputs = shown[id].title or box.title, shown[id].outputs
    return made, notes


def _api(record: Mapping[str, Any]) -> dict[str, Box]:
    made = {}
    for id, node in record.items():
        given = node.get("inputs")
        inputs = {name: _wire(value) for name, value in given.items()} if isinstance(given, Mapping) else {}
        meta = node.get("_meta")
        title = str(meta.get("title", "")) if isinstance(meta, Mapping) else ""
        made[str(id)] = Box(str(id), node["class_type"], inputs, title)
    return _dissolved(made)


def _wire(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str | int) and isinstance(value[1], int):
        return Link(str(value[0]), value[1])
    return value


# --- the editor's file ---------------------------------------------------------------------------------------------


def _file(record: Mapping[str, Any]) -> tuple[dict[str, Box], list[str]]:
    definitions = record.get("definitions")
    listed = definitions.get("subgraphs") if isinstance(definitions, Mapping) else None
    inner = {str(one.get("id")): one for one in listed or () if isinstance(one, Mapping)}
    made: dict[str, Box] = {}
    notes: list[str] = []
    _level(record, "", {}, inner, made, notes, 0)
    return _dissolved(made), notes


def _level(
    record: Mapping[str, Any],
    prefix: str,
    given: Mapping[int, Any],
    inner: Mapping[str, Mapping[str, Any]],
    made: dict[str, Box],
    notes: list[str],
    deep: int,
) -> None:
    """The nodes of a graph or sub-graph; `given` is what comes into it, by slot."""
    links = _links(record.get("links"))

    def source(id: Any) -> Any:
        if id not in links:
            return None
        box, slot = links[id]
        return given.get(slot) if box == "-10" else Link(prefix + box, slot)

    for node in record.get("nodes", ()):
        if not isinstance(node, Mapping) or not isinstance(node.get("type"), str):
            continue
        if len(made) >= MOST:
            raise fail("file.limit", f"the graph has more than {MOST:,} nodes", mend="take it over in parts")
        kind, id = node["type"], prefix + str(node.get("id"))
        if kind in ("Note", "MarkdownNote"):
            notes += [str(text) for text in _values(node) if text]
            continue
        box = Box(id, kind, _inputs(node, kind, source), *_looks(node, kind))
        box.outputs = tuple(str(out.get("name", "")) for out in node.get("outputs") or () if isinstance(out, Mapping))
        box.policy = next((value for value in _values(node) if _is_policy(value)), "")
        if kind in inner and deep < DEEPEST:
            entries = [one.get("name") for one in inner[kind].get("inputs") or () if isinstance(one, Mapping)]
            brought = {slot: box.inputs.get(str(name)) for slot, name in enumerate(entries)}
            _level(inner[kind], f"{id}:", brought, inner, made, notes, deep + 1)
            ends = _links(inner[kind].get("links"), to="-20")
            box.kind, box.inputs = "", {str(slot): Link(f"{id}:{ends[slot][0]}", ends[slot][1]) for slot in ends}
        made[id] = box


def _looks(node: Mapping[str, Any], kind: str) -> tuple[str, str]:
    title = node.get("title")
    return (title if isinstance(title, str) and title != kind else "", MODES.get(node.get("mode", 0), ""))


def _links(listed: Any, to: str = "") -> dict[Any, tuple[str, int]]:
    """Where each wire comes from, by its id; with `to`, of those that end in that node, by the slot they end in."""
    found: dict[Any, tuple[str, int]] = {}
    for link in listed or ():
        if isinstance(link, Mapping):
            row = [link.get(name) for name in ("id", "origin_id", "origin_slot", "target_id", "target_slot")]
        elif isinstance(link, Sequence) and len(link) >= 5:
            row = list(link[:5])
        else:
            continue
        id, box, slot, target, end = row
        if isinstance(slot, int) and (not to or str(target) == to):
            found[end if to else id] = (str(box), slot)
    return found


def _values(node: Mapping[str, Any]) -> list[Any]:
    held = node.get("widgets_values")
    return list(held.values()) if isinstance(held, Mapping) else list(held) if isinstance(held, list) else []


def _inputs(node: Mapping[str, Any], kind: str, source: Any) -> dict[str, Any]:
    rows = [row for row in node.get("inputs") or () if isinstance(row, Mapping) and isinstance(row.get("name"), str)]
    held = node.get("widgets_values")
    found: dict[str, Any] = {}
    if isinstance(held, Mapping):
        found.update({str(name): value for name, value in held.items()})
    elif isinstance(held, list):
        values = [value for at, value in enumerate(held) if not (at and _is_policy(value) and _is_number(held[at - 1]))]
        names = WIDGETS.get(kind) or tuple(row["name"] for row in rows if row.get("widget"))
        if not names:
            names = ("value",) if kind == "PrimitiveNode" else tuple(f"value_{at + 1}" for at in range(len(values)))
        found.update(zip(names, values, strict=False))
    for row in rows:
        link = source(row.get("link"))
        if link is not None:
            found[row["name"]] = link
    return found


def _is_policy(value: Any) -> bool:
    return isinstance(value, str) and value in POLICIES


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# --- what stands for something else --------------------------------------------------------------------------------


def _dissolved(made: dict[str, Box]) -> dict[str, Box]:
    """Without reroutes, primitives and the shells of sub-graphs: wires lead to what makes their value."""

    def follow(value: Any) -> Any:
        for _ in range(len(made) + 1):
            box = made.get(value.box) if isinstance(value, Link) else None
            if box is None:
                return value if not isinstance(value, Link) else None  # a wire from nowhere
            if box.kind == "":
                value = box.inputs.get(str(value.slot))
            elif box.kind == "Reroute":
                value = next(iter(box.inputs.values()), None)
            elif box.kind == "PrimitiveNode":
                value = box.inputs.get("value")
            else:
                return value
        return None

    kept = {id: box for id, box in made.items() if box.kind not in ("", "Reroute", "PrimitiveNode")}
    for box in kept.values():
        followed = {name: follow(value) for name, value in box.inputs.items()}
        box.inputs = {name: value for name, value in followed.items() if value is not None}
    return kept
