"""Cut: a picture as tiles and back, for a `map` over them; and what is done to shapes in black and white."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from engine.errors import refuse
from engine.node import Help, Range, node
from engine.sockets import copy
from nodes.image.tiles import Box, Tiling
from nodes.types import Image

if TYPE_CHECKING:
    import torch

SAME_SIZE = [copy(f"image.{fact}", f"image.{fact}") for fact in ("width", "height", "batch")]
TileSize = Annotated[int, Range(16, 8192, 8, soft=(64, 1536)), Help("Pixels a side.")]
Overlap = Annotated[int, Range(0, 4096, 8, soft=(0, 256)), Help("Pixels that neighbours share.")]


class Pieces(NamedTuple):
    """The tiles, row by row, and what `image.join_tiles` must know to put them together."""

    images: list[Image]
    width: int
    height: int
    tile: int
    overlap: int


@node("image.tiles", title="Cut into tiles", lane="cpu", aliases=["SplitImageToTileList", "TileSplit", "Image Tile"])
def tiles(image: Image, tile: TileSize = 512, overlap: Overlap = 64) -> Pieces:
    """Cut a picture into tiles of one size that share an overlap, for a `map`; the last ones move back inside.

    Each tile holds its part of every picture of the batch.
    """
    height, width = image.pixels.shape[1:3]
    boxes = Tiling(height, width, tile, overlap).boxes
    pieces = [Image(image.pixels[:, b.top : b.bottom, b.left : b.right].contiguous()) for b in boxes]
    return Pieces(pieces, int(width), int(height), tile, overlap)


@node(
    "image.join_tiles",
    title="Join tiles",
    output="image",
    lane="cpu",
    aliases=["ImageMergeTileList", "TileMerge", "Untile"],
)
def join_tiles(
    images: list[Image],
    width: Annotated[int, Range(1, 65_536, 1), Help("Of the picture that was cut, in pixels.")],
    height: Annotated[int, Range(1, 65_536, 1), Help("Of the picture that was cut, in pixels.")],
    tile: TileSize = 512,
    overlap: Overlap = 64,
) -> Image:
    """Put the tiles of `image.tiles` together again; they fade into each other over the middle half of what they share.

    Wire width, height, tile and overlap from where they were cut. Tiles may have become larger meanwhile, all by the
    same whole factor; so does the picture.
    """
    tiling = Tiling(height, width, tile, overlap)
    if len(images) != len(tiling.boxes):
        raise refuse(
            f"{len(images)} tiles for a cut into {len(tiling.boxes)}",
            socket="images",
            mend="wire width, height, tile and overlap from the node that cut them",
        )
    first = tiling.boxes[0]
    factor = images[0].pixels.shape[1] / (first.bottom - first.top)
    for box, image in zip(tiling.boxes, images, strict=True):
        size = (round((box.bottom - box.top) * factor), round((box.right - box.left) * factor))
        if factor != int(factor) or tuple(image.pixels.shape[1:3]) != size:
            made = f"{image.pixels.shape[2]}×{image.pixels.shape[1]}"
            raise refuse(f"a tile is {made}, no whole multiple of what was cut", socket="images", mend="keep its size")
    waiting = iter(images)

    def piece(box: Box) -> torch.Tensor:
        return next(waiting).pixels.movedim(-1, 1)

    return Image(tiling.put_together(piece, int(factor)).movedim(1, -1).clamp(0, 1).contiguous())


@node(
    "image.morphology",
    title="Morphology",
    output="image",
    lane="cpu",
    facts=SAME_SIZE,
    aliases=["Morphology", "ImageMorphology", "dilate", "erode"],
)
def morphology(
    image: Image,
    how: Literal["dilate", "erode", "open", "close", "gradient", "top hat", "bottom hat"] = "dilate",
    pixels: Annotated[
        int, Range(1, 256, 1, soft=(1, 32)), Help("Half the side of the square, without its middle.")
    ] = 1,
) -> Image:
    """Grow or shrink what is bright, in each channel, over a square; and what comes of doing both (Serra 1982).

    open takes away specks, close fills gaps; gradient is their outline, a hat what open or close took away.
    """
    from nodes.mask.edit import grown

    batch, height, width, channels = image.pixels.shape
    planes = image.pixels.movedim(-1, 1).reshape(-1, height, width)  # (B 3, H, W)

    def grow(x: torch.Tensor) -> torch.Tensor:
        return grown(x, pixels)

    def shrink(x: torch.Tensor) -> torch.Tensor:
        return grown(x, -pixels)

    if how in ("open", "top hat"):
        kept = grow(shrink(planes))
        made = kept if how == "open" else planes - kept
    elif how in ("close", "bottom hat"):
        kept = shrink(grow(planes))
        made = kept if how == "close" else kept - planes
    elif how == "gradient":
        made = grow(planes) - shrink(planes)
    else:
        made = grow(planes) if how == "dilate" else shrink(planes)
    return Image(made.reshape(batch, channels, height, width).movedim(1, -1).clamp(0, 1).contiguous())
