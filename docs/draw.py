"""Draw: a workflow file as a picture of its graph (SVG), from nothing but the file and the nodes' declarations.

    python docs/draw.py workflows/text_to_image.json graph.svg

Columns are the longest way from a source; within a column boxes stand near what feeds them; a wire has the colour of
the type it carries. The text is real text, so the picture can be searched and read aloud. What the workflow made, as a
PNG, may be shown on the card that saved it.
"""

from __future__ import annotations

import base64
import struct
import sys
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine.graph import flow_specs
from engine.registry import Registry, load_registry
from engine.workflow import Link, Node, Value, Workflow, links, read

WIDE, ROW, HEAD, GAP_X, GAP_Y, EDGE = 196, 18, 26, 64, 22, 20
INK, DIM, CARD, GROUND, LINE = "#e8eaed", "#9aa0a8", "#2b2f36", "#1d2025", "#3c424b"
PLAIN = "#8a8f98"


@dataclass
class Box:
    """One node on the page: which rows it has on its left and right, and where it stands."""

    name: str
    kind: str
    inputs: list[tuple[str, str]]  # socket, and the value typed into it
    outputs: list[tuple[str, str]]  # socket, and the colour of what it gives
    before: set[str] = field(default_factory=set)
    picture: bytes = b""
    column: int = 0
    x: int = 0
    y: int = 0

    @property
    def rows(self) -> int:
        """Pixels from the top of the head to the last socket."""
        return HEAD + ROW * max(len(self.inputs), len(self.outputs), 1) + 8

    @property
    def shown(self) -> int:
        """How high the picture stands on the card."""
        wide, high = map(int, struct.unpack(">II", self.picture[16:24])) if self.picture else (1, 0)
        return round((WIDE - 20) * high / wide)

    @property
    def height(self) -> int:
        """Pixels from the top of the head to the bottom edge."""
        return self.rows + (self.shown + 8 if self.picture else 0)

    def spot(self, rows: list[tuple[str, str]], name: str, right: bool) -> tuple[int, int]:
        """Where the wire of a socket ends."""
        row = next((i for i, (socket, _) in enumerate(rows) if socket == name), 0)
        return self.x + (WIDE if right else 0), self.y + HEAD + ROW * row + ROW // 2 + 2


def boxes(workflow: Workflow, registry: Registry) -> dict[str, Box]:
    """A box for each node, not yet placed."""
    found = {}
    for name, node in workflow.nodes.items():
        inputs = [(socket, _typed(source)) for socket, source in node.inputs.items()]
        before = {link.node for source in node.inputs.values() for link in links(source)}
        found[name] = Box(name, node.type, inputs, _outputs(workflow, node, registry), before & set(workflow.nodes))
    return found


def _outputs(workflow: Workflow, node: Node, registry: Registry) -> list[tuple[str, str]]:
    inner = workflow.net(node.type if node.type.startswith("#") else node.body)
    if inner is not None:
        return [(name, PLAIN) for name in inner.outputs]
    spec = registry.get(node.type) or flow_specs().get(node.type)
    outputs = spec.outputs if spec else ()
    colours = {name: kind.colour for name, kind in registry.types.items()}
    return [(out.name, colours.get(out.type.name, PLAIN)) for out in outputs]


def _typed(source: object) -> str:
    if not isinstance(source, Value):
        return ""
    return str(source.value).replace("\n", " / ") if source.value != "" else "“”"


def _cut(text: str, beside: str) -> str:
    """Text as long as it may be with another at the other end of its row; a letter is about 6 pixels wide."""
    most = (WIDE - 30) // 6 - len(beside)
    return text if len(text) <= most else text[: most - 1] + "…"


def place(found: dict[str, Box]) -> tuple[int, int]:
    """Give every box its column and its spot; the size of the page."""
    pending = list(found)
    while pending:  # the graph has no circle: bind would have refused it
        for name in [n for n in pending if not found[n].before & set(pending)]:
            box = found[name]
            box.column = max((found[other].column + 1 for other in box.before), default=0)
            pending.remove(name)
    readers = {name: [b.column for b in found.values() if name in b.before] for name in found}
    for name, box in found.items():  # a source stands just before its first reader
        if not box.before and readers[name]:
            box.column = max(0, min(readers[name]) - 1)
    columns: dict[int, list[Box]] = {}
    for box in found.values():
        columns.setdefault(box.column, []).append(box)
    tallest = max(sum(b.height + GAP_Y for b in column) - GAP_Y for column in columns.values())
    for index in sorted(columns):
        column = columns[index]
        column.sort(key=lambda b: sum(found[o].y for o in b.before) / len(b.before) if b.before else -1)
        at = EDGE + (tallest - sum(b.height + GAP_Y for b in column) + GAP_Y) // 2
        for box in column:
            box.x, box.y = EDGE + index * (WIDE + GAP_X), at
            at += box.height + GAP_Y
    return 2 * EDGE + (max(columns) + 1) * (WIDE + GAP_X) - GAP_X, 2 * EDGE + tallest


def svg(workflow: Workflow, registry: Registry, picture: bytes = b"") -> str:
    """The whole drawing; `picture` is the PNG that the workflow's `image.save` wrote."""
    found = boxes(workflow, registry)
    for box in found.values():
        box.picture = picture if box.kind == "image.save" else b""
    width, height = place(found)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="11" role="img">',
        f"<title>{escape(workflow.title)}</title>",
        f'<rect width="{width}" height="{height}" rx="10" fill="{GROUND}"/>',
    ]
    for name, node in workflow.nodes.items():
        for socket, source in node.inputs.items():
            for link in links(source):
                parts += _wire(found, link, name, socket)
    for box in found.values():
        parts += _card(box)
    return "\n".join([*parts, "</svg>", ""])


def _wire(found: dict[str, Box], link: Link, name: str, socket: str) -> list[str]:
    source, target = found.get(link.node), found[name]
    if source is None:
        return []
    x1, y1 = source.spot(source.outputs, link.output, right=True)
    x2, y2 = target.spot(target.inputs, socket, right=False)
    colour = dict(source.outputs).get(link.output) or (source.outputs[0][1] if source.outputs else PLAIN)
    bend = max(40, (x2 - x1) // 2)
    path = f"M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}"
    return [f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"/>']


def _card(box: Box) -> list[str]:
    beside = [name for name, _ in box.outputs] + [""] * len(box.inputs)
    title = _cut(box.name, f"{box.kind}xx")  # it is bold, so a little wider
    parts = [
        f'<rect x="{box.x}" y="{box.y}" width="{WIDE}" height="{box.height}" rx="6" fill="{CARD}" '
        f'fill-opacity="0.88" stroke="{LINE}"/>',
        f'<text x="{box.x + 10}" y="{box.y + 17}" fill="{INK}" font-weight="600">{escape(title)}</text>',
        f'<text x="{box.x + WIDE - 10}" y="{box.y + 17}" fill="{DIM}" text-anchor="end">{escape(box.kind)}</text>',
    ]
    for row, (socket, typed) in enumerate(box.inputs):
        x, y = box.spot(box.inputs, socket, right=False)
        if typed:
            text = _cut(f"{socket} = {typed}", beside[row])
            parts.append(f'<text x="{x + 10}" y="{y + 4}" fill="{DIM}">{escape(text)}</text>')
        else:
            parts.append(f'<circle cx="{x}" cy="{y}" r="4" fill="{DIM}"/>')
            parts.append(f'<text x="{x + 10}" y="{y + 4}" fill="{INK}">{escape(socket)}</text>')
    for socket, colour in box.outputs:
        x, y = box.spot(box.outputs, socket, right=True)
        parts.append(f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"/>')
        parts.append(f'<text x="{x - 10}" y="{y + 4}" fill="{INK}" text-anchor="end">{escape(socket)}</text>')
    if box.picture:
        data = base64.b64encode(box.picture).decode()
        place_ = f'x="{box.x + 10}" y="{box.y + box.rows}" width="{WIDE - 20}" height="{box.shown}"'
        parts.append(f'<image {place_} href="data:image/png;base64,{data}"/>')
    return parts


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(svg(read(sys.argv[1]), load_registry()), encoding="utf-8")
