"""Inputs: each source against its socket – type, value, number of wires – with the mend where it does not fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from engine.errors import Mend, Problem, WeftError, Where
from engine.graph.bound import Bound, Const, Free, Keyed, Out, Several
from engine.graph.layout import Layout, Raw
from engine.node import Input, NodeSpec, coerce
from engine.sockets import ANY, Type, fit


class Inputs(Layout):
    """Checks inputs."""

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
        raw: Raw,
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
        raw: Raw,
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
        raw: Raw,
        item: Input,
        bound: Bound,
        types: Mapping[tuple[str, str], Type],
        free_types: Mapping[str, Type],
        bound_vars: dict[str, Type],
    ) -> Bound | None:
        if type(bound) is Const:
            if not item.typed and bound.value is not None:
                self.bad("graph.value", path, f"'{item.name}' takes a wire, not a typed value", socket=item.name)
                return None
            try:
                value = coerce(item, bound.value, bound_vars.get(item.type.name))
                return bound if value is bound.value else Const(value)
            except WeftError as error:
                self.problems.extend(problem.at(path=path) for problem in error.problems)
                return None
        if not isinstance(bound, Out) and isinstance(bound, Several | Keyed):
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
        if item.type.variable:  # what the node's other wires have made of it
            item = dataclasses.replace(item, type=bound_vars.get(item.type.name, item.type))
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
        takes = next(i.name for i in spec.inputs if i.wired and i.required and i.type.name == source.name)
        gives = next(out.name for out in spec.outputs if out.type == item.type.required)
        between = [f"{bound.path}.{bound.output}", f"{path}.{item.name}"]
        insert = {"type": spec.id, "between": between, "input": takes, "output": gives}
        if bound.path.rpartition("/")[0] != path.rpartition("/")[0]:
            return Mend(f"put '{spec.id}' between them")  # the wire crosses into an instance: not one edit
        return Mend(f"insert '{spec.id}' between them", ({"insert": insert},))

    @staticmethod
    def _type_of(bound: Bound, types: Mapping[tuple[str, str], Type], free_types: Mapping[str, Type]) -> Type:
        if isinstance(bound, Out):
            return types.get((bound.path, bound.output), ANY)
        if isinstance(bound, Free):
            return free_types.get(bound.name, ANY)
        return ANY
