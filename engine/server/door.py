"""Door: who may come in, and what every answer says to the browser. Each rule here stands in `docs/security.md`.

Host             must be a name of this machine that was allowed: a foreign page cannot rebind its name to us
Origin           where the browser names one, it must be ours; `null` never is
Sec-Fetch-Site   a browser that says the request comes from another site is believed
token            in `Authorization: Bearer`, or as a cookie that the printed address sets once; else 401. It says who
                 it is: the owner of the machine, or a user
rates            so many requests in a minute, and so many with a wrong token
Content-Type     a body is JSON, or multipart where files are taken: no form of another page can write one
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import os
import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from engine.errors import WeftError, fail
from engine.places import write_atomic
from engine.server.codec import decode, encode
from engine.server.config import Config
from engine.server.counts import Counts
from engine.server.rates import Rates
from engine.server.shapes import Failure, ProblemShape
from engine.server.users import Users

LOG = logging.getLogger("weft.server")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
SAFE = (hdrs.METH_GET, hdrs.METH_HEAD)
OPEN = ("/healthz",)
OWNER = web.RequestKey("weft_owner", str)
STATUS = {
    "server.auth": 401,
    "server.origin": 403,
    "server.forbidden": 403,
    "server.missing": 404,
    "server.method": 405,
    "server.conflict": 409,
    "server.changed": 412,
    "server.quota": 429,
    "server.rate": 429,
    "server.limit": 413,
    "server.type": 415,
    "server.busy": 503,
    "server.failed": 500,
    "server.request": 400,
    "file.syntax": 400,
    "file.limit": 413,
    "place.outside": 400,
    "place.write": 507,
}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; "
        "font-src 'self'; connect-src 'self'; worker-src 'self' blob:; manifest-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


def load_token(state: Path, rotate: bool = False) -> str:
    """The token: `WEFT_TOKEN`, else the one kept in `state/token` (made once, readable by its owner alone)."""
    given = os.environ.get("WEFT_TOKEN", "")
    if given:
        if len(given) < 16:
            raise fail("cli.usage", "WEFT_TOKEN has fewer than 16 characters", mend="give a long random one")
        return given
    path = state / "token"
    if not rotate:
        try:
            kept = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            kept = ""
        if len(kept) >= 16:
            return kept
    made = secrets.token_urlsafe(24)
    write_atomic(path, f"{made}\n".encode())
    path.chmod(0o600)
    return made


class Door:
    """The checks in front of every handler, as one middleware."""

    def __init__(
        self,
        token: str,
        hosts: Iterable[str] = (),
        users: Users | None = None,
        config: Config | None = None,
        counts: Counts | None = None,
    ) -> None:
        """`hosts` are the names, besides the loopback's, under which the server may be asked."""
        config = config or Config()
        self.token = token
        self.users = users
        self.counts = counts
        self.base = config.base_url.rstrip("/").lower()
        own = split_host(urlsplit(self.base).netloc)[0] if self.base else ""
        self.hosts = {name.lower() for name in (*LOOPBACK, *hosts, *([own] if own else []))}
        self._requests = Rates(config.requests, "requests")
        self._failures = Rates(config.failures, "requests without the right token")
        # The cookie is not the token: whoever reads a cookie cannot make a link of it.
        self.cookie = hashlib.sha256(b"weft cookie " + token.encode()).hexdigest()

    def cookie_name(self, request: web.Request) -> str:
        """Cookies are shared by all ports of a host: each server has its own."""
        return f"weft_{split_host(request.host)[1] or 80}"

    def check(self, request: web.Request) -> None:
        """Raise when the request may not come in."""
        name = split_host(request.headers.get(hdrs.HOST, ""))[0]
        if name not in self.hosts:
            raise fail(
                "server.origin",
                f"this server is not called '{name[:60]}'",
                mend="open the address that it printed, or start it with --allow-host",
            )
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and not self._own(origin, request.host):
            raise fail("server.origin", "the request comes from another site", mend="use the server's own page")
        site = request.headers.get("Sec-Fetch-Site", "none")
        navigates = request.headers.get("Sec-Fetch-Mode") == "navigate" and request.method in SAFE
        if site not in ("same-origin", "none") and not (navigates and not request.path.startswith(("/api", "/ws"))):
            raise fail("server.origin", "the request comes from another site", mend="use the server's own page")
        owner = self.known(request)
        if owner is not None:
            request[OWNER] = owner
            self._count(request, owner)
        elif request.path not in OPEN:
            self._failures.take(request.remote or "")
            raise fail(
                "server.auth",
                "the token is missing or wrong",
                mend="open the address that `weft serve` printed, or send Authorization: Bearer TOKEN",
            )

    def _count(self, request: web.Request, owner: str) -> None:
        """Users, and whoever comes over the network, are kept to a number of requests in a minute."""
        if owner or not _is_loopback(request.remote):
            self._requests.take(owner or f"{request.remote}")

    def _own(self, origin: str, host: str) -> bool:
        if self.base and origin.lower() == self.base:
            return True
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()

    def known(self, request: web.Request) -> str | None:
        """Who brings a token, or the cookie that stands for it: a user, or (empty) the owner of the machine."""
        scheme, _, given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if given:
            return self._by_token(given.strip()) if scheme.lower() == "bearer" else None
        cookie = request.cookies.get(self.cookie_name(request), "")
        if same(cookie, self.cookie):
            return ""
        user = self.users.by_cookie(cookie) if self.users is not None and cookie else None
        return user.name if user is not None else None

    def _by_token(self, given: str) -> str | None:
        if same(given, self.token):  # in constant time
            return ""
        user = self.users.by_token(given) if self.users is not None else None
        return user.name if user is not None else None

    def _cookie_of(self, owner: str) -> str:
        return self.users.cookie(self.users.get(owner)) if owner and self.users is not None else self.cookie

    def enter(self, request: web.Request) -> web.Response | None:
        """`GET /?token=...`: set the cookie and go where it was asked for, without the token in the address."""
        given = request.query.get("token")
        if given is None or request.path.startswith(("/api", "/ws")) or request.method != hdrs.METH_GET:
            return None
        if split_host(request.headers.get(hdrs.HOST, ""))[0] not in self.hosts:
            return None
        owner = self._by_token(given)
        if owner is None:
            return None
        reply = web.Response(status=303, headers={hdrs.LOCATION: str(request.rel_url.without_query_params("token"))})
        reply.set_cookie(
            self.cookie_name(request),
            self._cookie_of(owner),
            httponly=True,
            samesite="Strict",
            secure=request.secure or self.base.startswith("https:"),
            max_age=365 * 86_400,
            path="/",
        )
        return reply

    def _tell(self, request: web.Request, status: int, seconds: float) -> None:
        """Count and log a request: its path, but never its query, where a token may be."""
        resource = request.match_info.route.resource
        if self.counts is not None:
            self.counts.request(resource.canonical if resource is not None else "none", request.method, status, seconds)
        named = {"method": request.method, "path": request.path, "status": status, "owner": request.get(OWNER, "")}
        LOG.debug("request", extra={**named, "seconds": round(seconds, 4)})

    def middleware(self) -> Middleware:
        """The checks, and one JSON form for whatever goes wrong."""

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            begun = time.perf_counter()
            status = 500
            try:
                reply = await answered(request, handler)
                status = reply.status
                return reply
            finally:
                self._tell(request, status, time.perf_counter() - begun)

        async def answered(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                entering = self.enter(request)
                if entering is not None:
                    return entering
                self.check(request)
                return await handler(request)
            except WeftError as error:
                return failure(error, request)
            except web.HTTPException as error:
                return failure(_of_http(error), request)
            except Exception:
                LOG.exception("%s %s failed", request.method, request.path)
                return failure(fail("server.failed", "the server failed; its log says more"), request)

        return guard


def _is_loopback(address: str | None) -> bool:
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False


def same(given: str, wanted: str) -> bool:
    """Are two secrets equal? Takes as long when they differ."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def split_host(host: str) -> tuple[str, str]:
    """Name (lower-case, no brackets) and port of a Host header; an empty name for one that is none."""
    try:
        parts = urlsplit(f"//{host}")
        name, port = parts.hostname or "", parts.port
    except ValueError:
        return "", ""
    if parts.username is not None or parts.path or parts.query or parts.fragment:
        return "", ""
    return name, str(port) if port else ""


def failure(error: WeftError, request: web.Request) -> web.Response:
    """The reply of an error: JSON for programs, a page for a person who came without the token."""
    status = STATUS.get(error.code, 422)
    if status == 401 and "text/html" in request.headers.get(hdrs.ACCEPT, ""):
        from engine.server.pages import locked

        return web.Response(status=401, text=locked(), content_type="text/html")
    shapes = [decode(ProblemShape, problem.to_json()) for problem in error.problems]
    return web.json_response(encode(Failure(shapes[0], shapes)), status=status)


def _of_http(error: web.HTTPException) -> WeftError:
    if error.status == 404:
        return fail("server.missing", "there is nothing at this address", mend="see /api/openapi.json")
    if error.status == 405:
        return fail("server.method", "this address takes another method", mend="see /api/openapi.json")
    if error.status == 413:
        return fail("server.limit", "the request is too large", mend="send less")
    if 400 <= error.status < 500:
        return fail("server.request", f"the request is wrong: {error.reason}", mend="see /api/openapi.json")
    return fail("server.failed", f"the server failed: {error.reason}")


async def dress(request: web.Request, response: web.StreamResponse) -> None:
    """Set what every answer says; for `on_response_prepare`."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
    response.headers.pop(hdrs.SERVER, None)
