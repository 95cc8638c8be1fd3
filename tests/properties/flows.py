"""Random workflows of toy nodes, and random edits of them."""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from tests.engine.flows import wire

# What each node gives, which things it reads, and which literals it has.
KINDS: dict[str, tuple[tuple[str, ...], dict[str, st.SearchStrategy[Any]]]] = {
    "toy.make": (
        (),
        {"text": st.sampled_from(["a", "bb", "ccc", "d d", "e f g"]), "size": st.sampled_from([0, 50, 400])},
    ),
    "toy.upper": (("thing",), {"times": st.integers(0, 3)}),
    "toy.weigh": (("thing",), {"weight": st.sampled_from([0, 1, 1.0, 2.5])}),
    "toy.add": (("a", "b"), {}),
    "toy.maybe": (("thing", "extra"), {}),
    "counted": (("thing", "other"), {}),  # repeat `thing` as often as `other` is long: a cut-off between them
    "listed": (("thing",), {"glue": st.sampled_from(["", "-"])}),  # a list of things, joined
    "chosen": (("thing", "other"), {"choose": st.sampled_from([0, 1])}),
    "mapped": (("thing",), {}),  # each word of it in a body
    "recipe": (("thing",), {"strength": st.sampled_from([0.5, 1])}),
    "folded": (("thing",), {}),  # grows until it is long
}
# What may go wrong, and what has a result outside.
HARSH: dict[str, tuple[tuple[str, ...], dict[str, st.SearchStrategy[Any]]]] = {
    "toy.picky": (("thing",), {"limit": st.sampled_from([1, 4, 20])}),
    "saved": (("thing",), {"name": st.sampled_from(["one", "two"])}),
}
GRAPHS = {
    "each": {
        "nodes": {"m": {"type": "toy.make", "inputs": {}}, "u": {"type": "toy.upper", "inputs": {"thing": wire("m")}}},
        "parameters": {"text": {"to": ["m.text"]}},
        "outputs": {"thing": "u"},
    },
    "grow": {
        "nodes": {
            "bang": {"type": "toy.make", "inputs": {"text": "!"}},
            "add": {"type": "toy.add", "inputs": {"b": wire("bang")}},
            "long": {"type": "toy.long", "inputs": {"thing": wire("add"), "enough": 4}},
        },
        "parameters": {"thing": {"to": ["add.a"]}},
        "outputs": {"thing": "add", "long": "long"},
    },
}


@dataclass
class Box:
    kind: str
    reads: tuple[int, ...]  # earlier boxes
    values: dict[str, Any]
    mode: str = ""


@dataclass
class World:
    """Boxes in order, each reading earlier ones; it becomes a workflow."""

    boxes: list[Box] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        nodes: dict[str, Any] = {}
        for index, box in enumerate(self.boxes):
            nodes.update(_nodes(index, box))
        outputs = {f"o{index}": f"n{index}" for index in range(len(self.boxes))}
        return {"weft": 1, "title": "world", "nodes": nodes, "graphs": GRAPHS, "outputs": outputs}


def _nodes(index: int, box: Box) -> dict[str, Any]:
    name = f"n{index}"
    sockets = (KINDS.get(box.kind) or HARSH[box.kind])[0]
    wires = {socket: wire(f"n{source}") for socket, source in zip(sockets, box.reads, strict=True)}
    values = dict(box.values)

    def made(kind: str, **inputs: Any) -> dict[str, Any]:
        return {"type": kind, "inputs": inputs, **({"mode": box.mode} if box.mode else {})}

    match box.kind:
        case "counted":
            count = {"type": "toy.length", "inputs": {"thing": wires["other"]}}
            bound = {"type": "toy.add", "inputs": {"a": wires["thing"], "b": wires["thing"]}}
            return {
                f"{name}c": count,
                f"{name}b": bound,
                f"{name}s": {"type": "toy.weigh", "inputs": {"thing": wire(f"{name}b"), "weight": wire(f"{name}c")}},
                name: {"type": "toy.maybe", "inputs": {"thing": wire(f"{name}s")}},
            }
        case "listed":
            return {
                f"{name}l": {"type": "toy.things", "inputs": wires},
                name: {"type": "toy.join", "inputs": {"things": wire(f"{name}l"), **values}},
            }
        case "chosen":
            options = [wires["thing"], wires["other"]]
            return {
                f"{name}s": {"type": "switch", "inputs": {"options": options, **values}},
                name: {"type": "toy.maybe", "inputs": {"thing": wire(f"{name}s")}},
            }
        case "mapped":
            return {
                f"{name}w": {"type": "toy.words", "inputs": wires},
                f"{name}m": {"type": "map", "body": "#each", "inputs": {"text": wire(f"{name}w")}},
                name: {"type": "toy.join", "inputs": {"things": wire(f"{name}m.thing")}},
            }
        case "recipe":
            return {
                f"{name}p": {"type": "toy.plan", "inputs": {**wires, **values}},
                name: {"type": "toy.follow", "inputs": {"plan": wire(f"{name}p")}},
            }
        case "folded":
            fold = {"type": "fold", "body": "#grow", "max": 3, "until": "long", "inputs": wires}
            return {f"{name}f": fold, name: {"type": "toy.maybe", "inputs": {"thing": wire(f"{name}f.thing")}}}
        case "saved":
            return {
                f"{name}e": {"type": "toy.save", "inputs": {**wires, **values}},
                name: {"type": "toy.maybe", "inputs": wires},
            }
    return {name: made(box.kind, **wires, **values)}


@st.composite
def boxes(draw: Any, before: int, harsh: bool = False) -> Box:
    known = {**KINDS, **HARSH} if harsh else KINDS
    kind = draw(st.sampled_from([kind for kind, (reads, _) in known.items() if before or not reads]))
    reads, literals = known[kind]
    return Box(
        kind,
        tuple(draw(st.integers(0, before - 1)) for _ in reads),
        {name: draw(strategy) for name, strategy in literals.items()},
        draw(st.sampled_from(["", "", "", "bypass"])) if kind in ("toy.upper", "toy.weigh") else "",
    )


@st.composite
def worlds(draw: Any, most: int = 8, harsh: bool = False) -> World:
    count = draw(st.integers(1, most))
    return World([draw(boxes(index, harsh)) for index in range(count)])


@st.composite
def edited(draw: Any, world: World) -> World:
    """The world after one edit: a value, a wire, a whole box, one more, one less at the end."""
    found = World([Box(b.kind, b.reads, dict(b.values), b.mode) for b in world.boxes])
    what = draw(st.sampled_from(["value", "wire", "box", "more", "less", "mode"]))
    index = draw(st.integers(0, len(found.boxes) - 1))
    box = found.boxes[index]
    if what == "value" and box.values:
        name = draw(st.sampled_from(sorted(box.values)))
        box.values[name] = draw(KINDS[box.kind][1][name])
    elif what == "wire" and box.reads and index:
        at = draw(st.integers(0, len(box.reads) - 1))
        reads = list(box.reads)
        reads[at] = draw(st.integers(0, index - 1))
        box.reads = tuple(reads)
    elif what == "box":
        found.boxes[index] = draw(boxes(index))
    elif what == "more":
        found.boxes.append(draw(boxes(len(found.boxes))))
    elif what == "less" and len(found.boxes) > 1:
        found.boxes.pop()
    elif what == "mode" and box.kind in ("toy.upper", "toy.weigh"):
        box.mode = "" if box.mode else "bypass"
    return found


@st.composite
def histories(draw: Any, edits: int = 4) -> list[World]:
    found = [draw(worlds())]
    for _ in range(draw(st.integers(1, edits))):
        found.append(draw(edited(found[-1])))
    return found
