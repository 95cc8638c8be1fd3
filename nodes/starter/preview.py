"""Fit the starter's previews: the linear map from its latents to RGB, written beside its VAE as `preview.json`.

    python -m nodes.starter.preview MODEL_DIR

To be run again whenever the VAE was trained again: the map is the VAE's own.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from nodes.denoise.preview import fit
from nodes.families import build_vae, vae_recipe
from nodes.families.files import PREVIEW, component
from nodes.starter import world

PICTURES, SEED = 64, 4


def main() -> None:
    """The command line."""
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("model", type=Path)
    print(write(parse.parse_args().model))


def write(model: Path, count: int = PICTURES) -> Path:
    """Encode `count` pictures of the world, fit, and write the map into the VAE's folder."""
    import numpy as np
    import torch

    recipe = vae_recipe(component(model / "vae"))
    vae = build_vae(recipe, "cpu", "float32")
    drawn = np.stack([world.picture(SEED, index)[2].rgb for index in range(count)])
    pixels = torch.from_numpy(drawn).float()  # (B, 128, 128, 3)
    with torch.no_grad():
        means = [vae.encode(2.0 * one[None].movedim(-1, 1) - 1.0).latent_dist.mode() for one in pixels]
    table = fit((torch.cat(means) - recipe.shift) * recipe.scale, pixels)
    path = model / "vae" / PREVIEW
    rows = ",\n".join(f"  {json.dumps(row)}" for row in table)
    path.write_text(f'{{"latent_rgb": [\n{rows}\n]}}\n', encoding="utf-8")
    return path


if __name__ == "__main__":
    main()
