"""Cache: ids to values over the tiers; an index over residents, nothing more.

    device   where the value was made           the first place to look
    host     moved there when the device evicts it and it is worth the room
    lower    a seam: anything with `known`, `get`, `put` (the disk tier)

The executor does not know it is there: it asks whether an id is known, takes values, offers values. What decides about
staying is the budget of `engine.memory`; the cache only remembers where things are. A value that is leased (pinned)
stays, whatever the budget says; without a budget everything works and nothing is reused.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from engine.memory import Memory, Resident
from engine.values import device_of, moved, nbytes, owned, tensors


class Tier(Protocol):
    """A store below the host: slower, larger, perhaps shared."""

    name: str
    pace: float
    """Seconds that the last write took."""

    def known(self, id: str) -> bool:
        """Is the value there (by name; `get` may still find it damaged)?"""

    def get(self, id: str) -> Any | None:
        """The value, or None when it is not there after all."""

    def put(self, id: str, value: Any, seconds: float, about: Mapping[str, str] | None = None) -> None:
        """Offer a value that took `seconds` to make; `about` says what of. Returns at once."""

    def drop(self, id: str) -> None:
        """Forget a value that was written into, wherever it is on its way."""

    def clear(self) -> int:
        """Forget all values; the bytes given back."""

    def close(self) -> None:
        """Finish what was offered."""


@dataclass(eq=False, slots=True)
class _Entry:
    value: Any
    device: str
    resident: Resident
    pins: int = 0


class Cache:
    """The values of one engine. Every method may be called from any thread."""

    def __init__(self, memory: Memory, lower: Tier | None = None) -> None:
        """Keep values within the budgets of `memory`; offer them to `lower` as well."""
        self._memory = memory
        self._entries: dict[str, _Entry] = {}
        self._lock: threading.RLock = memory.lock
        self.lower = lower

    def known(self, id: str) -> str | None:
        """The tier the value is in, or None."""
        with self._lock:
            entry = self._entries.get(id)
            if entry is not None:
                return "host" if entry.device == "cpu" else "device"
        if self.lower is not None and self.lower.known(id):
            return self.lower.name
        return None

    def lease(self, id: str) -> tuple[str, Any] | None:
        """Pin the value and hand it out with its tier; `release` when done. None when it is not there."""
        with self._lock:
            entry = self._entries.get(id)
            if entry is not None:
                entry.pins += 1
                entry.resident.in_use += 1
                self._memory.budget(entry.device).touch(entry.resident.name)
                return ("host" if entry.device == "cpu" else "device"), entry.value
        if self.lower is None:
            return None
        value = self.lower.get(id)
        if value is None:
            return None
        self.put(id, value, 0.0, pinned=True)
        return self.lower.name, value

    def release(self, id: str) -> None:
        """Give a lease back."""
        with self._lock:
            entry = self._entries.get(id)
            if entry is None or entry.pins == 0:
                return
            entry.pins -= 1
            entry.resident.in_use -= 1
            if entry.pins == 0:
                budget = self._memory.budget(entry.device)
                if budget.used > budget.limit:
                    budget.make_room(0)

    def put(
        self,
        id: str,
        value: Any,
        seconds: float,
        *,
        pinned: bool = False,
        below: bool = True,
        about: Mapping[str, str] | None = None,
        held: list[Any] | None = None,
    ) -> Any:
        """Offer a value that took `seconds` to make; the value to go on with (small views are cloned).

        Pinned values, and those with `below` false, are not offered to the tier below. `held` are the value's tensors,
        if known.
        """
        held = tensors(value) if held is None else held
        mine = owned(value, held)
        if mine is not value:
            value, held = mine, tensors(mine)
        if self.lower is not None and below and not pinned:
            self.lower.put(id, value, seconds, about)
        device = device_of(held)  # the tensors alone are the shorter way
        size = nbytes(value, held)
        resident = Resident(f"value:{id}", size, seconds, lambda: self._evicted(id), in_use=int(pinned))
        with self._lock:
            if id in self._entries:
                if pinned:
                    entry = self._entries[id]
                    entry.pins += 1
                    entry.resident.in_use += 1
                return value
            self._entries[id] = _Entry(value, device, resident, int(pinned))
            if not self._memory.budget(device).admit(resident):
                del self._entries[id]
        return value

    def _evicted(self, id: str) -> None:
        """The budget gave the value up: keep it on the host if it came from a device and is worth it there."""
        entry = self._entries.pop(id, None)
        if entry is None or entry.device == "cpu":
            return
        host = self._memory.budget("cpu")
        resident = Resident(
            entry.resident.name,
            entry.resident.bytes,
            entry.resident.cost,
            lambda: self._evicted(id),
            frequency=entry.resident.frequency,
        )
        self._entries[id] = _Entry(moved(entry.value, "cpu"), "cpu", resident)
        if not host.admit(resident):
            self._entries.pop(id, None)

    def drop(self, id: str) -> None:
        """Forget a value (it was written into), here and below."""
        self._forget(id)
        if self.lower is not None:
            self.lower.drop(id)

    def _forget(self, id: str) -> None:
        with self._lock:
            entry = self._entries.pop(id, None)
            if entry is not None:
                self._memory.budget(entry.device).remove(entry.resident)

    def drop_sharing(self, value: Any) -> list[str]:
        """Forget every value that shares a storage with `value`; their ids."""
        touched = {tensor.untyped_storage().data_ptr() for tensor in tensors(value)}
        with self._lock:
            found = [
                id
                for id, entry in self._entries.items()
                if any(tensor.untyped_storage().data_ptr() in touched for tensor in tensors(entry.value))
            ]
        for id in found:
            self.drop(id)
        return found

    def clear(self) -> int:
        """Forget everything that is not leased; the bytes given back. What the tier below has stays there."""
        with self._lock:
            idle = [(id, entry.resident.bytes) for id, entry in self._entries.items() if entry.pins == 0]
            for id, _ in idle:
                self._forget(id)
        return sum(size for _, size in idle)

    def close(self) -> None:
        """Let the tier below finish writing."""
        if self.lower is not None:
            self.lower.close()

    def __len__(self) -> int:
        return len(self._entries)
