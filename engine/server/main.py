"""Main: the process. Port, token, browser; listening first, everything else after that."""

from __future__ import annotations

import asyncio
import contextlib
import io
import ipaddress
import os
import signal
import socket as sockets
import ssl
import sys
import webbrowser
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

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
    scheme: str = "http"
    base_url: str = ""  # what was said to be its address

    @property
    def base(self) -> str:
        """`http://127.0.0.1:8118`."""
        if self.base_url:
            return self.base_url
        name = f"[{self.host}]" if ":" in self.host else self.host
        if self.host in ("0.0.0.0", "::"):
            name = "localhost"
        return f"{self.scheme}://{name}:{self.port}"

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
        context = encryption(self.config)
        base = base_of(self.config.base_url)
        socket = listen(self.host, self.port)
        port = int(socket.getsockname()[1])
        try:
            self.house = House(self.places, self.make_session, warm=self.warm, config=self.config, token=token)
            await self.house.start()
            names = (
                *self.hosts,
                *self.config.allow_hosts,
                *([] if self.host in ("0.0.0.0", "::") else [self.host]),
                *(lan_names() if self.config.lan else ()),
            )
            app = application(self.house, Door(token, names, self.house.users, self.config, self.house.counts))
            self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN)
            await self._runner.setup()
            await web.SockSite(self._runner, socket, ssl_context=context).start()
        except BaseException:
            socket.close()
            await self.__aexit__()
            raise
        shown = lan_address() or self.host if self.config.lan else self.host
        return Address(shown, port, token, "https" if context is not None else "http", base)

    async def __aexit__(self, *exc: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self.house is not None:
            await self.house.close()


def encryption(config: Config) -> ssl.SSLContext | None:
    """TLS with the certificate that the config names; None without one."""
    if not config.tls_cert and not config.tls_key:
        return None
    if not (config.tls_cert and config.tls_key):
        raise fail("config.wrong", "a certificate and its key belong together", mend="--tls-cert FILE --tls-key FILE")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(config.tls_cert, config.tls_key)
    except (OSError, ssl.SSLError) as error:
        why = getattr(error, "strerror", None) or getattr(error, "reason", None) or str(error)
        raise fail(
            "config.wrong", f"the certificate cannot be used: {why}", file=config.tls_cert, mend="give PEM files"
        ) from None
    return context


def base_of(url: str) -> str:
    """The address by which others know the server, checked; empty for none."""
    if not url:
        return ""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        message = f"--base-url {url[:80]}: it must be http(s)://NAME, with a port but no path"
        raise fail("config.wrong", message, mend="--base-url https://weft.example")
    return url.rstrip("/")


def lan_address() -> str:
    """This machine's address in the local network; empty without one."""
    with contextlib.suppress(OSError), sockets.socket(sockets.AF_INET, sockets.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # nothing is sent: the system only says which way it would go
        return str(probe.getsockname()[0])
    return ""


def lan_names() -> list[str]:
    """The names by which the local network may know this machine."""
    name = sockets.gethostname().lower()
    return [one for one in (lan_address(), name, f"{name.partition('.')[0]}.local") if one]


def qr(url: str) -> str:
    """An address as a QR code of half blocks, for a terminal; empty where segno is not installed."""
    try:
        import segno
    except ImportError:
        return ""
    stream = io.StringIO()
    segno.make(url, error="l", micro=False).terminal(out=stream, border=2, compact=True)
    return stream.getvalue()


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
    if server.house is not None and server.house.stuck:
        # Python would wait for the thread for ever. Everything is written down: the process may go.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(0)
