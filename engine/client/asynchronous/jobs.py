"""Jobs: submitted, changed, followed."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import aiohttp

from engine.client.asynchronous.connection import Connection
from engine.client.wire import Document, Event, document, ended, event_of, listed, picture_of, sure
from engine.errors import WeftError, fail
from engine.server.shapes import (
    Endpoint,
    FinishRequest,
    Gallery,
    ItemsRequest,
    JobRequest,
    Jobs,
    JobShape,
    MoveRequest,
    Queue,
    QueueRequest,
    RunRequest,
)

RETRY = (0.3, 10.0)  # seconds between two attempts to come back: the first, the longest


def _list(items: Sequence[int] | None) -> list[int] | None:
    return list(items) if items is not None else None


class JobCalls(Connection):
    """The calls about jobs, and the events of them."""

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

    async def gallery(
        self, search: str = "", before: float | None = None, limit: int = 60, favourites: bool = False
    ) -> Gallery:
        """Pictures that were made, newest first, whose graphs have these words; `next` is the `before` of the rest."""
        params = {"limit": str(limit), **({"search": search} if search else {})}
        params |= {"before": repr(before)} if before is not None else {}
        params |= {"favourites": "1"} if favourites else {}
        return sure(Gallery, await self._ask(Gallery, "GET", "/api/gallery", params=params))

    async def forget_picture(self, job: str, item: int | None = None) -> None:
        """Forget what one item of a finished job made; without items, or with the last picture, the job goes."""
        params = {} if item is None else {"item": str(item)}
        await self._ask(Gallery, "DELETE", f"/api/gallery/{quote(job, safe='')}", params=params)

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
                        # A hello that resumes tells the newest number; what was missed before it is still to come.
                        if event["event"] != "hello" or event["mode"] == "snapshot":
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
        unsure = False  # its end may have been missed
        try:
            async for event in stream:
                if event["event"] == "hello":
                    unsure = unsure or event["mode"] == "snapshot"
                    if unsure:
                        try:
                            job = await self.job(id)
                        except WeftError as error:
                            if error.code != "server.unreachable":
                                raise
                            continue  # it is gone again: the next hello is the time to ask
                        if job.finished is not None:
                            yield ended(job)
                            return
                        unsure = False
                elif event.get("job") == id:
                    yield event
                    if event["event"] == "job_finished":
                        return
        finally:
            await stream.aclose()
