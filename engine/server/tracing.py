"""Tracing: jobs and steps as OpenTelemetry spans, where its packages are installed (`pip install 'weft[tracing]'`).

Where the spans go is OpenTelemetry's own matter: the application's provider, or what `OTEL_EXPORTER_OTLP_ENDPOINT` says
under `opentelemetry-instrument weft serve`.
"""

from __future__ import annotations

import importlib
import logging
import time
from typing import Any

from engine.events import Event, JobFinished, JobStarted, StepEvent, StepFailed, StepFinished, StepHit, StepStarted
from engine.server.entry import Entry

LOG = logging.getLogger("weft.server")


def tracer_of(wanted: bool) -> Tracing | None:
    """A tracer, if one is wanted and can be had."""
    if not wanted:
        return None
    try:
        trace = importlib.import_module("opentelemetry.trace")
    except ImportError:
        LOG.warning("log.tracing is on, but OpenTelemetry is not installed: pip install 'weft[tracing]'")
        return None
    return Tracing(trace)


class Tracing:
    """Spans of what runs: one for a job (or an item), one within it for each step that runs."""

    def __init__(self, trace: Any) -> None:
        """`trace` is the module `opentelemetry.trace`."""
        self._trace = trace
        self._tracer = trace.get_tracer("weft")
        self._jobs: dict[str, Any] = {}
        self._steps: dict[tuple[str, str], Any] = {}

    def told(self, entry: Entry, event: Event) -> None:
        """A durable event of a job."""
        if isinstance(event, JobStarted):
            named: dict[str, Any] = {
                "weft.job": entry.row.id,
                "weft.title": entry.row.title,
                "weft.owner": entry.row.owner,
            }
            if entry.parent is not None:
                named["weft.item"] = entry.index
            self._jobs[entry.id] = self._tracer.start_span("weft.job", attributes=named)
        elif isinstance(event, JobFinished):
            span = self._jobs.pop(entry.id, None)
            for key in [key for key in self._steps if key[0] == entry.id]:
                self._steps.pop(key).end()
            if span is not None:
                span.set_attribute("weft.state", event.state)
                if event.state in ("failed", "partial"):
                    self._failed(span, event.problems[0].code if event.problems else event.state)
                span.end()
        elif isinstance(event, StepEvent):
            self._step(entry, event)

    def _step(self, entry: Entry, event: StepEvent) -> None:
        parent = self._jobs.get(entry.id)
        if parent is None:
            return
        if isinstance(event, StepStarted):
            named = {"weft.path": event.path, "weft.why": event.why, "weft.resumed": event.resumed}
            within = self._trace.set_span_in_context(parent)
            self._steps[entry.id, event.path] = self._tracer.start_span("weft.step", within, attributes=named)
        elif isinstance(event, StepHit):
            parent.add_event("weft.hit", {"weft.path": event.path, "weft.tier": event.tier})
        elif isinstance(event, StepFinished | StepFailed):
            span = self._steps.pop((entry.id, event.path), None)
            if span is None:
                return
            if isinstance(event, StepFinished):
                span.set_attribute("weft.seconds", event.seconds)
                span.set_attribute("weft.bytes", event.bytes)
            else:
                self._failed(span, event.problem.code)
            span.end(int(time.time() * 1e9))

    def _failed(self, span: Any, code: str) -> None:
        span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, code))
