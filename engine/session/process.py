"""Process: a worker in a process of its own, spoken to over a pipe.

    worker = ProcessWorker(functools.partial(Session, ...))    a spawned process makes its own session there
    job = worker.start(workflow, None, {"parameters": {"seed": 7}})
    for event in worker.watch(job): ...
    picture = worker.fetch(id)

The same five calls as on a `Session` in this process (`engine.session.Worker`); planning happens where the values are,
and a value crosses the pipe only when it is fetched. Nothing in the calls is tied to a pipe: workflows go as JSON,
everything else as plain data, events and values. An actor on another machine needs the same table of methods, `Desk`.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

from engine.errors import Problem, WeftError
from engine.events import Event, StepPreview
from engine.session.main import Session
from engine.workflow import Workflow, from_json, to_json


class Desk:
    """What answers where the session is: each method takes and gives what can be sent."""

    def __init__(self, session: Session) -> None:
        """Of this session."""
        self.session = session

    def known(self, ids: Sequence[str]) -> list[str]:
        """Which of these values are there."""
        return self.session.known(ids)

    def start(self, document: dict[str, Any], targets: Sequence[str] | None, settings: Mapping[str, Any]) -> str:
        """Accept a job; its name."""
        return self.session.start(from_json(document), targets, settings)

    def fetch(self, id: str) -> Any:
        """A value by id."""
        return self.session.fetch(id)

    def cancel(self, job: str) -> None:
        """Ask a job to stop."""
        self.session.cancel(job)

    def memory(self) -> Mapping[str, Any]:
        """Who holds what."""
        return self.session.memory()

    def watch(self, job: str) -> Iterator[Event]:
        """The job's events, a preview with its picture made."""
        for event in self.session.watch(job):
            if isinstance(event, StepPreview):
                event = dataclasses.replace(event, picture=_Made(event.picture()))
            yield event


@dataclasses.dataclass(frozen=True)
class _Made:
    """A picture that is made already."""

    image: Any

    def __call__(self) -> Any:
        return self.image


class ProcessWorker:
    """A `Worker` whose session lives in a spawned process. Every method may be called from any thread."""

    def __init__(self, make: Callable[[], Session], timeout: float = 120.0) -> None:
        """`make` gives the session there; it must be importable (a function of a module, a `functools.partial`)."""
        here, there = multiprocessing.get_context("spawn").Pipe()
        self._pipe: Connection = here
        self._process = multiprocessing.get_context("spawn").Process(
            target=_serve, args=(there, make), name="weft worker", daemon=True
        )
        self._lock = threading.Lock()
        self._answers: dict[int, queue.SimpleQueue[tuple[str, Any]]] = {}
        self._count = 0
        self._gone = False
        self._process.start()
        there.close()
        self._ready: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._answers[0] = self._ready
        threading.Thread(target=self._read, name="weft worker's answers", daemon=True).start()
        _given(self._ready.get(timeout=timeout))

    # -- the Worker seam

    def known(self, ids: Sequence[str]) -> list[str]:
        """Which of these values are there."""
        found: list[str] = self._ask("known", list(ids))
        return found

    def start(self, workflow: Workflow, targets: Sequence[str] | None, settings: Mapping[str, Any]) -> str:
        """Accept a job; its name. `settings` may hold `parameters` and `again`."""
        job: str = self._ask("start", to_json(workflow), targets, dict(settings))
        return job

    def watch(self, job: str) -> Iterator[Event]:
        """The job's events from the first to the terminal one."""
        answers = self._send("watch", job)
        while True:
            kind, what = answers.get()
            if kind == "end":
                return
            yield _given((kind, what))

    def fetch(self, id: str) -> Any:
        """A value by id; `KeyError` when it is not there."""
        return self._ask("fetch", id)

    def cancel(self, job: str) -> None:
        """Ask a job to stop at its next step."""
        self._ask("cancel", job)

    def memory(self) -> Mapping[str, Any]:
        """Who holds what."""
        found: Mapping[str, Any] = self._ask("memory")
        return found

    def close(self) -> None:
        """Let the session end its jobs and its process stop."""
        with self._lock:
            if not self._gone:
                try:
                    self._pipe.send((0, "close", ()))
                except OSError:
                    self._gone = True
        self._process.join(30)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._pipe.close()

    def __enter__(self) -> ProcessWorker:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # -- the pipe

    def _ask(self, method: str, *arguments: Any) -> Any:
        return _given(self._send(method, *arguments).get())

    def _send(self, method: str, *arguments: Any) -> queue.SimpleQueue[tuple[str, Any]]:
        answers: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        with self._lock:
            self._count += 1
            number = self._count
            self._answers[number] = answers
            if self._gone:
                answers.put(_LOST)
            else:
                try:
                    self._pipe.send((number, method, arguments))
                except OSError:
                    answers.put(_LOST)
        return answers

    def _read(self) -> None:
        """Hand every answer to who waits for it; when the process dies, all who wait are told."""
        while True:
            try:
                number, kind, what = self._pipe.recv()
            except (EOFError, OSError):
                with self._lock:
                    self._gone = True
                    waiting, self._answers = list(self._answers.values()), {}
                for answers in waiting:
                    answers.put(_LOST)
                return
            with self._lock:
                waits = self._answers.get(number) if kind == "event" else self._answers.pop(number, None)
            if waits is not None:
                waits.put((kind, what))


_LOST = ("failed", ("worker.lost", "the worker's process has ended", ()))


def _given(answer: tuple[str, Any]) -> Any:
    """The answer, or what it raises."""
    kind, what = answer
    if kind != "failed":
        return what
    name, text, problems = what
    if problems:
        raise WeftError(problems)
    if name == "KeyError":
        raise KeyError(text)
    if name == "worker.lost":
        raise WeftError(Problem("worker.lost", text))
    raise RuntimeError(f"{name}: {text}")


def _serve(pipe: Connection, make: Callable[[], Session]) -> None:
    """The other side of the pipe: make the session, answer until the pipe is closed."""
    sending = threading.Lock()

    def send(number: int, kind: str, what: Any) -> None:
        with sending:
            pipe.send((number, kind, what))

    def answer(number: int, method: str, arguments: tuple[Any, ...]) -> None:
        try:
            found = getattr(desk, method)(*arguments)
            if method == "watch":
                for event in found:
                    send(number, "event", event)
                send(number, "end", None)
            else:
                send(number, "done", found)
        except OSError:
            return  # nobody listens any more
        except Exception as error:
            text = error.args[0] if isinstance(error, KeyError) and error.args else str(error)
            send(number, "failed", (type(error).__name__, text, getattr(error, "problems", ())))

    try:
        session = make()
    except Exception as error:
        send(0, "failed", (type(error).__name__, str(error), getattr(error, "problems", ())))
        return
    desk = Desk(session)
    send(0, "done", None)
    while True:
        try:
            number, method, arguments = pipe.recv()
        except (EOFError, OSError):
            break
        if method == "close":
            break
        if method not in ("known", "start", "watch", "fetch", "cancel", "memory"):
            send(number, "failed", ("ValueError", f"a worker has no '{method}'", ()))
            continue
        threading.Thread(target=answer, args=(number, method, arguments), daemon=True).start()
    session.close()
