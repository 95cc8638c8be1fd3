"""Counts: requests and jobs as they happen, for `/metrics`."""

from __future__ import annotations

from collections import defaultdict

Seen = tuple[str, str, str]  # route, method, status


class Counts:
    """All of it on the event loop's thread."""

    def __init__(self) -> None:
        """Nothing has happened."""
        self.requests: defaultdict[Seen, int] = defaultdict(int)
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.jobs: defaultdict[str, int] = defaultdict(int)
        self.job_seconds = 0.0

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request was answered. `route` is the pattern, not the address: their number is bounded."""
        self.requests[route, method, str(status)] += 1
        self.seconds[route] += seconds

    def job(self, state: str, seconds: float) -> None:
        """A job is over."""
        self.jobs[state] += 1
        self.job_seconds += seconds
