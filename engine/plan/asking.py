"""Asking: what a node's own rules say while a plan is made – with a deadline, and their exceptions as problems."""

from __future__ import annotations

import contextvars
import queue
import threading
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from engine.errors import Problem, WeftError, Where, fail
from engine.node import NodeSpec, resolve
from engine.plan.state import Live

FINGERPRINT_SECONDS = 10.0
# A plan asks many nodes. Who has answered waits here for the next question; who hangs is never asked again.
_IDLE: queue.SimpleQueue[queue.SimpleQueue[Callable[[], None]]] = queue.SimpleQueue()


def _answer(questions: queue.SimpleQueue[Callable[[], None]]) -> None:
    while True:
        questions.get()()
        _IDLE.put(questions)


def in_time(spec: NodeSpec, inputs: Mapping[str, Any]) -> Any:
    """What else the result depends on, asked with a deadline: a plan does not wait for a server that is gone."""
    answer: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answer.put((resolve(spec.fingerprint)(**inputs), None))
        except Exception as error:
            answer.put((None, error))

    try:
        asker = _IDLE.get_nowait()
    except queue.Empty:
        asker = queue.SimpleQueue()
        threading.Thread(target=_answer, args=(asker,), name="weft fingerprint", daemon=True).start()
    asker.put(partial(contextvars.copy_context().run, ask))
    try:
        found, error = answer.get(timeout=FINGERPRINT_SECONDS)
    except queue.Empty:
        message = f"'{spec.id}' did not say within {FINGERPRINT_SECONDS:g} s what its result depends on"
        raise fail("node.refused", message, mend="is the disk or server it asks there?") from None
    if error is not None:
        raise error
    return found


def raised(live: Live, error: Exception) -> WeftError:
    """What a node or one of its rules raised, with the traceback for the report."""
    report = "".join(traceback.format_exception(error))
    message = f"'{live.spec.id}' raised {type(error).__name__}: {error}"
    return WeftError(Problem("node.raised", message, Where(path=live.path), report=report))
