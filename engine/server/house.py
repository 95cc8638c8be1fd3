"""House: all that a server has, from listening to shutdown.

It listens first and thinks later: the registry is read and the session made on a thread while the first requests are
already waiting, and torch is imported after that.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import importlib.metadata
import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from engine.errors import WeftError, fail
from engine.invoke import import_ahead
from engine.places import Places
from engine.registry import Registry, load_registry
from engine.server.blobs import Blobs
from engine.server.book import Book
from engine.server.config import Config
from engine.server.counts import Counts
from engine.server.desk import Sender
from engine.server.door import OWNER
from engine.server.hooks import Hooks, load_secret
from engine.server.hub import Hub
from engine.server.incoming import Incoming
from engine.server.library import Library, templates_folder
from engine.server.outside import Outside
from engine.server.rates import Rates
from engine.server.store import Store
from engine.server.tracing import tracer_of
from engine.server.users import Users, places_of
from engine.session import Session

LOG = logging.getLogger("weft.server")
CLIENT_LENGTH = 64
WATCH = 1.0  # seconds between two looks at the single-file nodes
ENDING = 15.0  # seconds that running steps are given at the end
MakeSession = Callable[[Places, Registry], Session]


def version() -> str:
    """The installed version of Weft."""
    try:
        return importlib.metadata.version("weft")
    except importlib.metadata.PackageNotFoundError:
        return "0"


class House:
    """The parts of one server; each is made on the loop's thread, or handed to it."""

    def __init__(
        self,
        places: Places,
        make_session: MakeSession,
        *,
        warm: bool = True,
        config: Config | None = None,
        token: str = "",
    ) -> None:
        """Nothing is opened before `start`. `warm` imports torch once the engine is there."""
        self.config = config or Config()
        self.outside = Outside(self.config.allow_fetch)
        beside = places.beside or templates_folder()
        self.places = dataclasses.replace(places, beside=beside)
        self.make_session = make_session
        self.warm = warm
        self.version = version()
        self.hub = Hub()
        self.blobs = Blobs(places.state / "blobs")
        self.library = Library(places.workflows, beside)
        self.stuck = False  # a node did not come back when the server ended: its thread would hold the process
        self.sockets: set[web.WebSocketResponse] = set()
        self._token = token
        self._users: Users | None = None
        self.counts = Counts()
        self.submissions = Rates(self.config.submissions, "jobs")
        self._store: Store | None = None
        self._session: Session | None = None
        self._book: Book | None = None
        self._ready: asyncio.Event = asyncio.Event()
        self._problem: WeftError | None = None
        self._opening: asyncio.Task[None] | None = None
        self._nodes: bytes | None = None
        self._watching: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, request: web.Request) -> House:
        """The house that a request came to."""
        return request.app[HOUSE]

    def owner(self, request: web.Request) -> str:
        """Whose things a request means: a user's; empty for the owner of the machine."""
        return str(request.get(OWNER, ""))

    def only_owner(self, request: web.Request) -> None:
        """Refuse a user."""
        if self.owner(request):
            raise fail("server.forbidden", "this is for the owner of the machine alone", mend="ask them")

    async def allow(self, request: web.Request) -> None:
        """A job in the address must be one of the user's own; of others nothing is told, not even that they exist."""
        owner, id = self.owner(request), request.match_info.get("id")
        if owner and id is not None and not await (await self.book()).belongs(id, owner):
            raise fail("server.missing", f"there is no job '{id[:40]}'", mend="GET /api/jobs lists what there is")

    def sender(self, request: web.Request) -> Sender:
        """Who sent a request: `X-Weft-Client` names the program, which has its turns beside others."""
        client = request.headers.get("X-Weft-Client", "")
        if not (client.isascii() and client.isprintable() and len(client) <= CLIENT_LENGTH):
            raise fail("server.request", f"X-Weft-Client is up to {CLIENT_LENGTH} plain characters", mend="shorten it")
        return Sender(self.owner(request), client)

    def places_of(self, request: web.Request) -> Places:
        """The folders that a request means, with the models that packs bring once the engine knows them."""
        base = self._session.engine.places if self._session is not None else self.places
        return places_of(base, self.owner(request))

    def library_of(self, request: web.Request) -> Library:
        """The workflows that a request means."""
        owner = self.owner(request)
        if not owner:
            return self.library
        return Library(self.places.home / "users" / owner / "workflows", self.library.templates)

    def incoming(self, request: web.Request) -> Incoming:
        """Where pictures that come along with a job are kept."""
        return Incoming(self.places_of(request), self.outside if self.config.fetch else None)

    @property
    def users(self) -> Users:
        """The users of this server."""
        if self._users is None:
            raise fail("server.busy", "the server is starting", mend="try again in a moment")
        return self._users

    # -- start and end

    async def start(self) -> None:
        """Open the store, and begin to make the engine."""
        self._store = await asyncio.to_thread(Store, self.places.state / "jobs.sqlite")
        self._users = Users(self._store, self.places, self._token, self.config)
        if self._store.moved is not None:
            LOG.error("the database of jobs was damaged; it was moved to %s", self._store.moved.name)
        self._opening = asyncio.create_task(self._open())

    async def _open(self) -> None:
        try:
            self._session = await asyncio.to_thread(self._make)
            hooks = Hooks(
                self.store,
                self.outside if self.config.webhooks else None,
                load_secret(self.places.state),
                self.config.base_url.rstrip("/"),
            )
            self._book = Book(self._session, self.hub, self.store, self.blobs, hooks, self.users, self.config.waiting)
            self._book.counts, self._book.tracing = self.counts, tracer_of(self.config.tracing)
            hooks.start()
            self._watching = asyncio.create_task(self._watch(self._book))
            self.hub.publish({"event": "server_ready"})
        except WeftError as error:
            self._problem = error
        except Exception as error:
            LOG.exception("the engine cannot be made")
            self._problem = fail("server.failed", f"the engine cannot be made: {error}")
        finally:
            self._ready.set()
        if self._session is not None and self.warm:
            threading.Thread(target=_warm, name="weft warm", daemon=True).start()

    async def _watch(self, book: Book) -> None:
        """Take up single-file nodes when their files have changed and come to rest."""
        seen = before = await asyncio.to_thread(_files, self.places.nodes)
        while True:
            await asyncio.sleep(WATCH)
            now = await asyncio.to_thread(_files, self.places.nodes)
            if now != before or now == seen:  # still being written, or as it was
                before = now
                continue
            seen = now
            try:
                await book.reload(lambda: load_registry(self.places.nodes))
            except Exception:
                LOG.exception("the nodes cannot be read again")
                continue
            self._nodes = None
            self.hub.publish({"event": "nodes_changed"})

    def _make(self) -> Session:
        for id in self.store.surplus(self.config.history):
            for blob in self.store.delete(id):
                self.blobs.delete(blob)
        return self.make_session(self.places, load_registry(self.places.nodes))

    async def close(self) -> None:
        """End gracefully: running jobs stop at their next step and are taken up by the next process."""
        if self._opening is not None:
            await asyncio.wait([self._opening])
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        if self._book is not None:
            await self._book.close()
            await self._book.hooks.close()
        if self._session is not None:
            ending = threading.Thread(target=self._session.close, name="weft end", daemon=True)
            ending.start()
            await asyncio.to_thread(ending.join, ENDING)
            self.stuck = ending.is_alive()
            if self.stuck:
                LOG.error("a node does not come back; its job is taken up when the server starts again")
        if self._store is not None:
            self._store.close()

    # -- parts

    @property
    def ready(self) -> bool:
        """Does the engine answer?"""
        return self._book is not None

    @property
    def store(self) -> Store:
        """The jobs' database."""
        if self._store is None:
            raise fail("server.busy", "the server is starting", mend="try again in a moment")
        return self._store

    async def session(self) -> Session:
        """The engine, as soon as it is there."""
        await self._ready.wait()
        if self._problem is not None:
            raise self._problem
        if self._session is None:
            raise fail("server.busy", "the server is ending", mend="start it again")
        return self._session

    async def book(self) -> Book:
        """The queue, as soon as it is there."""
        await self.session()
        if self._book is None:
            raise fail("server.busy", "the server is ending", mend="start it again")
        return self._book

    async def listing(self, make: Callable[[Session], Any]) -> bytes:
        """The reply of `GET /api/nodes`, made once, and again when nodes have changed."""
        if self._nodes is None:
            session = await self.session()
            self._nodes = await asyncio.to_thread(lambda: json.dumps(make(session), ensure_ascii=False).encode())
        return self._nodes


HOUSE: web.AppKey[House] = web.AppKey("house", House)


def _files(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """The Python files of a folder, with what tells that one has changed."""
    found = []
    for path in sorted(folder.rglob("*.py")) if folder.is_dir() else ():
        with contextlib.suppress(OSError):
            stat = path.stat()
            found.append((str(path), stat.st_mtime_ns, stat.st_size))
    return tuple(found)


def _warm() -> None:
    """Import what the first job will need, while nobody waits for it."""
    for name, error in import_ahead(("torch", "diffusers", "transformers")).items():
        LOG.warning("%s cannot be imported: %s", name, error)
