"""Incoming: pictures that come along with a job – as a file of a form, by a URL, or as base64 – become input files.

A picture is opened and checked before it is kept, as an upload is, under a name made of its content: the same picture
twice is one file, and a request that is repeated is the same request.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote, urlsplit

from aiohttp import BodyPartReader, web

from engine.errors import WeftError, fail
from engine.graph.settable import inputs_of, read_value
from engine.node import Input
from engine.places import Places
from engine.registry import Registry
from engine.server import uploads
from engine.server.outside import Outside
from engine.server.shapes import JobRequest
from engine.workflow import Workflow, from_json

PARTS = 64


def takes_picture(item: Input | None) -> bool:
    """Is it an input that names a picture in the input folder?"""
    return item is not None and item.widget.get("kind") == "file" and item.widget.get("place") == "input"


def _may(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, str) and value.startswith("data:"))


class Incoming:
    """Brings pictures into one user's input folder."""

    def __init__(self, places: Places, outside: Outside | None) -> None:
        """Without an `outside` no URL is asked."""
        self.places = places
        self.outside = outside

    async def bring(self, request: JobRequest, registry: Registry) -> JobRequest:
        """The request with every picture in it kept, and named as a workflow names it."""
        groups = [request.parameters, request.set, *(request.rows or ())]
        if not any(_may(value) for group in groups for value in group.values()):
            return request
        workflow = from_json(request.workflow)
        known = inputs_of(workflow, registry)
        made = [await self._group(group, known) for group in groups]
        rows = made[2:] if request.rows is not None else None
        return replace(request, parameters=made[0], set=made[1], rows=rows)

    async def _group(self, values: Mapping[str, Any], known: Mapping[str, Input | None]) -> dict[str, Any]:
        return {
            name: await self._one(name, value) if _may(value) and takes_picture(known.get(name)) else value
            for name, value in values.items()
        }

    async def _one(self, name: str, value: Any) -> str:
        try:
            stem, data = await self._bytes(name, value)
            return await asyncio.to_thread(self.keep, stem, data)
        except WeftError as error:
            raise error.at(path=name) from None

    async def _bytes(self, name: str, value: Any) -> tuple[str, bytes]:
        if isinstance(value, str):
            head, _, text = value.partition(",")
            if not head.endswith(";base64"):
                raise fail("server.request", "a data: URL must be base64", mend="data:image/png;base64,...")
            return name, _decoded(text)
        match value:
            case {"base64": str(text), **rest} if set(rest) <= {"name"}:
                return str(rest.get("name", name)), _decoded(text.partition(",")[2] if text[:5] == "data:" else text)
            case {"url": str(url), **rest} if set(rest) <= {"name"}:
                if self.outside is None:
                    raise fail("server.outside", "this server fetches no pictures", mend="send the picture itself")
                stem = unquote(urlsplit(url).path.rpartition("/")[2]) or name
                return str(rest.get("name", stem)), await self.outside.get(url, uploads.MAX_BYTES)
        raise fail(
            "server.request",
            "a picture is a name, a data: URL, or an object",
            mend='{"url": "https://..."} or {"base64": "..."}',
        )

    def keep(self, name: str, data: bytes) -> str:
        """Keep a picture; its name in the input folder."""
        stem = uploads.harmless(name)[:60]
        digest = hashlib.blake2b(data, digest_size=5).hexdigest()
        return uploads.keep(self.places, f"{stem}-{digest}.png", data).name

    async def form(self, request: web.Request, workflow: Workflow, registry: Registry) -> dict[str, Any]:
        """The values of a form, by parameter; files are kept, text is read by the type of the input it is for."""
        known = inputs_of(workflow, registry)
        found: dict[str, Any] = {}
        total = 0
        try:
            async for part in await request.multipart():
                if not isinstance(part, BodyPartReader) or not part.name or len(found) >= PARTS:
                    raise fail("server.request", f"a form has up to {PARTS} named parts", mend="send fewer")
                data = await uploads.read_part(part, uploads.MAX_BYTES - total)
                total += len(data)
                item = known.get(part.name)
                if part.filename is not None and takes_picture(item):
                    found[part.name] = await asyncio.to_thread(self.keep, part.filename, data)
                elif part.filename is not None:
                    message = f"'{part.name[:60]}' takes no picture"
                    takes = ", ".join(name for name in workflow.parameters if takes_picture(known.get(name))) or "none"
                    raise fail("server.request", message, mend=f"parameters that do: {takes}")
                else:
                    found[part.name] = read_value(data.decode("utf-8", "replace"), item)
        except uploads.DAMAGED:  # what aiohttp says of a form that is cut off, or has no boundary
            raise fail("server.request", "the form is damaged", mend="send multipart/form-data") from None
        return found


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise fail("server.request", "it is no base64", mend="encode the file's bytes as they are") from None
