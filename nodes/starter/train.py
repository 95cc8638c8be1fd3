"""Train the starter from zero: draw the pictures, then text encoder, VAE and UNet, then its LoRA and ControlNet.

    python -m nodes.starter.train OUT_DIR [--stage pictures|text|vae|unet|lora|control|all]

Everything is seeded. A stage that was cut off goes on from its checkpoint in OUT_DIR/checkpoints when it is
started again; the model grows in OUT_DIR/model.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from nodes.starter import pictures, train_control, train_lora, train_text, train_unet, train_vae

STAGES = ("pictures", "text", "vae", "unet", "lora", "control")


def main() -> None:
    """The command line."""
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("out", type=Path)
    parse.add_argument("--stage", choices=[*STAGES, "all"], default="all")
    parse.add_argument("--ranks", type=int, help="one-thread processes; as many as there are free cores")
    parse.add_argument("--steps", type=int, help="of one stage, instead of its plan's")
    args = parse.parse_args()
    if args.steps and args.stage in ("all", "pictures"):
        parse.error("--steps needs a --stage that trains")
    if args.stage != "pictures":
        import torch

        torch.set_num_threads(1)
    changes = {k: v for k, v in (("ranks", args.ranks), ("steps", args.steps)) if v}
    for stage in STAGES if args.stage == "all" else (args.stage,):
        run(stage, args.out, changes)


def run(stage: str, out: Path, changes: dict[str, int]) -> None:
    """One stage, its plan changed as told."""
    if stage == "pictures":
        pictures.render(out / "data", train_vae.COUNT, changes.get("ranks", 2))
    elif stage == "text":
        right = train_text.train(out, replace(train_text.PLAN, **changes))  # type: ignore[arg-type]
        print(f"text: {right:.1%} of held-out captions read without a fault")
    elif stage == "vae":
        print(f"vae: {train_vae.train(out, replace(train_vae.PLAN, **changes)):.2f} dB")  # type: ignore[arg-type]
    else:
        rest = {"unet": train_unet, "lora": train_lora, "control": train_control}[stage]
        rest.train(out, replace(rest.PLAN, **changes))


if __name__ == "__main__":
    main()
