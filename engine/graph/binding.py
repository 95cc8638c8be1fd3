"""Binding: order, steps, loops. `Binder.graph` is the one pass that turns a net into a `Graph`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.errors import Mend, WeftError, did_you_mean
from engine.graph.bound import Bound, Const, Free, Graph, Keyed, Muted, Out, Several, Step, muted_by, outs
from engine.graph.flow import FLOW, flow_spec, substitute
from engine.graph.inputs import Inputs
from engine.graph.layout import Raw
from engine.graph.resolver import Resolver
from engine.node import MISSING, Input, Output, coerce
from engine.registry import Registry
from engine.sockets import ANY, Type, fit, list_of
from engine.workflow import Link, Net, Workflow

MAX_FOLD = 10_000


class Binder(Inputs):
    """One pass of binding."""

    def __init__(self, workflow: Workflow, registry: Registry) -> None:
        """Nothing is bound yet; bodies of map and fold are bound once each."""
        super().__init__(workflow, registry)
        self.bodies: dict[str, Graph] = {}
        self._defaults: dict[int, Bound] = {}  # by identity: the registry keeps its inputs

    def graph(self, net: Net, inside: frozenset[str], name: str = "", *, as_body: bool = False) -> Graph:
        """The bound graph of a net; `inside` are the graphs it stands in, `name` its own when it is a body."""
        as_body = as_body or bool(name)
        place: tuple[str | int, ...] = ("graphs", name) if name else ()
        raws: dict[str, Raw] = {}
        free = self._free(net) if as_body else {}
        self._expand(net, "", place, inside, raws, {spot: Free(label) for spot, label in free.items()}, "")
        resolver = Resolver(self, raws, free)
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
            if bound is not None and not self._silent(bound, muted):
                outputs[label] = bound
                if isinstance(bound, Out) and (bound.path, bound.output) in types:
                    output_types[label] = types[bound.path, bound.output]
                elif isinstance(bound, Free):
                    output_types[label] = free_types.get(bound.name, ANY)
        self._check_parameters(net, raws, place)
        defaults = self._unless_given(net) if as_body else {}
        return Graph(steps, outputs, output_types, free_types, muted, tuple(self.lints), defaults)

    # -- order

    def _order(self, raws: Mapping[str, Raw], resolver: Resolver) -> list[str]:
        """The paths so that every node stands after those it reads (Kahn 1962); a circle is a problem and no order."""
        readers: dict[str, list[str]] = {path: [] for path in raws}
        unread = dict.fromkeys(raws, 0)  # wires that come from nodes not placed yet
        for path, raw in raws.items():
            if raw.node.type.startswith("#"):
                continue
            for bound in resolver.inputs(path, raw).values():
                if type(bound) is Const:
                    continue
                for out in (bound,) if type(bound) is Out else outs(bound):
                    readers[out.path].append(path)
                    unread[path] += 1
        order = [path for path, count in unread.items() if not count]
        for path in order:  # grows while it is walked
            for reader in readers[path]:
                unread[reader] -= 1
                if not unread[reader]:
                    order.append(reader)
        if len(order) == len(raws):
            return order
        left = {path: [reader for reader in readers[path] if unread[reader]] for path in raws if unread[path]}
        self.circle(_circle(left))
        return []

    # -- one step

    def _step(
        self,
        path: str,
        raw: Raw,
        resolver: Resolver,
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
        for name in () if given.keys() <= by_name.keys() else given:
            if name not in by_name:
                hint = did_you_mean(name, by_name)
                known = ", ".join(by_name) or "none"
                message = f"'{raw.node.type}' has no input '{name}'.{hint}"
                mend = Mend(f"its inputs are: {known}", ({"unset": f"{path}.{name}"},))
                self.bad("graph.unknown_input", path, message, socket=name, mend=mend)
        blame: str | None = None
        for item in spec.inputs:
            bound = given.get(item.name)
            plain = type(bound) is Const or (type(bound) is Out and not muted)
            if bound is not None and not plain and (by := self._silent(bound, muted)):
                if item.required or not isinstance(bound, Out | Muted):
                    blame = blame or by
                    continue
                bound = None
            if bound is None:
                if item.required:
                    # A wire that was written but leads nowhere has been told of: its echo here helps nobody.
                    if item.name not in raw.node.inputs and item.name not in raw.given:
                        self._missing(path, spec, item)
                else:
                    sources.append((item.name, self._default(item)))
                continue
            if type(bound) is Out and item.wired and types.get((bound.path, bound.output)) == item.type and item.plain:
                sources.append((item.name, bound))
                continue
            made = self._input(path, raw, item, bound, types, free_types, bound_vars)
            if made is not None:
                sources.append((item.name, made))
        if blame is not None:
            muted[path] = blame
            return None
        for out in spec.outputs:
            kind = out.type
            types[path, out.name] = substitute(kind, bound_vars) if kind.variable or kind.args else kind
        flow = raw.node.type if raw.node.type in FLOW else ""
        return Step(path, spec, tuple(sources), flow)

    @staticmethod
    def _silent(bound: Bound, muted: Mapping[str, str]) -> str | None:
        """The muted node because of which nothing comes from a source."""
        if muted:
            return muted_by(bound) or next((muted[out.path] for out in outs(bound) if out.path in muted), None)
        return None if type(bound) is Out else muted_by(bound)

    def _default(self, item: Input) -> Bound:
        """What an input has that nothing was given to; one object for all nodes of a kind."""
        made = self._defaults.get(id(item))
        if made is None:
            if item.gather:
                made = Several(()) if item.gather == "list" else Keyed(())
            else:
                made = Const(None if item.default is MISSING else item.default)
            self._defaults[id(item)] = made
        return made

    # -- map and fold

    def _loop(
        self,
        path: str,
        raw: Raw,
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
        blame = next((by for b in given.values() if (by := self._silent(b, muted))), None)
        if blame:
            muted[path] = blame
            return None
        body = self.bodies.get(name)
        if body is None:
            body = self.bodies[name] = self._body(net, inside | {name}, name)
        sources: list[tuple[str, Bound]] = []
        mapped: list[str] = []
        for label, bound in given.items():
            if label not in net.parameters:
                hint = did_you_mean(label, net.parameters)
                known = ", ".join(net.parameters) or "none"
                message = f"'#{name}' has no parameter '{label}'.{hint}"
                self.bad(
                    "graph.unknown_input",
                    path,
                    message,
                    socket=label,
                    mend=Mend(f"it has: {known}", ({"unset": f"{path}.{label}"},)),
                )
                continue
            want = body.parameters.get(label, ANY)
            over, made = self._loop_input(path, raw, label, want, bound, kind, types, free_types)
            if over:
                mapped.append(label)
            if made is not None:
                sources.append((label, made))
        for label in net.parameters:
            if label not in given and label in body.defaults:
                sources.append((label, Const(body.defaults[label])))
            elif label not in given and label not in raw.node.inputs:
                self.bad("graph.missing_input", path, f"'{label}' needs a value or a wire", socket=label)
        # A wire that leads nowhere has been told of.
        if kind == "map" and not mapped and raw.node.inputs.keys() <= given.keys():
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
        spec = dataclasses.replace(flow_spec(kind), outputs=outputs)
        return Step(path, spec, tuple(sources), kind, body, until, turns, tuple(mapped))

    def _body(self, net: Net, inside: frozenset[str], name: str) -> Graph:
        """Bind a body on its own: its nodes are called `#name/node`, or they would be taken for the workflow's."""
        problems, places = self.problems, self.places
        self.problems, self.places = [], {}
        body = self.graph(net, inside, name)

        def under(path: str | None) -> str:
            return path if path and path.startswith("#") else f"#{name}/{path}" if path else f"#{name}"

        places.update({under(path): spot for path, spot in self.places.items()})
        for problem in self.problems:
            where = dataclasses.replace(problem.where, path=under(problem.where.path))
            mend = problem.mend and dataclasses.replace(problem.mend, edits=_moved(problem.mend.edits, under))
            problems.append(dataclasses.replace(problem, where=where, mend=mend))
        self.problems, self.places = problems, places
        return body

    def _loop_input(
        self,
        path: str,
        raw: Raw,
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
                # What is only known when it is there is gone over if it turns out to be a list.
                over = self._type_of(bound, types, free_types).name in ("list", "any")
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


def _moved(edits: Sequence[Mapping[str, Any]], under: Callable[[str | None], str]) -> tuple[Mapping[str, Any], ...]:
    """The edits of a mend, with their paths under the body they stand in."""
    moved = []
    for edit in edits:
        paths = ("set", "wire", "unset", "remove", "from")
        made = {key: under(value) if key in paths else value for key, value in edit.items()}
        if "insert" in edit:
            made["insert"] = {**edit["insert"], "between": [under(end) for end in edit["insert"]["between"]]}
        if "put" in edit:
            spot = {key: under(edit["put"][key]) for key in ("before", "behind") if key in edit["put"]}
            made["put"] = {**edit["put"], **spot}
        moved.append(made)
    return tuple(moved)


def _circle(readers: Mapping[str, Sequence[str]]) -> list[str]:
    """The nodes of one circle."""
    import networkx  # costs 0.15 s: only for who needs it

    return [edge[0] for edge in networkx.find_cycle(networkx.DiGraph(readers))]
