"""Connection: one server, and how a request gets there and back."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp

from engine.client.wire import refused
from engine.errors import fail
from engine.server.codec import encode, read

LARGE = 2**19


class Connection:
    """One server. `address` is what `weft serve` printed (with the token), or a base address and `token`."""

    def __init__(self, address: str, token: str = "", *, timeout: float = 60.0) -> None:
        """Nothing is sent yet."""
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise fail("server.unreachable", f"'{address[:80]}' is no address", mend="http://127.0.0.1:8118/?token=...")
        given = dict(pair.partition("=")[::2] for pair in parts.query.split("&"))
        self.base = f"{parts.scheme}://{parts.netloc}"
        self.token = token or given.get("token", "")
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        self._http = aiohttp.ClientSession(self.base, headers=headers, timeout=self._timeout)
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._http is not None:
            await self._http.close()

    async def send(self, method: str, path: str, *, ok: Sequence[int] = (200, 201), **more: Any) -> tuple[bytes, str]:
        """One request; the reply's body and content type, or the server's problems as a `WeftError`."""
        if self._http is None:
            raise RuntimeError("enter the client first: `async with AsyncClient(...) as weft:`")
        try:
            async with self._http.request(method, path, **more) as reply:
                data = await reply.read()
                if reply.status not in ok:
                    raise refused(reply.status, data)
                return data, reply.content_type
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise fail(
                "server.unreachable",
                f"{self.base} does not answer: {str(error) or type(error).__name__}",
                mend="start it with `weft serve`, and look at the address",
            ) from None

    async def _ask(self, gives: Any, method: str, path: str, body: Any = None, **more: Any) -> Any:
        if body is not None:
            data = json.dumps(encode(body)).encode()
            # A stream, so that a large workflow is sent in pieces and not in one gulp of the event loop.
            more["data"] = io.BytesIO(data) if len(data) > LARGE else data
            more["headers"] = {**more.get("headers", {}), "Content-Type": "application/json"}
        reply, _ = await self.send(method, path, **more)
        return read(gives, json.loads(reply), "reply")
