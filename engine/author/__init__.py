"""Author: a workflow written in Python – node functions called inside `with Workflow()` wire a graph.

    with Workflow("A sphere") as w:
        prompt = w.parameter("prompt", "a red sphere")
        loaded = load.model("starter/unet")
        drawn = denoise.sample(loaded.model, text.encode(loaded.text_encoder, prompt), ...)
        w.output("image", vae.decode(loaded.vae, drawn.latent))

    w.save("sphere.json")                       # the file that the editor and the command line read
    result = w.run(prompt="a blue cube")        # the engine runs it, and only what changed the next time

Inside the block a call adds a node and gives back wires in the shape of its result: one wire, or the function's own
NamedTuple of wires. To a type checker they are what the function returns, so that wrong wiring is found before anything
runs; what it cannot see (a range, a choice) is a `WiringError` at the line of the call. Outside the block the same
functions just run.

Nodes are named after their verb in the order in which they are called: `sample`, `sample_2`; `w.name("hires", wire)`
gives another name. What a parameter is passed to, it sets.
"""

from __future__ import annotations

import sys
import threading
import typing
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import Token
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from engine import workflow as files
from engine.author.calls import WiringError, wrong
from engine.author.recording import Knob, Recording, Setting, Wire
from engine.errors import Problem, did_you_mean
from engine.node import RECORDER, NodeSpec, Recorder
from engine.registry import Registry, load_registry
from engine.sockets import ANY, TypeSpec, list_of, type_of
from engine.workflow import Net, Node
from engine.workflow.draft import free_name

if TYPE_CHECKING:
    from engine.plan import Plan
    from engine.session import Result, Session

__all__ = ["Wire", "WiringError", "Workflow"]

T = TypeVar("T")
R = TypeVar("R")
_RULES = ("about", "group", "order", "range", "choices")


class Workflow:
    """A workflow being written in Python; afterwards a file, and something to run."""

    def __init__(self, title: str = "", about: str = "") -> None:
        """An empty one."""
        self.title = title
        self.about = about
        self.specs: dict[str, NodeSpec] = {}
        self.graphs: dict[str, Net] = {}
        self._recording = Recording(self)
        self._current = self._recording
        self._tokens: list[Token[Recorder | None]] = []
        self._registry: Registry | None = None

    def __enter__(self) -> Workflow:
        """From here on a call of a node function adds a node."""
        self._tokens.append(RECORDER.set(self._recording))
        return self

    def __exit__(self, *exc: object) -> None:
        """Calls run again."""
        RECORDER.reset(self._tokens.pop())

    @property
    def registry(self) -> Registry:
        """Every node there is, and those that were called here without being in a pack."""
        if self._registry is None:
            self._registry = load_registry()
        known = self._registry
        if any(id not in known.nodes for id in self.specs):
            types = {**types_near(self.specs.values()), **known.types}
            self._registry = known = replace(known, nodes={**known.nodes, **self.specs}, types=types, _bases={})
        return known

    # -- writing

    @overload
    def parameter(self, name: str, default: T, /, *, label: str = ..., **rules: Any) -> T: ...
    @overload
    def parameter(self, name: str, /, *, of: type[T], label: str = ..., **rules: Any) -> T: ...
    def parameter(self, name: str, /, *default: Any, of: Any = None, label: str = "", **rules: Any) -> Any:
        """An input of the whole workflow; pass it to as many node inputs as it should set.

        With a default it is of the default's type; `of=str` says the type of one that has to be given. `rules` are
        what a form shows: `about`, `group`, `order`, `range=(low, high, step)`, `choices`.
        """
        recording = self._current
        if name in recording.settings:
            wrong(f"there is a parameter '{name}' already", code="graph.parameter")
        unknown = next((rule for rule in rules if rule not in _RULES), None)
        if unknown is not None:
            hint = did_you_mean(unknown, _RULES)
            wrong(f"a parameter has no '{unknown}'.{hint}", code="graph.parameter", mend=", ".join(_RULES))
        if not default and of is None:
            wrong(f"the parameter '{name}' needs a default or a type", code="graph.parameter", mend="of=str")
        try:
            kind = type_of(of if of is not None else type(default[0]))
        except TypeError:
            kind = ANY
        knob = Knob(recording, name, default[0] if default else None, bool(default), kind)
        extra = {key: list(value) if isinstance(value, tuple) else value for key, value in rules.items()}
        recording.settings[name] = Setting(knob, [], label, not default, extra)
        return knob

    def output(self, name: str, value: object) -> None:
        """Make what a node gives a result of the workflow."""
        self._current.output(name, value)

    def name(self, name: str, wire: T) -> T:
        """Give the node that made this wire (or this tuple of wires) a name; gives the wire back."""
        found = wire if isinstance(wire, Wire) else wire[0] if isinstance(wire, tuple) and wire else None
        if not isinstance(found, Wire):
            wrong(f"only a node can be called '{name}'", code="graph.value", mend="pass what a node function gave")
        found._net.rename(found, name)
        return wire

    def map(self, body: Callable[..., R], /, **inputs: Any) -> list[R]:
        """Run a function of nodes once for each item: `w.map(portrait, prompt=["a cube", "a sphere"])`.

        The function's parameters are given by name: a list (or a wire that carries one) is gone through, anything
        else is the same every time, and so is what the function takes from around it. It becomes a graph of the file,
        and each item is cached by its own value.
        """
        outer, name = self._current, free_name(getattr(body, "__name__", "body").strip("<>"), self.graphs)
        inner = Recording(self, outer)
        hints = typing.get_type_hints(body)
        arguments: dict[str, Any] = {}
        for label in signature(body).parameters:
            if label not in inputs:
                wrong(f"'{name}' needs '{label}'", code="graph.missing_input", socket=label)
            try:
                kind = type_of(hints.get(label, Any))
            except TypeError:
                kind = ANY
            knob = Knob(inner, label, None, False, kind)
            inner.settings[label] = Setting(knob, [], "", True, {})
            arguments[label] = knob
        unknown = next((label for label in inputs if label not in arguments), None)
        if unknown is not None:
            hint = did_you_mean(unknown, arguments)
            wrong(f"'{name}' has no parameter '{unknown}'.{hint}", code="graph.unknown_input", socket=unknown)
        token = RECORDER.set(inner)
        self._current = inner
        try:
            result = inner.output("out", body(**arguments))
        finally:
            self._current = outer
            RECORDER.reset(token)
        self.graphs[name] = inner.net()
        node = free_name(name, outer.nodes)
        inputs.update({label: outside for label, (outside, _) in inner.captured.items()})
        sources = {label: outer.loose(node, label, value) for label, value in inputs.items()}
        outer.nodes[node] = Node("map", sources, body=f"#{name}")
        made: Any = Wire(outer, node, "out", list_of(result._type))
        return typing.cast("list[R]", made)

    # -- using

    def document(self) -> files.Workflow:
        """The workflow as plain data."""
        net = self._recording.net()
        return files.Workflow(
            net.nodes, net.parameters, net.outputs, title=self.title, about=self.about, graphs=dict(self.graphs)
        )

    def save(self, path: str | Path) -> None:
        """Write the file."""
        files.write(self.document(), path)

    def check(self) -> list[Problem]:
        """What is wrong with it, as far as can be known without running."""
        from engine.graph import check

        return check(self.document(), self.registry)

    def plan(self, session: Session | None = None, /, **parameters: Any) -> Plan:
        """What would run now, and why."""
        with self._engine(session) as engine:
            return engine.plan(self.document(), parameters)

    def run(self, session: Session | None = None, /, **parameters: Any) -> Result:
        """Run it to the end; without a session of your own in one that lasts as long as the process."""
        with self._engine(session) as engine:
            return engine.run(self.document(), parameters)

    @contextmanager
    def _engine(self, session: Session | None) -> Iterator[Session]:
        """The session, with the nodes that this workflow uses, and with calls running again."""
        from engine.invoke import LocalInvoker

        engine = session or _shared()
        known = engine.engine.registry
        if any(id not in known.nodes for id in self.specs):
            types = {**types_near(self.specs.values()), **known.types}
            known = replace(known, nodes={**known.nodes, **self.specs}, types=types, _bases={})
            engine.engine.registry = known
            if isinstance(engine.engine.invoker, LocalInvoker):
                engine.engine.invoker.types = types
        token = RECORDER.set(None)
        try:
            yield engine
        finally:
            RECORDER.reset(token)


_session: Session | None = None
_session_lock = threading.Lock()


def _shared() -> Session:
    """The session of this process, made when it is first needed: weights and values stay between runs."""
    global _session
    with _session_lock:
        if _session is None:
            import atexit

            from engine.session import Session

            _session = Session()
            atexit.register(_session.close)
        return _session


def types_near(specs: Iterable[NodeSpec]) -> dict[str, TypeSpec]:
    """The socket types declared in the modules of these nodes: those of a script that is no pack."""
    found: dict[str, TypeSpec] = {}
    for spec in specs:
        module = sys.modules.get(spec.path.partition(":")[0])
        for thing in vars(module).values() if module is not None else ():
            kind = vars(thing).get("__weft_type__") if isinstance(thing, type) else None
            if isinstance(kind, TypeSpec):
                found[kind.name] = kind
    return found
