"""Cull: `weft cull` – many variants a few steps far on one sheet; only the chosen ones are finished."""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import pictures
from engine.cli import console, documents, follow
from engine.cli import run as running
from engine.cli.variants import Variant, variants
from engine.errors import WeftError, fail
from engine.places import write_atomic
from engine.workflow import Workflow, to_json

if TYPE_CHECKING:
    from engine.session import Session

EXAMPLES = """examples:
  weft cull flow.json --sweep seed=1..16 --stop 6       16 seeds to step 6, on one labelled sheet
  weft cull sheet.png --finish 3,7,11                   only these go on, each for the steps that are left
  weft cull flow.json --sweep seed=1..8 cfg=4,7 --stop sample=8

The sheet carries the workflow and its variants, so it can be finished tomorrow, or on another machine (there from the
first step). Steps that were computed are kept in the cache on disk: see weft cache.
"""
GAP, LABEL, MOST_PIXELS = 4, 16, 256


def add(name: str, parser: argparse.ArgumentParser) -> None:
    """The options of `weft cull`."""
    parser.epilog = EXAMPLES
    documents.add_file(parser)
    documents.add_values(parser)
    parser.add_argument(
        "--sweep",
        metavar="NAME=VALUES",
        nargs="+",
        action="extend",
        default=[],
        help="what sets the variants apart: seed=1..16, cfg=2,4,6; several give every combination",
    )
    parser.add_argument("--rows", metavar="TABLE", help="a .csv or .jsonl file: one variant for each row")
    parser.add_argument(
        "--stop", metavar="STEP", help="the step to stop before, or NODE=STEP; a number stops the first node that can"
    )
    parser.add_argument("--finish", metavar="NUMBERS", help="with a sheet: which to finish, as 3,7,11 or 2..5")
    parser.add_argument("--out", metavar="DIR", help="where the sheet and results are saved (WEFT_HOME/output)")
    documents.add_machine(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.set_defaults(go=go, again=False, to=None, events=False)


def go(args: argparse.Namespace) -> int:
    """Carry out `weft cull`."""
    if bool(args.finish) == bool(args.stop):
        raise fail("cli.usage", "say either --stop STEP or --finish NUMBERS", mend="weft cull --help")
    workflow = documents.open_file(args)
    places = documents.places_of(args)
    registry = documents.registry_of(places)
    running.check_writable(places.output)
    screen = follow.Silent() if args.json else follow.display(brief=True)
    with running.open_session(args, places, registry) as session:
        if args.finish:
            return _finish(args, session, workflow, screen)
        base = documents.values_of(args.set, workflow, registry)
        runs = variants(workflow, registry, base, args.rows, args.sweep)
        wrong = [problem for run in runs for problem in run.problems]
        if wrong:
            raise WeftError(wrong)
        return _draw(args, session, workflow, base, runs, screen)


def _draw(
    args: argparse.Namespace,
    session: Session,
    workflow: Workflow,
    base: Mapping[str, Any],
    runs: Sequence[Variant],
    screen: follow.Silent,
) -> int:
    """Every variant up to its stop, and the sheet."""
    from engine.session import look

    fixed, _ = session.settle(workflow, base, [name for run in runs for name in run.own])
    seen = look(fixed, session.engine.registry, _stops(args.stop))
    runs = [Variant(run.name, run.own, own=run.own) for run in runs]
    args.to = list(seen.targets)
    reports = _all(args, session, seen.workflow, runs, screen)
    cells = [report.outputs.get(seen.targets[0]) for report in reports]
    problems = [problem for report in reports for problem in report.problems]
    file = None
    if any(cell is not None for cell in cells):
        labels = [f"{number}  {run.name}" for number, run in enumerate(runs, 1)]
        record = {"stop": dict(seen.values), "variants": [dict(run.own) for run in runs]}
        file = _save(session.engine.places.output, fixed, record, [_picture(cell) for cell in cells], labels)
    console.problems(problems)
    if args.json:
        told = [{**report.to_json(), "number": number} for number, report in enumerate(reports, 1)]
        console.out_json({"sheet": str(file) if file else None, "runs": told})
    elif file is not None:
        console.err(
            f"{sum(cell is not None for cell in cells)} of {len(cells)} drawn; next: weft cull SHEET --finish 1,2"
        )
        console.out(str(file))
    return running.EXITS[running.overall(reports)]


def _finish(args: argparse.Namespace, session: Session, workflow: Workflow, screen: follow.Silent) -> int:
    """The chosen variants of a sheet, to their end."""
    record = pictures.record(Path(args.file)).get("cull") if Path(args.file).suffix.lower() == ".png" else None
    known = record.get("variants") if isinstance(record, dict) else None
    if not isinstance(known, list) or not all(isinstance(own, dict) for own in known):
        raise fail("cli.usage", f"{args.file} is no sheet of weft cull", mend="weft cull FILE --sweep … --stop STEP")
    chosen = _numbers(args.finish, len(known))
    runs = []
    for number in chosen:
        name = ", ".join(f"{key}={value}" for key, value in known[number - 1].items())
        runs.append(Variant(f"{number}  {name}", known[number - 1], own=known[number - 1]))
    reports = _all(args, session, workflow, runs, screen)
    console.problems([problem for report in reports for problem in report.problems])
    if args.json:
        told = [{**report.to_json(), "number": number} for number, report in zip(chosen, reports, strict=True)]
        console.out_json({"runs": told})
    else:
        console.out(running.table(reports))
    return running.EXITS[running.overall(reports)]


def _all(
    args: argparse.Namespace, session: Session, workflow: Workflow, runs: Sequence[Variant], screen: follow.Silent
) -> list[running.Report]:
    reports: list[running.Report] = []
    with follow.stoppable(screen) as stop:
        for number, run in enumerate(runs, 1):
            if stop.asked:
                reports.append(running.Report(run.name, "cancelled", parameters=dict(run.own)))
                continue
            report = running.carry_out(args, session, workflow, run, screen, stop, "")
            reports.append(report)
            if not args.json:
                steps = ", ".join(f"{path} {row['cost']}" for path, row in report.steps.items() if "cost" in row)
                head = f"[{number}/{len(runs)}] {console.one_line(run.name)}"
                screen.note(f"{head}: {running.word(report)}, {console.seconds(report.seconds) or '0 s'}  {steps}")
    return reports


def _stops(text: str) -> int | dict[str, int]:
    """`6`, or `sample=6,refine=3`."""
    try:
        if "=" not in text:
            return int(text)
        pairs = [part.partition("=") for part in text.split(",")]
        return {name.strip(): int(step) for name, _, step in pairs}
    except ValueError:
        raise fail("cli.usage", f"--stop {text}: that is no step", mend="--stop 6 or --stop sample=6") from None


def _numbers(text: str, count: int) -> list[int]:
    """`3,7,11` and `2..5`, each once, in this order."""
    found: dict[int, None] = {}
    try:
        for part in text.split(","):
            first, dots, last = part.partition("..")
            found.update(dict.fromkeys(range(int(first), int(last if dots else first) + 1)))
    except ValueError:
        raise fail("cli.usage", f"--finish {text}: these are no numbers", mend="--finish 3,7,11 or 2..5") from None
    wrong = next((number for number in found if not 1 <= number <= count), None)
    if wrong is not None or not found:
        raise fail("cli.usage", f"--finish {text}: the sheet has 1 to {count}", mend="see the labels on the sheet")
    return list(found)


# --- the sheet -----------------------------------------------------------------------------------------------------


def _picture(value: Any) -> Any:
    """The first picture of a value as PIL; None when there is none."""
    pil = getattr(value, "pil", None)
    return pil()[0] if pil is not None else None


def _save(
    folder: Path, workflow: Workflow, record: Mapping[str, Any], cells: Sequence[Any], labels: Sequence[str]
) -> Path:
    """Write the sheet, which carries the workflow and the variants."""
    import io

    import PIL.Image
    import PIL.ImageDraw
    from PIL.PngImagePlugin import PngInfo

    there = [cell for cell in cells if cell is not None]
    if not there:
        raise fail("cli.usage", "what is drawn there is no picture", mend="--stop NODE=STEP names the node to look at")
    width, height = (max(cell.size[axis] for cell in there) for axis in (0, 1))
    shrink = min(1.0, MOST_PIXELS / max(width, height))
    width, height = max(round(width * shrink), 64), round(height * shrink)
    across = math.ceil(math.sqrt(len(cells)))
    down = -(-len(cells) // across)
    sheet = PIL.Image.new("RGB", (across * (width + GAP) + GAP, down * (height + LABEL + GAP) + GAP), "white")
    pen = PIL.ImageDraw.Draw(sheet)
    for index, (cell, label) in enumerate(zip(cells, labels, strict=True)):
        left, top = GAP + index % across * (width + GAP), GAP + index // across * (height + LABEL + GAP)
        while label and pen.textlength(label) > width:
            label = label[:-2] + "…" if len(label) > 2 else ""
        pen.text((left, top + 2), label, fill="black")
        if cell is not None:
            small = cell.resize((max(round(cell.width * shrink), 1), max(round(cell.height * shrink), 1)))
            sheet.paste(small, (left, top + LABEL))
    info = PngInfo()
    document = {"weft": 1, "workflow": to_json(workflow), "resolved": {}, "item": 0, "cull": dict(record)}
    info.add_text(pictures.KEY, json.dumps(document, separators=(",", ":"), default=str))
    stream = io.BytesIO()
    sheet.save(stream, "PNG", pnginfo=info)
    name = "".join(c if c.isalnum() or c in "-_ " else "_" for c in workflow.title)[:60].strip()
    file = folder / f"{' '.join(('cull', name)).strip()} {time.strftime('%Y-%m-%d %H-%M-%S')}.png"
    write_atomic(file, stream.getvalue())
    return file
