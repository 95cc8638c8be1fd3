"""Main: the calls about everything but jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from engine.client.asynchronous.jobs import JobCalls
from engine.client.wire import Document, address_of, document, form_of, listed, sure
from engine.server.shapes import (
    Blob,
    ChangeShape,
    Checked,
    CheckRequest,
    ChoiceList,
    Diff,
    DiffRequest,
    Folder,
    Forecast,
    Freed,
    FreeRequest,
    GraphShape,
    Health,
    JobRequest,
    MemoryShape,
    ModelRow,
    Nodes,
    Opened,
    Planned,
    PlanRequest,
    ResultRef,
    SavedWorkflow,
    SaveRequest,
    Settings,
    State,
    Tab,
    TabRequest,
    Tabs,
    TokenCount,
    Tokens,
    TokensRequest,
    Trail,
    TrailPoint,
    TrailRequest,
    Uploaded,
    Words,
    WorkflowRow,
)


class AsyncClient(JobCalls):
    """One server. `address` is what `weft serve` printed (with the token), or a base address and `token`."""

    async def health(self) -> Health:
        """Is it there, and ready?"""
        return sure(Health, await self._ask(Health, "GET", "/healthz"))

    async def state(self) -> State:
        """The snapshot: machine, queue, settings, number of the last event."""
        return sure(State, await self._ask(State, "GET", "/api/state"))

    async def nodes(self) -> Nodes:
        """Every node, type and pack."""
        return sure(Nodes, await self._ask(Nodes, "GET", "/api/nodes"))

    async def choices(self, node: str, input: str) -> list[str]:
        """What an input may be set to just now."""
        found = await self._ask(ChoiceList, "GET", "/api/choices", params={"node": node, "input": input})
        return sure(ChoiceList, found).choices

    async def words(self, node: str, input: str) -> Words:
        """What may be completed in a text: names by kind, and words of earlier prompts."""
        return sure(Words, await self._ask(Words, "GET", "/api/words", params={"node": node, "input": input}))

    async def tokens(self, workflow: Document, to: str) -> list[TokenCount]:
        """The tokens of a text input (`path.input`), for every encoder that reads it."""
        asked = TokensRequest(document(workflow), to)
        return sure(Tokens, await self._ask(Tokens, "POST", "/api/tokens", asked)).counts

    async def check(self, workflow: Document) -> Checked:
        """What is wrong with a workflow."""
        return sure(Checked, await self._ask(Checked, "POST", "/api/check", CheckRequest(document(workflow))))

    async def plan(
        self, workflow: Document, parameters: Mapping[str, Any] | None = None, targets: Sequence[str] | None = None
    ) -> Planned:
        """What would run, and why."""
        body = PlanRequest(document(workflow), dict(parameters or {}), listed(targets))
        return sure(Planned, await self._ask(Planned, "POST", "/api/plan", body))

    async def models(self) -> dict[str, list[ModelRow]]:
        """Every model, by kind."""
        found: dict[str, list[ModelRow]] = await self._ask(dict[str, list[ModelRow]], "GET", "/api/models")
        return found

    async def memory(self) -> MemoryShape:
        """Who holds what."""
        return sure(MemoryShape, await self._ask(MemoryShape, "GET", "/api/memory"))

    async def free(self, *, models: bool = False, values: bool = False, disk: bool = False) -> int:
        """Give memory back, as far as it is not in use: models, values, what is kept on disk; the bytes."""
        body = FreeRequest(models, values, disk)
        return sure(Freed, await self._ask(Freed, "POST", "/api/memory/free", body)).bytes

    async def folders(self) -> list[Folder]:
        """Where pictures, workflows, models and nodes lie on the server's disk."""
        found: list[Folder] = await self._ask(list[Folder], "GET", "/api/folders")
        return found

    async def settings(self, change: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The settings; changed first where `change` is given."""
        if change is None:
            return sure(Settings, await self._ask(Settings, "GET", "/api/settings")).settings
        return sure(Settings, await self._ask(Settings, "PUT", "/api/settings", Settings(dict(change)))).settings

    async def graph(self, id: str, item: int | None = None) -> dict[str, Any]:
        """The exact workflow that made a result."""
        params = {"item": str(item)} if item is not None else {}
        path = f"/api/jobs/{quote(id, safe='')}/graph"
        return sure(GraphShape, await self._ask(GraphShape, "GET", path, params=params)).workflow

    async def diff(self, a: ResultRef, b: ResultRef) -> list[ChangeShape]:
        """In what two results, or workflows, differ."""
        return sure(Diff, await self._ask(Diff, "POST", "/api/diff", DiffRequest(a, b))).changes

    async def trail(self, workflow: Document, to: str, parameters: Mapping[str, Any] | None = None) -> list[TrailPoint]:
        """Earlier results whose graph is equal but for one input."""
        body = TrailRequest(document(workflow), to, dict(parameters or {}))
        return sure(Trail, await self._ask(Trail, "POST", "/api/trail", body)).points

    async def forecast(self, workflow: Document, parameters: Mapping[str, Any] | None = None, **more: Any) -> Forecast:
        """What `submit` with the same fields would run; what items share is counted once."""
        body = JobRequest(document(workflow), dict(parameters or {}), **more)
        return sure(Forecast, await self._ask(Forecast, "POST", "/api/forecast", body))

    async def tabs(self) -> list[Tab]:
        """Every tab that is open, without what is in it."""
        return sure(Tabs, await self._ask(Tabs, "GET", "/api/tabs")).tabs

    async def tab(self, name: str) -> Tab:
        """A tab, with what is in it."""
        return sure(Tab, await self._ask(Tab, "GET", f"/api/tabs/{quote(name, safe='')}"))

    async def put_tab(self, name: str, body: Mapping[str, Any], version: int | None = None) -> Tab:
        """Keep a tab; with `version`, `server.changed` when another browser changed it since."""
        headers = {"If-Match": f'"{version}"'} if version is not None else {}
        path = f"/api/tabs/{quote(name, safe='')}"
        return sure(Tab, await self._ask(Tab, "PUT", path, TabRequest(dict(body)), headers=headers))

    async def close_tab(self, name: str) -> None:
        """Close a tab in every browser."""
        await self._ask(Tabs, "DELETE", f"/api/tabs/{quote(name, safe='')}")

    async def picture(self, blob: Blob | str, size: int | None = None) -> bytes:
        """The bytes of a picture."""
        name = blob if isinstance(blob, str) else blob.blob
        params = {"size": str(size)} if size is not None else {}
        return (await self.send("GET", f"/api/blobs/{quote(name, safe='')}", params=params))[0]

    async def upload(self, picture: Path | bytes, name: str = "picture.png") -> Uploaded:
        """Send a picture; the reply has the name to use in a workflow."""
        return sure(Uploaded, await self._ask(Uploaded, "POST", "/api/uploads", data=form_of(picture, name)))

    async def open(self, file: Path | bytes, name: str = "picture.png") -> dict[str, Any]:
        """The workflow in a picture or a JSON file."""
        return sure(Opened, await self._ask(Opened, "POST", "/api/open", data=form_of(file, name))).workflow

    async def file(self, place: str, name: str) -> bytes:
        """A picture in `input` or `output`."""
        return (await self.send("GET", f"/api/files/{quote(place, safe='')}/{quote(name)}"))[0]

    async def workflows(self) -> list[WorkflowRow]:
        """Every workflow on the server."""
        found: list[WorkflowRow] = await self._ask(list[WorkflowRow], "GET", "/api/workflows")
        return found

    async def workflow(self, name: str, version: str | None = None) -> SavedWorkflow:
        """A workflow on the server."""
        params = {"version": version} if version is not None else {}
        return sure(SavedWorkflow, await self._ask(SavedWorkflow, "GET", address_of(name), params=params))

    async def save(self, name: str, workflow: Document, modified: float | None = None) -> SavedWorkflow:
        """Keep a workflow on the server."""
        return sure(
            SavedWorkflow,
            await self._ask(SavedWorkflow, "PUT", address_of(name), SaveRequest(document(workflow), modified)),
        )

    async def delete(self, name: str) -> None:
        """Take a workflow away; its versions stay."""
        await self._ask(list[WorkflowRow], "DELETE", address_of(name))
