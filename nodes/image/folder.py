"""Folder: many pictures from the input folder, those of an animation, and what a picture says of its making."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from engine import places
from engine.errors import WeftError, fail, refuse
from engine.node import File, Help, Range, node
from engine.run import Run
from nodes import parameters
from nodes.image.filters import MAX_PIXELS
from nodes.image.load import opened, pixels
from nodes.types import Image, Mask

Folder = Annotated[str, Help("Within the input folder; empty is the input folder itself.")]
Pattern = Annotated[str, Help("Names to take: *.png, frame_*; several with a space between.")]
Below = Annotated[bool, Help("Also what lies in folders within it.")]
Order = Annotated[
    Literal["name", "newest first", "oldest first"],
    Help("name: 2 comes before 10. The others go by when it was changed."),
]
Most = Annotated[int, Range(0, 10_000, 1, soft=(0, 256)), Help("At most so many, after the order; 0 is all.")]
MAX_FILES = 10_000


def listed(folder: str, pattern: str, below: bool, order: str, most: int) -> list[str]:
    """The names of a folder's pictures, relative to the input folder."""
    here = places.current()
    base = here.input
    name = places.check_name(folder) if folder.strip() not in ("", ".", "./") else ""
    found = places.inside(base, name) if name else base
    if found is None:
        raise places.outside(folder, base)
    if not found.is_dir() and name and here.beside is not None:
        found = places.inside(here.beside, name) or found
        base = here.beside if found.is_dir() else base
    if not found.is_dir():
        raise fail("media.missing", f"there is no folder '{folder}' in {base}", mend="check the name, or make it")
    wanted = pattern.split() or ["*"]
    paths = [
        path
        for path in (found.rglob("*") if below else found.glob("*"))
        if path.suffix.lower() in (*places.IMAGE_ENDINGS, ".avif")
        and not path.name.startswith(".")
        and any(fnmatch.fnmatchcase(path.name.lower(), one.lower()) for one in wanted)
        and path.is_file()
    ]
    if order == "name":
        paths.sort(key=lambda path: _natural(path.relative_to(base).as_posix()))
    else:
        paths.sort(key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=order == "newest first")
    if len(paths) > MAX_FILES and not 0 < most <= MAX_FILES:
        raise refuse(f"{len(paths):,} pictures, the limit is {MAX_FILES:,}", socket="most", mend="take fewer at a time")
    return [path.relative_to(base).as_posix() for path in paths[: most or None]]


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """A key by which 2 comes before 10."""
    parts = re.split(r"(\d+)", name.lower())
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


def there(**inputs: Any) -> list[str]:
    """What the result depends on: names and contents of the files, in their order."""
    names = listed(*(inputs[name] for name in ("folder", "pattern", "below", "order", "most")))
    return [f"{name} {places.file_id(places.current().file('input', name))}" for name in names]


def names_there(**inputs: Any) -> list[str]:
    """What a list of names depends on: the names, in their order."""
    return listed(*(inputs[name] for name in ("folder", "pattern", "below", "order", "most")))


@node(
    "image.names",
    title="List image files",
    advanced=("below", "order", "most"),
    output="names",
    lane="io",
    fingerprint=names_there,
    aliases=["list folder", "Load Image Batch names", "LoadImagesFromFolder names"],
)
def names(
    folder: Folder = "", pattern: Pattern = "*", below: Below = False, order: Order = "name", most: Most = 0
) -> list[str]:
    """The names of the pictures in a folder, for a `map` whose body begins with `image.load`.

    That way each picture is loaded when it is needed, one that is broken fails alone, and only new ones are computed.
    """
    return listed(folder, pattern, below, order, most)


class Many(NamedTuple):
    """The pictures, where each is transparent, their names, and a line for each file that could not be read."""

    images: list[Image]
    masks: list[Mask]
    names: list[str]
    problems: list[str]


@node(
    "image.load_folder",
    title="Load image folder",
    advanced=("below", "order", "most", "broken"),
    lane="io",
    fingerprint=there,
    aliases=[
        "LoadImagesFromFolder",
        "LoadImageSetFromFolderNode",
        "LoadImageDataSetFromFolder",
        "LoadImagesFromDirectory",
    ],
)
def load_folder(
    run: Run,
    folder: Folder = "",
    pattern: Pattern = "*",
    below: Below = False,
    order: Order = "name",
    most: Most = 0,
    broken: Annotated[
        Literal["refuse", "skip"], Help("A file that is no picture: stop and name it, or name it and go on.")
    ] = "refuse",
) -> Many:
    """All pictures of a folder as lists, each upright with its own size, and their names in the same order.

    A broken file ends the run with its name, or with `skip` stands in `problems` while the others are loaded.
    """
    import torch

    found = Many([], [], [], [])
    chosen = listed(folder, pattern, below, order, most)
    total = 0
    for index, name in enumerate(chosen):
        run.progress(index, len(chosen), name)
        try:
            with opened(places.current().file("input", name)) as picture:
                total += picture.width * picture.height
                if total > MAX_PIXELS:
                    mend = "take fewer at a time, or wire image.names into a map"
                    raise refuse(
                        f"the pictures have more than {MAX_PIXELS:,} pixels together", socket="most", mend=mend
                    )
                colours, alpha = pixels(picture)
        except WeftError as error:
            if broken == "refuse" or error.code != "media.format":
                raise
            found.problems.append(f"{name}: {error.problem.message}")
            continue
        found.images.append(Image(torch.from_numpy(colours)[None]))
        found.masks.append(Mask(1 - torch.from_numpy(alpha)[None]))
        found.names.append(name)
    if not found.images:
        why = f"; {found.problems[0]}" if found.problems else ""
        raise fail(
            "media.missing", f"there is no picture '{pattern}' in '{folder}'{why}", mend="check folder and pattern"
        )
    return found


class Frames(NamedTuple):
    """The pictures in one batch, and how many of them play in a second."""

    image: Image
    fps: float


@node("image.load_animation", title="Load animation", lane="io", aliases=["VHS_LoadVideo", "LoadAnimation", "load gif"])
def load_animation(
    run: Run,
    name: Annotated[str, File("input")],
    start: Annotated[int, Range(0, 100_000, 1), Help("The first picture taken.")] = 0,
    every: Annotated[int, Range(1, 1000, 1), Help("Take every so-manieth.")] = 1,
    most: Annotated[int, Range(0, 100_000, 1, soft=(0, 256)), Help("At most so many; 0 is all.")] = 0,
) -> Frames:
    """The pictures of a GIF, animated WebP, APNG or AVIF as one batch; of a still picture just that."""
    import torch

    planes: list[torch.Tensor] = []
    lasting = 0.0
    with opened(places.current().file("input", name)) as picture:
        count = int(getattr(picture, "n_frames", 1))
        chosen = range(start, count, every)[: most or None]
        if not len(chosen):
            raise refuse(f"the animation has {count} pictures", socket="start", mend=f"use 0..{count - 1}")
        if len(chosen) * picture.width * picture.height > MAX_PIXELS:
            raise refuse(
                f"{len(chosen)} × {picture.width}×{picture.height} is too much", socket="most", mend="use fewer"
            )
        for done, index in enumerate(chosen):
            run.progress(done, len(chosen))
            picture.seek(index)
            planes.append(torch.from_numpy(pixels(picture)[0]))
            lasting += float(picture.info.get("duration", 0))  # some formats tell only once the picture is read
    fps = 1000 * len(planes) / lasting / every if lasting > 0 else 0.0
    return Frames(Image(torch.stack(planes)), round(fps, 3))


class Told(NamedTuple):
    """What the file says; empty or 0 where it says nothing."""

    prompt: str
    negative: str
    seed: int
    steps: int
    cfg: float
    sampler: str
    scheduler: str
    model: str
    denoise: float
    text: str


@node(
    "image.parameters",
    title="Read saved parameters",
    lane="io",
    aliases=["Image Metadata", "SDPromptReader", "PNG info", "read metadata"],
)
def read_parameters(name: Annotated[str, File("input")]) -> Told:
    """How a picture was made, as far as its file says: prompt, negative prompt, seed, steps, cfg, sampler, model.

    Reads what Weft writes, the `parameters` text of A1111 and what follows it, and ComfyUI's graph. `text` has all of
    it in A1111's form. Cut-off: what is wired to it runs again only when what it says changed.
    """
    path = places.current().file("input", name)
    found = parameters.of_picture(Path(path))
    with opened(path) as picture:
        text = parameters.text(found, picture.width, picture.height)
    return Told(
        str(found.get("prompt", "")),
        str(found.get("negative", "")),
        _whole(found.get("seed")),
        _whole(found.get("steps")),
        float(found.get("cfg", 0.0)),
        str(found.get("sampler", "")),
        str(found.get("scheduler", "")),
        str(found.get("model", "")),
        float(found.get("denoise", 1.0)),
        text,
    )


def _whole(value: Any) -> int:
    return value % 2**64 if isinstance(value, int) else 0
