"""ComfyUI: its graphs as Weft's. What has no counterpart keeps its place and its wires, and is told.

    boxes     the two forms of a graph (the editor's file, the API's), read into one
    making    a Weft graph in the making: what travels along a wire while nodes are put down
    plain     classes that have one node of ours: names of inputs and outputs
    special   classes that are more, or less, than one node: samplers, ControlNets, LoRAs, guiders

The formats are facts, read from files and their public documentation; nothing else of ComfyUI's is in here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nodes.comfyui.boxes import boxes_of, is_graph
from nodes.comfyui.making import Making


def convert(record: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]] | None:
    """A Weft document from a graph of ComfyUI, and what is to be known of it; None for anything else.

    `record` is the editor's file (`{"nodes": [...], "links": [...]}`), the API's (`{"3": {"class_type": ...}}`), or
    what a picture carries: `{"prompt": API's, "workflow": editor's}`, where the values of the first win.
    """
    if not is_graph(record):
        return None
    boxes, notes = boxes_of(record)
    made = Making(boxes)
    made.run()
    return made.document(notes), made.told
