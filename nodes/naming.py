"""Naming: saved names are patterns, confined to their folder, the same on every system, never used twice.

`%date:yyyy-MM-dd%`, `%date%`, `%time%`, `%seed%`, `%width%`, `%height%`, `%batch%`, `%title%`, `%parameter%` and
`%node.input%` stand for values; `/` makes folders. `%counter%` is the next free number; a pattern without one gets
`_%counter%_` at its end, so nothing is overwritten.
"""

from __future__ import annotations

import errno
import os
import re
import unicodedata
import uuid
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from engine import places
from engine.errors import WeftError, fail, refuse

COUNTER = "%counter%"
_MARK = re.compile(r"%([^%]*)%")
_DATE = re.compile(r"yyyy|yy|MM|dd|HH|mm|ss")
_STRFTIME = {"yyyy": "%Y", "yy": "%y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"|?*]+')
_UNSAFE_VALUE = re.compile(r'[\x00-\x1f\x7f<>:"|?*%/\\]+')
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")
_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK, errno.EXDEV, errno.EACCES}
VALUE_LENGTH, PART_BYTES = 80, 180


def check(pattern: str) -> None:
    """Refuse a pattern that leaves its folder on some system, or counts folders instead of files."""
    bare = _MARK.sub("x", pattern)
    places.check_name(bare)
    if bare.endswith(("/", "\\")):
        raise refuse(f"'{pattern}' names a folder", socket="name", mend="end it with a name")
    if COUNTER in pattern.replace("\\", "/").rpartition("/")[0]:
        raise refuse("%counter% counts files, not folders", socket="name", mend="put it into the last part of the name")


def expand(pattern: str, values: Mapping[str, Any], now: datetime | None = None) -> str:
    """The name a pattern means now, with its `%counter%` still in it. A value that is not known leaves its own name.

    Values are made safe: what some system forbids in names becomes `_`, long ones are cut.
    """
    check(pattern)
    moment = now or datetime.now()

    def value(match: re.Match[str]) -> str:
        key, _, form = match[1].partition(":")
        if match[0] == COUNTER:
            return COUNTER
        if key in ("date", "time"):
            form = form or ("yyyy-MM-dd" if key == "date" else "HH-mm-ss")
            text = moment.strftime(pattern_of(form))
        else:
            text = str(values.get(match[1], match[1]))
        return _UNSAFE_VALUE.sub("_", text).strip()[:VALUE_LENGTH]

    name = _MARK.sub(value, pattern)
    if COUNTER not in name:
        name = f"{name}_{COUNTER}_"
    parts = [_safe(part) for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    return "/".join(parts)


def pattern_of(form: str) -> str:
    """A pattern of yyyy, yy, MM, dd, HH, mm, ss as `strftime` has it."""
    return _DATE.sub(lambda token: _STRFTIME[token[0]], form.replace("%", ""))


def _safe(part: str) -> str:
    """One part of a path as every system can hold it."""
    marked = part.replace(COUNTER, "\ue000")
    text = _UNSAFE.sub("_", unicodedata.normalize("NFC", marked)).strip().rstrip(".") or "_"
    head, mark, tail = text.partition("\ue000")
    head = head.encode()[:PART_BYTES].decode(errors="ignore")
    text = (head + (COUNTER if mark else "") + tail[:40]).strip()
    return f"_{text}" if _RESERVED.match(text) else text


def values_for(
    document: Mapping[str, Any], resolved: Mapping[str, Any], width: int, height: int, item: int = 0
) -> dict[str, Any]:
    """What a pattern may name: every typed-in input as `node.input`, parameters, drawn seeds, and the picture itself.

    `seed` is the parameter of that name, or else the first seed there is; item i of a batch has seed + i.
    """
    known: dict[str, Any] = {}
    for node, record in document.get("nodes", {}).items():
        for name, value in record.get("inputs", {}).items():
            plain = value["value"] if isinstance(value, Mapping) and set(value) == {"value"} else value
            if isinstance(plain, str | int | float):
                known[f"{node}.{name}"] = plain
    known |= resolved
    seed = known.get("seed", next((value for key, value in known.items() if key.endswith(".seed")), None))
    if isinstance(seed, int):
        known["seed"] = seed + item
    return known | {"width": width, "height": height, "batch": item, "title": document.get("title", "untitled")}


def write_new(folder: Path, name: str, ending: str, data: bytes) -> str:
    """Write `data` under the next free number of `name`; gives the name, relative to `folder`, with `/`.

    The number is taken by creating the finished file under it, which fails if it exists: two processes never get the
    same one, and a reader never sees half a file.
    """
    first = name.replace(COUNTER, "00000") + ending
    if places.inside(folder, first) is None:
        raise places.outside(first, folder)
    target_folder = (folder / first).parent
    temporary = target_folder / f".weft-{uuid.uuid4().hex}.part"
    try:
        places.write_atomic(temporary, data)
        last = name.rpartition("/")[2]
        number = _next_number(target_folder, last)
        while not _claim(temporary, target_folder / (last.replace(COUNTER, f"{number:05}") + ending)):
            number += 1
    except (OSError, WeftError) as error:
        cause = error.__cause__ if isinstance(error, WeftError) else error
        why = getattr(cause, "strerror", None) or cause
        message = f"cannot write into {target_folder}: {why}"
        raise fail("place.write", message, mend="check that it may be written and the disk has room") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return name.replace(COUNTER, f"{number:05}") + ending


def _next_number(folder: Path, name: str) -> int:
    """One more than the highest number in use, whatever the ending."""
    before, _, after = name.partition(COUNTER)
    pattern = re.compile(re.escape(before) + r"(\d{1,9})" + re.escape(after) + r"\.\w+")
    found = (pattern.fullmatch(unicodedata.normalize("NFC", entry)) for entry in os.listdir(folder))
    return max((int(match[1]) for match in found if match), default=0) + 1


def _claim(temporary: Path, target: Path) -> bool:
    """Give the finished file its name, unless somebody has it already."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # A file system without hard links (exFAT, some network shares): take the name first, then move.
        try:
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return False
        os.replace(temporary, target)
    return True
