"""Desk: a request becomes a job – checked, its seeds drawn, written down – or is refused with everything that is wrong.

All of it takes time (planning, the database) and runs on a thread beside the event loop's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.errors import Problem, WeftError, fail
from engine.places import Places
from engine.server import items
from engine.server.codec import encode
from engine.server.entry import Entry
from engine.server.line import PRIORITY
from engine.server.shapes import FinishRequest, ItemsRequest, JobRequest
from engine.server.store import ItemRow, Row, Store
from engine.server.trail import graph_of, shape_of_graph
from engine.session import Job, Session, flow_name
from engine.session.together import Part, parts
from engine.workflow import Workflow, from_json, to_json


@dataclass(frozen=True)
class Sender:
    """Who sent a request: a user (nobody for the owner of the machine), and with which program."""

    owner: str = ""
    client: str = ""


NOBODY = Sender()


class Desk:
    """Accepts jobs for a session. `follow` is told of every job that the engine has made of an entry."""

    def __init__(
        self,
        session: Session,
        store: Store,
        follow: Callable[[Entry, Job | Part], None],
        places: Callable[[str], Places] | None = None,
    ) -> None:
        """`places` are the folders of an owner."""
        self.places = places or (lambda owner: session.engine.places)
        self.session = session
        self.store = store
        self.follow = follow

    def _own(self, owner: str) -> Places | None:
        """A user's folders; None for the owner of the machine, whose workflows may bring their own."""
        return self.places(owner) if owner else None

    def accept(self, request: JobRequest, row: Row) -> Entry:
        """A job that is checked, has its seeds, and is written down."""
        workflow = from_json(request.workflow)
        row.title, row.request = request.title or workflow.title, encode(request)
        row.hook = request.webhook
        # Who shares the machine may step back for others, but not before them.
        row.priority = max(-PRIORITY, min(request.priority, 0 if row.owner else PRIORITY))
        if row.owner:
            row.request["front"] = False
        values = {**request.parameters, **request.set}
        items.check_together(request)
        if items.many(request):
            return self._many(request, row, workflow, values)
        job = self.session.accept(
            workflow, values, request.targets, again=request.again, id=row.id, places=self._own(row.owner)
        )
        job.close()  # what it can reuse is looked up again when its turn comes: nothing is pinned while it waits
        row.resolved, row.drawn = dict(job.order.document), dict(job.drawn)
        row.shape = shape_of_graph(job.workflow)
        self.store.add(row)
        entry = Entry(row, job)
        self.follow(entry, job)
        return entry

    def _many(self, request: JobRequest, row: Row, workflow: Workflow, values: Mapping[str, Any]) -> Entry:
        registry = self.session.engine.registry
        base, drawn = self.session.settle(workflow, values, items.names(request))
        found = items.expand(request, base, registry)
        stop = items.stops(request.stop or {}, base, registry)
        row.resolved, row.drawn, row.shape = to_json(base), drawn, shape_of_graph(base)
        if stop:
            row.request["stop"] = stop
            if request.targets is None:
                row.request["targets"] = items.unsaved(base.with_parameters({**stop, **found[0].set}), registry)
        entry = self._keep(row, found)
        self.session.seeds.use(flow_name(workflow), drawn)
        return entry

    def derive(self, id: str, request: ItemsRequest | FinishRequest, row: Row) -> Entry:
        """A job of the same values as another: to try again what did not succeed, or to finish what was stopped."""
        before = self.store.get(id)
        if before is None or (row.owner and before.owner != row.owner):
            raise fail("server.missing", f"there is no job '{id[:40]}'", mend="GET /api/jobs lists what there is")
        rows = self.store.items(id)
        finish = isinstance(request, FinishRequest)
        over = {"succeeded"} if not finish else set()
        kept = [one for one in rows if (one.state not in over if request.items is None else one.item in request.items)]
        unknown = set(request.items or ()) - {one.item for one in rows}
        if unknown:
            message = f"the job has no item {min(unknown)}"
            raise fail("server.request", message, mend=f"it has items 0 to {len(rows) - 1}" if rows else "it has none")
        if rows and not kept:
            raise fail("server.conflict", "every item of the job succeeded", mend="name the items in `items`")
        if finish and not before.request.get("stop"):
            raise fail("server.conflict", "the job did not stop early", mend="submit it with `stop`, or retry it")
        row.title, row.request, row.of = before.title, dict(before.request), id
        row.priority, row.resolved, row.drawn, row.shape = before.priority, before.resolved, before.drawn, before.shape
        if isinstance(request, FinishRequest):
            row.title = request.title or row.title
            row.request = {**row.request, "stop": None, "targets": None}
            if request.set:
                base = from_json(before.resolved).settled().with_parameters(request.set)
                row.resolved, row.shape = to_json(base), shape_of_graph(base)
                kept = [replace(one, sets={k: v for k, v in one.sets.items() if k not in request.set}) for one in kept]
        if rows:
            return self._keep(row, [items.Item(one.sets, one.label) for one in kept])
        entry = Entry(row)
        entry.job = self.again(entry)
        self.store.add(row)
        return entry

    def _keep(self, row: Row, found: Sequence[items.Item]) -> Entry:
        """Check the first item as a whole, then keep the job. What is wrong with another fails that one alone."""
        rows = [ItemRow(row.id, index, "queued", one.set, one.label) for index, one in enumerate(found)]
        entry = Entry(row)
        entry.add_items(rows)
        entry.items[0].job = self.again(entry.items[0])
        self.store.add(row, rows)
        return entry

    def together(self, entries: Sequence[Entry]) -> Job:
        """The engine's one job of several items that share their work; to each item it is a job of its own."""
        row, request = entries[0].row, entries[0].row.request
        job = self.session.accept_together(
            graph_of(row),
            [entry.own for entry in entries],
            request.get("targets"),
            size=int(request["together"]),
            again=request.get("again", False),
            places=self._own(row.owner),
            id=f"{row.id}.{entries[0].index}+{len(entries)}",
        )
        job.close()
        for entry, part in zip(entries, parts(job), strict=True):
            entry.job = part
            self.follow(entry, part)
        return job

    def wrong(self, entry: Entry) -> tuple[Problem, ...]:
        """What is wrong with an item by itself."""
        try:
            self.again(entry)
        except WeftError as error:
            return error.problems
        return ()

    def again(self, entry: Entry) -> Job:
        """The engine's job of a row: the very values it was accepted with, so no seed is drawn anew."""
        workflow = graph_of(entry.row, entry.own)
        request = entry.row.request
        job = self.session.accept(
            workflow,
            None,
            request.get("targets"),
            again=request.get("again", False),
            id=entry.id,
            places=self._own(entry.row.owner),
        )
        job.close()
        job.drawn = entry.row.drawn
        self.follow(entry, job)
        return job
