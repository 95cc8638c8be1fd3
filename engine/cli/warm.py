"""Warm: `weft warm` – compile what a workflow compiles now, so that its runs do not wait for it."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine.cli import console, documents, follow
from engine.cli import run as running
from engine.events import StepFinished, StepRetried

EXAMPLES = """examples:
  weft warm flow.json                      one step of each sampler whose model is compiled; nothing is saved
  weft warm flow.json --set canvas.width=768

What was compiled is kept under WEFT_HOME/state/compiled, for every process after this one.
"""


def add(name: str, parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.epilog = EXAMPLES
    documents.add_file(parser)
    documents.add_values(parser)
    documents.add_machine(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    # From nothing: a step that is known already would compile nothing.
    parser.set_defaults(go=warm, no_cache=True)


def warm(args: argparse.Namespace) -> int:
    """Run each sampler of a compiled model for one step, and say how long that took."""
    workflow = documents.open_file(args)
    places = documents.places_of(args)
    registry = documents.registry_of(places)
    screen = follow.Silent() if args.json else follow.display(brief=False)
    with running.open_session(args, places, registry) as session, follow.stoppable(screen) as stop:
        from engine.session import warming

        values = documents.values_of(args.set, workflow, registry)
        values = documents.bring(values, workflow, registry, session.engine.places)
        stopped, targets = warming(session, workflow, values)
        if not targets:
            _tell(args, {}, "nothing to warm: no model in it goes through numerics.compile")
            return 0
        job = session.submit(stopped, targets=targets)
        try:
            screen.begin(job, "")
            follow.follow(job, screen, stop)
            result = job.result(fetch=False)
        finally:
            screen.end()
            job.close()
    names = [target.rpartition(".")[0] for target in targets]
    seconds = {event.path: event.seconds for event in result.events if isinstance(event, StepFinished)}
    without = {event.path for event in result.events if isinstance(event, StepRetried) and event.numerics_changed}
    console.problems(tuple(documents.placed(job.workflow, problem) for problem in result.problems))
    done = {name: round(seconds[name], 3) for name in names if name in seconds and name not in without}
    if without:
        _tell(args, done, "not everything could be compiled; those steps will run as they are")
        return 1
    if done:
        _tell(args, done, f"kept in {_kept(places.state)}: the next run with these sizes starts at once")
    return running.EXITS[result.state]


def _kept(state: Path) -> str:
    """Where torch keeps it, and how much that is."""
    import os

    folder = Path(os.environ.get("TORCHINDUCTOR_CACHE_DIR") or state / "compiled")
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else 0
    return f"{folder} ({console.size(size)} in all)"


def _tell(args: argparse.Namespace, done: dict[str, float], text: str) -> None:
    if args.json:
        console.out_json({"compiled": done, "note": text})
    else:
        console.err(text)
