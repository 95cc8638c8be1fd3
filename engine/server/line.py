"""Line: what waits, and who is next. Higher priorities go first; within one, clients take turns.

Who sends a thousand jobs, or one job with a thousand items, does not keep the others waiting: each turn starts one job
or one item, and goes to the client whose last turn was longest ago. With one client it is simply the order of the list,
which can be changed by hand.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from engine.server.entry import Entry
from engine.server.store import STARTS_LIMIT

CLIENTS = 1000  # clients whose last turn is remembered
PRIORITY = 100  # the highest that may be asked for


class Line:
    """Jobs in order. All of it runs on the event loop's thread."""

    def __init__(self) -> None:
        """Nobody waits."""
        self.jobs: list[Entry] = []
        self._turn = 0
        self._last: dict[str, int] = {}

    def __contains__(self, entry: Entry) -> bool:
        return entry in self.jobs

    def __len__(self) -> int:
        return len(self.jobs)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.order())

    def add(self, entry: Entry) -> None:
        """A job waits, behind those of its priority."""
        self.jobs.append(entry)

    def remove(self, entry: Entry) -> None:
        """A job waits no more."""
        self.jobs.remove(entry)

    def clear(self, owner: str = "") -> list[Entry]:
        """Nobody (or none of a user's jobs) waits any more; who did."""
        cleared = [entry for entry in self.jobs if owner in ("", entry.row.owner)]
        self.jobs = [entry for entry in self.jobs if entry not in cleared]
        return cleared

    def next(self) -> list[Entry]:
        """The next to begin: a job, or of one that has several an item, or as many as share their work.

        It is taken out of the line. Nothing when nobody waits.
        """
        if not self.jobs:
            return []
        top = max(entry.row.priority for entry in self.jobs)
        first: dict[str, Entry] = {}
        for entry in self.jobs:
            if entry.row.priority == top:
                first.setdefault(entry.client, entry)
        chosen = min(first.values(), key=lambda entry: self._last.get(entry.client, 0))
        self._turn += 1
        self._last.pop(chosen.client, None)
        self._last[chosen.client] = self._turn
        while len(self._last) > CLIENTS:
            del self._last[next(iter(self._last))]
        if not chosen.todo:
            self.jobs.remove(chosen)
            return [chosen]
        turn = [chosen.todo.popleft()]
        while chosen.todo and len(turn) < chosen.together and not (_suspect(turn[0]) or _suspect(chosen.todo[0])):
            turn.append(chosen.todo.popleft())
        if not chosen.todo:
            self.jobs.remove(chosen)
        return turn

    def order(self) -> list[Entry]:
        """Everyone, in the order in which they will begin."""
        found: list[Entry] = []
        for priority in sorted({entry.row.priority for entry in self.jobs}, reverse=True):
            queues: dict[str, deque[Entry]] = {}
            for entry in self.jobs:
                if entry.row.priority == priority:
                    queues.setdefault(entry.client, deque()).append(entry)
            turns = deque(sorted(queues.values(), key=lambda queue: self._last.get(queue[0].client, 0)))
            while turns:
                queue = turns.popleft()
                found.append(queue.popleft())
                if queue:
                    turns.append(queue)
        return found

    def position(self, entry: Entry) -> int | None:
        """How many jobs begin before it; None for one that does not wait, or has begun."""
        if entry not in self.jobs or entry.started is not None:
            return None
        return self.order().index(entry)

    def move(self, entry: Entry, position: int) -> None:
        """Give a job another place, and the priority that goes with it."""
        others: Sequence[Entry] = [one for one in self.order() if one is not entry]
        position = max(0, min(position, len(others)))
        self.jobs.remove(entry)
        if position == len(others):
            self.jobs.append(entry)
            if others:
                entry.row.priority = min(entry.row.priority, others[-1].row.priority)
            return
        after = others[position]
        self.jobs.insert(self.jobs.index(after), entry)
        if position == 0:
            # Whatever anybody's turn is, this one is next.
            entry.row.priority = after.row.priority + (after.client != entry.client)
        else:
            before = others[position - 1].row.priority
            entry.row.priority = max(after.row.priority, min(entry.row.priority, before))


def _suspect(item: Entry) -> bool:
    """Has the process ended so often while it ran that it had better run by itself?"""
    return item.starts >= STARTS_LIMIT - 1
