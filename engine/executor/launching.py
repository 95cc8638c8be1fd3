"""Launching: which ready step goes next, with whom it shares its work, and whether another job has it under way."""

from __future__ import annotations

import heapq
import json
from collections.abc import Sequence
from typing import Any

from engine.executor.ending import Ending
from engine.executor.performing import Outcome
from engine.executor.shared import Flight, Lanes
from engine.keys import output_id, template_from_json
from engine.memory.forecast import seats
from engine.plan import Live
from engine.sockets import fill, holes


class Launching(Ending):
    """From ready to the lane."""

    _lanes: Lanes

    def left(self, item: str) -> bool:
        """Has something of one of the job's graphs still to happen, as far as it is planned?"""
        if self._taking or self.frontier._new_runs or item not in self._left:
            return True
        return any(path in self._flying or not self.order.off(path) for path in self._left[item])

    def unfinished(self, item: str) -> bool:
        """Of one of the job's graphs: were there steps that have not been done?"""
        return bool(self._left.get(item))

    def _company(self, ready: list[tuple[tuple[int, ...], str]]) -> list[Live]:
        """The next step, with those that share its work; none while it is worth to wait for more of them."""
        aside: list[tuple[tuple[int, ...], str]] = []
        found: list[Live] = []
        while ready and not found:
            item = heapq.heappop(ready)
            live = self.frontier.lives[item[1]]
            if live.path in self._flying or self.stopped(live):
                continue
            most = self._most(live) if live.alike else 1
            if most < 2:
                found = [live]
                continue
            alike = sorted(one for one in ready if self._fits(live, self.frontier.lives[one[1]]))
            same = alike[: most - 1]
            full = len(same) + 1 == most
            if full or not self._more_may_come(live, {item[1], *(path for _, path in (*same, *aside))}):
                for one in same:
                    ready.remove(one)
                heapq.heapify(ready)
                found = [live, *(self.frontier.lives[path] for _, path in same)]
            else:
                aside.append(item)
        for item in aside:
            heapq.heappush(ready, item)
        return found

    def _most(self, live: Live) -> int:
        """How many steps like this one may share their work: as many as were asked for, and as there is room for."""
        room = self.engine.memory.budget(self._numerics.device).limit
        return seats(live.inputs or {}, self._numerics.device, self._numerics.dtype, room, self.order.together)

    def _fits(self, live: Live, other: Live) -> bool:
        return other.alike == live.alike and other.path not in self._flying and not self.stopped(other)

    def _more_may_come(self, live: Live, here: set[str]) -> bool:
        """Is a step that could share this one's work still to come, and something under way that may bring it?"""
        over = self._done | self._failed.keys() | self._flying.keys() | here
        # What is behind a content that is not known yet may turn out to fit as well.
        expected = any(
            (other.alike == live.alike and other.status == "run") or (other.spec.id == live.spec.id and other.blockers)
            for path, other in self.frontier.lives.items()
            if path not in over and not self.stopped(other)
        )
        moving = bool(self._flying) or any(path not in here for ready in self._ready.values() for _, path in ready)
        return expected and moving

    def _launch(self, company: Sequence[Live], lane: str) -> None:
        going: list[tuple[Flight, Live, dict[str, Any]]] = []
        try:
            for live in company:
                inputs = fill(live.inputs, self.values.__getitem__)
                # A nested run holds a lane and a step: to wait for a flight that needs that lane, or that nests the
                # same step, would be to wait for ever.
                if live.spec.effect or live.spec.volatile or self.depth:
                    going.append((Flight(live.key, [(self, live)]), live, inputs))
                    continue
                flight, first = self.engine.flights.join(live.key, self, live)
                if not first:
                    continue
                going.append((flight, live, inputs))
                known = self._made_meanwhile(live)
                if known is not None:
                    going.pop()
                    self.engine.flights.land(flight, "done", known, None, None)
            if going:
                self._lanes.submit(lane, self._numerics.device, lambda: self._perform(going))
        except BaseException:
            # Whoever has joined them goes on alone.
            for flight, _, _ in going:
                if not flight.landed:
                    self.engine.flights.land(flight, "cancelled")
            raise

    def _made_meanwhile(self, live: Live) -> Outcome | None:
        """The outputs of a step that another job has made since this one was planned."""
        if not live.spec.outputs:
            return None
        traces: dict[str, str] = {}
        wanted: list[str] = []
        for out in live.spec.outputs:
            template = live.outputs.get(out.name)
            if out.name in live.unsettled:
                trace = self.engine.records.trace(output_id(live.key, out.name))
                if trace is None:
                    return None
                traces[out.name] = trace
                template = template_from_json(json.loads(trace))
            wanted.extend(ref.id for ref in holes(template))
        if any(self._lease(id) is None for id in wanted):
            return None
        return Outcome({id: self.values[id] for id in wanted}, traces, (), 0.0, 0, False)
