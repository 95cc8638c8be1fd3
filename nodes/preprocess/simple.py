"""Simple: pictures made plainer, so that a ControlNet may fill in the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from engine.node import Help, Range, Seed, node
from engine.run import Run
from engine.sockets import copy
from nodes.image.filters import gaussian, resample
from nodes.preprocess.edges import as_image, luma, slopes
from nodes.types import Image

if TYPE_CHECKING:
    import torch

SAME_SIZE = [copy(f"image.{fact}", f"image.{fact}") for fact in ("width", "height", "batch")]
Level = Annotated[float, Range(0, 1, 0.01)]


@node(
    "preprocess.tile",
    title="Tile (blurred copy)",
    output="image",
    lane="cpu",
    facts=SAME_SIZE,
    aliases=["TilePreprocessor", "TTPlanet_TileSimple_Preprocessor"],
)
def tile(
    image: Image,
    factor: Annotated[float, Range(1, 32, 0.5, soft=(1, 8)), Help("How many times smaller it goes in between.")] = 2.0,
    blur: Annotated[float, Range(0, 50, 0.5, soft=(0, 10)), Help("Standard deviation of a blur after, pixels.")] = 0.0,
) -> Image:
    """Detail taken away: made smaller and large again, and blurred. A tile ControlNet puts new detail in its place."""
    height, width = image.pixels.shape[1:3]
    small = resample(image.pixels, max(1, round(width / factor)), max(1, round(height / factor)), "area")
    back = resample(small, width, height, "bicubic")
    return Image(gaussian(back, blur).clamp(0, 1) if blur else back)


@node(
    "preprocess.colour_grid",
    title="Colour grid",
    output="image",
    lane="cpu",
    facts=SAME_SIZE,
    aliases=["ColorPreprocessor", "color palette"],
)
def colour_grid(
    image: Image, cell: Annotated[int, Range(2, 1024, 1, soft=(8, 128)), Help("Pixels a side of a square.")] = 64
) -> Image:
    """Squares of one colour each, their mean: the colours without the shapes."""
    height, width = image.pixels.shape[1:3]
    small = resample(image.pixels, max(1, -(-width // cell)), max(1, -(-height // cell)), "area")
    return Image(resample(small, width, height, "nearest"))


@node(
    "preprocess.luminance",
    title="Luminance",
    output="image",
    lane="cpu",
    facts=SAME_SIZE,
    aliases=["ImageLuminanceDetector", "ImageIntensityDetector", "recolor"],
)
def luminance(
    image: Image,
    gamma: Annotated[float, Range(0.1, 10, 0.05, soft=(0.5, 2)), Help("Above 1 darkens the middle.")] = 1.0,
    low: Annotated[Level, Help("This and below becomes black.")] = 0.0,
    high: Annotated[Level, Help("This and above becomes white.")] = 1.0,
) -> Image:
    """Brightness without colour (Rec. 709 luma), for ControlNets that recolour or light a picture."""
    span = max(high - low, 1e-6)
    return as_image((((luma(image.pixels)[..., 0] - low) / span).clamp(0, 1)) ** gamma)


@node(
    "preprocess.threshold",
    title="Black and white",
    output="image",
    lane="cpu",
    facts=SAME_SIZE,
    aliases=["BinaryPreprocessor", "ImageThreshold", "binary"],
)
def threshold(
    image: Image,
    level: Annotated[Level, Help("Brighter than this is white. Ignored when automatic.")] = 0.5,
    automatic: Annotated[bool, Help("Find the level that parts dark from bright best (Otsu 1979).")] = False,
    invert: bool = False,
) -> Image:
    """Black and white by brightness."""
    import torch

    grey = luma(image.pixels)[..., 0]
    at = torch.stack([_otsu(item) for item in grey])[:, None, None] if automatic else level
    lit = (grey > at).float()
    return as_image(1 - lit if invert else lit)


def _otsu(grey: torch.Tensor) -> torch.Tensor:
    """The level of [height, width] at which the two sides differ most for their size."""
    import torch

    counts = torch.histc(grey.float(), 256, 0, 1).double()
    middles = (torch.arange(256, dtype=torch.float64, device=grey.device) + 0.5) / 256
    below, total = counts.cumsum(0), counts.sum()
    sums = (counts * middles).cumsum(0)
    above = total - below
    between = below * above * (sums / below.clamp(min=1) - (sums[-1] - sums) / above.clamp(min=1)) ** 2
    return ((between.argmax() + 1) / 256).to(grey)


@node(
    "preprocess.shuffle",
    title="Shuffle content",
    output="image",
    lane="cpu",
    facts=SAME_SIZE,
    aliases=["ShufflePreprocessor", "content shuffle"],
)
def shuffle(
    run: Run,
    image: Image,
    size: Annotated[int, Range(8, 1024, 1, soft=(32, 512)), Help("Of the swirls, in pixels.")] = 128,
    seed: Seed = 0,
) -> Image:
    """Colours and textures where they are not: each pixel is fetched from a random but smooth somewhere else.

    For ControlNet shuffle: the style of a picture without its composition. Item i draws from seed + i.
    """
    import torch
    import torch.nn.functional as F

    batch, height, width = image.pixels.shape[:3]
    coarse = (max(2, -(-height // size) + 1), max(2, -(-width // size) + 1))
    fields = torch.stack([torch.rand(2, *coarse, generator=one) for one in run.generators(seed, batch)])
    flow = F.interpolate(fields, size=(height, width), mode="bicubic", align_corners=True)
    low, high = flow.amin((2, 3), keepdim=True), flow.amax((2, 3), keepdim=True)
    grid = (2 * (flow - low) / (high - low).clamp(min=1e-6) - 1).movedim(1, -1).to(image.pixels)
    made = F.grid_sample(image.pixels.movedim(-1, 1), grid, padding_mode="border", align_corners=True)
    return Image(made.movedim(1, -1).clamp(0, 1).contiguous())


@node(
    "preprocess.normals",
    title="Normal map",
    output="image",
    lane="cpu",
    facts=[copy(f"depth.{fact}", f"image.{fact}") for fact in ("width", "height", "batch")],
    aliases=["NormalMapSimple", "normal map", "DepthToNormal"],
)
def normals(
    depth: Image,
    strength: Annotated[float, Range(0.1, 100, 0.1, soft=(1, 20)), Help("How steep the surface is.")] = 8.0,
    blur: Annotated[float, Range(0, 20, 0.1), Help("Standard deviation of a blur of the depth, pixels.")] = 1.0,
    up: Literal["y up", "y down"] = "y up",
) -> Image:
    """The surface's direction from a depth picture (near = white): x is red, y green, z blue, each as (n + 1) / 2."""
    import torch

    grey = luma(depth.pixels)
    dx, dy = slopes(gaussian(grey, blur) if blur else grey)
    sign = 1.0 if up == "y up" else -1.0
    direction = torch.stack([-dx * strength, sign * dy * strength, torch.ones_like(dx)], -1)
    return Image((direction / direction.norm(dim=-1, keepdim=True) + 1) / 2)
