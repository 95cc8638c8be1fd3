"""Main: the process. Port, token, browser; listening first, everything else after that."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import signal
import socket as sockets
import sys
import webbrowser
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from aiohttp import web

from engine.errors import fail
from engine.places import Places
from engine.server.config import Config
from engine.server.door import Door, dress, load_token
from engine.server.house import HOUSE, House, MakeSession
from engine.server.live import hang_up
from engine.server.pages import page
from engine.server.routing import MAX_JSON
from engine.server.uploads import MAX_BYTES

PORT = 8118
HOST = "127.0.0.1"
SHUTDOWN = 10.0  # seconds that requests under way are given at the end


@dataclass(frozen=True)
class Address:
    """Where a server listens, and the address that lets a browser in."""

    host: str
    port: int
    token: str

    @property
    def base(self) -> str:
        """`http://127.0.0.1:8118`."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        if self.host in ("0.0.0.0", "::"):
            name = "localhost"
        return f"http://{name}:{self.port}"

    @property
    def url(self) -> str:
        """The address with the token."""
        return f"{self.base}/?token={self.token}"


def application(house: House, door: Door) -> web.Application:
    """Everything behind the door."""
    from engine.server import routes

    app = web.Application(middlewares=[door.middleware()], client_max_size=max(MAX_JSON, MAX_BYTES))
    app[HOUSE] = house
    app.on_response_prepare.append(dress)
    app.on_shutdown.append(hang_up)
    routes.install(app)
    app.router.add_get("/{path:(?!api/|ws$).*}", page)
    return app


class Server:
    """A running server: `async with Server(...) as address`."""

    def __init__(
        self,
        places: Places,
        make_session: MakeSession,
        *,
        host: str = HOST,
        port: int | None = PORT,
        token: str | None = None,
        hosts: Iterable[str] = (),
        warm: bool = True,
        config: Config | None = None,
    ) -> None:
        """`port=None` takes a free one; `hosts` are further names under which it may be asked."""
        self.places = places
        self.make_session = make_session
        self.host = host
        self.port = port
        self.token = token
        self.hosts = tuple(hosts)
        self.warm = warm
        self.config = config or Config()
        self.house: House | None = None
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Address:
        token = self.token or load_token(self.places.state)
        socket = listen(self.host, self.port)
        port = int(socket.getsockname()[1])
        try:
            self.house = House(self.places, self.make_session, warm=self.warm, config=self.config)
            await self.house.start()
            names = (*self.hosts, *([] if self.host in ("0.0.0.0", "::") else [self.host]))
            app = application(self.house, Door(token, names))
            self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN)
            await self._runner.setup()
            await web.SockSite(self._runner, socket).start()
        except BaseException:
            socket.close()
            await self.__aexit__()
            raise
        return Address(self.host, port, token)

    async def __aexit__(self, *exc: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self.house is not None:
            await self.house.close()


def listen(host: str, port: int | None) -> sockets.socket:
    """A listening socket; `server.port` names the port that is taken, and the way out."""
    family = sockets.AF_INET6 if ":" in host else sockets.AF_INET
    socket = sockets.socket(family, sockets.SOCK_STREAM)
    try:
        if os.name != "nt":  # there it would let two servers share the port
            socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
        socket.bind((host, port or 0))
        socket.listen(128)
        socket.setblocking(False)
    except (OSError, OverflowError) as error:
        socket.close()
        taken = getattr(error, "errno", None) in _TAKEN
        who = holder(port) if taken and port else ""
        message = f"port {port} on {host} is taken{who}" if taken else f"cannot listen on {host}, port {port}: {error}"
        mend = "stop that, or use --port auto" if taken else "use another --host or --port"
        raise fail("server.port", message, mend=mend) from None
    return socket


_TAKEN = (98, 48, 10048)  # EADDRINUSE on Linux, macOS, Windows


def holder(port: int) -> str:
    """` by NAME (process PID)`, where the system tells."""
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        for one in psutil.net_connections("tcp"):
            if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port and one.pid:
                return f" by {psutil.Process(one.pid).name()} (process {one.pid})"
    return ""


def is_loopback(host: str) -> bool:
    """Does only this machine reach it?"""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def has_display() -> bool:
    """Is there a screen to open a browser on?"""
    if os.environ.get("SSH_CONNECTION") or os.environ.get("CI"):
        return False
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


async def serve(server: Server, say: Callable[[str], None], *, browser: bool) -> None:
    """Serve until asked to end."""
    end = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in ("SIGINT", "SIGTERM"):
        # Windows has no signal handlers on its loop: there Ctrl-C ends `asyncio.run` itself.
        with contextlib.suppress(NotImplementedError, RuntimeError):
            loop.add_signal_handler(getattr(signal, name), end.set)
    async with server as address:
        say(address.url)
        if browser:
            with contextlib.suppress(webbrowser.Error):
                await asyncio.to_thread(webbrowser.open, address.url)
        await end.wait()
