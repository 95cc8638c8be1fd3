"""Forecast: what a job with items would cost before it is sent. What items share is counted once, as it will be run."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from engine.errors import WeftError
from engine.memory import Memory
from engine.memory.forecast import seats
from engine.places import Places
from engine.plan import Frontier, Live
from engine.server import items
from engine.server.codec import decode
from engine.server.house import House
from engine.server.routing import route
from engine.server.shapes import AloneShape, Forecast, JobRequest, ProblemShape, SharingShape
from engine.session import Session
from engine.workflow import Workflow, from_json

LOOK = 64  # items that are planned one by one; the cost of more is taken to go on like theirs


@dataclass
class Sharing:
    """Who shares forwards with whom: items come in turns of `size`, and of those as many as there is room for."""

    size: int
    groups: dict[tuple[int, str], list[int]] = field(default_factory=dict)  # steps to do of each, by turn and likeness
    most: dict[str, int] = field(default_factory=dict)  # how many have room at once, by likeness
    alone: Counter[tuple[str, str]] = field(default_factory=Counter)  # items, by node and reason
    own: int = 0  # steps that nobody shares

    def add(self, frontier: Frontier, live: Live, turn: int, steps: int, memory: Memory) -> None:
        """Count one stepped node that runs."""
        if not live.alike:
            self.own += steps
            if live.alone:
                self.alone[live.spec.title, live.alone] += 1
            return
        if live.alike not in self.most:
            numerics = frontier.setting.numerics
            room = memory.budget(numerics.device).limit
            self.most[live.alike] = seats(live.inputs or {}, numerics.device, numerics.dtype, room, self.size)
        self.groups.setdefault((turn, live.alike), []).append(steps)

    def shape(self, scale: float) -> SharingShape:
        """What it comes to. A forward of several serves until the last of them is done."""
        forwards, apart, rows = self.own, self.own, 1
        for (_, alike), steps in self.groups.items():
            apart += sum(steps)
            for first in range(0, len(steps), self.most[alike]):
                some = steps[first : first + self.most[alike]]
                forwards += max(some)
                rows = max(rows, len(some))
        alone = [AloneShape(node, why, round(items * scale)) for (node, why), items in self.alone.items()]
        return SharingShape(round(forwards * scale), round(apart * scale), rows, alone)


@dataclass
class Tally:
    """What has been counted: steps by the ids that they would leave, nodes by their keys."""

    memory: Memory
    sharing: Sharing | None = None
    items: int = 0
    steps: int = 0
    todo: set[str] = field(default_factory=set)
    nodes: set[str] = field(default_factory=set)
    run: set[str] = field(default_factory=set)
    seconds: float = 0.0
    measured: bool = True

    def add(self, frontier: Frontier) -> None:
        """Count one item's plan."""
        turn = self.items // self.sharing.size if self.sharing is not None else 0
        self.items += 1
        for live in frontier.lives.values():
            status = frontier.status(live)
            if status not in ("hit", "saved", "run", "maybe"):
                continue
            checkpoints = frontier.checkpoints(live)
            self.steps += len(checkpoints)
            name = live.key or live.path
            self.nodes.add(name)
            if status in ("hit", "saved"):
                continue
            ahead = set(checkpoints[live.resumed :])
            new = ahead - self.todo
            self.todo |= ahead
            if name in self.run:
                continue
            self.run.add(name)
            if self.sharing is not None and new:
                self.sharing.add(frontier, live, turn, len(new), self.memory)
            expected = frontier.reasons.seconds(live) if status == "run" else None
            if expected is None:
                self.measured = False
            else:
                self.seconds += expected * (len(new) / len(ahead) if ahead else 1.0)


@route("POST", "/api/forecast", Forecast, takes=JobRequest)
async def forecast(house: House, request: web.Request, body: JobRequest) -> Forecast:
    """What `POST /api/jobs` with this body would run: items, denoise steps, seconds; what is shared counted once."""
    session = await house.session()
    places = house.places_of(request) if house.owner(request) else None
    return await asyncio.to_thread(_forecast, session, body, places)


def _forecast(session: Session, body: JobRequest, places: Places | None) -> Forecast:
    workflow = from_json(body.workflow)
    values = {**body.set, **body.parameters}
    try:
        base, _ = session.settle(workflow, values, items.names(body))
        registry = session.engine.registry
        items.check_together(body)
        found = items.expand(body, base, registry)
        stop = items.stops(body.stop or {}, base, registry)
        targets = body.targets
        if stop and targets is None:
            targets = items.unsaved(base.with_parameters({**stop, **found[0].set}), registry)
    except WeftError as error:
        return Forecast(0, 0, 0, 0, 0, 0, None, [decode(ProblemShape, one.to_json()) for one in error.problems])
    own = [{**stop, **item.set} for item in found]
    return _count(session, base, own, targets, places, body.together)


def _count(
    session: Session,
    base: Workflow,
    own: Sequence[Mapping[str, Any]],
    targets: Sequence[str] | None,
    places: Places | None,
    together: int,
) -> Forecast:
    tally = Tally(session.engine.memory, Sharing(together) if together else None)
    problems: list[ProblemShape] = []
    for values in own[:LOOK]:
        try:
            frontier, _ = session.look(
                base.with_parameters(values), None, targets, places=places, together=bool(together)
            )
        except WeftError as error:
            problems += [decode(ProblemShape, one.to_json()) for one in error.problems]
            continue
        problems += [decode(ProblemShape, one.to_json()) for one in frontier.problems]
        tally.add(frontier)
        if len(problems) >= 20:
            break
    looked = min(len(own), LOOK)
    scale = len(own) / max(1, looked)
    return Forecast(
        items=len(own),
        looked=looked,
        steps=round(tally.steps * scale),
        todo=round(len(tally.todo) * scale),
        nodes=round(len(tally.nodes) * scale),
        run=round(len(tally.run) * scale),
        seconds=tally.seconds * scale if tally.measured else None,
        problems=problems[:20],
        sharing=tally.sharing.shape(scale) if tally.sharing is not None else None,
    )
