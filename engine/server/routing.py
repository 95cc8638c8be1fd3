"""Routing: a handler says in one line what it takes and gives; requests are decoded and replies encoded here."""

from __future__ import annotations

import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiohttp import hdrs, web

from engine.errors import fail
from engine.server.codec import decode, encode
from engine.server.house import House
from engine.workflow.reading import load_json

MAX_JSON = 16 * 2**20
Give = Callable[..., Awaitable[Any]]
Handler = TypeVar("Handler", bound=Give)


@dataclass(frozen=True)
class Route:
    """One address: what it takes (path, query, body) and gives, for the server and for the API's description."""

    method: str
    path: str
    handler: Give
    gives: Any  # a shape; or the content type of a reply that is no JSON
    takes: type | None = None
    query: Mapping[str, type] = field(default_factory=dict)
    file: bool = False  # takes one file as multipart
    status: int = 200
    open: bool = False
    optional: bool = False  # the body may be left out
    form: bool = False  # the body may be a form instead: the handler gets None and reads it

    @property
    def name(self) -> str:
        """The operation's name."""
        return getattr(self.handler, "__name__", "")

    @property
    def about(self) -> str:
        """The operation's description."""
        return (self.handler.__doc__ or "").strip()


ROUTES: list[Route] = []


def route(method: str, path: str, gives: Any, **more: Any) -> Callable[[Handler], Handler]:
    """Register a handler: `async def handler(house, request[, body]) -> shape or response`."""

    def mark(handler: Handler) -> Handler:
        ROUTES.append(Route(method, path, handler, gives, **more))
        return handler

    return mark


def install(app: web.Application) -> None:
    """Add every route to an application."""
    for one in ROUTES:
        app.router.add_route(one.method, one.path, _handler(one))


def _handler(one: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        unknown = [name for name in request.query if name not in one.query]
        if unknown:
            known = ", ".join(one.query) or "none"
            raise fail("server.request", f"there is no query '{unknown[0][:40]}'", mend=f"known are: {known}")
        house = House.of(request)
        await house.allow(request)
        args: list[Any] = [house, request]
        if one.form and request.content_type == "multipart/form-data":
            args.append(None)
        elif one.takes is not None:
            given = await body(request) if request.body_exists or not one.optional else {}
            args.append(decode(one.takes, given))
        elif one.file:
            _expect(request, "multipart/form-data")
        elif request.body_exists and request.method not in (hdrs.METH_GET, hdrs.METH_HEAD):
            _expect(request, "application/json")
        made = await one.handler(*args)
        if isinstance(made, web.StreamResponse):
            return made
        return web.json_response(encode(made), status=one.status)

    return handle


async def body(request: web.Request) -> Any:
    """The JSON of a request; nothing else is taken, and no more than 16 MB of it."""
    _expect(request, "application/json")
    data = bytearray()
    async for chunk in request.content.iter_chunked(2**16):
        data += chunk
        if len(data) > MAX_JSON:
            raise fail("server.limit", f"the request has more than {MAX_JSON:,} bytes", mend="send less")
    try:
        return load_json(data.decode("utf-8"), "<request>")
    except UnicodeDecodeError:
        raise fail("file.syntax", "the request is not UTF-8 text", mend="send JSON") from None


def _expect(request: web.Request, kind: str) -> None:
    if request.content_type != kind:
        raise fail("server.type", f"the body must be {kind}, not {request.content_type[:60]}", mend="set Content-Type")


def asked(request: web.Request, name: str, kind: Callable[[str], Any], default: Any = None) -> Any:
    """A value of the query."""
    text = request.query.get(name)
    if text is None:
        return default
    try:
        return kind(text)
    except ValueError:
        want = {int: "a whole number", float: "a number"}.get(typing.cast(type, kind), "something else")
        raise fail("server.request", f"'{name}' must be {want}, not '{text[:40]}'") from None
