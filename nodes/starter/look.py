"""Looking at a picture of the world: which floor, which objects, where. Knows the world, and no model.

Colours are told apart by rays: a material lit by s looks like s times its colour, so a pixel belongs to the
ray it lies nearest to. Shapes are told apart by comparison: each candidate is laid over the object at its
size and place, and the one whose outline and shading fit best is what it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from nodes.starter import world

Bools = npt.NDArray[np.bool_]
SMALLEST = 0.004  # share of the picture under which a blot is no object; the smallest object covers 0.04
FAR = 0.10  # distance, in RGB, from the floor's ray at which a pixel is not floor
DARK = 0.42  # brightness of the floor under which it is no shadow any more; the deepest is 0.50
FIT = 0.78  # least overlap with a candidate's outline (intersection over union) for a shape to be recognised
BIG = 0.5 * (world.NORMAL[1] + world.BIG[0])


@dataclass(frozen=True)
class Seen:
    """An object found in a picture; shape '' if none fits.

    x and y: its middle, -1..1, y up. radius: in the world's unit. overlap: how well its outline fits, 0..1.
    """

    color: str
    shape: str
    x: float
    y: float
    radius: float
    overlap: float


@dataclass(frozen=True)
class Sight:
    """What a picture shows: its floor ('' if none of the world's) and its objects from left to right."""

    floor: str
    objects: tuple[Seen, ...]


@dataclass(frozen=True)
class Candidate:
    """A shape at radius 1: outline and light [512, 512], 128 pixels to the unit, about its middle; its area."""

    shape: str
    outline: Bools
    light: world.Floats
    area: int


def look(rgb: world.Floats) -> Sight:
    """Read a square picture, float32 [size, size, 3], 0..1."""
    size = rgb.shape[0]
    floor, _ = _floor(rgb)
    objects = []
    for blot in _pieces(solid(rgb), SMALLEST * size * size):
        for name, part in _by_color(rgb, blot, SMALLEST * size * size):
            whole = _fill(part)
            rows, cols = np.nonzero(whole)
            shape, radius, overlap = _shape(rgb, whole, np.array(world.COLORS[name], dtype=np.float32))
            x, y = float(cols.mean() + 0.5) / size * 2 - 1, 1 - float(rows.mean() + 0.5) / size * 2
            objects.append(Seen(name, shape, x, y, radius, overlap))
    return Sight(floor, tuple(sorted(objects, key=lambda o: o.x)))


def solid(rgb: world.Floats) -> Bools:
    """What is no floor and no shadow, [size, size]: neither the floor's colour nor a darker shade of it."""
    _, color = _floor(rgb)
    shade, distance = _ray(rgb, color, 0.0, 2.0)
    return _fill((distance > FAR) | (shade < DARK))


def _floor(rgb: world.Floats) -> tuple[str, world.Floats]:
    """The floor's name and colour, by the median of the border: an object may touch it but not fill it."""
    edge = max(2, rgb.shape[0] // 32)
    inner = np.zeros(rgb.shape[:2], dtype=np.bool_)
    inner[edge:-edge, edge:-edge] = True
    border = rgb[~inner]  # [pixels, 3]
    found = {}
    for name, value in world.FLOORS.items():
        _, distance = _ray(border, np.array(value, dtype=np.float32), 0.84, 1.04)
        found[name] = float(np.median(distance))
    best = min(found, key=lambda name: found[name])
    return (best if found[best] < 0.06 else ""), np.array(world.FLOORS[best], dtype=np.float32)


def _ray(rgb: world.Floats, color: world.Floats, low: float, high: float) -> tuple[Any, Any]:
    """Brightness s in low..high that explains each pixel best as s·color, and the distance that remains: [...] each."""
    s = np.clip(rgb @ color / float(color @ color), low, high)
    return s, np.linalg.norm(rgb - s[..., None] * color, axis=-1)


def _by_color(rgb: world.Floats, blot: Bools, smallest: float) -> list[tuple[str, Bools]]:
    """Cut a blot into its colours. Its rim, where colours mix, has no vote; nor has a colour of a few pixels."""
    names = list(world.COLORS)
    rays = [_ray(rgb, np.array(c, dtype=np.float32), 0.3, 1.15)[1] for c in world.COLORS.values()]
    far = np.stack(rays, axis=-1)  # [h, w, colours]
    core = _shrink(_shrink(blot))
    votes = np.bincount(far[core].argmin(-1), minlength=len(names))
    present = [i for i in range(len(names)) if votes[i] >= max(smallest, 0.08 * votes.sum())]
    if len(present) <= 1:
        return [(names[int(votes.argmax())], blot)] if votes.sum() else []
    nearest = far[..., present].argmin(-1)
    return [(names[c], piece) for i, c in enumerate(present) for piece in _pieces(blot & (nearest == i), smallest)]


def _shape(rgb: world.Floats, mask: Bools, color: world.Floats) -> tuple[str, float, float]:
    """Shape ('' if nothing fits), radius and overlap of the candidate that explains outline and shading best."""
    size = mask.shape[0]
    rows, cols = np.nonzero(mask)
    top, left = max(rows.min() - 6, 0), max(cols.min() - 6, 0)
    window = slice(top, rows.max() + 7), slice(left, cols.max() + 7)
    inside, pixels = mask[window], rgb[window]
    ys, xs = np.arange(inside.shape[0])[:, None], np.arange(inside.shape[1])[None, :]
    middle = rows.mean() - top, cols.mean() - left

    def lay(candidate: Candidate, grow: float, dy: int, dx: int) -> tuple[float, str, float, float]:
        """Cost, shape, radius and overlap of one candidate at one size and place."""
        scale = grow * float(np.sqrt(len(rows) / candidate.area))  # a candidate's pixel is 1/128 of a unit
        r = np.round((ys - middle[0] - dy) / scale + 256).astype(int).clip(0, 511)
        c = np.round((xs - middle[1] - dx) / scale + 256).astype(int).clip(0, 511)
        over = candidate.outline[r, c]  # [h, w]
        both = over & inside
        overlap = float(both.sum() / (over | inside).sum())
        if not overlap:
            return np.inf, "", 0.0, 0.0
        lit = candidate.light[r, c][both][:, None] * color  # [pixels, 3]
        gain = float((lit * pixels[both]).sum() / (lit * lit).sum())
        error = float(np.abs(pixels[both] - gain * lit).mean())
        return 1 - overlap + 1.5 * error, candidate.shape, scale * 256 / size, overlap

    likely = sorted(_candidates(), key=lambda candidate: lay(candidate, 1.0, 0, 0)[0])[:4]
    steps = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
    _, shape, radius, overlap = min(
        lay(candidate, grow, dy, dx) for candidate in likely for grow in (0.96, 1.0, 1.04) for dy, dx in steps
    )
    return (shape if overlap >= FIT else ""), radius, overlap


@cache
def _candidates() -> tuple[Candidate, ...]:
    """Every shape, cubes at nine turns: a quarter turn brings a cube back to itself."""
    turns: list[tuple[world.Shape, float]] = [("sphere", 0.0), ("cylinder", 0.0)]
    turns += [("cube", float(angle)) for angle in np.deg2rad(np.arange(0, 90, 10))]
    drawn = [(shape, *world.silhouette(shape, yaw)) for shape, yaw in turns]
    return tuple(Candidate(shape, outline, light, int(outline.sum())) for shape, outline, light in drawn)


def _shift(mask: Any, dy: int, dx: int, fill: Any) -> Any:
    out = np.full_like(mask, fill)
    h, w = mask.shape
    moved = mask[max(-dy, 0) : h + min(-dy, 0), max(-dx, 0) : w + min(-dx, 0)]
    out[max(dy, 0) : h + min(dy, 0), max(dx, 0) : w + min(dx, 0)] = moved
    return out


def _shrink(mask: Bools) -> Bools:
    out = mask.copy()
    for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        out &= _shift(mask, dy, dx, True)
    return out


def _label(mask: Bools) -> npt.NDArray[np.int64]:
    """Number the 4-connected regions of a mask, 0 outside: runs along the rows, joined where they touch."""
    starts = mask.copy()
    starts[:, 1:] &= ~mask[:, :-1]
    runs = np.cumsum(starts).reshape(mask.shape) * mask  # [h, w]; each run has a number from 1 on
    touch = mask[1:] & mask[:-1]
    parent = np.arange(int(starts.sum()) + 1)

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = parent[parent[run]]
            run = parent[run]
        return run

    for above, below in np.unique(np.stack([runs[:-1][touch], runs[1:][touch]], -1), axis=0):
        parent[root(int(below))] = root(int(above))
    return np.array([root(run) for run in range(len(parent))])[runs]


def _pieces(mask: Bools, smallest: float) -> list[Bools]:
    """The connected regions of at least that many pixels."""
    label = _label(mask)
    numbers, counts = np.unique(label[mask], return_counts=True)
    return [label == n for n, count in zip(numbers, counts, strict=True) if count >= smallest]


def _fill(mask: Bools) -> Bools:
    """Close holes, such as a highlight of the floor's colour: whatever the border does not reach is inside."""
    label = _label(~np.pad(mask, 1))
    filled: Bools = (label != label[0, 0])[1:-1, 1:-1]
    return filled
