"""The description of the API is complete and true: made from the types that server and client speak."""

import json
import re
from typing import Any

import pytest

from engine.server.codec import decode, encode
from engine.server.openapi import describe
from engine.server.routes import ROUTES
from engine.server.shapes import JobRequest, JobShape, Settings
from tests.engine.flows import box
from tests.engine.server.painted import document
from tests.engine.server.test_door import Caller

SAMPLES = [None, True, 7, -1.5, "text", [], {}, [None], {"unknown": 1}]


@pytest.fixture
def described():
    return describe(ROUTES, "1")


def test_every_address_is_described_and_says_what_it_is_for(described):
    listed = {(method.upper(), path) for path, methods in described["paths"].items() for method in methods}
    assert listed == {(one.method, re.sub(r"{(\w+):[^}]*}", r"{\1}", one.path)) for one in ROUTES}
    for methods in described["paths"].values():
        for operation in methods.values():
            assert operation["summary"].endswith((".", "?")) and operation["responses"]["default"]
    names = [operation["operationId"] for methods in described["paths"].values() for operation in methods.values()]
    assert len(names) == len(set(names))


def test_the_server_gives_its_own_description_and_every_reference_leads_somewhere(running, described):
    _, text, _ = Caller(running)("GET", "/api/openapi.json")
    given = json.loads(text)
    assert given["openapi"] == "3.1.0" and given["paths"] == json.loads(json.dumps(described["paths"]))
    for name in re.findall(r'"#/components/schemas/(\w+)"', text.decode()):
        assert name in given["components"]["schemas"]


def resolve(schema: Any, whole: Any) -> Any:
    return whole["components"]["schemas"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def fits(value: Any, schema: Any, whole: Any) -> bool:
    """JSON Schema, as far as the description uses it."""
    schema = resolve(schema, whole)
    if "anyOf" in schema:
        return any(fits(value, option, whole) for option in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    match schema.get("type"):
        case None:
            return True
        case "object":
            known = schema.get("properties", {})
            rest = schema.get("additionalProperties", True)
            return (
                isinstance(value, dict)
                and set(schema.get("required", ())) <= set(value)
                and all(
                    fits(one, known[name], whole) if name in known else rest is not False and fits(one, rest, whole)
                    for name, one in value.items()
                )
            )
        case "array":
            return isinstance(value, list) and all(fits(one, schema["items"], whole) for one in value)
        case "string":
            return isinstance(value, str)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
    raise AssertionError(schema)


def test_what_the_server_replies_is_what_the_description_says(running, described):
    call = Caller(running)
    work = document(
        {"s": box("paint.dots", seed="random"), "bad": box("toy.fail", thing={"from": "m.out"}), "m": box("toy.make")},
        outputs={"o": "s", "b": "bad"},
    )
    running.client.save("one", work)
    job = running.client.wait(running.client.submit(work).id)
    assert job.problems and job.outputs and job.drawn
    names = {"id": job.id, "name": "one", "workflow": "one", "hash": "0" * 32, "place": "input", "kind": "loras"}
    bodies = {"/api/settings": {"settings": {"a": 1}}, "/api/run/{workflow}": {}, "/api/queue": {}}
    checked = set()
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            if "websocket" in json.dumps(operation["responses"]) or path == "/ws":
                continue
            body = None
            if "requestBody" in operation:
                body = bodies.get(path, {"workflow": work})
            elif method == "post":
                body = {}
            status, text, headers = call(method.upper(), path.format(**names), body)
            reply = operation["responses"].get(str(status), operation["responses"]["default"])
            if "application/json" in headers["Content-Type"]:
                schema = reply.get("content", {}).get("application/json", {}).get("schema", {})
                assert fits(json.loads(text), schema, described), (method, path, status, text[:300])
                checked.add((path, status < 300))
    assert {("/api/jobs", True), ("/api/jobs/{id}", True), ("/api/state", True), ("/api/plan", True)} <= checked
    assert ("/api/jobs/{id}/move", False) in checked


def wrong(schema: Any, whole: Any) -> list[Any]:
    """Bodies that the schema refuses: each sample as a whole, and in the place of each property."""
    found: list[Any] = list(SAMPLES)
    for name in resolve(schema, whole).get("properties", {}):
        found += [{"workflow": {}, name: sample} for sample in SAMPLES] + [{name: sample} for sample in SAMPLES]
    return [body for body in found if not fits(body, schema, whole)]


def test_a_body_that_the_description_refuses_is_refused_by_the_server_and_never_its_fault(running, described):
    call = Caller(running)
    tried = 0
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {})
            if "application/json" not in content:
                continue
            address = path.format(id="x", name="x", workflow="x")
            for body in wrong(content["application/json"]["schema"], described):
                status, text, _ = call(method.upper(), address, raw=json.dumps(body).encode())
                assert status == 400, (path, body, text)
                tried += 1
    assert tried > 200
    assert running.client.jobs() == []


def test_what_is_encoded_is_decoded_as_it_was():
    request = JobRequest({"weft": 1}, {"seed": 7}, ["a"], True, "t")
    assert decode(JobRequest, encode(request)) == request
    job = JobShape("j", "queued", "t", 1.0, [], {}, {}, [], {"s.seed": 2**60}, {}, 0.5, position=0)
    wire = encode(job)
    assert wire["drawn"] == {"s.seed": str(2**60)} and "finished" not in wire
    assert decode(JobShape, wire).position == 0
    assert decode(Settings, {"settings": {"x": None}}).settings == {"x": None}
