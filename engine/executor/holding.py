"""Holding: what a job holds while it lasts – values by id, leased from the cache."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

from engine.errors import WeftError
from engine.executor.shared import Engine, Order
from engine.graph import Bound
from engine.plan import Frontier, Live
from engine.plan.unfolding import Blocked, Failed
from engine.sockets import Ref, fill, holes


class Holding:
    """The values of a job. Leases are counted, and given back at the last reader or at the end.

    A lane's thread may come for more after that: a step goes on for those who joined it when its own job has left.
    """

    engine: Engine
    order: Order
    frontier: Frontier
    prefix: str
    values: dict[str, Any]
    _leased: dict[str, int]
    _expected: set[str]  # stepped steps whose states this job waits for
    _gone: set[str]  # ids that were here and were let go
    _kept: set[str]  # the ids of the named outputs, and what was shown
    _passed: dict[str, Bound]  # named outputs that an effect passes on
    _released: bool
    _holding: threading.Lock

    def cancelled(self) -> bool:
        """Has the job been cancelled?"""
        return self.order.cancel.is_set()

    def stopped(self, live: Live) -> bool:
        """Has the job been cancelled, or the part of it that a step belongs to?"""
        return self.cancelled() or self.order.off(self.prefix + live.path)

    def _lease(self, id: str) -> str | None:
        if id in self.values:
            return "device"
        found = self.engine.cache.lease(id)
        if found is None:
            return None
        tier, value = found
        return tier if self._keep(id, value) else None

    def _hold(self, id: str, value: Any, seconds: float) -> None:
        self._keep(id, self.engine.cache.put(id, value, seconds, pinned=True))

    def _keep(self, id: str, value: Any) -> bool:
        """Hold a value that was leased for this job; one that comes after the job's end is given back at once."""
        with self._holding:
            if not self._released:
                self._leased[id] = self._leased.get(id, 0) + 1
                self.values[id] = value
                return True
        self.engine.cache.release(id)
        return False

    def _let_go(self, id: str) -> None:
        with self._holding:
            if self.values.pop(id, None) is not None:
                self._gone.add(id)
            count = self._leased.pop(id, 0)
        for _ in range(count):
            self.engine.cache.release(id)

    def _expect(self, live: Live) -> None:
        """Tell the others which states a step would go on from."""
        if live.checkpoints:
            self._expected.add(live.path)
            self.engine.checkpoints.expect((self, live.path), live.checkpoints)

    def _let_states_go(self, live: Live) -> None:
        """A stepped step is over."""
        if live.checkpoints:
            self.engine.checkpoints.begun((self, live.path))
            for id in live.checkpoints:
                if id in self.values:
                    self._let_go(id)

    def release(self) -> None:
        """Give every lease back."""
        with self._holding:
            self._released = True
        for path in self._expected:
            self.engine.checkpoints.begun((self, path))
        for id in list(self._leased):
            self._let_go(id)
        self.values.clear()

    def _output_templates(self) -> dict[str, Any]:
        """The named outputs, as far as they can be known.

        What an effect passes on (`save.image`) is no target: a file in place needs no picture. It is given when it is
        there all the same.
        """
        found = self.frontier.output_templates()
        for name, bound in self._passed.items():
            with contextlib.suppress(WeftError, Blocked, Failed, KeyError):
                found[name] = self.frontier._template(bound, self.frontier._scope)
        return found

    def _keep_outputs(self) -> None:
        self._kept.update(ref.id for template in self._output_templates().values() for ref in holes(template))

    def output_ids(self) -> dict[str, str]:
        """The ids of the named outputs that are there."""
        return {
            name: template.id
            for name, template in self._output_templates().items()
            if isinstance(template, Ref)
            and (template.id in self.values or self.engine.cache.known(template.id) is not None)
        }

    def results(self, fetch: bool = True, within: str = "") -> dict[str, Any]:
        """The values of the named outputs that are there; without `fetch` only those that are in memory already.

        Of a job with several graphs only those whose names begin with `within`.
        """
        found = {}
        for name, template in self._output_templates().items():
            if not name.startswith(within):
                continue
            ids = {ref.id for ref in holes(template)}
            if all(id in self.values or (fetch and self._lease(id) is not None) for id in ids):
                found[name] = fill(template, self.values.__getitem__)
        return found
