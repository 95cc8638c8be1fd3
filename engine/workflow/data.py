"""The data of a workflow: links, values, nodes, parameters, nets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.errors import WeftError, Where, did_you_mean, fail
from engine.workflow.locate import locate

VERSION = 1
EXACT_INT = 2**53 - 1
MODES = ("", "mute", "bypass")


@dataclass(frozen=True, slots=True)
class Link:
    """A wire's far end: `{"from": "node.output"}`; without `.output` the node's only one."""

    node: str
    output: str = ""

    def __str__(self) -> str:
        return f"{self.node}.{self.output}" if self.output else self.node


@dataclass(frozen=True, slots=True)
class Value:
    """A literal typed into an input."""

    value: Any


@dataclass(frozen=True, slots=True)
class Many:
    """Several sources for one input, in order: `[{"from": "a.image"}, {"from": "b.image"}]`."""

    items: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Named:
    """Several sources for one input, by name: `{"a": {"from": "x.out"}, "b": 3}`."""

    items: tuple[tuple[str, Source], ...]


Source = Link | Value | Many | Named


@dataclass(frozen=True)
class Node:
    """A box in the graph, as written."""

    type: str
    inputs: Mapping[str, Source] = field(default_factory=dict)
    version: int | None = None
    mode: str = ""
    title: str = ""
    body: str = ""  # the graph that `map` and `fold` repeat, `#name`
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Parameter:
    """An input of the whole graph: which node inputs it sets, and how a form shows it."""

    to: tuple[str, ...]
    default: Any = None
    has_default: bool = False
    required: bool = False
    label: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)  # about, group, order, range, choices, ...


@dataclass(frozen=True)
class Net:
    """A graph: nodes, parameters, outputs."""

    nodes: Mapping[str, Node] = field(default_factory=dict)
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Origin:
    """Where a workflow was read from: a name for messages, and the text, to find lines in."""

    file: str
    text: str

    def where(self, path: Sequence[str | int]) -> Where:
        """The place of a path in the file."""
        spot = locate(self.text, path)
        return Where(self.file, *spot) if spot else Where(self.file)


@dataclass(frozen=True)
class Workflow(Net):
    """The file."""

    title: str = ""
    about: str = ""
    graphs: Mapping[str, Net] = field(default_factory=dict)
    requires: Mapping[str, Any] = field(default_factory=dict)
    view: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin | None = field(default=None, compare=False, repr=False)

    def net(self, name: str) -> Net | None:
        """The sub-graph `#name`."""
        return self.graphs.get(name.removeprefix("#"))

    def with_parameters(self, values: Mapping[str, Any]) -> Workflow:
        """The same workflow with parameters set (or, by `node.input`, any input); all unknown names at once."""
        nodes = dict(self.nodes)
        problems = []
        for name, value in values.items():
            if name in self.parameters:
                targets: tuple[str, ...] = self.parameters[name].to
            elif "." in name and name.rpartition(".")[0] in nodes:
                targets = (name,)
            else:
                known = [*self.parameters, *(f"{n}.{i}" for n, node in nodes.items() for i in node.inputs)]
                message = f"the workflow has no parameter '{name}'.{did_you_mean(name, known)}"
                offered = ", ".join(self.parameters) or "none; use node.input"
                problems.append(fail("graph.parameter", message, mend=f"parameters are: {offered}").problem)
                continue
            for target in targets:
                node_name, _, input_name = target.rpartition(".")
                if node_name in nodes:
                    old = nodes[node_name]
                    nodes[node_name] = replace(old, inputs={**old.inputs, input_name: Value(value)})
        if problems:
            raise WeftError(problems)
        return replace(self, nodes=nodes)

    def with_defaults(self, given: Mapping[str, Any] = {}) -> Workflow:
        """The same workflow with the parameters' defaults set, except for those in `given`."""
        values = {n: p.default for n, p in self.parameters.items() if p.has_default and n not in given}
        missing = [n for n, p in self.parameters.items() if p.required and not p.has_default and n not in given]
        if missing:
            raise WeftError(
                fail("graph.parameter", f"parameter '{name}' is required", mend=f"--set {name}=...").problem
                for name in missing
            )
        return self.with_parameters(values)

    def settled(self) -> Workflow:
        """The same workflow without defaults: its nodes hold the values, and nothing replaces them."""
        plain = Parameter(())
        kept = {
            name: replace(item, default=plain.default, has_default=False, required=False)
            for name, item in self.parameters.items()
        }
        return replace(self, parameters=kept)
