"""Toys that can be seen: a picture and a mask of plain tensors, and a file of each kind."""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any

import PIL.Image
import torch

from engine import places
from engine.node import File, Multiline, Seed, node
from engine.packs import Pack
from engine.registry import Registry, make_registry
from engine.run import Run, State
from engine.sockets import socket
from tests.engine import toys
from tests.engine.fakes import gate


@socket()
@dataclass(frozen=True)
class Picture:
    """A square of one colour."""

    colour: str
    side: int = 8

    def pil(self) -> list[PIL.Image.Image]:
        return [PIL.Image.new("RGB", (self.side, self.side), self.colour)]


@node("paint.square")
def square(colour: str = "red", side: int = 8) -> Picture:
    """A picture."""
    toys.counted("square")
    return Picture(colour, side)


@node("paint.dots")
def dots(seed: Seed = 0) -> Picture:
    """A picture of a seed."""
    return Picture(f"#{seed % 2**24:06x}")


def named(where: places.Places) -> dict[str, list[str]]:
    """What a caption may name."""
    return {"colour": ["red", "rose"], "file": where.files("input")}


def letters(**inputs: Any) -> list[tuple[str, list[int], int]]:
    """Who reads a caption takes its letters; what is not known yet has none."""
    text, side = inputs["text"], inputs["side"]
    return [("letters", [len(text[at : at + side]) for at in range(0, len(text), side)], side)] if text else []


@node("paint.caption")
def caption(text: Annotated[str, Multiline(prompt=True, names=named, tokens=letters)] = "", side: int = 8) -> Picture:
    """A picture of a text."""
    return Picture("red", len(text) + side)


@node("paint.save", output="files", effect=True, lane="io")
def save(picture: Picture, name: str = "square") -> list[str]:
    """Writes it as PNG."""
    stream = BytesIO()
    picture.pil()[0].save(stream, "PNG")
    places.write_atomic(places.current().output / f"{name}.png", stream.getvalue())
    return [f"{name}.png"]


@node("paint.slow")
def slow(run: Run, picture: Picture, steps: int = 3, name: str = "slow") -> Picture:
    """Shows every step, then stands before a gate."""
    for done in range(steps):
        run.preview(picture.pil()[0].copy, done, steps)
        run.progress(done + 1, steps)
    gate(name).wait(run.check)
    return picture


@node("paint.until", lane="io")
def until(run: Run, picture: Picture, name: str = "go") -> Picture:
    """Waits for a file in the input folder: a gate between processes."""
    import time

    while not (places.current().input / name).exists():
        run.check()
        time.sleep(0.02)
    return picture


@node("paint.steps")
def steps(run: Run, seed: Seed = 0, steps: int = 4, stop_step: int | None = None) -> Picture:
    """A picture that is made in steps, and may be stopped early."""
    last = steps if stop_step is None else min(stop_step, steps)
    for done in range(last):
        run.progress(done + 1, steps)
    toys.counted("steps")
    return Picture(f"#{seed % 2**24:06x}", side=last)


@node("paint.pick")
def pick(picture: Picture, side: int = 8, only: int | None = None) -> Picture:
    """The picture in another size; refuses all sizes but one when told to."""
    if only is not None and side != only:
        raise ValueError(f"not {side}")
    return Picture(picture.colour, side)


@node("paint.open")
def open_(name: Annotated[str, File("input")]) -> Picture:
    """A picture of the input folder, by the colour of its first pixel."""
    with PIL.Image.open(places.current().file("input", name)) as picture:
        red, green, blue = picture.convert("RGB").getpixel((0, 0))
        return Picture(f"#{red:02x}{green:02x}{blue:02x}", picture.width)


@node("paint.hang", lane="io")
def hang(picture: Picture) -> Picture:
    """Never comes back, whatever it is asked."""
    import threading

    threading.Event().wait()
    return picture


@node("paint.greedy")
def greedy() -> Picture:
    """Asks for more memory than any machine has."""
    return Picture(str(len(bytearray(2**60))))


@node("paint.shy")
def shy() -> Picture:
    """Cannot be painted."""
    return Picture("no colour at all")


def rows_active(seed: int, steps: int, stop_step: int | None, **more: Any) -> list[Any]:
    return [(seed, step) for step in range(steps if stop_step is None else min(stop_step, steps))]


@node("paint.rows", steps=rows_active, batched="tests.engine.server.rows")
def rows(
    run: Run,
    seed: Seed = 0,
    steps: int = 4,
    wrong: int = -1,
    wait: str = "",
    solo: bool = False,
    stop_step: int | None = None,
    hold: int = 2,
) -> Picture:
    """A picture in steps that several may share. It waits after step `hold` for a gate, or for a file of this name."""
    import time

    state = run.resume()
    for done in range(0 if state is None else state.index + 1, steps if stop_step is None else min(stop_step, steps)):
        if seed == wrong:
            raise ValueError(f"{seed} is wrong")
        toys.counted("rows")
        run.checkpoint(State(done, {"at": torch.full((100,), float(seed))}, {}, ()))
        run.progress(done + 1, steps)
        if done + 1 == hold and wait.startswith("file "):
            (places.current().home / f"held {seed}").touch()
            while not (places.current().input / wait.removeprefix("file ")).exists():
                run.check()
                time.sleep(0.01)
        elif done + 1 == hold and wait:
            gate(f"{wait} {seed}").reached.set()
            gate(wait).wait(run.check)
    return Picture(f"#{seed % 2**24:06x}", side=steps if stop_step is None else stop_step)


def registry() -> Registry:
    painted = (square, dots, caption, save, slow, until, steps, pick, open_, hang, greedy, shy, rows)
    extra = [thing.__weft__ for thing in painted]
    pack = Pack(
        "core",
        toys.MODULE,
        Path(__file__).parent,
        nodes=(*toys.NODES, *extra),
        types=(*toys.TYPES, vars(Picture)["__weft_type__"]),
        title="Toys",
    )
    return make_registry([pack])


def png(path: Path, size: tuple[int, int], colour: str) -> Path:
    PIL.Image.new("RGB", size, colour).save(path, "PNG")
    return path


def document(nodes: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"weft": 1, "title": "painted", "nodes": dict(nodes), **more}
