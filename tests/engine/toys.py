"""A world of small nodes in which everything an engine does can be seen: words instead of pictures."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from engine import places
from engine.errors import Problem, Where, refuse
from engine.memory import Extent, Footprint
from engine.node import Choices, File, Multiline, Range, Seed, SocketOnly, Unkeyed, WidgetOnly, node, spec_of
from engine.packs import Pack
from engine.registry import Registry, make_registry
from engine.run import Run, State
from engine.sockets import Ref, copy, facts_of, same, socket
from tests.engine.fakes import GATES, gate

COUNT: dict[str, int] = {}


def counted(name: str) -> None:
    COUNT[name] = COUNT.get(name, 0) + 1


@socket(colour="#888888")
@dataclass(frozen=True)
class Thing:
    """A heavy value: a text and as many bytes as it is told to have."""

    text: str
    ballast: bytes = b""
    family: str = ""

    def __sizeof__(self) -> int:
        return 64 + len(self.ballast)

    @property
    def facts(self) -> dict[str, Any]:
        return {"family": self.family} if self.family else {}


@socket()
@dataclass(frozen=True)
class SpecialThing(Thing):
    """A thing that fits wherever a thing does."""


@socket()
@dataclass(frozen=True)
class Other:
    """What does not fit a Thing."""

    text: str


@socket()
@dataclass(frozen=True)
class Grid:
    """A tensor of its own, [count]."""

    tensor: Any


@socket(recipe=True)
@dataclass(frozen=True)
class Plan:
    """A recipe: two leaves and a number."""

    leaf: Any
    strength: float = 1.0

    @classmethod
    def outline(cls, ref: Ref) -> "Plan":
        return cls(ref.part("leaf"))


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Plain:
    """No widgets."""


@dataclass(frozen=True)
class Sharp:
    """One widget."""

    amount: Annotated[float, Range(0, 1)] = 0.5


class Pair(NamedTuple):
    first: Thing
    second: Thing


class Measured(NamedTuple):
    thing: Thing
    length: int


T = TypeVar("T")


# --- making ----------------------------------------------------------------------------------------------------------


@node("toy.make", aliases=["MakeThing"])
def make(text: str = "a", size: Annotated[int, Range(0, 10**9)] = 0, family: str = "") -> Thing:
    """A thing of a text."""
    counted("make")
    return Thing(text, b"x" * size, family)


@node("toy.special")
def special(text: str = "s") -> SpecialThing:
    """A special thing."""
    return SpecialThing(text)


@node("toy.other")
def other(text: str = "o") -> Other:
    """Something else."""
    return Other(text)


@node("toy.anything", light=True)
def anything(value: Any = None) -> Any:
    """Gives whatever it gets, without saying what that is."""
    return value


@node("toy.convert_back")
def convert_back(thing: Thing) -> Other:
    """Makes something else of a thing."""
    return Other(thing.text)


@node("toy.convert")
def convert(other: Other) -> Thing:
    """Makes a thing of something else."""
    return Thing(other.text)


@node("toy.seeded")
def seeded(seed: Seed = 0) -> Thing:
    """A thing that is its seed."""
    return Thing(str(seed))


@node("toy.volatile", volatile=True)
def fresh(thing: Thing) -> Thing:
    """Never the same."""
    counted("volatile")
    return Thing(f"{thing.text}#{COUNT['volatile']}")


@node("toy.read", lane="io")
def read(name: Annotated[str, File("input")]) -> Thing:
    """A thing from a file."""
    return Thing(places.current().file("input", name).read_text())


@node("toy.stamp", fingerprint="tests.engine.toys:stamp_of")
def stamp(name: str = "") -> Thing:
    """Depends on something outside."""
    return Thing(f"{name}{STAMP['now']}")


STAMP: dict[str, Any] = {"now": 0}


def stamp_of(name: str) -> Any:
    if STAMP["now"] == "broken":
        raise OSError("the clock is gone")
    if STAMP["now"] == "hanging":
        gate("stamp").open.wait(10)
    return STAMP["now"]


# --- changing --------------------------------------------------------------------------------------------------------


@node("toy.upper")
def upper(thing: Thing, times: int = 1) -> Thing:
    """Says it louder."""
    counted("upper")
    return Thing(thing.text.upper() * times, thing.ballast, thing.family)


@node("toy.weigh")
def weigh(thing: Thing, weight: float = 1.0) -> Thing:
    """Says how heavy it is."""
    return Thing(f"{thing.text}*{weight:g}", family=thing.family)


@node("toy.add", facts=[same("family", "a", "b", why="only a family stays together"), copy("a.family", "out.family")])
def add(a: Thing, b: Thing) -> Thing:
    """Two things in one."""
    return Thing(a.text + b.text, family=a.family)


@node("toy.join")
def join(*things: Thing, glue: str = "") -> Thing:
    """Many things in one."""
    return Thing(glue.join(thing.text for thing in things))


@node("toy.named")
def named(**things: Thing) -> Thing:
    """Many things by name."""
    return Thing(",".join(f"{name}={things[name].text}" for name in sorted(things)))


@node("toy.maybe")
def maybe(thing: Thing, extra: Thing | None = None) -> Thing:
    """One thing, or two."""
    return Thing(thing.text + (extra.text if extra else ""))


@node("toy.split")
def split(thing: Thing) -> Pair:
    """Two halves."""
    half = len(thing.text) // 2
    return Pair(Thing(thing.text[:half]), Thing(thing.text[half:]))


@node("toy.cpu", lane="cpu")
def on_cpu(thing: Thing) -> Thing:
    """Works beside the device."""
    return thing


@node("toy.async", lane="io")
async def later(thing: Thing) -> Thing:
    """Is awaited."""
    import asyncio

    await asyncio.sleep(0)
    return Thing(thing.text + "~")


# --- cut-off ---------------------------------------------------------------------------------------------------------


@node("toy.length")
def length(thing: Thing) -> int:
    """A plain value: what follows depends on it alone."""
    counted("length")
    return len(thing.text)


@node("toy.measure", cutoff=True)
def measure(thing: Thing) -> Measured:
    """A small result, followed by content."""
    counted("measure")
    return Measured(Thing("m" * len(thing.text)), len(thing.text))


@node("toy.words")
def words(thing: Thing) -> list[str]:
    """A list of plain values."""
    return thing.text.split()


@node("toy.things")
def things(thing: Thing) -> list[Thing]:
    """A list of things."""
    return [Thing(word) for word in thing.text.split()]


@node("toy.long")
def long(thing: Thing, enough: int = 4) -> bool:
    """Is it long?"""
    return len(thing.text) >= enough


@node("toy.repeat")
def repeat(thing: Thing, count: Annotated[int, Range(0, 100)] = 1) -> Thing:
    """As often as it is told."""
    counted("repeat")
    return Thing(thing.text * count)


# --- light -----------------------------------------------------------------------------------------------------------


@node("toy.number", light=True)
def number(value: int = 1) -> int:
    """A number."""
    return value


@node("toy.text", light=True)
def text(value: Annotated[str, Multiline()] = "") -> str:
    """A text."""
    return value


@node("toy.double", light=True)
def double(value: int) -> int:
    """Twice the number."""
    return 2 * value


@node("toy.plan", light=True)
def plan(thing: Thing, strength: float = 1.0) -> Plan:
    """A recipe over a thing that need not exist."""
    return Plan(thing, strength)


@node("toy.family", light=True)
def family_of(thing: Thing) -> str:
    """Reads a fact, not the value."""
    return str(facts_of(thing).get("family", "?"))


@node("toy.greedy", light=True)
def greedy(thing: Thing) -> str:
    """Says it is light, and reads."""
    return thing.text


@node("toy.follow")
def follow(plan: Plan) -> Thing:
    """Does what the recipe says."""
    return Thing(f"{plan.leaf.text}@{plan.strength:g}")


@node("toy.outline")
def outlined(thing: Thing) -> Plan:
    """A heavy node that gives a recipe."""
    return Plan(Thing(thing.text + "'"))


# --- widgets ---------------------------------------------------------------------------------------------------------


@node("toy.widgets")
def widgets(
    level: Annotated[float, Range(0, 10, 0.5, soft=(1, 5))] = 1.0,
    colour: Colour = Colour.RED,
    way: Literal["up", "down"] = "up",
    style: Plain | Sharp = Plain(),
    label: Annotated[str, WidgetOnly] = "",
    live: Annotated[str, Choices("tests.engine.toys:offered")] = "one",
    flags: list[int] = [],  # noqa: B006 - never written
) -> Thing:
    """One of each.

    Args:
        level: How much.
        colour: Which.
    """
    return Thing(f"{level:g} {colour.name} {way} {style} {label} {live} {sum(flags)}")


def offered() -> list[str]:
    return ["one", "two"]


@node("toy.wire")
def wire(thing: Annotated[Thing, SocketOnly]) -> Thing:
    """Takes no typed value."""
    return thing


@node("toy.same")
def generic(a: T, b: T) -> T:
    """Two of a kind."""
    return a


# --- results outside -------------------------------------------------------------------------------------------------


@node("toy.save", output="files", effect=True, lane="io")
def save(thing: Thing, name: Annotated[str, Unkeyed] = "thing") -> list[str]:
    """Writes the text into a file of the output folder."""
    counted("save")
    folder = places.current().output
    with SAVING:
        count = sum(1 for _ in folder.glob(f"{name}-*")) if folder.is_dir() else 0
        file = f"{name}-{count + 1}.txt"
        places.write_atomic(folder / file, thing.text.encode())
    return [file]


@node("toy.papers", output="files", effect=True, lane="io")
def papers(run: Run, thing: Thing) -> list[str]:
    """Writes down the values of its run."""
    file = f"papers-{thing.text}.txt"
    places.write_atomic(places.current().output / file, str(run.resolved).encode())  # type: ignore[attr-defined]
    return [file]


@node("toy.seen")
def seen(thing: Thing) -> str:
    """The text of a thing as a plain value."""
    return thing.text


SAVING = threading.Lock()


# --- going wrong -----------------------------------------------------------------------------------------------------


@node("toy.fail")
def fails(thing: Thing, message: str = "no luck") -> Thing:
    """Raises an exception of its own."""
    raise ValueError(message)


@node("toy.picky")
def picky(thing: Thing, limit: int = 6) -> Thing:
    """Takes no long text."""
    if len(thing.text) > limit:
        raise refuse(f"'{thing.text[:20]}' is longer than {limit}", socket="thing")
    return Thing(f"({thing.text})")


@node("toy.refuse")
def refuses(thing: Thing) -> Thing:
    """Refuses."""
    raise refuse("this thing is too odd", socket="thing", mend="wire an even one")


@node("toy.lie")
def lie(thing: Thing) -> Thing:
    """Declares one thing, gives another."""
    return thing.text  # type: ignore[return-value]


@node("toy.light_lie", light=True)
def light_lie() -> int:
    """Declares a number, gives a text."""
    return "many"  # type: ignore[return-value]


@node("toy.swap")
def swap(thing: Thing) -> Pair:
    """Promises two, gives one."""
    return (thing,)  # type: ignore[return-value]


@node("toy.loud", lints="tests.engine.toys:loud_lints")
def loud(volume: int = 1) -> Thing:
    """Has advice to give."""
    return Thing("!" * volume)


def loud_lints(volume: int) -> Sequence[Problem]:
    return [Problem("lint.loud", "that is loud", Where(socket="volume"), severity="lint")] if volume > 10 else []


# --- tensors ---------------------------------------------------------------------------------------------------------


@node("toy.grid")
def grid(count: int = 4, value: float = 1.0) -> Grid:
    """A tensor."""
    import torch

    counted("grid")
    return Grid(torch.full((count,), value))


@node("toy.scale")
def scale(grid: Grid, by: float = 2.0) -> Grid:
    """A new tensor."""
    return Grid(grid.tensor * by)


@node("toy.mutate")
def mutate(grid: Grid) -> Grid:
    """Writes into its input."""
    grid.tensor.mul_(2)
    return Grid(grid.tensor.clone())


@node("toy.sneak")
def sneak(grid: Grid) -> Grid:
    """Writes into its input where no version counter sees it."""
    grid.tensor.numpy()[0] = 99
    return Grid(grid.tensor.clone())


@node("toy.total")
def total(grid: Grid) -> float:
    """The sum."""
    return float(grid.tensor.sum())


# --- services --------------------------------------------------------------------------------------------------------


@node("toy.gate")
def at_gate(run: Run, thing: Thing, name: str = "gate") -> Thing:
    """Waits at a gate that the test opens; cancel takes effect there."""
    counted(f"gate {name}")
    gate(name).wait(run.check)
    return Thing(thing.text + "|")


@node("toy.iogate", lane="io")
def at_io_gate(run: Run, thing: Thing, name: str = "gate") -> Thing:
    """The same beside the device."""
    gate(name).wait(run.check)
    return Thing(thing.text + "|")


@node("toy.watch")
def watch(run: Run, thing: Thing, steps: int = 3) -> Thing:
    """Tells how far it is, and shows what it has."""
    for done in range(steps):
        run.preview(lambda done=done: f"picture {done}", done, steps)
        run.progress(done + 1, steps)
    run.show(thing)
    return thing


@node("toy.patient", lane="io")
def patient(thing: Thing, seconds: float = 1.0) -> Thing:
    """Takes its time."""
    import time

    time.sleep(seconds)
    return thing


@node("toy.hog")
def hog(run: Run, thing: Thing, count: int = 100) -> Thing:
    """Needs memory while it works."""
    run.memory.device(run.device).allocate(count)  # type: ignore[attr-defined]
    return Thing(thing.text + "h")


@node("toy.lean")
def lean(run: Run, thing: Thing, count: int = 100) -> Thing:
    """Needs memory while it works; half of it in halves, an eighth in crumbs, each of which is another result."""
    counted("lean")
    if run.leaner("halves"):
        count = count // 2
    if run.leaner("crumbs"):
        count = count // 4
    run.memory.device(run.device).allocate(count)  # type: ignore[attr-defined]
    return Thing(f"{thing.text}{count}")


@node("toy.nested")
def nested(run: Run, thing: Thing, turns: int = 1, kind: str = "toy.upper", count: int = 0) -> Thing:
    """Runs a workflow inside its step."""
    from engine.workflow import from_json

    nodes: dict[str, Any] = {"x0": {"type": kind, "inputs": {"count": count} if count else {}}}
    for turn in range(1, turns):
        nodes[f"x{turn}"] = {"type": "toy.upper", "inputs": {"thing": {"from": f"x{turn - 1}"}}}
    inner = from_json(
        {"weft": 1, "nodes": nodes, "parameters": {"in": {"to": ["x0.thing"]}}, "outputs": {"out": f"x{turns - 1}"}}
    )
    return run.nested(inner, {"in": thing})["out"]


@node("toy.forever")
def forever(run: Run, thing: Thing) -> Thing:
    """Runs itself inside itself."""
    from engine.workflow import from_json

    nodes = {"again": {"type": "toy.forever", "inputs": {}}}
    inner = from_json(
        {"weft": 1, "nodes": nodes, "parameters": {"in": {"to": ["again.thing"]}}, "outputs": {"out": "again"}}
    )
    return run.nested(inner, {"in": thing})["out"]


def digests(thing: Thing, steps: int, bend: int) -> list[Any]:
    """What is active at each step: the bend only from the third on."""
    return [("step", index, steps, thing, bend if index >= 2 else 0) for index in range(steps)]


@node("toy.walk", steps="tests.engine.toys:digests", work="tests.engine.toys:walk_work")
def walk(run: Run, thing: Thing, steps: Annotated[int, Range(1, 100)] = 4, bend: int = 0) -> Thing:
    """A stepped node."""
    import torch

    state = run.resume()
    path = list(state.data["path"]) if state else [thing.text]
    first = state.index + 1 if state else 0
    for index in range(first, steps):
        counted("walked")
        path.append(f"{index}{'b' * bend if index >= 2 else ''}")
        run.checkpoint(State(index, {"at": torch.tensor([float(index)])}, {"path": list(path)}))
        run.progress(index + 1, steps)
    return Thing(" ".join(path))


@node("toy.climb", steps="tests.engine.toys:climb_digests", stop=["stop"])
def climb(run: Run, text: str = "c", steps: Annotated[int, Range(1, 100)] = 6, stop: int = 0, last: str = "") -> Thing:
    """A stepped node that stops early when told to, ends on `last`, and waits at the gate `climb <step>`."""
    import torch

    state = run.resume()
    path = list(state.data["path"]) if state else [text]
    for index in range(state.index + 1 if state else 0, stop or steps):
        counted("climbed")
        path.append(f"{index}{last if index == steps - 1 else ''}")
        run.checkpoint(State(index, {"at": torch.full((100,), float(index))}, {"path": list(path)}, (b"x" * 10,)))
        run.progress(index + 1, steps)
        if f"climb {index}" in GATES:
            gate(f"climb {index}").wait(run.check)
    return Thing(" ".join(path))


def climb_digests(text: str, steps: int, stop: int, last: str) -> list[Any]:
    return [(index, steps, text, last if index == steps - 1 else "") for index in range(stop or steps)]


@node("toy.sing", batched="tests.engine.choir")
def sing(run: Run, text: str = "la", voice: str = "alto", wrong: str = "") -> Thing:
    """Sings alone or with others of its voice."""
    counted("sung")
    run.progress(1, 2)
    if text == wrong:
        raise ValueError("a wrong note")
    run.progress(2, 2)
    return Thing(f"{text}~")


def walk_work(thing: Thing, steps: int, bend: int) -> float:
    return float(steps)


@dataclass(frozen=True)
class Weights:
    """A recipe whose live module is a list: what is attached to it is seen by whoever looks."""

    weights: str
    adapter: str = ""
    bytes_hint: int = 0

    def build(self, device: str, dtype: str) -> Any:
        counted(f"build {self.weights}")
        return Module([])

    def attach(self, module: Any) -> Callable[[], None]:
        module.worn.append(self.adapter)
        return lambda: module.worn.remove(self.adapter)


class Module:
    def __init__(self, worn: list[str]) -> None:
        self.worn = worn

    def parameters(self) -> list[Any]:
        return []

    buffers = parameters


@node("toy.wear", lane="cpu")
def wear(run: Run, adapter: str = "", looks: int = 50) -> Thing:
    """Leases one base with an adapter, and looks again and again at what it wears."""
    import time

    seen = set()
    for _ in range(looks):
        with run.lease(Weights("base", adapter)) as module:
            before = tuple(module.worn)
            time.sleep(0.0002)
            seen.update((before, tuple(module.worn)))
    return Thing(str(sorted(seen)))


@socket(recipe=True)
@dataclass(frozen=True)
class Model:
    """A recipe whose weights lie in a file of `size` bytes."""

    name: str
    size: int = 0
    file: str = ""

    @property
    def weights(self) -> str:
        return self.name

    def footprint(self, dtype: str) -> Footprint:
        return Footprint(self.size)

    def sources(self, live: bool = False) -> tuple[Extent, ...]:
        if self.file == "missing":
            raise refuse("the file is gone")
        return () if live else (Extent(self.file or self.name, 0, self.size),)

    def build(self, device: str, dtype: str) -> Any:
        if self.file == "missing":
            raise refuse("the file is gone")
        gate(f"build {self.name}").reached.set()
        if f"hold {self.name}" in GATES:
            GATES[f"hold {self.name}"].open.wait(10)
        counted(f"build {self.name}")
        return Module([])

    def attach(self, module: Any) -> Callable[[], None]:
        return lambda: None


@node("toy.model", light=True)
def model_of(name: str = "m", size: int = 0, file: str = "") -> Model:
    """A recipe, known before its file is read."""
    return Model(name, size, file)


@node("toy.shape")
def shape_of(model: Model) -> Thing:
    """Asks a model for its shape and leases nothing."""
    return Thing(model.name)


@node("toy.paint")
def paint(run: Run, model: Model, thing: Thing | None = None, gate_name: str = "") -> Thing:
    """Leases a model, and waits at a gate while it has it."""
    with run.lease(model):
        if gate_name:
            gate(gate_name).wait(run.check)
    return Thing((thing.text if thing else "") + model.name)


MODULE = __name__
NODES = tuple(spec for thing in list(globals().values()) if (spec := getattr(thing, "__weft__", None)))
TYPES = tuple(vars(cls)["__weft_type__"] for cls in (Thing, SpecialThing, Other, Grid, Plan, Model))


def registry(*more: Callable[..., Any]) -> Registry:
    """The registry of the toys, and of further functions."""
    nodes = (*NODES, *(spec_of(function) for function in more))
    return make_registry([Pack("core", MODULE, Path(__file__).parent, nodes=nodes, types=TYPES)])
