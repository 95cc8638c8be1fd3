"""The starter's world: what can be asked for, how it is said, and what it looks like.

A *scene* is words (colours, shapes, sizes, places, a floor); a *pose* is the numbers that put one of its
objects on the floor. `sample` draws a scene, `arrange` its poses, `caption` says it, `draw` makes the
picture with its id, depth and normal maps. Everything comes from a numpy generator that the caller seeds.

Units: the picture spans -1..1 in x and y (y up), so one unit is half a picture; the camera is orthographic,
pitched down by `PITCH`. World axes: x right, y up from the floor, z towards the viewer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

Shape = Literal["sphere", "cube", "cylinder"]
Place = Literal["left", "middle", "right"]
Floats = npt.NDArray[np.float32]
Vector = tuple[float, float, float]

SIZE = 128
SHAPES: tuple[Shape, ...] = ("sphere", "cube", "cylinder")
PLACES: tuple[Place, ...] = ("left", "middle", "right")
COLORS: Mapping[str, Vector] = {
    "red": (0.86, 0.10, 0.12),
    "green": (0.13, 0.66, 0.22),
    "blue": (0.12, 0.27, 0.88),
    "yellow": (0.96, 0.82, 0.10),
    "purple": (0.55, 0.16, 0.72),
    "cyan": (0.12, 0.78, 0.82),
    "orange": (0.97, 0.47, 0.06),
    "black": (0.07, 0.07, 0.08),
}
FLOORS: Mapping[str, Vector] = {
    "gray": (0.62, 0.62, 0.64),
    "white": (0.95, 0.95, 0.94),
    "pink": (0.97, 0.72, 0.80),
    "beige": (0.88, 0.78, 0.62),
    "mint": (0.68, 0.90, 0.76),
    "lavender": (0.76, 0.74, 0.93),
}

PITCH = np.deg2rad(32.0)
SIN, COS = float(np.sin(PITCH)), float(np.cos(PITCH))
LOOK = 0.22  # height on the screen of the floor's origin, below the centre: centres the objects, not their feet
SUN: Vector = (-0.505, 0.808, 0.303)  # unit vector to the sun: from the left, above, a little in front
NORMAL, BIG = (0.26, 0.30), (0.38, 0.43)  # radius ranges
YAW = (np.deg2rad(27.0), np.deg2rad(63.0))  # both side faces of a cube show: flat-on it is hard to tell from others
GAP = 0.08  # least free screen between two objects
MARGIN = 0.97


@dataclass(frozen=True)
class Object:
    """One thing that is asked for. A place is absolute: of two objects one is left, the other right."""

    color: str
    shape: Shape
    big: bool
    place: Place

    def __str__(self) -> str:
        return f"{'big ' if self.big else ''}{self.color} {self.shape}"


@dataclass(frozen=True)
class Scene:
    """One object anywhere, or two of different colours, the left one first."""

    objects: tuple[Object, ...]
    floor: str


@dataclass(frozen=True)
class Pose:
    """Where an object stands: its centre's x and z on the floor, its radius, its turn about the vertical in radians."""

    x: float
    z: float
    radius: float
    yaw: float


@dataclass(frozen=True)
class Picture:
    """A drawn scene.

    rgb: float32 [height, width, 3], 0..1, as displayed.
    ids: uint8 [height, width], 0 for the floor, i + 1 for object i.
    depth: float32 [height, width], distance along the view, smaller is nearer, 0 at the floor's origin.
    normal: float32 [height, width, 3], unit vectors in camera axes (right, up, towards the viewer).
    """

    rgb: Floats
    ids: npt.NDArray[np.uint8]
    depth: Floats
    normal: Floats


def held_out(color: str, shape: Shape, floor: str) -> bool:
    """Whether this combination is kept out of training: 18 of 144, one colour for each shape on each floor."""
    c, s, f = list(COLORS).index(color), SHAPES.index(shape), list(FLOORS).index(floor)
    return (c + 3 * s + f) % len(COLORS) == 0


def is_held_out(scene: Scene) -> bool:
    """Whether any object of the scene is a combination that training never sees."""
    return any(held_out(o.color, o.shape, scene.floor) for o in scene.objects)


def sample(rng: np.random.Generator, *, objects: int | None = None, held: bool | None = False) -> Scene:
    """Draw a scene; `objects` 1 or 2 (a third of the scenes have one), `held` True, False or None for either."""
    while True:
        count = objects or (1 if rng.random() < 1 / 3 else 2)
        colors = rng.choice(len(COLORS), size=count, replace=False)
        places: tuple[Place, ...] = (PLACES[rng.integers(3)],) if count == 1 else ("left", "right")
        things = tuple(
            Object(list(COLORS)[c], SHAPES[rng.integers(3)], bool(rng.random() < 0.3), place)
            for c, place in zip(colors, places, strict=True)
        )
        scene = Scene(things, list(FLOORS)[rng.integers(len(FLOORS))])
        if held is None or is_held_out(scene) == held:
            return scene


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """Say the scene in one of the world's ways.

    The position of a lone object is left out only in the middle, and "and" names left before right: a caption
    that could mean several pictures teaches the model to draw none of them (empty floors, in the prototype).
    """

    def noun(o: Object) -> str:
        size = "big " if o.big else "small " if rng.random() < 0.06 else ""
        words = f"{size}{o.color} {o.shape}"
        return words if rng.random() < 0.04 else f"{'an' if words[0] == 'o' else 'a'} {words}"

    if len(scene.objects) == 1:
        (one,) = scene.objects
        where = {"left": " on the left", "middle": " in the middle", "right": " on the right"}[one.place]
        text = noun(one) + ("" if one.place == "middle" and rng.random() < 0.6 else where)
    else:
        left, right = scene.objects
        way = rng.integers(3)
        first, word, second = ((left, "left of", right), (right, "right of", left), (left, "and", right))[way]
        text = f"{noun(first)} {word} {noun(second)}"
    if rng.random() < 0.05:
        return text
    ground = "background" if rng.random() < 0.5 else "floor"
    return f"{text} on a {scene.floor} {ground}"


def read(text: str) -> Scene | None:
    """The scene that a caption of this world asks for, or None if it is not one; no floor named gives floor ''."""
    words = [w for w in text.lower().replace(",", " ").replace(".", " ").split() if w not in ("a", "an", "the")]
    nouns = [i for i, w in enumerate(words) if w in SHAPES and i and words[i - 1] in COLORS]
    if not 1 <= len(nouns) <= 2:
        return None
    floors = [w for w, after in pairwise(words) if w in FLOORS and after in ("background", "floor")]
    floor = floors[0] if floors else ""

    def thing(i: int, place: Place) -> Object:
        return Object(words[i - 1], cast("Shape", words[i]), i >= 2 and words[i - 2] == "big", place)

    if len(nouns) == 1:
        place: Place = next((p for p in PLACES if p in words), "middle")
        return Scene((thing(nouns[0], place),), floor)
    first, second = nouns
    if "right" in words[first:second]:
        first, second = second, first
    return Scene((thing(first, "left"), thing(second, "right")), floor)


def half_width(shape: Shape, radius: float, yaw: float) -> float:
    """Half of an object's width on the screen."""
    x, _, _ = half_sizes(shape, radius)
    return x * (abs(float(np.cos(yaw))) + abs(float(np.sin(yaw)))) if shape == "cube" else x


def half_sizes(shape: Shape, radius: float) -> Vector:
    """Half extents (x, y, z) before turning; about equal in volume, so that size does not give the shape away."""
    if shape == "cube":
        return (0.78 * radius,) * 3
    if shape == "cylinder":
        return 0.72 * radius, 0.92 * radius, 0.72 * radius
    return (radius,) * 3


def arrange(scene: Scene, rng: np.random.Generator) -> tuple[Pose, ...]:
    """Put the scene's objects on the floor: inside the picture, apart on the screen, each in its place."""
    radii = [float(rng.uniform(*(BIG if o.big else NORMAL))) for o in scene.objects]
    yaws = [float(rng.uniform(*YAW)) for _ in scene.objects]
    depths = [float(rng.uniform(-0.42, 0.42)) for _ in scene.objects]
    widths = [half_width(o.shape, r, y) for o, r, y in zip(scene.objects, radii, yaws, strict=True)]
    if len(scene.objects) == 1:
        low, high = {"left": (-0.64, -0.38), "middle": (-0.12, 0.12), "right": (0.38, 0.64)}[scene.objects[0].place]
        room = MARGIN - widths[0]
        xs = [float(np.clip(rng.uniform(low, high), -room, room))]
    else:
        free = 2 * MARGIN - 2 * sum(widths) - GAP
        while True:
            a, b = np.sort(rng.uniform(0, max(free, 0.0), 2))
            xs = [-MARGIN + widths[0] + float(a), MARGIN - widths[1] - (free - float(b))]
            if xs[0] < -0.15 and xs[1] > 0.15:
                break
    return tuple(Pose(*p) for p in zip(xs, depths, radii, yaws, strict=True))


def draw(scene: Scene, poses: tuple[Pose, ...], size: int = SIZE) -> Picture:
    """Trace the scene: one ray per sample, 2×2 samples per pixel for the colours, one for the maps."""
    n = 2 * size
    axis: Floats = (np.arange(n, dtype=np.float32) + np.float32(0.5)) / np.float32(size) - np.float32(1)
    u, v = np.meshgrid(axis, -axis)  # [n, n] each
    v = v + LOOK
    # A ray starts on the plane through the origin that faces the camera: p = u·right + v·up, then along VIEW.
    origin = np.stack([u, v * COS, -v * SIN], axis=-1).astype(np.float32)  # [n, n, 3]
    view = np.array([0.0, -SIN, -COS], dtype=np.float32)
    sun = np.array(SUN, dtype=np.float32)

    depth = origin[..., 1] / SIN  # the floor is y = 0
    normal = np.zeros_like(origin)
    normal[..., 1] = 1.0
    ids = np.zeros((n, n), dtype=np.uint8)
    rgb = np.empty_like(origin)
    rgb[:] = FLOORS[scene.floor]
    shade = np.ones((n, n), dtype=np.float32)

    solids = [_Solid(o.shape, p) for o, p in zip(scene.objects, poses, strict=True)]
    for i, solid in enumerate(solids):
        rows, cols = _window(axis, solid.x, solid.screen_y, solid.reach, n)
        hit, facing = solid.trace(origin[rows, cols], view)
        seen = hit < depth[rows, cols]
        depth[rows, cols][seen] = hit[seen]
        normal[rows, cols][seen] = facing[seen]
        ids[rows, cols][seen] = i + 1
        rgb[rows, cols][seen] = COLORS[scene.objects[i].color]

    point = origin + depth[..., None] * view
    for i, solid in enumerate(solids):
        rows, cols = _window(axis, *solid.shadow(), n)
        near = point[rows, cols]
        dark, _ = solid.trace(near, sun)
        floor, own = ids[rows, cols] == 0, ids[rows, cols] == i + 1
        hard = np.where(np.isfinite(dark) & (dark > 1e-3) & ~own, 0.72, 1.0)
        # The sky is hidden near an object's foot: a soft dark rim that ties it to the floor.
        foot = np.hypot(near[..., 0] - solid.x, near[..., 2] - solid.z) / (0.85 * solid.half[0])
        contact = np.where(floor, 1.0 - 0.22 * np.exp(-((np.maximum(foot - 0.75, 0.0) / 0.45) ** 2)), 1.0)
        shade[rows, cols] *= (hard * contact).astype(np.float32)

    # The floor's light is one number and has no highlight: only the objects are lit sample by sample.
    solid_at = ids > 0
    facing = normal[solid_at]  # [k, 3]
    half = (sun - view) / np.linalg.norm(sun - view)
    gloss = 0.45 * np.clip(facing @ half, 0.0, 1.0) ** 60 * (shade[solid_at] > 0.99)
    lit = rgb[solid_at] * (shade[solid_at] * _light(facing @ sun))[:, None] + gloss[:, None]
    fade = 1.0 - 0.04 * (u**2 + (v - LOOK) ** 2)
    rgb *= (shade * fade * _light(sun[1]))[..., None]
    rgb[solid_at] = np.minimum(lit, 1.0)

    # [n, n, 3] → [size, size, 3]: each pixel is the mean of its four samples.
    pixels = ((rgb[::2, ::2] + rgb[1::2, ::2] + rgb[::2, 1::2] + rgb[1::2, 1::2]) / 4).astype(np.float32)
    camera = np.array([[1.0, 0.0, 0.0], [0.0, COS, -SIN], [0.0, SIN, COS]], dtype=np.float32)  # rows: right, up, back
    return Picture(pixels, ids[::2, ::2].copy(), depth[::2, ::2].copy(), normal[::2, ::2] @ camera.T)


def picture(seed: int, index: int, *, held: bool | None = False) -> tuple[str, Scene, Picture]:
    """Caption, scene and picture number `index` of the set `seed`: the same for ever, in any order."""
    rng = np.random.default_rng([seed, index])
    scene = sample(rng, held=held)
    text = caption(scene, rng)
    return text, scene, draw(scene, arrange(scene, rng))


def silhouette(shape: Shape, yaw: float) -> tuple[npt.NDArray[np.bool_], Floats]:
    """Outline and light [512, 512] of a lone object of radius 1, 128 samples to the unit, centred on its middle."""
    solid = _Solid(shape, Pose(0.0, 0.0, 1.0, yaw))
    axis = (np.arange(512, dtype=np.float32) - 256) / 128
    u, v = np.meshgrid(axis, -axis)
    v = v + solid.y * COS  # the outline of each shape is point-symmetric about its projected centre
    distance, normal = solid.trace(np.stack([u, v * COS, -v * SIN], -1), np.array([0.0, -SIN, -COS], np.float32))
    outline = np.isfinite(distance)
    return outline, np.where(outline, _light(normal @ np.array(SUN, np.float32)), 0.0).astype(np.float32)


def _light(cosine: Any) -> Any:
    """Brightness of a surface whose normal makes this cosine with the sun: sky plus a soft-edged sun."""
    return 0.42 + 0.64 * np.clip((cosine + 0.25) / 1.25, 0.0, 1.0)


class _Solid:
    """One posed shape that rays can meet."""

    def __init__(self, shape: Shape, pose: Pose) -> None:
        self.shape, self.x, self.z, self.yaw = shape, pose.x, pose.z, pose.yaw
        self.half = half_sizes(shape, pose.radius)
        self.y = self.half[1]  # it stands on the floor
        self.reach = float(np.linalg.norm(self.half)) if shape == "cube" else float(np.hypot(*self.half[:2]))
        self.screen_y = self.y * COS - self.z * SIN - LOOK

    def shadow(self) -> tuple[float, float, float]:
        """Centre and reach, on the screen, of the object with its shadow and contact rim."""
        slide = self.y / SUN[1]
        x, z = self.x - 0.5 * slide * SUN[0], self.z - 0.5 * slide * SUN[2]
        return x, 0.5 * self.y * COS - z * SIN - LOOK, self.reach * 1.3 + 0.5 * slide

    def trace(self, origin: Floats, direction: Floats) -> tuple[Floats, Floats]:
        """Distance to the first point met ([...], inf for none) and the normal there ([..., 3])."""
        c, s = float(np.cos(self.yaw)), float(np.sin(self.yaw))
        turn = np.array([[c, 0.0, -s], [0.0, 1.0, 0.0], [s, 0.0, c]], dtype=np.float32)  # world → the solid's own axes
        o = (origin - np.array([self.x, self.y, self.z], dtype=np.float32)) @ turn.T
        d = turn @ direction
        with np.errstate(invalid="ignore", divide="ignore"):
            distance, facing = {"sphere": _sphere, "cube": _box, "cylinder": _cylinder}[self.shape](o, d, self.half)
        return distance.astype(np.float32), (facing @ turn).astype(np.float32)


def _window(axis: Floats, x: float, y: float, reach: float, n: int) -> tuple[slice, slice]:
    """Rows and columns of the samples within `reach` of a screen point: rays elsewhere cannot meet the object."""

    def span(center: float) -> slice:
        low, high = np.searchsorted(axis, [center - reach, center + reach])
        return slice(max(int(low) - 1, 0), min(int(high) + 1, n))

    return span(-y), span(x)


def _sphere(o: Any, d: Any, half: Vector) -> tuple[Any, Any]:
    b = o @ d
    root = b * b - (o * o).sum(-1) + half[0] ** 2
    t = np.where(root >= 0, -b - np.sqrt(np.maximum(root, 0)), np.inf)
    return t, (o + np.where(np.isfinite(t), t, 0)[..., None] * d) / half[0]


def _box(o: Any, d: Any, half: Vector) -> tuple[Any, Any]:
    d = np.where(np.abs(d) < 1e-6, 1e-6, d)
    low, high = (-np.array(half, dtype=np.float32) - o) / d, (np.array(half, dtype=np.float32) - o) / d
    enter, leave = np.minimum(low, high), np.maximum(low, high)
    t = enter.max(-1)
    t = np.where(t <= leave.min(-1), t, np.inf)
    face = enter.argmax(-1)
    return t, -np.sign(d) * (np.arange(3) == face[..., None])


def _cylinder(o: Any, d: Any, half: Vector) -> tuple[Any, Any]:
    radius, high = half[0], half[1]
    a = d[0] ** 2 + d[2] ** 2
    b = o[..., 0] * d[0] + o[..., 2] * d[2]
    root = b * b - a * (o[..., 0] ** 2 + o[..., 2] ** 2 - radius**2)
    side = np.where(root >= 0, (-b - np.sqrt(np.maximum(root, 0))) / a, np.inf)
    y = o[..., 1] + np.where(np.isfinite(side), side, 0) * d[1]
    side = np.where(np.abs(y) <= high, side, np.inf)
    cap = (-np.sign(d[1]) * high - o[..., 1]) / d[1]
    x, z = o[..., 0] + cap * d[0], o[..., 2] + cap * d[2]
    cap = np.where(x * x + z * z <= radius**2, cap, np.inf)
    on_cap = cap < side
    t = np.where(on_cap, cap, side)
    at = o + np.where(np.isfinite(t), t, 0)[..., None] * d
    round_ = at * np.array([1.0, 0.0, 1.0]) / radius
    return t, np.where(on_cap[..., None], np.array([0.0, -np.sign(d[1]), 0.0]), round_)
