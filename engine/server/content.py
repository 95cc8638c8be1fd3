"""Content over HTTP: pictures by hash, uploads, files, workflows."""

from __future__ import annotations

import asyncio

from aiohttp import hdrs, web

from engine.errors import fail
from engine.server import models, uploads
from engine.server.blobs import ENDINGS, SIZES
from engine.server.house import House
from engine.server.routing import asked, route
from engine.server.shapes import (
    Opened,
    SavedWorkflow,
    SaveRequest,
    Uploaded,
    WorkflowRow,
)
from engine.server.thumbs import small
from engine.workflow import from_json, to_json

FOREVER = {hdrs.CACHE_CONTROL: "private, max-age=31536000, immutable"}
MIMES = {f".{ending}": mime for ending, mime in ENDINGS.values()}


@route("GET", "/api/blobs/{hash}", "image/*", query={"size": int})
async def blob(house: House, request: web.Request) -> web.FileResponse:
    """A picture by its content hash; with `size` (64, 128, 256, 512) a thumbnail. Never changes."""
    name, size = request.match_info["hash"], asked(request, "size", int)
    if size is not None:
        path, mime = await asyncio.to_thread(house.blobs.thumbnail, name, size), "image/webp"
    else:
        path = await asyncio.to_thread(house.blobs.find, name)
        mime = MIMES[path.suffix] if path is not None else ""
    owner = house.owner(request)
    if path is not None and owner and not await asyncio.to_thread((await house.book()).shows, name, owner):
        path = None
    if path is None:
        raise fail("server.missing", "there is no picture of this hash", mend="run its job again")
    return web.FileResponse(path, headers={hdrs.CONTENT_TYPE: mime, **FOREVER})


@route("POST", "/api/uploads", Uploaded, file=True)
async def upload(house: House, request: web.Request) -> Uploaded:
    """Keep a picture (part `file`) in the input folder; the reply has the name to use in a workflow."""
    name, data, fields = await uploads.parts(request)
    if fields.get("place", "input") != "input":
        raise fail("server.request", "pictures are kept in 'input' alone", mend="send place=input")
    owner = house.owner(request)
    if owner:
        await asyncio.to_thread(house.users.check_bytes, owner, len(data))
    return await asyncio.to_thread(uploads.keep, house.places_of(request), name, data)


@route("GET", "/api/files/{place}/{name:.+}", "image/*", query={"size": int})
async def file(house: House, request: web.Request) -> web.FileResponse:
    """A picture in `input` or `output`, by its name."""
    place, name = request.match_info["place"], request.match_info["name"]
    path = await asyncio.to_thread(uploads.find, house.places_of(request), place, name)
    mime = uploads.SHOWN[path.suffix.lower()]
    size = asked(request, "size", int)
    if size is not None:
        if size not in SIZES:
            raise fail("server.request", f"there are no thumbnails of {size} pixels", mend=f"sizes: {SIZES}")
        path, mime = await asyncio.to_thread(small, house, path, size), "image/webp"
    return web.FileResponse(path, headers={hdrs.CONTENT_TYPE: mime, hdrs.CACHE_CONTROL: "no-cache"})


@route("POST", "/api/open", Opened, file=True)
async def open_file(house: House, request: web.Request) -> Opened:
    """The workflow in a picture that Weft saved, or in a JSON file (part `file`). Nothing is kept.

    A graph of ComfyUI, as a file or in a picture, is made one of Weft; `told` is what is to be looked at in it.
    """
    name, data, _ = await uploads.parts(request)
    registry = (await house.session()).engine.registry
    workflow, told = await asyncio.to_thread(uploads.open_workflow, name, data, registry)
    return Opened(to_json(workflow), told)


# --- workflows -----------------------------------------------------------------------------------------------------


@route("GET", "/api/workflows", list[WorkflowRow])
async def list_workflows(house: House, request: web.Request) -> list[WorkflowRow]:
    """Yours, newest first, then the templates; each with the models that it names."""
    session = await house.session()
    rows = await asyncio.to_thread(house.library_of(request).rows)
    return await asyncio.to_thread(models.with_needs, rows, house.library_of(request), session)


@route("GET", "/api/workflows/{name:.+}/thumbnail", "image/*", query={"size": int})
async def thumbnail(house: House, request: web.Request) -> web.FileResponse:
    """The picture of a workflow, small; with `size` 512 twice as large."""
    path = await asyncio.to_thread(house.library_of(request).picture, request.match_info["name"])
    if path is None:
        raise fail("server.missing", "the workflow has no picture", mend="save one beside it")
    made = await asyncio.to_thread(small, house, path, 512 if asked(request, "size", int) == 512 else 256)
    return web.FileResponse(made, headers={hdrs.CONTENT_TYPE: "image/webp", hdrs.CACHE_CONTROL: "no-cache"})


@route("GET", "/api/workflows/{name:.+}", SavedWorkflow, query={"version": str})
async def get_workflow(house: House, request: web.Request) -> SavedWorkflow:
    """A workflow, or with `version` what it was before. Templates are called `template:NAME`."""
    read = house.library_of(request).read
    return (await asyncio.to_thread(read, request.match_info["name"], request.query.get("version")))[1]


@route("PUT", "/api/workflows/{name:.+}", SavedWorkflow, takes=SaveRequest)
async def save_workflow(house: House, request: web.Request, body: SaveRequest) -> SavedWorkflow:
    """Keep a workflow; what was there becomes a version. With `modified`, refused if another saved meanwhile."""
    name, workflow = request.match_info["name"], from_json(body.workflow)
    saved = await asyncio.to_thread(house.library_of(request).save, name, workflow, body.modified)
    house.hub.publish({"event": "workflow_saved", "name": name, "modified": saved.modified}, house.owner(request))
    return saved


@route("DELETE", "/api/workflows/{name:.+}", list[WorkflowRow])
async def delete_workflow(house: House, request: web.Request) -> list[WorkflowRow]:
    """Take a workflow away; it stays among its versions."""
    name = request.match_info["name"]
    await asyncio.to_thread(house.library_of(request).delete, name)
    house.hub.publish({"event": "workflow_deleted", "name": name}, house.owner(request))
    return await asyncio.to_thread(house.library_of(request).rows)
