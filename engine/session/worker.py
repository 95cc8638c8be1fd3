"""Worker: the seam between whoever wants something run and wherever it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from engine.events import Event
from engine.workflow import Workflow


class Worker(Protocol):
    """The seam between whoever wants something run and wherever it runs."""

    def known(self, ids: Sequence[str]) -> list[str]:
        """Which of these values are there."""

    def start(self, workflow: Workflow, targets: Sequence[str] | None, settings: Mapping[str, Any]) -> str:
        """Accept a job; its name."""

    def watch(self, job: str) -> Iterator[Event]:
        """The job's events from the first to the terminal one."""

    def fetch(self, id: str) -> Any:
        """A value by id."""

    def cancel(self, job: str) -> None:
        """Ask a job to stop at its next step."""

    def memory(self) -> Mapping[str, Any]:
        """Who holds what."""
