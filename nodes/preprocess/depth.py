"""Depth: how near each pixel is, by a model that transformers knows, from a folder on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from engine import places
from engine.errors import fail
from engine.node import Help, Model, node
from engine.run import Run
from engine.sockets import copy
from nodes.families.files import component, read_json
from nodes.types import Image, Weights

if TYPE_CHECKING:
    import torch

SAME_SIZE = [copy(f"image.{fact}", f"image.{fact}") for fact in ("width", "height", "batch")]
METRIC = ("zoedepth", "glpn", "depth_pro")  # these tell how far it is, the others how near
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, where the folder says nothing else


@dataclass(frozen=True)
class Estimator:
    """A depth estimator's folder."""

    base: Weights
    kind: str = field(default="", compare=False)

    @property
    def weights(self) -> str:
        """The id under which the module is kept."""
        return self.base.id

    def build(self, device: str, dtype: str) -> Any:
        """Load the network (engine use: nodes lease)."""
        from transformers import AutoModelForDepthEstimation
        from transformers.utils import logging

        from nodes.families.base import torch_dtype

        logging.disable_progress_bar()
        # Through transformers' own loader: it knows the older names of these models' tensors.
        module = AutoModelForDepthEstimation.from_pretrained(
            self.base.path, local_files_only=True, use_safetensors=True, dtype=torch_dtype(dtype)
        )
        return module.to(device).eval().requires_grad_(False)

    def attach(self, module: Any) -> Callable[[], None]:
        """Nothing is ever attached to it."""
        return lambda: None


def estimator(name: str) -> tuple[Estimator, Mapping[str, Any]]:
    """The recipe of a folder, and how it wants its pictures; raises `model.missing`, `model.format`, `model.family`."""
    folder = places.current().model("preprocessors", name)
    if not folder.is_dir():
        raise fail(
            "model.format",
            f"{folder.name} is no folder with a config.json",
            socket="model",
            mend="use a depth model's folder as transformers saves it",
        )
    found = component(folder)
    kind = str(found.config.get("model_type", ""))
    if "depth" not in kind and kind not in ("dpt", "glpn"):
        raise fail(
            "model.family",
            f"{folder.name} is a {kind or 'model of an unknown kind'}, no depth estimator",
            socket="model",
            mend="use Depth Anything, DPT, ZoeDepth or GLPN as transformers saves them",
        )
    told = folder / "preprocessor_config.json"
    return Estimator(found.weights("depth"), kind), read_json(told) if told.is_file() else {}


@node(
    "preprocess.depth",
    title="Depth map",
    output="image",
    facts=SAME_SIZE,
    aliases=[
        "DepthAnythingPreprocessor",
        "DepthAnythingV2Preprocessor",
        "MiDaS-DepthMapPreprocessor",
        "Zoe-DepthMapPreprocessor",
    ],
)
def depth(
    run: Run,
    image: Image,
    model: Annotated[str, Model("preprocessors"), Help("A folder as transformers saves it.")],
    near: Literal["white", "black"] = "white",
) -> Image:
    """How near each pixel is, 0..1 over each picture, by Depth Anything, DPT, ZoeDepth or GLPN.

    The picture goes in at the size the folder's preprocessor_config.json asks for and comes back at its own.
    """
    import torch
    import torch.nn.functional as F

    recipe, told = estimator(model)
    height, width = image.pixels.shape[1:3]
    made = []
    with run.lease(recipe) as module, torch.no_grad():
        like = next(module.parameters())
        for index, item in enumerate(image.pixels):
            run.progress(index, len(image.pixels))
            given = _prepared(item[None].movedim(-1, 1), told).to(like)
            found = module(pixel_values=given).predicted_depth.float()
            planes = found.reshape(1, 1, *found.shape[-2:])
            made.append(F.interpolate(planes, (height, width), mode="bicubic", align_corners=False)[0, 0].cpu())
    planes = torch.stack(made)  # (B, H, W)
    low, high = planes.amin((1, 2), keepdim=True), planes.amax((1, 2), keepdim=True)
    nearness = (planes - low) / (high - low).clamp(min=1e-9)
    if (recipe.kind in METRIC) == (near == "white"):
        nearness = 1 - nearness
    return Image(nearness[..., None].repeat(1, 1, 1, 3))


def _prepared(planes: torch.Tensor, told: Mapping[str, Any]) -> torch.Tensor:
    """[1, 3, height, width] at the size and in the range that a preprocessor's configuration asks for."""
    import torch.nn.functional as F

    size = told.get("size") or {"height": 518, "width": 518}
    wanted = (
        [int(size.get(side, 518)) for side in ("height", "width")] if isinstance(size, Mapping) else [int(size)] * 2
    )
    scales = [goal / now for goal, now in zip(wanted, planes.shape[-2:], strict=True)]
    if told.get("keep_aspect_ratio", True):
        scales = [min(scales, key=lambda scale: abs(1 - scale))] * 2  # as little as possible
    step = int(told.get("ensure_multiple_of") or told.get("size_divisor") or 14)
    goal = [max(step, round(now * scale / step) * step) for now, scale in zip(planes.shape[-2:], scales, strict=True)]
    planes = F.interpolate(planes.float(), goal, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
    mean, std = (
        planes.new_tensor(told.get(key) or other).view(1, 3, 1, 1)
        for key, other in (("image_mean", MEAN), ("image_std", STD))
    )
    return (planes - mean) / std
