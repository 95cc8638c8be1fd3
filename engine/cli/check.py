"""Check: `weft check`, `weft plan`, `weft why` – what is wrong, what would run, and why, without running it."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from engine.cli import console, documents
from engine.errors import Problem, WeftError
from engine.graph.settable import RANDOM
from engine.places import Places
from engine.registry import Registry
from engine.workflow import Value, Workflow

RUNNING = ("run", "maybe")


def add(name: str, parser: argparse.ArgumentParser) -> None:
    """The options of the three commands."""
    documents.add_file(parser, many=name == "check")
    if name == "why":
        parser.add_argument("node", metavar="NODE", help="a step's path, such as sample or hires/denoise")
    if name == "check":
        documents.add_places(parser)
    else:
        documents.add_values(parser)
        parser.add_argument("--to", metavar="NODE", action="append", help="plan up to this node or output alone")
        parser.add_argument("--out", metavar="DIR", help="where results would be saved")
        parser.add_argument("--again", action="store_true", help="as if saved files had to be written again")
        documents.add_machine(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(go={"check": check, "plan": plan, "why": why}[name])


# --- check ---------------------------------------------------------------------------------------------------------


def check(args: argparse.Namespace) -> int:
    """Every problem of every file; 2 when one of them has an error."""
    places = documents.places_of(args)
    registry = documents.registry_of(places)
    records = []
    worst = 0
    for name in args.file:
        try:
            found = problems_of(documents.open_workflow(name), places, registry)
        except WeftError as error:
            found = list(error.problems)
        found = [problem.at(file=name) for problem in found]
        wrong = [problem for problem in found if problem.severity != "lint"]
        worst = 2 if wrong else worst
        records.append({"file": name, "ok": not wrong, "problems": [problem.to_json() for problem in found]})
        if not args.json:
            console.problems(found)
            if not wrong:
                notes = f", {console.plural(len(found), 'note')}" if found else ""
                console.out(f"{name}: fine{notes}")
    if args.json:
        console.out_json(records)
    return worst


def problems_of(workflow: Workflow, places: Places, registry: Registry) -> list[Problem]:
    """What is wrong with a workflow, from its wires to its models, as far as it can be known without running it."""
    from engine.graph import bind
    from engine.numerics import Numerics
    from engine.plan import Frontier, Setting
    from engine.records import Records

    open_ones = [n for n, item in workflow.parameters.items() if item.required and not item.has_default]
    workflow = _settled(workflow.with_defaults(dict.fromkeys(open_ones)), registry)
    given = {to for name in open_ones for to in workflow.parameters[name].to}
    try:
        graph = bind(workflow, registry)
    except WeftError as error:
        # What has to be given for a run is no fault of the file.
        return [p for p in error.problems if not _is_given(p, given)]
    if workflow.origin is not None and Path(workflow.origin.file).is_file():
        beside = Path(workflow.origin.file).resolve().parent
    else:
        beside = None
    places = dataclasses.replace(registry.places(places), beside=beside)
    records = Records()
    try:
        setting = Setting(Numerics(), records, places, registry.types)
        found = Frontier(graph, setting, list(graph.steps) or None).snapshot()
    finally:
        records.close()
    return [documents.placed(workflow, p) for p in (*found.problems, *found.lints)]


def _is_given(problem: Problem, given: Iterable[str]) -> bool:
    where = problem.where
    return problem.code == "graph.missing_input" and f"{where.path}.{where.socket}" in given


def _settled(workflow: Workflow, registry: Registry) -> Workflow:
    """The workflow with 0 for every seed that is to be drawn: which one it is makes no difference here."""

    def nodes_of(nodes: Mapping[str, Any]) -> dict[str, Any]:
        made = {}
        for name, node in nodes.items():
            spec = registry.get(node.type)
            drawn = {
                socket: Value(0)
                for socket, source in node.inputs.items()
                if isinstance(source, Value) and source.value in RANDOM and spec is not None
                if (item := spec.by_name.get(socket)) is not None and item.widget.get("kind") == "seed"
            }
            made[name] = dataclasses.replace(node, inputs={**node.inputs, **drawn}) if drawn else node
        return made

    graphs = {name: dataclasses.replace(net, nodes=nodes_of(net.nodes)) for name, net in workflow.graphs.items()}
    return dataclasses.replace(workflow, nodes=nodes_of(workflow.nodes), graphs=graphs)


# --- plan ----------------------------------------------------------------------------------------------------------


def plan(args: argparse.Namespace) -> int:
    """What would happen now, as a table; 2 when something keeps a step from running."""
    from engine.cli.run import open_session

    workflow = documents.open_file(args)
    places = documents.places_of(args)
    registry = documents.registry_of(places)
    values = documents.bring(documents.values_of(args.set, workflow, registry), workflow, registry, places)
    with open_session(args, places, registry) as session:
        made = session.plan(workflow, values, args.to, again=args.again)
    found = [documents.placed(workflow, problem) for problem in made.problems]
    if args.json:
        console.out_json({"file": args.file, **made.to_json()})
    else:
        console.out(plan_table(made))
        console.out(summary(made))
    console.problems([*found, *(documents.placed(workflow, lint) for lint in made.lints)])
    return 2 if found else 0


def plan_table(made: Any) -> str:
    """One row for each step: what happens to it, why, and for how long."""
    rows = [[step.path, state_of(step), console.seconds(step.seconds), reason_of(step)] for step in made.steps]
    return console.table(rows, ["step", "now", "time", "why"])


def state_of(step: Any) -> str:
    """`run`, or `run 6 of 20` for one that goes on where it was left."""
    if step.status == "run" and step.resumed:
        return f"run {step.steps - step.resumed} of {step.steps}"
    return str(step.status)


def reason_of(step: Any) -> str:
    """Why, in words."""
    if step.problem is not None:
        return str(step.problem.message)
    match step.status:
        case "light":
            return "bookkeeping, done while planning"
        case "hit":
            return f"its result is there ({step.why})" if step.why else "its result is there"
        case "saved":
            return "its files are in place"
        case "not needed":
            return "nothing that was asked for depends on it"
        case "maybe":
            waits = ", ".join(step.waits_for)
            return f"depends on what {waits} gives" if waits else "depends on what comes before it"
        case "failed":
            return "a step before it cannot run"
    if step.resumed:
        return f"{step.why}; goes on after step {step.resumed} of {step.steps}"
    return str(step.why)


def summary(made: Any) -> str:
    """`5 to run, 1 known before, about 2.3 s`."""
    parts = [f"{made.count('run')} to run", f"{made.count('hit') + made.count('saved')} known before"]
    if made.count("maybe"):
        parts.append(f"{made.count('maybe')} to be seen")
    if made.count("failed"):
        parts.append(f"{made.count('failed')} cannot run")
    if made.count("run"):
        parts.append(f"about {console.seconds(made.seconds)}" if made.seconds is not None else "time not known yet")
    return ", ".join(parts)


# --- why -----------------------------------------------------------------------------------------------------------


def why(args: argparse.Namespace) -> int:
    """Why one step would run, back to what changed first."""
    from engine.cli.run import open_session
    from engine.graph import outs, unknown_target

    workflow = documents.open_file(args)
    places = documents.places_of(args)
    registry = documents.registry_of(places)
    values = documents.bring(documents.values_of(args.set, workflow, registry), workflow, registry, places)
    with open_session(args, places, registry) as session:
        made = session.plan(workflow, values, args.to, again=args.again)
        _, graph, _ = session.prepare(workflow, values)
    rows = {step.path: step for step in made.steps}
    if args.node not in rows:
        if args.node in graph.steps:
            console.out(f"{args.node}: not needed, nothing that was asked for depends on it")
            return 0
        raise unknown_target(graph, args.node)
    chain = []
    pending, seen = [args.node], set()
    while pending:
        path = pending.pop(0)
        if path in seen or path not in rows:
            continue
        seen.add(path)
        chain.append(rows[path])
        if rows[path].status in (*RUNNING, "failed") and path in graph.steps:
            before = [out.path for _, bound in graph.steps[path].sources for out in outs(bound)]
            pending += [p for p in before if p in rows and rows[p].status in (*RUNNING, "failed")]
    if args.json:
        console.out_json([step.to_json() for step in chain])
        return 0
    console.out(f"{args.node}: {state_of(chain[0])}, {reason_of(chain[0])}")
    if len(chain) > 1:
        console.out("because of:")
        console.out(console.table([[s.path, state_of(s), reason_of(s)] for s in chain[1:]], indent=2))
    return 0
