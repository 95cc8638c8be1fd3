"""Foresight: the weights that a job's steps will lease, told to the reader before they are needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.events import Event
from engine.executor.launching import Launching
from engine.memory import Wish
from engine.memory.forecast import leasable
from engine.plan import Live


class Foresight(Launching):
    """From what is planned to what is read ahead."""

    _leases: dict[str, tuple[Any, list[Live]]]  # the id of weights -> recipe, and the steps that lease it
    _leases_told: int

    def _will_lease(self, live: Live) -> None:
        """Note the weights of a step that will run. Only one that takes a `Run` can lease them."""
        if self.depth or live.spec.lane != "device" or not live.spec.takes_run:
            return
        for recipe in leasable(live.inputs, "sources"):
            self._leases.setdefault(str(recipe.weights), (recipe, []))[1].append(live)

    def _look_ahead(self) -> None:
        """Tell the reader when more is known than before."""
        if len(self._leases) != self._leases_told:
            self._leases_told = len(self._leases)
            found = [(recipe, min(lives, key=_order), lives) for recipe, lives in self._leases.values()]
            found.sort(key=lambda one: one[1].order)
            self.engine.reader.wish(self, [self._wish(*one) for one in found])

    def _wish(self, recipe: Any, first: Live, lives: list[Live]) -> Wish:
        def tell(event: Event) -> None:
            self.inbox.put(("event", first, (event,)))

        def over(live: Live) -> bool:
            return live.path in self._done or live.path in self._failed

        return Wish(
            recipe,
            first.path,
            wanted=lambda: not self.cancelled() and not all(over(live) for live in list(lives)),
            late=lambda: any(over(live) or self.engine.flights.begun(live.key) for live in list(lives)),
            tell=tell,
        )

    def wishes_before(
        self, wanted: Callable[[], bool], late: Callable[[], bool], tell: Callable[[Event], None]
    ) -> list[Wish]:
        """The same of a job that has not begun, as far as it is planned."""
        found: dict[str, Wish] = {}
        for live in sorted(self.frontier.planned(), key=_order):
            if live.status == "run" and live.spec.lane == "device" and live.spec.takes_run:
                for recipe in leasable(live.inputs, "sources"):
                    wish = Wish(recipe, live.path, wanted, late, tell)
                    found.setdefault(str(recipe.weights), wish)
        return list(found.values())


def _order(live: Live) -> tuple[int, ...]:
    return live.order
