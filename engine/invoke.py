"""Invoke: call one node – here, or in a pack's own process.

`Invoker.call(spec, inputs, run)` is the seam: it gets filled-in inputs and gives outputs by name, or raises a
`WeftError`. `LocalInvoker` runs the function in this process under `no_grad` (never `inference_mode`: its tensors have
no version counter), checks that the outputs are what the node declares, and that no input was written into.

`EngineRun` is the `Run` a node sees; `ambient()` the one it sees in a notebook.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from engine.errors import Cancelled, Mend, Problem, WeftError, Where, fail
from engine.memory import Memory, is_out_of_memory, probe, set_threads_once
from engine.node import NodeSpec, arguments, is_a, outputs_of, resolve
from engine.numerics import Numerics
from engine.run import Leasable, Run, State
from engine.sockets import TypeSpec
from engine.values import content_digest, loaded_torch, summaries, versions

if TYPE_CHECKING:
    import torch


# --- what a node sees ----------------------------------------------------------------------------------------------


# Large libraries replace themselves in `sys.modules` while they are imported (transformers, diffusers): a second thread
# that imports from them meanwhile gets the half-made module and fails. Who imports ahead holds this; calls wait for it.
_IMPORTING = threading.Lock()


def import_ahead(names: Iterable[str]) -> dict[str, ImportError]:
    """Import libraries before a node needs them; those that cannot be, each with its error."""
    failed = {}
    with _IMPORTING:
        for name in names:
            try:
                importlib.import_module(name)
            except ImportError as error:
                failed[name] = error
    return failed


@dataclass(eq=False)
class Hooks:
    """What the engine does when a node asks: every service as a function, each with a harmless default."""

    progress: Callable[[int, int, str], None] = lambda done, total, text: None
    preview: Callable[[Callable[[], Any], int, int], None] = lambda picture, done, total: None
    show: Callable[[Any], None] = lambda value: None
    cancelled: Callable[[], bool] = lambda: False
    resume: Callable[[], State | None] = lambda: None
    checkpoint: Callable[[State], None] = lambda state: None
    nested: Callable[[Any, Mapping[str, Any]], dict[str, Any]] | None = None


def without(choice: str) -> str:
    """A way to run a step: without a choice of numerics that failed."""
    return f"without {choice}"


class EngineRun(Run):
    """The `Run` of one step of one job."""

    def __init__(
        self,
        path: str,
        memory: Memory,
        numerics: Numerics,
        hooks: Hooks | None = None,
        document: Mapping[str, Any] | None = None,
        resolved: Mapping[str, Any] | None = None,
        leaner: tuple[str, ...] = (),
    ) -> None:
        """`document` is the workflow as plain data and `resolved` the values it ran with, for metadata.

        `leaner` are the ways in which the step is to make do with less memory; `asked` collects those it knows.
        """
        self.asked: list[str] = []
        self.choices: list[str] = []  # of numerics, which it can do without
        self._leaner = leaner
        self.path = path
        self.memory = memory
        self.numerics = numerics
        self.document = dict(document or {})
        self.resolved = dict(resolved or {})
        self._hooks = hooks or Hooks()
        self._lent: dict[str, Any] = {}

    @property
    def device(self) -> str:
        """The device to compute on."""
        return self.numerics.device

    @property
    def dtype(self) -> str:
        """The dtype that denoisers compute in."""
        return self.numerics.dtype

    @property
    def cancelled(self) -> bool:
        """Has the job been cancelled?"""
        return self._hooks.cancelled()

    def check(self) -> None:
        """Raise `Cancelled` if so."""
        if self._hooks.cancelled():
            raise Cancelled

    def progress(self, done: int, total: int, text: str = "") -> None:
        """Tell how far it is; raise `Cancelled` if the job has been cancelled."""
        self._hooks.progress(done, total, text)
        self.check()

    def preview(self, picture: Callable[[], Any], done: int = 0, total: int = 0) -> None:
        """Offer a picture of work in progress."""
        self._hooks.preview(picture, done, total)

    def show(self, value: Any) -> None:
        """Show a value."""
        self._hooks.show(value)

    def lease(self, recipe: Leasable, working_bytes: int = 0) -> AbstractContextManager[Any]:
        """Borrow the recipe's live module; its own numerics (dtype) win over the run's."""
        if recipe.weights in self._lent:
            return contextlib.nullcontext(self._lent[recipe.weights])
        own = dict(getattr(recipe, "numerics", ()))
        return self.memory.lease(
            recipe, self.numerics.device, str(own.get("dtype", self.numerics.dtype)), working_bytes, self.check
        )

    def leaner(self, way: str) -> bool:
        """Is the step to make do with less memory in this way?"""
        if way not in self.asked:
            self.asked.append(way)
        return way in self._leaner

    def without(self, choice: str) -> bool:
        """Is the step to do without a choice of numerics?"""
        self.choices.append(choice)
        return without(choice) in self._leaner

    def lending(self, modules: Iterable[tuple[Leasable, Any]]) -> EngineRun:
        """The same run, whose leases of these weights give these modules, which somebody else has leased for it."""
        lent = copy.copy(self)
        lent._lent = {recipe.weights: module for recipe, module in modules}
        return lent

    def generators(self, seed: int, batch: int, single_stream: bool = False) -> list[torch.Generator]:
        """CPU generators: one per item from `seed + i` (modulo 2**64), or one for the whole batch."""
        import torch

        count = 1 if single_stream else batch
        return [torch.Generator("cpu").manual_seed((seed + index) % 2**64) for index in range(count)]

    def resume(self) -> State | None:
        """The newest known state of this computation."""
        return self._hooks.resume()

    def checkpoint(self, state: State) -> None:
        """Offer a state."""
        self._hooks.checkpoint(state)

    def nested(self, workflow: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Run a workflow inside this step."""
        if self._hooks.nested is None:
            raise fail("node.refused", "a nested run needs an engine", mend="run the node inside a workflow")
        return self._hooks.nested(workflow, inputs)


_ambient: EngineRun | None = None
_ambient_lock = threading.Lock()


def ambient() -> Run:
    """The Run of plain calls: this machine's best device, models kept between calls, nothing printed."""
    global _ambient
    with _ambient_lock:
        if _ambient is None:
            _ambient = EngineRun("", Memory(), probe())
        return _ambient


@contextmanager
def using_ambient(run: EngineRun) -> Iterator[EngineRun]:
    """Let plain calls use this Run within the block: another device, a memory of one's own."""
    global _ambient
    before, _ambient = _ambient, run
    try:
        yield run
    finally:
        _ambient = before


# --- the seam ------------------------------------------------------------------------------------------------------


class Invoker(Protocol):
    """Calls one node."""

    def call(self, spec: NodeSpec, inputs: Mapping[str, Any], run: EngineRun) -> dict[str, Any]:
        """Outputs by name; raises `WeftError`, `Cancelled`, or what `is_out_of_memory` recognises."""

    def together(
        self, spec: NodeSpec, inputs: Sequence[Mapping[str, Any]], runs: Sequence[EngineRun]
    ) -> list[dict[str, Any] | BaseException]:
        """Several steps of one node that share their work: outputs or an exception for each."""


@dataclass
class LocalInvoker:
    """Calls nodes in this process.

    `paranoid` also hashes every input before and after the call (tests and `pack check`): a write through numpy leaves
    no trace in the version counters.
    """

    types: Mapping[str, TypeSpec] = field(default_factory=dict)
    paranoid: bool = False

    def call(self, spec: NodeSpec, inputs: Mapping[str, Any], run: EngineRun) -> dict[str, Any]:
        """Run the function; check what it did and what it gave."""
        with _IMPORTING:
            function = spec.function
        self.check_inputs(spec, inputs)
        args, kwargs = arguments(spec, inputs)
        if spec.takes_run:
            args.insert(0, run)
        before = {name: versions(value) for name, value in inputs.items()}
        hashes = {name: content_digest(value) for name, value in inputs.items()} if self.paranoid else {}
        with _grad_off(spec):
            try:
                result = function(*args, **kwargs)
                if spec.is_async:
                    import asyncio  # here: it takes longer to import than a plan of a small workflow takes

                    result = asyncio.run(result)
            except (WeftError, Cancelled):
                raise
            except Exception as error:
                if is_out_of_memory(error):
                    raise
                raise raised(spec, inputs, error) from error
        for name, value in inputs.items():
            if versions(value) != before[name] or (hashes and content_digest(value) != hashes[name]):
                raise fail(
                    "node.mutated",
                    f"'{spec.id}' wrote into its input '{name}'; its result and everything on that memory is discarded",
                    socket=name,
                    mend="the node must work on a copy: value.clone()",
                )
        return self.outputs(spec, result)

    def together(
        self, spec: NodeSpec, inputs: Sequence[Mapping[str, Any]], runs: Sequence[EngineRun]
    ) -> list[dict[str, Any] | BaseException]:
        """Run several steps of one node that share their work: outputs or an exception for each, in order."""
        with _IMPORTING:
            share = resolve(f"{spec.batched}:together")
        set_threads_once()
        found: list[dict[str, Any] | BaseException] = share(
            lambda index, run: self.call(spec, inputs[index], run), runs, inputs
        )
        return found

    def check_inputs(self, spec: NodeSpec, inputs: Mapping[str, Any]) -> None:
        """Ask again what could not be known when the wires were checked: do the values fit their sockets?"""
        for item in spec.inputs:
            kind, value = item.type, inputs[item.name]
            if kind.name not in self.types or (value is None and item.default is None):
                continue
            ones = value.values() if item.gather == "named" else value if item.gather else (value,)
            wrong = next((one for one in ones if not is_a(one, kind, self.types)), _NONE_WRONG)
            if wrong is not _NONE_WRONG:
                name = type(wrong).__name__ if wrong is not None else "nothing"
                raise fail(
                    "graph.type",
                    f"'{item.name}' takes {kind}, the wire brought {name}",
                    socket=item.name,
                    mend=f"wire something that gives {kind.required}",
                )

    def outputs(self, spec: NodeSpec, result: Any) -> dict[str, Any]:
        """The outputs by name, each of the declared type."""
        return outputs_of(spec, result, self.types, _brief)


_NONE_WRONG = object()


def _grad_off(spec: NodeSpec) -> AbstractContextManager[Any]:
    """no_grad for what computes. Training nodes turn gradients on themselves."""
    if spec.lane != "io":
        set_threads_once()
    torch = loaded_torch()
    return torch.no_grad() if torch is not None else contextlib.nullcontext()


def raised(spec: NodeSpec, inputs: Mapping[str, Any], error: BaseException) -> WeftError:
    """A node's own exception as a problem; the traceback and the inputs' summaries are kept for "copy report"."""
    lines = traceback.format_exception(error)
    report = f"{spec.id} (version {spec.version}, pack {spec.pack})\n{summaries(inputs)}\n\n{''.join(lines)}"
    text = str(error).strip().partition("\n")[0]
    message = f"'{spec.id}' raised {type(error).__name__}" + (f": {text}" if text else "")
    return WeftError(Problem("node.raised", message, Where(), Mend("see the report for the traceback"), report=report))


def _brief(value: Any) -> str:
    from engine.values import summary

    return f"{type(value).__name__} ({summary(value)})"


class Stopwatch:
    """Seconds since it was made, and seconds left by what is done."""

    def __init__(self) -> None:
        """Start."""
        self.started = time.perf_counter()
        self._first: tuple[float, int] | None = None

    def seconds(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.started

    def left(self, done: int, total: int) -> float | None:
        """Seconds left; the time before the first unit (loading) is not counted as pace."""
        now = self.seconds()
        if self._first is None:
            self._first = (now, done)
            return None
        since, first = self._first
        return (now - since) / (done - first) * (total - done) if done > first else None
