"""Sizes: which width and height suit a model, by the shape that is wanted. Known before Run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

from engine.node import Help, Range, node
from nodes.types import Denoiser

# Width and height at a megapixel, as SDXL was trained on them (Podell et al. 2023, appendix I): the landscape half.
SDXL = (
    *((1024, 1024), (1088, 960), (1088, 896), (1152, 896), (1152, 832), (1216, 832), (1280, 768), (1344, 768)),
    *((1344, 704), (1408, 704), (1472, 704), (1536, 640), (1600, 640), (1664, 576), (1728, 576)),
)
Shape = Literal["1:1", "5:4", "4:3", "3:2", "16:10", "16:9", "21:9", "2:1"]
RATIOS: Mapping[str, float] = {
    "1:1": 1.0,
    "5:4": 5 / 4,
    "4:3": 4 / 3,
    "3:2": 3 / 2,
    "16:10": 16 / 10,
    "16:9": 16 / 9,
    "21:9": 21 / 9,
    "2:1": 2.0,
}


class Sides(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int


@node(
    "latent.size",
    title="Picture size",
    light=True,
    aliases=[
        "SDXLEmptyLatentSizePicker+",
        "EmptyLatentImagePresets",
        "aspect ratio",
        "size buckets",
        "CM_SDXLResolution",
    ],
)
def size(
    model: Annotated[Denoiser | None, Help("Whose sizes; without one a megapixel.")] = None,
    shape: Shape = "1:1",
    portrait: Annotated[bool, Help("Higher than wide.")] = False,
    area: Annotated[
        float, Range(0.1, 8, 0.05), Help("Times the area the model knows; far from 1 it doubles things.")
    ] = 1.0,
) -> Sides:
    """The width and height of a shape that suit a model: as many pixels as it was trained on, in whole steps.

    SDXL gets one of the sizes it was trained on; for others the area is that of the model's own square picture, each
    side a multiple of 64 (of a sixteenth of the square, for models made for small ones).
    """
    base = _square(model)
    ratio = RATIOS[shape]
    if model is not None and model.family.startswith("sdxl") and base == 1024 and area == 1:
        width, height = min(SDXL, key=lambda sides: abs(sides[0] / sides[1] - ratio))
    else:
        step = 64 if base >= 512 else max(model.space.factor if model is not None else 8, base // 16)
        across = base * (ratio * area) ** 0.5
        width, height = (max(step, round(side / step) * step) for side in (across, across / ratio))
    return Sides(height, width) if portrait else Sides(width, height)


def _square(model: Denoiser | None) -> int:
    """The side of the square picture that a model knows, in pixels."""
    known = dict(model.config).get("sample_size") if isinstance(model, Denoiser) else None
    if isinstance(known, int) and isinstance(model, Denoiser):
        return known * model.space.factor
    return 512 if isinstance(model, Denoiser) and model.space.name == "sd1" else 1024
