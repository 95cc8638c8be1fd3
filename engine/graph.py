"""Graph: the file and the registry become a checked, typed, migrated, immutable graph.

`bind` answers with a `Graph` or raises a `WeftError` that holds *every* problem found, each with its path, socket and
mend. Instances (`#name`), reroutes and bypassed nodes are gone afterwards: they leave no trace in the graph and none in
ids. Inner nodes have paths such as `hires/denoise`. What a muted node would have fed is muted too.

`map`, `fold` and `switch` are the engine's own: they stay in the graph as nodes whose `flow` is set, and the plan
unfolds them, because only there is it known how long a list is and which branch is chosen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import networkx

from engine.errors import Mend, Problem, WeftError, Where, did_you_mean, fail
from engine.node import MISSING, Input, NodeSpec, Output, coerce, resolve
from engine.registry import Registry
from engine.sockets import ANY, Type, fit, list_of
from engine.workflow import Link, Many, Named, Net, Node, Source, Value, Workflow

FLOW = ("map", "fold", "switch", "reroute")
MAX_INSTANCES_DEEP = 32
MAX_FOLD = 10_000


# --- what the bound graph is made of -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Const:
    """A coerced literal (still plain data; `node.dress` makes the objects functions expect)."""

    value: Any


@dataclass(frozen=True, slots=True)
class Out:
    """An output of a node of this graph."""

    path: str
    output: str


@dataclass(frozen=True, slots=True)
class Free:
    """A parameter of a body graph, given anew for every item or turn."""

    name: str


@dataclass(frozen=True, slots=True)
class Several:
    """A list of sources."""

    items: tuple[Bound, ...]


@dataclass(frozen=True, slots=True)
class Keyed:
    """Sources by name."""

    items: tuple[tuple[str, Bound], ...]


@dataclass(frozen=True, slots=True)
class Muted:
    """Nothing comes here, because `by` is muted."""

    by: str


Bound = Const | Out | Free | Several | Keyed | Muted


@dataclass(frozen=True, slots=True)
class Step:
    """One node of the bound graph."""

    path: str
    spec: NodeSpec
    sources: tuple[tuple[str, Bound], ...]
    flow: str = ""  # "", "map", "fold", "switch"
    body: Graph | None = None
    until: str = ""
    turns: int = 0
    mapped: tuple[str, ...] = ()  # the body's parameters that `map` goes over


@dataclass(frozen=True, eq=False)
class Graph:
    """A bound graph, in topological order. Safe to keep, share and plan many times."""

    steps: Mapping[str, Step]
    outputs: Mapping[str, Bound]
    output_types: Mapping[str, Type] = field(default_factory=dict)
    parameters: Mapping[str, Type] = field(default_factory=dict)
    muted: Mapping[str, str] = field(default_factory=dict)  # path -> the muted node that is to blame
    problems: tuple[Problem, ...] = ()  # lints

    @cached_property
    def effects(self) -> tuple[str, ...]:
        """The steps that are always targets, in order."""
        steps = self.steps.items()
        return tuple(path for path, step in steps if step.spec.effect or (step.body is not None and step.body.effects))

    @cached_property
    def readers(self) -> Mapping[str, tuple[str, ...]]:
        """For each path, the paths that read one of its outputs."""
        found: dict[str, list[str]] = {path: [] for path in self.steps}
        for path, step in self.steps.items():
            for source in {out.path for _, bound in step.sources for out in outs(bound)}:
                found[source].append(path)
        return {path: tuple(readers) for path, readers in found.items()}

    def descendants(self, path: str) -> set[str]:
        """Every step that depends on this one."""
        seen: set[str] = set()
        pending = [path]
        while pending:
            for reader in self.readers[pending.pop()]:
                if reader not in seen:
                    seen.add(reader)
                    pending.append(reader)
        return seen


def outs(bound: Bound) -> Iterator[Out]:
    """Every output a source reads."""
    if isinstance(bound, Out):
        yield bound
    elif isinstance(bound, Several):
        for item in bound.items:
            yield from outs(item)
    elif isinstance(bound, Keyed):
        for _, item in bound.items:
            yield from outs(item)


def _muted_by(bound: Bound) -> str | None:
    if isinstance(bound, Muted):
        return bound.by
    if isinstance(bound, Several):
        return next((by for item in bound.items if (by := _muted_by(item))), None)
    if isinstance(bound, Keyed):
        return next((by for _, item in bound.items if (by := _muted_by(item))), None)
    return None


# --- binding -------------------------------------------------------------------------------------------------------


def bind(workflow: Workflow, registry: Registry, *, as_body: bool = False) -> Graph:
    """The typed graph of a workflow, or a `WeftError` with every problem in it.

    With `as_body` its parameters stay open, to be given as values or Refs when it is planned.
    """
    binder = _Binder(workflow, registry)
    graph = binder.graph(workflow, frozenset(), as_body=as_body)
    if binder.problems:
        raise WeftError(binder.placed())
    return graph


def check(workflow: Workflow, registry: Registry) -> list[Problem]:
    """Every problem of a workflow, without raising."""
    try:
        return list(bind(workflow, registry).problems)
    except WeftError as error:
        return list(error.problems)


@dataclass(slots=True)
class _Raw:
    """A node before its wires are followed: where it stands in the file, and in which net."""

    node: Node
    spec: NodeSpec | None
    net: Net
    prefix: str
    place: tuple[str | int, ...]
    renamed: Mapping[str, str]
    given: dict[str, Bound | Source] = field(default_factory=dict)  # inputs set from outside by an instance
    given_prefix: str = ""


class _Binder:
    """One pass of binding; keeps what is known so far and gathers problems."""

    def __init__(self, workflow: Workflow, registry: Registry) -> None:
        self.workflow = workflow
        self.registry = registry
        self.problems: list[Problem] = []
        self.lints: list[Problem] = []
        self.places: dict[str, tuple[str | int, ...]] = {}
        self.bodies: dict[str, Graph] = {}

    # -- problems

    def bad(self, code: str, path: str, message: str, *, socket: str | None = None, mend: Mend | None = None) -> None:
        self.problems.append(Problem(code, message, Where(path=path or None, socket=socket), mend))

    def placed(self) -> list[Problem]:
        """The problems with file, line and column filled in."""
        origin = self.workflow.origin
        placed = []
        for problem in self.problems:
            where = problem.where
            spot = self.places.get(where.path or "")
            if origin is not None and where.line is None:
                path = [*(spot or ()), *(("inputs", where.socket) if spot and where.socket else ())]
                found = origin.where(path) if spot else Where(file=origin.file)
                problem = problem.at(file=found.file, line=found.line, column=found.column)
            placed.append(problem)
        return placed

    # -- one graph: the workflow itself, or the body of a map or fold

    def graph(self, net: Net, inside: frozenset[str], name: str = "", *, as_body: bool = False) -> Graph:
        as_body = as_body or bool(name)
        place: tuple[str | int, ...] = ("graphs", name) if name else ()
        raws: dict[str, _Raw] = {}
        self._expand(net, "", place, inside, raws, {}, "")
        free = self._free(net, raws) if as_body else {}
        resolver = _Resolver(self, raws, free)
        order = self._order(raws, resolver)
        steps: dict[str, Step] = {}
        types: dict[tuple[str, str], Type] = {}
        free_types = self._free_types(net, raws) if as_body else {}
        muted: dict[str, str] = {}
        for path in order:
            raw = raws[path]
            if raw.spec is None or raw.node.type.startswith("#") or resolver.transparent(raw):
                continue
            if raw.node.mode == "mute":
                muted[path] = path
                continue
            step = self._step(path, raw, resolver, types, free_types, muted, inside)
            if step is not None:
                steps[path] = step
        outputs: dict[str, Bound] = {}
        output_types: dict[str, Type] = {}
        for label, target in net.outputs.items():
            node_name, _, output = target.partition(".")
            spot = f"outputs.{label}"
            self.places[spot] = (*place, "outputs", label)
            bound = resolver.link(Link(node_name, output), "", spot, None)
            if bound is not None and not isinstance(bound, Muted):
                outputs[label] = bound
                if isinstance(bound, Out) and (bound.path, bound.output) in types:
                    output_types[label] = types[bound.path, bound.output]
                elif isinstance(bound, Free):
                    output_types[label] = free_types.get(bound.name, ANY)
        self._check_parameters(net, raws, place)
        return Graph(steps, outputs, output_types, free_types, muted, tuple(self.lints))

    def _expand(
        self,
        net: Net,
        prefix: str,
        place: tuple[str | int, ...],
        inside: frozenset[str],
        raws: dict[str, _Raw],
        given: Mapping[tuple[str, str], Source],
        given_prefix: str,
    ) -> None:
        """Lay out the nodes of a net and, in their place, those of every instance in it."""
        for name, node in net.nodes.items():
            path = prefix + name
            spot = (*place, "nodes", name)
            self.places[path] = spot
            if not node.type:
                continue
            if node.type.startswith("#"):
                raw = _Raw(node, None, net, prefix, spot, {})
                self._take(raw, name, given, given_prefix)
                raws[path] = raw
                self._expand_instance(node, path, inside, raws, raw)
                continue
            node, spec, renamed = self._migrate(path, node)
            raw = _Raw(node, spec, net, prefix, spot, renamed)
            self._take(raw, name, given, given_prefix)
            raws[path] = raw

    @staticmethod
    def _take(raw: _Raw, name: str, given: Mapping[tuple[str, str], Source], given_prefix: str) -> None:
        raw.given = {socket: source for (node, socket), source in given.items() if node == name}
        raw.given_prefix = given_prefix

    def _expand_instance(self, node: Node, path: str, inside: frozenset[str], raws: dict[str, _Raw], raw: _Raw) -> None:
        name = node.type[1:]
        net = self.workflow.graphs.get(name)
        if net is None:
            known = ", ".join(f"#{g}" for g in self.workflow.graphs) or "none"
            message = f"there is no graph '{node.type}' in this file.{did_you_mean(name, self.workflow.graphs)}"
            self.bad("graph.unknown_graph", path, message, mend=Mend(f"graphs here: {known}"))
            return
        if name in inside or path.count("/") >= MAX_INSTANCES_DEEP:
            self.bad("graph.recursion", path, f"the graph '{node.type}' contains itself")
            return
        given: dict[tuple[str, str], Source] = {}
        for label, parameter in net.parameters.items():
            source = node.inputs.get(label)
            from_outside = raw.given.get(label)
            if from_outside is not None:
                source = Value(_Carried(from_outside, raw.given_prefix))
            elif source is not None:
                source = Value(_Carried(source, raw.prefix))
            elif parameter.has_default:
                source = Value(parameter.default)
            if source is not None:
                for target in parameter.to:
                    inner, _, socket = target.rpartition(".")
                    given[inner, socket] = source
        for label in node.inputs:
            if label not in net.parameters:
                hint = did_you_mean(label, net.parameters)
                self.bad("graph.unknown_input", path, f"'{node.type}' has no parameter '{label}'.{hint}", socket=label)
        self._expand(net, path + "/", ("graphs", name), inside | {name}, raws, given, raw.prefix)

    def _migrate(self, path: str, node: Node) -> tuple[Node, NodeSpec | None, Mapping[str, str]]:
        if node.type in FLOW:
            return node, _flow_spec(node.type), {}
        spec = self.registry.get(node.type)
        if spec is None:
            message = f"no node is called '{node.type}'.{self.registry.suggest(node.type)}"
            mend = Mend("install the pack it comes from, or choose another node (weft nodes)")
            broken = [pack for pack in self.registry.packs if pack.problem and node.type.startswith(pack.name + "/")]
            if broken and broken[0].problem:
                mend = Mend(f"its pack does not load: {broken[0].problem.message}")
            self.bad("graph.unknown_node", path, message, mend=mend)
            return node, None, {}
        version = node.version or spec.version
        if version > spec.version:
            message = f"'{node.type}' is of version {version}, the installed pack has {spec.version}"
            self.bad("graph.unknown_version", path, message, mend=Mend(f"update the pack '{spec.pack}'"))
            return node, None, {}
        if version == spec.version or not spec.migrate:
            return node, spec, {}
        try:
            result = resolve(spec.migrate)(version, dict(node.inputs))
        except Exception as error:
            self.bad("graph.migration", path, f"'{node.type}' cannot be brought from version {version}: {error}")
            return node, None, {}
        kind, inputs, renamed = result if isinstance(result, tuple) else (node.type, result, {})
        new_spec = spec if kind == node.type else self.registry.get(kind)
        migrated = dataclasses.replace(node, type=kind, inputs=inputs, version=new_spec.version if new_spec else None)
        return migrated, new_spec, renamed

    # -- parameters of bodies

    @staticmethod
    def _free(net: Net, raws: Mapping[str, _Raw]) -> dict[tuple[str, str], str]:
        """Which inputs of a body are given by which of its parameters."""
        free: dict[tuple[str, str], str] = {}
        for label, parameter in net.parameters.items():
            for target in parameter.to:
                node, _, socket = target.rpartition(".")
                raw = raws.get(node)
                if raw is not None and raw.node.type.startswith("#"):
                    raw.given[socket] = Free(label)
                free[node, socket] = label
        return free

    def _free_types(self, net: Net, raws: Mapping[str, _Raw]) -> dict[str, Type]:
        found: dict[str, Type] = {}
        for label, parameter in net.parameters.items():
            found[label] = ANY
            for target in parameter.to:
                item = self._find_input(target, "", net)
                if item is not None:
                    found[label] = list_of(item.type) if item.gather == "list" else item.type
                    break
        return found

    def _find_input(self, target: str, prefix: str, net: Net) -> Input | None:
        """The input that a parameter's `node.input` means, looking through instances."""
        name, _, socket = target.rpartition(".")
        node = net.nodes.get(name)
        if node is None:
            return None
        if node.type.startswith("#"):
            inner = self.workflow.graphs.get(node.type[1:])
            if inner is None or socket not in inner.parameters:
                return None
            return next((i for t in inner.parameters[socket].to if (i := self._find_input(t, prefix, inner))), None)
        spec = _flow_spec(node.type) if node.type in FLOW else self.registry.get(node.type)
        return spec.by_name.get(socket) if spec else None

    def _check_parameters(self, net: Net, raws: Mapping[str, _Raw], place: tuple[str | int, ...]) -> None:
        for label, parameter in net.parameters.items():
            for target in parameter.to:
                node = net.nodes.get(target.rpartition(".")[0])
                spot = f"parameters.{label}"
                if node is not None and node.type.startswith(("#", *FLOW)):
                    continue
                known = self._find_input(target, "", net)
                if node is None or (known is None and self.registry.get(node.type) is not None):
                    self.places[spot] = (*place, "parameters", label)
                    options = [f"{n}.{i.name}" for n, x in net.nodes.items() for i in self._inputs_of(x)]
                    hint = did_you_mean(target, options)
                    self.bad(
                        "graph.parameter", spot, f"parameter '{label}' leads to '{target}', which is not there.{hint}"
                    )

    def _inputs_of(self, node: Node) -> Sequence[Input]:
        spec = self.registry.get(node.type)
        return spec.inputs if spec else ()

    # -- order

    def _order(self, raws: Mapping[str, _Raw], resolver: _Resolver) -> list[str]:
        wires: dict[str, None] = {}
        edges: list[tuple[str, str]] = []
        for path, raw in raws.items():
            wires[path] = None
            if raw.node.type.startswith("#"):
                continue
            for bound in resolver.inputs(path, raw).values():
                edges.extend((out.path, path) for out in outs(bound))
        net = networkx.DiGraph()
        net.add_nodes_from(wires)
        net.add_edges_from(edges)
        try:
            return list(networkx.topological_sort(net))
        except networkx.NetworkXUnfeasible:
            ring = [edge[0] for edge in networkx.find_cycle(net)]
            shown = " -> ".join([*ring, ring[0]])
            self.bad("graph.cycle", ring[0], f"the wires form a circle: {shown}", mend=Mend("cut one of these wires"))
            return []

    # -- one step

    def _step(
        self,
        path: str,
        raw: _Raw,
        resolver: _Resolver,
        types: dict[tuple[str, str], Type],
        free_types: Mapping[str, Type],
        muted: dict[str, str],
        inside: frozenset[str],
    ) -> Step | None:
        spec = raw.spec
        assert spec is not None
        given = resolver.inputs(path, raw)
        if raw.node.type in ("map", "fold"):
            return self._loop(path, raw, given, types, free_types, muted, inside)
        bound_vars: dict[str, Type] = {}
        sources: list[tuple[str, Bound]] = []
        by_name = spec.by_name
        for name in given:
            if name not in by_name:
                hint = did_you_mean(name, by_name)
                known = ", ".join(by_name) or "none"
                message = f"'{raw.node.type}' has no input '{name}'.{hint}"
                self.bad("graph.unknown_input", path, message, socket=name, mend=Mend(f"its inputs are: {known}"))
        blame: str | None = None
        for item in spec.inputs:
            bound = given.get(item.name)
            if bound is not None and (by := _muted_by(bound) or self._reads_muted(bound, muted)):
                if item.required or not isinstance(bound, Out | Muted):
                    blame = blame or by
                    continue
                bound = None
            if bound is None:
                if item.required:
                    self._missing(path, spec, item)
                elif item.gather:
                    sources.append((item.name, Several(()) if item.gather == "list" else Keyed(())))
                else:
                    sources.append((item.name, Const(None if item.default is MISSING else item.default)))
                continue
            made = self._input(path, raw, item, bound, types, free_types, bound_vars)
            if made is not None:
                sources.append((item.name, made))
        if blame is not None:
            muted[path] = blame
            return None
        for out in spec.outputs:
            types[path, out.name] = _substitute(out.type, bound_vars)
        flow = raw.node.type if raw.node.type in FLOW else ""
        return Step(path, spec, tuple(sources), flow)

    @staticmethod
    def _reads_muted(bound: Bound, muted: Mapping[str, str]) -> str | None:
        return next((muted[out.path] for out in outs(bound) if out.path in muted), None) if muted else None

    def _missing(self, path: str, spec: NodeSpec, item: Input) -> None:
        makers = [maker.id for maker in self.registry.producers(item.type)[:3]]
        if makers:
            mend = Mend(f"wire something that gives {item.type}: {', '.join(makers)}")
        else:
            mend = Mend(f"type a value, or wire something that gives {item.type}")
        self.bad("graph.missing_input", path, f"'{item.name}' needs a {item.type}", socket=item.name, mend=mend)

    def _input(
        self,
        path: str,
        raw: _Raw,
        item: Input,
        bound: Bound,
        types: Mapping[tuple[str, str], Type],
        free_types: Mapping[str, Type],
        bound_vars: dict[str, Type],
    ) -> Bound | None:
        if item.gather:
            return self._gathered(path, raw, item, bound, types, free_types, bound_vars)
        if isinstance(bound, Several) and item.type.name == "list":
            inner = dataclasses.replace(item, type=item.type.args[0], gather="")
            made = [self._input(path, raw, inner, one, types, free_types, bound_vars) for one in bound.items]
            return Several(tuple(one for one in made if one is not None))
        return self._single(path, raw, item, bound, types, free_types, bound_vars)

    def _gathered(
        self,
        path: str,
        raw: _Raw,
        item: Input,
        bound: Bound,
        types: Mapping[tuple[str, str], Type],
        free_types: Mapping[str, Type],
        bound_vars: dict[str, Type],
    ) -> Bound | None:
        one = dataclasses.replace(item, gather="")
        if item.gather == "named":
            if not isinstance(bound, Keyed):
                mend = Mend('write an object: {"a": ..., "b": ...}')
                self.bad("graph.value", path, f"'{item.name}' needs named values", socket=item.name, mend=mend)
                return None
            pairs = [(n, self._single(path, raw, one, b, types, free_types, bound_vars)) for n, b in bound.items]
            return Keyed(tuple((name, made) for name, made in pairs if made is not None))
        if isinstance(bound, Out | Free):
            kind = self._type_of(bound, types, free_types)
            if kind.name in ("list", "any"):
                return bound  # a whole list flows into the growing socket
        items: tuple[Bound, ...] = (bound,)
        if isinstance(bound, Several):
            items = bound.items
        elif isinstance(bound, Const) and isinstance(bound.value, list | tuple):
            items = tuple(Const(value) for value in bound.value)
        made = [self._single(path, raw, one, b, types, free_types, bound_vars) for b in items]
        return Several(tuple(b for b in made if b is not None))

    def _single(
        self,
        path: str,
        raw: _Raw,
        item: Input,
        bound: Bound,
        types: Mapping[tuple[str, str], Type],
        free_types: Mapping[str, Type],
        bound_vars: dict[str, Type],
    ) -> Bound | None:
        if isinstance(bound, Const):
            if not item.typed and bound.value is not None:
                self.bad("graph.value", path, f"'{item.name}' takes a wire, not a typed value", socket=item.name)
                return None
            try:
                return Const(coerce(item, bound.value, bound_vars.get(item.type.name)))
            except WeftError as error:
                self.problems.extend(problem.at(path=path) for problem in error.problems)
                return None
        if isinstance(bound, Several | Keyed):
            message = f"'{item.name}' takes one {item.type}, not several"
            self.bad("graph.type", path, message, socket=item.name, mend=Mend("use map to run it for each"))
            return None
        if not item.wired:
            self.bad("graph.type", path, f"'{item.name}' is typed in, it takes no wire", socket=item.name)
            return None
        source = self._type_of(bound, types, free_types)
        answer = fit(source, item.type, self.registry.bases, bound_vars)
        if answer:
            return bound
        came = f"{bound.path}.{bound.output}" if isinstance(bound, Out) else str(bound)
        self.problems.append(
            Problem(
                "graph.type",
                f"'{item.name}' takes {item.type}, but {came} gives {source}",
                Where(path=path, socket=item.name),
                self._offer(path, item, bound, source, answer.offer),
            )
        )
        return None

    def _offer(self, path: str, item: Input, bound: Bound, source: Type, offer: str) -> Mend | None:
        if offer == "map":
            return Mend("put the node into a graph of its own and run it with map, once for each item of the list")
        if offer == "list":
            return Mend(f"write [{{...}}]: the socket takes a list of {item.type.args[0] if item.type.args else ''}")
        found = self.registry.converters(source, item.type)
        if not found or not isinstance(bound, Out):
            makers = [spec.id for spec in self.registry.producers(item.type)[:3]]
            return Mend(f"wire something that gives {item.type}: {', '.join(makers)}") if makers else None
        spec = found[0]
        insert = {"type": spec.id, "between": [f"{bound.path}.{bound.output}", f"{path}.{item.name}"]}
        return Mend(f"insert '{spec.id}' between them", ({"insert": insert},))

    @staticmethod
    def _type_of(bound: Bound, types: Mapping[tuple[str, str], Type], free_types: Mapping[str, Type]) -> Type:
        if isinstance(bound, Out):
            return types.get((bound.path, bound.output), ANY)
        if isinstance(bound, Free):
            return free_types.get(bound.name, ANY)
        return ANY

    # -- map and fold

    def _loop(
        self,
        path: str,
        raw: _Raw,
        given: Mapping[str, Bound],
        types: dict[tuple[str, str], Type],
        free_types: Mapping[str, Type],
        muted: dict[str, str],
        inside: frozenset[str],
    ) -> Step | None:
        kind = raw.node.type
        name = raw.node.body.removeprefix("#")
        net = self.workflow.graphs.get(name)
        if net is None:
            hint = did_you_mean(name, self.workflow.graphs)
            message = f"'{kind}' repeats a graph of this file; '{raw.node.body}' is not one.{hint}"
            self.bad("graph.unknown_graph", path, message, mend=Mend('write "body": "#name"'))
            return None
        if name in inside:
            self.bad("graph.recursion", path, f"the graph '#{name}' contains itself")
            return None
        blame = next((by for b in given.values() if (by := _muted_by(b) or self._reads_muted(b, muted))), None)
        if blame:
            muted[path] = blame
            return None
        body = self.bodies.get(name)
        if body is None:
            body = self.bodies[name] = self.graph(net, inside | {name}, name)
        sources: list[tuple[str, Bound]] = []
        mapped: list[str] = []
        for label, bound in given.items():
            if label not in net.parameters:
                hint = did_you_mean(label, net.parameters)
                known = ", ".join(net.parameters) or "none"
                message = f"'#{name}' has no parameter '{label}'.{hint}"
                self.bad("graph.unknown_input", path, message, socket=label, mend=Mend(f"it has: {known}"))
                continue
            want = body.parameters.get(label, ANY)
            over, made = self._loop_input(path, raw, label, want, bound, kind, types, free_types)
            if over:
                mapped.append(label)
            if made is not None:
                sources.append((label, made))
        for label, parameter in net.parameters.items():
            if label not in given and parameter.has_default:
                sources.append((label, Const(parameter.default)))
            elif label not in given and parameter.required:
                self.bad("graph.missing_input", path, f"'{label}' needs a value or a wire", socket=label)
        if kind == "map" and not mapped:
            mend = Mend("give one of its inputs a list: [..., ...]")
            self.bad("graph.type", path, "'map' has no list to go over", mend=mend)
        for label in body.outputs:
            inner = body.output_types.get(label, ANY)
            types[path, label] = list_of(inner) if kind == "map" else inner
        until = raw.node.extra.get("until", "")
        turns = raw.node.extra.get("max", 0)
        if kind == "fold":
            if not isinstance(turns, int) or isinstance(turns, bool) or not 1 <= turns <= MAX_FOLD:
                self.bad("graph.value", path, f"'max' must be a whole number from 1 to {MAX_FOLD}")
                turns = 1
            if until and until not in body.outputs:
                self.bad("graph.value", path, f"'until' names '{until}', which is no output of '#{name}'")
        outputs = tuple(Output(label, types[path, label]) for label in body.outputs)
        spec = dataclasses.replace(_flow_spec(kind), outputs=outputs)
        return Step(path, spec, tuple(sources), kind, body, until, turns, tuple(mapped))

    def _loop_input(
        self,
        path: str,
        raw: _Raw,
        label: str,
        want: Type,
        bound: Bound,
        kind: str,
        types: Mapping[tuple[str, str], Type],
        free_types: Mapping[str, Type],
    ) -> tuple[bool, Bound | None]:
        """Is this input gone over item by item, and the source for it."""
        takes_list = want.name == "list"
        over = False
        if kind == "map" and not takes_list:
            if isinstance(bound, Several):
                over = True
            elif isinstance(bound, Const):
                over = isinstance(bound.value, list | tuple)
            else:
                over = self._type_of(bound, types, free_types).name == "list"
        if isinstance(bound, Const):
            values = bound.value if over else [bound.value]
            item = Input(label, want)
            try:
                made = [Const(coerce(item, value)) if want.name != "any" else Const(value) for value in values]
            except WeftError as error:
                self.problems.extend(problem.at(path=path) for problem in error.problems)
                return over, None
            return over, Several(tuple(made)) if over else made[0]
        if isinstance(bound, Several):
            inner = Input(label, want)
            each = [self._single(path, raw, inner, one, types, free_types, {}) for one in bound.items]
            return over, Several(tuple(one for one in each if one is not None))
        source = self._type_of(bound, types, free_types)
        answer = fit(source, list_of(want) if over else want, self.registry.bases)
        if not answer:
            message = f"'{label}' takes {list_of(want) if over else want}, the wire carries {source}"
            self.bad("graph.type", path, message, socket=label)
            return over, None
        return over, bound


@dataclass(frozen=True)
class _Carried:
    """A source handed into an instance, with the prefix of the net it was written in."""

    source: Bound | Source
    prefix: str


class _Resolver:
    """Follows wires through instances, reroutes and bypassed nodes to the output that really makes the value."""

    def __init__(self, binder: _Binder, raws: Mapping[str, _Raw], free: Mapping[tuple[str, str], str]) -> None:
        self.binder = binder
        self.raws = raws
        self.free = free
        self.known: dict[str, dict[str, Bound]] = {}
        self.following: list[str] = []

    @staticmethod
    def transparent(raw: _Raw) -> bool:
        return raw.node.type == "reroute" or raw.node.mode == "bypass"

    def inputs(self, path: str, raw: _Raw) -> dict[str, Bound]:
        """The sources of a node's inputs, as far as they are wired, typed or given from outside."""
        found = self.known.get(path)
        if found is not None:
            return found
        found = {}
        for name, source in raw.node.inputs.items():
            if name not in raw.given and (path, name) not in self.free:
                bound = self.source(source, raw.prefix, path, name)
                if bound is not None:
                    found[name] = bound
        for name, given in raw.given.items():
            bound = self.given(given, raw.given_prefix, path, name)
            if bound is not None:
                found[name] = bound
        if self.free and "/" not in path:
            found.update({socket: Free(label) for (node, socket), label in self.free.items() if node == path})
        self.known[path] = found
        return found

    def given(self, source: Any, prefix: str, path: str, name: str) -> Bound | None:
        if isinstance(source, Free):
            return source
        if isinstance(source, Value) and isinstance(source.value, _Carried):
            return self.given(source.value.source, source.value.prefix, path, name)
        return self.source(source, prefix, path, name)

    def source(self, source: Source, prefix: str, path: str, socket: str) -> Bound | None:
        match source:
            case Value(value):
                return Const(value)
            case Link():
                return self.link(source, prefix, path, socket)
            case Many(items):
                several = [self.source(item, prefix, path, socket) for item in items]
                return Several(tuple(item for item in several if item is not None))
            case Named(pairs):
                named = [(name, self.source(item, prefix, path, socket)) for name, item in pairs]
                return Keyed(tuple((name, item) for name, item in named if item is not None))

    def link(self, link: Link, prefix: str, path: str, socket: str | None) -> Bound | None:
        target = prefix + link.node
        raw = self.raws.get(target)
        if raw is None:
            names = [name.removeprefix(prefix) for name in self.raws if name.startswith(prefix)]
            message = f"the wire comes from '{link.node}', which is not there.{did_you_mean(link.node, names)}"
            edits = ({"unset": f"{path}.{socket}"},) if socket else ()
            self.binder.bad("graph.link", path, message, socket=socket, mend=Mend("wire it anew or remove it", edits))
            return None
        if raw.node.mode == "mute":
            return Muted(target)
        if target in self.following:
            ring = " -> ".join([*self.following[self.following.index(target) :], target])
            self.binder.bad(
                "graph.cycle", target, f"the wires form a circle: {ring}", mend=Mend("cut one of these wires")
            )
            return None
        if raw.node.type.startswith("#"):
            return self._into_instance(raw, target, link, path, socket)
        if raw.spec is None:
            return None
        if raw.node.type == "reroute":
            return self._through(target, raw, "value")
        output = self._output(raw, target, link, path, socket)
        if output is None:
            return None
        if raw.node.mode == "bypass":
            source = dict(raw.spec.bypass).get(output)
            if source is None:
                return Muted(target)
            return self._through(target, raw, source)
        return Out(target, output)

    def _through(self, target: str, raw: _Raw, name: str) -> Bound | None:
        self.following.append(target)
        try:
            return self.inputs(target, raw).get(name) or Muted(target)
        finally:
            self.following.pop()

    def _into_instance(self, raw: _Raw, target: str, link: Link, path: str, socket: str | None) -> Bound | None:
        net = self.binder.workflow.graphs.get(raw.node.type[1:])
        if net is None:
            return None
        name = link.output or (next(iter(net.outputs)) if len(net.outputs) == 1 else "")
        inner = net.outputs.get(name)
        if raw.node.mode == "bypass":
            return Muted(target)
        if inner is None:
            self._no_output(link, net.outputs, path, socket)
            return None
        node, _, output = inner.partition(".")
        self.following.append(target)
        try:
            return self.link(Link(node, output), target + "/", path, socket)
        finally:
            self.following.pop()

    def _output(self, raw: _Raw, target: str, link: Link, path: str, socket: str | None) -> str | None:
        spec = raw.spec
        assert spec is not None
        name = raw.renamed.get(link.output, link.output)
        if raw.node.type in ("map", "fold"):
            net = self.binder.workflow.graphs.get(raw.node.body.removeprefix("#"))
            known: Sequence[str] = list(net.outputs) if net else [name]
        else:
            known = [out.name for out in spec.outputs]
        if not name and len(known) == 1:
            return known[0]
        if name in known:
            return name
        self._no_output(link, known, path, socket)
        return None

    def _no_output(self, link: Link, known: Any, path: str, socket: str | None) -> None:
        hint = did_you_mean(link.output, known)
        shown = ", ".join(known) or "none"
        if link.output:
            message = f"'{link.node}' has no output '{link.output}'.{hint}"
        else:
            message = f"'{link.node}' has several outputs; the wire must name one"
        self.binder.bad("graph.unknown_output", path, message, socket=socket, mend=Mend(f"its outputs are: {shown}"))


def _substitute(kind: Type, bound: Mapping[str, Type]) -> Type:
    if kind.variable:
        return bound.get(kind.name, ANY)
    if kind.args:
        return dataclasses.replace(kind, args=tuple(_substitute(arg, bound) for arg in kind.args))
    return kind


def _flow_spec(kind: str) -> NodeSpec:
    return _FLOW_SPECS[kind]


_T = Type("T", variable=True)
_FLOW_SPECS: Mapping[str, NodeSpec] = {
    "reroute": NodeSpec("reroute", "", "Reroute", "A bend in a wire.", (Input("value", _T),), (Output("value", _T),)),
    "switch": NodeSpec(
        "switch",
        "",
        "Switch",
        "Passes the chosen option on; the others do not run. `choose` is an index, a name, or true/false for 1/0.",
        (Input("choose", ANY, default=0), Input("options", _T, gather="list"), Input("named", _T, gather="named")),
        (Output("value", _T),),
        light=True,
    ),
    "map": NodeSpec("map", "", "Map", "Runs a graph once for each item of a list.", (), (), light=True),
    "fold": NodeSpec("fold", "", "Fold", "Runs a graph again and again on its own outputs.", (), (), light=True),
}


def flow_specs() -> Mapping[str, NodeSpec]:
    """The engine's own nodes, for listings and docs."""
    return _FLOW_SPECS


def unknown_target(graph: Graph, target: str) -> WeftError:
    """The error for a target that is neither a node nor an output of the graph."""
    known = [*graph.outputs, *graph.steps]
    return fail(
        "graph.target",
        f"there is no node or output '{target}'.{did_you_mean(target, known)}",
        mend=f"outputs: {', '.join(graph.outputs) or 'none'}",
    )
