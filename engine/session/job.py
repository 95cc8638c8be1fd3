"""Job: one run of a workflow, its diary and its watchers; Result: what came of it."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.errors import Problem
from engine.events import TERMINAL, Event, JobFinished, JobStarted, State, ran
from engine.executor import Execution, Order
from engine.graph import Graph
from engine.plan import Live
from engine.registry import Registry
from engine.workflow import Workflow

if TYPE_CHECKING:
    from engine.session.together import Part

LOG = logging.getLogger("weft.session")


@dataclass(frozen=True)
class Result:
    """What a finished job gave: outputs by name, its diary, the files it wrote."""

    state: State
    outputs: Mapping[str, Any]
    events: tuple[Event, ...]
    problems: tuple[Problem, ...] = ()

    @property
    def ran(self) -> list[str]:
        """The paths that really ran."""
        return ran(self.events)

    @property
    def files(self) -> list[str]:
        """The files of every effect, written now or found in place."""
        return [file for event in self.events for file in getattr(event, "files", ())]

    def __getitem__(self, name: str) -> Any:
        return self.outputs[name]


class Job:
    """One run of a workflow. Events are kept; any number of watchers may follow, from the start or late."""

    def __init__(self, id: str, workflow: Workflow, graph: Graph, order: Order, targets: Sequence[str] | None) -> None:
        """Made by `Session.submit`."""
        self.id = id
        self.workflow = workflow
        self.graph = graph
        self.order = order
        self.targets = targets
        self.state: State = "queued"
        self.diary: list[Event] = []
        self.execution: Execution | None = None
        self.drawn: Mapping[str, int] = {}
        self.registry: Registry | None = None  # the nodes that it was bound with
        self.planned_at = 0  # how many jobs of the session had ended when it was planned
        self.follower: Callable[[Event], None] | None = None  # told on the job's thread, values still at hand
        self.graphs: Mapping[str, Graph] = {}  # of several variants, whose work is shared
        self.parts: list[Part] = []
        self._claimed = False
        self._changed = threading.Condition()
        self._watchers: list[queue.SimpleQueue[Event]] = []

    def tell(self, event: Event) -> None:
        """Write an event into the diary (durable ones) and hand it to the follower and every watcher."""
        if self.follower is not None:
            try:
                self.follower(event)
            except Exception:  # its own mistake, and no reason why the job should not come to its end
                LOG.exception("who follows job %s fell over %s", self.id, type(event).__name__)
        with self._changed:
            if event.durable:
                self.diary.append(event)
            if isinstance(event, JobStarted):
                self.state = "running"
            if isinstance(event, JobFinished):
                self.state = event.state
            for watcher in self._watchers:
                watcher.put(event)
            if self.finished:  # nobody waits for less; waking them for every event would cost more than the event
                self._changed.notify_all()

    @property
    def finished(self) -> bool:
        """Has its terminal event been told?"""
        return self.state in TERMINAL

    @property
    def watched(self) -> bool:
        """Does anybody follow it now? Previews are made only then."""
        return bool(self._watchers)

    def claim(self) -> bool:
        """Whoever claims the job first carries it to its end: a worker, or a cancel while it is queued."""
        with self._changed:
            first, self._claimed = not self._claimed, True
            return first

    def cancel(self) -> None:
        """Stop at the next denoise step, tile or chunk; what is finished is kept. A queued job ends at once."""
        self.order.cancel.set()
        if self.claim():
            self.tell(JobFinished(job=self.id, state="cancelled"))
            self.close()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end; False when it did not come in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self.finished, timeout)

    def events(self) -> Iterator[Event]:
        """Every durable event from the first, then whatever comes, until the terminal one."""
        inbox: queue.SimpleQueue[Event] = queue.SimpleQueue()
        with self._changed:
            for event in self.diary:
                inbox.put(event)
            self._watchers.append(inbox)
        try:
            while True:
                try:
                    event = inbox.get(timeout=1.0)  # not for ever: Windows tells of Ctrl-C only between waits
                except queue.Empty:
                    continue
                yield event
                if isinstance(event, JobFinished):
                    return
        finally:
            with self._changed:
                self._watchers.remove(inbox)

    def follow(self, follower: Callable[[Event], None], watched: Callable[[], bool]) -> None:
        """Tell someone of every event, on the job's thread; `watched`: does anybody look on besides the watchers?"""
        self.follower = follower
        self.order.watched = lambda: watched() or self.watched

    @property
    def values(self) -> Mapping[str, Any]:
        """The values at hand, by id, while it runs and until it is closed."""
        return self.execution.values if self.execution is not None else {}

    def live(self, path: str) -> Live | None:
        """What is known of a step, while it runs and until it is closed."""
        return self.execution.frontier.lives.get(path) if self.execution is not None else None

    def outputs(self, fetch: bool = True, within: str = "") -> dict[str, Any]:
        """The values of the named outputs that are there, those whose names begin with `within`."""
        return self.execution.results(fetch, within) if self.execution is not None else {}

    def result(self, fetch: bool = True) -> Result:
        """Wait, then the outputs and the diary. Without `fetch`, outputs that lie on disk are left there."""
        self.wait()
        outputs = self.execution.results(fetch) if self.execution is not None else {}
        last = self.diary[-1]
        problems = last.problems if isinstance(last, JobFinished) else ()
        return Result(self.state, outputs, tuple(self.diary), problems)

    def close(self) -> None:
        """Give the leases on its outputs back."""
        execution, self.execution = self.execution, None
        if execution is not None:
            execution.release()
