"""ControlNet: a copy of the model's encoder that steers the picture by a hint – edges, depth, a pose.

Zhang et al. 2023 (arXiv 2302.05543); T2I-Adapter: Mou et al. 2023 (arXiv 2302.08453). Everything here is bookkeeping on
recipes; the denoise step runs the nets.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from engine import places
from engine.errors import fail, refuse
from engine.node import Model, Range, node
from engine.sockets import copy, same
from nodes.families import single_file
from nodes.families.files import Component, check_shape, component, require
from nodes.families.flux import family_name as flux_family
from nodes.families.sd1 import family_name as unet_family
from nodes.families.sd3 import family_name as dit_family
from nodes.families.sdxl import family_name as sdxl_family
from nodes.families.single_file import nets
from nodes.types import VAE, Control, ControlItem, ControlNet, Image, plain

CONFIG = (
    *("_class_name", "in_channels", "cross_attention_dim", "joint_attention_dim", "conditioning_channels"),
    *("num_control_type", "num_mode", "conditioning_embedding_channels"),
)
ADDED = {None: unet_family, "text_time": sdxl_family}  # what is added to the timestep tells SD 1.x from SDXL
MASKED = "extra_conditioning_channels"  # a DiT's ControlNet for inpainting reads a mask beside the hint
Mode = Literal[
    "auto",
    "canny",
    "line",
    "soft_edge",
    "scribble",
    "depth",
    "normal",
    "pose",
    "segment",
    "tile",
    "inpaint",
    "blur",
    "gray",
    "low_quality",
]
# Which number each hint has in a net that was trained on several: xinsir's union for SDXL (and its ProMax), and the
# union for Flux.
UNION_SDXL = {"pose": 0, "depth": 1, "soft_edge": 2, "scribble": 2, "canny": 3, "line": 3, "normal": 4, "segment": 5}
UNION_SDXL |= {"tile": 6, "inpaint": 7}
UNION_FLUX = {"canny": 0, "tile": 1, "depth": 2, "blur": 3, "pose": 4, "gray": 5, "low_quality": 6}


@node(
    "control.load",
    title="Load ControlNet",
    light=True,
    output="controlnet",
    aliases=("ControlNetLoader", "DiffControlNetLoader", "T2IAdapterLoader", "ControlNet union", "ProMax"),
)
def load(controlnet: Annotated[str, Model("controlnet")]) -> ControlNet:
    """A ControlNet or T2I-Adapter: a folder as diffusers saves it, or a single file; reads headers only.

    ControlNets of Stable Diffusion 1.x, 2.x, XL (union and ProMax too), 3 and Flux; T2I-Adapters of 1.x and XL. Single
    files are those of the first code (`control_model.…`) and under diffusers' names.

    Errors: `model.missing`, `model.format` for what is damaged or pickled, `model.family` for a kind that is not known
    here.
    """
    path = places.current().model("controlnet", controlnet)
    if not path.is_dir():
        path = _single(path)
    found = component(path)
    recipe = ControlNet(
        found.weights("controlnet"), _family(found), plain({key: found.config.get(key) for key in CONFIG})
    )
    return recipe


@node(
    "control.apply",
    title="Apply ControlNet",
    advanced=("mode", "guess"),
    light=True,
    output="control",
    aliases=(
        *("ControlNetApply", "ControlNetApplyAdvanced", "ControlNetApplySD3", "SetUnionControlNetType"),
        *("T2IAdapterApply", "guess mode"),
    ),
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
    mode: Mode = "auto",
    guess: bool = False,
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
        mode: What the hint shows, for a union: a net that was trained on several kinds.
        guess: Let the hint speak louder than the prompt: it steers the positive side alone, its coarse layers most.
        previous: The ControlNets before this one.
        vae: The model's own; the nets of Stable Diffusion 3 and Flux ask for it, because they read the hint as latents.
    """
    if start >= end:
        raise refuse(
            f"the range from {start:g} to {end:g} has no step in it",
            socket="end",
            mend=f"choose an end above {start:g}",
        )
    by_latents = reads_latents(controlnet)
    if by_latents and vae is None:
        name = "Stable Diffusion 3" if controlnet.family.startswith("sd3") else "Flux"
        raise refuse(
            f"ControlNets of {name} read their hint as latents",
            socket="vae",
            mend="wire load.model's vae into 'vae'",
        )
    if guess and controlnet.family.startswith(("sd3", "flux")):
        raise refuse("guess mode is for the nets of UNets", socket="guess", mend="switch it off")
    before = () if previous is None else previous.items
    number = _mode(controlnet, mode)
    item = ControlItem(controlnet, image, strength, start, end, vae if by_latents else None, number, guess)
    return Control((*before, item) if strength else before)


def reads_latents(net: ControlNet) -> bool:
    """Does it read its hint as latents? Those of DiTs do, but for Flux' with pixels of their own (XLabs')."""
    config = dict(net.config)
    return net.family.startswith(("sd3", "flux")) and config.get("conditioning_embedding_channels") is None


def _mode(net: ControlNet, mode: str) -> int:
    """The number of what the hint shows, -1 for a net that was trained on one kind."""
    config = dict(net.config)
    flux, types = config.get("num_mode"), config.get("num_control_type")
    names = UNION_FLUX if flux else UNION_SDXL if types else {}
    known = [name for name, number in names.items() if number < int(flux or types or 0)]
    if not names and mode != "auto":
        raise refuse("this net was trained on one kind of hint", socket="mode", mend="set mode to auto")
    if names and mode not in known:
        what = "does not know what the hint shows" if mode == "auto" else f"was not trained on {mode}"
        raise refuse(f"this net {what}", socket="mode", mend=f"choose one of {', '.join(known)}")
    return names.get(mode, -1)


def _single(path: Path) -> Path:
    """The place of the net in a single file; a pickle is told as one."""
    if path.suffix.lower() in places.PICKLED:
        raise fail(
            "model.format",
            f"{path.name} is pickled and could run any program when opened",
            mend=f"get its safetensors version, or convert it once: `weft models convert {path}`",
            socket="controlnet",
        )
    if path.suffix not in single_file.ENDINGS:
        raise fail(
            "model.format",
            f"{path.name} is no .safetensors file",
            mend="get its safetensors version",
            socket="controlnet",
        )
    return path / nets.NAME


def _family(found: Component) -> str:
    """The family it steers, from its configuration, and checked by one tensor."""
    config, table = found.config, found.header()
    kind = config.get("_class_name")
    added = config.get("addition_embed_type")
    if kind in ("ControlNetModel", "ControlNetUnionModel") and added in ADDED and not config.get("class_embed_type"):
        require(config, found.folder, "cross_attention_dim", "in_channels")
        width = int(config["cross_attention_dim"])
        if "conv_in.weight" in table:  # not in the first layout, whose names are not diffusers'
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
    if kind == "FluxControlNetModel":
        require(config, found.folder, "joint_attention_dim", "in_channels")
        width = int(config["joint_attention_dim"])
        check_shape(table, "context_embedder.weight", (None, width), found.folder)
        return flux_family(width)
    if kind == "T2IAdapter":
        # It reads no text, so its width says nothing: any model of the build takes it.
        return "sdxl" if config.get("adapter_type") == "full_adapter_xl" else "sd1"
    raise fail(
        "model.family",
        f"{found.folder.name} is {f'a {kind}' if kind else 'of no named kind'}, which no family here can be steered by",
        mend="use a ControlNet of Stable Diffusion 1.x, 2.x, XL, 3 or Flux",
        socket="controlnet",
    )
