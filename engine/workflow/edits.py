"""Edits: the document commands of a mend, applied to a workflow.

The editor's button, `weft check` and the tests do the same thing with them. A path is one that problems name: a node, a
node inside an instance (`hires/denoise`, which is a node of the graph that `hires` is an instance of), or a node of a
body (`#each/make`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from engine.errors import fail
from engine.workflow.data import Link, Net, Node, Value, Workflow

Change = Callable[[Net, str], Net]


def apply_edits(workflow: Workflow, edits: Iterable[Mapping[str, Any]]) -> Workflow:
    """The workflow after the edits of a mend; a `file.shape` error for an edit that leads nowhere."""
    for edit in edits:
        workflow = _apply(workflow, edit)
    return workflow


def _apply(workflow: Workflow, edit: Mapping[str, Any]) -> Workflow:
    if "set" in edit:
        return _input(workflow, edit["set"], lambda node, name: _with(node, name, Value(edit["value"])))
    if "wire" in edit:
        source, _, output = edit["from"].rpartition(".")
        link = Link(source.rpartition("/")[2], output)
        return _input(workflow, edit["wire"], lambda node, name: _with(node, name, link))
    if "unset" in edit:
        return _input(workflow, edit["unset"], _without)
    if "remove" in edit:
        return _at(workflow, edit["remove"], _removed)
    if "insert" in edit:
        return _insert(workflow, edit["insert"])
    if "put" in edit:
        return _put(workflow, edit["put"])
    raise fail("file.shape", f"an edit is one of set, wire, unset, remove, insert, put; this one is {', '.join(edit)}")


def _with(node: Node, name: str, source: Link | Value) -> Node:
    return replace(node, inputs={**node.inputs, name: source})


def _without(node: Node, name: str) -> Node:
    return replace(node, inputs={key: source for key, source in node.inputs.items() if key != name})


def _removed(net: Net, name: str) -> Net:
    return replace(net, nodes={key: node for key, node in net.nodes.items() if key != name})


def _input(workflow: Workflow, target: str, change: Callable[[Node, str], Node]) -> Workflow:
    path, _, socket = target.rpartition(".")

    def changed(net: Net, name: str) -> Net:
        return replace(net, nodes={**net.nodes, name: change(net.nodes[name], socket)})

    return _at(workflow, path, changed)


def _insert(workflow: Workflow, what: Mapping[str, Any]) -> Workflow:
    """A node between the two ends of a wire: it takes what came and gives what is wanted."""
    source, target = what["between"]
    path, _, socket = target.rpartition(".")

    def put(net: Net, name: str) -> Net:
        new = _free(net, what["type"])
        before, _, output = source.rpartition(".")
        made = Node(what["type"], {what["input"]: Link(before.rpartition("/")[2], output)})
        reader = _with(net.nodes[name], socket, Link(new, what.get("output", "")))
        return replace(net, nodes={**net.nodes, new: made, name: reader})

    return _at(workflow, path, put)


def _put(workflow: Workflow, what: Mapping[str, Any]) -> Workflow:
    """A node before a socket, with what stood there as its own input; or behind a node, for all who read from it."""
    path, _, socket = (what.get("before") or what["behind"]).rpartition(".")
    if "before" in what:
        return _at(workflow, path, lambda net, name: _before(net, name, socket, what))
    return _at(workflow, path, lambda net, name: _behind(net, name, socket, what))


def _before(net: Net, name: str, socket: str, what: Mapping[str, Any]) -> Net:
    held, new = net.nodes[name].inputs.get(socket), _free(net, what["type"])
    made = Node(what["type"], {**_literals(what), **({} if held is None else {what["input"]: held})})
    reader = _with(net.nodes[name], socket, Link(new, what["output"]))
    old, taker = f"{name}.{socket}", f"{new}.{what['input']}"
    parameters = {
        key: replace(parameter, to=tuple(taker if to == old else to for to in parameter.to))
        for key, parameter in net.parameters.items()
    }
    return replace(net, nodes={**net.nodes, new: made, name: reader}, parameters=parameters)


def _behind(net: Net, name: str, socket: str, what: Mapping[str, Any]) -> Net:
    source, nodes = net.nodes[name].inputs.get(socket), dict(net.nodes)
    inputs, beside = _literals(what), what.get("with")
    if beside is not None:
        helper = _free(net, beside["type"])
        nodes[helper] = Node(beside["type"], _literals(beside))
        inputs[beside["into"]] = Link(helper, beside.get("output", ""))
    new = _free(replace(net, nodes=nodes), what["type"])
    for passed in what["passes"] if isinstance(source, Link) else ():
        old = Link(source.node if isinstance(source, Link) else "", passed)
        for reader, node in list(nodes.items()):
            swapped = {key: Link(new, passed) if given == old else given for key, given in node.inputs.items()}
            if swapped != dict(node.inputs):
                nodes[reader] = replace(node, inputs=swapped)
                inputs[passed] = old
    return replace(net, nodes={**nodes, new: Node(what["type"], inputs)})


def _literals(what: Mapping[str, Any]) -> dict[str, Any]:
    return {key: Value(value) for key, value in what.get("inputs", {}).items()}


def _free(net: Net, type: str) -> str:
    """A name that no node has yet: the verb, with a number where it is taken."""
    stem = type.rpartition(".")[2]
    names = (stem, *(f"{stem} {index}" for index in range(2, len(net.nodes) + 3)))
    return next(one for one in names if one not in net.nodes)


def _at(workflow: Workflow, path: str, change: Change) -> Workflow:
    """Change the net in which the last node of a path stands."""
    steps = path.split("/")
    graph = ""
    if steps[0].startswith("#"):
        graph = steps.pop(0)[1:]
    while True:
        net: Net | None = workflow.graphs.get(graph) if graph else workflow
        if net is None or not steps or steps[0] not in net.nodes:
            raise fail("file.shape", f"the edit leads to '{path}', which is not there", mend="check the workflow anew")
        if len(steps) == 1:
            break
        graph = net.nodes[steps.pop(0)].type.removeprefix("#")
    changed = change(net, steps[0])
    if not graph:
        return replace(workflow, nodes=changed.nodes, parameters=changed.parameters)
    return replace(workflow, graphs={**workflow.graphs, graph: changed})
