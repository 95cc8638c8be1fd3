"""Ahead: what it is worth that the next weights are read while a step computes, and what it costs that step.

Weights of a file that the system does not keep in memory, as after a start of the machine: a step computes, the next
one maps the file and reads every weight once. Once with the reader, once without it, once with the file in memory: the
floor. How much is still on disk when the weights are leased is the figure that does not depend on the machine.
"""

from __future__ import annotations

import gc
import os
import statistics
import tempfile
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure import Row
from engine import workflow
from engine.events import StepFinished
from engine.memory import Disk, Extent, Footprint, Memory
from engine.node import node
from engine.numerics import Numerics
from engine.packs import Pack
from engine.places import Places
from engine.records import Records
from engine.registry import make_registry
from engine.run import Run
from engine.session import Session
from engine.sockets import socket

SIZE = 512 * 2**20
LEFT: list[int] = []  # bytes that were not in memory when the weights were leased
TURNS = 240  # of 768 x 768: a second or two on one core


@socket()
@dataclass(frozen=True)
class Number:
    """What a step gives."""

    value: float


@socket(recipe=True)
@dataclass(frozen=True)
class Mapped:
    """Weights of one file."""

    file: str
    id: str

    @property
    def weights(self) -> str:
        """The file's name stands for its content."""
        return self.id

    def footprint(self, dtype: str) -> Footprint:
        """Its size."""
        return Footprint(os.stat(self.file).st_size)

    def sources(self, live: bool = False) -> tuple[Extent, ...]:
        """The whole file."""
        return () if live else (Extent(self.file, 0, os.stat(self.file).st_size),)

    def build(self, device: str, dtype: str) -> Any:
        """A module whose one parameter is the file."""
        import torch

        LEFT.append(sum(Disk().missing(extent) for extent in self.sources()))
        flat = torch.from_file(self.file, shared=False, size=os.stat(self.file).st_size // 4, dtype=torch.float32)
        module = torch.nn.Module()
        module.weight = torch.nn.Parameter(flat, requires_grad=False)
        return module

    def attach(self, module: Any) -> Callable[[], None]:
        """Nothing."""
        return lambda: None


@node("bench/ahead.weights", light=True)
def weights(file: str = "", id: str = "") -> Mapped:
    """A recipe."""
    return Mapped(file, id)


@node("bench/ahead.compute")
def compute(run: Run, turns: int = TURNS, seed: int = 0) -> Number:
    """Multiplies matrices, as a denoiser does."""
    import torch

    x = torch.full((768, 768), 1.0 / 768)
    y = x
    for _ in range(turns):
        y = y @ x
    return Number(float(y[0, 0]) + seed)


@node("bench/ahead.use")
def use(run: Run, model: Mapped, after: Number) -> Number:
    """Leases the weights and reads each once, as a first forward does."""
    with run.lease(model) as module:
        return Number(float(module.weight.amax()) + after.value)


class Off(Disk):
    """A disk from which nothing is read ahead."""

    def missing(self, extent: Extent) -> int:
        """Nothing."""
        return 0

    def bring(self, extent: Extent) -> Generator[int]:
        """Nothing."""
        yield from ()


def rows(times: int = 3, size: int = SIZE, turns: int = TURNS) -> list[Row]:
    """The first use of the weights, and the step before it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "weights.bin"
        block = os.urandom(2**20 - 2**18) + bytes(2**18)
        with file.open("wb") as stream:
            for _ in range(size // 2**20):
                stream.write(block)
            stream.flush()
            os.fsync(stream.fileno())
        found: dict[str, list[tuple[float, float, float]]] = {"ahead": [], "off": [], "warm": []}
        for turn in range(times + 1):
            for way, seconds in found.items():
                once = _once(Path(folder), file, way, turn, turns)
                if turn:  # the first of all imports torch
                    seconds.append(once)
    middle = {way: [statistics.median(column) for column in zip(*ones, strict=True)] for way, ones in found.items()}
    megabytes = size / 2**20
    note = f"without the reader {middle['off'][1] * 1e3:.0f} ms"
    first = f"first use of {megabytes:,.0f} MB that were on disk alone when the step before began"
    beside = "the step before, while the reader reads"
    left = {way: column[2] / 2**20 for way, column in middle.items()}
    return [
        Row(
            "ahead",
            f"of {megabytes:,.0f} MB still on disk when they are leased",
            left["ahead"],
            "MB",
            left["off"],
            "without the reader",
        ),
        Row("ahead", first, middle["ahead"][1] * 1e3, "ms", middle["warm"][1] * 1e3, "all in memory before", note=note),
        Row("ahead", beside, middle["ahead"][0] * 1e3, "ms", middle["off"][0] * 1e3, "without the reader"),
    ]


def _once(folder: Path, file: Path, way: str, turn: int, turns: int) -> tuple[float, float, float]:
    """Seconds of the step that computes and of the one that uses the weights; bytes that were on disk alone then."""
    gc.collect()  # what is still mapped would stay in memory
    whole = Extent(str(file), 0, file.stat().st_size)
    with file.open("rb") as stream:
        if way == "warm":
            while stream.read(2**22):
                pass
        else:
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            if Disk().missing(whole) < 0.9 * whole.end:
                raise AssertionError("the system keeps the file in memory whatever it is told: nothing to measure here")
    record = {
        "weft": 1,
        "title": "bench ahead",
        "nodes": {
            "weights": {"type": "bench/ahead.weights", "inputs": {"file": str(file), "id": f"{way} {turn}"}},
            "compute": {"type": "bench/ahead.compute", "inputs": {"turns": turns, "seed": turn}},
            "use": {
                "type": "bench/ahead.use",
                "inputs": {"model": {"from": "weights"}, "after": {"from": "compute"}},
            },
        },
        "outputs": {"out": "use"},
    }
    specs = tuple(function.__weft__ for function in (weights, compute, use))
    types = (Number.__weft_type__, Mapped.__weft_type__)  # type: ignore[attr-defined]
    registry = make_registry([Pack("bench", __name__, Path(__file__).parent, nodes=specs, types=types)])
    with Session(
        registry=registry,
        places=Places(home=folder / "home"),
        numerics=Numerics("cpu", threads=1),
        memory=Memory(),
        records=Records(),
        disk=Off() if way == "off" else None,
    ) as session:
        result = session.run(workflow.from_json(record))
    if result.state != "succeeded":
        raise AssertionError(result.problems[0].line())
    seconds = {event.path: event.seconds for event in result.events if isinstance(event, StepFinished)}
    return seconds["compute"], seconds["use"], float(LEFT.pop())
