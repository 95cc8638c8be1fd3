"""Reuse: how many forwards of the denoiser a change costs. The figure is the same on every machine.

Each row is a run after others in one session with the model that ships: what it computed, beside the least that it has
to compute, or beside doing all of it anew. Results of resumed runs are compared bit by bit with runs from scratch.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.measure import Row
from bench.starter import MODEL, folder
from engine import workflow
from engine.memory import Memory
from engine.numerics import Numerics
from engine.places import Places
from engine.records import Records
from engine.session import Session
from engine.workflow import Workflow

ROOT = Path(__file__).resolve().parent.parent
LATE = 0.7  # from which part of the steps on the late input acts
LATE_TARGET, SWEEP_TARGET = 3.3, 2.5  # times fewer forwards
RESTART = 1.0  # seconds of CPU
GROUP = "reuse"


class Forwards:
    """Counts the forwards of every denoiser while it is open."""

    def __init__(self) -> None:
        self.count = 0

    def take(self) -> int:
        """How many since the last time."""
        count, self.count = self.count, 0
        return count

    @contextmanager
    def open(self) -> Iterator[Forwards]:
        """Within the block forwards are counted."""
        from diffusers import UNet2DConditionModel

        forward = UNet2DConditionModel.forward

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            return forward(*args, **kwargs)

        UNet2DConditionModel.forward = counted
        try:
            yield self
        finally:
            UNet2DConditionModel.forward = forward


def flow(model: str = MODEL, steps: int = 20, size: int = 128, **change: dict[str, Any]) -> Workflow:
    """Text to image with guidance as a node of its own; `change` adds to a node's inputs."""
    nodes: dict[str, tuple[str, dict[str, Any]]] = {
        "load": ("load.model", {"model": model}),
        "prompt": ("text.encode", {"encoder": {"from": "load.text_encoder"}, "text": "a red cube on a mint floor"}),
        "late": ("text.encode", {"encoder": {"from": "load.text_encoder"}, "text": "a blue sphere"}),
        "empty": ("text.encode", {"encoder": {"from": "load.text_encoder"}, "text": ""}),
        "first": ("text.place", {"conditioning": {"from": "prompt.conditioning"}}),
        "then": ("text.place", {"conditioning": {"from": "late.conditioning"}, "start": LATE, "weight": 0.5}),
        "both": ("text.combine", {"conditionings": [{"from": "first.conditioning"}, {"from": "then.conditioning"}]}),
        "canvas": ("latent.empty", {"model": {"from": "load.model"}, "width": size, "height": size}),
        "sample": (
            "denoise.sample",
            {
                **{"model": {"from": "load.model"}, "positive": {"from": "both.conditioning"}, "steps": steps},
                **{"negative": {"from": "empty.conditioning"}, "latent": {"from": "canvas.latent"}, "seed": 1},
                **{"cfg": 3.0, "sampler": "dpmpp_2m", "scheduler": "karras"},
            },
        ),
        "decode": ("vae.decode", {"vae": {"from": "load.vae"}, "latent": {"from": "sample.latent"}}),
        "grade": ("image.adjust", {"image": {"from": "decode.image"}, "contrast": 1.1}),
    }
    record = {
        "weft": 1,
        "title": "bench reuse",
        "nodes": {
            name: {"type": kind, "inputs": {**inputs, **change.get(name, {})}} for name, (kind, inputs) in nodes.items()
        },
        "outputs": {"image": "grade.image"},
    }
    return workflow.from_json(record)


@contextmanager
def session(home: Path, lower: bool = False) -> Iterator[Session]:
    """A session of its own."""
    from engine.disk import Disk

    places = Places(home=home)
    disk = Disk(home / "cache", {"engine", "nodes"}) if lower else None
    numerics = Numerics("cpu", threads=1)
    records = Records(home / "records.sqlite") if lower else Records()
    with Session(places=places, numerics=numerics, memory=Memory(), records=records, lower=disk) as made:
        yield made


def rows(model: str = MODEL, steps: int = 20, cold: bool = True, many: int = 64) -> list[Row]:
    """The changes an artist makes, one after the other."""
    path = folder(model)
    found: list[Row] = []

    def row(name: str, measured: float, floor: float, floor_is: str, note: str = "") -> None:
        found.append(Row(GROUP, name, measured, "", floor, floor_is, note=note))

    one = lambda **change: flow(model, steps, **change)  # noqa: E731
    first_late = next(index for index in range(steps) if index / steps >= LATE)
    rest = steps - first_late
    with tempfile.TemporaryDirectory() as place, Forwards().open() as forwards:
        home = _home(Path(place), path, model)
        with session(home, lower=True) as engine:
            picture = _run(engine, one())
            whole = forwards.take()
            row("forwards of a whole picture", whole, steps * 1.0, "its steps")
            _run(engine, one())
            row("an unchanged run again", forwards.take(), 0, "nothing")
            _run(engine, one(grade={"contrast": 1.2}))
            row("the last node changed", forwards.take(), 0, "nothing")
            _run(engine, one(prompt={"text": "a yellow cylinder"}))
            row("another prompt", forwards.take(), steps, "all steps")
            _run(engine, one(sample={"seed": 2}))
            row("another seed", forwards.take(), steps, "all steps")
            later = _run(engine, one(late={"text": "a green cube"}))
            late = forwards.take()
            row(f"a prompt that acts from {LATE:.0%} on changed", late, rest, "the steps it acts in")
            with session(_home(Path(place) / "scratch", path, model)) as other:
                again = _run(other, one(late={"text": "a green cube"}))
            forwards.take()
            row("the same, times fewer forwards than anew", whole / late, LATE_TARGET, "target: at least")
            row("the same, bit-equal to a run from scratch", float(_equal(later, again)), 1, "yes")
            _run(engine, one())
            row("A, B, A: the first again", forwards.take(), 0, "nothing")
            _run(engine, one(sample={"seed": 3, "stop_step": min(6, steps - 1)}))
            look = forwards.take()
            _run(engine, one(sample={"seed": 3}))
            row("a look after 6 steps, then the rest", look + forwards.take(), steps, "all steps, once")
            for index in range(8):
                _run(engine, one(sample={"seed": 4}, late={"text": f"a cube number {index}"}))
            swept = forwards.take()
            row("a sweep of 8 over the late prompt", swept, steps + 7 * rest, "its steps once, the late ones 8 times")
            row("the same, times fewer forwards than anew", 8 * steps / swept, SWEEP_TARGET, "target: at least")
            for index in range(many):
                _run(engine, one(sample={"seed": 100 + index, "steps": 2}, grade={"contrast": 1 + index / 100}))
            made = forwards.take()
            row(f"{many} rows of other seeds, 2 steps each", made, 2 * many, "all steps")
        with session(home, lower=True) as engine:
            same = _run(engine, one())
            row("the first picture after a restart", forwards.take(), 0, "nothing")
            row("the same, bit-equal", float(_equal(picture, same)), 1, "yes")
        if cold:
            found.append(_restart(home))
    return found


def _home(place: Path, weights: Path, model: str) -> Path:
    """A home with the measured model in it."""
    there = place / "models" / "checkpoints" / model
    there.parent.mkdir(parents=True, exist_ok=True)
    if not there.exists():
        os.symlink(weights, there, target_is_directory=True)
    return place


def _run(engine: Session, work: Workflow) -> Any:
    result = engine.run(work)
    if result.state != "succeeded":
        raise AssertionError(result.problems[0].line())
    return result["image"].pixels


def _equal(one: Any, other: Any) -> bool:
    import torch

    return torch.equal(one, other)


def _restart(home: Path) -> Row:
    """CPU seconds of a new process that runs a finished workflow again."""
    file = ROOT / "workflows" / "text_to_image.json"
    command: list[str] = [sys.executable, "-m", "engine.cli", "run", str(file), "--out", str(home / "out")]
    command += ["--set", "seed=7"]
    environment = {**os.environ, "WEFT_HOME": str(home)}
    spent = []
    for _ in range(3):
        before = os.times()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
        after = os.times()
        if done.returncode:
            raise AssertionError(done.stderr.strip()[-300:])
        spent.append(after.children_user + after.children_system - before.children_user - before.children_system)
    note = f"the first, with everything to compute, {spent[0]:.2f} s"
    return Row(GROUP, "a new process runs the demo again, CPU", min(spent[1:]), "s", RESTART, "target", note=note)
