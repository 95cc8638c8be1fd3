"""Models: `weft models` – what models there are and what each is; fetching, converting, and what a workflow lacks."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from engine.cli import console, documents
from engine.errors import did_you_mean, fail
from engine.places import MODEL_FOLDERS, Places
from engine.registry import Registry

DO = ("get", "convert", "missing")
EXAMPLES = """
  weft models                                        every model that is found
  weft models loras                                  of one kind
  weft models get org/name                           a model folder from the Hugging Face hub
  weft models get org/name/file.safetensors          one file of it
  weft models get https://example.org/ink.safetensors --sha256 ab12...
  weft models get openai/clip-vit-large-patch14 --only tokenizer
  weft models convert old.ckpt                       a pickled file into safetensors
  weft models missing workflow.json                  what a workflow needs, and how to get it
"""


def add(name: str, parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.epilog = "examples:\n" + EXAMPLES.strip("\n")
    parser.add_argument(
        "words",
        metavar="KIND|get|convert|missing",
        nargs="*",
        help=f"a kind ({', '.join(MODEL_FOLDERS)}), or what to do",
    )
    parser.add_argument(
        "--to", metavar="KIND", default="", help="with get: the kind of model, where the file does not tell"
    )
    parser.add_argument("--name", metavar="NAME", default="", help="with get and convert: what to call it")
    parser.add_argument(
        "--only", metavar="PATTERN", default="", help="with get: one file of a repository, or 'tokenizer'"
    )
    parser.add_argument("--variant", metavar="NAME", default="", help="with get: fp16 where a repository has several")
    parser.add_argument(
        "--revision", metavar="NAME", default="", help="with get: a branch, tag or commit of a repository"
    )
    parser.add_argument("--sha256", metavar="HEX", default="", help="with get: what the file must be")
    parser.add_argument("--json", action="store_true", help="print JSON")
    documents.add_places(parser)
    parser.set_defaults(go=models)


def models(args: argparse.Namespace) -> int:
    """List, or do what the first word says."""
    places = documents.places_of(args)
    registry = documents.registry_of(places)
    places = registry.places(places)
    do, rest = (args.words[0], args.words[1:]) if args.words and args.words[0] in DO else ("", args.words)
    if do == "get":
        return _get(args, _one(rest, "get", "a hub id or URL"), places, registry)
    if do == "convert":
        return _convert(args, _one(rest, "convert", "a pickled file"), registry)
    if do == "missing":
        return _missing(args, _one(rest, "missing", "a workflow FILE"), places, registry)
    kind = rest[0] if rest else ""
    if kind and kind not in MODEL_FOLDERS:
        hint = did_you_mean(kind, (*MODEL_FOLDERS, *DO))
        raise fail("cli.usage", f"there is no kind '{kind}'.{hint}", mend=f"kinds: {', '.join(MODEL_FOLDERS)}")
    return _list(args, kind, places, registry)


def _one(rest: list[str], do: str, what: str) -> str:
    if len(rest) != 1:
        raise fail("cli.usage", f"weft models {do} needs {what}", mend="weft models --help")
    return rest[0]


def _list(args: argparse.Namespace, kind: str, places: Places, registry: Registry) -> int:
    from engine import shelf

    found = shelf.listing(places, registry, (kind,) if kind else ())
    if args.json:
        console.out_json({name: [row.to_json() for row in rows] for name, rows in found.items()})
        return 0
    for name, rows in found.items():
        console.out(console.style(name, "bold"))
        table = []
        for row in rows:
            about = row.about
            told = about.problem or "; ".join(filter(None, (about.what, about.fits and f"for {about.fits}")))
            table.append([row.name, console.size(row.bytes), about.family, about.precision, row.id[:8], told])
        console.out(console.table(table, ("name", "size", "family", "precision", "id", "what it is"), indent=2) + "\n")
    if not found:
        console.out(f"no models found; put some under {places.home / 'models'}, fetch one with `weft models get`, ")
        console.out("or add --models DIR")
    return 0


def _get(args: argparse.Namespace, source: str, places: Places, registry: Registry) -> int:
    from engine.shelf.bring import Wish, bring

    wish = Wish(source, args.to, args.name, args.only, args.variant, args.revision, args.sha256)
    try:
        found = bring(wish, places, registry, _Watch)
    except KeyboardInterrupt:
        console.err("stopped; the same command goes on where it stopped")
        return 130
    if args.json:
        told = {"kind": found.kind, "name": found.name, "path": str(found.path), "bytes": found.bytes}
        console.out_json({**told, "files": found.files})
    else:
        files = f"{console.plural(found.files, 'file')}, " if found.files > 1 else ""
        console.out(f"{found.path}  ({files}{console.size(found.bytes)}; in a workflow: {found.kind} '{found.name}')")
    return 0


class _Watch:
    """One line on stderr that says how far a file is; a line for each file where nobody watches."""

    def __init__(self, name: str) -> None:
        self.name, self.told, self.began, self.first = name, 0.0, time.monotonic(), -1
        if not console.live(sys.stderr):
            console.err(f"fetching {name}")

    def __call__(self, done: int, total: int) -> None:
        """Some of it came."""
        now = time.monotonic()
        self.first = done if self.first < 0 else self.first
        whole = total and done >= total
        if not console.live(sys.stderr) or (now - self.told < 0.2 and not whole):
            return
        self.told = now
        rate = (done - self.first) / max(now - self.began, 0.1)
        share = f" of {console.size(total)} ({100 * done // total} %)" if total else ""
        left = f", {console.seconds((total - done) / rate)} left" if total and rate and not whole else ""
        sys.stderr.write("\r\x1b[K" + console.cut(f"{self.name}  {console.size(done)}{share}{left}", console.width()))
        sys.stderr.write("\n" if whole else "")
        sys.stderr.flush()


def _convert(args: argparse.Namespace, source: str, registry: Registry) -> int:
    from engine import shelf
    from engine.shelf.convert import convert

    path = Path(source)
    made = convert(path, path.with_name(args.name) if args.name else None)
    about = shelf.describe(made.path, registry)
    told: dict[str, Any] = {"path": str(made.path), "tensors": made.tensors, "left_out": list(made.left_out)}
    if args.json:
        console.out_json({**told, "kind": about.kind, "family": about.family, "what": about.what})
        return 0
    console.out(f"{made.path}  ({console.plural(made.tensors, 'tensor')}{'; ' + about.what if about.what else ''})")
    if made.left_out:
        console.err(f"left out, because it is no tensor: {', '.join(made.left_out[:5])}")
    if about.kind and path.parent.name not in MODEL_FOLDERS.get(about.kind, ()):
        console.err(f"it belongs in models/{about.kind}")
    return 0


def _missing(args: argparse.Namespace, name: str, places: Places, registry: Registry) -> int:
    """What a workflow needs; 1 when something is not there."""
    from engine import shelf

    found = shelf.needs(documents.open_workflow(name), registry, places)
    lost = [need for need in found if not need.there]
    if args.json:
        console.out_json(
            [{"kind": n.kind, "name": n.name, "node": n.node, "there": n.there, "mend": n.mend} for n in found]
        )
    elif not found:
        console.out("this workflow names no models")
    else:
        rows = [["there" if n.there else "missing", n.kind, n.name, n.node, n.mend] for n in found]
        console.out(console.table(rows, ("", "kind", "name", "node", "how to get it"), last="whole"))
    return 1 if lost else 0
