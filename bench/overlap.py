"""Overlap: what runs beside the device, how soon a cancelled run ends, what a batch saves; by the diary's times."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from bench.measure import Row, cpu
from bench.reuse import MODEL, _home, flow, session
from bench.starter import folder
from engine import workflow
from engine.events import Event, JobFinished, StepFinished, StepProgress, StepStarted
from engine.workflow import Workflow, to_json

BATCH = 8
BATCH_TARGET = 1.8
TAIL = ("large", "save")


def rows(model: str = MODEL, steps: int = 10, pictures: int = 4, scale: int = 8) -> list[Row]:
    """Three figures of one session."""
    path = folder(model)
    with tempfile.TemporaryDirectory() as place, session(_home(Path(place), path, model)) as engine:
        engine.run(flow(model, 2))  # the weights are there
        return [_tail(engine, model, steps, pictures, scale), _cancel(engine, model), *_batch(engine, model, steps)]


def several(model: str, steps: int, count: int, scale: int) -> Workflow:
    """Pictures of one model, each enlarged and saved: work for every lane."""
    record: dict[str, Any] = to_json(flow(model, steps))
    shared = ("load", "prompt", "late", "empty", "first", "then", "both", "canvas")
    nodes = {name: node for name, node in record["nodes"].items() if name in shared}
    for index in range(count):
        sample = record["nodes"]["sample"]
        nodes[f"sample {index}"] = {**sample, "inputs": {**sample["inputs"], "seed": 50 + index}}
        vae = {"vae": {"from": "load.vae"}, "latent": {"from": f"sample {index}.latent"}}
        nodes[f"decode {index}"] = {"type": "vae.decode", "inputs": vae}
        enlarged = {"image": {"from": f"decode {index}.image"}, "factor": scale}
        nodes[f"large {index}"] = {"type": "image.scale", "inputs": enlarged}
        nodes[f"save {index}"] = {"type": "image.save", "inputs": {"image": {"from": f"large {index}.image"}}}
    return workflow.from_json({"weft": 1, "title": "bench overlap", "nodes": nodes})


def _tail(engine: Any, model: str, steps: int, pictures: int, scale: int) -> Row:
    """How much of enlarging, PNG and saving happens while the next picture denoises."""
    began: dict[str, float] = {}
    spans: dict[str, tuple[float, float]] = {}

    def note(event: Event) -> None:
        if isinstance(event, StepStarted):
            began[event.path] = time.perf_counter()
        if isinstance(event, StepFinished):
            now = time.perf_counter()
            spans[event.path] = (max(now - event.seconds, began[event.path]), now)

    result = engine.run(several(model, steps, pictures, scale), on_event=note)
    if result.state != "succeeded":
        raise AssertionError(result.problems[0].line())
    device = [span for path, span in spans.items() if path.split()[0] in ("sample", "decode")]
    tail = [span for path, span in spans.items() if path.split()[0] in TAIL]
    both = sum(max(0.0, min(a[1], b[1]) - max(a[0], b[0])) for a in tail for b in device)
    whole = sum(end - start for start, end in tail)
    side = 128 * scale
    return Row(
        "overlap",
        f"{pictures} pictures: share of enlarging and saving that is done beside the device",
        100 * both / whole,
        "%",
        100 * (pictures - 1) / pictures,
        "all but the last picture's",
        note=f"{side} x {side} pixels, {whole * 1e3:.0f} ms in all",
    )


def _cancel(engine: Any, model: str) -> Row:
    """From cancel to the end of the job, beside one denoising step."""
    late = []
    paces = []
    for turn in range(3):
        job = engine.submit(flow(model, 40, sample={"seed": 900 + turn}))
        times: list[float] = []
        asked = 0.0
        for event in job.events():
            if isinstance(event, StepProgress) and event.path == "sample":
                times.append(time.perf_counter())
                if len(times) == 6:
                    asked = time.perf_counter()
                    job.cancel()
            if isinstance(event, JobFinished):
                late.append(time.perf_counter() - asked)
        job.wait()
        paces.append((times[5] - times[1]) / 4)
    pace = sorted(paces)[1]
    return Row(
        "overlap",
        "from cancel to the end of the job",
        sorted(late)[1] * 1e3,
        "ms",
        pace * 1e3,
        "one denoising step",
        min(late) * 1e3,
    )


def _batch(engine: Any, model: str, steps: int) -> list[Row]:
    """CPU seconds of a picture, alone and in a batch."""

    def one(turn: int, count: int) -> None:
        engine.run(flow(model, steps, sample={"seed": 2000 + 100 * turn}, canvas={"batch": count}))

    alone = sorted(cpu(lambda turn=turn: one(turn, 1)) for turn in range(5))[2]
    many = sorted(cpu(lambda turn=turn: one(turn + 10, BATCH)) for turn in range(3))[1] / BATCH
    return [
        Row(
            "overlap",
            f"a picture in a batch of {BATCH}: times less CPU than alone",
            alone / many,
            "",
            BATCH_TARGET,
            "target: at least, on two threads",
            note=f"{many * 1e3:.0f} ms against {alone * 1e3:.0f}; one thread",
        )
    ]
