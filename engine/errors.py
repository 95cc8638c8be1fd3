"""Errors: every failure we can name has a code, a place and a mend.

A `Problem` is plain data: the editor shows it on the socket, the command line prints it in one line, a test compares
it. A `WeftError` is a problem (or several) that stops the work at hand. Anything else that is raised is a bug or a
node's own exception, and keeps its traceback.

Codes are stable, lower-case and dotted from general to special; `CODES` lists them all, and `docs/errors.md` is
generated from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

CODES: Mapping[str, str] = MappingProxyType(
    {
        "file.missing": "The workflow file is not there or cannot be read.",
        "file.syntax": "The file is not JSON; the message has line and column.",
        "file.shape": "The file is JSON but not a workflow: something has the wrong form.",
        "file.limit": "The file is too large, too deep or has a number no input can hold.",
        "file.version": "The file was written by a newer Weft.",
        "file.write": "The file could not be written; nothing was left half-written.",
        "graph.unknown_node": "No installed pack has a node of this type.",
        "graph.unknown_version": "The node is of a newer version than the installed pack.",
        "graph.unknown_input": "The node has no input of this name.",
        "graph.unknown_output": "The node at the other end has no output of this name.",
        "graph.unknown_graph": "There is no sub-graph of this name.",
        "graph.missing_input": "A required input has neither wire nor value.",
        "graph.type": "The wire carries a type that does not fit the socket.",
        "graph.value": "The value typed into the input does not fit it.",
        "graph.link": "The wire leads to a node that is not there.",
        "graph.cycle": "The wires form a circle.",
        "graph.recursion": "A sub-graph contains itself.",
        "graph.parameter": "A parameter is unknown, missing or points nowhere.",
        "graph.target": "The requested node or output does not exist.",
        "graph.migration": "An old node could not be brought to today's version.",
        "facts.mismatch": "Two things wired together do not belong together (family, latent space, width, ...).",
        "node.refused": "The node cannot do what its inputs ask; the message says why.",
        "node.raised": "The node raised an exception of its own.",
        "node.returned": "The node returned something else than it declares.",
        "node.mutated": "The node changed one of its inputs in place.",
        "node.declaration": "A node is declared wrongly; the message has file and line.",
        "node.light": "A light node read a value that does not exist yet.",
        "pack.broken": "A node pack could not be loaded.",
        "model.missing": "The model file or folder is not there.",
        "model.format": "The model file is damaged, of an unknown kind or not safe to open.",
        "model.changed": "The model's files were replaced after the job was planned.",
        "model.family": "The model is of a family that no installed pack knows.",
        "media.missing": "The image or file is not there.",
        "media.format": "The file is not an image we can read, or is too large to be opened safely.",
        "place.outside": "The path leaves the folder it has to stay in.",
        "place.write": "The folder cannot be written or the disk is full.",
        "package.missing": "A package that this needs is not installed.",
        "device.missing": "The requested device is not there.",
        "device.compile": "The compiler of torch failed on this machine.",
        "device.memory": "The device has too little memory, even after everything that may go has gone.",
        "worker.lost": "The process or machine that ran the job has ended.",
        "run.limit": "A loop or a nested run went past its limit.",
        "cli.usage": "The command line is wrong.",
        "server.auth": "The token is missing or wrong.",
        "server.origin": "The request comes from another site, or asks for a host that is not this server.",
        "server.request": "The request has the wrong form.",
        "server.type": "The request's body is of a kind that is not taken here.",
        "server.limit": "The request is too large.",
        "server.missing": "There is nothing of this name on the server.",
        "server.method": "The address takes another method.",
        "server.conflict": "Something else is there already, or has happened meanwhile.",
        "server.changed": "It was changed elsewhere meanwhile; the version that was sent is an old one.",
        "server.outside": "The server does not ask this URL, or had no answer from it.",
        "server.forbidden": "This is for the owner of the machine alone.",
        "server.quota": "The user has used up what they are given.",
        "server.rate": "Too many requests in a short time.",
        "config.missing": "The configuration file is not there or cannot be read.",
        "config.wrong": "The configuration file has a key or a value that is not known.",
        "server.busy": "The server cannot take this now.",
        "server.failed": "The server failed; its log says more.",
        "server.port": "The port is taken, or the server may not listen there.",
        "server.unreachable": "The server does not answer.",
    }
)


@dataclass(frozen=True)
class Where:
    """A place in a workflow: which file and line, which node (a path such as `hires/denoise`), which socket."""

    file: str | None = None
    line: int | None = None
    column: int | None = None
    path: str | None = None
    socket: str | None = None

    def __str__(self) -> str:
        spot = self.path or ""
        if self.socket:
            spot = f"{spot}.{self.socket}" if spot else self.socket
        place = self.file or ""
        if self.line is not None:
            place += f":{self.line}" + (f":{self.column}" if self.column is not None else "")
        return " ".join(part for part in (place, spot) if part)


@dataclass(frozen=True)
class Mend:
    """The next step in words, and as document commands that a button can apply.

    An edit is one of: `{"set": "node.input", "value": v}`, `{"wire": "node.input", "from": "node.output"}`,
    `{"unset": "node.input"}`, `{"remove": "node"}`, or `{"insert": {"type": t, "between": ["a.out", "b.in"],
    "input": i, "output": o}}`, which wires a.out to i and o to b.in; `{"put": {"type": t, "before": "node.input",
    "input": i, "output": o}}`, where what stood in the input becomes i of a new node; or `{"put": {"type": t, "behind":
    "node.input", "passes": [names], "with": {"type": u, "into": j}}}`, a new node behind the one that the input reads
    from: everyone who read its outputs of these names reads the new node's; `with` is a node that it reads as j. Both
    take `inputs`, literals by name. `engine.workflow.apply_edits` applies them.
    """

    text: str
    edits: tuple[Mapping[str, Any], ...] = ()

    def at(self, path: str) -> Mend:
        """The same mend for the node at `path`: a node names its own inputs alone (`{"set": "cfg"}`)."""

        def whole(edit: Mapping[str, Any]) -> Mapping[str, Any]:
            named = {verb: edit[verb] for verb in ("set", "wire", "unset") if verb in edit}
            made = {**edit, **{verb: f"{path}.{name}" for verb, name in named.items() if "." not in name}}
            if "put" in edit:
                spot = {key: edit["put"][key] for key in ("before", "behind") if key in edit["put"]}
                made["put"] = {**edit["put"], **{k: f"{path}.{name}" for k, name in spot.items() if "." not in name}}
            return made

        return replace(self, edits=tuple(map(whole, self.edits)))


@dataclass(frozen=True)
class Problem:
    """One failure (or, with `severity="lint"`, one piece of advice) as plain data."""

    code: str
    message: str
    where: Where = field(default_factory=Where)
    mend: Mend | None = None
    severity: str = "error"
    report: str | None = None  # a traceback with summarised inputs, for "copy report"

    def __post_init__(self) -> None:
        if self.code not in CODES and not self.code.startswith("lint."):
            raise ValueError(f"unknown error code {self.code!r}; add it to engine.errors.CODES")

    def at(self, **place: Any) -> Problem:
        """The same problem with what is still unknown of its place filled in."""
        known = {key: value for key, value in place.items() if getattr(self.where, key) is None}
        mend = self.mend.at(known["path"]) if self.mend and known.get("path") else self.mend
        return replace(self, where=replace(self.where, **known), mend=mend) if known else self

    def line(self) -> str:
        """One line for a person: place, message, next step."""
        spot = str(self.where)
        text = f"{spot}: {self.message}" if spot else self.message
        return f"{text} -> {self.mend.text}" if self.mend else text

    def to_json(self) -> dict[str, Any]:
        """The one JSON shape of errors: `{code, message, severity, where, mend}`."""
        where = {
            key: value
            for key in ("file", "line", "column", "path", "socket")
            if (value := getattr(self.where, key)) is not None
        }
        record: dict[str, Any] = {
            "code": self.code,
            "message": self.message,
            "severity": self.severity,
            "where": where,
        }
        record["mend"] = {"text": self.mend.text, "edits": [dict(e) for e in self.mend.edits]} if self.mend else None
        if self.report:
            record["report"] = self.report
        return record


class WeftError(Exception):
    """Stops the work with one or more problems; `str()` has one line each."""

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        """Take one problem or many; there must be at least one."""
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        if not self.problems:
            raise ValueError("a WeftError needs at least one problem")
        super().__init__("\n".join(problem.line() for problem in self.problems))

    @property
    def problem(self) -> Problem:
        """The first problem, for when there is only one."""
        return self.problems[0]

    @property
    def code(self) -> str:
        """The code of the first problem."""
        return self.problems[0].code

    def at(self, **place: Any) -> WeftError:
        """The same error with the unknown parts of every place filled in."""
        return WeftError(problem.at(**place) for problem in self.problems)


class Cancelled(BaseException):
    """Raised inside a node when its job is cancelled. Not an `Exception`: a node's own `except` must not eat it."""


def fail(
    code: str,
    message: str,
    *,
    mend: str | None = None,
    edits: Sequence[Mapping[str, Any]] = (),
    report: str | None = None,
    **where: Any,
) -> WeftError:
    """Build a `WeftError` of one problem: `raise fail("node.refused", "...", socket="scale", mend="...")`."""
    help_ = Mend(mend, tuple(edits)) if mend else None
    return WeftError(Problem(code, message, Where(**where), help_, report=report))


def refuse(message: str, *, socket: str | None = None, mend: str | None = None) -> WeftError:
    """What a node raises when it cannot do what it is asked: `raise refuse("...", socket="size", mend="...")`."""
    return fail("node.refused", message, socket=socket, mend=mend)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` when something close is known, else an empty string."""
    from difflib import get_close_matches

    close = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""
