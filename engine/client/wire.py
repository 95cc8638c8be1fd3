"""Wire: the small things that both clients speak."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp

from engine.errors import CODES, Problem, WeftError, fail
from engine.server.codec import encode, read
from engine.server.hub import unframe
from engine.server.shapes import (
    Failure,
    JobShape,
    ProblemShape,
)
from engine.workflow import Workflow, to_json

T = TypeVar("T")
Document = Workflow | Mapping[str, Any]
Event = dict[str, Any]


def document(workflow: Document) -> dict[str, Any]:
    """A workflow as plain data."""
    return to_json(workflow) if isinstance(workflow, Workflow) else dict(workflow)


def sure(kind: type[T], value: Any) -> T:
    """The value, which the codec has made one of this shape."""
    assert isinstance(value, kind)
    return value


def listed(targets: Sequence[str] | None) -> list[str] | None:
    """Targets as a list."""
    return list(targets) if targets is not None else None


def address_of(name: str) -> str:
    """The address of a workflow."""
    return f"/api/workflows/{quote(name, safe='/:')}"


def form_of(file: Path | bytes, name: str) -> aiohttp.FormData:
    """A form with one file."""
    form = aiohttp.FormData()
    if isinstance(file, Path):
        name = file.name
    data = file.read_bytes() if isinstance(file, Path) else file
    form.add_field("file", data, filename=name, content_type="application/octet-stream")
    return form


def picture_of(value: Any) -> Any:
    """A path or bytes as the picture they hold; everything else as it is."""
    if isinstance(value, Path):
        return {"base64": base64.b64encode(value.read_bytes()).decode(), "name": value.name}
    return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def event_of(message: aiohttp.WSMessage) -> Event | None:
    """A message as an event; None for one that is neither text nor a preview."""
    if message.type is aiohttp.WSMsgType.TEXT:
        found: Event = json.loads(message.data)
        return found
    if message.type is aiohttp.WSMsgType.BINARY:
        _, header, body = unframe(message.data)
        return {"event": "step_preview", **header, "image": body}
    return None


def ended(job: JobShape) -> Event:
    """The last event of a job that is over, as the socket would have told it."""
    shape = encode(job)
    kept = {name: shape[name] for name in ("state", "outputs", "values", "files", "problems")}
    return {"event": "job_finished", "job": job.id, **kept}


def refused(status: int, data: bytes) -> WeftError:
    """What the server said, as the error it is."""
    try:
        failure = read(Failure, json.loads(data), "reply")
        return WeftError(problem_of(shape) for shape in failure.problems)
    except (ValueError, WeftError):
        return fail("server.failed", f"the server answered {status} without saying why", mend="is it a Weft server?")


def problem_of(shape: ProblemShape) -> Problem:
    """A problem as the engine knows it. A code of a newer server becomes `server.failed`."""
    place = {name: value for name, value in encode(shape.where).items() if value is not None}
    text = shape.mend.text if shape.mend is not None else None
    edits = shape.mend.edits if shape.mend is not None else ()
    code = shape.code if shape.code in CODES or shape.code.startswith("lint.") else "server.failed"
    return fail(code, shape.message, mend=text, edits=edits, report=shape.report, **place).problem


def verify(body: bytes, signature: str, secret: str, *, tolerance: float = 300.0, now: float | None = None) -> bool:
    """Is a webhook's body what the server sent, not longer ago than `tolerance` seconds?

    `signature` is the header `X-Weft-Signature`, `secret` what `weft token --webhook` prints.
    """
    given = dict(part.strip().partition("=")[::2] for part in signature.split(","))
    if not given.get("t", "").isdigit():
        return False
    sent = int(given["t"])
    wanted = hmac.new(secret.encode(), f"{sent}.".encode() + body, hashlib.sha256).hexdigest()
    fresh = abs((time.time() if now is None else now) - sent) <= tolerance
    return hmac.compare_digest(given.get("v1", "").encode("utf-8", "replace"), wanted.encode()) and fresh
