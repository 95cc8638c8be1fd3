"""Parameters: what made a picture in a few plain words – prompt, seed, steps – written and read as other programs do.

Galleries and other editors read a text that the web interface of AUTOMATIC1111 began with: the prompt, a line
`Negative prompt: ...`, a line `Steps: 20, Sampler: euler, CFG scale: 7, Seed: 1, Size: 512x512, Model: name`. It is
written beside our own record, and read from pictures of others; so are the graphs that ComfyUI leaves in its pictures.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

KEY = "parameters"
USER_COMMENT, EXIF_IFD = 0x9286, 0x8769
_UNICODE = b"UNICODE\0"
# What the last line calls what we call so; in the order in which it is written.
NAMES = {
    "steps": "Steps",
    "sampler": "Sampler",
    "scheduler": "Schedule type",
    "cfg": "CFG scale",
    "seed": "Seed",
    "size": "Size",
    "model": "Model",
    "denoise": "Denoising strength",
}
_PAIR = re.compile(r'\s*([\w ]+?):\s*("(?:\\.|[^"\\])*"|[^,]*)(?:,|$)')
_MAX = 200_000


# --- from a workflow -------------------------------------------------------------------------------------------------


def summary(document: Mapping[str, Any], resolved: Mapping[str, Any], item: int = 0) -> dict[str, Any]:
    """What is known of prompt, negative prompt, seed, steps, cfg, sampler, scheduler, denoise and model.

    Read from the first node that draws noise under a prompt (`positive`) and from what is wired into it; item i of a
    batch has seed + i. Values come from the nodes as they ran, `resolved` has the parameters and the seeds drawn.
    """
    nodes = document.get("nodes", {})
    found: dict[str, Any] = {}
    for name, node in nodes.items():
        inputs = node.get("inputs", {})
        if "positive" in inputs and isinstance(inputs["positive"], Mapping):
            for key in ("seed", "steps", "cfg", "sampler", "scheduler", "denoise"):
                value = _plain(nodes, name, key, resolved)
                if value is not None:
                    found[key] = value
            found["prompt"] = _text(nodes, inputs.get("positive"), resolved)
            found["negative"] = _text(nodes, inputs.get("negative"), resolved)
            found["model"] = _model(nodes, inputs.get("model"), resolved)
            break
    for key in ("prompt", "negative", "seed", "steps", "cfg"):
        if key in resolved and found.get(key) in (None, ""):
            found[key] = resolved[key]
    if isinstance(found.get("seed"), int):
        found["seed"] = (found["seed"] + item) % 2**64
    return {key: value for key, value in found.items() if value not in (None, "")}


def _plain(nodes: Mapping[str, Any], node: str, name: str, resolved: Mapping[str, Any]) -> Any:
    """A number or text typed into an input, or into the one node that is wired there."""
    if f"{node}.{name}" in resolved:
        return resolved[f"{node}.{name}"]
    value = nodes.get(node, {}).get("inputs", {}).get(name)
    if isinstance(value, Mapping):
        if set(value) == {"value"}:
            return value["value"]
        source = str(value.get("from", "")).partition(".")[0]
        return _plain(nodes, source, "value", resolved) if source in nodes and source != node else None
    return value if isinstance(value, str | int | float) else None


def _upstream(nodes: Mapping[str, Any], wire: Any) -> Iterator[str]:
    """The names of the nodes that a wire comes from, nearest first."""
    seen: list[str] = []
    waiting = [wire]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, Mapping) and "from" in one:
            name = str(one["from"]).partition(".")[0].partition("/")[0]
            if name in nodes and name not in seen and len(seen) < 256:
                seen.append(name)
                yield name
                waiting += list(nodes[name].get("inputs", {}).values())


def _text(nodes: Mapping[str, Any], wire: Any, resolved: Mapping[str, Any]) -> str:
    """The text of the nearest prompt that a wire comes from."""
    for name in _upstream(nodes, wire):
        if "text" in nodes[name].get("inputs", {}):
            text = _plain(nodes, name, "text", resolved)
            return text if isinstance(text, str) else ""
    return ""


def _model(nodes: Mapping[str, Any], wire: Any, resolved: Mapping[str, Any]) -> str:
    """The name of the model that a wire comes from, without its ending."""
    for name in _upstream(nodes, wire):
        value = _plain(nodes, name, "model", resolved)
        if isinstance(value, str):
            return re.sub(r"\.(safetensors|sft|gguf)$", "", value)
    return ""


def text(known: Mapping[str, Any], width: int, height: int) -> str:
    """The text that galleries read; empty when nothing is known but the size."""
    if not known:
        return ""
    values = {**known, "size": f"{width}x{height}"}
    last = [f"{label}: {_quoted(values[key])}" for key, label in NAMES.items() if key in values]
    lines = [str(known.get("prompt", ""))]
    if known.get("negative"):
        lines.append(f"Negative prompt: {known['negative']}")
    return "\n".join([*lines, ", ".join([*last, "Version: weft"])])


def _quoted(value: Any) -> str:
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    return json.dumps(shown, ensure_ascii=False) if re.search(r"[,:\n\"]", shown) else shown


# --- from a picture --------------------------------------------------------------------------------------------------


def parse(given: str) -> dict[str, Any]:
    """What such a text says, under our names; seeds and steps as numbers."""
    lines = given.strip()[:_MAX].splitlines()
    found: dict[str, Any] = {}
    last = next((i for i in range(len(lines) - 1, -1, -1) if re.match(r"\s*Steps:\s*\d", lines[i])), len(lines))
    for label, value in _PAIR.findall(lines[last]) if last < len(lines) else ():
        key = next((key for key, name in NAMES.items() if name.lower() == label.lower()), None)
        if key:
            found[key] = _number(key, _unquoted(value.strip()))
    start = next((i for i, line in enumerate(lines[:last]) if line.startswith("Negative prompt:")), last)
    found["prompt"] = "\n".join(lines[:start]).strip()
    found["negative"] = "\n".join(lines[start:last]).removeprefix("Negative prompt:").strip()
    return {key: value for key, value in found.items() if value not in (None, "")}


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return value.strip('"')


def _number(key: str, value: str) -> Any:
    kinds = {"steps": int, "seed": int, "cfg": float, "denoise": float}
    try:
        return kinds[key](value) if key in kinds else value
    except ValueError:
        return None


def from_graph(graph: Mapping[str, Any]) -> dict[str, Any]:
    """What ComfyUI's graph of a picture says (`{"3": {"class_type": ..., "inputs": {...}}}`), under our names."""

    def follow(wire: Any, name: str, deep: int = 0) -> Any:
        node = graph.get(str(wire[0])) if isinstance(wire, list) and wire else None
        if not isinstance(node, Mapping) or deep > 32:
            return None
        inputs: Mapping[str, Any] = node["inputs"] if isinstance(node.get("inputs"), Mapping) else {}
        value = inputs.get(name)
        if isinstance(value, list):
            return follow(value, name, deep + 1)
        if value is not None:
            return value
        waiting = [one for one in inputs.values() if isinstance(one, list)]
        return next((hit for one in waiting if (hit := follow(one, name, deep + 1)) is not None), None)

    names = {
        "seed": ("seed", "noise_seed"),
        "steps": ("steps",),
        "cfg": ("cfg",),
        "sampler": ("sampler_name",),
        "scheduler": ("scheduler",),
        "denoise": ("denoise",),
    }
    found: dict[str, Any] = {}
    for node in graph.values():
        inputs = node.get("inputs") if isinstance(node, Mapping) else None
        if not isinstance(inputs, Mapping) or "positive" not in inputs or not {"seed", "noise_seed"} & set(inputs):
            continue
        for key, given in names.items():
            value = next((inputs[one] for one in given if one in inputs), None)
            found[key] = follow(value, given[0]) if isinstance(value, list) else value
        found["prompt"], found["negative"] = (follow(inputs.get(side), "text") for side in ("positive", "negative"))
        model = follow(inputs.get("model"), "ckpt_name") or follow(inputs.get("model"), "unet_name")
        found["model"] = re.sub(r"\.\w+$", "", model) if isinstance(model, str) else None
        break
    return {key: value for key, value in found.items() if isinstance(value, str | int | float) and value != ""}


def texts(path: Path) -> dict[str, str]:
    """The texts that a picture file carries, by their names; EXIF's user comment counts as `parameters`."""
    from nodes.image.load import opened

    with opened(path) as picture:
        found = {str(key): value for key, value in picture.info.items() if isinstance(value, str)}
        found |= {str(key): str(value) for key, value in getattr(picture, "text", {}).items()}
        comment = picture.getexif().get_ifd(EXIF_IFD).get(USER_COMMENT)
    if isinstance(comment, bytes | str) and KEY not in found:
        found[KEY] = comment if isinstance(comment, str) else _decoded(comment)
    return {key: value[:_MAX] for key, value in found.items()}


def _decoded(comment: bytes) -> str:
    """EXIF's user comment: eight bytes name the encoding; UTF-16 comes in both orders."""
    if comment.startswith(_UNICODE):
        body = comment[8:]
        little = body[1::2].count(0) > body[0::2].count(0)
        return body.decode("utf-16-le" if little else "utf-16-be", "replace").rstrip("\0")
    return (
        comment[8:].decode("utf-8", "replace").rstrip("\0")
        if comment[:5] == b"ASCII"
        else comment.decode(errors="replace")
    )


def encoded(given: str) -> bytes:
    """A text as EXIF's user comment."""
    return _UNICODE + given.encode("utf-16-be")


def of_picture(path: Path) -> dict[str, Any]:
    """What is known of how a picture was made: by Weft, by programs that write A1111's text, or by ComfyUI."""
    from engine import pictures
    from engine.errors import WeftError

    try:
        record = pictures.record(path)
    except WeftError:
        record = {}
    if record:
        return summary(record.get("workflow", {}), record.get("resolved", {}), int(record.get("item", 0)))
    there = texts(path)
    if KEY in there and there[KEY].strip():
        return parse(there[KEY])
    try:
        graph = json.loads(there.get("prompt", "{}"))
    except ValueError:
        return {}
    return from_graph(graph) if isinstance(graph, Mapping) else {}
