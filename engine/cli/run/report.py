"""Report: what came of a run, for the summary."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.cli import console
from engine.cli.variants import Variant
from engine.errors import Problem
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

if TYPE_CHECKING:
    pass

EXITS = {"succeeded": 0, "failed": 1, "partial": 3, "cancelled": 130}


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
            "outputs": {name: value for name, value in self.outputs.items() if is_plain(value)},
            "problems": [problem.to_json() for problem in self.problems],
            "notes": [note.to_json() for note in self.notes],
        }


def is_plain(value: Any) -> bool:
    """May the value stand in JSON?"""
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    return value is None or isinstance(value, str | int | float | bool)


def of_row(problem: Problem, run: Variant) -> Problem:
    """The problem with the name of its row before it."""
    return dataclasses.replace(problem, message=f"{run.name}: {problem.message}")


def word(report: Report) -> str:
    """What became of a run, in a word."""
    return {"succeeded": "done", "partial": "partly done"}.get(report.state, report.state)


def overall(reports: Sequence[Report]) -> str:
    """What became of many."""
    states = {report.state for report in reports}
    if "cancelled" in states:
        return "cancelled"
    if len(states) == 1:
        return states.pop()
    return "partial"


def table(reports: Sequence[Report]) -> str:
    """Many runs as lines of text."""
    rows: list[list[str]] = []
    for report in reports:
        told = ", ".join(os.path.relpath(file) if _near(file) else file for file in report.files)
        if not told and report.outputs:
            told = ", ".join(f"{name} = {value}" for name, value in report.outputs.items())
        if report.problems:
            told = report.problems[0].message
        rows.append([report.name, word(report), console.seconds(report.seconds), told])
    return console.table(rows, ["run", "state", "time", "result"], last="whole")


def _near(file: str) -> bool:
    """Is the path shorter when told from here?"""
    try:
        return not os.path.relpath(file).startswith("..")
    except ValueError:  # another drive on Windows
        return False


def sum_up(report: Report) -> None:
    """What came of a run: the values, what was done, and last the paths."""
    from engine.values import summary

    for name, value in report.outputs.items():
        if not is_plain(value) and not report.files:
            console.err(f"  {name}: {summary(value)}, not saved (the workflow has no node that saves it)")
    ran, cached = report.count("ran"), report.count("cached") + report.count("saved before")
    colour = {"succeeded": "green", "failed": "red"}.get(report.state, "yellow")
    head = console.style(word(report), colour, sys.stderr)
    console.err(f"{head} in {console.seconds(report.seconds) or '0 s'}: {ran} ran, {cached} known before")
    for name, value in report.outputs.items():
        if is_plain(value):
            console.out(f"{name} = {value}")
    for file in report.files:
        console.out(file)


def conclude(args: argparse.Namespace, reports: Sequence[Report]) -> int:
    """What many runs came to."""
    state = overall(reports)
    if args.json:
        files = [file for report in reports for file in report.files]
        runs_json = [report.to_json() for report in reports]
        console.out_json({"file": args.file, "state": state, "files": files, "runs": runs_json})
    elif not args.events:
        console.out(table(reports))
    return EXITS[state]
