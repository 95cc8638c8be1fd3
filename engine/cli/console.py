"""Console: what is printed, and how – tables, colours where a terminal shows them, problems one to a line.

Works where a terminal is plain, narrow or not one at all: a character that an encoding lacks is replaced, colours and
cursor movements are used only on a terminal that understands them (on Windows they are switched on first).
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Literal, TextIO

from engine.errors import Problem

_STYLES = {"red": "31", "green": "32", "yellow": "33", "dim": "2", "bold": "1"}


def prepare() -> None:
    """Never fail for a character that the console cannot show."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def out(text: str = "") -> None:
    """What was asked for: to stdout."""
    print(text, flush=True)


def err(text: str = "") -> None:
    """What is told on the way: to stderr."""
    print(text, file=sys.stderr, flush=True)


def out_json(record: Any) -> None:
    """One JSON value to stdout, indented."""
    out(json.dumps(record, indent=2, ensure_ascii=False, default=str))


def problems(found: Iterable[Problem]) -> None:
    """Each problem in one line on stderr."""
    for problem in found:
        lint = problem.severity == "lint"
        mark = style("note", "yellow", sys.stderr) if lint else style("error", "red", sys.stderr)
        err(f"{mark}: {one_line(problem.line())}")


def one_line(text: str) -> str:
    """Text without line breaks and control characters, so that no input can write over the screen."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def style(text: str, name: str, stream: TextIO | None = None) -> str:
    """The text in a colour or weight, where the stream shows it."""
    return f"\x1b[{_STYLES[name]}m{text}\x1b[0m" if text and coloured(stream or sys.stdout) else text


def coloured(stream: TextIO) -> bool:
    """Does this stream show colours? `NO_COLOR` switches them off (no-color.org)."""
    return not os.environ.get("NO_COLOR") and live(stream)


def live(stream: TextIO) -> bool:
    """Is it a terminal whose cursor can be moved?"""
    try:
        terminal = stream.isatty()
    except ValueError:  # closed
        return False
    return terminal and os.environ.get("TERM") != "dumb" and (os.name != "nt" or _windows_terminal())


@cache
def _windows_terminal() -> bool:
    """Switch escape sequences on in a Windows console; True when it understands them (Windows 10 and later)."""
    import ctypes

    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009  a name that only Windows has
    for number in (-11, -12):  # stdout, stderr
        handle, mode = kernel.GetStdHandle(number), ctypes.c_ulong()
        if kernel.GetConsoleMode(handle, ctypes.byref(mode)) and not kernel.SetConsoleMode(handle, mode.value | 0x4):
            return False
    return True


def drawable(text: str, stream: TextIO) -> bool:
    """Can the stream's encoding show these characters?"""
    try:
        text.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def width() -> int:
    """Columns of the terminal; 100 where there is none."""
    return shutil.get_terminal_size((100, 24)).columns


def columns(text: str) -> int:
    """Columns that a text takes: two for the wide signs of East Asian scripts, none for what combines."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, room: int | None = None) -> str:
    """The text in so many columns, or in one line of the terminal; whole where stdout is none."""
    if room is None:
        if not live(sys.stdout):
            return text
        room = width()
    if columns(text) <= room:
        return text
    while columns(text) > room - 1:
        text = text[:-1]
    return text + "…"


def table(
    rows: Sequence[Sequence[str]],
    heads: Sequence[str] = (),
    *,
    last: Literal["cut", "wrap", "whole"] = "cut",
    indent: int = 0,
) -> str:
    """Rows as aligned columns; the last one is cut to the terminal (if it is one), wrapped in it, or left whole."""
    lines = [list(map(one_line, row)) for row in ([heads, *rows] if heads else rows)]
    if not lines:
        return ""
    count = max(len(row) for row in lines)
    for row in lines:
        row.extend([""] * (count - len(row)))
    widths = [max(columns(row[i]) for row in lines) for i in range(count)]
    room = max(24, width() - indent - sum(widths[:-1]) - 2 * (count - 1))
    made = []
    for index, row in enumerate(lines):
        pieces = [row[-1]]
        if last == "cut" and live(sys.stdout):
            pieces = [cut(row[-1], room)]
        elif last == "wrap":
            pieces = textwrap.wrap(row[-1], room) or [""]
        for turn, piece in enumerate(pieces):
            cells = row[:-1] if turn == 0 else [""] * (count - 1)
            padded = [cell + " " * (size - columns(cell)) for cell, size in zip(cells, widths, strict=False)]
            text = " " * indent + "  ".join([*padded, piece]).rstrip()
            made.append(style(text, "bold") if heads and index == 0 else text)
    return "\n".join(made)


def seconds(value: float | None) -> str:
    """`0.35 s`, `12 s`, `3:20 min`, `1:05 h`; empty when not known."""
    if value is None:
        return ""
    if value < 9.95:
        return f"{value:.2f} s" if value < 1 else f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02} h"


def size(count: float) -> str:
    """`3.4 MB`, as file managers say it."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def plural(count: int, word: str) -> str:
    """`1 step`, `2 steps`."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
