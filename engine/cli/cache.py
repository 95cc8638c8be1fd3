"""Cache: `weft cache` – what is kept on disk between runs, why something is not, and getting rid of it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from engine.cli import console, documents
from engine.disk import Disk, Kept, nearest
from engine.errors import fail
from engine.graph import outs, unknown_target
from engine.places import Places

if TYPE_CHECKING:
    from engine.plan import Frontier, Live


def add(name: str, parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument(
        "do",
        choices=("ls", "show", "why", "verify", "clear"),
        help="list the values, show one, say why a step's was not found, read them all, remove them all",
    )
    parser.add_argument("id", nargs="?", metavar="ID", help="show: the id of a value or its beginning; why: a workflow")
    parser.add_argument("step", nargs="?", metavar="STEP", help="with why: one step, instead of all that would run")
    parser.add_argument("--json", action="store_true", help="print JSON")
    documents.add_values(parser)
    documents.add_machine(parser)
    parser.set_defaults(go=cache)


def cache(args: argparse.Namespace) -> int:
    """Look after the disk tier."""
    places = documents.places_of(args)
    if args.do == "why":
        return why(args, places)
    if args.step:
        raise fail("cli.usage", f"weft cache {args.do} takes no STEP", mend="weft cache --help")
    disk = Disk(places.home / "cache", {"engine", "nodes"})
    if args.do == "show":
        if not args.id:
            raise fail("cli.usage", "weft cache show needs the id of a value", mend="weft cache ls lists them")
        found = [item for item in disk.entries() if item.id.startswith(args.id)]
        if not found:
            raise fail("cli.usage", f"no value on disk begins with '{args.id}'", mend="weft cache ls lists them")
        _list(found, args.json)
        if not args.json:
            for item in found:
                _tell_about(item)
        return 0
    if args.do == "ls":
        _list(sorted(disk.entries(), key=lambda item: -item.bytes), args.json)
        return 0
    if args.do == "verify":
        sound, bad = disk.verify()
        if args.json:
            console.out_json({"sound": sound, "removed": [path.name for path in bad]})
        else:
            console.out(f"{sound} sound" + (f", {len(bad)} damaged or foreign and removed" if bad else ""))
        return 1 if bad else 0
    freed = disk.clear()
    if args.json:
        console.out_json({"freed": freed})
    else:
        console.out(f"{freed / 2**20:,.1f} MB freed")
    return 0


def why(args: argparse.Namespace, places: Places) -> int:
    """For every step that would run: what its values differ in from the nearest ones on disk."""
    from engine.cli.run import open_session
    from engine.plan import Frontier

    if not args.id:
        raise fail("cli.usage", "weft cache why needs a workflow", mend="weft cache why flow.json sample")
    args.file = args.id
    workflow = documents.open_file(args)
    registry = documents.registry_of(places)
    values = documents.bring(documents.values_of(args.set, workflow, registry), workflow, registry, places)
    with open_session(args, places, registry) as session:
        _, graph, _ = session.prepare(workflow, values)
        frontier = Frontier(graph, session.engine.setting())
        if args.step and args.step not in frontier.lives:
            raise unknown_target(graph, args.step)
        kept = list(Disk.of(places, registry).entries())
        rows: list[tuple[str, str, str]] = []
        for live in sorted(frontier.lives.values(), key=lambda live: live.order):
            if live.path != args.step if args.step else frontier.status(live) != "run":
                continue
            rows.extend(_reasons(live, frontier, kept))
    if args.json:
        console.out_json([{"step": step, "output": output, "why": text} for step, output, text in rows])
    elif rows:
        console.out(console.table([list(row) for row in rows], ["step", "output", "why it is not found"], last="whole"))
    else:
        console.out("nothing would run")
    return 0


# What a digest stands for that is no input.
_TOLD = {
    "numerics": "the numerics (versions of torch and its kin, device, dtype, threads: weft doctor)",
    "version": "the node's version",
    "code": "the node's code",
}


def _reasons(live: Live, frontier: Frontier, kept: list[Kept]) -> Iterator[tuple[str, str, str]]:
    """Each output of a step, and why it is not there."""
    spec = live.spec
    if frontier.status(live) != "run":
        yield live.path, "", f"it is not looked for: {frontier.status(live)}"
        return
    if spec.effect or spec.volatile:
        yield live.path, "", "its result is outside" if spec.effect else "it never reuses a result"
        return
    for out in spec.outputs:
        found = nearest(frontier.reasons.about(live, out.name), kept)
        if found is None:
            text = "none of this node was kept: never made, quicker made than read, or given up for room"
        elif not found.differs:
            text = "one with equal inputs is there, made together with others or from another file of the same name"
        else:
            ordered = sorted(found.differs, key=lambda name: name not in _TOLD)
            names = " and ".join(_TOLD.get(name) or _named(live, name) for name in ordered)
            text = f"{names} {'differ' if len(found.differs) > 1 else 'differs'} from the nearest, {_age(found.kept)}"
        if live.resumed:
            text += f"; it goes on from step {live.resumed} of {len(live.checkpoints)}"
        yield live.path, out.name, text


def _named(live: Live, name: str) -> str:
    """An input, and where it comes from."""
    sources = dict(live.step.sources)
    causes = sorted({out.path for out in outs(sources[name])}) if name in sources else []
    return f"{name} (from {', '.join(causes)})" if causes else name


def _tell_about(item: Kept) -> None:
    """What a value was made of."""
    about = dict(item.about)
    inputs = ", ".join(f"{key.removeprefix('in.')} {digest}" for key, digest in about.items() if key.startswith("in."))
    if about:
        console.out(f"  {about.get('node')} version {about.get('version')}, output {about.get('output') or 'a state'}")
        console.out(f"  inputs: {inputs or 'none'}")


def _age(item: Kept) -> str:
    age = max(time.time() - item.used, 0.0)
    return f"used {age / 3600:.1f} h ago" if age < 48 * 3600 else f"used {age / 86400:.0f} days ago"


def _list(kept: list[Kept], as_json: bool) -> None:
    if as_json:
        console.out_json(
            [
                {
                    "id": item.id,
                    "bytes": item.bytes,
                    "seconds": item.seconds,
                    "used": item.used,
                    "summary": item.summary,
                    "about": dict(item.about),
                }
                for item in kept
            ]
        )
        return
    for item in kept:
        console.out(
            f"{item.id:<44} {item.bytes / 2**20:8.2f} MB  saves {item.seconds:7.2f} s  {_age(item)}  {item.summary}"
        )
    console.out(f"{len(kept)} values, {sum(item.bytes for item in kept) / 2**20:,.1f} MB")
