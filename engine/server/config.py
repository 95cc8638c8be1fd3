"""Config: everything that may be set of a server, in `weft.toml` or by an option of `weft serve`.

A key that is not known, or a value of another kind, is one clear line with the nearest key that is.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import did_you_mean, fail

NAME = "weft.toml"


def _key(name: str, default: Any, about: str, choices: tuple[str, ...] = ()) -> Any:
    kept = {"key": name, "about": about, "choices": choices}
    return field(default=default, metadata=kept)


@dataclass(frozen=True)
class Config:
    """What may be set. The names in `weft.toml` are `section.key`."""

    host: str = _key("server.host", "127.0.0.1", "where to listen; beyond 127.0.0.1 others reach it")
    port: str | int = _key("server.port", 8118, 'the port; "auto" takes a free one')
    lan: bool = _key("server.lan", False, "listen for the local network, and print its address as a QR code too")
    allow_hosts: tuple[str, ...] = _key("server.allow_hosts", (), "further names under which the server may be asked")
    base_url: str = _key("server.base_url", "", "the address by which others know the server, behind a proxy")
    tls_cert: str = _key("server.tls_cert", "", "a certificate (PEM): with it the server speaks HTTPS")
    tls_key: str = _key("server.tls_key", "", "the certificate's private key (PEM)")
    browser: bool = _key("server.browser", True, "open the browser where there is a display")
    models: tuple[str, ...] = _key("places.models", (), "trees of models, such as one of ComfyUI or A1111")
    input: str = _key("places.input", "", "where pictures to work on lie (WEFT_HOME/input)")
    output: str = _key("places.output", "", "where results are saved (WEFT_HOME/output)")
    history: int = _key("jobs.history", 2000, "finished jobs that are kept with their pictures")
    waiting: int = _key("jobs.waiting", 10_000, "jobs that may wait")
    allow_fetch: tuple[str, ...] = _key(
        "outside.allow", (), "hosts (name or name:port) that may be asked though they are not on the public internet"
    )
    fetch: bool = _key("outside.fetch", True, "may pictures be fetched by their URL?")
    webhooks: bool = _key("outside.webhooks", True, "may jobs tell a URL that they are over?")
    requests: int = _key("limits.requests", 3000, "requests in a minute from one address with one token; 0 for any")
    submissions: int = _key("limits.submissions", 600, "jobs in a minute of one user; 0 for any")
    failures: int = _key("limits.failures", 30, "wrong tokens in a minute from one address")
    user_jobs: int = _key("quota.jobs", 100, "jobs a user may have waiting or running; 0 for any")
    user_bytes: int = _key("quota.bytes", 10 * 2**30, "bytes of pictures and files a user may keep; 0 for any")
    user_seconds: int = _key("quota.seconds", 0, "seconds of computing a user may have in a day (UTC); 0 for any")
    log: str = _key("log.format", "text", "the log's form, on stderr", ("text", "json"))
    log_level: str = _key("log.level", "warning", "what is logged", ("debug", "info", "warning", "error"))
    metrics: bool = _key("log.metrics", True, "is there a /metrics for Prometheus? It wants the token")
    tracing: bool = _key("log.tracing", False, "tell OpenTelemetry of each job and step (extra `tracing`)")


KEYS: Mapping[str, dataclasses.Field[Any]] = {one.metadata["key"]: one for one in dataclasses.fields(Config)}


def read(path: Path) -> Config:
    """The config in a file."""
    try:
        with path.open("rb") as stream:
            found = tomllib.load(stream)
    except OSError as error:
        raise fail("config.missing", f"cannot read it: {error.strerror or error}", file=str(path)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise fail("config.wrong", f"it is not TOML: {error}", file=str(path), mend="see docs/server.md") from None
    return parse(found, str(path))


def parse(found: Mapping[str, Any], file: str = NAME) -> Config:
    """The config in plain data."""
    values: dict[str, Any] = {}
    sections = sorted({name.partition(".")[0] for name in KEYS})
    for section, keys in found.items():
        if section not in sections:
            hint = did_you_mean(section, sections)
            raise fail(
                "config.wrong",
                f"there is no section [{section}].{hint}",
                file=file,
                mend=f"sections: {', '.join(sections)}",
            )
        if not isinstance(keys, dict):
            raise fail("config.wrong", f"[{section}] must be a section of keys", file=file, mend="see docs/server.md")
        for key, value in keys.items():
            name = f"{section}.{key}"
            if name not in KEYS:
                mine = [one.partition(".")[2] for one in KEYS if one.startswith(f"{section}.")]
                message = f"there is no '{key}' in [{section}].{did_you_mean(key, mine)}"
                raise fail("config.wrong", message, file=file, mend=f"keys: {', '.join(mine)}")
            values[KEYS[name].name] = checked(name, value, file)
    return Config(**values)


def checked(name: str, value: Any, file: str = NAME) -> Any:
    """A value, if it is of the key's kind."""
    entry = KEYS[name]
    default, about = entry.default, entry.metadata["about"]
    kinds: tuple[type, ...] = (str, int) if name == "server.port" else (type(default),)
    if isinstance(default, tuple) and isinstance(value, list) and all(isinstance(one, str) for one in value):
        return tuple(value)
    right = isinstance(value, kinds) and isinstance(value, bool) == isinstance(default, bool)
    if not right or (isinstance(value, int) and value < 0):
        words = {str: "text", int: "a whole number from 0", bool: "true or false", tuple: "a list of texts"}
        want = " or ".join(words[kind] for kind in kinds)
        raise fail("config.wrong", f"{name} must be {want}, not {value!r}", file=file, mend=about)
    choices = entry.metadata["choices"]
    if choices and value not in choices:
        message = f"{name} cannot be '{value}'.{did_you_mean(str(value), choices)}"
        raise fail("config.wrong", message, file=file, mend=f"one of: {', '.join(choices)}")
    return value
