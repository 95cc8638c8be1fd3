"""Hub: events to many clients, none of which can slow another.

    publish(record)   durable: numbered, kept in a ring of 4,096, sent to everyone in order
    flash(key, ...)   volatile: only the newest of a key is sent, at most ten a second for each key

A client that comes back with the epoch and the number it saw last gets what it missed; when that is no longer in the
ring, or the server is another one by now, it is told to fetch the snapshot. Each client has one pump and one bounded
queue: one that does not read is cut with code 4008 and may resume later.

Everything here runs on the event loop's thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from engine.errors import fail

RING = 4096
QUEUE = 2 * RING  # durable messages that may wait for a client; a whole ring can be resumed
QUEUE_BYTES = 8 * 2**20
PACE = 0.1  # seconds between two volatile messages of a key
TOO_SLOW = 4008

Message = str | bytes
Send = Callable[[Message], Awaitable[None]]


class Client:
    """One listener: a queue of durable messages, a latest-wins lane of volatile ones, and the pump that sends both."""

    def __init__(self, hub: Hub, hello: Mapping[str, Any], missed: list[str], owner: str = "") -> None:
        """Made by `Hub.join`."""
        self.hub = hub
        self.owner = owner  # a user hears of what is theirs; the owner of the machine (empty) of everything
        self.previews = True
        self.too_slow = False
        self._durable: deque[str] = deque([json.dumps(hello), *missed])
        self._bytes = sum(map(len, self._durable))
        self._latest: dict[tuple[str, ...], Message] = {}
        self._sent: dict[tuple[str, ...], float] = {}
        self._wake = asyncio.Event()
        self._wake.set()
        self._pump: asyncio.Task[None] | None = None

    def offer(self, text: str) -> None:
        """Queue a durable message."""
        if self.too_slow:
            return
        self._durable.append(text)
        self._bytes += len(text)
        if len(self._durable) > self.hub.queue or self._bytes > QUEUE_BYTES:
            self.too_slow = True
            self.hub.cut += 1
            self._durable.clear()
            self._latest.clear()
            if self._pump is not None:
                self._pump.cancel()
        self._wake.set()

    def flash(self, key: tuple[str, ...], message: Message) -> None:
        """Replace the newest volatile message of a key."""
        if self.too_slow or (isinstance(message, bytes) and not self.previews):
            return
        self._latest[key] = message
        self._wake.set()

    def forget(self, job: str, path: str) -> None:
        """A step (or, with an empty path, a job) is over: what was under way about it is old."""
        for lane in (self._latest, self._sent):
            for key in [key for key in lane if key[0] == job and path in ("", key[1])]:
                del lane[key]

    @property
    def waiting(self) -> int:
        """Messages that wait to be sent."""
        return len(self._durable) + len(self._latest)

    async def pump(self, send: Send) -> None:
        """Send until cancelled; returns when the client turns out to be too slow."""
        if self.too_slow:
            return
        self._pump = asyncio.create_task(self._send_all(send))
        try:
            await self._pump
        except asyncio.CancelledError:
            if not self.too_slow:
                self._pump.cancel()
                raise
        finally:
            self._pump = None

    async def _send_all(self, send: Send) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._durable:
                text = self._durable.popleft()
                self._bytes -= len(text)
                await send(text)
            now, soonest = loop.time(), 0.0
            for key in list(self._latest):
                due = self._sent.get(key, 0.0) + PACE
                if due > now:
                    soonest = min(soonest or due, due)
                    continue
                message = self._latest.pop(key, None)
                if message is None:
                    continue
                self._sent[key] = now
                await send(message)
                if self._durable:  # the record goes first
                    self._wake.set()
                    break
            if soonest:
                loop.call_at(soonest, self._wake.set)


class Hub:
    """Every client of a server."""

    def __init__(self, ring: int = RING, queue: int = QUEUE) -> None:
        """A new epoch begins; nothing has happened in it."""
        self.epoch = secrets.token_hex(6)
        self.seq = 0
        self.queue = queue
        self.clients: set[Client] = set()
        self.cut = 0  # clients that did not read
        self._ring: deque[tuple[int, str, str | None]] = deque(maxlen=ring)

    def join(self, epoch: str = "", since: int | None = None, owner: str = "") -> Client:
        """A new client; call it before the first await, so that it misses nothing."""
        missed: list[str] = []
        mode = "snapshot"
        oldest = self._ring[0][0] if self._ring else self.seq + 1
        if epoch == self.epoch and since is not None and oldest - 1 <= since <= self.seq:
            mode = "resumed"
            missed = [text for seq, text, whose in self._ring if seq > since and concerns(owner, whose)]
        hello = {"event": "hello", "epoch": self.epoch, "seq": self.seq, "mode": mode}
        client = Client(self, hello, missed, owner)
        self.clients.add(client)
        return client

    def leave(self, client: Client) -> None:
        """The client is gone."""
        self.clients.discard(client)

    @property
    def watched(self) -> bool:
        """Would anybody look at a preview? May be asked from any thread."""
        return any(client.previews for client in tuple(self.clients))

    def publish(self, record: Mapping[str, Any], owner: str | None = None) -> int:
        """Tell everyone, or whom it concerns: a user and the owner of the machine, or (empty) the latter alone."""
        self.seq += 1
        text = json.dumps({**record, "seq": self.seq}, ensure_ascii=False)
        self._ring.append((self.seq, text, owner))
        for client in self.clients:
            if concerns(client.owner, owner):
                client.offer(text)
        return self.seq

    def tell(self, record: Mapping[str, Any], owner: str) -> None:
        """Tell one user alone."""
        self.seq += 1
        text = json.dumps({**record, "seq": self.seq}, ensure_ascii=False)
        for client in self.clients:
            if client.owner == owner:
                client.offer(text)

    def flash(self, key: tuple[str, ...], message: Message, owner: str | None = None) -> None:
        """Tell everyone whom it concerns and who can follow; `key` begins with job and path."""
        for client in self.clients:
            if concerns(client.owner, owner):
                client.flash(key, message)

    def forget(self, job: str, path: str = "") -> None:
        """Drop what was under way about a step or a job."""
        for client in self.clients:
            client.forget(job, path)


def concerns(listener: str, whose: str | None) -> bool:
    """Does an event concern a listener?"""
    return whose is None or listener == "" or listener == whose


def frame(kind: int, header: Mapping[str, Any], body: bytes) -> bytes:
    """A binary message: u8 version = 1, u8 kind, u16 big-endian header length, JSON header, body."""
    head = json.dumps(header).encode()
    if len(head) > 0xFFFF:
        raise ValueError("the header is too long")
    return bytes((1, kind)) + len(head).to_bytes(2, "big") + head + body


def unframe(message: bytes) -> tuple[int, dict[str, Any], bytes]:
    """Kind, header and body of a binary message."""
    if len(message) < 4 or message[0] != 1:
        raise fail("server.request", "this is no binary message of version 1")
    length = int.from_bytes(message[2:4], "big")
    with contextlib.suppress(ValueError):
        header = json.loads(message[4 : 4 + length])
        return message[1], header, message[4 + length :]
    raise fail("server.request", "the message's header is no JSON")
