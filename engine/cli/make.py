"""Make: `weft new`, `weft manifest` and `weft schema` – files that are written, not run."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.cli import console, documents
from engine.errors import Problem, WeftError, Where, did_you_mean, fail
from engine.places import check_name, inside, write_atomic
from engine.registry import Registry
from engine.workflow import Value, Workflow


def add(name: str, parser: argparse.ArgumentParser) -> None:
    """The options of the three commands."""
    if name == "new":
        parser.add_argument("file", metavar="FILE", help="the file to write; it must not exist yet")
        parser.add_argument(
            "node", metavar="NODE", nargs="*", help="nodes to begin with, wired where only one way fits"
        )
        parser.add_argument("--template", metavar="NAME", help="one of the workflows that come with Weft")
        parser.add_argument("--force", action="store_true", help="write over a file that exists")
        parser.set_defaults(go=new)
    elif name == "manifest":
        parser.add_argument("pack", metavar="PACK", nargs="?", default="core", help="a pack's name, or its module")
        parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the file is out of date")
        parser.set_defaults(go=manifest)
    else:
        parser.add_argument("--out", metavar="FILE", help="write it to a file instead of stdout")
        parser.set_defaults(go=schema)


# --- new -----------------------------------------------------------------------------------------------------------


def new(args: argparse.Namespace) -> int:
    """A file to begin with."""
    from engine import workflow as files
    from engine.workflow.draft import draft

    path = Path(args.file)
    if path.exists() and not args.force:
        raise fail("file.write", "it is there already", file=str(path), mend="choose another name, or add --force")
    if args.node and args.template:
        raise fail("cli.usage", "give nodes or --template, not both", mend="weft new --help")
    beside: list[Path] = []
    if args.node:
        registry = documents.registry_of(documents.places_of(args))
        specs = [_spec(registry, name) for name in args.node]
        made = draft(path.stem.replace("_", " ").capitalize(), specs)
    else:
        known = documents.templates()
        name = (args.template or "text_to_image").removesuffix(".json")
        if name not in known:
            shown = ", ".join(known) or "none found"
            hint = did_you_mean(name, known)
            raise fail("cli.usage", f"there is no template '{name}'.{hint}", mend=f"templates: {shown}")
        made = files.read(known[name])
        beside = _beside(made, known[name].parent, path.parent)
    files.write(made, path)
    console.out("\n".join(map(str, [path, *beside])))
    console.err(f"weft check {path}   weft run {path}")
    return 0


def _beside(made: Workflow, source: Path, target: Path) -> list[Path]:
    """Copy what lies beside a template and is named in it – its pictures – to beside the new file."""
    copied = []
    graphs = [made.nodes, *(graph.nodes for graph in made.graphs.values())]
    given = [one for nodes in graphs for node in nodes.values() for one in node.inputs.values()]
    values = [one.value for one in given if isinstance(one, Value)]
    for name in sorted({value for value in values if isinstance(value, str) and value}):
        found = _inside(source, name)
        for file in sorted(found.rglob("*")) if found is not None and found.is_dir() else [found]:
            if file is not None and file.is_file():
                goal = target / file.relative_to(source)
                if not goal.exists():
                    write_atomic(goal, file.read_bytes())
                    copied.append(goal)
    return copied


def _inside(base: Path, name: str) -> Path | None:
    """`base / name`, where the name is one that may stand in a workflow and is not the folder itself."""
    try:
        found = inside(base, check_name(name))
    except WeftError:
        return None
    return found if found is not None and found != base else None


def _spec(registry: Registry, name: str) -> Any:
    found = registry.get(registry.by_alias.get(name, name))
    if found is None:
        raise fail("graph.unknown_node", f"no node is called '{name}'.{registry.suggest(name)}", mend="weft nodes")
    return found


# --- manifest ------------------------------------------------------------------------------------------------------


def manifest(args: argparse.Namespace) -> int:
    """Write a pack's nodes.json, or say whether it is up to date."""
    from engine.packs import MANIFEST, build_manifest, find_packs

    packs = {pack.name: pack for pack in find_packs()}
    pack = packs.get(args.pack) or next((p for p in packs.values() if p.module == args.pack), None)
    if pack is None:
        hint = did_you_mean(args.pack, packs)
        raise fail("cli.usage", f"no pack is called '{args.pack}'.{hint}", mend=f"packs: {', '.join(packs)}")
    try:
        record = build_manifest(pack.name, pack.module)
    except WeftError:
        raise
    except Exception as error:  # whatever the pack's own modules raise on import
        where = Where(file=str(pack.folder))
        message = f"pack {pack.name} cannot be imported: {type(error).__name__}: {error}"
        raise WeftError(Problem("pack.broken", console.one_line(message), where)) from error
    path = pack.folder / MANIFEST
    text = _manifest_text(record)
    try:
        there = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        there = ""
    if args.check:
        fresh = there == text
        mend = "" if fresh else f"; weft manifest {args.pack}"
        console.out(f"{path}: {'up to date' if fresh else 'out of date'}{mend}")
        return 0 if fresh else 1
    if there != text:
        write_atomic(path, text.encode())
    console.out(f"{path}: {console.plural(len(record['nodes']), 'node')}, {len(record['types'])} types")
    return 0


def _manifest_text(record: Mapping[str, Any]) -> str:
    """One node or type a line, so that a diff shows which one changed."""
    rows = []
    for key, value in record.items():
        if isinstance(value, list):
            items = ",\n".join(f"    {json.dumps(item, ensure_ascii=False)}" for item in value)
            rows.append(f"  {json.dumps(key)}: [\n{items}\n  ]" if value else f"  {json.dumps(key)}: []")
        else:
            rows.append(f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    return "{\n" + ",\n".join(rows) + "\n}\n"


# --- schema --------------------------------------------------------------------------------------------------------


def schema(args: argparse.Namespace) -> int:
    """The JSON Schema of workflow files."""
    from engine.workflow.schema import schema as build

    text = json.dumps(build(), indent=2, ensure_ascii=False) + "\n"
    if args.out:
        write_atomic(Path(args.out), text.encode())
        console.out(args.out)
    else:
        console.out(text.rstrip("\n"))
    return 0
