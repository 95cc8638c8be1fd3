"""Tiles: a plane cut into pieces that overlap, and put together again without a seam.

Neighbours share at least `overlap` cells. Of these the outer quarters count for nothing, because there a network that
looks around sees the edge of its tile; over the half between, one tile fades into the next. So what looks no further
than a quarter of the overlap gives the same with tiles as without, up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from engine.errors import refuse

if TYPE_CHECKING:
    import torch

MAX_TILES = 65_536


class Box(NamedTuple):
    """One tile: its first and its last row and column, the last ones not included."""

    top: int
    left: int
    bottom: int
    right: int

    def times(self, factor: int) -> Box:
        """The same tile in cells that are `factor` times as small."""
        return Box(*(factor * edge for edge in self))


@dataclass(frozen=True)
class Tiling:
    """How a plane of height x width cells is cut into tiles of `tile` cells a side, as even as can be."""

    height: int
    width: int
    tile: int
    overlap: int

    def __post_init__(self) -> None:
        if self.tile > 0 and self.overlap >= self.tile:
            raise refuse(
                f"an overlap of {self.overlap} leaves nothing of a tile of {self.tile}",
                socket="overlap",
                mend="use less than half of the tile",
            )

    @cached_property
    def rows(self) -> list[tuple[int, int]]:
        """First and last row of each row of tiles."""
        return spans(self.height, self.tile, self.overlap)

    @cached_property
    def columns(self) -> list[tuple[int, int]]:
        """First and last column of each column of tiles."""
        return spans(self.width, self.tile, self.overlap)

    @cached_property
    def boxes(self) -> list[Box]:
        """All tiles, row by row."""
        if len(self.rows) * len(self.columns) > MAX_TILES:
            raise refuse(f"more than {MAX_TILES:,} tiles", socket="tile", mend="use larger tiles")
        return [Box(top, left, bottom, right) for top, bottom in self.rows for left, right in self.columns]

    def put_together(self, make: Callable[[Box], torch.Tensor], scale: int = 1) -> torch.Tensor:
        """[batch, channel, scale * height, scale * width] from what `make` gives for each tile."""
        import torch

        if len(self.boxes) == 1:
            return make(self.boxes[0])
        whole: torch.Tensor | None = None
        down, across = ramps(self.rows, scale), ramps(self.columns, scale)
        weights = ((y, x) for y in down for x in across)
        for box, (y, x) in zip(self.boxes, weights, strict=True):
            piece = make(box)
            if whole is None:
                size = (scale * self.height, scale * self.width)
                whole = torch.zeros(*piece.shape[:2], *size, dtype=torch.float32, device=piece.device)
            share = (y[:, None] * x[None]).to(whole)
            top, left, bottom, right = box.times(scale)
            whole[..., top:bottom, left:right] += piece.float() * share
        assert whole is not None
        return whole


def spans(length: int, tile: int, overlap: int) -> list[tuple[int, int]]:
    """Stretches of `tile` cells that cover 0..length, neighbours sharing at least `overlap`; one when it is enough."""
    if tile <= 0 or tile >= length:
        return [(0, length)]
    count = -(-(length - overlap) // (tile - overlap))
    starts = [round(index * (length - tile) / (count - 1)) for index in range(count)]
    return [(start, start + tile) for start in starts]


def ramps(stretches: list[tuple[int, int]], scale: int = 1) -> list[torch.Tensor]:
    """How much each stretch counts at each of its cells; over all stretches it adds up to 1 everywhere."""
    import torch

    last = stretches[-1][1] * scale
    found, total = [], torch.zeros(last, dtype=torch.float64)
    for index, (start, stop) in enumerate(stretches):
        at = torch.arange(start * scale, stop * scale, dtype=torch.float64) + 0.5
        weight = torch.ones_like(at)
        if index:
            weight = torch.minimum(weight, _rise(at, start * scale, stretches[index - 1][1] * scale))
        if index + 1 < len(stretches):
            weight = torch.minimum(weight, 1 - _rise(at, stretches[index + 1][0] * scale, stop * scale))
        total[start * scale : stop * scale] += weight
        found.append(weight)
    return [
        (weight / total[start * scale : stop * scale]).float()
        for weight, (start, stop) in zip(found, stretches, strict=True)
    ]


def _rise(at: torch.Tensor, first: int, last: int) -> torch.Tensor:
    """From 0 to 1 over the middle half of first..last."""
    quarter = (last - first) / 4
    return ((at - first - quarter) / max(2 * quarter, 1e-9)).clamp(0, 1)
