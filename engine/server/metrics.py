"""Metrics: what the server counts and measures, as text that Prometheus reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import psutil
from aiohttp import web

from engine.errors import fail
from engine.server.book import Book
from engine.server.house import House
from engine.server.routing import route

TYPE = "text/plain; version=0.0.4; charset=utf-8"


@route("GET", "/metrics", "text/plain")
async def metrics(house: House, request: web.Request) -> web.Response:
    """Counts and measures for Prometheus; for the owner of the machine alone."""
    house.only_owner(request)
    if not house.config.metrics:
        raise fail("server.missing", "metrics are switched off", mend="log.metrics in weft.toml")
    text = exposition(house, await house.book() if house.ready else None)
    return web.Response(body=text.encode(), headers={"Content-Type": TYPE})


def exposition(house: House, book: Book | None) -> str:
    """Everything, in the text format 0.0.4."""
    lines: list[str] = []

    def family(name: str, kind: str, about: str, rows: Iterable[tuple[Mapping[str, str], float]]) -> None:
        lines.append(f"# HELP weft_{name} {about}")
        lines.append(f"# TYPE weft_{name} {kind}")
        lines.extend(f"weft_{name}{_labels(labels)} {_number(value)}" for labels, value in rows)

    process = psutil.Process()
    with process.oneshot():
        times, resident = process.cpu_times(), process.memory_info().rss
    counted = house.counts
    family("info", "gauge", "The version that runs.", [({"version": house.version}, 1)])
    family("start_time_seconds", "gauge", "When the process began, in Unix seconds.", [({}, process.create_time())])
    family("cpu_seconds_total", "counter", "CPU time of the process.", [({}, times.user + times.system)])
    family("resident_bytes", "gauge", "Memory of the process.", [({}, resident)])
    family("ready", "gauge", "1 once the engine answers.", [({}, float(house.ready))])
    family(
        "requests_total",
        "counter",
        "Requests by route, method and status.",
        [({"route": r, "method": m, "status": s}, n) for (r, m, s), n in sorted(counted.requests.items())],
    )
    family("request_seconds", "summary", "Seconds that requests took, by route; waiting for a job counts.", ())
    for name, seconds in sorted(counted.seconds.items()):
        total = sum(n for (r, _, _), n in counted.requests.items() if r == name)
        lines.append(f"weft_request_seconds_sum{_labels({'route': name})} {_number(seconds)}")
        lines.append(f"weft_request_seconds_count{_labels({'route': name})} {_number(total)}")
    family("events_total", "counter", "Durable events that were told.", [({}, house.hub.seq)])
    family("listeners", "gauge", "Open websockets.", [({}, len(house.hub.clients))])
    family("listeners_cut_total", "counter", "Websockets that were cut: they did not read.", [({}, house.hub.cut)])
    family(
        "jobs_total",
        "counter",
        "Jobs that are over, by state.",
        [({"state": state}, n) for state, n in sorted(counted.jobs.items())],
    )
    family("job_seconds_total", "counter", "Seconds that jobs ran for.", [({}, counted.job_seconds)])
    if book is not None:
        family("queue_jobs", "gauge", "Jobs that wait.", [({}, len(book.line))])
        family("running", "gauge", "Jobs and items that run.", [({}, len(book.running))])
        family("paused", "gauge", "1 while the queue is paused.", [({}, float(book.paused))])
        memory = book.session.engine.memory
        devices = list(memory.report())
        budgets = [(name, memory.budget(name)) for name in devices]
        used = [({"device": name}, budget.used) for name, budget in budgets]
        limits = [({"device": name}, budget.limit) for name, budget in budgets]
        family("memory_used_bytes", "gauge", "What Weft holds on a device.", used)
        family("memory_limit_bytes", "gauge", "What Weft may hold on a device.", limits)
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(round(float(value), 6))
