"""Hooks: a job that is over tells a URL so – signed, at least once, also over restarts.

    X-Weft-Delivery: JOB            the same for every attempt, so that who has it already can drop it
    X-Weft-Signature: t=SECONDS,v1=HEX      HMAC-SHA256 of "SECONDS.BODY" under the secret of `weft token --webhook`

Any 2xx answer is an end, and so is 410; else it is tried again, later each time. `engine.client.verify` checks.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import logging
import os
import secrets
import time
from pathlib import Path

from engine.errors import WeftError, fail
from engine.places import write_atomic
from engine.server.codec import encode
from engine.server.entry import shape_of
from engine.server.outside import Outside
from engine.server.store import Store

LOG = logging.getLogger("weft.server")
BACKOFF = (1.0, 5.0, 30.0, 120.0, 600.0, 3600.0)  # seconds before the second, third, … attempt
LONGEST = 2000  # characters of a URL
GONE = 410
ABREAST = 4


def load_secret(state: Path) -> bytes:
    """The secret that webhooks are signed under, made once; readable by its owner alone."""
    path = state / "webhook_secret"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        kept = path.read_text(encoding="ascii").strip()
        if len(kept) >= 32:
            return kept.encode()
    made = secrets.token_urlsafe(32)
    write_atomic(path, f"{made}\n".encode())
    os.chmod(path, 0o600)
    return made.encode()


def secret_of(secret: bytes, owner: str) -> str:
    """The secret of one user: another's tells nothing of it."""
    return hmac.new(secret, b"weft webhook " + owner.encode(), hashlib.sha256).hexdigest()


def sign(secret: str, body: bytes, now: int) -> str:
    """The signature of a body."""
    digest = hmac.new(secret.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={now},v1={digest}"


class Hooks:
    """Delivers what is due."""

    def __init__(self, store: Store, outside: Outside | None, secret: bytes, base: str = "") -> None:
        """Without an `outside` none are taken. `base` is put before the URLs of pictures."""
        self.store = store
        self.outside = outside
        self.secret = secret
        self.base = base
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def check(self, url: str) -> None:
        """Refuse a URL that would never be told, while its sender listens still."""
        if self.outside is None:
            raise fail("server.outside", "this server tells no webhooks", mend="ask GET /api/jobs/{id}, or follow /ws")
        if len(url) > LONGEST:
            raise fail("server.limit", f"a webhook has up to {LONGEST} characters", mend="shorten it")
        self.outside.check(url)

    def start(self) -> None:
        """Take up what was due, and what became due while nobody looked."""
        with self.store.change() as db:
            db.execute(
                "UPDATE hooks SET due=? WHERE due IS NULL AND job IN (SELECT id FROM jobs WHERE finished IS NOT NULL)",
                (time.time(),),
            )
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Stop; what is not delivered is taken up by the next process."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def over(self, job: str) -> None:
        """A job that has a webhook is over."""
        with self.store.change() as db:
            db.execute("UPDATE hooks SET due=? WHERE job=?", (time.time(), job))
        self._wake.set()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            rows = await asyncio.to_thread(
                self.store.select, "SELECT job, url, tries, due FROM hooks WHERE due IS NOT NULL ORDER BY due LIMIT 50"
            )
            now = time.time()
            due = [row for row in rows if row[3] <= now]
            for at in range(0, len(due), ABREAST):
                await asyncio.gather(*(self._deliver(job, url, tries) for job, url, tries, _ in due[at : at + ABREAST]))
            if not due:
                wait = max(0.05, rows[0][3] - now) if rows else None
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), wait)

    async def _deliver(self, job: str, url: str, tries: int) -> None:
        try:
            done = await self._tell(job, url)
        except Exception:
            LOG.exception("the webhook of job %s failed", job)
            done = False
        if done:
            statement, values = "DELETE FROM hooks WHERE job=?", (job,)
        elif tries >= len(BACKOFF):
            LOG.warning("the webhook of job %s is given up after %d attempts", job, tries + 1)
            statement, values = "DELETE FROM hooks WHERE job=?", (job,)
        else:
            statement = "UPDATE hooks SET tries=tries+1, due=? WHERE job=?"
            values = (time.time() + BACKOFF[tries], job)  # type: ignore[assignment]
        with contextlib.suppress(WeftError), self.store.change() as db:
            db.execute(statement, values)

    async def _tell(self, job: str, url: str) -> bool:
        """One attempt; True when there is nothing more to be done."""
        row = await asyncio.to_thread(self.store.get, job)
        if row is None or self.outside is None:
            return True
        items = await asyncio.to_thread(self.store.items, job)
        shape = encode(shape_of(row, items=items))
        shape.pop("workflow", None)
        urls = {name: [self.base + one for one in found] for name, found in shape.get("urls", {}).items()}
        body = json.dumps({"event": "job_finished", "job": {**shape, "urls": urls}}).encode()
        headers = {
            "Content-Type": "application/json",
            "X-Weft-Delivery": job,
            "X-Weft-Signature": sign(secret_of(self.secret, row.owner), body, int(time.time())),
        }
        try:
            status = await self.outside.post(url, body, headers)
        except WeftError as error:  # it has come to lie where nobody may ask: no later attempt will change that
            LOG.warning("the webhook of job %s is not told: %s", job, error.code)
            return True
        except (OSError, TimeoutError):
            return False
        return 200 <= status < 300 or status == GONE
