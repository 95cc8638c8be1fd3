"""Plain: data that is passed on as it is."""

from __future__ import annotations

from typing import Annotated, Any

Json = dict[str, Any]
Seeds = dict[str, int | str]


class WorkflowFile:
    """Stands in a description for a workflow file, whose schema is the file's own (`weft schema`)."""


Flow = Annotated[Json, WorkflowFile]
