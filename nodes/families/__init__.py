"""Families: one file per model family, and the table that finds the right one.

`family_of` answers for a recipe, a family's name or a configuration; detection reads JSON and headers, never weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nodes.families.base import Family, load
from nodes.families.files import Component, component, preview_map, require
from nodes.families.flux import Flux
from nodes.families.sd1 import SD1, unknown
from nodes.families.sd3 import SD3
from nodes.families.sdxl import SDXL
from nodes.types import VAE, LatentSpace

FAMILIES: tuple[Family, ...] = (SD1(), SD3(), SDXL(), Flux())
BY_PREFIX = {"sd1": FAMILIES[0], "sd2": FAMILIES[0], "sd3": FAMILIES[1], "sdxl": FAMILIES[2], "flux": FAMILIES[3]}
# (scale, channels) of the autoencoders that many models share.
SPACES = {(0.18215, 4): "sd1", (0.13025, 4): "sdxl", (1.5305, 16): "sd3", (0.3611, 16): "flux"}
VAE_CLASSES = ("AutoencoderKL",)


def family_of(thing: Any) -> Family:
    """The family of a recipe, of a family's name (`sd1`, `sd1-128`), or of a denoiser's configuration."""
    if isinstance(thing, Mapping):
        found = next((family for family in FAMILIES if family.owns(thing)), None)
    else:
        name = thing if isinstance(thing, str) else thing.family
        found = BY_PREFIX.get(name.partition("-")[0])
    if found is None:
        raise unknown(thing if isinstance(thing, Mapping) else {"_class_name": str(getattr(thing, "family", thing))})
    return found


def latent_space(config: Mapping[str, Any], folder: Path) -> LatentSpace:
    """The latent space of an autoencoder's configuration, by name where many models share it (`8x4@0.5` else)."""
    require(config, folder, "latent_channels", "scaling_factor")
    channels, scale = int(config["latent_channels"]), float(config["scaling_factor"])
    factor = 2 ** (len(config.get("block_out_channels") or (0,)) - 1)
    name = SPACES.get((scale, channels), f"{factor}x{channels}@{scale:g}")
    return LatentSpace(name, channels, factor, preview_map(folder, channels))


def vae_recipe(found: Component) -> VAE:
    """The recipe of an autoencoder's folder."""
    if found.config.get("_class_name") not in VAE_CLASSES:
        raise unknown(found.config)
    space = latent_space(found.config, found.folder)
    shift = found.config.get("shift_factor") or 0.0
    width = max(int(channels) for channels in (found.config.get("block_out_channels") or [256])[:2])
    return VAE(found.weights("vae"), space, float(found.config["scaling_factor"]), float(shift), width=width)


def overflows(recipe: VAE) -> bool:
    """Do its makers say (`force_upcast`) that it overflows in float16? Reads the configuration only."""
    return bool(component(Path(recipe.base.path)).config.get("force_upcast"))


def vae_dtype(recipe: VAE, dtype: str) -> str:
    """What a VAE is built in: one that overflows in float16 takes float32 instead."""
    return "float32" if dtype == "float16" and overflows(recipe) else dtype


def build_vae(recipe: VAE, device: str, dtype: str) -> Any:
    """The bare `AutoencoderKL`, in a dtype that it does not overflow in."""
    from diffusers import AutoencoderKL

    return load(recipe.base, AutoencoderKL.from_config, device, vae_dtype(recipe, dtype))
