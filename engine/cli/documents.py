"""Documents: the workflow a command is about, and the values that the command line gives it.

A workflow comes from a file, from stdin (`-`) or from a picture that Weft saved. Values are read by the type of the
input they are for: text is taken as it stands, everything else as JSON where it is JSON. What cannot be right is said
here, in terms of what was typed, before anything is planned.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import workflow as files
from engine.errors import Mend, Problem, WeftError, Where, fail
from engine.graph.settable import check_value, inputs_of, known_name, read_value
from engine.places import Places, write_atomic
from engine.registry import Registry, load_registry
from engine.workflow import Net, Value, Workflow
from engine.workflow.reading import MAX_BYTES

if TYPE_CHECKING:
    from engine.records import Records

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".avif")


# --- options that several commands share ---------------------------------------------------------------------------


def add_file(parser: argparse.ArgumentParser, many: bool = False) -> None:
    """The workflow: FILE, picture or `-`."""
    about = "a workflow (.json), a picture that Weft saved, or - for stdin"
    parser.add_argument("file", metavar="FILE", nargs="+" if many else "?", help=about)


def add_values(parser: argparse.ArgumentParser) -> None:
    """`--set name=value ...`."""
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        nargs="+",
        action="extend",
        default=[],
        help='a parameter, or any input as node.input: --set prompt="a red sphere" seed=7 sample.cfg=3',
    )


def add_machine(parser: argparse.ArgumentParser) -> None:
    """`--device`, `--dtype` and the folders."""
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps or xpu; by default the best there is")
    dtypes = ("auto", "float32", "bfloat16", "float16")
    parser.add_argument("--dtype", default="auto", choices=dtypes, help="what denoisers compute in")
    add_places(parser)


def add_places(parser: argparse.ArgumentParser) -> None:
    """`--models DIR` and `--input DIR`."""
    about = "a tree of models, such as one of ComfyUI or A1111; may be given again"
    parser.add_argument("--models", metavar="DIR", action="append", default=[], help=about)
    parser.add_argument("--input", metavar="DIR", help="where pictures to work on lie (WEFT_HOME/input)")


def places_of(args: argparse.Namespace) -> Places:
    """The folders that the options name; a folder that is not there is a mistake."""
    for name in [*getattr(args, "models", []), *filter(None, [getattr(args, "input", None)])]:
        if not Path(name).is_dir():
            option = "--input" if name == getattr(args, "input", None) else "--models"
            raise fail("cli.usage", f"{option} {name}: there is no such folder", mend="check the path")
    output = getattr(args, "out", None)
    given = getattr(args, "input", None)
    return Places(
        model_folders=tuple(Path(name) for name in getattr(args, "models", [])),
        output_folder=Path(output) if output else None,
        input_folder=Path(given) if given else None,
    )


def registry_of(places: Places) -> Registry:
    """The nodes there are; a pack that does not load is named on stderr, and the others are there."""
    from engine.cli import console

    registry = load_registry(places.nodes)
    broken = [pack.problem for pack in registry.packs if pack.problem is not None]
    console.problems(dataclasses.replace(problem, severity="lint") for problem in broken)
    return registry


def records_of(places: Places) -> Records:
    """The engine's records; where `WEFT_HOME` cannot be written, ones that are forgotten at the end."""
    from engine.cli import console
    from engine.records import Records

    try:
        return Records(places.state / "records.sqlite")
    except WeftError as error:
        lint = dataclasses.replace(error.problem, severity="lint")
        message = f"{lint.message}; nothing is remembered for the next run"
        console.problems([dataclasses.replace(lint, message=message)])
        return Records()


# --- the workflow --------------------------------------------------------------------------------------------------


def open_file(args: argparse.Namespace) -> Workflow:
    """The workflow that FILE means. A FILE that `--set` swallowed is given back."""
    name = args.file
    values = getattr(args, "set", [])
    if name is None and len(values) > 1 and "=" not in values[-1]:
        name = args.file = values.pop()
    if name is None:
        raise fail("cli.usage", f"weft {args.command} needs a workflow FILE", mend=f"weft {args.command} --help")
    return open_workflow(name)


def open_workflow(name: str) -> Workflow:
    """The workflow in a file, in a picture, or on stdin."""
    if name == "-":
        data = sys.stdin.buffer.read(MAX_BYTES + 1)
        try:
            return files.parse(data.decode("utf-8-sig"), "<stdin>")
        except UnicodeDecodeError as error:
            raise fail("file.syntax", f"it is not UTF-8 text (byte {error.start})", file="<stdin>") from None
    path = Path(name)
    if path.suffix.lower() in PICTURES:
        from engine import pictures

        return pictures.workflow(path)
    try:
        return files.read(path)
    except WeftError as error:
        if error.code == "file.missing" and path.stem in templates():
            mend = Mend(f"weft new {path.stem}.json --template {path.stem}")
            raise WeftError(dataclasses.replace(error.problem, mend=mend)) from None
        raise


def templates() -> dict[str, Path]:
    """The workflows that come with Weft: in a checkout beside `engine/`, in an installed one inside it."""
    import engine

    inside = Path(engine.__file__ or "").parent
    folder = next((f for f in (inside / "workflows", inside.parent / "workflows") if f.is_dir()), None)
    return {path.stem: path for path in sorted(folder.glob("*.json"))} if folder else {}


def place_of(workflow: Workflow, path: str, socket: str | None = None) -> Where:
    """File, line and column of a step; inside instances and loops, of the node in the graph that they use."""
    if workflow.origin is None:
        return Where()
    net: Net = workflow
    spot: list[str | int] = []
    found: list[str | int] = []
    for part in path.split("/"):
        node = net.nodes.get(part)
        if node is None:
            if part.isdigit():  # the item or turn of a loop
                continue
            break
        spot = [*(spot[:2] if spot[:1] == ["graphs"] else []), "nodes", part]
        wired = socket is not None and socket in node.inputs
        found = [*spot, "inputs", str(socket)] if wired else spot
        inner = node.type if node.type.startswith("#") else node.body
        name = inner.removeprefix("#")
        if inner and name in workflow.graphs:
            net = workflow.graphs[name]
            spot = ["graphs", name]
    if not found:
        return Where(file=workflow.origin.file)
    return workflow.origin.where(found)


def placed(workflow: Workflow, problem: Problem) -> Problem:
    """The problem with file, line and column, as far as they can be known."""
    where = problem.where
    if where.line is not None or workflow.origin is None or not where.path:
        return problem
    found = place_of(workflow, where.path, where.socket)
    return problem.at(file=found.file, line=found.line, column=found.column)


# --- values --------------------------------------------------------------------------------------------------------


def pairs_of(items: Iterable[str], option: str) -> dict[str, str]:
    """`name=value` words as a mapping."""
    found: dict[str, str] = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or not name.strip():
            raise fail("cli.usage", f"{option} {item}: it is not of the form name=value", mend=f'{option} name="value"')
        found[name.strip()] = value
    return found


def values_of(items: Sequence[str], workflow: Workflow, registry: Registry) -> dict[str, Any]:
    """What `--set` gives, read and checked; every mistake at once."""
    known = inputs_of(workflow, registry)
    found: dict[str, Any] = {}
    wrong: list[Problem] = []
    for name, text in pairs_of(items, "--set").items():
        where = Where(file=f"--set {name}={text[:40]}")
        problem = known_name(name, known, where, workflow)
        if problem is None:
            found[name] = read_value(text, known[name])
            problem = check_value(found[name], known[name], where)
        if problem is not None:
            wrong.append(problem)
    if wrong:
        raise WeftError(wrong)
    return found


def bring(values: Mapping[str, Any], workflow: Workflow, registry: Registry, places: Places) -> dict[str, Any]:
    """The values, with files that were named by their path copied into the input folder, under their names there.

    A workflow names its pictures in that folder, so that it means the same tomorrow and from anywhere.
    """
    from engine.cli import console

    known = inputs_of(workflow, registry)
    origin = workflow.origin
    if origin is not None and Path(origin.file).is_file():
        places = dataclasses.replace(places, beside=Path(origin.file).resolve().parent)
    made = dict(values)
    for name, value in values.items():
        item = known.get(name)
        if item is None or item.widget.get("kind") != "file" or item.widget.get("place") != "input":
            continue
        if not isinstance(value, str) or not Path(value).is_file() or _is_input(places, value):
            continue
        made[name], target = _brought(Path(value), places.input)
        if target is not None:
            console.err(f"  {value} copied to {target}")
    return made


def _is_input(places: Places, name: str) -> bool:
    try:
        places.file("input", name)
    except WeftError:
        return False
    return True


def _brought(path: Path, folder: Path) -> tuple[str, Path | None]:
    """The name of a file in the input folder, and where it was copied to; None when it was there already."""
    import hashlib

    try:
        data = path.read_bytes()
    except OSError as error:
        raise fail("media.missing", f"cannot read it: {error.strerror or error}", file=str(path)) from None
    for name in (path.name, f"{path.stem}-{hashlib.blake2b(data, digest_size=4).hexdigest()}{path.suffix}"):
        target = folder / name
        if not target.exists():
            write_atomic(target, data)
            return name, target
        if target.is_file() and target.read_bytes() == data:
            break
    return name, None


def shown(workflow: Workflow, values: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as they stand with these values, for reports."""
    found: dict[str, Any] = {}
    for name, parameter in workflow.parameters.items():
        for target in parameter.to:
            node, _, socket = target.rpartition(".")
            source = workflow.nodes[node].inputs.get(socket) if node in workflow.nodes else None
            if isinstance(source, Value):
                found[name] = source.value
                break
    return {**found, **values}
