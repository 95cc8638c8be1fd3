"""Gallery: every picture that was made, newest first, found by the words, models and values of its graph."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

from aiohttp import web

from engine.errors import fail
from engine.registry import Registry
from engine.server.entry import Entry, entry_of
from engine.server.house import House
from engine.server.routing import asked, route
from engine.server.shapes import Gallery, GalleryPicture, OutputShape
from engine.server.store import Row

LIMIT = 200  # pictures of one answer; the last job's are all in it, however many
CHUNK = 100  # jobs that are read at once
FAVOURITES = "favourites"  # the setting that the editor keeps its stars in


@route("GET", "/api/gallery", Gallery, query={"before": float, "limit": int, "search": str, "favourites": int})
async def gallery(house: House, request: web.Request) -> Gallery:
    """Pictures of finished jobs, newest first; `next` goes into `before` for those that follow, null at the end.

    Every word of `search` has to occur in the title, a node's name or type, or a value the picture was made with.
    `favourites=1` gives the starred ones alone.
    """
    limit = min(max(asked(request, "limit", int, 60), 1), LIMIT)
    words = (asked(request, "search", str) or "").lower().split()
    session, owner = await house.session(), house.owner(request)
    only: Set[str] | None = None
    if asked(request, "favourites", int):
        settings = await asyncio.to_thread(house.store.settings)
        held = settings.get(f"user.{owner}.{FAVOURITES}" if owner else FAVOURITES, [])
        only = {blob for blob in held if isinstance(blob, str)} if isinstance(held, list) else set()
    before = asked(request, "before", float)
    return await asyncio.to_thread(_page, house, session.engine.registry, owner, before, limit, words, only)


@route("DELETE", "/api/gallery/{id}", Gallery, query={"item": int})
async def forget_picture(house: House, request: web.Request) -> Gallery:
    """Forget what one item of a finished job made; with its last picture the job goes. Saved files stay."""
    book = await house.book()
    id, item = request.match_info["id"], asked(request, "item", int)
    row = await asyncio.to_thread(house.store.get, id)
    if row is None or house.owner(request) not in ("", row.owner):
        raise fail("server.missing", f"there is no job '{id[:40]}'", mend="GET /api/gallery lists the pictures")
    if row.finished is None:
        raise fail("server.conflict", "the job is not over yet", mend="cancel it first")
    gone = await asyncio.to_thread(_forget, house, row, item)
    book.entries.pop(id, None)
    if gone:
        house.hub.publish({"event": "job_deleted", "job": id}, row.owner)
    return Gallery([])


def _forget(house: House, row: Row, item: int | None) -> bool:
    """Is the whole job gone?"""
    entry = entry_of(row, house.store.items(row.id))
    others = [one for one in entry.items if one.index != item]
    kept = {blob for one in others for blob in one.blobs()}
    whole = item is None or not kept
    blobs = house.store.delete(row.id) if whole else house.store.forget_item(row.id, item or 0, kept)
    for blob in blobs:
        house.blobs.delete(blob)
    return whole


def _page(
    house: House,
    registry: Registry,
    owner: str,
    before: float | None,
    limit: int,
    words: Sequence[str],
    only: Set[str] | None,
) -> Gallery:
    found: list[GalleryPicture] = []
    while True:
        rows = house.store.history(before, CHUNK, owner, words)
        for row in rows:
            before = row.finished
            found += _pictures(house, registry, row, words, only)
            if len(found) >= limit:
                return Gallery(found, before)
        if len(rows) < CHUNK:
            return Gallery(found)


def _pictures(
    house: House, registry: Registry, row: Row, words: Sequence[str], only: Set[str] | None
) -> Iterator[GalleryPicture]:
    entry = entry_of(row, house.store.items(row.id))
    nodes = row.resolved.get("nodes", {})
    stop = bool(row.request.get("stop"))
    for one in entry.items or [entry]:
        shown = _shown(one)
        if not shown:
            continue
        values = {**_typed(nodes), **one.own}
        if words and not _matches(row, nodes, values, words):
            continue
        prompt = _prompt(nodes, values, registry)
        at = one.finished or row.finished or row.created
        for output in shown:
            if only is not None and output.blob not in only:
                continue
            yield GalleryPicture(
                job=row.id,
                blob=output.blob,
                width=output.width,
                height=output.height,
                title=row.title,
                at=at,
                item=one.index if entry.items else None,
                prompt=prompt,
                label=one.label,
                node=output.node,
                draft=stop,
            )


def _shown(entry: Entry) -> list[OutputShape]:
    """The pictures that a result is known by: those of the workflow's outputs, else the first that a node made."""
    made = [output for output in entry.item_shape().outputs if output.kind == "image"]
    return [output for output in made if output.name is not None] or made[:1]


def _typed(nodes: Mapping[str, Any]) -> dict[str, Any]:
    """Every value that stands in the graph, by `node.input`."""
    return {
        f"{name}.{socket}": value
        for name, node in nodes.items()
        for socket, value in node.get("inputs", {}).items()
        if not isinstance(value, dict)
    }


def _matches(row: Row, nodes: Mapping[str, Any], values: Mapping[str, Any], words: Sequence[str]) -> bool:
    named = [part for name, node in nodes.items() for part in (name, node.get("type", ""), node.get("title", ""))]
    said = [f"{target.partition('.')[2]} {value}" for target, value in values.items()]
    text = " ".join([row.title, *named, *said]).lower()
    return all(word in text for word in words)


def _prompt(nodes: Mapping[str, Any], values: Mapping[str, Any], registry: Registry) -> str:
    """The longest text that was asked for; what is wired into a `negative` input is what was not."""
    refused = set()
    for node in nodes.values():
        wire = node.get("inputs", {}).get("negative")
        if isinstance(wire, dict) and isinstance(wire.get("from"), str):
            refused.add(wire["from"].partition(".")[0])
    texts = []
    for name, node in nodes.items():
        spec = registry.get(node.get("type", "")) if name not in refused else None
        for socket in spec.inputs if spec is not None else ():
            text = values.get(f"{name}.{socket.name}")
            if socket.widget.get("kind") == "prompt" and socket.name != "negative" and isinstance(text, str):
                texts.append(text)
    return max(texts, key=len, default="")
