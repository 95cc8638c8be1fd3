"""Layout: the nodes of a workflow, with every instance expanded in its place and old nodes brought to today's version.

Also where problems are gathered: binding never stops at the first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.errors import Mend, Problem, Where, did_you_mean
from engine.graph.bound import Bound
from engine.graph.flow import FLOW, flow_spec
from engine.node import MISSING, Input, NodeSpec, resolve
from engine.registry import Registry
from engine.sockets import ANY, Type, list_of
from engine.workflow import Net, Node, Source, Value, Workflow

MAX_INSTANCES_DEEP = 32


@dataclass(slots=True)
class Raw:
    """A node before its wires are followed: where it stands in the file, and in which net."""

    node: Node
    spec: NodeSpec | None
    net: Net
    prefix: str
    place: tuple[str | int, ...]
    renamed: Mapping[str, str]
    given: dict[str, Bound | Source] = field(default_factory=dict)  # inputs set from outside by an instance
    given_prefix: str = ""


@dataclass(frozen=True)
class Carried:
    """A source handed into an instance, with the prefix of the net it was written in."""

    source: Bound | Source
    prefix: str


class Layout:
    """Lays out nets; keeps what is known so far and gathers problems."""

    def __init__(self, workflow: Workflow, registry: Registry) -> None:
        """Nothing is laid out yet."""
        self.workflow = workflow
        self.registry = registry
        self.problems: list[Problem] = []
        self.lints: list[Problem] = []
        self.places: dict[str, tuple[str | int, ...]] = {}

    # -- problems

    def bad(self, code: str, path: str, message: str, *, socket: str | None = None, mend: Mend | None = None) -> None:
        """Note a problem and go on."""
        self.problems.append(Problem(code, message, Where(path=path or None, socket=socket), mend))

    def circle(self, ring: Sequence[str]) -> None:
        """Note that these nodes read each other in a circle; a long one is told by its ends."""
        names = list(ring) if len(ring) <= 12 else [*ring[:6], f"... {len(ring) - 9} more ...", *ring[-3:]]
        shown = " -> ".join([*names, ring[0]])
        self.bad("graph.cycle", ring[0], f"the wires form a circle: {shown}", mend=Mend("cut one of these wires"))

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

    def _expand(
        self,
        net: Net,
        prefix: str,
        place: tuple[str | int, ...],
        inside: frozenset[str],
        raws: dict[str, Raw],
        given: Mapping[tuple[str, str], Source | Bound],
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
                raw = Raw(node, None, net, prefix, spot, {})
                self._take(raw, name, given, given_prefix)
                raws[path] = raw
                if not node.mode:  # nothing inside a muted instance runs, its saves neither
                    self._expand_instance(node, path, inside, raws, raw)
                continue
            node, spec, renamed = self._migrate(path, node)
            raw = Raw(node, spec, net, prefix, spot, renamed)
            self._take(raw, name, given, given_prefix)
            raws[path] = raw

    @staticmethod
    def _take(raw: Raw, name: str, given: Mapping[tuple[str, str], Source | Bound], given_prefix: str) -> None:
        if given:
            raw.given = {socket: source for (node, socket), source in given.items() if node == name}
            raw.given_prefix = given_prefix

    def _expand_instance(self, node: Node, path: str, inside: frozenset[str], raws: dict[str, Raw], raw: Raw) -> None:
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
        given: dict[tuple[str, str], Source | Bound] = {}
        for label, parameter in net.parameters.items():
            source = node.inputs.get(label)
            from_outside = raw.given.get(label)
            if from_outside is not None:
                source = Value(Carried(from_outside, raw.given_prefix))
            elif source is not None:
                source = Value(Carried(source, raw.prefix))
            elif parameter.has_default:
                source = Value(parameter.default)
            if source is not None:
                for target in parameter.to:
                    inner, _, socket = target.rpartition(".")
                    given[inner, socket] = source
        for label in node.inputs:
            if label not in net.parameters:
                hint = did_you_mean(label, net.parameters)
                known = ", ".join(net.parameters) or "none"
                mend = Mend(f"it has: {known}", ({"unset": f"{path}.{label}"},))
                message = f"'{node.type}' has no parameter '{label}'.{hint}"
                self.bad("graph.unknown_input", path, message, socket=label, mend=mend)
        self._expand(net, path + "/", ("graphs", name), inside | {name}, raws, given, raw.prefix)

    def _migrate(self, path: str, node: Node) -> tuple[Node, NodeSpec | None, Mapping[str, str]]:
        if node.type in FLOW:
            return node, flow_spec(node.type), {}
        spec = self.registry.get(node.type)
        if spec is None:
            message = f"no node is called '{node.type}'.{self.registry.suggest(node.type)}"
            pack_name = node.type.partition("/")[0] if "/" in node.type else "core"
            install = f"install the pack '{pack_name}' that it comes from, or " if pack_name != "core" else ""
            mend = Mend(f"{install}choose another node (weft nodes)")
            broken = [pack for pack in self.registry.packs if pack.problem and pack.name == pack_name]
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

    # -- parameters

    @staticmethod
    def _free(net: Net) -> dict[tuple[str, str], str]:
        """Which inputs of a body are given by which of its parameters."""
        free: dict[tuple[str, str], str] = {}
        for label, parameter in net.parameters.items():
            for target in parameter.to:
                node, _, socket = target.rpartition(".")
                free[node, socket] = label
        return free

    def _unless_given(self, net: Net) -> dict[str, Any]:
        """What a body's parameters are when nobody gives them: their default, what is typed in, the node's own."""
        found: dict[str, Any] = {}
        for label, parameter in net.parameters.items():
            if parameter.has_default:
                found[label] = parameter.default
                continue
            for target in () if parameter.required else parameter.to:
                node, _, socket = target.rpartition(".")
                typed = net.nodes[node].inputs.get(socket) if node in net.nodes else None
                item = self._find_input(target, "", net)
                if isinstance(typed, Value):
                    found[label] = typed.value
                elif typed is None and item is not None and not item.required:
                    found[label] = None if item.default is MISSING else item.default
                if label in found:
                    break
        return found

    def _free_types(self, net: Net, raws: Mapping[str, Raw]) -> dict[str, Type]:
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
        spec = flow_spec(node.type) if node.type in FLOW else self.registry.get(node.type)
        return spec.by_name.get(socket) if spec else None

    def _check_parameters(self, net: Net, raws: Mapping[str, Raw], place: tuple[str | int, ...]) -> None:
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
