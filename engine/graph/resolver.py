"""Resolver: follows wires through instances, reroutes and bypassed nodes to the output that really makes the value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.errors import Mend, did_you_mean
from engine.graph.bound import Bound, Const, Free, Keyed, Muted, Out, Several
from engine.graph.layout import Carried, Layout, Raw
from engine.workflow import Link, Many, Source, Value


class Resolver:
    """Knows the sources of every node of one laid-out graph."""

    def __init__(self, binder: Layout, raws: Mapping[str, Raw], free: Mapping[tuple[str, str], str]) -> None:
        self.binder = binder
        self.raws = raws
        self.free = free
        self.known: dict[str, dict[str, Bound]] = {}
        self.following: dict[str, None] = {}  # the nodes looked through at the moment, outermost first

    @staticmethod
    def transparent(raw: Raw) -> bool:
        """Does the node leave no trace: a reroute, or bypassed?"""
        return raw.node.type == "reroute" or raw.node.mode == "bypass"

    def inputs(self, path: str, raw: Raw) -> dict[str, Bound]:
        """The sources of a node's inputs, as far as they are wired, typed or given from outside."""
        found = self.known.get(path)
        if found is not None:
            return found
        found = {}
        own = self.free or raw.given
        for name, source in raw.node.inputs.items():
            if not own or (name not in raw.given and (path, name) not in self.free):
                bound: Bound | None
                if type(source) is Value:
                    bound = Const(source.value)
                elif type(source) is Link:
                    bound = self.link(source, raw.prefix, path, name)
                else:
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
        """What an instance was handed for one of its parameters, read in the net it was written in."""
        if isinstance(source, Free):
            return source
        if isinstance(source, Value) and isinstance(source.value, Carried):
            return self.given(source.value.source, source.value.prefix, path, name)
        return self.source(source, prefix, path, name)

    def source(self, source: Source, prefix: str, path: str, socket: str) -> Bound | None:
        """One input as written, bound; None when it leads nowhere (a problem is noted)."""
        if isinstance(source, Value):
            return Const(source.value)
        if isinstance(source, Link):
            return self.link(source, prefix, path, socket)
        if isinstance(source, Many):
            several = [self.source(item, prefix, path, socket) for item in source.items]
            return Several(tuple(item for item in several if item is not None))
        named = [(name, self.source(item, prefix, path, socket)) for name, item in source.items]
        return Keyed(tuple((name, item) for name, item in named if item is not None))

    def link(self, link: Link, prefix: str, path: str, socket: str | None) -> Bound | None:
        """Follow a wire to the output that makes the value."""
        target = prefix + link.node
        raw = self.raws.get(target)
        if raw is None:
            names = [name.removeprefix(prefix) for name in self.raws if name.startswith(prefix)]
            message = f"the wire comes from '{link.node}', which is not there.{did_you_mean(link.node, names)}"
            edits = ({"unset": f"{path}.{socket}"},) if socket else ()
            self.binder.bad("graph.link", path, message, socket=socket, mend=Mend("wire it anew or remove it", edits))
            return None
        mode, kind = raw.node.mode, raw.node.type
        if mode == "mute":
            return Muted(target)
        if target in self.following:
            row = list(self.following)
            self.binder.circle([target, *reversed(row[row.index(target) + 1 :])])
            return None
        if kind[0] == "#":
            return self._into_instance(raw, target, link, path, socket)
        if raw.spec is None:
            return None
        if kind == "reroute":
            return self._through(target, raw, "value")
        output = self._output(raw, target, link, path, socket)
        if output is None:
            return None
        if mode == "bypass":
            source = dict(raw.spec.bypass).get(output)
            if source is None:
                return Muted(target)
            return self._through(target, raw, source)
        return Out(target, output)

    def _through(self, target: str, raw: Raw, name: str) -> Bound | None:
        if target not in self.known:
            self._row(target)
        return self.known[target].get(name) or Muted(target)

    def _row(self, target: str) -> None:
        """Resolve a row of reroutes and bypassed nodes from its far end: a row may be 10,000 long."""
        pending = [target]
        while pending:
            path = pending[-1]
            raw = self.raws[path]
            if path in self.known:
                pending.pop()
            elif path in self.following:  # what it reads is known by now
                self.inputs(path, raw)
                del self.following[path]
            else:
                self.following[path] = None
                pending.extend(self._transparent_before(raw))

    def _transparent_before(self, raw: Raw) -> Iterator[str]:
        for source in raw.node.inputs.values():
            if isinstance(source, Link):
                before = raw.prefix + source.node
                there = self.raws.get(before)
                if there is None or not self.transparent(there) or there.node.type.startswith("#"):
                    continue
                if before not in self.known and before not in self.following:
                    yield before

    def _into_instance(self, raw: Raw, target: str, link: Link, path: str, socket: str | None) -> Bound | None:
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
        self.following[target] = None
        try:
            return self.link(Link(node, output), target + "/", path, socket)
        finally:
            del self.following[target]

    def _output(self, raw: Raw, target: str, link: Link, path: str, socket: str | None) -> str | None:
        spec = raw.spec
        assert spec is not None
        name = raw.renamed.get(link.output, link.output)
        if len(spec.outputs) == 1 and name in ("", spec.outputs[0].name):
            return spec.outputs[0].name
        if raw.node.type in ("map", "fold"):
            net = self.binder.workflow.graphs.get(raw.node.body.removeprefix("#"))
            known: Sequence[str] = list(net.outputs) if net else [name]
        else:
            known = [out.name for out in spec.outputs]
        # A node may gain outputs in a later release: a wire that names none means the first, as it always did.
        if not name and known and (len(known) == 1 or raw.node.type not in ("map", "fold")):
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
