"""Generate: the pages that are made from the code, so that they cannot be wrong about it.

    python docs/generate.py            write them (make docs)
    python docs/generate.py --check    say which are not what the code says, and end with 1
    python docs/generate.py --pictures first run the workflows with the model that ships, and keep what they make

`docs/nodes/`, `cli.md`, `errors.md`, `events.md`, `classes.md`, `workflows.md`, the drawn graphs in `docs/images/`, and
`web/openapi.json`, from which the editor's types are made.
Everything comes from what the code itself declares: specs, docstrings, the parser, the table of codes, the workflows.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import inspect
import json
import re
import shutil
import sys
import tempfile
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

import draw  # noqa: E402

from engine import cli, events  # noqa: E402
from engine.errors import CODES  # noqa: E402
from engine.graph import flow_specs  # noqa: E402
from engine.node import MISSING, Input, NodeSpec  # noqa: E402
from engine.registry import Registry, load_registry  # noqa: E402
from engine.sockets import Type, TypeSpec  # noqa: E402
from engine.workflow import Parameter, Value, Workflow, dumps, from_json, read  # noqa: E402

MADE = "<!-- Made by docs/generate.py from the code; edit that instead, then `make docs`. -->"
FIRST = ("text_to_image", "image_to_image", "inpaint", "upscale_second_pass", "textbook_dag")  # the rest by name
WIDEST = 352  # pixels of a picture on a drawing: twice what is shown, for fine screens
EXITS = """Exit codes: 0 done · 1 failed · 2 the file or the arguments are wrong · 3 partial: some of it is there ·
130 cancelled. What was asked for goes to stdout, what is told on the way to stderr; a mistake is one line, with the
next step. The codes of errors are in [errors.md](errors.md), the lines of `--events` in [events.md](events.md)."""

ENVIRONMENT = """| environment | |
|---|---|
| `WEFT_HOME` | where models, inputs, results, workflows, nodes and the engine's records lie; `~/weft` |
| `WEFT_MEMORY_CPU`, `WEFT_MEMORY_CUDA`, `WEFT_MEMORY_MPS`, `WEFT_MEMORY_XPU` | a device's budget in MiB; \
else half the host's memory, nine tenths of a GPU's |
| `WEFT_EXACT` | set: a step that does not fit into memory fails, rather than run in a way that changes bits |
| `WEFT_CACHE_MB` | how much may be kept on disk under `WEFT_HOME/cache`, in MiB; 4096 |
| `WEFT_TOKEN` | the server's token, in place of one that is made |
| `OMP_NUM_THREADS` | CPU threads to compute with; else all that the process may use. Part of the numerics |
| `GOMP_SPINCOUNT`, `OMP_WAIT_POLICY` | How long waiting threads spin; Weft lets them a little. Changes no bit |"""

# Which chapter says what, in the order of a picture's way.
CHAPTERS = {
    "load": "Models: what a file or folder is, read from its header. No weight is loaded here.",
    "text": "Prompts as conditioning, and how several of them act together.",
    "latent": "Canvases, and what can be done to latents without decoding them.",
    "vae": "Between pictures and latents.",
    "inpaint": "Redrawing a part of a picture: what may change, and cutting it out and putting it back.",
    "schedule": "The sampler and where its steps lie. [Which pairs there are](../samplers.md).",
    "noise": "Where the randomness comes from.",
    "prompt": "What is done with a prompt's words first. [The syntax](../prompts.md).",
    "model": "What a denoiser is said to predict, and patches on it.",
    "guidance": "How prompt and negative prompt become one prediction.",
    "control": "ControlNets: a picture that steers the layout.",
    "lora": "Low-rank adapters on a model.",
    "denoise": "The loop from noise to picture.",
    "numerics": "How a model computes: quicker or smaller, at a price. [What each costs](../numerics.md).",
    "image": "Pictures: in, out, and everyday work on them.",
    "mask": "Where something happens.",
    "preprocess": "What a ControlNet reads, made from a picture: edges, lines, tiles, colours, depth.",
    "upscale": "Larger pictures: with networks trained for it, and by denoising tile by tile.",
    "values": "Numbers, texts and lists, for wiring and for `map`.",
}

# What an example wires into an input of a type: a node, the inputs it needs, and which of its outputs. A second input
# of the same type gets a second node.
MAKERS: Mapping[str, tuple[str, str, Mapping[str, Any], str]] = {
    "Denoiser": ("load", "load.model", {"model": "starter/unet"}, "model"),
    "TextEncoder": ("load", "load.model", {"model": "starter/unet"}, "text_encoder"),
    "VAE": ("load", "load.model", {"model": "starter/unet"}, "vae"),
    "Conditioning": ("prompt", "text.encode", {"encoder": "@TextEncoder", "text": "a red sphere"}, "conditioning"),
    "Latent": ("canvas", "latent.empty", {"model": "@Denoiser", "width": 128, "height": 128}, "latent"),
    "Image": ("picture", "image.load", {"name": "picture.png"}, "image"),
    "Mask": ("area", "mask.rectangle", {"width": 128, "height": 128, "right": 64, "bottom": 64}, "mask"),
    "Stitch": ("cut", "inpaint.crop", {"image": "@Image", "mask": "@Mask"}, "stitch"),
    "Upscaler": ("network", "load.upscaler", {"upscaler": "4x.safetensors"}, "upscaler"),
    "ControlNet": ("net", "control.load", {"controlnet": "canny"}, "controlnet"),
    "Control": ("control", "control.apply", {"controlnet": "@ControlNet", "image": "@Image"}, "control"),
    "IPAdapter": ("adapter", "ip_adapter.load", {"adapter": "plus.safetensors", "encoder": "vit-h"}, "adapter"),
    "ImagePrompt": ("seen", "ip_adapter.encode", {"adapter": "@IPAdapter", "images": "@Image"}, "prompt"),
    "Lora": ("style", "lora.load", {"lora": "style.safetensors"}, "lora"),
    "Schedule": ("schedule", "schedule.make", {"sampler": "dpmpp_2m", "scheduler": "karras"}, "schedule"),
    "Guidance": ("guidance", "guidance.cfg", {"scale": 3.0}, "guidance"),
    "Noise": ("noise", "noise.make", {"seed": 7}, "noise"),
}
SECOND = {"prompt": ("negative", {"text": ""}), "picture": ("other", {"name": "other.png"})}

# What an example shows beyond what the node needs; `@` wires the input.
SHOWN: Mapping[str, Mapping[str, Any]] = {
    "denoise.sample": {"negative": "@", "seed": 7, "steps": 20, "cfg": 3.0, "sampler": "ddim"},
    "text.encode": {"text": "a red sphere left of a blue cube"},
    "latent.empty": {"width": 128, "height": 128, "batch": 4},
    "control.load": {"controlnet": "canny"},
    "ip_adapter.load": {"adapter": "plus.safetensors", "encoder": "vit-h"},
    "load.upscaler": {"upscaler": "4x.safetensors"},
    "upscale.tiled": {"negative": "@", "factor": 2.0, "denoise": 0.3, "seed": 7, "tile": 512},
    "control.apply": {"strength": 0.8, "end": 0.6},
    "guidance.cfg": {"scale": 5.0, "rescale": 0.7},
    "lora.load": {"lora": "style.safetensors", "strength": 0.8},
    "lora.apply": {"text_encoder": "@", "strength": 0.8},
    "image.load": {"name": "picture.png"},
    "image.save": {"name": "%date%/%seed%", "format": "png"},
    "image.grid": {"columns": 2, "labels": "before\nafter"},
    "image.blend": {"amount": 1.0, "mask": "@"},
    "vae.encode": {"fit": "crop"},
    "image.resize_to": {"by": "megapixels", "size": 1.0, "multiple": 8},
    "image.join_tiles": {"width": 1024, "height": 768, "tile": 512, "overlap": 64},
    "image.text": {"text": "Weft", "place": "bottom right"},
    "image.composite": {"x": 16, "y": 16},
    "mask.load": {"name": "mask.png"},
    "latent.load": {"name": "a.latent.safetensors"},
    "latent.size": {"model": "@", "shape": "3:2"},
    "values.match": {"text": "seed 12, steps 30", "pattern": "seed (\\d+)"},
    "values.replace": {"text": "a red cube", "find": "red", "put": "blue"},
    "values.list": {"items": ["a red cube", "a blue cube"]},
    "values.pick": {"items": ["a red cube", "a blue cube"], "index": 1},
    "values.join_lists": {"first": ["a red cube"], "second": ["a blue cube"]},
    "values.slice": {"items": [1, 2, 3], "start": 1},
    "values.order": {"items": [1, 2, 3], "how": "shuffle", "seed": 7},
    "values.count": {"items": [1, 2, 3]},
    "values.repeat": {"item": "a red cube", "times": 4},
    "values.show": {"value": "a red cube"},
    "values.save": {"text": "a red cube", "name": "prompt"},
    "image.load_animation": {"name": "moving.gif"},
    "image.parameters": {"name": "picture.png"},
    "image.save_animation": {"format": "webp", "fps": 8.0},
    "mask.polygon": {"width": 128, "height": 128, "points": "0.2,0.8 0.5,0.2 0.8,0.8"},
    "preprocess.depth": {"model": "depth-anything"},
    "mask.rectangle": {"width": 128, "height": 128, "left": 32, "top": 32, "right": 96, "bottom": 96},
    "text.place": {"weight": 1.0, "x": 0.0, "width": 0.5},
    "values.format": {"template": "a {colour} cube", "values": {"colour": "red"}},
    "values.math": {"expression": "round(side * 1.5)", "values": {"side": 512}},
    "values.join": {"texts": ["a red sphere", "soft light"]},
    "values.lines": {"text": "a red sphere\na blue cube"},
    "values.range": {"start": 1.0, "stop": 9.0, "count": 5},
    "schedule.make": {"sampler": "dpmpp_2m", "scheduler": "karras", "steps": 20},
}

# Of the engine's own nodes: what a spec cannot say, and an example each.
_LOAD = {"type": "load.model", "inputs": {"model": "starter/unet"}}
_ENCODER = {"from": "load.text_encoder"}
FLOW: Mapping[str, tuple[str, dict[str, Any]]] = {
    "reroute": (
        "A bend in a wire, for the eye. It leaves no trace in the graph and none in ids.",
        {
            "nodes": {
                "load": _LOAD,
                "bend": {"type": "reroute", "inputs": {"value": _ENCODER}},
                "prompt": {"type": "text.encode", "inputs": {"encoder": {"from": "bend"}, "text": "a red sphere"}},
            },
            "outputs": {"prompt": "prompt.conditioning"},
        },
    ),
    "switch": (
        "Passes the chosen one of `options` (by number, from 0; true is 1) or of `named` (by name) on. The others do "
        "not run unless something else wants them, and the id of what comes out is the chosen one's: switching back "
        "finds the old value. `choose` may be wired; then the plan waits until it is known.",
        {
            "nodes": {
                "load": _LOAD,
                "plain": {"type": "text.encode", "inputs": {"encoder": _ENCODER, "text": "a cube"}},
                "bright": {"type": "text.encode", "inputs": {"encoder": _ENCODER, "text": "a yellow cube"}},
                "which": {
                    "type": "switch",
                    "inputs": {"choose": 1, "options": [{"from": "plain"}, {"from": "bright"}]},
                },
            },
            "outputs": {"prompt": "which.value"},
        },
    ),
    "map": (
        "Runs the graph named in `body` once for each item of a list. Its inputs are the body's parameters; those that "
        "are given a list are gone over (all such lists have one length), the others are the same for every item. Its "
        "outputs are the body's, as lists. An item is keyed by its own value or id, never by its position: adding one, "
        "or changing their order, runs nothing else again. Inner paths are `name/0/node`.",
        {
            "nodes": {
                "load": _LOAD,
                "each": {
                    "type": "map",
                    "body": "#encode",
                    "inputs": {"encoder": _ENCODER, "prompt": ["a red sphere", "a blue cube"]},
                },
                "both": {"type": "text.combine", "inputs": {"conditionings": {"from": "each.prompt"}}},
            },
            "outputs": {"prompt": "both.conditioning"},
            "graphs": {
                "encode": {
                    "nodes": {"encode": {"type": "text.encode", "inputs": {}}},
                    "parameters": {"encoder": {"to": ["encode.encoder"]}, "prompt": {"to": ["encode.text"]}},
                    "outputs": {"prompt": "encode.conditioning"},
                }
            },
        },
    ),
    "fold": (
        "Runs the graph named in `body` again and again, at most `max` times (1 to 10,000). Before the next turn every "
        "output of the body that has the name of one of its parameters is handed to that parameter. `until`, when "
        "given, names an output; the turn in which it is true (or not 0) is the last. Inner paths are `name/0/node`.",
        {
            "nodes": {
                "picture": {"type": "image.load", "inputs": {"name": "picture.png"}},
                "softer": {"type": "fold", "body": "#once", "max": 3, "inputs": {"image": {"from": "picture.image"}}},
            },
            "outputs": {"image": "softer.image"},
            "graphs": {
                "once": {
                    "nodes": {"blur": {"type": "image.blur", "inputs": {"radius": 1.0}}},
                    "parameters": {"image": {"to": ["blur.image"]}},
                    "outputs": {"image": "blur.image"},
                }
            },
        },
    ),
}


# --- nodes ---------------------------------------------------------------------------------------------------------


def example(spec: NodeSpec, registry: Registry) -> dict[str, Any]:
    """A small workflow around one node: what it needs, wired, and what is worth showing, typed."""
    nodes: dict[str, dict[str, Any]] = {}

    def wire(kind: str, index: int = 0) -> dict[str, str]:
        name, type_, inputs, output = MAKERS[kind]
        if index:
            name, other = SECOND.get(name, (f"{name} {index + 1}", {}))
            inputs = {**inputs, **other}
        if name not in nodes:
            filled = {socket: wire(v[1:]) if str(v).startswith("@") else v for socket, v in inputs.items()}
            nodes[name] = {"type": type_, "version": registry.nodes[type_].version, "inputs": filled}
        return {"from": f"{name}.{output}"}

    shown = SHOWN.get(spec.id, {})
    inputs: dict[str, Any] = {}
    used: dict[str, int] = {}
    for item in spec.inputs:
        given = shown.get(item.name)
        kind = item.type.required.name
        if given not in (None, "@"):
            inputs[item.name] = given
        elif kind in MAKERS and (item.required or item.gather or given == "@"):
            start = used.get(kind, 0)
            used[kind] = start + (2 if item.gather else 1)
            wires = [wire(kind, index) for index in range(start, used[kind])]
            inputs[item.name] = wires if item.gather else wires[0]
        elif kind == "list" and item.required:
            inputs[item.name] = [wire(item.type.args[0].name)]
        elif item.default not in (MISSING, None) and not shown and item.typed and len(inputs) < 4:
            inputs[item.name] = item.default
    name = spec.id.rpartition(".")[2]
    name = name if name not in nodes else f"{name} it"
    nodes[name] = {"type": spec.id, "version": spec.version, "inputs": inputs}
    return {"nodes": nodes, "outputs": {out.name: f"{name}.{out.name}" for out in spec.outputs}}


def chapter_page(chapter: str, specs: list[NodeSpec], registry: Registry) -> str:
    """One page: every node of a chapter."""
    parts = [MADE, f"# {chapter}", CHAPTERS.get(chapter, "")]
    parts.append(" · ".join(f"[{spec.id}](#{anchor(spec.id)})" for spec in specs))
    for spec in specs:
        parts += [f"## {spec.id}", "*" + " · ".join(traits(spec)) + "*", spec.help]
        if spec.deprecated:
            parts.append(f"**Deprecated**: {spec.deprecated}")
        parts += [
            inputs_table(spec.inputs, registry),
            variants(spec, registry),
            outputs_table(spec, registry),
            also(spec),
        ]
        parts.append(sample(example(spec, registry)))
    return page(parts)


def traits(spec: NodeSpec) -> Iterator[str]:
    """What kind of node it is, in a few words."""
    yield f"version {spec.version}"
    yield "light: known while planning" if spec.light else f"{spec.lane} lane"
    if spec.effect:
        yield "effect: always a target"
    if spec.steps:
        yield "stepped: goes on from the last known step"
    if spec.cutoff:
        yield "cut-off: what follows is keyed by its content"
    if spec.volatile:
        yield "volatile: never reused"
    if spec.network:
        yield "talks to the network"


def inputs_table(inputs: tuple[Input, ...], registry: Registry) -> str:
    """The sockets and widgets of a node."""
    if not inputs:
        return ""
    rows = ["| input | type | default | range | |", "|---|---|---|---|---|"]
    for item in inputs:
        kind = type_text(item)
        if item.gather:
            kind += ", any number" if item.gather == "list" else ", any number, by name"
        if not item.wired:
            kind += ", typed only"
        if not item.typed:
            kind += ", wired only"
        about = cell(item_help(item) or about_carried(item.type, registry))
        rows.append(f"| `{item.name}` | {kind} | {default_text(item)} | {range_text(item)} | {about} |")
    return "\n".join(rows)


def item_help(item: Input) -> str:
    """The input's help, and what a reader of the key should know."""
    text = item.help
    widget = item.widget
    if widget.get("kind") == "model":
        text += f" A name under `models/{widget['models']}`."
    elif widget.get("kind") == "file":
        text += f" A file in `{widget['place']}`."
    elif widget.get("kind") == "choices":
        text += " Offered live."
    if not item.keyed:
        text += " Not part of the key: another value computes nothing again."
    return text.strip()


def type_text(item: Input) -> str:
    """`float`, `Mask`, or every choice; types link to their page."""
    kind = item.type
    if kind.name == "choice":
        return " · ".join(f"`{choice}`" for choice in kind.choices)
    if kind.name == "variant":
        return "one of " + ", ".join(f"`{name}`" for name in kind.choices)
    if item.widget.get("kind") == "seed":
        return "seed"
    return typed(kind)


def typed(kind: Type) -> str:
    """A type with a link when it has a section of its own."""
    bare = kind.args[0] if kind.name == "list" else kind.required
    text = f"`{kind.required}`"
    if bare.name[:1].isupper() and not bare.variable:
        return f"[{text}](types.md#{anchor(bare.name)})"
    return text


def default_text(item: Input) -> str:
    """The default as JSON would have it."""
    if item.required:
        return "required"
    if item.default in (MISSING, None):
        return "–"
    if item.default == "":
        return "empty"
    text = str(item.default).lower() if isinstance(item.default, bool) else str(item.default)
    return f"`{cell(text)}`"


def range_text(item: Input) -> str:
    """Hard bounds, the step, and what a slider offers."""
    widget = item.widget
    if widget.get("kind") == "seed":
        return "0 … 2⁶⁴−1"
    low, high, step, soft = (widget.get(key) for key in ("low", "high", "step", "soft"))
    if low is None and high is None:
        return ""
    text = f"{number(low)} … {number(high)}"
    if step not in (None, 1):
        text += f" by {number(step)}"
    return text + (f" (slider {number(soft[0])} … {number(soft[1])})" if soft else "")


def number(value: Any) -> str:
    """A bound without needless digits."""
    return "∞" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:g}"


def variants(spec: NodeSpec, registry: Registry) -> str:
    """The widgets that a choice swaps in."""
    parts = [
        f"With `{item.name}` = `{option.name}`:\n\n" + inputs_table(option.inputs, registry)
        for item in spec.inputs
        for option in item.variants
    ]
    return "\n\n".join(parts)


def outputs_table(spec: NodeSpec, registry: Registry) -> str:
    """What the node gives, with the shape its type promises."""
    if not spec.outputs:
        return ""
    rows = ["| output | type | |", "|---|---|---|"]
    for out in spec.outputs:
        about = out.help or about_carried(out.type, registry)
        rows.append(f"| `{out.name}` | {typed(out.type)} | {cell(about)} |")
    return "\n".join(rows)


def about_carried(kind: Type, registry: Registry) -> str:
    """What the type promises, shape and range, in its docstring's first paragraph."""
    bare = kind.args[0] if kind.name == "list" else kind
    return first(registry.types[bare.name].about) if bare.name in registry.types else ""


def also(spec: NodeSpec) -> str:
    """Bypass, the names it goes by elsewhere, and where it is used."""
    parts = []
    if spec.bypass:
        parts.append("Bypassed: " + ", ".join(f"`{source}` goes to `{out}`" for out, source in spec.bypass) + ".")
    if spec.aliases:
        parts.append("Elsewhere called " + ", ".join(spec.aliases) + ".")
    return " ".join([*parts, uses(spec)]).strip()


def sample(record: dict[str, Any]) -> str:
    """A workflow as a block that the tests bind."""
    text = dumps(from_json({"weft": 1, **record}))
    return f"<details><summary>Example</summary>\n\n```json workflow\n{text}```\n\n</details>"


def types_page(registry: Registry) -> str:
    """What each wire carries."""
    parts = [
        MADE,
        "# What each wire carries",
        "Values that hold tensors exist only after a step has run. A **recipe** is known while a plan is made: leaves "
        "(tensors that may not exist yet) and plain numbers. Plain types are `int`, `float`, `str`, `bool`, a choice, "
        "and `list[...]` of anything; an `int` fits where a `float` is taken.",
    ]
    for name in sorted(registry.types):
        kind = registry.types[name]
        parts += [f"## {name}", about_type(kind), ends(name, registry)]
    return page(parts)


def about_type(kind: TypeSpec) -> str:
    """A type's docstring, and whether it is a recipe."""
    text = inspect.cleandoc(kind.about)
    return text + ("\n\nA recipe." if kind.recipe else "\n\nHolds tensors.")


def ends(name: str, registry: Registry) -> str:
    """Which nodes give a type, and which take it."""

    def link(spec: NodeSpec) -> str:
        return f"[{spec.id}]({chapter_of(spec)}.md#{anchor(spec.id)})"

    def is_it(kind: Type) -> bool:
        return (kind.args[0] if kind.name == "list" else kind).name == name

    specs = sorted(registry.nodes.values(), key=lambda s: s.id)
    gives = [link(s) for s in specs if any(is_it(out.type) for out in s.outputs)]
    takes = [link(s) for s in specs if any(is_it(item.type) for item in s.inputs)]
    return f"From: {', '.join(gives) or '–'}\n\nInto: {', '.join(takes) or '–'}"


def flow_page(registry: Registry) -> str:
    """The engine's own nodes."""
    parts = [
        MADE,
        "# Flow",
        "The engine's own nodes. They shape the graph and compute nothing: the plan unfolds them, because only there "
        "is it known how long a list is and which branch is chosen. A node of type `#name` is an instance of another "
        "graph in the same file; see [the file](../file-format.md#graphs).",
    ]
    for id, spec in flow_specs().items():
        about, record = FLOW[id]
        parts += [f"## {id}", about, inputs_table(spec.inputs, registry), sample(record)]
    return page(parts)


def index_page(chapters: Mapping[str, list[NodeSpec]]) -> str:
    """The list of every node."""
    parts = [
        MADE,
        "# Nodes",
        "[What each wire carries](types.md) · [flow: switch, map, fold](flow.md) · [samplers](../samplers.md) · "
        "[how to write one](../nodes.md). The same in a terminal: `weft nodes`, `weft nodes denoise.sample`.",
    ]
    for chapter, specs in chapters.items():
        rows = [f"## [{chapter}]({chapter}.md)", "", CHAPTERS.get(chapter, ""), "", "| node | |", "|---|---|"]
        rows += [f"| [{s.id}]({chapter}.md#{anchor(s.id)}) | {cell(first(s.help))} |" for s in specs]
        parts.append("\n".join(rows))
    return page(parts)


def chapter_of(spec: NodeSpec) -> str:
    """`denoise` of `denoise.sample`."""
    return spec.id.partition(".")[0]


def chapters_of(registry: Registry) -> dict[str, list[NodeSpec]]:
    """The built-in nodes by chapter, in the order of a picture's way, then whatever chapters are new."""
    found: dict[str, list[NodeSpec]] = {}
    for spec in sorted(registry.nodes.values(), key=lambda s: s.id):
        if spec.pack == "core":
            found.setdefault(chapter_of(spec), []).append(spec)
    order = [*CHAPTERS, *sorted(found)]
    return {chapter: found[chapter] for chapter in dict.fromkeys(order) if chapter in found}


# --- errors, events, commands --------------------------------------------------------------------------------------

ERROR_LINE = """```text
flow.json:12:17 decode.latent: 'latent' takes Latent, but picture.image gives Image -> insert 'vae.encode' between them
```"""
ERROR_SHAPE = """```json
{
  "code": "graph.type",
  "message": "'latent' takes Latent, but picture.image gives Image",
  "severity": "error",
  "where": {"file": "flow.json", "line": 12, "column": 17, "path": "decode", "socket": "latent"},
  "mend": {
    "text": "insert 'vae.encode' between them",
    "edits": [{"insert": {"type": "vae.encode", "between": ["picture.image", "decode.latent"]}}]
  }
}
```"""


def errors_page() -> str:
    """Every code with its meaning."""
    groups: dict[str, list[str]] = {}
    for code in CODES:
        groups.setdefault(code.partition(".")[0], []).append(code)
    parts = [
        MADE,
        "# Errors",
        "Every failure we can name has a code, a place and a mend. On a terminal it is one line:",
        ERROR_LINE,
        "With `--json`, over HTTP and in the diary it is one shape. `edits` are document commands: a button in the "
        "editor applies the same ones.",
        ERROR_SHAPE,
        "All problems of a file are told at once. A `report`, where there is one, holds a node's traceback and a line "
        "about each of its inputs. Advice has the severity `lint` and never blocks. The exit codes of the command line "
        "are in [cli.md](cli.md).",
    ]
    for group, codes in groups.items():
        rows = [f"## {group}", "", "| code | |", "|---|---|"]
        rows += [f"| `{code}` | {cell(CODES[code])} |" for code in codes]
        parts.append("\n".join(rows))
    return page(parts)


def events_page() -> str:
    """Every event with its fields."""
    rows = ["| event | fields | |", "|---|---|---|"]
    for cls, kind in sorted(events.KINDS.items(), key=lambda pair: pair[1]):
        if cls is events.StepEvent:
            continue
        hints = typing.get_type_hints(cls)
        fields = [e.name for e in dataclasses.fields(cls) if e.name != "job" and "Callable" not in str(hints[e.name])]
        text = cell(inspect.cleandoc(cls.__doc__ or ""))
        volatile = "" if cls.durable or "Volatile." in text else " Volatile."
        rows.append(f"| `{kind}` | {', '.join(f'`{name}`' for name in fields) or '–'} | {text}{volatile} |")
    return page(
        [
            MADE,
            "# Events",
            "The run's diary, as `weft run --events` prints it (one JSON object a line) and `job.events()` gives it. "
            "Every event carries `event` and `job`. *Durable* ones are kept and replayed to whoever comes late; of "
            "*volatile* ones only the newest matters.",
            "\n".join(rows),
        ]
    )


def cli_page() -> str:
    """Every command with its options, as its parser knows them."""
    top = cli.build_parser()
    parts = [MADE, "# The command line", usage(top), top.description or ""]
    parts.append("\n".join(f"- [`weft {name}`](#weft-{name}): {about}" for name, (_, about) in cli.COMMANDS.items()))
    parts += [options(top), EXITS, ENVIRONMENT, "`--help` after any command says the same in the terminal."]
    for name in cli.COMMANDS:
        one = command(name)
        parts += [f"## weft {name}", one.description or "", usage(one), options(one)]
        if one.epilog:
            parts.append(f"```text\n{inspect.cleandoc(one.epilog)}\n```")
    return page(parts)


def command(name: str) -> argparse.ArgumentParser:
    """The parser of one command."""
    actions = cli.build_parser(name)._actions
    choices = next(action for action in actions if isinstance(action, argparse._SubParsersAction)).choices
    found: argparse.ArgumentParser = choices[name]
    return found


def usage(parser: argparse.ArgumentParser) -> str:
    """How it is called, without the wrapping that depends on the terminal's width."""
    return f"```text\n{' '.join(parser.format_usage().removeprefix('usage:').split())}\n```"


def options(parser: argparse.ArgumentParser) -> str:
    """A table of the arguments."""
    rows = ["| | |", "|---|---|"]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction | argparse._HelpAction) or action.help == argparse.SUPPRESS:
            continue
        names = ", ".join(f"`{name}`" for name in action.option_strings)
        names = names or f"`{cell(str(action.metavar or action.dest))}`"
        if action.option_strings and action.nargs != 0:
            shown = action.metavar or (action.choices and "|".join(map(str, action.choices))) or action.dest.upper()
            names += f" {cell(' '.join(shown) if isinstance(shown, tuple) else str(shown))}"
        rows.append(f"| {names} | {cell((action.help or '') % vars(action))} |")
    return "\n".join(rows) if len(rows) > 2 else ""


# --- classes -------------------------------------------------------------------------------------------------------


class Bare(str):
    """An annotation that shows itself without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def python_page() -> str:
    """The classes that a script meets, from their docstrings."""
    from engine import author
    from engine.plan import Plan, PlanStep
    from engine.run import Run, State
    from engine.session import Job, Result, Session

    parts = [
        MADE,
        "# Classes",
        "What a script meets, as [From Python](python.md) uses it; `Run` and `State`, what [a node](nodes.md) meets.",
    ]
    for cls in (Session, Job, Result, Plan, PlanStep, author.Workflow, Run, State):
        parts += [f"## {cls.__name__}", f"`from {origin(cls)} import {cls.__name__}`", documented(cls)]
        if cls in (Session, author.Workflow):
            parts.append(f"```text\n{signature(cls.__name__, cls.__init__)}\n```")
            parts.append(documented(cls.__init__).partition("\nArgs:\n")[0].rstrip())
            parts.append(arguments(cls.__init__))
        rows = ["| | |", "|---|---|", *members(cls)]
        parts.append("\n".join(rows) if len(rows) > 2 else "")
    return page(parts)


def origin(cls: type) -> str:
    """Where it is imported from: the room, not the module inside it."""
    return ".".join(cls.__module__.split(".")[:2])


def documented(thing: Any) -> str:
    """A docstring, cleaned."""
    return inspect.getdoc(thing) or ""


def arguments(function: Any) -> str:
    """The `Args:` of a docstring as a list."""
    section = documented(function).partition("\nArgs:\n")[2]
    rows = [line.strip().partition(": ") for line in section.splitlines() if line.strip()]
    return "\n".join(f"- `{name}`: {text}" for name, _, text in rows)


def members(cls: type) -> Iterator[str]:
    """Fields, properties and methods, each in a row."""
    fields = [entry.name for entry in dataclasses.fields(cls)] if dataclasses.is_dataclass(cls) else []
    fields = list(getattr(cls, "_fields", fields))
    for name in fields:
        yield f"| `{name}` | `{cell(annotation(cls.__annotations__[name]))}` |"
    for name, thing in vars(cls).items():
        if name.startswith("_"):
            continue
        if isinstance(thing, property):
            yield f"| `{name}` | {cell(documented(thing))} |"
        elif inspect.isfunction(thing):
            yield f"| `{cell(signature(name, thing))}` | {cell(documented(thing))} |"


def annotation(given: Any) -> str:
    """An annotation as it was written; a NamedTuple wraps it."""
    return str(getattr(given, "__forward_arg__", given))


def signature(name: str, function: Any) -> str:
    """`name(arguments) -> result`, annotations as they were written."""
    found = inspect.signature(function)
    kept = [
        one.replace(annotation=Bare(one.annotation)) if isinstance(one.annotation, str) else one
        for one in list(found.parameters.values())[1:]
    ]
    back = found.return_annotation
    back = Bare(back) if isinstance(back, str) and back != "None" else inspect.Signature.empty
    return f"{name}{found.replace(parameters=kept, return_annotation=back)}"


# --- small things --------------------------------------------------------------------------------------------------


def page(parts: list[str]) -> str:
    """Paragraphs as one text; empty ones left out."""
    return "\n\n".join(part for part in parts if part) + "\n"


def anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def cell(text: str) -> str:
    """Text that may stand in a table."""
    return " ".join(text.split()).replace("|", "\\|")


def first(text: str) -> str:
    """The first paragraph of a docstring on one line."""
    return " ".join(text.partition("\n\n")[0].split())


def pages() -> dict[str, str]:
    """Every made file by its path from the root."""
    registry = load_registry()
    broken = [pack.problem.line() for pack in registry.packs if pack.problem]
    if broken:
        raise SystemExit("\n".join(broken))
    chapters = chapters_of(registry)
    found = {
        "docs/errors.md": errors_page(),
        "docs/events.md": events_page(),
        "docs/cli.md": cli_page(),
        "docs/classes.md": python_page(),
        "docs/workflows.md": workflows_page(),
        "docs/nodes/README.md": index_page(chapters),
        "docs/nodes/types.md": types_page(registry),
        "docs/nodes/flow.md": flow_page(registry),
        "web/openapi.json": openapi(),
    }
    for chapter, specs in chapters.items():
        found[f"docs/nodes/{chapter}.md"] = chapter_page(chapter, specs, registry)
    for name, flow in workflows().items():
        picture = ROOT / "docs" / "images" / f"{name}.png"
        made = picture.read_bytes() if picture.is_file() else b""
        found[f"docs/images/{name}.svg"] = draw.svg(flow, registry, made)
    return found


def openapi() -> str:
    """The API as the server describes it: what the editor's types are made from (`npm run types` in web/)."""
    from engine.server.openapi import describe
    from engine.server.routes import ROUTES

    return json.dumps(describe(ROUTES, "1"), indent=1, ensure_ascii=False) + "\n"


@functools.cache
def workflows() -> dict[str, Workflow]:
    """The workflows that ship, the plain ones first."""
    names = [path.stem for path in sorted((ROOT / "workflows").glob("*.json"))]
    order = [*(name for name in FIRST if name in names), *(name for name in names if name not in FIRST)]
    return {name: read(ROOT / "workflows" / f"{name}.json") for name in order}


def workflows_page() -> str:
    """Every workflow that ships: what it is for, its graph, what it takes."""
    parts = [
        MADE,
        "# Workflows to begin with",
        "They lie in [workflows/](../workflows). `weft new mine.json --template inpaint` makes a copy of one.",
    ]
    for name, flow in workflows().items():
        parts += [f"## {name}", f"**{flow.title}.** {flow.about}", f"![The graph of {name}](images/{name}.svg)"]
        for inner in flow.graphs:
            parts.append(f"`#{inner}` is a graph of its own in the file.")
        rows = ["| parameter | sets | as it stands |", "|---|---|---|"]
        for label, parameter in flow.parameters.items():
            targets = ", ".join(f"`{target}`" for target in parameter.to)
            rows.append(f"| `{label}` | {targets} | {standing(flow, parameter)} |")
        parts.append("\n".join(rows))
    return page(parts)


def standing(flow: Workflow, parameter: Parameter) -> str:
    """The value that a parameter has in the file."""
    value = parameter.default
    if not parameter.has_default:
        node, _, socket = parameter.to[0].rpartition(".")
        source = flow.nodes[node].inputs.get(socket)
        value = source.value if isinstance(source, Value) else None
    if value in (None, ""):
        return "empty" if value == "" else "–"
    return "<br>".join(f"`{cell(line)}`" for line in str(value).splitlines() if line.strip())


def uses(spec: NodeSpec) -> str:
    """The workflows in which a node is used."""
    found = [
        name
        for name, flow in workflows().items()
        if any(node.type == spec.id for net in (flow, *flow.graphs.values()) for node in net.nodes.values())
    ]
    shown = ", ".join(f"[{name}](../workflows.md#{anchor(name)})" for name in found[:4])
    return f"In {shown}{' and others' if len(found) > 4 else ''}." if found else ""


def take_pictures() -> None:
    """Run the workflows in a fresh home and keep the picture of each."""
    import PIL.Image

    from engine.places import Places
    from engine.records import Records
    from engine.session import Session

    with tempfile.TemporaryDirectory() as home, Session(places=Places(home=Path(home)), records=Records()) as session:
        for name, flow in workflows().items():
            if flow.requires.get("models"):  # what does not ship
                continue
            result = session.run(flow)
            if result.state != "succeeded":
                raise SystemExit("\n".join(problem.line() for problem in result.problems))
            kept = ROOT / "docs" / "images" / f"{name}.png"
            shutil.copyfile(result.files[0], kept)
            with PIL.Image.open(kept) as picture:
                if picture.width > WIDEST:
                    high = round(picture.height * WIDEST / picture.width)
                    picture.resize((WIDEST, high), PIL.Image.Resampling.LANCZOS).save(kept, optimize=True)


def stale(made: Mapping[str, str]) -> list[str]:
    """The files that are not what the code says: missing, different, or of a chapter that is gone."""
    wrong = []
    for path, text in made.items():
        file = ROOT / path
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            wrong.append(path)
    for folder, ending in (("nodes", "md"), ("images", "svg")):
        there = {file.relative_to(ROOT).as_posix() for file in (ROOT / "docs" / folder).glob(f"*.{ending}")}
        wrong += sorted(there - set(made))
    return wrong


def main(argv: list[str]) -> int:
    """Write what is stale, or only name it."""
    only_say = "--check" in argv
    if "--pictures" in argv:
        take_pictures()
    made = pages()
    wrong = stale(made)
    for path in wrong:
        file = ROOT / path
        if only_say:
            sys.stderr.write(f"not what the code says: {path}\n")
        elif path in made:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(made[path], encoding="utf-8", newline="\n")
        else:
            file.unlink()
    return int(only_say and bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
