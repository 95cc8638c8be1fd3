"""Results over HTTP: the graph that made one, two of them compared, what was tried before."""

from __future__ import annotations

import asyncio

from aiohttp import web

from engine.errors import fail
from engine.server.house import House
from engine.server.routing import asked, route
from engine.server.shapes import ChangeShape, Diff, DiffRequest, GraphShape, ResultRef, Trail, TrailRequest
from engine.server.trail import graph_of, trail
from engine.workflow import Workflow, from_json, to_json
from engine.workflow.changes import differences


@route("GET", "/api/jobs/{id}/graph", GraphShape, query={"item": int})
async def graph(house: House, request: web.Request) -> GraphShape:
    """The exact workflow that made a result, with every value and seed as it ran; of an `item`, with its own."""
    ref = ResultRef(request.match_info["id"], asked(request, "item", int))
    return GraphShape(to_json(await asyncio.to_thread(_find, house, ref, house.owner(request))))


@route("POST", "/api/diff", Diff, takes=DiffRequest)
async def diff(house: House, request: web.Request, body: DiffRequest) -> Diff:
    """In what two results (or workflows) differ: nodes, inputs, wires; layout aside."""
    owner = house.owner(request)

    def compare() -> list[ChangeShape]:
        found = differences(_find(house, body.a, owner), _find(house, body.b, owner))
        return [ChangeShape(change.what, change.before, change.after) for change in found]

    return Diff(await asyncio.to_thread(compare))


@route("POST", "/api/trail", Trail, takes=TrailRequest)
async def value_trail(house: House, request: web.Request, body: TrailRequest) -> Trail:
    """Earlier results whose graph is equal but for one input, newest first, one for each value. Nothing runs."""
    session = await house.session()
    workflow = from_json(body.workflow)
    workflow = workflow.with_defaults(body.parameters).with_parameters(body.parameters)
    registry, owner = session.engine.registry, house.owner(request)
    points = await asyncio.to_thread(trail, house.store, registry, workflow, body.to, owner)
    return Trail(points)


def _find(house: House, ref: ResultRef, owner: str) -> Workflow:
    if ref.workflow is not None:
        return from_json(ref.workflow)
    row = house.store.get(ref.job or "")
    if row is None or owner not in ("", row.owner):
        raise fail("server.missing", f"there is no job '{(ref.job or '')[:40]}'", mend="GET /api/jobs lists them")
    items = house.store.items(row.id)
    if ref.item is None:
        return graph_of(row, items[0].sets if len(items) == 1 else None)
    item = next((one for one in items if one.item == ref.item), None)
    if item is None:
        has = f"it has items 0 to {len(items) - 1}" if items else "it has none"
        raise fail("server.missing", f"the job has no item {ref.item}", mend=has)
    return graph_of(row, item.sets)
