"""Serving: what the editor waits for after an edit – the plan of two hundred real nodes, over HTTP.

All of it is counted, the client's share too: the workflow as JSON, the request, reading, binding, ids, plan, the answer
and its JSON. What the page does with the answer is a browser's to measure (`tests/browser/test_scale.py` marks it).
"""

from __future__ import annotations

import asyncio
import http.client
import json
import tempfile
import threading
from pathlib import Path

from bench.measure import Row, repeated
from bench.starter import MODEL, branches
from engine.places import Places
from engine.records import Records
from engine.registry import Registry
from engine.server.main import Server
from engine.session import Session
from engine.workflow import to_json

TARGET = 0.1  # seconds from an edit to its plan
TOKEN = "a-token-of-the-bench-only"


def rows(model: str = MODEL, count: int = 33, times: int = 15) -> list[Row]:
    """`count` pictures of one model, six nodes each; every request brings another prompt of the first."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    with tempfile.TemporaryDirectory() as home:

        def make(places: Places, registry: Registry) -> Session:
            return Session(registry=registry, places=places, records=Records(places.state / "records.sqlite"))

        server = Server(Places(home=Path(home)), make, port=None, token=TOKEN, warm=False)
        address = asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(60)
        line = http.client.HTTPConnection("127.0.0.1", address.port)
        workflow = to_json(branches(model, count))
        asked = iter(range(1_000_000))

        def plan() -> None:
            workflow["nodes"]["prompt 0"]["inputs"]["text"] = f"edit {next(asked)}"
            head = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
            line.request("POST", "/api/plan", json.dumps({"workflow": workflow}), head)
            answer = line.getresponse()
            found = json.loads(answer.read())
            assert answer.status == 200 and len(found["steps"]) == len(workflow["nodes"]), found

        try:
            for _ in range(3):  # imports, the models' headers, the first look at everything
                plan()
            taken = repeated(plan, times)
        finally:
            line.close()
            asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    return [
        Row(
            "starter",
            f"POST /api/plan after an edit, {len(workflow['nodes'])} real nodes",
            taken.median * 1e3,
            "ms",
            TARGET * 1e3,
            "the target",
            taken.best * 1e3,
            "CPU of server and client: JSON, HTTP, bind, ids, plan",
        )
    ]
