"""Tab: what is open in an editor, shared by the browsers of its user."""

from __future__ import annotations

from dataclasses import dataclass

from engine.server.shapes.plain import Json


@dataclass(frozen=True)
class TabRequest:
    """What is open in a tab: a workflow and whatever else the editor keeps with it."""

    body: Json


@dataclass(frozen=True)
class Tab:
    """A tab that every browser of its user shares. `version` is also the reply's ETag."""

    name: str
    version: int
    modified: float
    body: Json | None = None


@dataclass(frozen=True)
class Tabs:
    """Every open tab, without what is in it."""

    tabs: list[Tab]
