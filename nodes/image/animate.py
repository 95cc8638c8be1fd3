"""Animate: a batch of pictures as one moving picture."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Annotated, Any, Literal

from engine import places
from engine.errors import refuse
from engine.node import Help, Range, node
from engine.run import Run
from engine.sockets import copy, rule
from nodes import naming, parameters
from nodes.image.save import Extra, Name, Saved, to_levels, told
from nodes.metadata import KEY, Keep, dumps, record
from nodes.types import Image

if TYPE_CHECKING:
    import numpy

Moving = Literal["webp", "gif", "apng", "avif"]
_ENDINGS: Mapping[str, str] = {"webp": ".webp", "gif": ".gif", "apng": ".png", "avif": ".avif"}


def animate_facts(**inputs: Any) -> dict[str, dict[str, Any]]:
    """No new facts; refuses a name that leaves the output folder before anything has run."""
    if isinstance(inputs["name"], str):
        naming.check(inputs["name"])
    return {}


@node(
    "image.save_animation",
    title="Save animation",
    advanced=("quality", "metadata"),
    effect=True,
    lane="io",
    facts=[
        rule("nodes.image.animate:animate_facts"),
        *(copy(f"image.{fact}", f"image.{fact}") for fact in ("width", "height", "batch")),
    ],
    aliases=["SaveAnimatedWEBP", "SaveAnimatedPNG", "SaveWEBM", "VHS_VideoCombine", "gif"],
)
def save_animation(
    run: Run,
    image: Image,
    name: Name = "%title%",
    format: Moving = "webp",
    fps: Annotated[float, Range(0.1, 120, 0.1, soft=(1, 60)), Help("Pictures a second.")] = 8.0,
    loops: Annotated[int, Range(0, 10_000, 1), Help("How often it plays; 0 for ever.")] = 0,
    there_and_back: Annotated[bool, Help("Play backwards after playing forwards.")] = False,
    quality: Annotated[int, Range(1, 100, 1), Help("Of WebP and AVIF; WebP at 100 is lossless.")] = 85,
    metadata: Annotated[Keep, Help("Carry the workflow and its values, the values alone, or nothing.")] = "full",
) -> Saved:
    """Write the batch as one animation: WebP, GIF (256 colours), APNG (lossless) or AVIF.

    The pictures play in the order of the batch. The file carries the workflow as saved pictures do.
    """
    document, resolved = told(run)
    levels = to_levels(image)
    height, width = levels.shape[1:3]
    order = [*range(len(levels)), *(range(len(levels) - 2, 0, -1) if there_and_back else ())]
    plain = "" if metadata == "none" else parameters.text(parameters.summary(document, resolved), width, height)
    run.progress(0, 1)
    frames = [levels[index] for index in order]
    data = encode_moving(frames, format, fps, loops, quality, Extra(record(document, resolved, metadata), plain))
    known = naming.values_for(document, resolved, width, height)
    return Saved(image, [naming.write_new(places.current().output, naming.expand(name, known), _ENDINGS[format], data)])


def encode_moving(
    frames: list[numpy.ndarray[Any, Any]], format: str, fps: float, loops: int, quality: int, extra: Extra
) -> bytes:
    """Frames, uint8 [height, width, 3] each, as one file's bytes."""
    import PIL.Image
    import PIL.PngImagePlugin

    if format == "gif" and fps > 50:
        raise refuse("a GIF plays at most 50 pictures a second", socket="fps", mend="use 50, or another format")
    first, *rest = [PIL.Image.fromarray(frame) for frame in frames]
    text = dumps(extra.about) if extra.about else ""
    options: dict[str, Any] = {"save_all": True, "append_images": rest, "duration": round(1000 / fps)}
    if format == "gif":
        # A GIF counts in hundredths, and how often it plays again.
        options["duration"] = max(20, round(100 / fps) * 10)
        options |= {"comment": text.encode()} if text else {}
        options |= {} if loops == 1 else {"loop": max(loops - 1, 0)}
    elif format == "apng":
        info = PIL.PngImagePlugin.PngInfo()
        for key, value in ((KEY, text), (parameters.KEY, extra.plain)):
            if value:
                info.add_itxt(key, value)
        options |= {"pnginfo": info, "loop": loops, "default_image": False, "compress_level": 4}
    else:
        options |= {"quality": quality, "exif": extra.exif()}
        if format == "webp":
            options |= {"lossless": quality == 100, "loop": loops, "method": 3}
    stream = BytesIO()
    kind = "PNG" if format == "apng" else format.upper()
    first.save(stream, kind, **options)
    return stream.getvalue()
