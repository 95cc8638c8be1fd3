"""Follow: a job's end reaches who waits for it, wherever the line breaks and however often."""

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
from aiohttp import web

from engine.client import AsyncClient
from tests.engine.fakes import gate
from tests.engine.flows import box
from tests.engine.server.conftest import TOKEN
from tests.engine.server.painted import document

Cut = Callable[[int, int], bool]


class Line:
    """A line to a server that breaks: `cut(connection, message)`, both from 0, says after which message it does."""

    def __init__(self, server: str, cut: Cut, broken: Callable[[int], Awaitable[None]]) -> None:
        self.server, self.cut, self.broken = server, cut, broken
        self.connections = 0
        self.down = False  # requests that are no socket's are hung up on

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with aiohttp.ClientSession(self.server, headers=headers) as session:
            if request.path != "/ws":
                if self.down:
                    request.transport.abort()
                async with session.request(request.method, request.path_qs) as reply:
                    return web.Response(body=await reply.read(), status=reply.status, content_type=reply.content_type)
            here, self.connections = self.connections, self.connections + 1
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            async with session.ws_connect(request.path_qs) as behind:
                count = 0
                async for message in behind:
                    await socket.send_str(message.data)
                    if self.cut(here, count):
                        break
                    count += 1
            await self.broken(here)
            return socket


async def followed(running, cut: Cut, broken: Callable[[Line, int], Awaitable[None]], job: str):
    """The events that a client sees over such a line, to the job's end."""
    line = Line(running.client._client.base, cut, lambda number: broken(line, number))
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", line.pass_on)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with AsyncClient(address, TOKEN) as weft, asyncio.timeout(60):
            return [event async for event in weft.follow(job)]
    finally:
        await runner.cleanup()


def waiting(name: str):
    return document({"m": box("toy.make"), "g": box("toy.gate", thing="@m", name=name)}, outputs={"out": "g"})


def test_a_line_that_breaks_between_the_hello_and_what_was_missed_loses_no_event(running):
    job = running.client.submit(waiting("hello"))
    assert gate("hello").reached.wait(10)

    async def broken(line: Line, number: int) -> None:
        if number == 0:  # the job ends while nobody listens
            gate("hello").open.set()
            await asyncio.to_thread(running.client.wait, job.id)

    events = asyncio.run(
        followed(running, lambda line, count: line < 3 and count == (1 if line == 0 else 0), broken, job.id)
    )
    told = [event["seq"] for event in events if "seq" in event]
    assert events[-1]["event"] == "job_finished" and events[-1]["state"] == "succeeded"
    assert told == list(range(told[0], told[-1] + 1)), "every event once, in order"
