"""Budget: the residents of one device, and the rule by which they go (hyperbolic caching, by seconds and bytes)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from engine.memory.devices import Device


@dataclass(eq=False)
class Resident:
    """Something that takes room on a device and can be given up."""

    name: str
    bytes: int
    cost: float
    evict: Callable[[], None]
    kind: str = "value"
    in_use: int = 0
    frequency: int = 1
    since: float = 0.0  # the clock when it came


@dataclass(eq=False)
class Budget:
    """The residents of one device and the rule by which they go. Callers hold `Memory.lock`."""

    device: Device
    limit: int
    residents: dict[str, Resident] = field(default_factory=dict)
    clock: float = 0.0  # seconds of work that came by
    used: int = 0
    evictions: int = 0
    peak: int = 0  # the most that was ever used

    def worth(self, resident: Resident) -> float:
        """Seconds that it saves, by byte and by second of work, if it goes on as since it came."""
        age = self.clock - resident.since + 1.0  # of what has just come nothing is known: a second is little
        return resident.frequency * max(resident.cost, 1e-6) / max(resident.bytes, 1) / age

    def touch(self, name: str) -> None:
        """It was used again."""
        self.residents[name].frequency += 1

    def admit(self, resident: Resident) -> bool:
        """Take it in if it is worth the room: evicts what is worth less. False when it was not kept."""
        if resident.name in self.residents:
            self.touch(resident.name)
            return True
        if resident.in_use == 0:
            if resident.bytes > self.limit:
                return False
            if not self.is_worth(resident):
                self.clock += resident.cost  # else what is dear now would keep everything new out for ever
                return False
        self.insert(resident)
        return True

    def is_worth(self, resident: Resident) -> bool:
        """Would it be taken in now?"""
        resident.since = self.clock
        return resident.bytes <= self.limit and self._can_make_room(resident)

    def insert(self, resident: Resident) -> None:
        """Take it in whatever it is worth, after making what room there is."""
        self.clock += resident.cost
        resident.since = self.clock
        self.make_room(resident.bytes)
        self.residents[resident.name] = resident
        self.used += resident.bytes
        self.peak = max(self.peak, self.used)

    def withdraw(self, resident: Resident) -> None:
        """It goes elsewhere: no longer counted here, and not told."""
        if self.residents.pop(resident.name, None) is not None:
            self.used -= resident.bytes

    def resize(self, resident: Resident, count: int) -> None:
        """It turned out to have another size, or has another now."""
        if resident.name in self.residents:
            self.make_room(count - resident.bytes)
            self.used += count - resident.bytes
            self.peak = max(self.peak, self.used)
        resident.bytes = count

    def leased(self) -> int:
        """Bytes of what is in use, which no eviction gives back."""
        return sum(resident.bytes for resident in self.residents.values() if resident.in_use)

    def _can_make_room(self, resident: Resident) -> bool:
        """Would only residents worth less have to go?"""
        short = self.used + resident.bytes - self.limit
        if short <= 0:
            return True
        own = self.worth(resident)
        return sum(o.bytes for o in self.residents.values() if not o.in_use and self.worth(o) <= own) >= short

    def make_room(self, wanted: int) -> int:
        """Evict the least valuable until `wanted` bytes fit under the limit; the bytes freed."""
        freed = 0
        while self.used + wanted > self.limit:
            idle = [resident for resident in self.residents.values() if not resident.in_use]
            if not idle:
                break
            freed += self.remove(min(idle, key=self.worth))
        return freed

    def remove(self, resident: Resident) -> int:
        """Give one resident up."""
        if self.residents.pop(resident.name, None) is None:
            return 0
        self.used -= resident.bytes
        self.evictions += 1
        resident.evict()
        return resident.bytes

    def clear(self) -> int:
        """Give up everything that is not in use."""
        return sum(self.remove(r) for r in list(self.residents.values()) if not r.in_use)
