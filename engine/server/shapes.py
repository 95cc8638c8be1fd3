"""Shapes: everything that goes over the wire, as dataclasses.

The server decodes requests and encodes replies with them (`engine.server.codec`), the client does the reverse, and
`engine.server.openapi` makes the API's description of them: one source, so that none of the three can drift.

Times are Unix seconds, sizes bytes. A field whose default is None is left out when it is None. Integers that a browser
cannot hold (above 2**53 - 1) go as decimal strings.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from engine.events import State as JobState

Json = dict[str, Any]
Seeds = dict[str, int | str]


@dataclass(frozen=True)
class Place:
    """Where in a workflow something is."""

    file: str | None = None
    line: int | None = None
    column: int | None = None
    path: str | None = None
    socket: str | None = None


@dataclass(frozen=True)
class MendShape:
    """The next step: in words, and as document commands."""

    text: str
    edits: list[Json]


@dataclass(frozen=True)
class ProblemShape:
    """One error or piece of advice."""

    code: str
    message: str
    severity: str
    where: Place
    mend: MendShape | None = None
    report: str | None = None


@dataclass(frozen=True)
class Failure:
    """The body of every 4xx and 5xx reply."""

    error: ProblemShape
    problems: list[ProblemShape]


@dataclass(frozen=True)
class Blob:
    """A picture: its content hash (`GET /api/blobs/{blob}`) and size in pixels."""

    blob: str
    width: int
    height: int
    mime: str = "image/png"


@dataclass(frozen=True)
class JobShape:
    """One job. `position` counts from 0 among the queued; `pictures` is path -> output -> pictures.

    Its events come after the number `seq` of `epoch`: with them `/ws` gives its diary from the beginning.
    """

    id: str
    state: JobState
    title: str
    created: float
    problems: list[ProblemShape]
    outputs: dict[str, list[Blob]]
    values: dict[str, Any]
    files: list[str]
    drawn: Seeds
    pictures: dict[str, dict[str, list[Blob]]]
    fraction: float
    position: int | None = None
    started: float | None = None
    finished: float | None = None
    eta: float | None = None
    epoch: str | None = None
    seq: int | None = None
    parameters: Json | None = None
    workflow: Json | None = None


@dataclass(frozen=True)
class Jobs:
    """Several jobs."""

    jobs: list[JobShape]


@dataclass(frozen=True)
class Queue:
    """What waits and what runs, in order."""

    paused: bool
    jobs: list[JobShape]


@dataclass(frozen=True)
class Machine:
    """What the engine computes with."""

    device: str
    dtype: str
    threads: int


@dataclass(frozen=True)
class State:
    """The snapshot that a client starts from; events after `seq` of this `epoch` follow on the socket."""

    version: str
    epoch: str
    seq: int
    numerics: Machine
    queue: Queue
    settings: Json


@dataclass(frozen=True)
class PackShape:
    """A node pack, or why it could not be read."""

    name: str
    version: str
    title: str
    problem: ProblemShape | None = None


@dataclass(frozen=True)
class Nodes:
    """Every node, type and pack; `connect` says what may be wired to what (`fits`, `no`, `unknown`)."""

    nodes: list[Json]
    types: list[Json]
    packs: list[PackShape]
    connect: dict[str, dict[str, Literal["fits", "no", "unknown"]]]


@dataclass(frozen=True)
class ChoiceList:
    """What an input may be set to, just now."""

    choices: list[str]


@dataclass(frozen=True)
class CheckRequest:
    """A workflow to look at."""

    workflow: Json


@dataclass(frozen=True)
class Checked:
    """Everything that is wrong with a workflow, and advice."""

    problems: list[ProblemShape]
    lints: list[ProblemShape]


@dataclass(frozen=True)
class PlanRequest:
    """What would run: a workflow, values for its parameters (or `node.input`), and targets (all when left out)."""

    workflow: Json
    parameters: Json = field(default_factory=dict)
    targets: list[str] | None = None


@dataclass(frozen=True)
class PlanStepShape:
    """One row of a plan."""

    path: str
    node: str
    status: str
    why: str = ""
    seconds: float | None = None
    steps: int = 0
    resumed: int = 0
    waits_for: list[str] = field(default_factory=list)
    problem: ProblemShape | None = None


@dataclass(frozen=True)
class Planned:
    """What would run now, why, for how long; `drawn` are the seeds that the next run will have."""

    steps: list[PlanStepShape]
    problems: list[ProblemShape]
    lints: list[ProblemShape]
    drawn: Seeds
    seconds: float | None = None


@dataclass(frozen=True)
class JobRequest:
    """A job: a workflow, values for its parameters, targets; `again` saves even what is saved already."""

    workflow: Json
    parameters: Json = field(default_factory=dict)
    targets: list[str] | None = None
    again: bool = False
    title: str | None = None


@dataclass(frozen=True)
class RunRequest:
    """Values for the parameters of a saved workflow."""

    parameters: Json = field(default_factory=dict)
    again: bool = False
    title: str | None = None


@dataclass(frozen=True)
class MoveRequest:
    """A new place in the queue, counted from 0."""

    position: int


@dataclass(frozen=True)
class QueueRequest:
    """Pause or go on; `clear` cancels what waits."""

    paused: bool | None = None
    clear: bool = False


@dataclass(frozen=True)
class Uploaded:
    """Under which name an upload was kept, and its size in pixels."""

    name: str
    width: int
    height: int


@dataclass(frozen=True)
class Opened:
    """The workflow that was in a picture or file."""

    workflow: Json


@dataclass(frozen=True)
class WorkflowRow:
    """A workflow that can be opened; templates have names such as `template:text_to_image`."""

    name: str
    title: str
    about: str
    origin: Literal["yours", "template"]
    modified: float
    thumbnail: str | None = None


@dataclass(frozen=True)
class SavedWorkflow:
    """A workflow, as it stands; `versions` are the times of what it was before."""

    name: str
    workflow: Json
    modified: float
    versions: list[str]


@dataclass(frozen=True)
class SaveRequest:
    """A workflow to keep. With `modified`, only when nobody has saved another since."""

    workflow: Json
    modified: float | None = None


@dataclass(frozen=True)
class ModelRow:
    """A model."""

    name: str
    bytes: int


@dataclass(frozen=True)
class Resident:
    """Something that holds memory."""

    kind: str
    name: str
    bytes: int
    in_use: bool


@dataclass(frozen=True)
class DeviceMemory:
    """A device's memory: of it, what Weft may use and uses."""

    device: str
    total: int
    free: int
    limit: int
    used: int
    residents: list[Resident]


@dataclass(frozen=True)
class MemoryShape:
    """Who holds what."""

    devices: list[DeviceMemory]


@dataclass(frozen=True)
class Settings:
    """What is remembered for everyone who opens the editor: plain JSON by name."""

    settings: Json


@dataclass(frozen=True)
class Health:
    """The process answers; `ready` once the engine does too."""

    ok: bool
    ready: bool
    version: str
