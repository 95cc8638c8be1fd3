"""Gpu: pictures at full size with random weights – eager, compiled, bare diffusers – and under capped memory.

    python -m bench.gpu                            Stable Diffusion 1.5 and XL on the best device
    python -m bench.gpu --family sdxl --device cuda:1 --json out.json
    python -m bench.gpu --tiny --device cpu        the same code on toy models: shows that it runs

Weights are random, in the shapes of the published models, written to a folder for the time of the run: seconds and
memory do not depend on what a picture shows. The busy share is kernels' time by the clock's, from torch's profiler.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.measure import Row, Sample
from engine import workflow
from engine.memory import Memory, probe
from engine.numerics import Numerics
from engine.places import Places
from engine.records import Records
from engine.session import Session
from engine.workflow import Workflow

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = ROOT / "nodes" / "families" / "configs"
TOKENIZER = ROOT / "nodes" / "starter" / "model" / "tokenizer"
CLIPS: dict[str, dict[str, dict[str, Any]]] = {
    "sd1": {"text_encoder": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12}},
    "sdxl": {
        "text_encoder": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12},
        "text_encoder_2": {
            **{"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32},
            **{"num_attention_heads": 20, "projection_dim": 1280},
        },
    },
}
SIDES = {"sd1": 512, "sdxl": 1024}
CAPS = (1.0, 0.25, 0.10)


def write(folder: Path, family: str) -> Path:
    """A model folder of the family's real shapes, weights random in float16, as diffusers saves it."""
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from safetensors.torch import save_file
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    from nodes.families.base import unmade

    generator = torch.Generator().manual_seed(0)
    index: dict[str, Any] = {"scheduler": ["diffusers", "DDIMScheduler"]}
    made: dict[str, tuple[str, Callable[[], Any]]] = {}
    for name, kind in (("unet", UNet2DConditionModel), ("vae", AutoencoderKL)):
        config = json.loads((CONFIGS / family / name / "config.json").read_text())
        made[name] = ("diffusers", lambda kind=kind, config=config: kind.from_config(config))  # type: ignore[misc]
    for name, numbers in CLIPS[family].items():
        text = CLIPTextModel if name == "text_encoder" else CLIPTextModelWithProjection
        config = CLIPTextConfig(vocab_size=49408, **numbers)
        made[name] = ("transformers", lambda text=text, config=config: text(config))  # type: ignore[misc]
        tokenizer = name.replace("text_encoder", "tokenizer")
        shutil.copytree(TOKENIZER, folder / tokenizer)
        index[tokenizer] = ["transformers", "CLIPTokenizer"]
    for name, (library, make) in made.items():
        with unmade():
            module = make()
        state = {
            key: (torch.randn(tensor.shape, generator=generator) * 0.02).half()
            for key, tensor in module.state_dict().items()
            if tensor.is_floating_point()
        }
        (folder / name).mkdir(parents=True)
        module.config.to_json_file(folder / name / "config.json") if library == "transformers" else None
        if library == "diffusers":
            module.save_config(folder / name)
        stem = "diffusion_pytorch_model" if library == "diffusers" else "model"
        save_file(state, folder / name / f"{stem}.safetensors", metadata={"format": "pt"})
        index[name] = [library, type(module).__name__]
    DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False, steps_offset=1).save_pretrained(
        folder / "scheduler"
    )
    kind = "StableDiffusionXLPipeline" if family == "sdxl" else "StableDiffusionPipeline"
    (folder / "model_index.json").write_text(json.dumps({"_class_name": kind, **index}))
    return folder


def flow(model: str, side: int, steps: int, seed: int, compiled: bool = False) -> Workflow:
    """One picture."""
    nodes: dict[str, Any] = {
        "load": {"type": "load.model", "inputs": {"model": model}},
        "prompt": {"type": "text.encode", "inputs": {"encoder": {"from": "load.text_encoder"}, "text": f"a {seed}"}},
        "empty": {"type": "text.encode", "inputs": {"encoder": {"from": "load.text_encoder"}, "text": ""}},
        "canvas": {"type": "latent.empty", "inputs": {"model": {"from": "load.model"}, "width": side, "height": side}},
    }
    if compiled:
        nodes["fast"] = {"type": "numerics.compile", "inputs": {"model": {"from": "load.model"}}}
    inputs = {"model": {"from": "fast.model" if compiled else "load.model"}, "latent": {"from": "canvas.latent"}}
    inputs |= {"positive": {"from": "prompt.conditioning"}, "negative": {"from": "empty.conditioning"}}
    plain = {"steps": steps, "cfg": 5.0, "seed": seed, "sampler": "ddim"}
    nodes["sample"] = {"type": "denoise.sample", "inputs": {**inputs, **plain}}
    nodes["decode"] = {
        "type": "vae.decode",
        "inputs": {"vae": {"from": "load.vae"}, "latent": {"from": "sample.latent"}, "precision": "float32"},
    }
    return workflow.from_json({"weft": 1, "title": "bench gpu", "nodes": nodes, "outputs": {"image": "decode.image"}})


def rows(
    families: Sequence[str], device: str, steps: int = 20, times: int = 3, tiny: bool = False, compiled: bool = True
) -> list[Row]:
    """Seconds of a warm picture each way, the device's busy share, and seconds under capped memory."""
    found = []
    numerics = probe(device)
    for family in families:
        with tempfile.TemporaryDirectory() as place:
            model = Path(place) / "models" / "checkpoints" / family
            (_tiny if tiny else write)(model, family)
            found += _family(
                Path(place), model, family, numerics, 64 if tiny else SIDES[family], steps, times, compiled
            )
    return found


def _tiny(folder: Path, family: str) -> Path:
    from tests.nodes.conftest import make_sd1, make_sdxl

    folder.parent.mkdir(parents=True, exist_ok=True)
    return (make_sdxl if family == "sdxl" else make_sd1)(folder)


def _family(
    home: Path, model: Path, family: str, numerics: Numerics, side: int, steps: int, times: int, compiled: bool
) -> list[Row]:
    bare = _bare(model, family, numerics, side, steps, times)
    found = []
    what = f"{family} {side} x {side}, {steps} steps, {numerics.dtype} on {numerics.capability or numerics.device}"
    ways = ("eager", "compiled") if compiled else ("eager",)
    for way in ways:
        with _session(home, numerics) as engine:
            seconds, busy = _warm(engine, numerics, family, side, steps, times, way == "compiled")
        row = f"{what}: {way}"
        found.append(Row("gpu", row, seconds.median, "s", bare.median, "bare diffusers, eager", seconds.best))
        if busy is not None:
            found.append(Row("gpu", f"{row}, busy share", 100 * busy, "%", 100.0, "all of the time"))
    total = Memory().device(numerics.device).total()
    for cap in CAPS[1:]:
        limit = int(total * cap)
        with _session(home, numerics, Memory({numerics.device: limit})) as engine:
            seconds, _ = _warm(engine, numerics, family, side, steps, max(times - 1, 1), False)
            peak = engine.engine.memory.budget(numerics.device).peak
        note = f"budget {limit / 2**30:.1f} GB, counted peak {peak / 2**30:.1f} GB"
        name = f"{what}: memory capped at {cap:.0%}"
        found.append(Row("gpu", name, seconds.median, "s", bare.median, "bare diffusers, uncapped", seconds.best, note))
    return found


def _session(home: Path, numerics: Numerics, memory: Memory | None = None) -> Session:
    return Session(places=Places(home=home), numerics=numerics, memory=memory or Memory(), records=Records())


def _warm(
    engine: Session, numerics: Numerics, family: str, side: int, steps: int, times: int, compiled: bool
) -> tuple[Sample, float | None]:
    """Seconds of pictures after the first, and the busy share of the last one (None where no profiler counts it)."""
    seconds: list[float] = []

    def picture(seed: int) -> None:
        started = time.perf_counter()
        result = engine.run(flow(family, side, steps, seed, compiled))
        if result.state != "succeeded":
            raise AssertionError(result.problems[0].line())
        float(result["image"].pixels.sum())  # the device has finished
        seconds.append(time.perf_counter() - started)

    for seed in range(times + 1):
        picture(seed)
    busy = None
    if numerics.device_class == "cuda":
        from torch.profiler import ProfilerActivity, profile

        with profile(activities=[ProfilerActivity.CUDA]) as seen:
            picture(1000)
        spent = sum(event.self_device_time_total for event in seen.key_averages()) / 1e6
        busy = spent / seconds.pop()
    return Sample(tuple(seconds[1:])), busy


def _bare(model: Path, family: str, numerics: Numerics, side: int, steps: int, times: int) -> Sample:
    """diffusers' own pipeline with the same weights, eager."""
    import gc

    import torch
    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

    kind: Any = StableDiffusionXLPipeline if family == "sdxl" else StableDiffusionPipeline
    dtype = getattr(torch, numerics.dtype)
    pipe = kind.from_pretrained(model, dtype=dtype, local_files_only=True).to(numerics.device)
    pipe.set_progress_bar_config(disable=True)
    seconds = []
    for seed in range(times + 1):
        started = time.perf_counter()
        generator = [torch.Generator("cpu").manual_seed(seed)]
        given = {"num_inference_steps": steps, "guidance_scale": 5.0, "height": side, "width": side}
        float(pipe(f"a {seed}", generator=generator, output_type="pt", **given).images.sum())
        seconds.append(time.perf_counter() - started)
    del pipe
    gc.collect()
    Memory().device(numerics.device).release()
    return Sample(tuple(seconds[1:]))


def main(arguments: Sequence[str]) -> int:
    """Measure, print the table, write the JSON."""
    from bench.__main__ import RESULTS, machine, table

    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("--family", action="append", choices=tuple(SIDES), help="one of them; both without it")
    parser.add_argument("--device", default="auto", help="cuda, cuda:1, cpu; by default the best there is")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--times", type=int, default=3, help="pictures that are counted")
    parser.add_argument("--tiny", action="store_true", help="toy models: only to see that it runs")
    parser.add_argument("--eager", action="store_true", help="leave the compiled row out")
    parser.add_argument("--json", type=Path, default=RESULTS / "gpu.json", help="where the rows go as data")
    given = parser.parse_args(arguments)
    about = machine()
    made = rows(given.family or list(SIDES), given.device, given.steps, given.times, given.tiny, not given.eager)
    print(table(made))
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps({"machine": about, "rows": [row.to_json() for row in made]}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
