"""Quality: what each choice of numerics costs on the model that ships, whose pictures can be checked.

Every choice renders the same prompts from the same noise. What is told: CPU seconds beside the exact run, how far the
pictures are from the exact ones in levels of 255, and how many show what was asked (`nodes.starter.check`).

    python -m bench quality                    the table
    python -m bench.quality docs/numerics.png  the table, and a sheet of the pictures
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.measure import Row
from bench.reuse import MODEL, _home, session
from bench.starter import folder
from engine import workflow
from engine.workflow import Workflow
from nodes.starter.check import Prompt, judge, prompts

STEPS, CFG = 20, 3.0


@dataclass(frozen=True)
class Choice:
    """A way to compute: its name, the node between model and sampler, and how guidance is set."""

    name: str
    node: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    stop: float = 1.0


CHOICES = (
    Choice("exact"),
    Choice("attention: math", "numerics.attention", {"kernel": "math"}),
    Choice("channels last", "numerics.channels_last"),
    Choice("computed in bfloat16", "numerics.precision", {"dtype": "bfloat16"}),
    Choice("weights in float8 e4m3", "numerics.precision", {"storage": "float8_e4m3fn"}),
    Choice("weights in float8 e5m2", "numerics.precision", {"storage": "float8_e5m2"}),
    Choice("guidance until 0.75", stop=0.75),
    Choice("guidance until 0.5", stop=0.5),
    Choice("pyramid attention, every 2nd", "numerics.pyramid_attention", {"interval": 2}),
    Choice("deep cache, every 2nd step", "numerics.deep_cache", {"interval": 2}),
    Choice("deep cache, every 3rd step", "numerics.deep_cache", {"interval": 3}),
    Choice("deep cache, every 5th step", "numerics.deep_cache", {"interval": 5}),
)


@dataclass(frozen=True)
class Result:
    """What a choice gave."""

    choice: Choice
    seconds: float  # of CPU, a picture
    pictures: list[Any]  # [height, width, 3], 0..1
    right: int


def flow(model: str, choice: Choice, prompt: Prompt, steps: int) -> Workflow:
    """One picture."""
    nodes: dict[str, Any] = {
        "load": {"type": "load.model", "inputs": {"model": model}},
        "empty": {"type": "text.encode", "inputs": {"encoder": {"from": "load.text_encoder"}, "text": ""}},
        "prompt": {"type": "text.encode", "inputs": {"encoder": {"from": "load.text_encoder"}, "text": prompt.text}},
        "canvas": {"type": "latent.empty", "inputs": {"model": {"from": "load.model"}, "width": 128, "height": 128}},
        "guide": {"type": "guidance.cfg", "inputs": {"scale": CFG, "stop": choice.stop}},
    }
    if choice.node:
        nodes["choice"] = {"type": choice.node, "inputs": {"model": {"from": "load.model"}, **choice.options}}
    inputs = {"model": {"from": "choice.model" if choice.node else "load.model"}, "latent": {"from": "canvas.latent"}}
    inputs |= {"positive": {"from": "prompt.conditioning"}, "negative": {"from": "empty.conditioning"}}
    plain = {"guidance": {"from": "guide"}, "steps": steps, "seed": prompt.seed, "sampler": "ddim"}
    nodes["sample"] = {"type": "denoise.sample", "inputs": {**inputs, **plain}}
    vae = {"vae": {"from": "load.vae"}, "latent": {"from": "sample.latent"}}
    nodes["decode"] = {"type": "vae.decode", "inputs": vae}
    record = {"weft": 1, "title": "bench quality", "nodes": nodes, "outputs": {"image": "decode.image"}}
    return workflow.from_json(record)


def measure(
    model: str = MODEL, count: int = 24, steps: int = STEPS, choices: Sequence[Choice] = CHOICES
) -> list[Result]:
    """Every choice over the first `count` of the fixed prompts, taken evenly from all."""
    path = folder(model)
    every = list(prompts())
    asked = every[:: max(len(every) // count, 1)][:count]
    found = []
    with tempfile.TemporaryDirectory() as place, session(_home(Path(place), path, model)) as engine:
        engine.run(flow(model, CHOICES[0], every[-1], 2))  # the weights are there
        for choice in choices:
            pictures, right, seconds = [], 0, []
            for prompt in asked:
                started = time.process_time()
                result = engine.run(flow(model, choice, prompt, steps))
                seconds.append(time.process_time() - started)
                if result.state != "succeeded":
                    raise AssertionError(f"{choice.name}: {result.problems[0].line()}")
                picture = result["image"].pixels[0].numpy()
                pictures.append(picture)
                right += judge(picture, prompt.scene).all
            found.append(Result(choice, float(np.median(seconds)), pictures, right))
    return found


def rows(results: Sequence[Result]) -> list[Row]:
    """Seconds beside the exact run's; difference and obedience in the note."""
    exact = results[0]
    found = []
    for one in results:
        levels = 255 * float(np.mean([np.abs(a - b).mean() for a, b in zip(one.pictures, exact.pictures, strict=True)]))
        far = 255 * max(float(np.abs(a - b).max()) for a, b in zip(one.pictures, exact.pictures, strict=True))
        note = f"{levels:.2f} levels away on average, {far:.0f} at most; {one.right} of {len(one.pictures)} right"
        found.append(
            Row(
                "quality",
                one.choice.name,
                one.seconds * 1e3,
                "ms",
                exact.seconds * 1e3,
                "the exact run's CPU",
                note=note,
            )
        )
    return found


def sheet(results: Sequence[Result], path: Path, across: int = 5) -> None:
    """A row of pictures for each choice, its name beside it."""
    from PIL import Image, ImageDraw, ImageFont

    side, label = 96, 210
    page = Image.new("RGB", (label + across * (side + 4), len(results) * (side + 4)), "white")
    draw = ImageDraw.Draw(page)
    for down, one in enumerate(results):
        draw.text((6, down * (side + 4) + side // 2 - 8), one.choice.name, "black", ImageFont.load_default(14))
        for index, picture in enumerate(one.pictures[:across]):
            levels = (np.clip(picture, 0, 1) * 255).round().astype(np.uint8)
            page.paste(Image.fromarray(levels).resize((side, side)), (label + index * (side + 4), down * (side + 4)))
    page.quantize(128).save(path, optimize=True)


if __name__ == "__main__":
    from bench.__main__ import table

    made = measure()
    print(table(rows(made)))
    if len(sys.argv) > 1:
        sheet(made, Path(sys.argv[1]))
