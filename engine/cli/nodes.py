"""Nodes: `weft nodes` – what there is to build with, by chapter, by word, or one node's page."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

from engine.cli import console, documents
from engine.errors import fail
from engine.node import MISSING, Input, NodeSpec
from engine.registry import Registry


def add(name: str, parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("word", metavar="ID|WORD", nargs="*", help="a node's id, or words to search for")
    documents.add_places(parser)
    parser.set_defaults(go=nodes)
    parser.add_argument("--json", action="store_true", help="print JSON")


# --- nodes ---------------------------------------------------------------------------------------------------------


def nodes(args: argparse.Namespace) -> int:
    """The list, the matches of a word, or one page."""
    registry = documents.registry_of(documents.places_of(args))
    specs = all_specs(registry)
    wanted = " ".join(args.word)
    one = specs.get(wanted) or specs.get(registry.by_alias.get(wanted, ""))
    if one is not None:
        if args.json:
            console.out_json(one.to_json())
        else:
            console.out(page(one, registry))
        return 0
    found = search(specs.values(), args.word) if args.word else list(specs.values())
    if not found:
        hint = registry.suggest(wanted)
        raise fail("graph.unknown_node", f"no node is called or about '{wanted}'.{hint}", mend="weft nodes lists all")
    if args.json:
        console.out_json([spec.to_json() for spec in found])
    else:
        console.out(listing(found))
    return 0


def all_specs(registry: Registry) -> dict[str, NodeSpec]:
    """Every node, and the engine's own, which are for wires and loops."""
    from engine.graph import flow_specs

    own = {spec.id: spec for spec in flow_specs().values()}
    return {**registry.nodes, **own}


def chapter_of(spec: NodeSpec) -> str:
    """The heading under which a node is listed."""
    name = spec.category or spec.id.rpartition(".")[0] or "flow"
    return name if spec.pack == "core" else f"{spec.pack}: {name}"


def search(specs: Iterable[NodeSpec], words: Iterable[str]) -> list[NodeSpec]:
    """The nodes that every word is found in: id and names first, then the help."""
    needles = [word.lower() for word in words]
    ranked = []
    for spec in specs:
        names = " ".join((spec.id, spec.title, spec.category, *spec.aliases)).lower()
        body = f"{names} {spec.help} {' '.join(item.name for item in spec.inputs)}".lower()
        if all(needle in names for needle in needles):
            ranked.append((0, spec.id, spec))
        elif all(needle in body for needle in needles):
            ranked.append((1, spec.id, spec))
    return [spec for _, _, spec in sorted(ranked, key=lambda row: row[:2])]


def listing(specs: Iterable[NodeSpec]) -> str:
    """Id and first sentence, by chapter."""
    chapters: dict[str, list[NodeSpec]] = {}
    for spec in specs:
        chapters.setdefault(chapter_of(spec), []).append(spec)
    wide = max((len(spec.id) for group in chapters.values() for spec in group), default=0)
    parts = []
    for chapter, group in chapters.items():
        lines = [f"  {spec.id:<{wide}}  {first_sentence(spec.help)}" for spec in group]
        parts.append("\n".join([console.style(chapter, "bold"), *(console.cut(line) for line in lines)]))
    return "\n\n".join(parts)


def first_sentence(text: str) -> str:
    """The first line of a help text."""
    return text.partition("\n")[0].strip()


def page(spec: NodeSpec, registry: Registry) -> str:
    """Everything about one node: help, sockets, types, an example."""
    lines = [console.style(spec.id, "bold") + f"  {spec.title}"]
    facts = [f"version {spec.version}", f"pack {spec.pack}"]
    for flag, word in (
        (spec.light, "bookkeeping: done while planning"),
        (spec.effect, "saves something"),
        (spec.volatile, "never reused"),
        (bool(spec.steps), "goes on where it was left"),
        (spec.network, "uses the network"),
    ):
        facts += [word] if flag else []
    lines.append(console.style("  " + ", ".join(facts), "dim"))
    if spec.deprecated:
        lines.append(console.style(f"  deprecated: {spec.deprecated}", "yellow"))
    lines += ["", *(f"  {line}".rstrip() for line in spec.help.splitlines()), ""]
    if spec.inputs:
        rows = [[name_of(item), type_of(item), default_of(item), about(item)] for item in spec.inputs]
        lines += [console.style("inputs", "bold"), console.table(rows, last="wrap", indent=2), ""]
    if spec.outputs:
        rows = [[out.name, str(out.type), out.help] for out in spec.outputs]
        lines += [console.style("outputs", "bold"), console.table(rows, last="wrap", indent=2), ""]
    kinds = dict.fromkeys(kind for kind in (*(i.type for i in spec.inputs), *(o.type for o in spec.outputs)))
    known = {name: registry.types[name] for kind in kinds for name in _names(kind) if name in registry.types}
    if known:
        rows = [[name, first_sentence(kind.about)] for name, kind in known.items()]
        lines += [console.style("what the wires carry", "bold"), console.table(rows, last="wrap", indent=2), ""]
    if spec.aliases:
        lines += [f"elsewhere called: {', '.join(spec.aliases)}", ""]
    lines += [console.style("in a file", "bold"), "  " + example(spec)]
    return "\n".join(lines)


def _names(kind: Any) -> list[str]:
    return [kind.name, *(name for arg in kind.args for name in _names(arg))]


def name_of(item: Input) -> str:
    """The input's name; `*` where it takes several, `**` where they are named."""
    return {"list": "*", "named": "**"}.get(item.gather, "") + item.name


def type_of(item: Input) -> str:
    """The type; choices stand in the last column, where there is room."""
    if item.type.name in ("choice", "variant"):
        return item.type.name + ("?" if item.type.optional else "")
    return str(item.type)


def default_of(item: Input) -> str:
    """`= 7`, or `required`."""
    if item.required:
        return "required"
    if item.default is MISSING or item.default is None:
        return ""
    return f"= {item.default!r}" if not isinstance(item.default, str) else f'= "{item.default}"'


def about(item: Input) -> str:
    """Range, where names come from, and the help."""
    parts = []
    if item.type.name in ("choice", "variant"):
        parts.append("one of " + ", ".join(map(str, item.type.choices)))
    low, high = item.widget.get("low"), item.widget.get("high")
    if item.widget.get("kind") == "seed":
        parts.append('0 to 2^64 - 1, "random" or "increment"')
    elif low is not None or high is not None:
        parts.append(f"{'' if low is None else format(low, 'g')}..{'' if high is None else format(high, 'g')}")
    if item.widget.get("kind") == "model":
        parts.append(f"a name from models/{item.widget['models']}")
    if item.widget.get("kind") == "file":
        parts.append(f"a file in {item.widget['place']}")
    if not item.wired:
        parts.append("typed only")
    if item.help:
        parts.append(item.help)
    return ". ".join(part.rstrip(".") for part in parts) + ("." if parts else "")


def example(spec: NodeSpec) -> str:
    """The node as it stands in a file: every required input, and the first widgets."""
    import json

    inputs: dict[str, Any] = {}
    for item in spec.inputs:
        wire = item.type.name not in ("int", "float", "str", "bool", "choice", "variant", "any")
        if item.gather == "list" and wire:
            inputs[item.name] = [{"from": "a"}, {"from": "b"}]
        elif item.required and wire:
            inputs[item.name] = {"from": f"other.{item.type.name.lower()}"}
        elif item.required:
            inputs[item.name] = item.type.choices[0] if item.type.choices else _SAMPLE.get(item.type.name, "…")
        elif item.default not in (MISSING, None) and not wire and len(inputs) < 6:
            inputs[item.name] = item.default
    return json.dumps({"type": spec.id, "version": spec.version, "inputs": inputs}, ensure_ascii=False)


_SAMPLE = {"int": 1, "float": 1.0, "bool": True, "str": "…"}
