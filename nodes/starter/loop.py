"""The training loop that the stages share: one-thread ranks, cosine decay, an average of the weights, checkpoints.

Two threads in one process collapse when the machine is busy, since every small operation waits for both;
one-thread processes that only meet to add their gradients degrade gracefully, so that is what `fit` starts.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train. `batch` is over all ranks; `rate` is the peak, reached after `warmup` steps."""

    steps: int
    batch: int
    rate: float
    seed: int
    warmup: int = 100
    betas: tuple[float, float] = (0.9, 0.99)
    decay: float = 0.01
    average: float = 0.998
    floor: float = 0.02
    ranks: int = 2
    save_every: float = 90.0


class Task(Protocol):
    """What one stage teaches. It is sent to every rank, so it holds paths and numbers, no tensors."""

    def build(self) -> Module:
        """The model before its first step; called after the seed is set."""

    def loss(self, model: Module, progress: float, count: int, rng: np.random.Generator) -> Tensor:
        """The mean loss on `count` fresh examples; `progress` runs from 0 to 1, `rng` also seeds torch's noise."""


def fit(task: Task, plan: Plan, checkpoint: Path) -> dict[str, Tensor]:
    """Train, or go on from `checkpoint`, and return the averaged weights.

    Every step draws from a generator of its own (seed, step, rank), so a resumed run repeats what an
    uninterrupted one would have done.
    """
    import torch
    from torch.multiprocessing.spawn import spawn

    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    if not _finished(checkpoint, plan):
        if plan.ranks == 1:
            _rank(0, task, plan, checkpoint, None)
        else:
            with tempfile.TemporaryDirectory() as meeting:
                spawn(_rank, (task, plan, checkpoint, meeting), nprocs=plan.ranks)
    average: dict[str, Tensor] = torch.load(checkpoint, weights_only=True)["average"]
    return average


def rate(plan: Plan, step: int) -> float:
    """The learning rate of a step: linear warm-up, then half a cosine down to `floor` of the peak."""
    if step < plan.warmup:
        return plan.rate * (step + 1) / plan.warmup
    along = (step - plan.warmup) / max(1, plan.steps - plan.warmup)
    return plan.rate * (plan.floor + (1 - plan.floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, along))))


def _finished(checkpoint: Path, plan: Plan) -> bool:
    import torch

    return checkpoint.exists() and torch.load(checkpoint, weights_only=True, mmap=True)["step"] >= plan.steps


def _rank(rank: int, task: Task, plan: Plan, checkpoint: Path, meeting: str | None) -> None:
    import torch

    if meeting is not None:
        torch.set_num_threads(1)
        torch.distributed.init_process_group("gloo", f"file://{meeting}/store", rank=rank, world_size=plan.ranks)
    torch.manual_seed(plan.seed)
    model = task.build()
    live = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(live, plan.rate, betas=plan.betas, weight_decay=plan.decay, fused=True)
    average = {k: v.detach().clone() for k, v in model.state_dict().items()}
    first = 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        average, first = saved["average"], saved["step"]

    def save(step: int) -> None:
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "average": average, "step": step}
        torch.save(state, checkpoint.with_suffix(".new"))
        os.replace(checkpoint.with_suffix(".new"), checkpoint)  # a cut in the middle of a save loses nothing

    began = told = kept = time.monotonic()
    recent: list[float] = []
    for step in range(first, plan.steps):
        rng = np.random.default_rng([plan.seed, step, rank])
        torch.manual_seed(int(rng.integers(2**62)))
        for group in optimizer.param_groups:
            group["lr"] = rate(plan, step)
        loss = task.loss(model, step / plan.steps, plan.batch // plan.ranks, rng)
        optimizer.zero_grad()
        loss.backward()
        if meeting is not None:
            _meet(live, plan.ranks)
        torch.nn.utils.clip_grad_norm_(live, 1.0)
        optimizer.step()
        # Early weights are worth little: the average begins short and grows to its full length.
        keep = min(plan.average, (step + 1) / (step + 10))
        _blend(average, model, keep)
        recent.append(float(loss.detach()))
        if rank == 0:
            now = time.monotonic()
            if now - told > 10 or step + 1 == plan.steps:
                left = (now - began) / (step + 1 - first) * (plan.steps - step - 1)
                print(_line(checkpoint.stem, step + 1, plan, float(np.mean(recent)), left), flush=True)
                told, recent = now, []
            if now - kept > plan.save_every or step + 1 == plan.steps:
                save(step + 1)
                kept = time.monotonic()
    if meeting is not None:
        torch.distributed.destroy_process_group()


def _line(name: str, step: int, plan: Plan, loss: float, left: float) -> str:
    spent = time.process_time() * plan.ranks / 60
    return (
        f"{time.strftime('%H:%M:%S')} {name} step {step}/{plan.steps} loss {loss:.5f} "
        f"rate {rate(plan, step):.2e} left {left / 60:.1f} min, {spent:.1f} core-minutes"
    )


def _meet(live: list[Any], ranks: int) -> None:
    """Replace every gradient by its mean over the ranks: one message, since small ones cost the most."""
    import torch

    flat = torch.cat([p.grad.reshape(-1) for p in live])  # [parameters]
    torch.distributed.all_reduce(flat)
    flat /= ranks
    start = 0
    for p in live:
        p.grad.copy_(flat[start : start + p.numel()].view_as(p))
        start += p.numel()


def _blend(average: dict[str, Tensor], model: Module, keep: float) -> None:
    import torch

    with torch.no_grad():
        now = model.state_dict()
        floats = [k for k, v in average.items() if v.is_floating_point()]
        torch._foreach_lerp_([average[k] for k in floats], [now[k] for k in floats], 1 - keep)
