"""A real server on a loopback port for each test, with the toys as its nodes."""

import asyncio
import dataclasses
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from engine.client import Client
from engine.memory import Memory
from engine.places import Places
from engine.records import Records
from engine.server.main import Address, Server
from engine.session import Session
from tests.engine.conftest import PINNED
from tests.engine.server import painted


@dataclass
class Running:
    """A server on a thread of its own."""

    server: Server
    address: Address
    loop: asyncio.AbstractEventLoop
    thread: threading.Thread
    client: Client
    sessions: list[Session] = field(default_factory=list)

    @property
    def book(self) -> Any:
        return self.server.house._book

    def do(self, work: Any) -> Any:
        """Do something on the server's loop."""

        async def call() -> Any:
            return work()

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(10)


class Servers:
    """Starts and ends servers; every one that a test leaves is ended."""

    def __init__(self, home: Places) -> None:
        self.home = home
        self.running: list[Running] = []

    def start(self, **more: Any) -> Running:
        sessions: list[Session] = []

        def make(places: Places, registry: Any) -> Session:
            sessions.append(
                Session(
                    registry=painted.registry(),
                    places=places,
                    numerics=PINNED,
                    memory=Memory({"cpu": 64 * 2**20}),
                    records=Records(),
                )
            )
            return sessions[-1]

        server = Server(self.home, make, **{"port": None, "token": TOKEN, "warm": False, **more})
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        address = asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(20)
        client = Client(dataclasses.replace(address, base_url="").url, timeout=20)
        client.__enter__()
        self.running.append(Running(server, address, loop, thread, client, sessions))
        return self.running[-1]

    def stop(self, one: Running) -> None:
        self.running.remove(one)
        one.client.__exit__(None, None, None)
        asyncio.run_coroutine_threadsafe(one.server.__aexit__(), one.loop).result(20)
        one.loop.call_soon_threadsafe(one.loop.stop)
        one.thread.join(10)
        one.loop.close()


TOKEN = "a-token-of-the-tests-only"


@pytest.fixture
def servers(home: Places) -> Iterator[Servers]:
    made = Servers(home)
    yield made
    from tests.engine import fakes

    for gate in fakes.GATES.values():
        gate.open.set()
    for one in list(made.running):
        made.stop(one)


@pytest.fixture
def running(servers: Servers) -> Running:
    return servers.start()


@pytest.fixture
def weft(running: Running) -> Client:
    return running.client


@pytest.fixture
def picture_file(tmp_path: Path) -> Path:
    return painted.png(tmp_path / "red.png", (8, 6), "red")
