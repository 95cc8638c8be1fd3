"""Blocking: the same client for programs that wait; a loop on a thread of its own does the work."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from engine.client.asynchronous import AsyncClient
from engine.client.wire import Document, Event
from engine.server.shapes import (
    Blob,
    ChangeShape,
    Checked,
    Endpoint,
    Folder,
    Forecast,
    Gallery,
    Health,
    JobShape,
    MemoryShape,
    ModelRow,
    Nodes,
    Planned,
    Queue,
    ResultRef,
    SavedWorkflow,
    State,
    Tab,
    TokenCount,
    TrailPoint,
    Uploaded,
    Words,
    WorkflowRow,
)

T = TypeVar("T")


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
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C: what was asked for is not waited for any more
            raise

    def _each(self, stream: AsyncGenerator[Event, None]) -> Iterator[Event]:
        async def following() -> Event | None:
            return await anext(stream, None)

        async def end() -> None:
            await stream.aclose()

        try:
            while (event := self._do(following())) is not None:
                yield event
        finally:
            with contextlib.suppress(RuntimeError):  # it was interrupted, and is ending by itself
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

    def words(self, node: str, input: str) -> Words:
        """What may be completed in a text: names by kind, and words of earlier prompts."""
        return self._do(self._client.words(node, input))

    def tokens(self, workflow: Document, to: str) -> list[TokenCount]:
        """The tokens of a text input (`path.input`), for every encoder that reads it."""
        return self._do(self._client.tokens(workflow, to))

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

    def free(self, *, models: bool = False, values: bool = False, disk: bool = False) -> int:
        """Give memory back, as far as it is not in use: models, values, what is kept on disk; the bytes."""
        return self._do(self._client.free(models=models, values=values, disk=disk))

    def folders(self) -> list[Folder]:
        """Where pictures, workflows, models and nodes lie on the server's disk."""
        return self._do(self._client.folders())

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
        **more: Any,
    ) -> JobShape:
        """Submit a job; `more` are the further fields of `JobRequest`."""
        return self._do(self._client.submit(workflow, parameters, targets, again=again, title=title, key=key, **more))

    def retry(self, id: str, items: Sequence[int] | None = None, key: str | None = None) -> JobShape:
        """A new job with the same values."""
        return self._do(self._client.retry(id, items, key))

    def finish(
        self,
        id: str,
        items: Sequence[int] | None = None,
        set: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> JobShape:
        """A new job that carries the chosen items of one that stopped early to their end."""
        return self._do(self._client.finish(id, items, set, key))

    def graph(self, id: str, item: int | None = None) -> dict[str, Any]:
        """The exact workflow that made a result."""
        return self._do(self._client.graph(id, item))

    def diff(self, a: ResultRef, b: ResultRef) -> list[ChangeShape]:
        """In what two results, or workflows, differ."""
        return self._do(self._client.diff(a, b))

    def trail(self, workflow: Document, to: str, parameters: Mapping[str, Any] | None = None) -> list[TrailPoint]:
        """Earlier results whose graph is equal but for one input."""
        return self._do(self._client.trail(workflow, to, parameters))

    def gallery(
        self, search: str = "", before: float | None = None, limit: int = 60, favourites: bool = False
    ) -> Gallery:
        """Pictures that were made, newest first, whose graphs have these words."""
        return self._do(self._client.gallery(search, before, limit, favourites))

    def forget_picture(self, job: str, item: int | None = None) -> None:
        """Forget what one item of a finished job made."""
        self._do(self._client.forget_picture(job, item))

    def forecast(self, workflow: Document, parameters: Mapping[str, Any] | None = None, **more: Any) -> Forecast:
        """What `submit` with the same fields would run; what items share is counted once."""
        return self._do(self._client.forecast(workflow, parameters, **more))

    def tabs(self) -> list[Tab]:
        """Every tab that is open."""
        return self._do(self._client.tabs())

    def tab(self, name: str) -> Tab:
        """A tab, with what is in it."""
        return self._do(self._client.tab(name))

    def put_tab(self, name: str, body: Mapping[str, Any], version: int | None = None) -> Tab:
        """Keep a tab."""
        return self._do(self._client.put_tab(name, body, version))

    def close_tab(self, name: str) -> None:
        """Close a tab in every browser."""
        self._do(self._client.close_tab(name))

    def run(
        self,
        name: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        again: bool = False,
        key: str | None = None,
        **more: Any,
    ) -> JobShape:
        """Run a workflow that is saved on the server; pictures may be paths or bytes."""
        return self._do(self._client.run(name, parameters, again=again, key=key, **more))

    def endpoint(self, name: str) -> Endpoint:
        """What a saved workflow takes and gives."""
        return self._do(self._client.endpoint(name))

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

    def cancel(self, id: str, items: Sequence[int] | None = None) -> JobShape:
        """Stop a job, or some of its items."""
        return self._do(self._client.cancel(id, items))

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
