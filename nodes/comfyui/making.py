"""Making: a Weft graph in the making, box by box, in the order in which their values come to be.

Some of what ComfyUI sends along a wire is a choice of ours elsewhere: a ControlNet rides on a conditioning there and is
an input of the sampler here, a noise or a guider is a node there and a value here. So what travels is a `Carried`: the
wire, and what the sampler that it comes to has to know.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from nodes.comfyui.boxes import Box, Link

NAMES = {"text.encode": "prompt", "load.model": "load", "latent.empty": "canvas", "lora.load": "lora"}


@dataclass(frozen=True)
class Carried:
    """What comes out of a box: the wire, and what rides on it."""

    wire: str = ""
    control: str = ""  # the wire of the controls that ride on a conditioning
    guidance: str = ""  # the wire of the guidance that does
    clip_skip: int = 1  # which layer of the text encoder was chosen
    canvas: tuple[str, ...] = ()  # empty latents behind it that wait for the model that will fill them
    parts: Mapping[str, Any] = field(default_factory=dict)  # choices of the sampler that it comes to


class Making:
    """The nodes put down so far, and what is to be told of them."""

    def __init__(self, boxes: Mapping[str, Box]) -> None:
        """Nothing is put down yet."""
        self.boxes = boxes
        self.nodes: dict[str, dict[str, Any]] = {}
        self.carried: dict[Link, Carried] = {}
        self.told: list[str] = []
        self.outputs: dict[str, str] = {}
        self.called: dict[str, str] = {}  # names that nodes get in the end, for what they turned out to be
        self.sampler = ""  # the first one
        self._used: Counter[str] = Counter()

    def run(self) -> None:
        """Put down every box. One in a circle, which ComfyUI refuses as well, is left out and told."""
        from nodes.comfyui.special import RULES

        waiting = dict(self.boxes)
        while waiting:
            ready = [id for id, box in waiting.items() if not any(link.box in waiting for link in links(box))]
            if not ready:
                self.told.append(f"{len(waiting)} nodes wait for each other in a circle and are left out")
                return
            for id in ready:
                box = waiting.pop(id)
                RULES.get(box.kind, unknown)(At(self, box))

    def document(self, notes: list[str]) -> dict[str, Any]:
        """The workflow, its nodes by the names they have earned."""
        names: dict[str, str] = {}
        for name in sorted(self.nodes, key=lambda one: one not in self.called):
            base = self.called.get(name, name)
            free = (base if turn == 1 else f"{base}_{turn}" for turn in range(1, len(self.nodes) + 2))
            names[name] = next(one for one in free if one not in names.values())
        made = {names[name]: {**node, "inputs": _renamed(node["inputs"], names)} for name, node in self.nodes.items()}
        about = "\n\n".join(["Made from a graph of ComfyUI.", *notes])
        document: dict[str, Any] = {"weft": 1, "about": about, "nodes": made}
        parameters = self._form(names)
        if parameters:
            document["parameters"] = parameters
        if self.outputs:
            document["outputs"] = {name: _moved(wire, names) for name, wire in self.outputs.items()}
        if self.told:
            text = "\n".join(["**From ComfyUI**, to be looked at:", *(f"- {line}" for line in self.told)])
            document["view"] = {"notes": {"imported": {"x": -380, "y": 0, "w": 320, "h": 240, "text": text}}}
        return document

    def _form(self, names: Mapping[str, str]) -> dict[str, Any]:
        """What one turns most, of the first sampler: the form, and the arguments of an endpoint."""
        sampler = self.nodes.get(self.sampler)
        if sampler is None:
            return {}
        found: dict[str, Any] = {}
        for side, key, label in (("positive", "prompt", "Prompt"), ("negative", "negative", "Negative prompt")):
            wire = sampler["inputs"].get(side)
            source = wire["from"].partition(".")[0] if isinstance(wire, dict) and "from" in wire else ""
            node = self.nodes.get(source)
            if node is not None and node["type"] == "text.encode" and isinstance(node["inputs"].get("text"), str):
                target = f"{names[source]}.text"
                if not any(target in one["to"] for one in found.values()):
                    found[key] = {"to": [target], "label": label}
        for key, label in (("seed", "Seed"), ("steps", "Steps"), ("cfg", "Guidance")):
            if isinstance(sampler["inputs"].get(key), int | float | str):
                found[key] = {"to": [f"{names[self.sampler]}.{key}"], "label": label}
        return found

    def name_for(self, kind: str) -> str:
        """A name that is free: that of the node's kind, with a number from the second on."""
        base = NAMES.get(kind) or re.sub(r"[^A-Za-z0-9_]+", "_", kind.rpartition(".")[2]).strip("_").lower() or "node"
        self._used[base] += 1
        while True:
            name = base if self._used[base] == 1 else f"{base}_{self._used[base]}"
            if name not in self.nodes:
                return name
            self._used[base] += 1


class At:
    """One box at work: its inputs, and where its outputs go."""

    def __init__(self, making: Making, box: Box) -> None:
        """Of this graph."""
        self.making = making
        self.box = box
        self.put_down: list[str] = []

    def given(self, name: str) -> Any:
        """A value that is typed in; None where there is none, or a wire."""
        value = self.box.inputs.get(name)
        return None if isinstance(value, Link) else value

    def got(self, name: str) -> Carried | None:
        """What comes along a wire."""
        value = self.box.inputs.get(name)
        return self.making.carried.get(value) if isinstance(value, Link) else None

    def either(self, name: str) -> Any:
        """An input as ours: a wire, a value, or None."""
        carried = self.got(name)
        return {"from": carried.wire} if carried is not None and carried.wire else self.given(name)

    def put(self, kind: str, inputs: Mapping[str, Any]) -> str:
        """Put a node down; its name. Inputs that are None are left out. The first has the box's title and mode."""
        name = self.making.name_for(kind)
        node: dict[str, Any] = {
            "type": kind,
            "inputs": {key: _literal(v) for key, v in inputs.items() if v is not None},
        }
        if self.box.title and not self.put_down:
            node["title"] = self.box.title
        if self.box.mode:
            node["mode"] = self.box.mode
        self.making.nodes[name] = node
        self.put_down.append(name)
        return name

    def out(self, slot: int, carried: Carried | None) -> None:
        """What comes out there."""
        if carried is not None:
            self.making.carried[Link(self.box.id, slot)] = carried

    def tell(self, text: str) -> None:
        """Something to be looked at."""
        self.making.told.append(f"{self.box.title or self.box.kind} ({self.box.id}): {text}")


def links(box: Box) -> list[Link]:
    """The wires that end in a box."""
    return [value for value in box.inputs.values() if isinstance(value, Link)]


def wired(carried: Carried | None) -> dict[str, str] | None:
    """A wire as an input."""
    return {"from": carried.wire} if carried is not None and carried.wire else None


def unknown(at: At) -> None:
    """A class without a counterpart: a node of that name, which keeps its place, its values and its wires."""
    box = at.box
    name = at.put(box.kind, {key: at.either(key) for key in box.inputs})
    slots = {link.slot for other in at.making.boxes.values() for link in links(other) if link.box == box.id}
    for slot in sorted(slots):
        label = box.outputs[slot] if slot < len(box.outputs) else ""
        label = re.sub(r"[./#]", "_", label) or f"out_{slot}"
        at.out(slot, Carried(f"{name}.{label}"))
    at.tell(f"there is no node for '{box.kind}'; it keeps its place and its wires")


def with_wire(carried: Carried | None, wire: str) -> Carried:
    """The same with another wire: a conditioning that was changed keeps the controls that ride on it."""
    return replace(carried, wire=wire) if carried is not None else Carried(wire)


def _literal(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"from"}:
        return value
    return {"value": value} if isinstance(value, dict) else value


def _moved(wire: str, names: Mapping[str, str]) -> str:
    node, dot, output = wire.partition(".")
    return f"{names.get(node, node)}{dot}{output}"


def _renamed(inputs: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    def one(value: Any) -> Any:
        if isinstance(value, list):
            return [one(item) for item in value]
        return {"from": _moved(value["from"], names)} if isinstance(value, dict) and "from" in value else value

    return {name: one(value) for name, value in inputs.items()}
