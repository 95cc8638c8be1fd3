"""Cache: `weft cache` – what is kept on disk between runs, and getting rid of it."""

from __future__ import annotations

import argparse
import time

from engine.cli import console, documents
from engine.disk import Disk, Kept
from engine.errors import fail


def add(name: str, parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument(
        "do",
        choices=("ls", "show", "verify", "clear"),
        help="list the values, show one, read them all, remove them all",
    )
    parser.add_argument("id", nargs="?", metavar="ID", help="with show: the id of a value, or how it begins")
    parser.add_argument("--json", action="store_true", help="print JSON")
    documents.add_places(parser)
    parser.set_defaults(go=cache)


def cache(args: argparse.Namespace) -> int:
    """Look after the disk tier."""
    places = documents.places_of(args)
    disk = Disk(places.home / "cache", {"engine", "nodes"})
    if args.do == "show":
        if not args.id:
            raise fail("cli.usage", "weft cache show needs the id of a value", mend="weft cache ls lists them")
        found = [item for item in disk.entries() if item.id.startswith(args.id)]
        if not found:
            raise fail("cli.usage", f"no value on disk begins with '{args.id}'", mend="weft cache ls lists them")
        _list(found, args.json)
        return 0
    if args.do == "ls":
        _list(sorted(disk.entries(), key=lambda item: -item.bytes), args.json)
        return 0
    if args.do == "verify":
        documents.registry_of(places)
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


def _list(kept: list[Kept], as_json: bool) -> None:
    now = time.time()
    if as_json:
        console.out_json(
            [
                {
                    "id": item.id,
                    "bytes": item.bytes,
                    "seconds": item.seconds,
                    "used": item.used,
                    "summary": item.summary,
                }
                for item in kept
            ]
        )
        return
    for item in kept:
        age = now - item.used
        used = f"{age / 3600:.1f} h ago" if age < 48 * 3600 else f"{age / 86400:.0f} days ago"
        console.out(
            f"{item.id:<44} {item.bytes / 2**20:8.2f} MB  saves {item.seconds:7.2f} s  used {used}  {item.summary}"
        )
    console.out(f"{len(kept)} values, {sum(item.bytes for item in kept) / 2**20:,.1f} MB")
