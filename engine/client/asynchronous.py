"""Asynchronous: the client for programs with an event loop."""

from __future__ import annotations

import asyncio
import io
import json
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlsplit

import aiohttp

from engine.client.wire import (
    Document,
    Event,
    address_of,
    document,
    ended,
    event_of,
    form_of,
    listed,
    picture_of,
    refused,
    sure,
)
from engine.errors import fail
from engine.server.codec import encode, read
from engine.server.shapes import (
    Blob,
    ChangeShape,
    Checked,
    CheckRequest,
    ChoiceList,
    Diff,
    DiffRequest,
    Endpoint,
    FinishRequest,
    Forecast,
    GraphShape,
    Health,
    ItemsRequest,
    JobRequest,
    Jobs,
    JobShape,
    MemoryShape,
    ModelRow,
    MoveRequest,
    Nodes,
    Opened,
    Planned,
    PlanRequest,
    Queue,
    QueueRequest,
    ResultRef,
    RunRequest,
    SavedWorkflow,
    SaveRequest,
    Settings,
    State,
    Tab,
    TabRequest,
    Tabs,
    Trail,
    TrailPoint,
    TrailRequest,
    Uploaded,
    WorkflowRow,
)

LARGE = 2**19
RETRY = (0.3, 10.0)  # seconds between two attempts to come back: the first, the longest


def _list(items: Sequence[int] | None) -> list[int] | None:
    return list(items) if items is not None else None


class AsyncClient:
    """One server. `address` is what `weft serve` printed (with the token), or a base address and `token`."""

    def __init__(self, address: str, token: str = "", *, timeout: float = 60.0) -> None:
        """Nothing is sent yet."""
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise fail("server.unreachable", f"'{address[:80]}' is no address", mend="http://127.0.0.1:8118/?token=...")
        given = dict(pair.partition("=")[::2] for pair in parts.query.split("&"))
        self.base = f"{parts.scheme}://{parts.netloc}"
        self.token = token or given.get("token", "")
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        self._http = aiohttp.ClientSession(self.base, headers=headers, timeout=self._timeout)
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._http is not None:
            await self._http.close()

    # -- the wire

    async def send(self, method: str, path: str, *, ok: Sequence[int] = (200, 201), **more: Any) -> tuple[bytes, str]:
        """One request; the reply's body and content type, or the server's problems as a `WeftError`."""
        if self._http is None:
            raise RuntimeError("enter the client first: `async with AsyncClient(...) as weft:`")
        try:
            async with self._http.request(method, path, **more) as reply:
                data = await reply.read()
                if reply.status not in ok:
                    raise refused(reply.status, data)
                return data, reply.content_type
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise fail(
                "server.unreachable",
                f"{self.base} does not answer: {str(error) or type(error).__name__}",
                mend="start it with `weft serve`, and look at the address",
            ) from None

    async def _ask(self, gives: Any, method: str, path: str, body: Any = None, **more: Any) -> Any:
        if body is not None:
            data = json.dumps(encode(body)).encode()
            # A stream, so that a large workflow is sent in pieces and not in one gulp of the event loop.
            more["data"] = io.BytesIO(data) if len(data) > LARGE else data
            more["headers"] = {**more.get("headers", {}), "Content-Type": "application/json"}
        reply, _ = await self.send(method, path, **more)
        return read(gives, json.loads(reply), "reply")

    # -- looking

    async def health(self) -> Health:
        """Is it there, and ready?"""
        return sure(Health, await self._ask(Health, "GET", "/healthz"))

    async def state(self) -> State:
        """The snapshot: machine, queue, settings, number of the last event."""
        return sure(State, await self._ask(State, "GET", "/api/state"))

    async def nodes(self) -> Nodes:
        """Every node, type and pack."""
        return sure(Nodes, await self._ask(Nodes, "GET", "/api/nodes"))

    async def choices(self, node: str, input: str) -> list[str]:
        """What an input may be set to just now."""
        found = await self._ask(ChoiceList, "GET", "/api/choices", params={"node": node, "input": input})
        return sure(ChoiceList, found).choices

    async def check(self, workflow: Document) -> Checked:
        """What is wrong with a workflow."""
        return sure(Checked, await self._ask(Checked, "POST", "/api/check", CheckRequest(document(workflow))))

    async def plan(
        self, workflow: Document, parameters: Mapping[str, Any] | None = None, targets: Sequence[str] | None = None
    ) -> Planned:
        """What would run, and why."""
        body = PlanRequest(document(workflow), dict(parameters or {}), listed(targets))
        return sure(Planned, await self._ask(Planned, "POST", "/api/plan", body))

    async def models(self) -> dict[str, list[ModelRow]]:
        """Every model, by kind."""
        found: dict[str, list[ModelRow]] = await self._ask(dict[str, list[ModelRow]], "GET", "/api/models")
        return found

    async def memory(self) -> MemoryShape:
        """Who holds what."""
        return sure(MemoryShape, await self._ask(MemoryShape, "GET", "/api/memory"))

    async def settings(self, change: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The settings; changed first where `change` is given."""
        if change is None:
            return sure(Settings, await self._ask(Settings, "GET", "/api/settings")).settings
        return sure(Settings, await self._ask(Settings, "PUT", "/api/settings", Settings(dict(change)))).settings

    # -- jobs

    async def submit(
        self,
        workflow: Document,
        parameters: Mapping[str, Any] | None = None,
        targets: Sequence[str] | None = None,
        *,
        again: bool = False,
        title: str | None = None,
        key: str | None = None,
        **more: Any,
    ) -> JobShape:
        """Submit a job; with a `key` the request may be repeated and is the same job.

        `more` are the further fields of `JobRequest`: `set`, one of `batch`, `sweep` and `rows` for a job with items,
        `stop`, `priority`, `front`.
        """
        body = JobRequest(document(workflow), dict(parameters or {}), listed(targets), again, title, **more)
        return await self._submit("/api/jobs", body, key)

    async def retry(self, id: str, items: Sequence[int] | None = None, key: str | None = None) -> JobShape:
        """A new job with the same values; of one with items, those that did not succeed, or those named."""
        return await self._submit(f"/api/jobs/{quote(id, safe='')}/retry", ItemsRequest(_list(items)), key)

    async def finish(
        self,
        id: str,
        items: Sequence[int] | None = None,
        set: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> JobShape:
        """A new job that carries the chosen items of one that stopped early to their end."""
        body = FinishRequest(_list(items), dict(set or {}))
        return await self._submit(f"/api/jobs/{quote(id, safe='')}/finish", body, key)

    async def graph(self, id: str, item: int | None = None) -> dict[str, Any]:
        """The exact workflow that made a result."""
        params = {"item": str(item)} if item is not None else {}
        path = f"/api/jobs/{quote(id, safe='')}/graph"
        return sure(GraphShape, await self._ask(GraphShape, "GET", path, params=params)).workflow

    async def diff(self, a: ResultRef, b: ResultRef) -> list[ChangeShape]:
        """In what two results, or workflows, differ."""
        return sure(Diff, await self._ask(Diff, "POST", "/api/diff", DiffRequest(a, b))).changes

    async def trail(self, workflow: Document, to: str, parameters: Mapping[str, Any] | None = None) -> list[TrailPoint]:
        """Earlier results whose graph is equal but for one input."""
        body = TrailRequest(document(workflow), to, dict(parameters or {}))
        return sure(Trail, await self._ask(Trail, "POST", "/api/trail", body)).points

    async def forecast(self, workflow: Document, parameters: Mapping[str, Any] | None = None, **more: Any) -> Forecast:
        """What `submit` with the same fields would run; what items share is counted once."""
        body = JobRequest(document(workflow), dict(parameters or {}), **more)
        return sure(Forecast, await self._ask(Forecast, "POST", "/api/forecast", body))

    # -- tabs

    async def tabs(self) -> list[Tab]:
        """Every tab that is open, without what is in it."""
        return sure(Tabs, await self._ask(Tabs, "GET", "/api/tabs")).tabs

    async def tab(self, name: str) -> Tab:
        """A tab, with what is in it."""
        return sure(Tab, await self._ask(Tab, "GET", f"/api/tabs/{quote(name, safe='')}"))

    async def put_tab(self, name: str, body: Mapping[str, Any], version: int | None = None) -> Tab:
        """Keep a tab; with `version`, `server.changed` when another browser changed it since."""
        headers = {"If-Match": f'"{version}"'} if version is not None else {}
        path = f"/api/tabs/{quote(name, safe='')}"
        return sure(Tab, await self._ask(Tab, "PUT", path, TabRequest(dict(body)), headers=headers))

    async def close_tab(self, name: str) -> None:
        """Close a tab in every browser."""
        await self._ask(Tabs, "DELETE", f"/api/tabs/{quote(name, safe='')}")

    # -- jobs

    async def run(
        self,
        name: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        again: bool = False,
        key: str | None = None,
        **more: Any,
    ) -> JobShape:
        """Run a workflow that is saved on the server (or `template:NAME`).

        A picture among the parameters may be a path or bytes: it is sent along. `more` are further fields of
        `RunRequest`.
        """
        values = {label: picture_of(value) for label, value in (parameters or {}).items()}
        return await self._submit(f"/api/run/{quote(name, safe='')}", RunRequest(values, again, **more), key)

    async def endpoint(self, name: str) -> Endpoint:
        """What a saved workflow takes and gives."""
        return sure(Endpoint, await self._ask(Endpoint, "GET", f"/api/run/{quote(name, safe='')}"))

    async def _submit(self, path: str, body: Any, key: str | None) -> JobShape:
        headers = {"Idempotency-Key": key or secrets.token_hex(16)}
        return sure(JobShape, await self._ask(JobShape, "POST", path, body, headers=headers))

    async def job(self, id: str) -> JobShape:
        """A job, with its workflow."""
        return sure(JobShape, await self._ask(JobShape, "GET", f"/api/jobs/{quote(id, safe='')}"))

    async def jobs(self) -> list[JobShape]:
        """What runs, waits, and ended lately."""
        return sure(Jobs, await self._ask(Jobs, "GET", "/api/jobs")).jobs

    async def history(self, before: float | None = None, limit: int = 50) -> list[JobShape]:
        """Finished jobs, newest first."""
        params = {"limit": str(limit), **({"before": repr(before)} if before is not None else {})}
        return sure(Jobs, await self._ask(Jobs, "GET", "/api/history", params=params)).jobs

    async def forget(self, id: str) -> None:
        """Delete a job from the history."""
        await self._ask(Jobs, "DELETE", f"/api/history/{quote(id, safe='')}")

    async def cancel(self, id: str, items: Sequence[int] | None = None) -> JobShape:
        """Stop a job, or some of its items."""
        path = f"/api/jobs/{quote(id, safe='')}/cancel"
        return sure(JobShape, await self._ask(JobShape, "POST", path, ItemsRequest(_list(items))))

    async def move(self, id: str, position: int) -> JobShape:
        """Give a queued job another place."""
        path = f"/api/jobs/{quote(id, safe='')}/move"
        return sure(JobShape, await self._ask(JobShape, "POST", path, MoveRequest(position)))

    async def queue(self, paused: bool | None = None, clear: bool = False) -> Queue:
        """Pause or go on; cancel what waits."""
        return sure(Queue, await self._ask(Queue, "POST", "/api/queue", QueueRequest(paused, clear)))

    async def wait(self, id: str) -> JobShape:
        """Wait for a job's end."""
        async for _ in self.follow(id):
            pass
        return await self.job(id)

    # -- events

    async def events(
        self, since: int | None = None, epoch: str = "", *, previews: bool = False
    ) -> AsyncGenerator[Event, None]:
        """Every event from now on (or since a number), over lost connections; previews have their picture in `image`.

        The first is `hello`, and comes again after each interruption: with `mode` `snapshot` something may have been
        missed, and `state()` says how things stand.
        """
        wait = RETRY[0]
        while True:
            if self._http is None:
                raise RuntimeError("enter the client first")
            params = {"epoch": epoch, "since": str(since)} if since is not None else {}
            try:
                async with self._http.ws_connect("/ws", params=params, max_msg_size=2**26, heartbeat=20) as socket:
                    if not previews:
                        await socket.send_json({"previews": False})
                    async for message in socket:
                        event = event_of(message)
                        if event is None:
                            continue
                        wait = RETRY[0]
                        epoch, since = event.get("epoch", epoch), event.get("seq", since)
                        yield event
            except aiohttp.WSServerHandshakeError as error:
                if error.status in (401, 403):
                    raise fail("server.auth", "the token is missing or wrong", mend="use the printed address") from None
            except (aiohttp.ClientError, OSError):
                pass
            await asyncio.sleep(wait * (0.5 + secrets.randbelow(1000) / 1000))
            wait = min(wait * 2, RETRY[1])

    async def follow(self, id: str, *, previews: bool = False) -> AsyncGenerator[Event, None]:
        """A job's events from the first, as far as the server remembers, to the last; of one that is over, the last."""
        job = await self.job(id)
        if job.finished is not None:
            yield ended(job)
            return
        stream = self.events(job.seq, job.epoch or "", previews=previews)
        try:
            async for event in stream:
                if event["event"] == "hello":
                    # Nothing was missed unless the server says so; then the job's end may have been.
                    if event["mode"] == "snapshot" and (job := await self.job(id)).finished is not None:
                        yield ended(job)
                        return
                elif event.get("job") == id:
                    yield event
                    if event["event"] == "job_finished":
                        return
        finally:
            await stream.aclose()

    # -- content

    async def picture(self, blob: Blob | str, size: int | None = None) -> bytes:
        """The bytes of a picture."""
        name = blob if isinstance(blob, str) else blob.blob
        params = {"size": str(size)} if size is not None else {}
        return (await self.send("GET", f"/api/blobs/{quote(name, safe='')}", params=params))[0]

    async def upload(self, picture: Path | bytes, name: str = "picture.png") -> Uploaded:
        """Send a picture; the reply has the name to use in a workflow."""
        return sure(Uploaded, await self._ask(Uploaded, "POST", "/api/uploads", data=form_of(picture, name)))

    async def open(self, file: Path | bytes, name: str = "picture.png") -> dict[str, Any]:
        """The workflow in a picture or a JSON file."""
        return sure(Opened, await self._ask(Opened, "POST", "/api/open", data=form_of(file, name))).workflow

    async def file(self, place: str, name: str) -> bytes:
        """A picture in `input` or `output`."""
        return (await self.send("GET", f"/api/files/{quote(place, safe='')}/{quote(name)}"))[0]

    async def workflows(self) -> list[WorkflowRow]:
        """Every workflow on the server."""
        found: list[WorkflowRow] = await self._ask(list[WorkflowRow], "GET", "/api/workflows")
        return found

    async def workflow(self, name: str, version: str | None = None) -> SavedWorkflow:
        """A workflow on the server."""
        params = {"version": version} if version is not None else {}
        return sure(SavedWorkflow, await self._ask(SavedWorkflow, "GET", address_of(name), params=params))

    async def save(self, name: str, workflow: Document, modified: float | None = None) -> SavedWorkflow:
        """Keep a workflow on the server."""
        return sure(
            SavedWorkflow,
            await self._ask(SavedWorkflow, "PUT", address_of(name), SaveRequest(document(workflow), modified)),
        )

    async def delete(self, name: str) -> None:
        """Take a workflow away; its versions stay."""
        await self._ask(list[WorkflowRow], "DELETE", address_of(name))
