"""Library: workflows and pictures that are kept on the server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from engine.server.shapes.plain import Flow, Json


@dataclass(frozen=True)
class Uploaded:
    """Under which name an upload was kept, and its size in pixels."""

    name: str
    width: int
    height: int


@dataclass(frozen=True)
class Opened:
    """The workflow that was in a picture or file; of one that another program made, what is to be looked at."""

    workflow: Flow
    told: list[str] | None = None


@dataclass(frozen=True)
class NeedShape:
    """A model that a workflow names: of which kind, at which node, whether it is there, and how to get it if not."""

    kind: str
    name: str
    node: str
    there: bool
    mend: str = ""


@dataclass(frozen=True)
class WorkflowRow:
    """A workflow that can be opened; templates have names such as `template:text_to_image`. `types`: of its nodes."""

    name: str
    title: str
    about: str
    origin: Literal["yours", "template"]
    modified: float
    thumbnail: str | None = None
    needs: list[NeedShape] = field(default_factory=list)
    types: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class SavedWorkflow:
    """A workflow, as it stands; `versions` are the times of what it was before."""

    name: str
    workflow: Flow
    modified: float
    versions: list[str]


@dataclass(frozen=True)
class SaveRequest:
    """A workflow to keep. With `modified`, only when nobody has saved another since."""

    workflow: Json
    modified: float | None = None


@dataclass(frozen=True)
class ParameterShape:
    """One parameter of a saved workflow; `schema` is the JSON Schema of its values."""

    name: str
    type: str
    label: str
    required: bool
    schema: Json
    about: str | None = None
    group: str | None = None
    order: float | None = None
    default: Any = None


@dataclass(frozen=True)
class Endpoint:
    """What a saved workflow takes and gives; `outputs` are types by name."""

    name: str
    title: str
    about: str
    parameters: list[ParameterShape]
    schema: Json
    outputs: dict[str, str]
