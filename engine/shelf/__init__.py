"""Shelf: models as files – what each one is, those that a workflow lacks, new ones fetched, old ones made safe.

What a file is, packs tell: `__weft_pack__ = {"describe": "package.module:function"}` names a function from a path to a
`Description` as a mapping, or None for what it does not know. It reads headers, never weights.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import places
from engine.errors import WeftError
from engine.places import MODEL_FOLDERS, Places
from engine.registry import Registry
from engine.workflow import Net, Value, Workflow


@dataclass(frozen=True)
class Description:
    """What a model file is: the folder it belongs in, its family, in words, its precision, what it goes with.

    `side` is that of the pictures a whole model was trained with, in pixels; 0 where its files do not say.
    """

    kind: str = ""
    family: str = ""
    what: str = ""
    precision: str = ""
    fits: str = ""
    problem: str = ""
    side: int = 0


@dataclass(frozen=True)
class Row:
    """One model as a list shows it; `id` is its content."""

    kind: str
    name: str
    path: Path
    bytes: int
    id: str
    about: Description

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        about = {key: value for key, value in vars(self.about).items() if value and key != "kind"}
        return {"name": self.name, "bytes": self.bytes, "id": self.id, **about, "path": str(self.path)}


def describe(path: Path, registry: Registry) -> Description:
    """What a file or folder is, by the first pack that knows; all fields empty when none does."""
    for pack in registry.packs:
        if not pack.describe:
            continue
        module, _, name = pack.describe.partition(":")
        try:
            found = getattr(importlib.import_module(module), name)(path)
        except WeftError as error:
            return Description(problem=error.problem.message)
        if found is not None:
            return Description(**found)
    return Description()


def listing(where: Places, registry: Registry, kinds: tuple[str, ...] = ()) -> dict[str, list[Row]]:
    """Every model that is found, by kind; a component that only stands in a whole model is listed there alone."""
    found: dict[str, list[Row]] = {}
    for kind in kinds or MODEL_FOLDERS:
        rows = [row for name in where.models(kind) if (row := _row(where, registry, kind, name)) is not None]
        if rows:
            found[kind] = rows
    return found


def _row(where: Places, registry: Registry, kind: str, name: str) -> Row | None:
    try:
        path = where.model(kind, name)
        size = _bytes(path)
        about = describe(path, registry)
        if kind in places.COMPONENTS and about.kind == "checkpoints":
            return None  # it is in the list already, as the whole that it is
        return Row(kind, name, path, size, places.file_id(path)[:16], about)
    except (WeftError, OSError):
        return None


def _bytes(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(inner.stat().st_size for inner in path.rglob("*") if inner.is_file())


# --- what a workflow lacks -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Need:
    """A model that a workflow names: where it stands, whether it is there, and where to get it."""

    kind: str
    name: str
    node: str
    there: bool
    source: str = ""
    sha256: str = ""

    @property
    def mend(self) -> str:
        """The command that fetches it, as far as the workflow tells."""
        if self.there:
            return ""
        if not self.source:
            hub = places.HUB_ID.fullmatch(self.name)
            return f"weft models get {self.name}" if hub else f"put it under models/{self.kind}/{self.name}"
        check = f" --sha256 {self.sha256}" if self.sha256 else ""
        return f"weft models get {self.source} --to {self.kind} --name {self.name}{check}"


def needs(workflow: Workflow, registry: Registry, where: Places) -> list[Need]:
    """The models that a workflow's nodes name, and those it says it requires; each once."""
    told = _required(workflow)
    found: dict[tuple[str, str], Need] = {}
    for path, kind, name in _named(workflow, registry):
        if (kind, name) not in found:
            found[kind, name] = _need(kind, name, path, told.get((kind, name), {}), where)
    for (kind, name), record in told.items():
        if (kind, name) not in found:
            found[kind, name] = _need(kind, name, "requires.models", record, where)
    return list(found.values())


def _need(kind: str, name: str, node: str, record: Mapping[str, Any], where: Places) -> Need:
    try:
        where.model(kind, name)
        there = True
    except WeftError:
        there = False
    return Need(kind, name, node, there, str(record.get("from", "")), str(record.get("sha256", "")))


def _required(workflow: Workflow) -> dict[tuple[str, str], Mapping[str, Any]]:
    """`requires.models` of a workflow: kind -> names, or name -> {from, sha256}."""
    models = workflow.requires.get("models", {})
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for kind, names in models.items() if isinstance(models, Mapping) else ():
        records = names if isinstance(names, Mapping) else dict.fromkeys(names if isinstance(names, list) else ())
        for name, record in records.items():
            found[str(kind), str(name)] = record if isinstance(record, Mapping) else {}
    return found


def _named(workflow: Workflow, registry: Registry) -> Iterator[tuple[str, str, str]]:
    """(node, kind, name) of every model that a node names as a literal."""
    graphs: list[tuple[str, Net]] = [("", workflow), *((f"#{name}/", net) for name, net in workflow.graphs.items())]
    for where, graph in graphs:
        for name, node in graph.nodes.items():
            spec = registry.get(node.type)
            for item in spec.inputs if spec is not None else ():
                value = node.inputs.get(item.name)
                literal = value.value if isinstance(value, Value) else item.default if value is None else None
                if item.widget.get("kind") == "model" and isinstance(literal, str) and literal:
                    yield f"{where}{name}", str(item.widget["models"]), literal
