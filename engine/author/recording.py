"""Recording: one graph while it is written – wires in the place of values, parameters, and the nodes so far."""

from __future__ import annotations

import typing
from collections import namedtuple
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn, Protocol

from engine import workflow as files
from engine.author.calls import bind_arguments, bound_type, literal, wrong
from engine.node import Input, NodeSpec, Recorder, plain_default
from engine.registry import Registry
from engine.sockets import Type, fit, list_of
from engine.workflow import Link, Many, Named, Net, Node, Parameter, Source, Value
from engine.workflow.draft import free_name


class Owner(Protocol):
    """The workflow that a graph is part of."""

    specs: dict[str, NodeSpec]

    @property
    def registry(self) -> Registry:
        """Every node that may be meant."""


class Wire:
    """What a node will give: stands in its place while the graph is written, and has no value to look at."""

    def __init__(self, net: Recording, node: str, output: str, type: Type) -> None:
        self._net, self._node, self._output, self._type = net, node, output, type
        net.wires.append(self)

    @property
    def net(self) -> Recording:
        """The graph that it is part of."""
        return self._net

    def __repr__(self) -> str:
        return f"<wire {self._node}.{self._output}: {self._type}>"

    def _no_value(self, what: str) -> NoReturn:
        mend = "do it with a node; for each item of a list: w.map(function, ...)"
        wrong(f"{self!r} has no value while the graph is written: {what}", code="graph.value", mend=mend)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        self._no_value(f"'.{name}' cannot be read")

    def __bool__(self) -> bool:
        self._no_value("it cannot decide an 'if'")

    def __iter__(self) -> Iterator[Any]:
        self._no_value("it cannot be gone through")

    def __len__(self) -> int:
        self._no_value("its length is not known")

    def __getitem__(self, key: object) -> Any:
        self._no_value("it has no items yet")


class Knob:
    """A parameter while the graph is written: sets whatever input it is passed to."""

    def __init__(self, net: Recording, name: str, default: Any, has_default: bool, type: Type) -> None:
        self.net, self.name, self.default, self.has_default, self.type = net, name, default, has_default, type

    def __repr__(self) -> str:
        return f"<parameter {self.name}>"


@dataclass
class Setting:
    """What is gathered of a parameter."""

    knob: Knob
    to: list[str]
    label: str
    required: bool
    extra: dict[str, Any]

    def written(self) -> Parameter:
        """As the file holds it."""
        return Parameter(tuple(self.to), None, False, self.required, self.label, self.extra)


class Recording(Recorder):
    """One graph being written: the workflow itself, or the body of a map."""

    def __init__(self, owner: Owner, around: Recording | None = None) -> None:
        self.owner = owner
        self.around = around
        self.captured: dict[str, tuple[Wire | Knob, Knob]] = {}
        self.nodes: dict[str, Node] = {}
        self.settings: dict[str, Setting] = {}
        self.outputs: dict[str, str] = {}
        self.wires: list[Wire] = []

    def net(self) -> Net:
        """The graph as data."""
        settings = {name: setting.written() for name, setting in self.settings.items()}
        return Net(dict(self.nodes), settings, dict(self.outputs))

    # -- calls

    def call(self, spec: NodeSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Add the node; wires in the shape of its result."""
        given = {name: self._inside(value) for name, value in bind_arguments(spec, args, kwargs).items()}
        name = free_name(spec.id.rpartition(".")[2], self.nodes)
        variables: dict[str, Type] = {}
        inputs: dict[str, Source] = {}
        for item in spec.inputs:
            if isinstance(given.get(item.name), Knob):
                self._knob(spec, name, item, given[item.name], inputs)
            elif item.name in given:
                inputs[item.name] = self._input(spec, item, given[item.name], variables)
            elif item.required:
                wrong(f"'{spec.id}' needs '{item.name}': {item.type}", code="graph.missing_input", socket=item.name)
        self.nodes[name] = Node(spec.id, inputs, spec.version)
        self.owner.specs[spec.id] = spec
        outs = [Wire(self, name, out.name, bound_type(out.type, variables)) for out in spec.outputs]
        return shaped(spec, outs)

    def _inside(self, value: Any) -> Any:
        """What a body takes from the graph around it becomes a parameter of its own; anything else as it is."""
        if isinstance(value, Wire | Knob):
            return self._capture(value) if value.net is not self and self.around is not None else value
        if isinstance(value, list):
            return [self._inside(each) for each in value]
        if isinstance(value, tuple) and not hasattr(value, "_fields"):
            return tuple(self._inside(each) for each in value)
        return {name: self._inside(each) for name, each in value.items()} if isinstance(value, dict) else value

    def _capture(self, value: Wire | Knob) -> Knob:
        assert self.around is not None
        if value.net is not self.around and self.around.around is not None:
            value = self.around._capture(value)
        if value.net is not self.around:
            wrong(f"{value!r} belongs to another workflow", code="graph.value")
        for known, knob in self.captured.values():
            if known is value:
                return knob
        name = value.name if isinstance(value, Knob) else f"{value._node}_{value._output}"
        label = free_name(name, self.settings)
        knob = Knob(self, label, None, False, value.type if isinstance(value, Knob) else value._type)
        self.settings[label] = Setting(knob, [], "", True, {})
        self.captured[label] = (value, knob)
        return knob

    def _input(self, spec: NodeSpec, item: Input, value: Any, variables: dict[str, Type]) -> Source:
        one = replace(item, gather="")
        if item.gather == "list":
            if len(value) == 1 and isinstance(value[0], Wire) and value[0]._type.name == "list":
                return self._source(spec, replace(one, type=list_of(item.type)), value[0], variables)
            return Many(tuple(self._source(spec, one, each, variables) for each in value))
        if item.gather == "named":
            return Named(tuple((name, self._source(spec, one, each, variables)) for name, each in value.items()))
        if item.type.name == "list" and isinstance(value, list | tuple) and any(isinstance(v, Wire) for v in value):
            inner = replace(one, type=item.type.args[0])
            return Many(tuple(self._source(spec, inner, each, variables) for each in value))
        return self._source(spec, one, value, variables)

    def _source(self, spec: NodeSpec, item: Input, value: Any, variables: dict[str, Type]) -> Source:
        if isinstance(value, Wire):
            return self._wire(spec, item, value, variables)
        if isinstance(value, Knob):
            return self._bend(spec, item, value)
        if isinstance(value, tuple) and hasattr(value, "_fields") and any(isinstance(v, Wire) for v in value):
            fields = ", ".join(f".{field}" for field in value._fields)
            wrong(f"'{item.name}' of '{spec.id}' got several wires at once", socket=item.name, mend=f"use {fields}")
        return Value(literal(item, value))

    def _wire(self, spec: NodeSpec, item: Input, wire: Wire, variables: dict[str, Type]) -> Link:
        if wire._net is not self:
            wrong(f"{wire!r} belongs to another workflow", socket=item.name)
        if not item.wired:
            mend = "give a value"
            wrong(f"'{item.name}' of '{spec.id}' is typed, no wire can end there", socket=item.name, mend=mend)
        answer = fit(wire._type, item.type, self.owner.registry.bases, variables)
        if not answer:
            makers = [found.id for found in self.owner.registry.converters(wire._type, item.type)[:2]]
            if answer.offer == "map":
                mend = "run it for each item: w.map(function, ...)"
            elif makers:
                mend = f"put '{makers[0]}' between them"
            else:
                mend = f"pass something that is {item.type}"
            message = f"'{item.name}' of '{spec.id}' takes {item.type}, but '{wire._node}' gives {wire._type}"
            wrong(message, socket=item.name, mend=mend)
        return Link(wire._node, wire._output)

    def _knob(self, spec: NodeSpec, node: str, item: Input, knob: Knob, inputs: dict[str, Source]) -> None:
        self._check_knob(spec, item, knob)
        if knob.has_default:
            inputs[item.name] = Value(literal(item, knob.default))
        self.settings[knob.name].to.append(f"{node}.{item.name}")

    def _bend(self, spec: NodeSpec, item: Input, knob: Knob) -> Link:
        """A parameter sets a whole input; where it is one of several values, a reroute that is wired there."""
        self._check_knob(spec, item, knob)
        setting = self.settings[knob.name]
        known = next((to for to in setting.to if self.nodes[to.rpartition(".")[0]].type == "reroute"), None)
        if known is None:
            name = free_name(knob.name, self.nodes)
            value = {"value": Value(literal(item, knob.default))} if knob.has_default else {}
            self.nodes[name] = Node("reroute", value)
            known = f"{name}.value"
            setting.to.append(known)
        return Link(known.rpartition(".")[0], "value")

    def _check_knob(self, spec: NodeSpec, item: Input, knob: Knob) -> None:
        if knob.net is not self:
            wrong(f"{knob!r} belongs to another workflow", socket=item.name)
        if not fit(knob.type, item.type, self.owner.registry.bases):
            message = f"'{item.name}' of '{spec.id}' takes {item.type}, but the parameter '{knob.name}' is {knob.type}"
            wrong(message, socket=item.name)

    # -- names and outputs

    def rename(self, wire: Wire, name: str) -> None:
        """Give the node that a wire comes from another name."""
        old = wire._node
        if old == name:
            return
        if name in self.nodes or not name or any(char in name for char in "./#"):
            why = "there is another node of this name" if name in self.nodes else "use one without '.', '/' and '#'"
            wrong(f"'{name}' cannot be the name of a node", code="graph.value", mend=why)

        def change(link: Link) -> Source:
            return Link(name, link.output) if link.node == old else link

        self.nodes = {
            (name if key == old else key): replace(
                node, inputs={socket: files.map_links(source, change) for socket, source in node.inputs.items()}
            )
            for key, node in self.nodes.items()
        }
        for setting in self.settings.values():
            setting.to = [name + to[len(old) :] if to.rpartition(".")[0] == old else to for to in setting.to]
        outputs = self.outputs.items()
        self.outputs = {k: name + to[len(old) :] if to.partition(".")[0] == old else to for k, to in outputs}
        for handed_out in self.wires:
            if handed_out._node == old:
                handed_out._node = name

    def output(self, name: str, value: object) -> Wire:
        """Make a wire one of the graph's results."""
        wires = [wire for wire in value if isinstance(wire, Wire)] if isinstance(value, tuple) else [value]
        if len(wires) != 1 or not isinstance(wires[0], Wire):
            several = ", ".join(f".{wire._output}" for wire in wires if isinstance(wire, Wire))
            mend = f"choose one of {several}" if several else "pass what a node function gave"
            wrong(f"the output '{name}' must be one wire", code="graph.value", mend=mend)
        wire = wires[0]
        if wire._net is not self:
            wrong(f"{wire!r} is not of this graph", code="graph.value", mend="a function for map gives what it made")
        self.outputs[name] = f"{wire._node}.{wire._output}"
        return wire

    def loose(self, node: str, label: str, value: Any) -> Source:
        """An input of a map: its type is checked when the graph is bound."""
        if isinstance(value, Knob):
            self.settings[value.name].to.append(f"{node}.{label}")
            return Value(plain_default(value.default))
        if isinstance(value, Wire):
            return Link(value._node, value._output)
        if isinstance(value, list | tuple) and any(isinstance(each, Wire) for each in value):
            return Many(tuple(self.loose(node, label, each) for each in value))
        return Value(plain_default(value))


def shaped(spec: NodeSpec, wires: Sequence[Wire]) -> Any:
    """The wires as the function would have given its result: alone, or as its NamedTuple."""
    if not wires:
        return None
    try:
        kind = typing.get_type_hints(spec.function).get("return")
    except (AttributeError, NameError, TypeError):  # a function inside a function: nobody can look it up
        kind = None
    if isinstance(kind, type) and issubclass(kind, tuple):
        return kind(*wires)
    if len(wires) == 1:
        return wires[0]
    return namedtuple("Outputs", [wire._output for wire in wires])(*wires)
