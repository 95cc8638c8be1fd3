"""OpenAPI: the API's description (3.1), made from the routes and their shapes, the events, and the file's own schema.

What Python passes on as plain JSON (a workflow, a node's spec) is annotated with what it is: `Annotated[Json, shape]`
is read as the first and described as the second.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Union
from urllib.parse import quote

from engine.errors import Problem
from engine.server.routing import Route
from engine.server.shapes import Endpoint, Failure, JobShape, ProblemShape, RunRequest, WorkflowFile
from engine.server.shapes.event import MESSAGES, PreviewHeader, Wish
from engine.workflow.schema import schema as file_schema

_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean"}


class Schemas(dict[str, Any]):
    """Shapes by name. What only the server sends leaves out a field instead of sending null; `taken` are the others."""

    def __init__(self, taken: Iterable[str] | None = None) -> None:
        """Without `taken`, all of them may be sent by a client."""
        super().__init__()
        self.taken = None if taken is None else frozenset(taken)

    def nullable(self, shape: type) -> bool:
        """May a field of it that is None be sent as null?"""
        return self.taken is None or _named(shape) in self.taken


def describe(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """The whole description."""
    taken = Schemas()
    for one in routes:
        if one.takes is not None:
            schema(one.takes, taken)
    schemas = Schemas({*taken, "Problem"})  # an event has its problems as the engine writes them
    failure = {"description": "What went wrong.", "content": _json(schema(Failure, schemas))}
    paths: dict[str, Any] = {}
    for one in routes:
        path = re.sub(r"{(\w+):[^}]*}", r"{\1}", one.path)
        paths.setdefault(path, {})[one.method.lower()] = _operation(one, path, schemas, failure)
    for said in (PreviewHeader, Wish):
        schema(said, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Weft", "version": version, "description": "Node-graph workflows for diffusion models."},
        "paths": dict(sorted(paths.items())),  # whichever module was imported first
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def describe_endpoint(endpoint: Endpoint, version: str) -> dict[str, Any]:
    """One saved workflow as an API of its own."""
    from engine.server.endpoint import form_schema

    schemas = Schemas()
    body = schema(RunRequest, schemas)
    schemas["Parameters"] = endpoint.schema
    schemas["RunRequest"]["properties"]["parameters"] = {"$ref": "#/components/schemas/Parameters"}
    reply = {
        "description": "The job; at its end with `?wait`, as a picture with `Accept: image/png`.",
        "content": {**_json(schema(JobShape, schemas)), "image/png": {}},
    }
    operation = {
        "operationId": "run",
        "summary": f"{endpoint.title or endpoint.name}.",
        "description": endpoint.about,
        "parameters": [{"name": "wait", "in": "query", "required": False, "schema": {"type": "string"}}],
        "requestBody": {
            "required": True,
            "content": {**_json(body), "multipart/form-data": {"schema": form_schema(endpoint.parameters)}},
        },
        "responses": {
            "201": reply,
            "200": reply,
            "default": {"description": "What went wrong.", "content": _json(schema(Failure, schemas))},
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": endpoint.title or endpoint.name, "version": version, "description": endpoint.about},
        "paths": {f"/api/run/{quote(endpoint.name, safe='')}": {"post": operation}},
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _operation(one: Route, path: str, schemas: Schemas, failure: Any) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", path)
    ]
    parameters += [
        {"name": name, "in": "query", "required": False, "schema": {"type": _PLAIN[kind]}}
        for name, kind in one.query.items()
    ]
    summary = one.about.partition("\n")[0]
    operation: dict[str, Any] = {"operationId": one.name, "summary": summary, "description": one.about}
    if parameters:
        operation["parameters"] = parameters
    if one.takes is not None:
        operation["requestBody"] = {"required": not one.optional, "content": _json(schema(one.takes, schemas))}
    if one.form:
        operation["requestBody"]["content"]["multipart/form-data"] = {"schema": {"type": "object"}}
    if one.file:
        fields = {"file": {"type": "string", "contentMediaType": "application/octet-stream"}}
        form = {"type": "object", "properties": {**fields, "place": {"type": "string"}}, "required": ["file"]}
        operation["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": form}}}
    replies: dict[str, Any] = {}
    if one.gives == "websocket":
        text = "The socket is open. It tells Events, and pictures that begin with a PreviewHeader; it takes a Wish."
        replies["101"] = {"description": text, "content": _json(_events(schemas))}
    elif isinstance(one.gives, str):
        replies[str(one.status)] = {"description": summary, "content": {one.gives: {}}}
    else:
        replies[str(one.status)] = {"description": summary, "content": _json(schema(one.gives, schemas))}
        if one.status == 201:  # an idempotency key that was seen before, or `?wait`
            replies["200"] = replies["201"]
    replies["default"] = failure
    operation["responses"] = replies
    if one.open:
        operation["security"] = []
    return operation


def _json(of: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": of}}


def schema(kind: Any, schemas: Schemas) -> dict[str, Any]:
    """The JSON Schema of a type of the wire; shapes are put into `schemas` by name."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return schema(args[1], schemas)
    if kind is Any:
        return {}
    if kind is WorkflowFile:
        return _file(schemas)
    if kind is Problem:
        return schema(ProblemShape, schemas)
    if origin in (Union, types.UnionType):
        return {"anyOf": [schema(option, schemas) for option in args]}
    if kind is type(None):
        return {"type": "null"}
    if origin is Literal:
        return {"type": "string", "enum": list(args)}  # there are none but of texts
    if origin is tuple and args[-1] is not Ellipsis:
        items = [schema(item, schemas) for item in args]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    if origin in (list, tuple):
        return {"type": "array", "items": schema(args[0], schemas)}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": schema(args[1], schemas)}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        name = _named(kind)
        if name not in schemas:
            schemas[name] = {}
            schemas[name] = _object(kind, schemas)
        return {"$ref": f"#/components/schemas/{name}"}
    return {"type": _PLAIN[kind]}


def _named(shape: type) -> str:
    return shape.__name__.removesuffix("Shape")


def _object(shape: type, schemas: Schemas, nullable: bool = False) -> dict[str, Any]:
    kinds = typing.get_type_hints(shape, include_extras=True)
    properties: dict[str, Any] = {}
    required: list[str] = []
    for entry in dataclasses.fields(shape):
        name = entry.name.rstrip("_")  # `from` and `with` are no names in Python
        kind = kinds[entry.name]
        if entry.default is None and not (nullable or schemas.nullable(shape)):
            kind = _sent(kind)
        properties[name] = schema(kind, schemas)
        if entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING:
            required.append(name)
        elif isinstance(entry.default, str | int | float | bool):
            properties[name]["default"] = entry.default
        elif entry.default_factory in (list, dict):
            properties[name]["default"] = entry.default_factory()
    found: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        found["required"] = required
    if shape.__doc__:
        found["description"] = shape.__doc__.strip()
    return found


def _sent(kind: Any) -> Any:
    """An optional type without its None."""
    if typing.get_origin(kind) is Annotated:
        return kind
    options = [option for option in typing.get_args(kind) if option is not type(None)]
    return functools.reduce(operator.or_, options) if options else kind


def _events(schemas: Schemas) -> dict[str, Any]:
    """Every message of the socket, told apart by `event`."""
    one_of = []
    for name, (shape, numbered) in MESSAGES.items():
        engines = not shape.__module__.startswith("engine.server")
        described = _object(shape, schemas, nullable=engines)
        fields, required = described["properties"], described.get("required", [])
        if engines:  # the engine's events have all their fields, and an item
            for field in fields.values():
                field.pop("default", None)
            required = list(fields)
            fields["item"] = {"type": "integer"}
        if numbered:
            fields["seq"] = {"type": "integer"}
            required = [*required, "seq"]
        title = "".join(part.title() for part in name.split("_")) + "Event"
        described["properties"] = {"event": {"const": name}, **fields}
        described["required"] = ["event", *required]
        schemas[title] = described
        one_of.append({"$ref": f"#/components/schemas/{title}"})
    schemas["Event"] = {"oneOf": one_of, "description": "A message of the socket."}
    return {"$ref": "#/components/schemas/Event"}


def _file(schemas: Schemas) -> dict[str, Any]:
    """The schema of workflow files, among the others: `node` as `WorkflowNode`."""
    if "Workflow" not in schemas:
        whole = file_schema()
        names = {name: f"Workflow{name.title()}" for name in whole["$defs"]}

        def moved(part: Any) -> Any:
            if isinstance(part, dict):
                return {
                    key: f"#/components/schemas/{names[value.rpartition('/')[2]]}" if key == "$ref" else moved(value)
                    for key, value in part.items()
                    if key not in ("$schema", "$defs")
                }
            return [moved(one) for one in part] if isinstance(part, list) else part

        for name, part in whole["$defs"].items():
            schemas[names[name]] = moved(part)
        schemas["Workflow"] = moved(whole)
    return {"$ref": "#/components/schemas/Workflow"}
