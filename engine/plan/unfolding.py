"""Unfolding: switch, map and fold become steps of their own as soon as it is known which, and how many."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from engine.errors import fail
from engine.graph import Bound, Graph, Keyed, Several
from engine.node import Input
from engine.plan.state import Live, Order, Scope
from engine.sockets import Ref


class Blocked(Exception):
    """A template waits for the content of cut-off outputs; control flow, never seen outside this room."""

    def __init__(self, blockers: frozenset[str]) -> None:
        self.blockers = blockers


class Failed(Exception):
    """A template would come from a step that cannot run; control flow, never seen outside this room."""

    def __init__(self, by: str) -> None:
        self.by = by


class Unfolding:
    """The part of the forward walk that makes steps of bodies."""

    spread: dict[str, int]  # maps that have unfolded, and into how many items

    @abstractmethod
    def _template(self, bound: Bound, scope: Scope, item: Input | None = None) -> Any:
        """What is known of a source."""

    @abstractmethod
    def _enter(self, graph: Graph, scope: Scope, order: Order, needed: set[str] | None = None) -> None:
        """Lay out the steps of a graph under a prefix and resolve each."""

    @abstractmethod
    def _want_step(self, path: str) -> None:
        """Make sure a step happens: effects in bodies are targets too."""

    def _switch(self, live: Live) -> None:
        sources = dict(live.step.sources)
        choose = self._template(sources["choose"], live.scope)
        if isinstance(choose, Ref):
            raise fail("node.refused", "'choose' must be a number, a name or true/false", socket="choose")
        named, options = sources.get("named"), sources.get("options")
        if isinstance(named, Keyed) and named.items:
            table: dict[Any, Bound] = dict(named.items)
        elif isinstance(options, Several):
            table = dict(enumerate(options.items))
        else:
            table = {}
        chosen = table.get(int(choose) if isinstance(choose, bool | float) else choose)
        if chosen is None:
            shown = ", ".join(map(str, table)) or "none"
            raise fail("node.refused", f"there is no option {choose!r}", socket="choose", mend=f"options are: {shown}")
        live.outputs = {"value": self._template(chosen, live.scope)}

    def _map(self, live: Live, inputs: dict[str, Any]) -> None:
        step = live.step
        body = step.body
        assert body is not None
        if not live.items:
            lists = {name: inputs[name] for name in step.mapped if isinstance(inputs[name], list | tuple)}
            if not lists:
                name = step.mapped[0]
                raise fail("node.refused", f"there is no list to go over: '{name}' is none", socket=name)
            lengths = {name: len(value) for name, value in lists.items()}
            if len(set(lengths.values())) > 1:
                shown = ", ".join(f"{name} has {length}" for name, length in lengths.items())
                raise fail("node.refused", f"the lists differ in length: {shown}", mend="give lists of one length")
            scopes = []
            for index in range(next(iter(lengths.values()))):
                free = {n: v[index] if n in lists else v for n, v in inputs.items()}
                scopes.append(Scope(f"{live.path}/{index}/", free))
            live.items = tuple(scopes)
            self.spread[live.path] = len(scopes)
            for index, scope in enumerate(scopes):
                self._enter(body, scope, (*live.order[:-1], 0, index))
                self._body_effects(body, scope)
        # Every blocker of every item, so that all items can be settled side by side.
        blockers: set[str] = set()
        outputs: dict[str, list[Any]] = {name: [] for name in body.outputs}
        for scope in live.items:
            for name, bound in body.outputs.items():
                try:
                    outputs[name].append(self._template(bound, scope))
                except Blocked as blocked:
                    blockers |= blocked.blockers
        if blockers:
            raise Blocked(frozenset(blockers))
        live.outputs = dict(outputs)

    def _fold(self, live: Live, inputs: dict[str, Any]) -> None:
        step = live.step
        body = step.body
        assert body is not None
        while True:
            if len(live.items) == live.turn:
                free = dict(inputs)
                if live.turn:
                    before = live.items[-1]
                    for name, bound in body.outputs.items():
                        if name in body.parameters:
                            free[name] = self._template(bound, before)
                scope = Scope(f"{live.path}/{live.turn}/", free)
                live.items = (*live.items, scope)
                self._enter(body, scope, (*live.order[:-1], 0, live.turn))
                self._body_effects(body, scope)
            scope = live.items[live.turn]
            done = live.turn + 1 >= step.turns
            if not done and step.until:
                done = bool(self._template(body.outputs[step.until], scope))
            if done:
                live.outputs = {name: self._template(bound, scope) for name, bound in body.outputs.items()}
                return
            live.turn += 1

    def _body_effects(self, body: Graph, scope: Scope) -> None:
        for path in body.targets:
            self._want_step(scope.prefix + path)
