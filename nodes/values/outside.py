"""Outside: values that come from beyond the graph – the date, a counter – or go there: shown, written to a file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from engine import places
from engine.errors import fail, refuse
from engine.node import Help, Multiline, Range, Unkeyed, node
from engine.run import Run
from engine.sockets import rule
from nodes import naming

T = TypeVar("T")


def now(**inputs: Any) -> str:
    """The moment in the form asked for: that is what the result depends on."""
    return moment(str(inputs["form"]))


def moment(form: str) -> str:
    """This moment by a pattern of yyyy, MM, dd, HH, mm, ss."""
    return datetime.now().strftime(naming.pattern_of(form))


@node(
    "values.date",
    title="Date and time",
    output="text",
    lane="io",
    fingerprint=now,
    aliases=["DateTime", "date", "time", "timestamp"],
)
def date(form: Annotated[str, Help("yyyy, MM, dd, HH, mm and ss stand for the parts.")] = "yyyy-MM-dd") -> str:
    """Date and time when it runs. What is wired to it runs again only when the text has changed."""
    return moment(form)


class Counted(NamedTuple):
    """The number, and the same with zeros before it."""

    value: int
    text: str


@node("values.counter", title="Counter", lane="io", volatile=True, aliases=["Counter", "Number Counter", "increment"])
def counter(
    name: Annotated[str, Help("Counters of one name count together, in every workflow and process.")] = "counter",
    start: Annotated[int, Range(-(2**53), 2**53, 1)] = 1,
    step: Annotated[int, Range(-(2**31), 2**31, 1)] = 1,
    digits: Annotated[int, Range(1, 20, 1), Help("Zeros are put before the text up to so many.")] = 4,
    reset: Annotated[bool, Help("Begin with the first number again.")] = False,
) -> Counted:
    """The next number, in each run; two processes never get the same one.

    It is kept in the state folder. What is wired to it runs every time: `%counter%` in a file's name needs no node.
    """
    path = places.current().state / "counters.sqlite"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as table:
            table.execute("CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL)")
            table.execute("BEGIN IMMEDIATE")
            row = None if reset else table.execute("SELECT value FROM counters WHERE name = ?", (name,)).fetchone()
            value = start if row is None else int(row[0]) + step
            table.execute("INSERT OR REPLACE INTO counters VALUES (?, ?)", (name, value))
            table.execute("COMMIT")
    except (OSError, sqlite3.Error) as error:
        raise fail(
            "place.write", f"cannot count in {path}: {error}", mend="check that the folder may be written"
        ) from None
    return Counted(value, f"{value:0{digits}}")


@node(
    "values.show",
    title="Show value",
    output="value",
    target=True,
    lane="io",
    aliases=["PreviewAny", "Display Any", "ShowText", "DisplayString", "PreviewText"],
)
def show(run: Run, value: T) -> T:
    """Show whatever a wire carries on the node's card; it passes through."""
    run.show(value)
    return value


class Written(NamedTuple):
    """The text, passed through, and the file it went to: a name in the output folder, `/` on every system."""

    text: str
    files: list[str]


def save_facts(**inputs: Any) -> dict[str, dict[str, Any]]:
    """No facts; refuses a name that leaves the output folder before anything has run."""
    if isinstance(inputs["name"], str):
        naming.check(inputs["name"])
    return {}


@node(
    "values.save",
    title="Save text",
    effect=True,
    lane="io",
    facts=[rule("nodes.values.outside:save_facts")],
    aliases=["SaveText", "SaveTextFile"],
)
def save(
    run: Run,
    text: Annotated[str, Multiline()],
    name: Annotated[
        str, Unkeyed, Help("A pattern: %date%, %seed%, %node.input%, %counter%; / makes folders.")
    ] = "%title%",
    ending: Literal["txt", "md", "json", "csv"] = "txt",
) -> Written:
    """Write a text as UTF-8 under the next free number in the output folder."""
    if ending == "json":
        import json

        try:
            json.loads(text)
        except ValueError as error:
            raise refuse(f"the text is no JSON: {error}", socket="text", mend="save it as txt") from None
    known = naming.values_for(getattr(run, "document", None) or {}, getattr(run, "resolved", None) or {}, 0, 0)
    written = naming.write_new(places.current().output, naming.expand(name, known), f".{ending}", text.encode())
    return Written(text, [written])
