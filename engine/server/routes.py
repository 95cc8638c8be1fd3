"""Routes: the API, one function an address. Each is thin: what it does stands in the room it names."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

from aiohttp import hdrs, web

from engine.errors import Problem, WeftError, fail
from engine.graph import check as check_graph
from engine.graph import flow_specs
from engine.places import Places
from engine.plan import PlanStep
from engine.registry import Registry
from engine.server import content, endpoint, forecast, gallery, jobs, live, machine, metrics, models, results, tabs  # noqa: F401  their routes
from engine.server import writing as _writing  # noqa: F401
from engine.server.album import Album, name_of
from engine.server.codec import decode, encode
from engine.server.house import House
from engine.server.routing import ROUTES, install, route
from engine.server.shapes import (
    Blob,
    Checked,
    CheckRequest,
    ChoiceList,
    Health,
    Machine,
    Nodes,
    PackShape,
    Planned,
    PlanRequest,
    PlanStepShape,
    ProblemShape,
    Queue,
    Settings,
    State,
)
from engine.session import Session
from engine.sockets import Type, fit
from engine.workflow import from_json

__all__ = ["ROUTES", "install"]

MAX_SETTINGS = 256 * 2**10
OWN = ("queue.", "user.")  # names that the server keeps for itself


@route("GET", "/healthz", Health, open=True)
async def health(house: House, request: web.Request) -> Health:
    """Is the process there? The one address that needs no token."""
    return Health(True, house.ready, house.version)


@route("GET", "/api/state", State)
async def state(house: House, request: web.Request) -> State:
    """The snapshot to start from: machine, queue, settings, and the number of the last event in it."""
    book = await house.book()
    owner = house.owner(request)
    found = await asyncio.to_thread(house.store.settings)
    numerics = book.session.engine.numerics
    # No await from here on: epoch, number and queue belong to one moment.
    return State(
        version=house.version,
        epoch=house.hub.epoch,
        seq=house.hub.seq,
        numerics=Machine(numerics.device, numerics.dtype, numerics.threads),
        queue=Queue(book.paused, book.open_jobs(owner)),
        settings=_public(found, owner),
        user=owner or None,
    )


@route("GET", "/api/settings", Settings)
async def settings(house: House, request: web.Request) -> Settings:
    """What is remembered for everyone who opens the editor."""
    found = await asyncio.to_thread(house.store.settings)
    return Settings(_public(found, house.owner(request)))


@route("PUT", "/api/settings", Settings, takes=Settings)
async def set_settings(house: House, request: web.Request, body: Settings) -> Settings:
    """Change some of them; null forgets one."""
    for name, value in body.settings.items():
        if not name or len(name) > 100 or name.startswith(OWN):
            raise fail("server.request", f"'{name[:40]}' cannot be a setting's name", mend="choose another")
        if len(json.dumps(value)) > MAX_SETTINGS:
            raise fail("server.limit", f"'{name}' is too long", mend="keep less in it")
    owner = house.owner(request)
    await asyncio.to_thread(
        house.store.set_settings, {_prefix(owner) + name: value for name, value in body.settings.items()}
    )
    if owner:
        house.hub.tell({"event": "settings_changed", "settings": body.settings}, owner)
    else:
        house.hub.publish({"event": "settings_changed", "settings": body.settings}, "")
    found = await asyncio.to_thread(house.store.settings)
    return Settings(_public(found, house.owner(request)))


def _prefix(owner: str) -> str:
    return f"user.{owner}." if owner else ""


def _public(found: dict[str, Any], owner: str) -> dict[str, Any]:
    """The settings of one person, without the server's own."""
    prefix = _prefix(owner)
    mine = {name.removeprefix(prefix): value for name, value in found.items() if name.startswith(prefix)}
    return mine if owner else {name: value for name, value in mine.items() if not name.startswith(OWN)}


# --- nodes ---------------------------------------------------------------------------------------------------------


@route("GET", "/api/nodes", Nodes)
async def nodes(house: House, request: web.Request) -> web.Response:
    """Every node (the engine's own have `flow`), type and pack, and what may be wired to what."""
    data = await house.listing(lambda session: encode(_nodes(session.engine.registry)))
    reply = web.Response(body=data, content_type="application/json")
    reply.enable_compression()
    return reply


def _nodes(registry: Registry) -> Nodes:
    own = [{**spec.to_json(), "flow": True} for spec in flow_specs().values()]
    packs = [
        PackShape(
            pack.name,
            pack.version,
            pack.title,
            decode(ProblemShape, pack.problem.to_json()) if pack.problem is not None else None,
        )
        for pack in registry.packs
    ]
    return Nodes(
        [*(spec.to_json() for spec in registry.nodes.values()), *own],
        [kind.to_json() for kind in registry.types.values()],
        packs,
        connections(registry),
    )


def connections(registry: Registry) -> dict[str, dict[str, Any]]:
    """For every type that an output gives and every type that an input takes: does it fit?

    Names are those of `Type`, with all choices as `choice` and all variants as `variant`: which of them fit is for
    `POST /api/check` to say.
    """
    specs = [*registry.nodes.values(), *flow_specs().values()]
    sources = {_kind(out.type): out.type for spec in specs for out in spec.outputs}
    targets = {_kind(item.type): item.type for spec in specs for item in spec.inputs if item.wired}
    table: dict[str, dict[str, Any]] = {}
    for name, source in sorted(sources.items()):
        table[name] = {other: _verdict(registry, source, target) for other, target in sorted(targets.items())}
    return table


def _kind(kind: Type) -> str:
    if kind.name in ("choice", "variant"):
        return kind.name + ("?" if kind.optional else "")
    return str(kind)


def _verdict(registry: Registry, source: Type, target: Type) -> str:
    verdict = fit(source, target, registry.bases, {}).verdict
    # Two choices fit or not by their options, which differ from input to input.
    return "unknown" if source.name == target.name == "choice" and verdict != "fits" else verdict


@route("GET", "/api/choices", ChoiceList, query={"node": str, "input": str})
async def choices(house: House, request: web.Request) -> ChoiceList:
    """What an input may be set to just now: models, files, or whatever its node offers."""
    session = await house.session()
    spec = session.engine.registry.get(request.query.get("node", ""))
    item = spec.by_name.get(request.query.get("input", "")) if spec is not None else None
    if item is None:
        raise fail("server.missing", "there is no such input", mend="give node=TYPE and input=NAME")

    return ChoiceList(await asyncio.to_thread(endpoint.choices_of, item, house.places_of(request)))


# --- check and plan ------------------------------------------------------------------------------------------------


@route("POST", "/api/check", Checked, takes=CheckRequest)
async def check(house: House, request: web.Request, body: CheckRequest) -> Checked:
    """Everything that is wrong with a workflow, each with its place and the next step; and advice."""
    session = await house.session()

    def look() -> Iterable[Problem]:
        try:
            return check_graph(from_json(body.workflow), session.engine.registry)
        except WeftError as error:
            return error.problems

    found = await asyncio.to_thread(look)
    return Checked(
        [_shape(problem) for problem in found if problem.severity != "lint"],
        [_shape(problem) for problem in found if problem.severity == "lint"],
    )


@route("POST", "/api/plan", Planned, takes=PlanRequest)
async def plan(house: House, request: web.Request, body: PlanRequest) -> Planned:
    """What would run now, why and for how long. A workflow that cannot be bound has no steps, but its problems."""
    session, album, owner = await house.session(), (await house.book()).diary.album, house.owner(request)
    try:
        return await asyncio.to_thread(_plan, session, album, owner, body, house.places_of(request) if owner else None)
    except WeftError as error:
        return Planned([], [_shape(problem) for problem in error.problems], [], {})


def _plan(session: Session, album: Album, owner: str, body: PlanRequest, places: Places | None) -> Planned:
    frontier, drawn = session.look(from_json(body.workflow), body.parameters, body.targets, places=places)
    made = frontier.snapshot()
    names = {
        path: {output: name_of(template) for output, template in step.outputs.items()}
        for path, step in frontier.lives.items()
    }
    seen = album.find(owner, (name for outputs in names.values() for name in outputs.values()))
    pictures = {
        path: {out: seen[name] for out, name in outputs.items() if name in seen} for path, outputs in names.items()
    }
    return Planned(
        [_row(row, pictures.get(row.path) or {}) for row in made.steps],
        [_shape(problem) for problem in made.problems],
        [_shape(problem) for problem in made.lints],
        dict(drawn),
        made.seconds,
        made.memory,
    )


def _row(row: PlanStep, pictures: dict[str, list[Blob]]) -> PlanStepShape:
    problem = _shape(row.problem) if row.problem is not None else None
    known = row._replace(waits_for=list(row.waits_for), problem=problem)  # type: ignore[arg-type]
    return PlanStepShape(**known._asdict(), pictures=pictures)


def _shape(problem: Problem) -> ProblemShape:
    return decode(ProblemShape, problem.to_json())


# --- the description -----------------------------------------------------------------------------------------------


@route("GET", "/api/openapi.json", "application/json")
async def openapi(house: House, request: web.Request) -> web.Response:
    """This API, as OpenAPI 3.1."""
    from engine.server.openapi import describe

    return web.json_response(describe(ROUTES, house.version), headers={hdrs.CACHE_CONTROL: "no-cache"})
