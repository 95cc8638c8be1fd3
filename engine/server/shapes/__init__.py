"""Shapes: everything that goes over the wire, as dataclasses.

The server decodes requests and encodes replies with them (`engine.server.codec`), the client does the reverse, and
`engine.server.openapi` makes the API's description of them: one source, so that none of the three can drift.

Times are Unix seconds, sizes bytes. A field whose default is None is left out when it is None. Integers that a browser
cannot hold (above 2**53 - 1) go as decimal strings.
"""

from __future__ import annotations

from engine.events import State as JobState
from engine.server.shapes.catalogue import ChoiceList, ModelNotes, ModelRow, Nodes, PackShape
from engine.server.shapes.job import Axis, Batch, Blob, ItemShape, Jobs, JobShape, OutputShape, Queue, Sweep
from engine.server.shapes.library import (
    Endpoint,
    NeedShape,
    Opened,
    ParameterShape,
    SavedWorkflow,
    SaveRequest,
    Uploaded,
    WorkflowRow,
)
from engine.server.shapes.machine import (
    DeviceMemory,
    DiskShape,
    Folder,
    Freed,
    FreeRequest,
    Health,
    Machine,
    MemoryShape,
    Resident,
    Settings,
    State,
)
from engine.server.shapes.plain import Flow, Json, Seeds, WorkflowFile
from engine.server.shapes.plan import (
    AloneShape,
    Checked,
    CheckRequest,
    Forecast,
    Planned,
    PlanRequest,
    PlanStepShape,
    SharingShape,
)
from engine.server.shapes.problem import Failure, MendShape, Place, ProblemShape
from engine.server.shapes.request import FinishRequest, ItemsRequest, JobRequest, MoveRequest, QueueRequest, RunRequest
from engine.server.shapes.result import (
    ChangeShape,
    Diff,
    DiffRequest,
    Gallery,
    GalleryPicture,
    GraphShape,
    ResultRef,
    Trail,
    TrailPoint,
    TrailRequest,
)
from engine.server.shapes.tab import Tab, TabRequest, Tabs
from engine.server.shapes.writing import TokenCount, Tokens, TokensRequest, Words

__all__ = [
    "AloneShape",
    "Axis",
    "Batch",
    "Blob",
    "ChangeShape",
    "CheckRequest",
    "Checked",
    "ChoiceList",
    "DeviceMemory",
    "Diff",
    "DiffRequest",
    "DiskShape",
    "Endpoint",
    "Failure",
    "FinishRequest",
    "Flow",
    "Folder",
    "Forecast",
    "FreeRequest",
    "Freed",
    "Gallery",
    "GalleryPicture",
    "GraphShape",
    "Health",
    "ItemShape",
    "ItemsRequest",
    "JobRequest",
    "JobShape",
    "JobState",
    "Jobs",
    "Json",
    "Machine",
    "MemoryShape",
    "MendShape",
    "ModelNotes",
    "ModelRow",
    "MoveRequest",
    "NeedShape",
    "Nodes",
    "Opened",
    "OutputShape",
    "PackShape",
    "ParameterShape",
    "Place",
    "PlanRequest",
    "PlanStepShape",
    "Planned",
    "ProblemShape",
    "Queue",
    "QueueRequest",
    "Resident",
    "ResultRef",
    "RunRequest",
    "SaveRequest",
    "SavedWorkflow",
    "Seeds",
    "Settings",
    "SharingShape",
    "State",
    "Sweep",
    "Tab",
    "TabRequest",
    "Tabs",
    "TokenCount",
    "Tokens",
    "TokensRequest",
    "Trail",
    "TrailPoint",
    "TrailRequest",
    "Uploaded",
    "Words",
    "WorkflowFile",
    "WorkflowRow",
]
