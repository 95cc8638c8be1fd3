"""Users: others who may use this machine, each with a token, a queue, folders and a quota of their own.

The owner of the machine is no user: their token stands in `state/token`, and they see everything. Of a user's token
only a hash is kept. Users are read from the database at each request, so that `weft users` works beside a running
server.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from engine.errors import did_you_mean, fail
from engine.places import Places
from engine.server.config import Config
from engine.server.store import Store

NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
FRESH = 10.0  # seconds for which the bytes of a user's folders are believed
PREFIX = "weft_user_"


@dataclass(frozen=True)
class Quota:
    """What a user is given; None is the server's default, 0 as much as they like."""

    jobs: int | None = None
    bytes: int | None = None
    seconds: int | None = None


@dataclass(frozen=True)
class User:
    """One user."""

    name: str
    digest: str
    created: float
    quota: Quota


@dataclass(frozen=True)
class Used:
    """What a user has used: jobs that wait or run, bytes in their folders, seconds of computing today (UTC)."""

    jobs: int
    bytes: int
    seconds: float


def places_of(places: Places, name: str) -> Places:
    """A user's folders; models and nodes are everybody's."""
    if not name:
        return places
    home = places.home / "users" / name
    return replace(places, input_folder=home / "input", output_folder=home / "output")


class Users:
    """The users of a server. All methods may be called from any thread."""

    def __init__(self, store: Store, places: Places, owner_token: str, config: Config | None = None) -> None:
        """Cookies end when the owner's token is changed."""
        self.store = store
        self.places = places
        self.config = config or Config()
        self._key = hashlib.sha256(b"weft users " + owner_token.encode()).digest()
        self._bytes: dict[str, tuple[float, int]] = {}

    # -- who there is

    def add(self, name: str, quota: Quota = Quota()) -> str:
        """A new user; their token, which is shown once."""
        if not NAME.fullmatch(name):
            message = f"'{name[:40]}' cannot be a user's name"
            raise fail("cli.usage", message, mend="a small letter, then up to 31 small letters, digits, - or _")
        token = PREFIX + secrets.token_urlsafe(24)
        with self.store.change() as db:
            if db.execute("SELECT 1 FROM users WHERE name=?", (name,)).fetchone():
                raise fail("server.conflict", f"there is a user '{name}' already", mend="choose another name")
            row = (name, _digest(token), time.time(), json.dumps(asdict(quota)))
            db.execute("INSERT INTO users VALUES (?, ?, ?, ?)", row)
        return token

    def renew(self, name: str) -> str:
        """Another token for a user: the old one ends."""
        self.get(name)
        token = PREFIX + secrets.token_urlsafe(24)
        with self.store.change() as db:
            db.execute("UPDATE users SET digest=? WHERE name=?", (_digest(token), name))
        return token

    def remove(self, name: str) -> None:
        """A user may come in no more. What they made stays where it is."""
        self.get(name)
        with self.store.change() as db:
            db.execute("DELETE FROM users WHERE name=?", (name,))

    def set_quota(self, name: str, quota: Quota) -> User:
        """Give a user more or less; what is None stays as it is."""
        old = self.get(name).quota
        given = {key: value for key, value in asdict(quota).items() if value is not None}
        with self.store.change() as db:
            db.execute("UPDATE users SET quota=? WHERE name=?", (json.dumps(asdict(replace(old, **given))), name))
        return self.get(name)

    def all(self) -> list[User]:
        """Every user, by name."""
        return [_user(row) for row in self.store.select("SELECT name, digest, created, quota FROM users ORDER BY name")]

    def get(self, name: str) -> User:
        """A user by name."""
        found = self._one("name", name)
        if found is None:
            known = [user.name for user in self.all()]
            hint = did_you_mean(name, known)
            raise fail("server.missing", f"there is no user '{name[:40]}'.{hint}", mend="weft users list")
        return found

    def _one(self, column: str, value: str) -> User | None:
        rows = self.store.select(f"SELECT name, digest, created, quota FROM users WHERE {column}=?", (value,))
        return _user(rows[0]) if rows else None

    # -- who comes in

    def by_token(self, token: str) -> User | None:
        """The user of a token. What is looked up is its hash: nothing is learnt from how long it takes."""
        return self._one("digest", _digest(token)) if token.startswith(PREFIX) else None

    def cookie(self, user: User) -> str:
        """What stands for the token in a browser; it is not the token, and ends with it."""
        return f"{user.name}.{hmac.new(self._key, user.digest.encode(), hashlib.sha256).hexdigest()}"

    def by_cookie(self, cookie: str) -> User | None:
        """The user of a cookie."""
        user = self._one("name", cookie.partition(".")[0]) if NAME.match(cookie) else None
        return user if user is not None and hmac.compare_digest(cookie.encode(), self.cookie(user).encode()) else None

    # -- what they use

    def limits(self, name: str) -> Quota:
        """A user's quota, with the server's defaults."""
        own = self.get(name).quota
        return Quota(
            own.jobs if own.jobs is not None else self.config.user_jobs,
            own.bytes if own.bytes is not None else self.config.user_bytes,
            own.seconds if own.seconds is not None else self.config.user_seconds,
        )

    def used(self, name: str) -> Used:
        """What a user has used."""
        ((jobs,),) = self.store.select("SELECT COUNT(*) FROM jobs WHERE owner=? AND finished IS NULL", (name,))
        rows = self.store.select("SELECT seconds FROM usage WHERE owner=? AND day=?", (name, _today()))
        return Used(jobs, self._bytes_of(name), rows[0][0] if rows else 0.0)

    def _bytes_of(self, name: str) -> int:
        kept = self._bytes.get(name)
        if kept is None or time.monotonic() - kept[0] > FRESH:
            home = self.places.home / "users" / name
            kept = self._bytes[name] = (time.monotonic(), _size(home))
        return kept[1]

    def check(self, name: str, jobs: int = 1) -> None:
        """`server.quota` when a user has used up what they are given."""
        limits, used = self.limits(name), self.used(name)
        if limits.jobs and used.jobs + jobs > limits.jobs:
            message = f"{used.jobs} of your jobs wait or run, and you may have {limits.jobs}"
            raise fail("server.quota", message, mend="wait until one is over, or cancel one")
        self.check_bytes(name)
        if limits.seconds and used.seconds >= limits.seconds:
            message = f"you have computed for {used.seconds:.0f} s today, and may for {limits.seconds} s"
            raise fail("server.quota", message, mend="go on tomorrow (UTC), or ask for more")

    def check_bytes(self, name: str, more: int = 0) -> None:
        """`server.quota` when a user's folders hold too much."""
        limit, used = self.limits(name).bytes, self._bytes_of(name)
        if limit and used + more > limit:
            message = f"your pictures take {used / 2**20:,.1f} MB, and may take {limit / 2**20:,.1f} MB"
            raise fail("server.quota", message, mend="delete some, or ask for more")

    def spent(self, name: str, seconds: float) -> None:
        """A user's job has computed for so long."""
        with self.store.change() as db:
            db.execute(
                "INSERT INTO usage VALUES (?, ?, ?) ON CONFLICT (owner, day) DO UPDATE SET seconds = seconds + ?",
                (name, _today(), seconds, seconds),
            )


def _user(row: tuple[str, str, float, str]) -> User:
    name, digest, created, quota = row
    return User(name, digest, created, Quota(**json.loads(quota)))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d")


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            if path.is_file() and not path.is_symlink():
                total += path.stat().st_size
        except OSError:  # gone meanwhile
            continue
    return total
