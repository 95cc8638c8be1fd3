"""How well a model obeys: 200 fixed prompts, each with its own seed, judged by looking at the pictures.

`judge` compares a picture with the scene its prompt asked for; it is given nothing of the model. Prompts with
a colour–shape–floor combination that training never saw are counted apart.

    python -m nodes.starter.check [MODEL_DIR] [--sheet FILE.png] [--guidance 3] [--steps 20] [--list]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from nodes.starter import MODEL, world
from nodes.starter.look import BIG, Sight, look

SEED = 424_242
GROUPS = (("two objects", 2, 130, 45), ("one object", 1, 70, 25))  # name, objects, prompts, of them held out
PLACES = {"left": (-1.0, -0.25), "middle": (-0.25, 0.25), "right": (0.25, 1.0)}


@dataclass(frozen=True)
class Verdict:
    """What is right about a picture; `size` is told but not part of `all`, since "normal" is never said.

    color: as many of each colour as asked, each on its side. shape: the asked shapes from left to right.
    position: a lone object in its third; of two, found by their colours, the right one clearly to the right.
    """

    background: bool
    count: bool
    color: bool
    shape: bool
    position: bool
    size: bool

    @property
    def all(self) -> bool:
        """Whether everything but the size is right."""
        return self.background and self.count and self.color and self.shape and self.position


@dataclass(frozen=True)
class Prompt:
    """One of the fixed prompts, with the scene it asks for and the seed it is drawn with."""

    text: str
    scene: world.Scene
    seed: int
    unseen: bool


def judge(rgb: world.Floats, scene: world.Scene, sight: Sight | None = None) -> Verdict:
    """Compare a picture, float32 [size, size, 3], 0..1, with a scene; one without a floor takes any of the world's."""
    sight = sight or look(rgb)
    seen, asked = sight.objects, scene.objects
    colors = [o.color for o in seen]
    spots = [seen[colors.index(o.color)].x if o.color in colors else None for o in asked]
    if len(asked) == 1:
        low, high = PLACES[asked[0].place]
        position = len(seen) == 1 and low <= seen[0].x <= high
    else:
        position = spots[0] is not None and spots[1] is not None and spots[1] - spots[0] > 0.15
    return Verdict(
        background=sight.floor in ((scene.floor,) if scene.floor else tuple(world.FLOORS)),
        count=len(seen) == len(asked),
        color=colors == [o.color for o in asked],
        shape=[o.shape for o in seen] == [o.shape for o in asked],
        position=position,
        size=[o.radius > BIG for o in seen] == [o.big for o in asked],
    )


def prompts() -> Iterator[Prompt]:
    """The fixed prompts, those with an unseen combination among them."""
    for _, objects, count, unseen in GROUPS:
        for i in range(count):
            rng = np.random.default_rng([SEED, objects, i])
            scene = world.sample(rng, objects=objects, held=i < unseen)
            text = ""
            while scene.floor not in text.split():  # now and then a caption leaves the floor out
                text = world.caption(scene, rng)
            yield Prompt(text, scene, SEED + i, i < unseen)


def truth(asked: list[Prompt]) -> Iterator[world.Floats]:
    """What the renderer draws for the prompts: a checker that finds fault here is wrong."""
    for p in asked:
        yield world.draw(p.scene, world.arrange(p.scene, np.random.default_rng(p.seed))).rgb


def render(
    folder: Path, asked: list[Prompt], *, steps: int = 20, guidance: float = 3.0, batch: int = 10
) -> Iterator[world.Floats]:
    """Pictures float32 [128, 128, 3] of the model in `folder`, in fp32 with DDIM; each prompt has its own noise."""
    import torch
    from diffusers import StableDiffusionPipeline

    pipe: Any = StableDiffusionPipeline.from_pretrained(folder, variant="fp16", dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    for start in range(0, len(asked), batch):
        part = asked[start : start + batch]
        noise = [torch.Generator().manual_seed(p.seed) for p in part]
        texts = [p.text for p in part]
        made = pipe(
            texts, generator=noise, num_inference_steps=steps, guidance_scale=guidance, output_type="np"
        ).images  # [part, 128, 128, 3]
        yield from made.astype(np.float32)


def table(rows: list[tuple[str, Verdict]]) -> str:
    """Percentages per group, a line each."""
    names = [f.name for f in fields(Verdict)] + ["all"]
    lines = [f"{'':28}" + "".join(f"{n:>12}" for n in names)]
    for group in dict.fromkeys(g for g, _ in rows):
        verdicts = [v for g, v in rows if g == group]
        shares = [100 * float(np.mean([getattr(v, n) for v in verdicts])) for n in names]
        lines.append(f"{group} ({len(verdicts)})".ljust(28) + "".join(f"{s:12.1f}" for s in shares))
    return "\n".join(lines)


def sheet(pictures: list[world.Floats], wrong: list[bool], path: Path, across: int = 20) -> None:
    """A contact sheet; pictures that are not all right get a red frame."""
    from PIL import Image

    size = pictures[0].shape[0] + 4
    canvas = np.full((-(-len(pictures) // across) * size, across * size, 3), 255, dtype=np.uint8)
    for i, (rgb, bad) in enumerate(zip(pictures, wrong, strict=True)):
        y, x = i // across * size, i % across * size
        canvas[y : y + size, x : x + size] = (220, 0, 0) if bad else (255, 255, 255)
        canvas[y + 2 : y + size - 2, x + 2 : x + size - 2] = np.round(rgb * 255)
    Image.fromarray(canvas).save(path)


def main() -> None:
    """The command line."""
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("model", nargs="?", type=Path, default=MODEL)
    parse.add_argument("--sheet", type=Path)
    parse.add_argument("--guidance", type=float, default=3.0)
    parse.add_argument("--steps", type=int, default=20)
    parse.add_argument("--threads", type=int, default=1, help="more is slower wherever other work is going on")
    parse.add_argument("--list", action="store_true", help="name every picture that is wrong")
    parse.add_argument("--truth", action="store_true", help="judge the renderer's own pictures instead of a model's")
    args = parse.parse_args()
    if not args.truth:
        import torch

        torch.set_num_threads(args.threads)
    asked = list(prompts())
    began = time.monotonic()
    made = list(truth(asked) if args.truth else render(args.model, asked, steps=args.steps, guidance=args.guidance))
    seconds = (time.monotonic() - began) / len(asked)
    rows: list[tuple[str, Verdict]] = []
    verdicts = []
    for prompt, rgb in zip(asked, made, strict=True):
        sight = look(rgb)
        verdict = judge(rgb, prompt.scene, sight)
        verdicts.append(verdict)
        if args.list and not verdict.all:
            shown = ", ".join(f"{o.color} {o.shape or '?'} at {o.x:.2f}" for o in sight.objects)
            print(f"{prompt.text} → {shown or 'nothing'} on {sight.floor or '?'}")
    for name, objects, _, _ in GROUPS:
        mine = [(p, v) for p, v in zip(asked, verdicts, strict=True) if len(p.scene.objects) == objects]
        rows += [(name, v) for _, v in mine]
        rows += [(f"{name}, seen", v) for p, v in mine if not p.unseen]
        rows += [(f"{name}, held out", v) for p, v in mine if p.unseen]
    print(table(rows))
    print(f"{seconds:.2f} s per picture, with loading")
    if args.sheet:
        sheet(made, [not v.all for v in verdicts], args.sheet)


if __name__ == "__main__":
    main()
