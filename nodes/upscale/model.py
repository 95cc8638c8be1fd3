"""Model: pictures through a network that was trained to make them larger, tile by tile."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from engine import places
from engine.errors import fail, refuse
from engine.node import Help, Model, Range, node
from engine.run import Run
from engine.sockets import Ref, facts_of, rule
from nodes.image.filters import MAX_PIXELS, resample
from nodes.image.tiles import Box, Tiling
from nodes.types import Image, Upscaler
from nodes.upscale.files import recipe
from nodes.vae import Precision

if TYPE_CHECKING:
    import torch

Factor = Annotated[
    float,
    Range(0, 16, 0.05, soft=(0, 8)),
    Help("Resize the result to this multiple of the picture; 0 leaves it as large as the network makes it."),
]


@node(
    "load.upscaler",
    title="Load upscaler",
    light=True,
    output="upscaler",
    aliases=["UpscaleModelLoader", "ESRGAN", "spandrel"],
)
def load_upscaler(upscaler: Annotated[str, Model("upscale_models")]) -> Upscaler:
    """A network that makes pictures larger: ESRGAN or Real-ESRGAN as .safetensors, or a folder of Swin2SR.

    What it is and how many times larger is read from the shapes in its header. Other architectures are read with
    spandrel where that package is installed. Errors: `model.missing`, `model.format`, `model.family`.
    """
    try:
        return recipe(places.current().model("upscale_models", upscaler))
    except OSError as error:
        raise fail("model.format", f"cannot read it: {error.strerror or error}", socket="upscaler") from None


def facts(**inputs: Any) -> dict[str, dict[str, Any]]:
    """The size of the result, where the network's scale and the picture's size are known."""
    image, upscaler, factor = facts_of(inputs["image"]), inputs["upscaler"], inputs["factor"]
    found = {"batch": image["batch"]} if "batch" in image else {}
    times = factor if not isinstance(factor, Ref) and factor else facts_of(upscaler).get("scale")
    if times and not isinstance(factor, Ref):
        found |= {side: max(1, round(image[side] * times)) for side in ("width", "height") if side in image}
    return {"image": found}


@node(
    "upscale.model",
    title="Upscale with model",
    advanced=("tile", "overlap", "precision"),
    output="image",
    facts=[rule("nodes.upscale.model:facts")],
    aliases=["ImageUpscaleWithModel", "UpscaleImageByModel"],
)
def upscale(
    run: Run,
    upscaler: Upscaler,
    image: Image,
    factor: Factor = 0.0,
    tile: Annotated[
        int, Range(0, 8192, 8, soft=(0, 1024)), Help("Pixels a side of each tile; 0 does the whole at once.")
    ] = 512,
    overlap: Annotated[int, Range(0, 1024, 1, soft=(0, 128)), Help("Pixels that neighbouring tiles share.")] = 64,
    precision: Precision = "run",
) -> Image:
    """Make a picture larger with a network: [batch, scale * height, scale * width, 3].

    Tiles bound the memory; they fade into each other, and where the network looks no further than a quarter of the
    overlap the result is the same as without tiles. Pictures of a batch go through one by one.
    """
    import torch

    batch, height, width = image.pixels.shape[:3]
    if batch * height * width * max(upscaler.scale, 1) ** 2 > MAX_PIXELS:
        raise refuse(f"{batch} × {width}×{height} becomes too large", socket="image", mend="upscale fewer or smaller")
    tiling = Tiling(height, width, tile, overlap)
    total, done = batch * len(tiling.boxes), 0
    with run.lease(_in(upscaler, precision), _working(upscaler, tiling)) as module, torch.no_grad():
        like = next(_parameters(module))
        scale = upscaler.scale or int(module.scale)
        larger = []
        for item in image.pixels.movedim(-1, 1):

            def one(box: Box, item: torch.Tensor = item) -> torch.Tensor:
                nonlocal done
                run.progress(done, total, "tiles")
                done += 1
                piece = item[None, :, box.top : box.bottom, box.left : box.right].to(like).contiguous()
                out: torch.Tensor = module(piece)
                return out.float()

            larger.append(tiling.put_together(one, scale).cpu())
    pixels = torch.cat(larger).clamp(0, 1).movedim(1, -1).contiguous()
    if factor:
        size = max(1, round(width * factor)), max(1, round(height * factor))
        pixels = resample(pixels, *size, "lanczos" if factor >= scale else "area")
    return Image(pixels)


def _in(upscaler: Upscaler, precision: str) -> Upscaler:
    return upscaler if precision == "run" else replace(upscaler, numerics=(("dtype", precision),))


def _parameters(module: Any) -> Any:
    """The parameters of a module, or of the one that spandrel wraps."""
    return getattr(module, "model", module).parameters()


def _working(upscaler: Upscaler, tiling: Tiling) -> int:
    """Bytes of activations for one tile in float32: a few maps of `features` channels at the final size."""
    box = tiling.boxes[0]
    cells = (box.bottom - box.top) * (box.right - box.left) * max(upscaler.scale, 2) ** 2
    return cells * int(dict(upscaler.config).get("features", 64)) * 4 * 4
