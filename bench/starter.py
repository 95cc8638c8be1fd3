"""Starter: a picture of the model that ships, through the engine and through diffusers' own pipeline."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from bench import planning
from bench.measure import Row, Sample, cpu, difference, repeated
from bench.planning import Planner
from engine import workflow
from engine.errors import WeftError
from engine.numerics import Numerics
from engine.records import Records
from engine.registry import load_registry
from engine.session import Session
from engine.workflow import Link, Node, Value, Workflow

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "workflows" / "text_to_image.json"
MODEL = "starter/unet"
TARGET = 0.010
CFG = 3.0
SIZE = 128
SEED = 100


class NoStarter(Exception):
    """The model that ships is not there (yet)."""


class CommandFailed(Exception):
    """A command that is to be measured does not work."""


def folder(model: str = MODEL) -> Path:
    """Where the weights lie."""
    with Session(records=Records(), numerics=Numerics("cpu")) as session:
        try:
            return session.engine.places.model("checkpoints", model)
        except WeftError as error:
            raise NoStarter(f"the model '{model}' is not there: {error.problem.line()}") from None


@dataclass
class Pair:
    """The same picture both ways; the turn gives seed and prompts, so that nothing is ever there already."""

    ours: Callable[[int], Any]
    theirs: Callable[[int], Any]
    modules: dict[str, tuple[Any, Any]]  # component -> (ours, theirs)


def words(turn: int) -> tuple[str, str]:
    """Prompt and negative prompt of a turn: always two texts to encode, as the pipeline does."""
    colours = ("red", "green", "blue", "yellow")
    return f"a {colours[turn % 4]} sphere number {turn}", f"blurry {turn}"


def pair(session: Session, model: str, steps: int) -> Pair:
    """Both with one model, one scheduler, one list of generators, and no picture saved."""
    import torch
    from diffusers import DDIMScheduler, StableDiffusionPipeline
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for logging in (diffusers_logging, transformers_logging):
        logging.set_verbosity_error()
        logging.disable_progress_bar()
    path = session.engine.places.model("checkpoints", model)
    variant = {"variant": "fp16"} if list(path.glob("*/*.fp16.safetensors")) else {}
    pipe: Any = StableDiffusionPipeline.from_pretrained(path, **variant, dtype=torch.float32)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    flow: Workflow = workflow.read(FILE)

    def ours(turn: int) -> Any:
        prompt, negative = words(turn)
        values = {"model": model, "prompt": prompt, "negative": negative, "seed": SEED + turn}
        settings = {"steps": steps, "cfg": CFG, "sampler": "ddim", "scheduler": "normal", "width": SIZE, "height": SIZE}
        result = session.run(flow, {**values, **settings}, targets=["decode.image"])
        return result["decode.image"].pixels

    def theirs(turn: int) -> Any:
        prompt, negative = words(turn)
        return pipe(
            prompt,
            negative_prompt=negative,
            num_inference_steps=steps,
            guidance_scale=CFG,
            height=SIZE,
            width=SIZE,
            generator=[torch.Generator("cpu").manual_seed(SEED + turn)],
            output_type="pt",
        ).images

    ours(-2)
    live = {name.partition(":")[0]: held.module for name, held in session.engine.memory._modules.items()}
    modules = {
        "unet": (live["Denoiser"], pipe.unet),
        "text encoder": (live["TextEncoder"]["text_encoder"], pipe.text_encoder),
        "vae decoder": (live["VAE"].decoder, pipe.vae.decoder),
    }
    return Pair(ours, theirs, modules)


def count(module: Any, work: Callable[[], Any]) -> int:
    """How many forwards a module makes."""
    calls: list[int] = []
    handle = module.register_forward_pre_hook(lambda *_: calls.append(1))
    try:
        work()
    finally:
        handle.remove()
    return len(calls)


@dataclass(frozen=True)
class Side:
    """CPU seconds of each picture, and those of them that were spent outside the models' forwards.

    The forwards are the same code on the same weights both ways. They are 95 % of a picture, and on a machine that does
    other things as well their seconds differ by more from one picture to the next than the engine's whole share.
    """

    total: Sample
    outside: Sample


def compare(both: Pair, pairs: int) -> tuple[Side, Side]:
    """Both sides, picture by picture in turn; every other pair the other way round."""
    inside = [0.0]

    def timed(module: Any) -> None:
        forward = module.forward

        def count(*args: Any, **kwargs: Any) -> Any:
            started = time.thread_time()
            try:
                return forward(*args, **kwargs)
            finally:
                inside[0] += time.thread_time() - started

        module.forward = count

    for modules in both.modules.values():
        for module in modules:
            timed(module)
    seen: list[list[tuple[float, float]]] = [[], []]
    for turn in range(-1, pairs):
        works = [(0, both.ours), (1, both.theirs)]
        for side, work in works if turn % 2 else reversed(works):
            inside[0] = 0.0
            total = cpu(partial(work, turn), collect=False)
            if turn >= 0:
                seen[side].append((total, total - inside[0]))
    mine, reference = (Side(*(Sample(tuple(column)) for column in zip(*side, strict=True))) for side in seen)
    return mine, reference


def rows(model: str = MODEL, pairs: int = 30, steps: int = 20, branched: int = 166, cold: bool = True) -> list[Row]:
    """The engine's share of a picture, the forwards, the bits; and the first picture of a new process."""
    folder(model)
    import torch

    with Session(records=Records(), numerics=Numerics("cpu")) as session:
        both = pair(session, model, steps)
        found: list[Row] = []
        for name, (mine, reference) in both.modules.items():
            made = count(mine, lambda: both.ours(1000))
            asked = count(reference, lambda: both.theirs(1000))
            session.engine.cache.clear()
            found.append(Row("starter", f"forwards of the {name}", made, "", asked, "the bare pipeline's"))
        same = [torch.equal(both.ours(turn), both.theirs(turn).movedim(1, -1)) for turn in range(2000, 2003)]
        found.append(Row("starter", "pictures that are bit-equal to the pipeline's", sum(same), "", len(same), "all"))
        mine, reference = compare(both, pairs)
    more = difference(mine.total, reference.total)
    outside = difference(mine.outside, reference.outside)
    note = f"{pairs} interleaved pairs, {steps} steps; pipeline {reference.total.median * 1e3:.0f} ms"
    apart = f"the pipeline's own part {reference.outside.median * 1e3:.1f} ms"
    found += [
        Row(
            "starter",
            "engine over the bare pipeline, CPU outside the models' forwards",
            outside.median * 1e3,
            "ms",
            TARGET * 1e3,
            "target",
            note=apart,
        ),
        Row(
            "starter",
            "engine over the bare pipeline, CPU in all",
            more.median * 1e3,
            "ms",
            TARGET * 1e3,
            "target",
            note=note,
        ),
        Row(
            "starter",
            "a picture, CPU",
            mine.total.median * 1e3,
            "ms",
            reference.total.median * 1e3,
            "the bare pipeline",
            mine.total.best * 1e3,
            f"best of the pipeline {reference.total.best * 1e3:.0f} ms",
        ),
    ]
    found.append(plan_row(model, branched))
    return found + (first_picture(model) if cold else [])


def branches(model: str, count: int) -> Workflow:
    """One model and `count` pictures of it, each with prompts, canvas, sampler, decoder and save of its own."""
    flow = workflow.read(FILE)
    nodes: dict[str, Node] = {}
    for index in range(count):
        for name, node in flow.nodes.items():
            if name == "load":
                nodes[name] = replace(node, inputs={"model": Value(model)})
                continue
            inputs = dict(node.inputs)
            for socket, source in inputs.items():
                if isinstance(source, Link) and source.node != "load":
                    inputs[socket] = Link(f"{source.node} {index}", source.output)
            if name == "prompt":
                inputs["text"] = Value(f"{words(index)[0]}")
            if name == "sample":
                inputs["seed"] = Value(index)
            nodes[f"{name} {index}"] = replace(node, inputs=inputs)
    return Workflow(nodes=nodes, title="bench branches")


def plan_row(model: str = MODEL, count: int = 166, times: int = 9) -> Row:
    """bind + ids + plan of real nodes: facts compared, rules asked, every denoising step named."""
    planner = Planner(load_registry())
    flow = branches(model, count)
    taken = repeated(lambda: planner(flow), times)
    size = len(flow.nodes)
    return Row(
        "starter",
        f"bind + ids + plan of {size:,} real nodes, {count} pictures",
        taken.median * 1e3,
        "ms",
        planning.TARGET * 1e3 * size / 1000,
        "the target for nodes without rules",
        taken.best * 1e3,
        "facts, checks, lints, and 20 checkpoints named for each sampler",
    )


# --- a cold process ----------------------------------------------------------------------------------------------

BARE = """
import sys, torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
path, variant, out = sys.argv[1:]
pipe = StableDiffusionPipeline.from_pretrained(path, variant=variant or None, dtype=torch.float32)
pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
pipe.set_progress_bar_config(disable=True)
picture = pipe("a red sphere", negative_prompt="", num_inference_steps=20, guidance_scale=3.0, height=128, width=128,
               generator=[torch.Generator("cpu").manual_seed(7)]).images[0]
picture.save(out)
"""


def first_picture(model: str = MODEL, times: int = 3) -> list[Row]:
    """From nothing to a PNG: a new process of `weft run`, and one of a script that calls diffusers."""
    path = folder(model)
    variant = "fp16" if list(path.glob("*/*.fp16.safetensors")) else ""
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as out:
        for _ in range(times):
            command = ["run", str(FILE), "--set", f"model={model}", "--out", out, "--again"]
            ours.append(spent([sys.executable, "-m", "engine.cli", *command]))
            theirs.append(spent([sys.executable, "-c", BARE, str(path), variant, str(Path(out) / "bare.png")]))
    found = []
    for index, kind in enumerate(("on the clock", "CPU")):
        mine, reference = (Sample(tuple(run[index] for run in runs)) for runs in (ours, theirs))
        found.append(
            Row(
                "starter",
                f"first picture of a cold process, {kind}",
                mine.median,
                "s",
                reference.median,
                "a script that calls diffusers",
                mine.best,
            )
        )
    return found


def spent(command: list[str]) -> tuple[float, float]:
    """Seconds on the clock and CPU seconds of a command; raises with its errors when it fails."""
    before = os.times()
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    clock = time.perf_counter() - started
    after = os.times()
    if done.returncode:
        raise CommandFailed(f"{' '.join(command[:4])} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return clock, used
