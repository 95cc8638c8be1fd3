"""Variants: many runs of one workflow, from the rows of a table (`--rows`) and from ranges (`--sweep`).

A row's columns are parameter names; a column `name` that is no parameter names the row and the files it saves. Several
sweeps give their product, and rows times sweeps too. A wrong name is a mistake of the whole table; a wrong value fails
its own row alone.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from engine.cli.documents import pairs_of
from engine.errors import Problem, WeftError, Where, fail
from engine.graph.settable import check_value, inputs_of, known_name, read_value
from engine.node import Input
from engine.registry import Registry
from engine.workflow import Workflow
from engine.workflow.reading import MAX_BYTES

MAX_VARIANTS = 10_000
_SPAN = re.compile(r"\s*(-?[\d.]+(?:e-?\d+)?)\s*\.\.\s*(-?[\d.]+(?:e-?\d+)?)\s*(?::\s*([\d.]+(?:e-?\d+)?))?\s*", re.I)


@dataclass(frozen=True)
class Variant:
    """One run: its name, its values, and what is wrong with them."""

    name: str
    values: Mapping[str, Any]
    problems: tuple[Problem, ...] = ()
    file_name: str = ""  # what its files are to be called, where the row says so
    own: Mapping[str, Any] = field(default_factory=dict)  # what sets it apart from the others


def variants(
    workflow: Workflow, registry: Registry, base: Mapping[str, Any], rows: str | None, sweeps: Sequence[str]
) -> list[Variant]:
    """Every run that is asked for; `base` are the values of `--set`, which rows and sweeps replace."""
    known = inputs_of(workflow, registry)
    table = list(_rows(rows, known, workflow)) if rows else [Variant("", {})]
    axes = _axes(sweeps, known, workflow)
    count = len(table)
    for _, values in axes:
        count *= len(values)
    if count > MAX_VARIANTS:
        raise fail("cli.usage", f"these are {count:,} runs, the limit is {MAX_VARIANTS:,}", mend="split them up")
    made = []
    for row in table:
        for point in itertools.product(*(values for _, values in axes)):
            sweep = dict(zip((name for name, _ in axes), point, strict=True))
            told = ", ".join(f"{name}={_short(value)}" for name, value in sweep.items())
            name = " ".join(part for part in (row.name, told) if part)
            file_name = " ".join(part for part in (row.file_name, told) if part) if row.file_name else ""
            made.append(
                Variant(name, {**base, **row.values, **sweep}, row.problems, file_name, {**row.values, **sweep})
            )
    return made


# --- rows ----------------------------------------------------------------------------------------------------------


def _rows(name: str, known: Mapping[str, Input | None], workflow: Workflow) -> Iterator[Variant]:
    text = _text(name)
    if Path(name).suffix.lower() in (".jsonl", ".ndjson") or (name == "-" and text.lstrip().startswith("{")):
        records = list(_json_lines(text, name))
    else:
        records = list(_csv(text, name, known))
    if not records:
        raise fail("cli.usage", "there are no rows", file=name, mend="write a line of column names, then one per run")
    wrong = {}
    for line, record in records:
        for column in record:
            if column != "name" and column not in wrong:
                problem = known_name(column, known, Where(file=name, line=line), workflow)
                if problem is not None:
                    wrong[column] = problem
    if wrong:
        raise WeftError(wrong.values())
    for index, (line, record) in enumerate(records, 1):
        named = "name" in record and "name" not in known
        label = str(record["name"]) if named and record["name"] not in ("", None) else ""
        values = {key: value for key, value in record.items() if not (key == "name" and named)}
        found = [
            problem
            for key, value in values.items()
            if (problem := check_value(value, known[key], Where(file=name, line=line, socket=key)))
        ]
        yield Variant(label or f"row {index}", values, tuple(found), label)


def _text(name: str) -> str:
    try:
        if name == "-":
            data = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(name).open("rb") as stream:
                data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise fail("file.missing", f"cannot read it: {error.strerror or error}", file=name) from None
    if len(data) > MAX_BYTES:
        raise fail("file.limit", f"it has more than {MAX_BYTES:,} bytes", file=name)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise fail("file.syntax", f"it is not UTF-8 text (byte {error.start})", file=name) from None


def _csv(text: str, name: str, known: Mapping[str, Input | None]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a CSV file, with their lines; an empty cell leaves the value as it is in the workflow."""
    heads: list[str] = []
    separator = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if not heads:
                heads = [cell.strip() for cell in cells]
                twice = next((head for head in heads if heads.count(head) > 1), None)
                if twice is not None:
                    raise fail("file.shape", f"the column '{twice}' stands twice", file=name, line=1)
                continue
            if len(cells) > len(heads):
                message = f"{len(cells)} cells, but {len(heads)} columns"
                raise fail(
                    "file.shape", message, file=name, line=reader.line_num, mend='quote text that has a comma: "…"'
                )
            record = dict(zip(heads, cells, strict=False))
            yield (
                reader.line_num,
                {head: _cell(cell, head, known) for head, cell in record.items() if cell != "" or head == "name"},
            )
    except csv.Error as error:
        raise fail("file.syntax", f"not CSV: {error}", file=name, line=reader.line_num) from None


def _cell(cell: str, head: str, known: Mapping[str, Input | None]) -> Any:
    return cell if head == "name" and head not in known else read_value(cell, known.get(head))


def _json_lines(text: str, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            message = getattr(error, "msg", "it cannot be read")
            raise fail("file.syntax", f"not JSON: {message}", file=name, line=number) from None
        if not isinstance(record, dict):
            raise fail("file.shape", 'a line must be an object: {"seed": 7}', file=name, line=number)
        yield number, record


# --- sweeps --------------------------------------------------------------------------------------------------------


def _axes(sweeps: Sequence[str], known: Mapping[str, Input | None], workflow: Workflow) -> list[tuple[str, list[Any]]]:
    axes = []
    for name, text in pairs_of(sweeps, "--sweep").items():
        where = Where(file=f"--sweep {name}={text[:40]}")
        problem = known_name(name, known, where, workflow)
        if problem is not None:
            raise WeftError(problem)
        item = known[name]
        values = _span(text, item, where) or _items(text, item)
        if not values:
            raise fail("cli.usage", "there are no values", file=where.file, mend=f"--sweep {name}=1..8 or {name}=a,b")
        for value in values:
            problem = check_value(value, item, where)
            if problem is not None:
                raise WeftError(problem)
        axes.append((name, values))
    return axes


def _span(text: str, item: Input | None, where: Where) -> list[Any]:
    """`1..8`, `8..1` and `0.2..1:0.2`, both ends included; counted in decimals, so that 0.1 steps stay exact."""
    match = _SPAN.fullmatch(text) if item is None or item.type.name in ("int", "float", "any") else None
    if match is None:
        return []
    try:
        first, last = Decimal(match[1]), Decimal(match[2])
        step = Decimal(match[3]) if match[3] else Decimal(1)
    except ArithmeticError:
        raise fail("cli.usage", "it is no range", file=where.file, mend="write it as 1..8 or 0.2..1:0.2") from None
    if step <= 0:
        raise fail("cli.usage", "the step must be above 0", file=where.file)
    count = int(abs(last - first) / step) + 1
    if count > MAX_VARIANTS:
        raise fail("cli.usage", f"these are {count:,} values, the limit is {MAX_VARIANTS:,}", file=where.file)
    points = [first + index * (step if last >= first else -step) for index in range(count)]
    return [int(point) if point == point.to_integral_value() else float(point) for point in points]


def _items(text: str, item: Input | None) -> list[Any]:
    """`2,4,6`, or a JSON list where values hold commas."""
    if text.lstrip().startswith("["):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, list):
            return found
    return [read_value(part.strip(), item) for part in text.split(",") if part.strip()]


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else text[:39] + "…"
