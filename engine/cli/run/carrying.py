"""Carrying: runs carried out one after the other, or many as one job."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.cli import console, documents, follow
from engine.cli.run.report import EXITS, Report, conclude, is_plain, of_row, sum_up, word
from engine.cli.variants import Variant
from engine.errors import WeftError
from engine.registry import Registry
from engine.workflow import Workflow

if TYPE_CHECKING:
    from engine.session import Session


def carry_out(
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


def run_one(args: argparse.Namespace, session: Session, workflow: Workflow, run: Variant, screen: follow.Silent) -> int:
    """Carry out the one run there is, and sum it up."""
    title = workflow.title or Path(args.file).stem
    with follow.stoppable(screen) as stop:
        report = carry_out(args, session, workflow, run, screen, stop, title)
    console.problems(report.problems)
    if args.json:
        console.out_json({"file": args.file, **report.to_json()})
    elif not args.events:
        sum_up(report)
    return EXITS[report.state]


def run_many(
    args: argparse.Namespace, session: Session, workflow: Workflow, runs: Sequence[Variant], screen: follow.Silent
) -> int:
    """Carry out one run after the other; a row that fails does not stop the others."""
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
                    report = carry_out(args, session, workflow, run, screen, stop, "")
                except WeftError as error:
                    report = Report(run.name, "failed", parameters=dict(run.own), problems=error.problems)
            report.problems = tuple(of_row(problem, run) for problem in report.problems)
            report.outputs = {name: value for name, value in report.outputs.items() if is_plain(value)}
            reports.append(report)
            if not (args.json or args.events):
                told = ", ".join(report.files)
                screen.note(f"{head}: {word(report)}, {console.seconds(report.seconds) or '0 s'}  {told}".rstrip())
            console.problems(report.problems)
    return conclude(args, reports)


def run_together(
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
            problems = tuple(of_row(problem, run) for problem in error.problems)
            reports[number] = Report(run.name, "failed", parameters=dict(run.own), problems=problems)
            console.problems(problems)
    with follow.stoppable(screen) as stop:
        for first in range(0, len(pending), args.together):
            group = pending[first : first + args.together]
            if stop.asked:
                reports.update({n: Report(run.name, "cancelled", parameters=dict(run.own)) for n, run, _ in group})
                continue
            told = [values for _, _, values in group]
            job = session.submit_together(workflow, told, args.to, size=args.together, again=args.again)
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
                problems = tuple(of_row(documents.placed(workflow, problem), run) for problem in result.problems)
                plain = {name: value for name, value in result.outputs.items() if is_plain(value)}
                shown = documents.shown(workflow, run.own)
                report = Report(run.name, result.state, seconds, shown, outputs=plain, problems=problems)
                report.read(result.events)
                reports[number] = report
                if not (args.json or args.events):
                    head = f"[{number + 1}/{len(runs)}] {console.one_line(run.name)}"
                    screen.note(f"{head}: {word(report)}  {', '.join(report.files)}".rstrip())
                console.problems(problems)
    return conclude(args, [reports[number] for number in range(len(runs))])
