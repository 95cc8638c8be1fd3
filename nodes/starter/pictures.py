"""The training set: pictures of the world drawn once to a file, so that training never waits for them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nodes.starter import world

SEED = 20_261_123
CHUNK = 512
Bytes = npt.NDArray[np.uint8]


def render(folder: Path, count: int, workers: int = 2, size: int = world.SIZE) -> Bytes:
    """Pictures 0..count of the set, uint8 [count, size, size, 3], mapped from `folder`; draws what is missing.

    A chunk that is done leaves a mark beside the file: a cut-off run goes on where it stopped.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"pictures-{count}-{size}.npy"
    if not path.exists():
        np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(count, size, size, 3)).flush()
    missing = [start for start in range(0, count, CHUNK) if not _mark(path, start).exists()]
    if missing and workers > 1:
        with ProcessPoolExecutor(workers) as pool:
            list(pool.map(_chunk, *zip(*((path, start) for start in missing), strict=True)))
    else:
        for start in missing:
            _chunk(path, start)
    done: Bytes = np.load(path, mmap_mode="r")
    return done


def captions(start: int, stop: int) -> Iterator[str]:
    """The captions of the set's pictures, without drawing them."""
    for index in range(start, stop):
        rng = np.random.default_rng([SEED, index])
        yield world.caption(world.sample(rng), rng)


def _mark(path: Path, start: int) -> Path:
    return path.with_name(f"{path.stem}.{start}.done")


def _chunk(path: Path, start: int) -> None:
    pixels = np.load(path, mmap_mode="r+")
    size = pixels.shape[1]
    for index in range(start, min(start + CHUNK, len(pixels))):
        rng = np.random.default_rng([SEED, index])
        scene = world.sample(rng)
        world.caption(scene, rng)
        rgb = world.draw(scene, world.arrange(scene, rng), size).rgb
        pixels[index] = np.round(rgb * 255).astype(np.uint8)
    pixels.flush()
    _mark(path, start).touch()
