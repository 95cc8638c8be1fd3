"""Log: what the server says on stderr, as lines for people or as JSON for machines. Never a token, never a query."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from typing import TextIO

SECRET = re.compile(r"(token=|Bearer\s+|weft_user_)[\w.%~+/=-]+", re.I)
EXTRA = ("method", "path", "status", "seconds", "owner", "job", "item", "state")


def plain(text: str) -> str:
    """Text without what lets anybody in."""
    return SECRET.sub(r"\1…", text)


class Text(logging.Formatter):
    """`12:00:00 warning  the database was damaged  job=…`."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as a line."""
        when = time.strftime("%H:%M:%S", time.localtime(record.created))
        more = "".join(f"  {key}={value}" for key, value in _extra(record).items())
        told = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        return plain(f"{when} {record.levelname.lower()}  {record.getMessage()}{more}{told}")


class Json(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and what the record knows beside it."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as a line."""
        made = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": plain(record.getMessage()),
            **_extra(record),
        }
        if record.exc_info:
            made["traceback"] = plain(self.formatException(record.exc_info))
        return json.dumps(made, ensure_ascii=False)


def _extra(record: logging.LogRecord) -> dict[str, object]:
    found = {key: getattr(record, key) for key in EXTRA if getattr(record, key, None) not in (None, "")}
    return {key: plain(value) if isinstance(value, str) else value for key, value in found.items()}


def prepare(form: str, level: str, stream: TextIO | None = None) -> logging.Handler:
    """Send Weft's log to stderr in a form (`text`, `json`), from a level on."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Json() if form == "json" else Text())
    for name in ("weft", "aiohttp", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level.upper() if name == "weft" else max(logging.WARNING, logging.getLevelName(level.upper())))
        logger.propagate = False
    return handler
