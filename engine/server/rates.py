"""Rates: how many requests come in a minute. A bucket for each sender, filled at a steady pace."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from engine.errors import fail

SENDERS = 4096  # those that are remembered; the one that was quiet for longest is forgotten


class Rates:
    """Buckets of `limit` drops that fill up again in a minute."""

    def __init__(self, limit: int, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        """A limit of 0 lets everything through."""
        self.limit = limit
        self.what = what
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def _left(self, sender: str, now: float) -> float:
        left, at = self._buckets.get(sender, (float(self.limit), now))
        return min(float(self.limit), left + (now - at) * self.limit / 60)

    def look(self, sender: str) -> None:
        """`server.rate` when nothing is left for a sender; takes nothing."""
        if self.limit and self._left(sender, self._clock()) < 1:
            self._refuse()

    def take(self, sender: str) -> None:
        """One more from a sender; `server.rate` when there were too many."""
        if not self.limit:
            return
        now = self._clock()
        left = self._left(sender, now)
        if left < 1:
            self._refuse()
        self._buckets[sender] = (left - 1, now)
        self._buckets.move_to_end(sender)
        while len(self._buckets) > SENDERS:
            self._buckets.popitem(last=False)

    def _refuse(self) -> None:
        raise fail("server.rate", f"more than {self.limit:,} {self.what} in a minute", mend="wait a moment")
