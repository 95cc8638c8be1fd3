"""Run: `weft run` – a workflow becomes files; once, or for every row of a table and every point of a sweep."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.cli import console, documents, follow
from engine.cli.variants import Variant, variants
from engine.errors import Problem, WeftError, fail
from engine.events import (
    AlreadySaved,
    Event,
    JobStarted,
    Linted,
    Saved,
    StepBlocked,
    StepCancelled,
    StepFailed,
    StepFinished,
    StepHit,
    StepStarted,
)
from engine.places import Places
from engine.registry import Registry
from engine.workflow import Workflow

if TYPE_CHECKING:
    from engine.session import Session

EXITS = {"succeeded": 0, "failed": 1, "partial": 3, "cancelled": 130}

EXAMPLES = """examples:
  weft run workflows/text_to_image.json --set prompt="a red sphere" seed=7 --out pictures
  weft run picture.png --set steps=30                  the workflow that a saved picture carries, changed
  weft run flow.json --rows jobs.csv                   one run for each row; its columns are parameters
  weft run flow.json --sweep seed=1..8 --sweep cfg=2,4,6    every combination: 24 runs
  weft run flow.json --sweep seed=1..32 --together 8        eight at a time share the model's forwards

exit codes: 0 done, 1 failed, 2 the file or the arguments are wrong, 3 partial, 130 cancelled
"""


def add(name: str, parser: argparse.ArgumentParser) -> None:
    """The options of `weft run`."""
    parser.epilog = EXAMPLES
    documents.add_file(parser)
    documents.add_values(parser)
    parser.add_argument("--rows", metavar="TABLE", help="a .csv or .jsonl file: one run for each row")
    parser.add_argument(
        "--sweep",
        metavar="NAME=VALUES",
        nargs="+",
        action="extend",
        default=[],
        help="seed=1..8, cfg=2,4,6, denoise=0.2..1:0.2; several give every combination",
    )
    parser.add_argument("--out", metavar="DIR", help="where results are saved (WEFT_HOME/output)")
    parser.add_argument(
        "--to", metavar="NODE", action="append", help="run up to this node or output alone; may be given again"
    )
    parser.add_argument(
        "--together",
        metavar="N",
        type=int,
        default=1,
        help="with --rows or --sweep: up to N runs share each forward of the model; equal but for rounding",
    )
    parser.add_argument("--again", action="store_true", help="save again, even where the same file is there already")
    parser.add_argument("--no-cache", action="store_true", help="neither read nor write values kept on disk")
    parser.add_argument("--server", metavar="URL", help="run there: the address that `weft serve` printed")
    documents.add_machine(parser)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="print one JSON object at the end")
    how.add_argument("--events", action="store_true", help="print every event as a line of JSON")
    parser.set_defaults(go=go)


def go(args: argparse.Namespace) -> int:
    """Carry out `weft run`."""
    if args.file == args.rows == "-":
        raise fail("cli.usage", "the workflow and the rows cannot both come from stdin", mend="give one as a file")
    workflow = documents.open_file(args)
    places = documents.places_of(args)
    registry = documents.registry_of(places)
    base = documents.values_of(args.set, workflow, registry)
    runs = variants(workflow, registry, base, args.rows, args.sweep)
    if all(run.problems for run in runs):
        raise WeftError(problem for run in runs for problem in run.problems)
    if args.server:
        from engine.cli import remote

        return remote.go(args, workflow, runs, registry, places)
    if any((spec := registry.get(node.type)) is not None and spec.effect for node in workflow.nodes.values()):
        check_writable(places.output)
    many = bool(args.rows or args.sweep)
    if args.together > 1 and (not many or args.server):
        what = "is for --rows and --sweep" if not many else "is not for --server"
        raise fail("cli.usage", f"--together {what}", mend="leave it out")
    screen: follow.Silent
    if args.events:
        screen = follow.Lines()
    elif args.json:
        screen = follow.Silent()
    else:
        screen = follow.display(brief=many)
    with open_session(args, places, registry) as session:
        if many:
            return (_many if args.together < 2 else _together)(args, session, workflow, runs, screen)
        return _one(args, session, workflow, runs[0], screen)


def open_session(args: argparse.Namespace, places: Places, registry: Registry) -> Session:
    """A session on the device that was asked for."""
    from engine.disk import Disk
    from engine.memory import probe
    from engine.session import Session

    kind, _, index = args.device.partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps", "xpu") or (index and not index.isdigit()):
        raise fail(
            "cli.usage", f"--device {args.device}: there is no such device", mend="cpu, cuda, cuda:1, mps or xpu"
        )
    numerics = probe(args.device, args.dtype)
    lower = None if getattr(args, "no_cache", False) else Disk.of(places, registry)
    records = documents.records_of(places)
    return Session(registry=registry, places=places, numerics=numerics, records=records, lower=lower)


def check_writable(folder: Path) -> None:
    """Fail before the work when what comes of it could not be saved; makes nothing."""
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    try:
        if not there.is_dir():
            raise NotADirectoryError(20, "it is no folder")
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise fail(
            "place.write",
            f"results cannot be saved in {folder}: {error.strerror or error}",
            mend="choose another folder with --out DIR",
        ) from None


# --- what came of a run --------------------------------------------------------------------------------------------


@dataclass
class Report:
    """One run, for the summary."""

    name: str
    state: str
    seconds: float = 0.0
    parameters: dict[str, Any] = field(default_factory=dict)
    seeds: dict[str, int] = field(default_factory=dict)
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    notes: list[Problem] = field(default_factory=list)

    def read(self, events: Sequence[Event]) -> None:
        """Take in a diary."""
        for event in events:
            match event:
                case JobStarted(drawn=drawn):
                    self.seeds = dict(drawn)
                case StepHit():
                    self._step(event.path, "cached")
                case StepStarted():
                    self._step(event.path, "started", why=event.why)
                    if event.steps:
                        self._step(event.path, "started", cost=f"{event.steps - event.resumed} of {event.steps} steps")
                case StepFinished():
                    self._step(event.path, "ran", seconds=round(event.seconds, 4))
                case AlreadySaved(files=files):
                    self._step(event.path, "saved before")
                    self.files.extend(files)
                case Saved(files=files):
                    self.files.extend(files)
                case StepFailed():
                    self._step(event.path, "failed")
                case StepBlocked(by=by):
                    self._step(event.path, "blocked", by=by)
                case StepCancelled():
                    self._step(event.path, "cancelled")
                case Linted():
                    self.notes.append(event.problem)

    def _step(self, path: str, status: str, **more: Any) -> None:
        self.steps.setdefault(path, {}).update(status=status, **more)

    def count(self, status: str) -> int:
        """How many steps have this status."""
        return sum(step["status"] == status for step in self.steps.values())

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "name": self.name,
            "state": self.state,
            "seconds": round(self.seconds, 3),
            "parameters": self.parameters,
            "seeds": self.seeds,
            "steps": self.steps,
            "files": self.files,
            "outputs": {name: value for name, value in self.outputs.items() if _plain(value)},
            "problems": [problem.to_json() for problem in self.problems],
            "notes": [note.to_json() for note in self.notes],
        }


def _plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_plain, value))
    return value is None or isinstance(value, str | int | float | bool)


def _carry_out(
    args: argparse.Namespace,
    session: Session,
    workflow: Workflow,
    run: Variant,
    screen: follow.Silent,
    stop: follow.Stop,
    title: str,
) -> Report:
    """One run from submitting to its report. Raises what is wrong with the file or the values."""
    brought = documents.bring(run.values, workflow, session.engine.registry, session.engine.places)
    values = {**brought, **_file_names(workflow, session.engine.registry, run.file_name)}
    job = session.submit(workflow, values, args.to, again=args.again)
    try:
        screen.begin(job, title)
        follow.follow(job, screen, stop)
        result = job.result(fetch=False)
        seconds = getattr(job.diary[-1], "seconds", 0.0)
        problems = tuple(documents.placed(job.workflow, problem) for problem in result.problems)
        shown = documents.shown(job.workflow, run.own)
        report = Report(run.name, result.state, seconds, shown, outputs=dict(result.outputs), problems=problems)
        report.read(result.events)
        return report
    finally:
        screen.end()
        job.close()
        session.jobs.pop(job.id, None)  # thousands of rows, and the values of none but the last


def _file_names(workflow: Workflow, registry: Registry, name: str) -> dict[str, str]:
    """A row's name as the file names of everything that saves: the text inputs of effects that no key holds."""
    if not name:
        return {}
    found = [
        f"{path}.{item.name}"
        for path, node in workflow.nodes.items()
        if (spec := registry.get(node.type)) is not None and spec.effect
        for item in spec.inputs
        if not item.keyed and item.type.name == "str"
    ]
    return {target: name if len(found) == 1 else f"{name} {target.partition('.')[0]}" for target in found}


# --- one run, and many ---------------------------------------------------------------------------------------------


def _one(args: argparse.Namespace, session: Session, workflow: Workflow, run: Variant, screen: follow.Silent) -> int:
    title = workflow.title or Path(args.file).stem
    with follow.stoppable(screen) as stop:
        report = _carry_out(args, session, workflow, run, screen, stop, title)
    console.problems(report.problems)
    if args.json:
        console.out_json({"file": args.file, **report.to_json()})
    elif not args.events:
        _sum_up(report)
    return EXITS[report.state]


def _sum_up(report: Report) -> None:
    """What came of a run: the values, what was done, and last the paths."""
    from engine.values import summary

    for name, value in report.outputs.items():
        if not _plain(value) and not report.files:
            console.err(f"  {name}: {summary(value)}, not saved (the workflow has no node that saves it)")
    ran, cached = report.count("ran"), report.count("cached") + report.count("saved before")
    colour = {"succeeded": "green", "failed": "red"}.get(report.state, "yellow")
    head = console.style(_word(report), colour, sys.stderr)
    console.err(f"{head} in {console.seconds(report.seconds) or '0 s'}: {ran} ran, {cached} known before")
    for name, value in report.outputs.items():
        if _plain(value):
            console.out(f"{name} = {value}")
    for file in report.files:
        console.out(file)


def _many(
    args: argparse.Namespace, session: Session, workflow: Workflow, runs: Sequence[Variant], screen: follow.Silent
) -> int:
    reports: list[Report] = []
    with follow.stoppable(screen) as stop:
        for number, run in enumerate(runs, 1):
            if stop.asked:
                reports.append(Report(run.name, "cancelled", parameters=dict(run.own)))
                continue
            head = f"[{number}/{len(runs)}] {console.one_line(run.name)}"
            if run.problems:
                report = Report(run.name, "failed", parameters=dict(run.own), problems=run.problems)
            else:
                try:
                    report = _carry_out(args, session, workflow, run, screen, stop, "")
                except WeftError as error:
                    report = Report(run.name, "failed", parameters=dict(run.own), problems=error.problems)
            report.problems = tuple(_of_row(problem, run) for problem in report.problems)
            report.outputs = {name: value for name, value in report.outputs.items() if _plain(value)}
            reports.append(report)
            if not (args.json or args.events):
                told = ", ".join(report.files)
                screen.note(f"{head}: {_word(report)}, {console.seconds(report.seconds) or '0 s'}  {told}".rstrip())
            console.problems(report.problems)
    return _conclude(args, reports)


def _conclude(args: argparse.Namespace, reports: Sequence[Report]) -> int:
    """What many runs came to."""
    state = _overall(reports)
    if args.json:
        files = [file for report in reports for file in report.files]
        runs_json = [report.to_json() for report in reports]
        console.out_json({"file": args.file, "state": state, "files": files, "runs": runs_json})
    elif not args.events:
        console.out(_table(reports))
    return EXITS[state]


def _together(
    args: argparse.Namespace, session: Session, workflow: Workflow, runs: Sequence[Variant], screen: follow.Silent
) -> int:
    """As `_many`, but up to N runs at a time are one job that shares forwards."""
    from engine.session.together import split

    reports: dict[int, Report] = {}
    pending: list[tuple[int, Variant, dict[str, Any]]] = []
    registry, places = session.engine.registry, session.engine.places
    for number, run in enumerate(runs):
        try:
            if run.problems:
                raise WeftError(run.problems)
            brought = documents.bring(run.values, workflow, registry, places)
            values = {**brought, **_file_names(workflow, registry, run.file_name)}
            session.prepare(workflow, values)
            pending.append((number, run, values))
        except WeftError as error:
            problems = tuple(_of_row(problem, run) for problem in error.problems)
            reports[number] = Report(run.name, "failed", parameters=dict(run.own), problems=problems)
            console.problems(problems)
    with follow.stoppable(screen) as stop:
        for first in range(0, len(pending), args.together):
            group = pending[first : first + args.together]
            if stop.asked:
                reports.update({n: Report(run.name, "cancelled", parameters=dict(run.own)) for n, run, _ in group})
                continue
            job = session.submit_together(workflow, [values for _, _, values in group], args.to, again=args.again)
            try:
                screen.begin(job, "")
                follow.follow(job, screen, stop)
                results = split(job, fetch=False)
                seconds = getattr(job.diary[-1], "seconds", 0.0) / len(group)
            finally:
                screen.end()
                job.close()
                session.jobs.pop(job.id, None)
            for (number, run, _), result in zip(group, results, strict=True):
                problems = tuple(_of_row(documents.placed(workflow, problem), run) for problem in result.problems)
                plain = {name: value for name, value in result.outputs.items() if _plain(value)}
                shown = documents.shown(workflow, run.own)
                report = Report(run.name, result.state, seconds, shown, outputs=plain, problems=problems)
                report.read(result.events)
                reports[number] = report
                if not (args.json or args.events):
                    head = f"[{number + 1}/{len(runs)}] {console.one_line(run.name)}"
                    screen.note(f"{head}: {_word(report)}  {', '.join(report.files)}".rstrip())
                console.problems(problems)
    return _conclude(args, [reports[number] for number in range(len(runs))])


def _of_row(problem: Problem, run: Variant) -> Problem:
    """The problem with the name of its row before it."""
    return dataclasses.replace(problem, message=f"{run.name}: {problem.message}")


def _word(report: Report) -> str:
    return {"succeeded": "done", "partial": "partly done"}.get(report.state, report.state)


def _overall(reports: Sequence[Report]) -> str:
    states = {report.state for report in reports}
    if "cancelled" in states:
        return "cancelled"
    if len(states) == 1:
        return states.pop()
    return "partial"


def _table(reports: Sequence[Report]) -> str:
    rows: list[list[str]] = []
    for report in reports:
        told = ", ".join(os.path.relpath(file) if _near(file) else file for file in report.files)
        if not told and report.outputs:
            told = ", ".join(f"{name} = {value}" for name, value in report.outputs.items())
        if report.problems:
            told = report.problems[0].message
        rows.append([report.name, _word(report), console.seconds(report.seconds), told])
    return console.table(rows, ["run", "state", "time", "result"], last="whole")


def _near(file: str) -> bool:
    """Is the path shorter when told from here?"""
    try:
        return not os.path.relpath(file).startswith("..")
    except ValueError:  # another drive on Windows
        return False
