"""Schema: the JSON Schema (draft 2020-12) of a workflow file, for editors that complete and check while one types.

It says what has the form of a workflow; which nodes exist and what fits together only the engine knows. What the
reader does not understand it keeps, so unknown keys are allowed wherever the reader allows them.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from engine.workflow.data import MODES, VERSION, Net, Node, Parameter, Workflow

ABOUT = {
    "weft": "The version of the format.",
    "title": "What the workflow is called.",
    "about": "One paragraph for the template browser.",
    "nodes": "The boxes of the graph, by name.",
    "parameters": "The inputs of the whole graph.",
    "outputs": 'The results of the whole graph: name to "node.output".',
    "graphs": "Other graphs, used by nodes of type #name.",
    "requires": "Packs and models that the workflow needs.",
    "view": "Layout only; changes no result.",
    "type": 'A node\'s id, "chapter.verb", or "#name" for a graph of this file.',
    "version": "The version of the node that the inputs were written for.",
    "inputs": 'Literals, wires ({"from": "node.output"}), lists of both, or named sources.',
    "mode": "mute: it and what needs it do not run. bypass: its input passes through.",
    "body": "The graph that map and fold repeat, #name.",
    "to": 'The inputs that the parameter sets, as "node.input".',
    "default": "The value when none is given.",
    "required": "Must it be given?",
    "label": "What a form shows.",
}


def schema() -> dict[str, Any]:
    """The schema, made from the dataclasses of `engine.workflow`: a field added there must be described here."""
    text: dict[str, Any] = {"type": "string"}
    free: dict[str, Any] = {"type": "object"}
    name = {"pattern": "^[^./#]{1,200}$"}
    link = {
        "type": "object",
        "properties": {"from": {"type": "string", "pattern": r"^[^./#]+(\..+)?$", "description": '"node.output"'}},
        "required": ["from"],
        "additionalProperties": False,
    }
    value = {
        "type": "object",
        "properties": {"value": True},
        "required": ["value"],
        "additionalProperties": False,
        "description": "A literal that is an object or a list of objects.",
    }
    source = {
        "anyOf": [
            {"type": ["string", "number", "boolean", "null"]},
            {"$ref": "#/$defs/link"},
            {"$ref": "#/$defs/value"},
            {"type": "array", "items": {"$ref": "#/$defs/source"}},
            {"$ref": "#/$defs/named"},
        ]
    }
    named = {
        "type": "object",
        "not": {"anyOf": [{"required": ["from"]}, {"required": ["value"]}]},
        "additionalProperties": {"$ref": "#/$defs/source"},
        "description": "Several sources, by name.",
    }
    fields: dict[type, dict[str, Any]] = {
        Node: {
            "type": {**text, "minLength": 1},
            "version": {"type": "integer", "minimum": 1},
            "inputs": {"type": "object", "additionalProperties": {"$ref": "#/$defs/source"}},
            "mode": {"enum": [mode for mode in MODES]},
            "title": {**text, "description": "What the card says."},
            "body": text,
        },
        Parameter: {
            "to": {"type": ["array", "string"], "items": {**text, "pattern": r"^.+\..+$"}},
            "default": True,
            "required": {"type": "boolean"},
            "label": text,
        },
        Net: {
            "nodes": {
                "type": "object",
                "propertyNames": name,
                "additionalProperties": {"$ref": "#/$defs/node"},
            },
            "parameters": {"type": "object", "additionalProperties": {"$ref": "#/$defs/parameter"}},
            "outputs": {"type": "object", "additionalProperties": text},
        },
    }
    fields[Workflow] = {
        **fields[Net],
        "title": text,
        "about": text,
        "graphs": {"type": "object", "additionalProperties": {"$ref": "#/$defs/graph"}},
        "requires": free,
        "view": free,
    }
    for cls, described in fields.items():
        missing = {entry.name for entry in dataclasses.fields(cls)} - set(described) - _INTERNAL
        if missing:
            raise AssertionError(f"the schema does not describe {cls.__name__}.{min(missing)}")
    document = _object({"weft": {"const": VERSION}, **fields[Workflow]}, ["weft"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Weft workflow",
        **document,
        "$defs": {
            "graph": _object(fields[Net], []),
            "node": _object(fields[Node], ["type"]),
            "parameter": _object(fields[Parameter], []),
            "source": source,
            "link": link,
            "value": value,
            "named": named,
        },
    }


_INTERNAL = {"extra", "origin", "has_default"}


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    described = {
        key: {"description": ABOUT[key], **item} if isinstance(item, dict) and key in ABOUT else item
        for key, item in properties.items()
    }
    return {"type": "object", "properties": described, **({"required": required} if required else {})}
