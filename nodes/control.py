"""ControlNet: a copy of the model's encoder that steers the picture by a hint – edges, depth, a pose.

Zhang et al. 2023 (arXiv 2302.05543). Everything here is bookkeeping on recipes; the denoise step runs the nets.
"""

from __future__ import annotations

from typing import Annotated

from engine import places
from engine.errors import fail, refuse
from engine.node import Model, Range, node
from engine.sockets import copy, same
from nodes.families.files import Component, check_shape, component, require
from nodes.families.sd1 import family_name as unet_family
from nodes.families.sd3 import family_name as dit_family
from nodes.families.sdxl import family_name as sdxl_family
from nodes.types import VAE, Control, ControlItem, ControlNet, Image, plain

CONFIG = ("in_channels", "cross_attention_dim", "joint_attention_dim", "conditioning_channels")
ADDED = {None: unet_family, "text_time": sdxl_family}  # what is added to the timestep tells SD 1.x from SDXL
MASKED = "extra_conditioning_channels"  # a DiT's ControlNet for inpainting reads a mask beside the hint


@node("control.load", light=True, output="controlnet", aliases=("ControlNetLoader",))
def load(controlnet: Annotated[str, Model("controlnet")]) -> ControlNet:
    """A ControlNet's folder as diffusers saves it (`config.json` and safetensors); reads headers only.

    Errors: `model.missing`, `model.format` for what is damaged, pickled or a single file, `model.family` for a kind
    that is not known here.
    """
    path = places.current().model("controlnet", controlnet)
    if not path.is_dir():
        pickled = path.suffix.lower() in places.PICKLED
        why = (
            "is pickled and could run any program when opened" if pickled else "is a single file without a config.json"
        )
        raise fail(
            "model.format",
            f"{path.name} {why}",
            mend="get the ControlNet's folder as diffusers saves it: config.json and .safetensors",
            socket="controlnet",
        )
    found = component(path)
    return ControlNet(
        found.weights("controlnet"), _family(found), plain({key: found.config.get(key) for key in CONFIG})
    )


@node(
    "control.apply",
    light=True,
    output="control",
    aliases=("ControlNetApply", "ControlNetApplyAdvanced"),
    facts=[
        same("family", "controlnet", "previous", why="all ControlNets of a stack steer the same model"),
        copy("controlnet.family", "control.family"),
    ],
    bypass={"control": "previous"},
)
def apply(
    controlnet: ControlNet,
    image: Image,
    strength: Annotated[float, Range(0, 10, 0.05, soft=(0, 2))] = 1.0,
    start: Annotated[float, Range(0, 1, 0.01)] = 0.0,
    end: Annotated[float, Range(0, 1, 0.01)] = 1.0,
    previous: Control | None = None,
    vae: VAE | None = None,
) -> Control:
    """A ControlNet in use; wire the next one's `previous` to stack them: what they add to the model is summed.

    Args:
        controlnet: From control.load, of the model's family.
        image: The hint, as the net was trained to read it; brought to the picture's size.
        strength: How strongly it steers; 0 takes it out, as if it were not there.
        start: From which part of the steps on, 0 is the first.
        end: Until which part of the steps, 1 is the last.
        previous: The ControlNets before this one.
        vae: The model's own; only Stable Diffusion 3's nets ask for it, because they read the hint as latents.
    """
    if start >= end:
        raise refuse(
            f"the range from {start:g} to {end:g} has no step in it",
            socket="end",
            mend=f"choose an end above {start:g}",
        )
    by_latents = controlnet.family.startswith("sd3")
    if by_latents and vae is None:
        raise refuse(
            "ControlNets of Stable Diffusion 3 read their hint as latents",
            socket="vae",
            mend="wire load.model's vae into 'vae'",
        )
    before = () if previous is None else previous.items
    item = ControlItem(controlnet, image, strength, start, end, vae if by_latents else None)
    return Control((*before, item) if strength else before)


def _family(found: Component) -> str:
    """The family it steers, from its configuration, and checked by one tensor."""
    config, table = found.config, found.header()
    kind = config.get("_class_name")
    added = config.get("addition_embed_type")
    if kind == "ControlNetModel" and added in ADDED and not config.get("class_embed_type"):
        require(config, found.folder, "cross_attention_dim", "in_channels")
        width = int(config["cross_attention_dim"])
        check_shape(table, "conv_in.weight", (None, config["in_channels"], None, None), found.folder)
        if key := next((name for name in table if name.endswith("attn2.to_k.weight")), None):
            check_shape(table, key, (None, width), found.folder)
        return ADDED[added](width)
    if kind == "SD3ControlNetModel" and config.get("use_pos_embed", True) and not config.get(MASKED):
        require(config, found.folder, "joint_attention_dim", "in_channels")
        width = int(config["joint_attention_dim"])
        if "context_embedder.weight" in table:
            check_shape(table, "context_embedder.weight", (None, width), found.folder)
        return dit_family(width)
    raise fail(
        "model.family",
        f"{found.folder.name} is {f'a {kind}' if kind else 'of no named kind'}, which no family here can be steered by",
        mend="use a ControlNet of Stable Diffusion 1.x, 2.x, XL or 3",
        socket="controlnet",
    )
