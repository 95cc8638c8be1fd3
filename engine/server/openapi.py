"""OpenAPI: the API's description (3.1), made from the routes and their shapes."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Sequence
from typing import Any, Literal, Union
from urllib.parse import quote

from engine.server.codec import hints
from engine.server.routing import Route
from engine.server.shapes import Endpoint, Failure, JobShape, RunRequest

_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean"}


def describe(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """The whole description."""
    schemas: dict[str, Any] = {}
    failure = {"description": "What went wrong.", "content": _json(schema(Failure, schemas))}
    paths: dict[str, Any] = {}
    for one in routes:
        path = re.sub(r"{(\w+):[^}]*}", r"{\1}", one.path)
        paths.setdefault(path, {})[one.method.lower()] = _operation(one, path, schemas, failure)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Weft", "version": version, "description": "Node-graph workflows for diffusion models."},
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def describe_endpoint(endpoint: Endpoint, version: str) -> dict[str, Any]:
    """One saved workflow as an API of its own."""
    from engine.server.endpoint import form_schema

    schemas: dict[str, Any] = {}
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


def _operation(one: Route, path: str, schemas: dict[str, Any], failure: Any) -> dict[str, Any]:
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
        replies["101"] = {"description": "The socket is open; see docs/server.md for its messages."}
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


def schema(kind: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    """The JSON Schema of a type of the wire; shapes are put into `schemas` by name."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return {}
    if origin in (Union, types.UnionType):
        return {"anyOf": [schema(option, schemas) for option in args]}
    if kind is type(None):
        return {"type": "null"}
    if origin is Literal:
        return {"enum": list(args)}
    if origin is list:
        return {"type": "array", "items": schema(args[0], schemas)}
    if origin is dict:
        return {"type": "object", "additionalProperties": schema(args[1], schemas)}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        name = kind.__name__.removesuffix("Shape")
        if name not in schemas:
            schemas[name] = {}
            schemas[name] = _object(kind, schemas)
        return {"$ref": f"#/components/schemas/{name}"}
    return {"type": _PLAIN[kind]}


def _object(shape: type, schemas: dict[str, Any]) -> dict[str, Any]:
    kinds = hints(shape)
    properties, required = {}, []
    for entry in dataclasses.fields(shape):
        properties[entry.name] = schema(kinds[entry.name], schemas)
        if entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING:
            required.append(entry.name)
        elif isinstance(entry.default, str | int | float | bool):
            properties[entry.name]["default"] = entry.default
    found: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        found["required"] = required
    if shape.__doc__:
        found["description"] = shape.__doc__.strip()
    return found
