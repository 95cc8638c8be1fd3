"""How well the starter's LoRA and ControlNet do what they are for, by looking at pictures with and without them.

The LoRA: how large the objects are. The ControlNet: how much of the objects' outline lies where the edges are (the
intersection of the masks of what is no floor, over their union).

    python -m nodes.starter.check_adapters [FOLDER] [--count 40] [--sheet FILE.png]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nodes.starter import MODEL, check, world
from nodes.starter.look import look, solid
from nodes.starter.train_control import edges


def prompts(count: int) -> list[check.Prompt]:
    """Every so many of the 200 prompts, that say nothing of size."""
    plain = [one for one in check.prompts() if "big" not in one.text]
    return plain[:: max(1, len(plain) // count)][:count]


def drawn(pipe: Any, asked: Sequence[check.Prompt], hint: Any = None, **more: Any) -> Iterator[world.Floats]:
    """Pictures float32 [128, 128, 3], 20 steps of DDIM at guidance 3. `hint`: [prompts, 3, 128, 128] or nothing."""
    import torch

    for at in range(0, len(asked), 10):
        part = asked[at : at + 10]
        noise = [torch.Generator().manual_seed(one.seed) for one in part]
        texts = [one.text for one in part]
        extra = more if hint is None else {**more, "image": hint[at : at + 10]}
        made = pipe(texts, generator=noise, num_inference_steps=20, guidance_scale=3.0, output_type="np", **extra)
        yield from made.images.astype(np.float32)


def overlap(made: world.Floats, real: world.Floats) -> float:
    """Intersection over union of what is no floor, 0..1."""
    a, b = solid(made), solid(real)
    return float((a & b).sum() / max(1, (a | b).sum()))


def radius(pictures: Sequence[world.Floats]) -> float:
    """The mean radius of the objects that are seen, in the world's unit (half a picture)."""
    return float(np.mean([thing.radius for rgb in pictures for thing in look(rgb).objects]))


def main() -> None:
    """The command line."""
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("folder", nargs="?", type=Path, default=MODEL.parent, help="has model/, loras/, controlnet/")
    parse.add_argument("--count", type=int, default=40)
    parse.add_argument("--sheet", type=Path)
    args = parse.parse_args()
    import torch
    from diffusers import ControlNetModel, StableDiffusionControlNetPipeline, StableDiffusionPipeline

    torch.set_num_threads(1)
    asked = prompts(args.count)
    rows: list[list[world.Floats]] = []
    pipe: Any = StableDiffusionPipeline.from_pretrained(args.folder / "model", variant="fp16", dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    lora = args.folder / "loras" / "big.safetensors"
    if lora.is_file():
        pipe.load_lora_weights(lora, adapter_name="big")
        for strength in (-1.0, 0.0, 0.5, 1.0):
            pipe.set_adapters("big", strength)
            rows.append(list(drawn(pipe, asked)))
            right = np.mean([check.judge(rgb, one.scene).all for rgb, one in zip(rows[-1], asked, strict=True)])
            print(f"LoRA big at {strength:4.1f}: mean radius {radius(rows[-1]):.3f}, all right {right:.1%}", flush=True)
        pipe.unload_lora_weights()
    control = args.folder / "controlnet" / "edges"
    if control.is_dir():
        net = ControlNetModel.from_pretrained(control, variant="fp16", dtype=torch.float32)
        guided: Any = StableDiffusionControlNetPipeline.from_pipe(pipe, controlnet=net)
        guided.set_progress_bar_config(disable=True)
        real = list(check.truth(asked))
        lines = [edges(np.round(rgb * 255)) for rgb in real]
        rows += [real, [np.repeat(one[..., None], 3, -1) for one in lines]]
        hint = torch.from_numpy(np.stack(lines))[:, None].expand(-1, 3, -1, -1)
        for strength in (0.0, 0.5, 1.0):
            rows.append(list(drawn(guided, asked, hint, controlnet_conditioning_scale=strength)))
            shares = [overlap(made, truth) for made, truth in zip(rows[-1], real, strict=True)]
            right = np.mean([check.judge(rgb, one.scene).all for rgb, one in zip(rows[-1], asked, strict=True)])
            print(
                f"ControlNet edges at {strength:.1f}: overlap {np.mean(shares):.3f}, all right {right:.1%}", flush=True
            )
    if args.sheet:
        shown = [rgb for row in rows for rgb in row[:12]]
        check.sheet(shown, [False] * len(shown), args.sheet, min(12, len(asked)))


if __name__ == "__main__":
    main()
