"""Live: the socket. Hello, then every event; one pump a client, and who does not read is cut."""

from __future__ import annotations

import asyncio
import contextlib
import json

from aiohttp import WSMsgType, web

from engine.server.house import HOUSE, House
from engine.server.hub import TOO_SLOW, Client, Message
from engine.server.routing import asked, route

HEARTBEAT = 20.0
MAX_MESSAGE = 2**16
GOING_AWAY = 1001


@route("GET", "/ws", "websocket", query={"epoch": str, "since": int})
async def live(house: House, request: web.Request) -> web.StreamResponse:
    """Events as JSON, previews as binary frames. `epoch` and `since` resume after an interruption.

    A client may send `{"previews": false}` when it shows none: then none are decoded for it.
    """
    client = house.hub.join(request.query.get("epoch", ""), asked(request, "since", int), house.owner(request))
    try:
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT, max_msg_size=MAX_MESSAGE, compress=False)
        await socket.prepare(request)
        house.sockets.add(socket)
        await _follow(client, socket)
        house.sockets.discard(socket)
        return socket
    finally:
        house.hub.leave(client)


async def _follow(client: Client, socket: web.WebSocketResponse) -> None:
    async def send(message: Message) -> None:
        if isinstance(message, bytes):
            await socket.send_bytes(message)
        else:
            await socket.send_str(message)

    reader = asyncio.create_task(_listen(client, socket))
    pump = asyncio.create_task(client.pump(send))
    try:
        await asyncio.wait({reader, pump}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (reader, pump):
            task.cancel()
        await asyncio.gather(reader, pump, return_exceptions=True)
    if client.too_slow and not socket.closed:
        # Its window is full: the closing message may never get through, and must not hold anything up.
        transport = socket._req.transport if socket._req is not None else None
        with contextlib.suppress(asyncio.TimeoutError, ConnectionError):
            await asyncio.wait_for(socket.close(code=TOO_SLOW, message=b"too slow", drain=False), 1)
        if transport is not None:
            transport.abort()


async def _listen(client: Client, socket: web.WebSocketResponse) -> None:
    async for message in socket:
        if message.type is not WSMsgType.TEXT:
            continue
        with contextlib.suppress(ValueError, RecursionError):
            said = json.loads(message.data)
            if isinstance(said, dict) and isinstance(said.get("previews"), bool):
                client.previews = said["previews"]


async def hang_up(app: web.Application) -> None:
    """The server ends: tell everyone, so that they try again."""
    for socket in list(app[HOUSE].sockets):
        with contextlib.suppress(ConnectionError, asyncio.TimeoutError):
            await asyncio.wait_for(socket.close(code=GOING_AWAY, message=b"the server ends"), 1)
