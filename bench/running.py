"""Running: what the engine itself costs, on nodes that do nothing."""

from __future__ import annotations

import dataclasses
import json
import tempfile
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from bench import worlds
from bench.measure import Row, Sample, cpu, interleaved
from engine.events import Event, StepFinished, StepStarted, ran
from engine.memory import Memory
from engine.numerics import Numerics
from engine.places import Places
from engine.session import Session
from engine.workflow import Workflow

RERUN_TARGET = 0.050


@contextmanager
def session() -> Iterator[Session]:
    """A session on the bench's nodes, its records on disk as everybody's are."""
    with tempfile.TemporaryDirectory() as folder:
        places = Places(home=Path(folder))
        with Session(
            registry=worlds.registry(),
            places=places,
            numerics=Numerics("cpu", threads=1),
            memory=Memory({"cpu": 2**30}),
        ) as made:
            yield made


def rows(size: int = 1000, times: int = 15) -> list[Row]:
    """An unchanged run, a first run, what events cost, and how much memory a run takes."""
    flow = worlds.mesh(size)
    with session() as engine:
        engine.run(flow)
        again, naive = interleaved(
            [lambda turn: _unchanged(engine, flow), lambda turn: worlds.ancestor_keys(flow)], times
        )
        first = Sample(tuple(cpu(partial(engine.run, worlds.edited(flow, turn))) for turn in range(2, 7)))
        diary = engine.run(worlds.edited(flow, 1000)).events
    scale = size / 1000
    return [
        Row(
            "run",
            f"an unchanged run of {size:,} nodes",
            again.median * 1e3,
            "ms",
            RERUN_TARGET * 1e3 * scale,
            "target",
            again.best * 1e3,
            "bind, plan and one hit",
        ),
        Row(
            "run",
            "the same beside the naive keys",
            again.median * 1e3,
            "ms",
            naive.median * 1e3,
            "naive: keys alone, every ancestor listed",
            again.best * 1e3,
        ),
        Row(
            "run",
            "a step that runs and does nothing",
            first.median / size * 1e6,
            "us",
            1000.0,
            "target: 1 ms a step",
            first.best / size * 1e6,
            "plan, lane, freeze guard, cache, events and records",
        ),
        *_events(diary, size),
        *_memory(size),
    ]


def _unchanged(engine: Session, flow: Workflow) -> None:
    events = engine.run(flow).events
    assert ran(events) == []


def _events(diary: tuple[Event, ...], size: int) -> list[Row]:
    """The diary of a whole run, against a progress message with the state of all nodes twice per node."""
    steps = [event for event in diary if isinstance(event, StepStarted | StepFinished)]
    text = json.dumps([event.to_json() for event in diary])
    # The naive message names every node with what it needs for a bar: its state, how far it is, of how much.
    one = {f"n{index}": {"state": "finished", "value": 1.0, "max": 1.0, "node": f"n{index}"} for index in range(size)}
    naive = len(json.dumps(one)) * 2 * size
    made = Sample(tuple(cpu(lambda: [dataclasses.replace(event) for event in steps]) for _ in range(9)))
    told = Sample(tuple(cpu(lambda: json.dumps([event.to_json() for event in steps])) for _ in range(9)))
    count = len(steps)
    return [
        Row(
            "run",
            f"the diary of {size:,} steps as JSON",
            len(text) / 1e6,
            "MB",
            naive / 1e6,
            "naive: the state of all nodes, twice a node",
            note=f"{len(diary):,} events",
        ),
        Row(
            "run",
            "an event: made",
            made.median / count * 1e6,
            "us",
            100.0,
            "target: 0.1 ms an event",
            made.best / count * 1e6,
        ),
        Row(
            "run",
            "an event: as JSON",
            told.median / count * 1e6,
            "us",
            100.0,
            "target: 0.1 ms an event",
            told.best / count * 1e6,
        ),
    ]


def _memory(size: int) -> list[Row]:
    """Python memory of a first run at its peak, and what is kept of it, against the naive keys of the same graph."""
    flow = worlds.mesh(size)
    with session() as engine:
        engine.run(worlds.mesh(10))
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            kept: Any = engine.run(flow)
            held, peak = (value - before for value in tracemalloc.get_traced_memory())
            del kept
        finally:
            tracemalloc.stop()
    tracemalloc.start()
    try:
        kept = worlds.ancestor_keys(flow)
        naive = tracemalloc.get_traced_memory()[1]
        del kept
    finally:
        tracemalloc.stop()
    return [
        Row(
            "run",
            f"memory of a first run of {size:,} nodes, at its peak",
            peak / 2**20,
            "MB",
            naive / 2**20,
            "naive: the keys alone, every ancestor listed",
        ),
        Row(
            "run",
            "memory kept of it: diary, graph, values",
            held / 2**20,
            "MB",
            naive / 2**20,
            "naive: the keys alone, every ancestor listed",
            note=f"{held / size / 1024:.1f} KB a node",
        ),
    ]
