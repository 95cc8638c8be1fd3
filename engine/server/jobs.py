"""Jobs over HTTP: submit, follow to the end, list, cancel, move, pause; the history; workflows as endpoints."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

from aiohttp import hdrs, web

from engine.errors import Problem, WeftError, fail
from engine.server.codec import encode
from engine.server.house import House
from engine.server.routing import asked, route
from engine.server.shapes import (
    FinishRequest,
    ItemsRequest,
    JobRequest,
    Jobs,
    JobShape,
    MoveRequest,
    ProblemShape,
    Queue,
    QueueRequest,
)

PICTURE = "image/png"
KEY_LENGTH = 200


@route("POST", "/api/jobs", JobShape, takes=JobRequest, query={"wait": str}, status=201)
async def submit(house: House, request: web.Request, body: JobRequest) -> web.StreamResponse:
    """Accept a job. No event of it comes before this reply.

    An `Idempotency-Key` makes the request safe to repeat: it gives the job of the first time. With `?wait` the reply
    comes at the end of the job, and with `Accept: image/png` it is its first picture.
    """
    return await accept(house, request, body)


async def accept(house: House, request: web.Request, body: JobRequest) -> web.StreamResponse:
    """Accept a job and reply; then let it begin."""
    book = await house.book()
    if body.webhook is not None:
        book.hooks.check(body.webhook)
    sender = house.sender(request)
    if sender.owner:
        house.submissions.take(sender.owner)
        await asyncio.to_thread(house.users.check, sender.owner)  # before anything is fetched or kept for it
    body = await house.incoming(request).bring(body, book.session.engine.registry)
    return await reply_with(house, request, await book.submit(body, key_of(request), sender))


def key_of(request: web.Request) -> str | None:
    """The idempotency key of a request."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not (key.isascii() and key.isprintable() and 0 < len(key) <= KEY_LENGTH):
        raise fail("server.request", f"an Idempotency-Key is 1 to {KEY_LENGTH} plain characters", mend="shorten it")
    return key


async def reply_with(house: House, request: web.Request, taken: tuple[JobShape, bool]) -> web.StreamResponse:
    """Reply with a job that was accepted, at once or (`?wait`) at its end; then let it begin."""
    book = await house.book()
    job, fresh = taken
    try:
        if "wait" in request.query:
            book.release(job.id)
            return await _at_the_end(house, request, job)
        reply = web.json_response(encode(job), status=201 if fresh else 200)
        with contextlib.suppress(ConnectionError):  # the job is accepted, whether its sender still listens or not
            await reply.prepare(request)
            await reply.write_eof()
        return reply
    finally:
        book.release(job.id)


async def _at_the_end(house: House, request: web.Request, job: JobShape) -> web.StreamResponse:
    book = await house.book()
    entry = book.entries.get(job.id)
    if entry is not None:
        await entry.over.wait()
    job = await book.find(job.id)
    if PICTURE not in request.headers.get(hdrs.ACCEPT, ""):
        return web.json_response(encode(job))
    first = next((blob for blobs in job.outputs.values() for blob in blobs if blob.mime == PICTURE), None)
    path = house.blobs.find(first.blob) if first is not None else None
    if path is None:
        if job.problems:
            raise WeftError(_problem(shape) for shape in job.problems)
        raise fail("server.missing", f"the job {job.state} without a picture", mend="ask for JSON to see what it gave")
    return web.FileResponse(path, headers={hdrs.CONTENT_TYPE: PICTURE, "X-Weft-Job": job.id})


def _problem(shape: ProblemShape) -> Problem:
    text = shape.mend.text if shape.mend is not None else None
    place = {name: value for name, value in encode(shape.where).items() if value is not None}
    return fail(shape.code, shape.message, mend=text, **place).problem


@route("GET", "/api/jobs", Jobs)
async def list_jobs(house: House, request: web.Request) -> Jobs:
    """What runs, what waits in its order, and what ended lately."""
    return Jobs((await house.book()).recent(house.owner(request)))


@route("GET", "/api/jobs/{id}", JobShape)
async def get_job(house: House, request: web.Request) -> JobShape:
    """A job, also one of the history, with its workflow."""
    return await (await house.book()).find(request.match_info["id"])


@route("POST", "/api/jobs/{id}/cancel", JobShape, takes=ItemsRequest, optional=True)
async def cancel_job(house: House, request: web.Request, body: ItemsRequest) -> JobShape:
    """Stop a job at its next step, or some of its `items`; what is finished is kept, what is over stays as it is."""
    return await (await house.book()).cancel(request.match_info["id"], body.items)


@route("POST", "/api/jobs/{id}/retry", JobShape, takes=ItemsRequest, optional=True, query={"wait": str}, status=201)
async def retry_job(house: House, request: web.Request, body: ItemsRequest) -> web.StreamResponse:
    """A new job with the same values and seeds; of one with items, those that did not succeed, or those named."""
    taken = (await house.book()).derive(request.match_info["id"], body, key_of(request), house.sender(request))
    return await reply_with(house, request, await taken)


@route("POST", "/api/jobs/{id}/finish", JobShape, takes=FinishRequest, optional=True, query={"wait": str}, status=201)
async def finish_job(house: House, request: web.Request, body: FinishRequest) -> web.StreamResponse:
    """A new job that carries the chosen items of one that stopped early (`stop`) to their end, and saves them."""
    taken = (await house.book()).derive(request.match_info["id"], body, key_of(request), house.sender(request))
    return await reply_with(house, request, await taken)


@route("POST", "/api/jobs/{id}/move", JobShape, takes=MoveRequest)
async def move_job(house: House, request: web.Request, body: MoveRequest) -> JobShape:
    """Give a queued job another place; 0 is next."""
    return await (await house.book()).move(request.match_info["id"], body.position, house.owner(request))


@route("POST", "/api/queue", Queue, takes=QueueRequest)
async def queue(house: House, request: web.Request, body: QueueRequest) -> Queue:
    """Pause (what runs goes on), go on, or cancel all that waits."""
    book = await house.book()
    owner = house.owner(request)
    await book.set_queue(body.paused, body.clear, owner)
    return Queue(book.paused, book.open_jobs(owner))


@route("GET", "/api/history", Jobs, query={"before": float, "limit": int})
async def history(house: House, request: web.Request) -> Jobs:
    """Finished jobs with their workflows, newest first; `before` is the `finished` of the last one seen."""
    from engine.server.entry import shape_of

    limit = min(max(asked(request, "limit", int, 50), 1), 200)
    rows = await asyncio.to_thread(house.store.history, asked(request, "before", float), limit, house.owner(request))
    counts = await asyncio.to_thread(house.store.counts, [row.id for row in rows])
    return Jobs([replace(shape_of(row), counts=counts.get(row.id)) for row in rows])


@route("DELETE", "/api/history/{id}", Jobs)
async def forget(house: House, request: web.Request) -> Jobs:
    """Forget a finished job, and the pictures that no other job holds. Saved files stay."""
    book = await house.book()
    id = request.match_info["id"]
    row = await asyncio.to_thread(house.store.get, id)
    owner = row.owner if row is not None else ""
    job = await book.find(id)
    if job.finished is None:
        raise fail("server.conflict", "the job is not over yet", mend="cancel it first")
    await asyncio.to_thread(_forget, house, id)
    book.entries.pop(id, None)
    house.hub.publish({"event": "job_deleted", "job": id}, owner)
    return Jobs([])


def _forget(house: House, id: str) -> None:
    for blob in house.store.delete(id):
        house.blobs.delete(blob)
