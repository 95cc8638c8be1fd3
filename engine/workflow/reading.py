"""Reading: JSON text becomes a `Workflow`, or one error with every problem of form, each with line and column."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.errors import Problem, WeftError, Where, did_you_mean, fail
from engine.workflow.data import (
    MODES,
    VERSION,
    Link,
    Many,
    Named,
    Net,
    Node,
    Origin,
    Parameter,
    Source,
    Value,
    Workflow,
)

MAX_BYTES = 64 * 2**20
MAX_DEPTH = 64
MAX_INT = 2**64 - 1


def read(path: str | Path) -> Workflow:
    """Read a workflow file; a `WeftError` says what is wrong, with line and column."""
    file = Path(path)
    try:
        size = file.stat().st_size
        if size > MAX_BYTES:
            raise fail("file.limit", f"the file has {size:,} bytes, more than {MAX_BYTES:,}", file=str(path))
        data = file.read_bytes()
    except OSError as error:
        known = sorted(p.name for p in file.parent.glob("*.json")) if file.parent.is_dir() else []
        raise fail(
            "file.missing",
            f"cannot read it: {error.strerror or error}.{did_you_mean(file.name, known)}",
            mend="check the path",
            file=str(path),
        ) from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise fail("file.syntax", f"the file is not UTF-8 text (byte {error.start})", file=str(path)) from None
    return parse(text, str(path))


def parse(text: str, file: str = "<workflow>") -> Workflow:
    """Read a workflow from JSON text."""
    if len(text) > MAX_BYTES:
        raise fail("file.limit", f"the text has {len(text):,} characters, more than {MAX_BYTES:,}", file=file)
    return from_json(load_json(text, file), Origin(file, text))


def load_json(text: str, file: str) -> Any:
    """JSON from anybody: no NaN, no key twice, no number or nesting past the limits."""

    def constant(name: str) -> Any:
        raise fail("file.syntax", f"{name} is not JSON and no input can hold it", file=file, **_find(text, name))

    def integer(digits: str) -> int:
        if len(digits) > 21 or not -MAX_INT <= int(digits) <= MAX_INT:
            raise fail("file.limit", f"the number {digits[:24]}... is too large", file=file, **_find(text, digits))
        return int(digits)

    def number(digits: str) -> float:
        value = float(digits)
        if not math.isfinite(value):
            raise fail("file.limit", f"the number {digits[:24]} is too large", file=file, **_find(text, digits))
        return value

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(items)
        if len(result) < len(items):
            seen: set[str] = set()
            twice = next(key for key, _ in items if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            spot = _find(text, json.dumps(twice, ensure_ascii=False))
            raise fail("file.syntax", f"the key '{twice[:60]}' stands twice", mend="remove one", file=file, **spot)
        return result

    try:
        if _depth(text) > MAX_DEPTH:
            raise fail("file.limit", f"the file is nested more than {MAX_DEPTH} deep", file=file)
        return json.loads(text, parse_constant=constant, parse_int=integer, parse_float=number, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        ending = " (the file ends too early)" if error.pos >= len(text.rstrip()) else ""
        raise fail(
            "file.syntax", f"not JSON: {error.msg}{ending}", file=file, line=error.lineno, column=error.colno
        ) from None


def _depth(text: str) -> int:
    """How deep brackets nest, strings skipped; cheaper than a recursion error."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return 0
    deepest = depth = 0
    in_string = escaped = False
    for char in text:
        if in_string:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                in_string = False
        elif char == '"':
            in_string = True
        elif char in "[{":
            depth += 1
            if depth > deepest:
                deepest = depth
                if deepest > MAX_DEPTH:
                    break
        elif char in "]}":
            depth -= 1
    return deepest


_COLON = re.compile(r"\s*:")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s{}\[\],:"]+')


def _find(text: str, token: str) -> dict[str, Any]:
    """Where a number, a constant or (the last of) a key stands; the same letters inside a text do not count."""
    found = [one for one in _TOKEN.finditer(text) if one[0] == token]
    if token.startswith('"'):
        found = [one for one in found if _COLON.match(text, one.end())][-1:]
    at = found[0].start() if found else -1
    return {"line": text.count("\n", 0, at) + 1, "column": at - text.rfind("\n", 0, at)} if at >= 0 else {}


class _Reader:
    """Turns JSON data into a Workflow; gathers every problem instead of stopping at the first."""

    def __init__(self, origin: Origin | None) -> None:
        self.origin = origin
        self.problems: list[Problem] = []

    def bad(self, path: Sequence[str | int], message: str, mend: str | None = None) -> None:
        where = self.origin.where(path) if self.origin else Where()
        names = ".".join(str(p) for p in path[1:] if p not in ("inputs", "nodes")) if len(path) > 1 else None
        problem = fail("file.shape", message, mend=mend).problem
        self.problems.append(replace(problem, where=replace(where, path=names)))

    def mapping(self, record: Any, path: Sequence[str | int], what: str) -> Mapping[str, Any]:
        if isinstance(record, dict):
            return record
        if record is not None:
            self.bad(path, f"{what} must be an object, not {_kind(record)}")
        return {}

    def text(self, record: Mapping[str, Any], key: str, path: Sequence[str | int]) -> str:
        value = record.get(key, "")
        if not isinstance(value, str):
            self.bad([*path, key], f"'{key}' must be text, not {_kind(value)}")
            return ""
        return value

    def net(self, record: Mapping[str, Any], path: list[str | int]) -> Net:
        nodes = {}
        for name, item in self.mapping(record.get("nodes"), [*path, "nodes"], "'nodes'").items():
            spot = [*path, "nodes", name]
            if not name or any(char in name for char in "./#") or len(name) > 200:
                self.bad(spot, f"'{name[:60]}' cannot be a node's name", "use one without '.', '/' and '#'")
            elif isinstance(item, dict):
                nodes[name] = self.node(item, spot)
            else:
                self.bad(spot, f"a node must be an object, not {_kind(item)}")
        parameters = {}
        for name, item in self.mapping(record.get("parameters"), [*path, "parameters"], "'parameters'").items():
            made = self.parameter(item, [*path, "parameters", name])
            if made is not None:
                parameters[name] = made
        outputs = {}
        for name, item in self.mapping(record.get("outputs"), [*path, "outputs"], "'outputs'").items():
            if isinstance(item, str):
                outputs[name] = item
            else:
                self.bad([*path, "outputs", name], 'an output must be text such as "node.output"')
        return Net(nodes, parameters, outputs)

    def node(self, record: Mapping[str, Any], path: list[str | int]) -> Node:
        kind = record.get("type")
        if not isinstance(kind, str) or not kind:
            self.bad(path, "the node has no 'type'", 'write "type": "image.load", or whatever it is')
            kind = ""
        version = record.get("version")
        if version is not None and (not isinstance(version, int) or isinstance(version, bool) or version < 1):
            self.bad([*path, "version"], f"'version' must be a whole number from 1, not {version!r}")
            version = None
        mode = self.text(record, "mode", path)
        if mode not in MODES:
            self.bad([*path, "mode"], f"'mode' must be 'mute' or 'bypass', not '{mode[:40]}'")
            mode = ""
        inputs = self.mapping(record.get("inputs"), [*path, "inputs"], "'inputs'")
        known = ("type", "version", "inputs", "mode", "title", "body")
        return Node(
            type=kind,
            inputs={name: self.source(item, [*path, "inputs", name]) for name, item in inputs.items()},
            version=version,
            mode=mode,
            title=self.text(record, "title", path),
            body=self.text(record, "body", path),
            extra={key: value for key, value in record.items() if key not in known},
        )

    def source(self, item: Any, path: list[str | int]) -> Source:
        if isinstance(item, dict):
            if set(item) == {"from"}:
                return self.link(item["from"], path)
            if set(item) == {"value"}:
                return Value(item["value"])
            if "from" in item or "value" in item:
                extra = next(key for key in item if key not in ("from", "value")) if len(item) > 1 else ""
                self.bad(path, f"'from' and 'value' stand alone, '{extra}' does not belong there")
                return Value(None)
            return Named(tuple((name, self.source(one, [*path, name])) for name, one in item.items()))
        if isinstance(item, list) and any(isinstance(one, dict | list) for one in item):
            return Many(tuple(self.source(one, [*path, index]) for index, one in enumerate(item)))
        return Value(item)

    def link(self, target: Any, path: Sequence[str | int]) -> Source:
        if not isinstance(target, str) or not target.partition(".")[0]:
            self.bad(path, f"'from' must be text such as \"node.output\", not {_kind(target)}")
            return Value(None)
        name, _, output = target.partition(".")
        return Link(name, output)

    def parameter(self, record: Any, path: list[str | int]) -> Parameter | None:
        if not isinstance(record, dict):
            self.bad(path, f"a parameter must be an object, not {_kind(record)}")
            return None
        to = record.get("to", [])
        if isinstance(to, str):
            to = [to]
        if not isinstance(to, list) or not all(isinstance(one, str) and "." in one for one in to):
            self.bad([*path, "to"], "'to' must be a list of inputs such as \"node.input\"")
            to = []
        known = ("to", "default", "required", "label")
        extra = {key: value for key, value in record.items() if key not in known}
        required = record.get("required", False)
        if not isinstance(required, bool):
            self.bad([*path, "required"], "'required' must be true or false")
            required = False
        return Parameter(
            tuple(to), record.get("default"), "default" in record, required, self.text(record, "label", path), extra
        )


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true/false", type(None): "null"}
    return names.get(type(value), "a number")


def from_json(record: Any, origin: Origin | None = None) -> Workflow:
    """A Workflow from decoded JSON; every problem of form at once."""
    reader = _Reader(origin)
    file = origin.file if origin else None
    if not isinstance(record, dict):
        raise fail("file.shape", f"a workflow is an object, not {_kind(record)}", file=file, line=1 if origin else None)
    version = record.get("weft")
    if not isinstance(version, int) or isinstance(version, bool):
        hint = _foreign(record)
        raise fail(
            "file.shape",
            f"this is no Weft workflow: {hint}",
            mend=f"weft import {file or 'FILE'}" if "ComfyUI" in hint else 'a workflow begins with {"weft": 1',
            file=file,
        )
    if version < 1:
        raise fail("file.shape", f"there is no format {version}", mend='a workflow begins with {"weft": 1', file=file)
    if version > VERSION:
        raise fail(
            "file.version",
            f"the file has format {version}, this Weft reads up to {VERSION}",
            mend="update weft",
            file=file,
        )
    net = reader.net(record, [])
    graphs = {}
    for name, item in reader.mapping(record.get("graphs"), ["graphs"], "'graphs'").items():
        graphs[name] = reader.net(reader.mapping(item, ["graphs", name], "a graph"), ["graphs", name])
    known = ("weft", "title", "about", "nodes", "parameters", "outputs", "graphs", "requires", "view")
    workflow = Workflow(
        nodes=net.nodes,
        parameters=net.parameters,
        outputs=net.outputs,
        title=reader.text(record, "title", []),
        about=reader.text(record, "about", []),
        graphs=graphs,
        requires=reader.mapping(record.get("requires"), ["requires"], "'requires'"),
        view=reader.mapping(record.get("view"), ["view"], "'view'"),
        extra={key: value for key, value in record.items() if key not in known},
        origin=origin,
    )
    if reader.problems:
        raise WeftError(reader.problems)
    return workflow


def _foreign(record: Mapping[str, Any]) -> str:
    if isinstance(record.get("nodes"), list) and "links" in record:
        return "it looks like a ComfyUI editor file"
    if record and all(isinstance(v, dict) and "class_type" in v for v in record.values()):
        return "it looks like a ComfyUI API file"
    return "the key 'weft' is missing"
