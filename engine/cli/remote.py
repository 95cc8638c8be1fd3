"""Remote: `weft run --server URL` – the same runs, on a server that is there already."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.cli import console
from engine.cli.variants import Variant
from engine.client import Client, Event, problem_of
from engine.errors import WeftError
from engine.graph.settable import inputs_of
from engine.places import Places, check_name, write_atomic
from engine.registry import Registry
from engine.server.codec import encode
from engine.server.shapes import JobShape
from engine.workflow import Value, Workflow

EXITS = {"succeeded": 0, "failed": 1, "partial": 3, "cancelled": 130}


def go(
    args: argparse.Namespace, workflow: Workflow, runs: Sequence[Variant], registry: Registry, places: Places
) -> int:
    """Submit every run, follow each to its end, and fetch the pictures where `--out` says so.

    Pictures that lie here (named by a path, beside the workflow, or in the input folder) are sent along.
    """
    with Client(args.server, os.environ.get("WEFT_TOKEN", "")) as weft:
        bring = Bringer(weft, workflow, registry, places)
        if args.together > 1:
            return _together(args, weft, workflow, runs, bring)
        jobs: list[JobShape] = []
        bad = 0
        for run in runs:
            try:
                if run.problems:
                    raise WeftError(run.problems)
                values = bring(run.values)
                jobs.append(weft.submit(workflow, values, args.to, again=args.again, title=run.name or None))
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


def _together(
    args: argparse.Namespace, weft: Client, workflow: Workflow, runs: Sequence[Variant], bring: Bringer
) -> int:
    """All runs as the items of one job, which share forwards; what is wrong with one is told, and the others run."""
    good = [run for run in runs if not run.problems]
    for run in runs:
        console.problems(dataclasses.replace(one, message=f"{run.name}: {one.message}") for one in run.problems)
    rows = [bring(run.values) for run in good]
    job = weft.submit(workflow, {}, args.to, again=args.again, rows=rows, together=args.together)
    try:
        for event in weft.follow(job.id):
            if args.events:
                console.out(json.dumps(event, ensure_ascii=False))
            elif event["event"] == "item_finished" and not args.json:
                name = console.one_line(good[event["item"]].name)
                console.err(f"[{event['item'] + 1}/{len(good)}] {name}: {event['state']}")
    except KeyboardInterrupt:
        weft.cancel(job.id)
        console.err("cancelled")
        return EXITS["cancelled"]
    ended = weft.job(job.id)
    _show(args, weft, ended)
    return EXITS["partial" if len(good) < len(runs) and ended.state == "succeeded" else ended.state]


class Bringer:
    """Sends the pictures that a workflow and its values name, each once."""

    def __init__(self, weft: Client, workflow: Workflow, registry: Registry, places: Places) -> None:
        """Nothing is sent before a run needs it."""
        self.weft = weft
        self.known = inputs_of(workflow, registry)
        origin = Path(workflow.origin.file) if workflow.origin else None
        beside = origin.resolve().parent if origin is not None and origin.is_file() else None
        self.folders = [folder for folder in (Path(), beside, places.input) if folder is not None]
        self.parameters = {target: name for name, item in workflow.parameters.items() for target in item.to}
        self.own = {
            f"{name}.{socket}": source.value
            for name, node in workflow.nodes.items()
            for socket, source in node.inputs.items()
            if isinstance(source, Value) and self._takes_picture(f"{name}.{socket}")
        }
        self.own |= {
            name: item.default
            for name, item in workflow.parameters.items()
            if item.has_default and self._takes_picture(name)
        }
        self._sent: dict[Path, str] = {}

    def _takes_picture(self, name: str) -> bool:
        item = self.known.get(name)
        return item is not None and item.widget.get("kind") == "file" and item.widget.get("place") == "input"

    def __call__(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values as the server is to have them."""
        # What a parameter sets is the parameter's to send.
        own = {name: value for name, value in self.own.items() if self.parameters.get(name) not in values}
        made = dict(values)
        for name, value in {**own, **values}.items():
            path = self._local(value) if self._takes_picture(name) else None
            if path is None:
                continue
            if path not in self._sent:
                self._sent[path] = self.weft.upload(path).name
                console.err(f"  {console.one_line(str(value))} sent as {self._sent[path]}")
            made[name] = self._sent[path]
        return made

    def _local(self, value: Any) -> Path | None:
        if not isinstance(value, str) or not value:
            return None
        found = next((folder / value for folder in self.folders if (folder / value).is_file()), None)
        return found.resolve() if found is not None else None


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
