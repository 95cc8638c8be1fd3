"""Remote: `weft run --server URL` – the same runs, on a server that is there already."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

from engine.cli import console
from engine.cli.variants import Variant
from engine.client import Client, Event, problem_of
from engine.errors import WeftError
from engine.places import check_name, write_atomic
from engine.server.codec import encode
from engine.server.shapes import JobShape
from engine.workflow import Workflow

EXITS = {"succeeded": 0, "failed": 1, "partial": 3, "cancelled": 130}


def go(args: argparse.Namespace, workflow: Workflow, runs: Sequence[Variant]) -> int:
    """Submit every run, follow each to its end, and fetch the pictures where `--out` says so."""
    with Client(args.server, os.environ.get("WEFT_TOKEN", "")) as weft:
        jobs: list[JobShape] = []
        bad = 0
        for run in runs:
            try:
                if run.problems:
                    raise WeftError(run.problems)
                jobs.append(weft.submit(workflow, run.values, args.to, again=args.again, title=run.name or None))
            except WeftError as error:
                if len(runs) == 1:
                    raise
                bad += 1
                console.problems(error.problems)
        ended: list[JobShape] = []
        try:
            for job in jobs:
                for event in weft.follow(job.id):
                    _tell(args, event)
                ended.append(weft.job(job.id))
                _show(args, weft, ended[-1])
        except KeyboardInterrupt:
            for job in jobs[len(ended) :]:
                weft.cancel(job.id)
            console.err("cancelled")
            return EXITS["cancelled"]
    states = {job.state for job in ended} | ({"failed"} if bad else set())
    if len(states) == 1:
        return EXITS[states.pop()]
    return EXITS["partial"]


def _tell(args: argparse.Namespace, event: Event) -> None:
    kind = event["event"]
    if args.events:
        console.out(json.dumps(event, ensure_ascii=False))
    elif args.json:
        return
    elif kind == "job_queued" and event.get("position"):
        console.err(f"queued, {console.plural(event['position'], 'job')} before it")
    elif kind == "step_finished":
        console.err(f"  {console.one_line(event['path'])}  {console.seconds(event['seconds'])}")
    elif kind in ("step_hit", "already_saved"):
        console.err(f"  {console.one_line(event['path'])}  known before")


def _show(args: argparse.Namespace, weft: Client, job: JobShape) -> None:
    """What came of a job; its pictures are fetched into `--out`, else named as they are called on the server."""
    console.problems(problem_of(shape) for shape in job.problems)
    files = []
    for name in job.files:
        if args.out:
            path = Path(args.out) / check_name(name)
            write_atomic(path, weft.file("output", name))
            files.append(str(path))
        else:
            files.append(name)
    if args.json:
        console.out_json({**encode(job), "files": files})
    elif not args.events:
        for name, value in job.values.items():
            console.out(f"{name} = {value}")
        for file in files:
            console.out(file)
