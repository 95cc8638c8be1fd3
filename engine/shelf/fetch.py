"""Fetch: one file from a URL, however often the line breaks; it goes on where it stopped, and is checked at the end.

What has come so far lies in `models/.incoming`, beside a note of what the server called it (its ETag), so that a file
that was changed meanwhile is begun again, not glued to the old half. Nobody sees a file before it is whole.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import WeftError, fail

BLOCK = 2**20
TRIES = 6  # breaks in a row without one byte coming in between
PAUSE = 0.5  # seconds before the second try; doubled for each one after it
TIMEOUT = 30.0
Progress = Callable[[int, int], None]
"""Called with the bytes that are there and the bytes there will be (0: not known)."""


@dataclass(frozen=True)
class Fetched:
    """A file that came: where it lies now, its name at its source, its SHA-256."""

    path: Path
    name: str
    sha256: str


class Cancelled(Exception):
    """Whoever watches wants no more of it; what came so far stays for the next time."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """A token is for the host it was meant for: one that sends us elsewhere does not take it along."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        made = super().redirect_request(req, fp, code, msg, headers, newurl)
        if made is not None and urllib.parse.urlsplit(newurl).netloc != urllib.parse.urlsplit(req.full_url).netloc:
            made.remove_header("Authorization")
        return made


def fetch(
    url: str,
    incoming: Path,
    *,
    sha256: str = "",
    size: int = 0,
    headers: Mapping[str, str] | None = None,
    progress: Progress = lambda done, total: None,
    pause: Callable[[float], None] = time.sleep,
) -> Fetched:
    """Bring one file into the folder `incoming`.

    `sha256` and `size` are what the source says of it. Raises `model.missing` for what is not there or not allowed,
    `model.format` when what came is not what was promised. `progress` may raise `Cancelled`.
    """
    scheme = urllib.parse.urlsplit(url).scheme
    if scheme not in ("http", "https"):
        raise fail("model.missing", f"'{url[:80]}' is no address of a file", mend="give an http(s) URL or a hub id")
    incoming.mkdir(parents=True, exist_ok=True)
    part = incoming / (hashlib.sha256(url.encode()).hexdigest()[:24] + ".part")
    state = _State(url, part, size, dict(headers or {}))
    failures = 0
    while True:
        before = state.done
        try:
            state.go_on(progress)
            break
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in (429, 500, 502, 503, 504) and failures < TRIES:
                pass
            else:
                raise _refused(url, error) from None
        except (OSError, http.client.HTTPException) as error:
            if failures >= TRIES:
                came = f"{state.done:,} of {state.total:,} bytes" if state.total else f"{state.done:,} bytes"
                message = f"the line to {_host(url)} keeps breaking: {came} came ({error})"
                mend = "run the same command again: it goes on where it stopped"
                raise fail("model.missing", message, mend=mend) from None
        failures = 0 if state.done > before else failures + 1
        pause(PAUSE * 2**failures)
    digest = _check(state, sha256)
    return Fetched(part, state.name, digest)


def _check(state: _State, wanted: str) -> str:
    """The file's SHA-256; raises when it, or the size, is not what was promised."""
    came = state.part.stat().st_size
    digest = hashlib.sha256()
    with state.part.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    found = digest.hexdigest()
    if (state.total and came != state.total) or (wanted and found != wanted.lower()):
        why = f"{came:,} bytes came, {state.total:,} were promised" if state.total and came != state.total else ""
        why = why or f"its SHA-256 is {found[:16]}…, not {wanted[:16]}…"
        state.forget()
        raise fail("model.format", f"what came from {_host(state.url)} is not the file: {why}", mend="fetch it again")
    return found


class _State:
    """How far a download is: the part on the disk, and what the server calls the whole."""

    def __init__(self, url: str, part: Path, size: int, headers: dict[str, str]) -> None:
        self.url, self.part, self.note = url, part, part.with_suffix(".json")
        self.total, self.headers = size, headers
        self.name = urllib.parse.unquote(Path(urllib.parse.urlsplit(url).path).name)
        self.tag = ""
        try:
            told = json.loads(self.note.read_text())
            self.tag, self.name = str(told["tag"]), str(told["name"])
        except (OSError, ValueError, KeyError):
            self.part.unlink(missing_ok=True)

    @property
    def done(self) -> int:
        """Bytes that are here."""
        return self.part.stat().st_size if self.part.exists() else 0

    def forget(self) -> None:
        """Begin again."""
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def go_on(self, progress: Progress) -> None:
        """Ask for what is missing and write it down; returns when all has come."""
        start = self.done
        if start and self.total == start and self.tag:
            return
        request = urllib.request.Request(self.url, headers={"User-Agent": "weft", **self.headers})
        if start:
            request.add_header("Range", f"bytes={start}-")
            if self.tag:
                request.add_header("If-Range", self.tag)
        try:
            answer = urllib.request.build_opener(_Redirects).open(request, timeout=TIMEOUT)
        except urllib.error.HTTPError as error:
            error.close()
            whole = re.search(r"/(\d+)$", error.headers.get("Content-Range") or "")
            if error.code == 416 and whole and int(whole[1]) == start:  # all of it was here already
                self.total = start
                return
            if error.code == 416:
                self.forget()
                raise ConnectionError("the part that was here did not fit") from None
            raise
        with answer:
            if start and answer.status != 206:
                self.forget()
                start = 0
            self._note(answer, start)
            self._write(answer, start, progress)

    def _note(self, answer: Any, start: int) -> None:
        length = answer.headers.get("Content-Length")
        if length is not None and length.isdigit():
            self.total = start + int(length)
        told = re.search(r'filename="?([^";]+)"?', answer.headers.get("Content-Disposition") or "")
        if told:
            self.name = told[1].strip()
        tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
        self.tag = "" if tag.startswith("W/") else tag
        self.note.write_text(json.dumps({"tag": self.tag, "name": self.name, "url": self.url}))

    def _write(self, answer: Any, start: int, progress: Progress) -> None:
        done = start
        with self.part.open("ab") as stream:
            while block := answer.read(BLOCK):
                stream.write(block)
                done += len(block)
                stream.flush()
                progress(done, self.total)
            os.fsync(stream.fileno())
        if self.total and done < self.total:
            raise ConnectionError(f"it ended after {done:,} of {self.total:,} bytes")


def _host(url: str) -> str:
    return urllib.parse.urlsplit(url).netloc


def _refused(url: str, error: urllib.error.HTTPError) -> WeftError:
    host, code = _host(url), error.code
    if code in (401, 403):
        mend = "accept its licence on its page, and log in once with `hf auth login`, or give an address that is open"
        return fail("model.missing", f"{host} does not give {Path(url).name} to just anybody ({code})", mend=mend)
    if code in (404, 410):
        return fail("model.missing", f"{host} has no such file ({code}): {url[:120]}", mend="check the address")
    return fail("model.missing", f"{host} answers {code} ({error.reason})", mend="try again later")
