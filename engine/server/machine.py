"""Machine over HTTP: who holds what memory, giving it back, and where the folders are."""

from __future__ import annotations

import asyncio

from aiohttp import web

from engine.disk import Disk
from engine.errors import fail
from engine.server.house import House
from engine.server.routing import route
from engine.server.shapes import DeviceMemory, DiskShape, Folder, Freed, FreeRequest, MemoryShape, Resident
from engine.session import Session


@route("GET", "/api/memory", MemoryShape)
async def memory(house: House, request: web.Request) -> MemoryShape:
    """Who holds what on each device, largest first; and how much is kept on disk."""
    return await asyncio.to_thread(_memory, await house.session())


@route("POST", "/api/memory/free", Freed, takes=FreeRequest)
async def free(house: House, request: web.Request, body: FreeRequest) -> Freed:
    """Give memory back: models, values, or what is kept on disk. What a run is using stays. For the owner alone."""
    house.only_owner(request)
    if not (body.models or body.values or body.disk):
        raise fail("server.request", "nothing is named to be given back", mend="set models, values or disk to true")
    session = await house.session()
    freed = await asyncio.to_thread(session.engine.free, models=body.models, values=body.values, disk=body.disk)
    house.hub.publish({"event": "memory_freed"}, "")
    return Freed(freed)


@route("GET", "/api/folders", list[Folder])
async def folders(house: House, request: web.Request) -> list[Folder]:
    """Where pictures, workflows, models and nodes lie on the server's disk; a user is told of none."""
    house.only_owner(request)
    places = (await house.session()).engine.places
    named = [("output", places.output), ("input", places.input), ("workflows", places.workflows)]
    named += [("models", root) for root in places.roots()]
    named += [("nodes", places.nodes), ("cache", places.home / "cache")]
    return [Folder(what, str(path)) for what, path in named]


def _memory(session: Session) -> MemoryShape:
    devices = []
    for name, rows in session.engine.memory.report().items():
        device, budget = session.engine.memory.device(name), session.engine.memory.budget(name)
        residents = [Resident(*row) for row in rows]
        devices.append(DeviceMemory(name, device.total(), device.free(), budget.limit, budget.used, residents))
    lower = session.engine.cache.lower
    return MemoryShape(devices, DiskShape(*lower.held(), lower.limit) if isinstance(lower, Disk) else None)
