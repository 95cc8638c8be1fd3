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
class OutputShape:
    """A picture that an item made: at which output of which node, and under which name of the workflow's outputs."""

    node: str
    output: str
    blob: str
    url: str
    kind: str
    width: int
    height: int
    name: str | None = None


@dataclass(frozen=True)
class ItemShape:
    """One of a job's items: `set` is what it has of its own, by `node.input`; its pictures, the workflow's first."""

    index: int
    set: Json
    label: str
    state: JobState
    outputs: list[OutputShape]
    fraction: float
    values: Json | None = None
    files: list[str] | None = None
    started: float | None = None
    finished: float | None = None
    error: ProblemShape | None = None
    problems: list[ProblemShape] | None = None


@dataclass(frozen=True)
class Axis:
    """One axis of a sweep: the inputs it sets (`node.input`, or a parameter) and the values it goes through."""

    to: list[str]
    values: list[Any]
    label: str | None = None


@dataclass(frozen=True)
class Sweep:
    """Every combination of up to three axes, the last one running fastest (row-major)."""

    axes: list[Axis]


@dataclass(frozen=True)
class Batch:
    """`count` items that differ in a seed: the input or inputs (or the parameter) that hold it.

    `increment` counts up from the seed that the workflow has, `random` draws each but the first, `fixed` keeps it.
    """

    count: int
    seed: str | list[str] = "seed"
    policy: Literal["increment", "random", "fixed"] = "increment"


@dataclass(frozen=True)
class JobShape:
    """One job. `position` counts from 0 among the queued; `pictures` is path -> output -> pictures.

    Its events come after the number `seq` of `epoch`: with them `/ws` gives its diary from the beginning. A job with
    items has `counts` (how many are in which state) and, asked for by its id, `items`; `of` is the job that it was
    made from (retried or finished). `urls` are the addresses of its outputs' pictures, `eta_s` the seconds left.
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
    eta_s: float | None = None
    epoch: str | None = None
    seq: int | None = None
    parameters: Json | None = None
    workflow: Json | None = None
    counts: dict[str, int] | None = None
    items: list[ItemShape] | None = None
    sweep: Sweep | None = None
    stop: Json | None = None
    of: str | None = None
    priority: int | None = None
    urls: dict[str, list[str]] | None = None


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
    user: str | None = None


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
    """A job: a workflow, values for its parameters, targets; `again` saves even what is saved already.

    `set` holds further values by `node.input`. One of `batch`, `sweep` and `rows` makes it a job with items; `rows` are
    their values, by `node.input` or parameter. `stop` ends denoise nodes at a step (`{"denoise": 6}`), to look at many
    before finishing few: then nothing is saved, and `POST /api/jobs/{id}/finish` carries on. A higher `priority`
    (-100 to 100) goes before a lower one; `front` goes before everything. `webhook` is a URL that is told when the job
    is over.
    """

    workflow: Json
    parameters: Json = field(default_factory=dict)
    targets: list[str] | None = None
    again: bool = False
    title: str | None = None
    set: Json = field(default_factory=dict)
    batch: Batch | None = None
    sweep: Sweep | None = None
    rows: list[Json] | None = None
    stop: dict[str, int] | None = None
    priority: int = 0
    front: bool = False
    webhook: str | None = None


@dataclass(frozen=True)
class ItemsRequest:
    """Which items of a job; all of them (or all that make sense) when left out."""

    items: list[int] | None = None


@dataclass(frozen=True)
class FinishRequest:
    """The items to finish (all when left out), and what to set anew for them, by `node.input`."""

    items: list[int] | None = None
    set: Json = field(default_factory=dict)
    title: str | None = None


@dataclass(frozen=True)
class RunRequest:
    """Values for the parameters of a saved workflow; the rest as in `JobRequest`.

    A picture is the name of an input file, a `data:` URL, `{"url": "https://..."}` or `{"base64": "..."}`.
    """

    parameters: Json = field(default_factory=dict)
    again: bool = False
    title: str | None = None
    batch: Batch | None = None
    sweep: Sweep | None = None
    rows: list[Json] | None = None
    priority: int = 0
    webhook: str | None = None


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
    """A model: its family, what it is, for what it is made (a LoRA's base, say), or why it cannot be read."""

    name: str
    bytes: int
    family: str = ""
    what: str = ""
    fits: str = ""
    precision: str = ""
    problem: str = ""


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


@dataclass(frozen=True)
class Forecast:
    """What a job with items would cost: `todo` of all denoise `steps` and `run` of all `nodes` would be computed.

    What items share counts once. The first `looked` items were planned; the figures of the others go on like theirs.
    """

    items: int
    looked: int
    steps: int
    todo: int
    nodes: int
    run: int
    seconds: float | None
    problems: list[ProblemShape]


@dataclass(frozen=True)
class TrailRequest:
    """A workflow as it stands, and the input (`node.input`, or a parameter) whose earlier values are asked for."""

    workflow: Json
    to: str
    parameters: Json = field(default_factory=dict)


@dataclass(frozen=True)
class TrailPoint:
    """A value that was tried with all else equal, and what it gave."""

    value: Any
    job: str
    blob: str
    url: str
    width: int
    height: int
    at: float
    item: int | None = None


@dataclass(frozen=True)
class Trail:
    """The values that were tried, the newest first."""

    points: list[TrailPoint]


@dataclass(frozen=True)
class GraphShape:
    """The exact workflow that made a result: every value and seed as it ran."""

    workflow: Json


@dataclass(frozen=True)
class ResultRef:
    """A graph: that of a job (or of one of its items), or one that is sent along."""

    job: str | None = None
    item: int | None = None
    workflow: Json | None = None


@dataclass(frozen=True)
class DiffRequest:
    """Two graphs to compare."""

    a: ResultRef
    b: ResultRef


@dataclass(frozen=True)
class ChangeShape:
    """One difference: what, before and after; null where it was not there."""

    what: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Diff:
    """In what two graphs differ; nothing when they are equal but for layout."""

    changes: list[ChangeShape]


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
