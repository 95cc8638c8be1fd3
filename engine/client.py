"""Client: a running server from Python, typed, in two forms: `AsyncClient`, and `Client` for programs that wait.

    with Client("http://127.0.0.1:8118/?token=...") as weft:
        job = weft.submit(workflow, {"prompt": "a red sphere"})
        for event in weft.follow(job.id): ...             # the job's diary, live
        picture = weft.picture(weft.job(job.id).outputs["image"][0])

Whatever the server refuses is raised as a `WeftError` with the server's own problems; a server that does not answer is
`server.unreachable`. Events survive a lost connection: the client comes back with the number it saw last.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
from collections.abc import AsyncGenerator, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlsplit

import aiohttp

from engine.errors import CODES, Problem, WeftError, fail
from engine.server.hub import unframe
from engine.server.shapes import (
    Blob,
    Checked,
    CheckRequest,
    ChoiceList,
    Failure,
    Health,
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
    ProblemShape,
    Queue,
    QueueRequest,
    RunRequest,
    SavedWorkflow,
    SaveRequest,
    Settings,
    State,
    Uploaded,
    WorkflowRow,
    encode,
    read,
)
from engine.workflow import Workflow, to_json

T = TypeVar("T")
Document = Workflow | Mapping[str, Any]
Event = dict[str, Any]
RETRY = (0.3, 10.0)  # seconds between two attempts to come back: the first, the longest


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
                    raise _refused(reply.status, data)
                return data, reply.content_type
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise fail(
                "server.unreachable",
                f"{self.base} does not answer: {str(error) or type(error).__name__}",
                mend="start it with `weft serve`, and look at the address",
            ) from None

    async def _ask(self, gives: Any, method: str, path: str, body: Any = None, **more: Any) -> Any:
        if body is not None:
            more["json"] = encode(body)
        data, _ = await self.send(method, path, **more)
        return read(gives, json.loads(data), "reply")

    # -- looking

    async def health(self) -> Health:
        """Is it there, and ready?"""
        return _is(Health, await self._ask(Health, "GET", "/healthz"))

    async def state(self) -> State:
        """The snapshot: machine, queue, settings, number of the last event."""
        return _is(State, await self._ask(State, "GET", "/api/state"))

    async def nodes(self) -> Nodes:
        """Every node, type and pack."""
        return _is(Nodes, await self._ask(Nodes, "GET", "/api/nodes"))

    async def choices(self, node: str, input: str) -> list[str]:
        """What an input may be set to just now."""
        found = await self._ask(ChoiceList, "GET", "/api/choices", params={"node": node, "input": input})
        return _is(ChoiceList, found).choices

    async def check(self, workflow: Document) -> Checked:
        """What is wrong with a workflow."""
        return _is(Checked, await self._ask(Checked, "POST", "/api/check", CheckRequest(document(workflow))))

    async def plan(
        self, workflow: Document, parameters: Mapping[str, Any] | None = None, targets: Sequence[str] | None = None
    ) -> Planned:
        """What would run, and why."""
        body = PlanRequest(document(workflow), dict(parameters or {}), _list(targets))
        return _is(Planned, await self._ask(Planned, "POST", "/api/plan", body))

    async def models(self) -> dict[str, list[ModelRow]]:
        """Every model, by kind."""
        found: dict[str, list[ModelRow]] = await self._ask(dict[str, list[ModelRow]], "GET", "/api/models")
        return found

    async def memory(self) -> MemoryShape:
        """Who holds what."""
        return _is(MemoryShape, await self._ask(MemoryShape, "GET", "/api/memory"))

    async def settings(self, change: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The settings; changed first where `change` is given."""
        if change is None:
            return _is(Settings, await self._ask(Settings, "GET", "/api/settings")).settings
        return _is(Settings, await self._ask(Settings, "PUT", "/api/settings", Settings(dict(change)))).settings

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
    ) -> JobShape:
        """Submit a job; with a `key` the request may be repeated and is the same job."""
        body = JobRequest(document(workflow), dict(parameters or {}), _list(targets), again, title)
        return await self._submit("/api/jobs", body, key)

    async def run(
        self, name: str, parameters: Mapping[str, Any] | None = None, *, again: bool = False, key: str | None = None
    ) -> JobShape:
        """Run a workflow that is saved on the server (or `template:NAME`)."""
        return await self._submit(f"/api/run/{quote(name, safe='')}", RunRequest(dict(parameters or {}), again), key)

    async def _submit(self, path: str, body: Any, key: str | None) -> JobShape:
        headers = {"Idempotency-Key": key or secrets.token_hex(16)}
        return _is(JobShape, await self._ask(JobShape, "POST", path, body, headers=headers))

    async def job(self, id: str) -> JobShape:
        """A job, with its workflow."""
        return _is(JobShape, await self._ask(JobShape, "GET", f"/api/jobs/{quote(id, safe='')}"))

    async def jobs(self) -> list[JobShape]:
        """What runs, waits, and ended lately."""
        return _is(Jobs, await self._ask(Jobs, "GET", "/api/jobs")).jobs

    async def history(self, before: float | None = None, limit: int = 50) -> list[JobShape]:
        """Finished jobs, newest first."""
        params = {"limit": str(limit), **({"before": repr(before)} if before is not None else {})}
        return _is(Jobs, await self._ask(Jobs, "GET", "/api/history", params=params)).jobs

    async def forget(self, id: str) -> None:
        """Delete a job from the history."""
        await self._ask(Jobs, "DELETE", f"/api/history/{quote(id, safe='')}")

    async def cancel(self, id: str) -> JobShape:
        """Stop a job."""
        return _is(JobShape, await self._ask(JobShape, "POST", f"/api/jobs/{quote(id, safe='')}/cancel"))

    async def move(self, id: str, position: int) -> JobShape:
        """Give a queued job another place."""
        path = f"/api/jobs/{quote(id, safe='')}/move"
        return _is(JobShape, await self._ask(JobShape, "POST", path, MoveRequest(position)))

    async def queue(self, paused: bool | None = None, clear: bool = False) -> Queue:
        """Pause or go on; cancel what waits."""
        return _is(Queue, await self._ask(Queue, "POST", "/api/queue", QueueRequest(paused, clear)))

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
                        event = _event(message)
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
        """A job's events until its last; of one that is over, only the last."""
        stream = self.events(previews=previews)
        try:
            async for event in stream:
                if event["event"] == "hello":
                    job = await self.job(id)
                    if job.finished is not None:
                        yield _ended(job)
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
        return _is(Uploaded, await self._ask(Uploaded, "POST", "/api/uploads", data=_form(picture, name)))

    async def open(self, file: Path | bytes, name: str = "picture.png") -> dict[str, Any]:
        """The workflow in a picture or a JSON file."""
        return _is(Opened, await self._ask(Opened, "POST", "/api/open", data=_form(file, name))).workflow

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
        return _is(SavedWorkflow, await self._ask(SavedWorkflow, "GET", _at(name), params=params))

    async def save(self, name: str, workflow: Document, modified: float | None = None) -> SavedWorkflow:
        """Keep a workflow on the server."""
        return _is(
            SavedWorkflow, await self._ask(SavedWorkflow, "PUT", _at(name), SaveRequest(document(workflow), modified))
        )

    async def delete(self, name: str) -> None:
        """Take a workflow away; its versions stay."""
        await self._ask(list[WorkflowRow], "DELETE", _at(name))


class Client:
    """The same for programs that wait; everything may be called from any thread."""

    def __init__(self, address: str, token: str = "", *, timeout: float = 60.0) -> None:
        """Nothing is sent yet."""
        self._client = AsyncClient(address, token, timeout=timeout)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="weft client", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._client.__aenter__())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._do(self._client.__aexit__())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _each(self, stream: AsyncGenerator[Event, None]) -> Iterator[Event]:
        async def following() -> Event | None:
            return await anext(stream, None)

        async def end() -> None:
            await stream.aclose()

        try:
            while (event := self._do(following())) is not None:
                yield event
        finally:
            self._do(end())

    def health(self) -> Health:
        """Is it there, and ready?"""
        return self._do(self._client.health())

    def state(self) -> State:
        """The snapshot."""
        return self._do(self._client.state())

    def nodes(self) -> Nodes:
        """Every node, type and pack."""
        return self._do(self._client.nodes())

    def choices(self, node: str, input: str) -> list[str]:
        """What an input may be set to just now."""
        return self._do(self._client.choices(node, input))

    def check(self, workflow: Document) -> Checked:
        """What is wrong with a workflow."""
        return self._do(self._client.check(workflow))

    def plan(
        self, workflow: Document, parameters: Mapping[str, Any] | None = None, targets: Sequence[str] | None = None
    ) -> Planned:
        """What would run, and why."""
        return self._do(self._client.plan(workflow, parameters, targets))

    def models(self) -> dict[str, list[ModelRow]]:
        """Every model, by kind."""
        return self._do(self._client.models())

    def memory(self) -> MemoryShape:
        """Who holds what."""
        return self._do(self._client.memory())

    def settings(self, change: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The settings; changed first where `change` is given."""
        return self._do(self._client.settings(change))

    def submit(
        self,
        workflow: Document,
        parameters: Mapping[str, Any] | None = None,
        targets: Sequence[str] | None = None,
        *,
        again: bool = False,
        title: str | None = None,
        key: str | None = None,
    ) -> JobShape:
        """Submit a job."""
        return self._do(self._client.submit(workflow, parameters, targets, again=again, title=title, key=key))

    def run(
        self, name: str, parameters: Mapping[str, Any] | None = None, *, again: bool = False, key: str | None = None
    ) -> JobShape:
        """Run a workflow that is saved on the server."""
        return self._do(self._client.run(name, parameters, again=again, key=key))

    def job(self, id: str) -> JobShape:
        """A job, with its workflow."""
        return self._do(self._client.job(id))

    def jobs(self) -> list[JobShape]:
        """What runs, waits, and ended lately."""
        return self._do(self._client.jobs())

    def history(self, before: float | None = None, limit: int = 50) -> list[JobShape]:
        """Finished jobs, newest first."""
        return self._do(self._client.history(before, limit))

    def forget(self, id: str) -> None:
        """Delete a job from the history."""
        self._do(self._client.forget(id))

    def cancel(self, id: str) -> JobShape:
        """Stop a job."""
        return self._do(self._client.cancel(id))

    def move(self, id: str, position: int) -> JobShape:
        """Give a queued job another place."""
        return self._do(self._client.move(id, position))

    def queue(self, paused: bool | None = None, clear: bool = False) -> Queue:
        """Pause or go on; cancel what waits."""
        return self._do(self._client.queue(paused, clear))

    def wait(self, id: str) -> JobShape:
        """Wait for a job's end."""
        return self._do(self._client.wait(id))

    def events(self, since: int | None = None, epoch: str = "", *, previews: bool = False) -> Iterator[Event]:
        """Every event from now on, or since a number."""
        return self._each(self._client.events(since, epoch, previews=previews))

    def follow(self, id: str, *, previews: bool = False) -> Iterator[Event]:
        """A job's events until its last."""
        return self._each(self._client.follow(id, previews=previews))

    def picture(self, blob: Blob | str, size: int | None = None) -> bytes:
        """The bytes of a picture."""
        return self._do(self._client.picture(blob, size))

    def upload(self, picture: Path | bytes, name: str = "picture.png") -> Uploaded:
        """Send a picture."""
        return self._do(self._client.upload(picture, name))

    def open(self, file: Path | bytes, name: str = "picture.png") -> dict[str, Any]:
        """The workflow in a picture or a JSON file."""
        return self._do(self._client.open(file, name))

    def file(self, place: str, name: str) -> bytes:
        """A picture in `input` or `output`."""
        return self._do(self._client.file(place, name))

    def workflows(self) -> list[WorkflowRow]:
        """Every workflow on the server."""
        return self._do(self._client.workflows())

    def workflow(self, name: str, version: str | None = None) -> SavedWorkflow:
        """A workflow on the server."""
        return self._do(self._client.workflow(name, version))

    def save(self, name: str, workflow: Document, modified: float | None = None) -> SavedWorkflow:
        """Keep a workflow on the server."""
        return self._do(self._client.save(name, workflow, modified))

    def delete(self, name: str) -> None:
        """Take a workflow away."""
        self._do(self._client.delete(name))


# --- small things --------------------------------------------------------------------------------------------------


def document(workflow: Document) -> dict[str, Any]:
    """A workflow as plain data."""
    return to_json(workflow) if isinstance(workflow, Workflow) else dict(workflow)


def _is(kind: type[T], value: Any) -> T:
    assert isinstance(value, kind)
    return value


def _list(targets: Sequence[str] | None) -> list[str] | None:
    return list(targets) if targets is not None else None


def _at(name: str) -> str:
    return f"/api/workflows/{quote(name, safe='/:')}"


def _form(file: Path | bytes, name: str) -> aiohttp.FormData:
    form = aiohttp.FormData()
    if isinstance(file, Path):
        name = file.name
    data = file.read_bytes() if isinstance(file, Path) else file
    form.add_field("file", data, filename=name, content_type="application/octet-stream")
    return form


def _event(message: aiohttp.WSMessage) -> Event | None:
    if message.type is aiohttp.WSMsgType.TEXT:
        found: Event = json.loads(message.data)
        return found
    if message.type is aiohttp.WSMsgType.BINARY:
        _, header, body = unframe(message.data)
        return {"event": "step_preview", **header, "image": body}
    return None


def _ended(job: JobShape) -> Event:
    """The last event of a job that is over, as the socket would have told it."""
    shape = encode(job)
    kept = {name: shape[name] for name in ("state", "outputs", "values", "files", "problems")}
    return {"event": "job_finished", "job": job.id, **kept}


def _refused(status: int, data: bytes) -> WeftError:
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
