"""Models over HTTP: the shelf with its pictures and notes, and which workflow needs what of it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from urllib.parse import quote

from aiohttp import hdrs, web

from engine import shelf
from engine.errors import WeftError, fail
from engine.places import MODEL_FOLDERS
from engine.server.house import House
from engine.server.library import Library
from engine.server.routing import route
from engine.server.shapes import ModelNotes, ModelRow, NeedShape, WorkflowRow
from engine.server.thumbs import small
from engine.session import Session
from engine.shelf.beside import notes_of, picture_beside


@route("GET", "/api/models", dict[str, list[ModelRow]])
async def models(house: House, request: web.Request) -> dict[str, list[ModelRow]]:
    """Every model that is found, by kind, with its family and what it fits; parts of a whole stand with the whole."""
    session = await house.session()
    return await asyncio.to_thread(_models, session)


def _models(session: Session) -> dict[str, list[ModelRow]]:
    found = shelf.listing(session.engine.places, session.engine.registry)
    return {kind: [_model(row) for row in rows] for kind, rows in found.items()}


def _model(row: shelf.Row) -> ModelRow:
    about = row.about
    beside = picture_beside(row.path)
    picture = f"/api/models/{row.kind}/{quote(row.name)}/picture" if beside is not None else None
    told = (about.family, about.what, about.fits, about.precision, about.problem)
    return ModelRow(row.name, row.bytes, *told, picture, about.side)


@route("GET", "/api/models/{kind}/{name:.+}/picture", "image/*")
async def model_picture(house: House, request: web.Request) -> web.FileResponse:
    """The picture that lies beside a model, small."""
    session = await house.session()
    kind, name = _asked(request)
    path = await asyncio.to_thread(lambda: picture_beside(session.engine.places.model(kind, name)))
    if path is None:
        raise fail("server.missing", "the model has no picture", mend="put name.preview.png beside it")
    made = await asyncio.to_thread(small, house, path, 256)
    return web.FileResponse(made, headers={hdrs.CONTENT_TYPE: "image/webp", hdrs.CACHE_CONTROL: "no-cache"})


@route("GET", "/api/models/{kind}/{name:.+}", ModelNotes)
async def model(house: House, request: web.Request) -> ModelNotes:
    """What a model's file says of itself: title, author, the words that call up what a LoRA learned."""
    session = await house.session()
    kind, name = _asked(request)
    found = await asyncio.to_thread(lambda: notes_of(session.engine.places.model(kind, name)))
    return ModelNotes(kind, name, found.title, found.author, found.about, found.licence, found.base, list(found.words))


def _asked(request: web.Request) -> tuple[str, str]:
    kind, name = request.match_info["kind"], request.match_info["name"]
    if kind not in MODEL_FOLDERS:
        raise fail("server.missing", f"there is no kind '{kind[:40]}'", mend=f"kinds are: {', '.join(MODEL_FOLDERS)}")
    return kind, name


def with_needs(rows: Sequence[WorkflowRow], library: Library, session: Session) -> list[WorkflowRow]:
    """Workflows, each with the models that it names and whether they are there."""
    return [dataclasses.replace(row, needs=_needs(row, library, session)) for row in rows]


def _needs(row: WorkflowRow, library: Library, session: Session) -> list[NeedShape]:
    try:
        workflow = library.parsed(row.name)
    except WeftError:
        return []  # it is listed, and says itself that it cannot be read
    found = shelf.needs(workflow, session.engine.registry, session.engine.places)
    return [NeedShape(one.kind, one.name, one.node, one.there, one.mend) for one in found]
