"""Outside: what the server asks of others – a picture by its URL, a webhook – and whom it may ask.

Whoever may send a URL could otherwise make the server ask for them: this machine's other services, the router, a
cloud's metadata. So every address is looked at after its name was looked up, the very address that is then connected
to, and only the public internet is let through; what else is meant has to be allowed by name. Redirects are looked at
alike.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from engine.errors import WeftError, fail

SECONDS = 30.0
REDIRECTS = 3
_MOVED = (301, 302, 303, 307, 308)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Is an IP address one of the public internet? Those that hide an IPv4 address are judged by it."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if inner is None and found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is None and found.teredo is not None:
            return False
        if inner is not None:
            found = inner
    return found.is_global and not found.is_multicast


class _Guard(AbstractResolver):
    """Looks names up, and gives none but the addresses that may be asked."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._plain = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._plain.resolve(host, port, family)
        if self._outside.allowed(host, port):
            return found
        public = [one for one in found if is_public(one["host"])]
        if not public:
            raise OSError(None, f"{host} is not on the public internet")
        return public

    async def close(self) -> None:
        await self._plain.close()


class Outside:
    """Requests to others."""

    def __init__(self, allow: Iterable[str] = ()) -> None:
        """`allow` are hosts (`name` or `name:port`) that may be asked wherever they are."""
        self._allow = {name.lower() for name in allow}

    def allowed(self, host: str, port: int | None) -> bool:
        """May this host be asked wherever it is?"""
        name = host.lower().strip("[]")
        return name in self._allow or f"{name}:{port}" in self._allow

    def check(self, url: str) -> None:
        """Refuse what cannot be meant, before anything is looked up."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        except ValueError:
            raise _refused(url, "it is no URL") from None
        if parts.scheme not in ("http", "https") or not host:
            raise _refused(url, "only http and https are asked")
        if parts.username is not None or parts.password is not None:
            raise _refused(url, "it holds a name or a password")
        if self.allowed(host, port):
            return
        literal = host.partition("%")[0]
        try:
            ipaddress.ip_address(literal)
        except ValueError:
            if literal == "localhost" or literal.endswith((".localhost", ".local", ".internal")):
                raise _refused(url, f"{host} is not on the public internet") from None
            last = literal.rstrip(".").rpartition(".")[2]
            if last.isdigit() or last.startswith("0x"):  # 127.1, 2130706433: ways to write an address that is no name
                raise _refused(url, f"{host} is not on the public internet") from None
            return
        if not is_public(literal):
            raise _refused(url, f"{host} is not on the public internet")

    def _session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(resolver=_Guard(self), use_dns_cache=False, force_close=True)
        return aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "weft"},
        )

    async def get(self, url: str, limit: int) -> bytes:
        """What lies at a URL, up to `limit` bytes."""
        at = url
        try:
            async with self._session() as session:
                for _ in range(REDIRECTS + 1):
                    self.check(at)
                    async with session.get(at, allow_redirects=False) as reply:
                        if reply.status in _MOVED:
                            at = urljoin(at, reply.headers.get("Location", ""))
                            continue
                        if reply.status != 200:
                            raise _refused(url, f"it answered {reply.status}", "is it there for everyone?")
                        return await _read(reply, limit, url)
        except WeftError:
            raise
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise _refused(url, str(error) or type(error).__name__, "is it there for everyone?") from None
        raise _refused(url, f"it leads on more than {REDIRECTS} times")

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Send something; the status of the answer. Redirects are not followed. `OSError` when nobody answers."""
        self.check(url)
        try:
            async with (
                self._session() as session,
                session.post(url, data=body, headers=dict(headers), allow_redirects=False) as reply,
            ):
                return reply.status
        except (aiohttp.ClientError, ValueError) as error:
            raise OSError(str(error) or type(error).__name__) from None


async def _read(reply: aiohttp.ClientResponse, limit: int, url: str) -> bytes:
    found = bytearray()
    async for chunk in reply.content.iter_chunked(2**16):
        found += chunk
        if len(found) > limit:
            raise fail("server.limit", f"{_short(url)} has more than {limit:,} bytes", mend="send a smaller one")
    return bytes(found)


def _refused(url: str, why: str, mend: str = "see `outside.allow` in docs/server.md") -> WeftError:
    return fail("server.outside", f"{_short(url)} is not asked: {why}", mend=mend)


def _short(url: Any) -> str:
    """A URL without what may be secret in it."""
    try:
        parts = urlsplit(str(url))
        return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"[:100]
    except ValueError:
        return "the URL"
