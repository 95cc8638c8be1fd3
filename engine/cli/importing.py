"""Importing: `weft import` – a workflow of another program, as a file or in a picture, written as one of Weft's."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine.cli import console, documents
from engine.errors import Problem, fail


def add(name: str, parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument(
        "file", metavar="FILE", help="a ComfyUI graph: editor file, API file, or a PNG that carries one"
    )
    parser.add_argument("--out", metavar="FILE", help="the file to write; by default FILE.weft.json beside it")
    parser.add_argument("--force", action="store_true", help="write over a file that exists")
    parser.set_defaults(go=go)


def go(args: argparse.Namespace) -> int:
    """Write the workflow; what is to be looked at goes to stderr."""
    from engine import pictures
    from engine import workflow as files
    from engine.workflow import foreign

    path = Path(args.file)
    if not path.is_file():
        raise fail("file.missing", "there is no such file", file=args.file, mend="check the path")
    goal = Path(args.out) if args.out else path.with_suffix(".weft.json")
    if goal.exists() and not args.force:
        raise fail("file.write", "it is there already", file=str(goal), mend="choose another --out, or add --force")
    registry = documents.registry_of(documents.places_of(args))
    title = path.stem.replace("_", " ")
    if path.suffix.lower() in documents.PICTURES:
        made = foreign.convert(pictures.foreign(path), registry, title)
    else:
        try:
            made = foreign.parse(path.read_bytes().decode("utf-8-sig"), registry, title)
        except UnicodeDecodeError as error:
            raise fail("file.syntax", f"it is not UTF-8 text (byte {error.start})", file=args.file) from None
    if made is None:
        raise fail(
            "file.shape",
            "it is no graph of a program that is known",
            file=args.file,
            mend="ComfyUI: save it there, or export it for the API",
        )
    workflow, told = made
    files.write(workflow, goal)
    console.problems(Problem("lint.import", text, severity="lint") for text in told)
    console.out(str(goal))
    console.err(f"{len(workflow.nodes)} nodes, {len(told)} things to look at   weft check {goal}")
    return 0
