"""Endpoint: a saved workflow as an address of its own, with typed parameters and a description that tools read."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from engine.graph.settable import inputs_of
from engine.node import MISSING, Input, plain_default, resolve
from engine.places import Places
from engine.registry import Registry
from engine.server.codec import decode
from engine.server.house import House
from engine.server.incoming import takes_picture
from engine.server.jobs import accept
from engine.server.routing import route
from engine.server.shapes import Endpoint, JobRequest, JobShape, ParameterShape, RunRequest
from engine.workflow import Parameter, Value, Workflow

OPTIONS = ("again", "title", "webhook", "priority")  # of a form, beside the parameters
_PLAIN = {"int": "integer", "float": "number", "str": "string", "bool": "boolean"}
_PICTURE: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "description": "a name in the input folder, or a data: URL"},
        {"type": "object", "properties": {"url": {"type": "string", "format": "uri"}}, "required": ["url"]},
        {"type": "object", "properties": {"base64": {"type": "string"}}, "required": ["base64"]},
    ]
}


@route("POST", "/api/run/{workflow}", JobShape, takes=RunRequest, form=True, query={"wait": str}, status=201)
async def run(house: House, request: web.Request, body: RunRequest | None) -> web.StreamResponse:
    """Run a saved workflow (or `template:NAME`) with values for its parameters, as JSON or as a form with pictures."""
    name = request.match_info["workflow"]
    workflow, saved = await asyncio.to_thread(house.library_of(request).read, name)
    if body is None:
        registry = (await house.session()).engine.registry
        values = await house.incoming(request).form(request, workflow, registry)
        options = {key: values.pop(key) for key in OPTIONS if key in values and key not in workflow.parameters}
        if "priority" in options:
            options["priority"] = int(options["priority"]) if str(options["priority"]).isdigit() else 0
        body = decode(RunRequest, {**options, "parameters": values})
    job = JobRequest(
        saved.workflow,
        body.parameters,
        again=body.again,
        title=body.title or workflow.title or name,
        priority=body.priority,
        webhook=body.webhook,
        batch=body.batch,
        sweep=body.sweep,
        rows=body.rows,
        together=body.together,
    )
    return await accept(house, request, job)


@route("GET", "/api/run/{workflow}", Endpoint)
async def endpoint(house: House, request: web.Request) -> Endpoint:
    """What a saved workflow takes and gives: each parameter with its type, and a JSON Schema of all of them."""
    name = request.match_info["workflow"]
    session = await house.session()
    workflow, _ = await asyncio.to_thread(house.library_of(request).read, name)
    return await asyncio.to_thread(endpoint_of, name, workflow, session.engine.registry, session.engine.places)


@route("GET", "/api/run/{workflow}/openapi.json", "application/json")
async def endpoint_openapi(house: House, request: web.Request) -> web.Response:
    """A saved workflow's own description, as OpenAPI 3.1: give it to a client generator or an agent."""
    from engine.server.openapi import describe_endpoint

    return web.json_response(describe_endpoint(await endpoint(house, request), house.version))


def endpoint_of(name: str, workflow: Workflow, registry: Registry, places: Places) -> Endpoint:
    """The description of a workflow's parameters and outputs."""
    known = inputs_of(workflow, registry)
    rows = [_parameter(label, item, workflow, known.get(label), places) for label, item in workflow.parameters.items()]
    rows.sort(key=lambda row: (row.group or "", row.order if row.order is not None else 1e9))
    outputs = {label: _gives(workflow, registry, target) for label, target in workflow.outputs.items()}
    return Endpoint(name, workflow.title, workflow.about, rows, _schema(rows), outputs)


def _gives(workflow: Workflow, registry: Registry, target: str) -> str:
    """The type of an output, as far as it can be read off the node that it names."""
    node, _, output = target.partition(".")
    spec = registry.get(workflow.nodes[node].type) if node in workflow.nodes else None
    for one in spec.outputs if spec is not None else ():
        if not output or one.name == output:
            return str(one.type)
    return "any"


def _parameter(name: str, item: Parameter, workflow: Workflow, input: Input | None, places: Places) -> ParameterShape:
    default = item.default if item.has_default else _held(item, workflow, input)
    picture = takes_picture(input)
    span = item.extra.get("range") or []
    schema: dict[str, Any] = {}
    if picture:
        schema = dict(_PICTURE)
    elif input is not None:
        schema = _of_type(input, places)
        low, high = (*span, None, None)[:2] if span else (input.widget.get("low"), input.widget.get("high"))
        if schema.get("type") in ("integer", "number"):
            schema |= {k: v for k, v in (("minimum", low), ("maximum", high)) if isinstance(v, int | float)}
        if input.widget.get("kind") == "seed":
            schema = {"anyOf": [schema, {"enum": ["random", "increment"]}, {"type": "string", "pattern": "^[0-9]+$"}]}
    if item.extra.get("choices"):
        schema = {"enum": list(item.extra["choices"])}
    about = str(item.extra.get("about") or (input.help if input is not None else ""))
    if about:
        schema["description"] = about
    if default is not None and not picture:
        schema["default"] = default
    return ParameterShape(
        name=name,
        type="image" if picture else str(input.type) if input is not None else "any",
        label=item.label or name,
        required=item.required and not item.has_default,
        schema=schema,
        about=about or None,
        group=str(item.extra["group"]) if "group" in item.extra else None,
        order=float(item.extra["order"]) if isinstance(item.extra.get("order"), int | float) else None,
        default=default,
    )


def _held(item: Parameter, workflow: Workflow, input: Input | None) -> Any:
    """What a parameter without a default of its own has: what its node holds."""
    for target in item.to:
        node, _, socket = target.rpartition(".")
        source = workflow.nodes[node].inputs.get(socket) if node in workflow.nodes else None
        if isinstance(source, Value):
            return source.value
    return plain_default(input.default) if input is not None and input.default is not MISSING else None


def _of_type(input: Input, places: Places) -> dict[str, Any]:
    kind = input.type
    if input.gather or kind.name not in (*_PLAIN, "choice"):
        return {}
    if kind.name in _PLAIN:
        found: dict[str, Any] = {"type": _PLAIN[kind.name]}
    else:
        found = {"enum": list(kind.choices)} if kind.choices else {"type": "string"}
    offered = choices_of(input, places)
    if offered:
        found = {"enum": offered}
    return {"anyOf": [found, {"type": "null"}]} if kind.optional else found


def choices_of(input: Input, places: Places) -> list[str]:
    """What an input may be set to just now: models, files, or whatever its node offers."""
    match input.widget.get("kind"):
        case "model":
            return places.models(str(input.widget["models"]))
        case "file":
            return places.files(str(input.widget["place"]))
        case "choices":
            return [str(one) for one in resolve(str(input.widget["choices"]))()]
    return [str(one) for one in input.type.choices]


def _schema(rows: list[ParameterShape]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "object",
        "properties": {row.name: row.schema for row in rows},
        "additionalProperties": False,
    }
    required = [row.name for row in rows if row.required]
    return {**found, "required": required} if required else found


def form_schema(rows: list[ParameterShape]) -> Mapping[str, Any]:
    """The same parameters as the parts of a form: pictures are files."""
    binary = {"type": "string", "contentMediaType": "application/octet-stream"}
    parts = {row.name: binary if row.type == "image" else row.schema for row in rows}
    return {"type": "object", "properties": parts}
