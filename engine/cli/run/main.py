"""Main: the options of `weft run`, and what they lead to."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from engine.cli import documents, follow
from engine.cli.run.carrying import run_many, run_one, run_together
from engine.cli.run.opening import check_writable, open_session, tell_what_was_not_kept
from engine.cli.variants import variants
from engine.errors import WeftError, fail

if TYPE_CHECKING:
    pass

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
    many = bool(args.rows or args.sweep)
    if args.together > 1 and not many:
        raise fail("cli.usage", "--together is for --rows and --sweep", mend="leave it out")
    if args.server:
        from engine.cli import remote

        return remote.go(args, workflow, runs, registry, places)
    if any((spec := registry.get(node.type)) is not None and spec.effect for node in workflow.nodes.values()):
        check_writable(places.output)
    screen: follow.Silent
    if args.events:
        screen = follow.Lines()
    elif args.json:
        screen = follow.Silent()
    else:
        screen = follow.display(brief=many)
    with open_session(args, places, registry) as session:
        if many:
            code = (run_many if args.together < 2 else run_together)(args, session, workflow, runs, screen)
        else:
            code = run_one(args, session, workflow, runs[0], screen)
    tell_what_was_not_kept(session)
    return code
