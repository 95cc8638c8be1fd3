"""Memory: `weft memory` – what each device has, and what a workflow's models would need there."""

from __future__ import annotations

import argparse
import os
from typing import Any

from engine.cli import console, documents
from engine.errors import WeftError, fail


def add(name: str, parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    documents.add_file(parser)
    documents.add_values(parser)
    parser.add_argument("--budget", metavar="MB", type=int, help="as if the device's budget were this many MiB")
    parser.add_argument("--server", metavar="URL", help="ask a server that is running who holds what")
    parser.add_argument(
        "--free",
        nargs="+",
        choices=("models", "values", "disk"),
        metavar="WHAT",
        help="with --server: give back models, values or what is kept on disk, as far as it is not in use",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    documents.add_machine(parser)
    parser.set_defaults(go=memory)


def memory(args: argparse.Namespace) -> int:
    """A table of devices; with a file one of its steps; with a server one of what is resident there."""
    if args.server:
        return _of_server(args)
    if args.free:
        raise fail("cli.usage", "--free is for a server that is running", mend="add --server URL")
    from engine.memory import Memory, probe

    if args.budget is not None and args.budget <= 0:
        raise fail("cli.usage", f"a budget of {args.budget} MiB is none", mend="give the device's memory in MiB: 8192")
    if args.budget:  # a question about any machine
        device = "cuda:0" if args.device == "auto" else args.device
        dtype = ("float32" if device == "cpu" else "float16") if args.dtype == "auto" else args.dtype
    else:
        numerics = probe(args.device, args.dtype)
        device, dtype = numerics.device, numerics.dtype
    held = Memory()
    limit = args.budget * 2**20 if args.budget else held.budget(device).limit
    record: dict[str, Any] = {"device": device, "dtype": dtype, "limit": limit}
    if not args.budget:
        place = held.device(device)
        record |= {"total": place.total(), "free": place.free()}
    if not args.file:
        _show_device(args, record)
        return 0
    needs = _needs(args, device, dtype, limit)
    record["steps"] = [{**vars(need), "on_device": need.on_device} for need in needs]
    record["most"] = max((need.on_device for need in needs), default=0)
    if args.json:
        console.out_json(record)
        return 0
    rows = [
        [need.path, need.model, console.size(need.weights), console.size(need.working), _how(need)] for need in needs
    ]
    if rows:
        console.out(console.table(rows, ["step", "model", "weights", "activations", "how the weights come"]))
    verdict = "it fits" if all(need.fits for need in needs) else "it may run out, and would then try with less"
    most = console.size(record["most"])
    console.out(f"at most {most} at once of {console.size(limit)} on {device}, in {dtype}: {verdict}")
    return 0


def _how(need: Any) -> str:
    if need.way == "whole":
        return "whole" if need.fits else "whole, and it is too large"
    return f"in {need.way}, from the host"


def _needs(args: argparse.Namespace, device: str, dtype: str, limit: int) -> Any:
    from engine.graph import bind
    from engine.memory.forecast import forecast
    from engine.numerics import Numerics
    from engine.plan import Frontier, Setting
    from engine.records import Records
    from engine.session.seeds import Seeds

    workflow = documents.open_file(args)
    places = documents.places_of(args)
    registry = documents.registry_of(places)
    values = documents.bring(documents.values_of(args.set, workflow, registry), workflow, registry, places)
    workflow = workflow.with_defaults(values).with_parameters(values)
    records = Records()
    try:
        workflow, _ = Seeds(registry, records).draw(workflow, "memory")
        setting = Setting(Numerics(device, dtype=dtype), records, registry.places(places), registry.types)
        frontier = Frontier(bind(workflow, registry), setting)
        if frontier.problems:  # what cannot be planned needs nothing, which is no answer
            raise WeftError(frontier.problems)
        lives = sorted((live for live in frontier.lives.values() if live.inputs), key=lambda live: live.order)
        return forecast([(live.path, live.inputs or {}) for live in lives if not live.spec.light], device, dtype, limit)
    finally:
        records.close()


def _show_device(args: argparse.Namespace, record: dict[str, Any]) -> None:
    if args.json:
        console.out_json(record)
        return
    size = console.size
    if "total" in record:
        console.out(f"{record['device']}: {size(record['total'])}, {size(record['free'])} of it free")
    console.out(f"Weft may use {size(record['limit'])} of it, computing in {record['dtype']}")


def _of_server(args: argparse.Namespace) -> int:
    from engine.client import Client
    from engine.server.codec import encode

    with Client(args.server, os.environ.get("WEFT_TOKEN", "")) as weft:
        freed = weft.free(**dict.fromkeys(args.free, True)) if args.free else None
        found = weft.memory()
    if args.json:
        console.out_json(encode(found) | ({"freed": freed} if freed is not None else {}))
        return 0
    size = console.size
    if freed is not None:
        console.out(f"{size(freed)} given back")
    for one in found.devices:
        console.out(f"{one.device}: {size(one.used)} of {size(one.limit)} used; the device has {size(one.free)} free")
        rows = [[r.kind, r.name, size(r.bytes), "in use" if r.in_use else ""] for r in one.residents]
        if rows:
            console.out(console.table(rows, ["kind", "name", "size", ""]))
    if found.disk is not None:
        console.out(f"disk: {size(found.disk.bytes)} of {size(found.disk.limit)} kept in {found.disk.values} values")
    if not found.devices:
        console.out("nothing is held yet")
    return 0
