"""The description of the API is complete and true: made from the types that server and client speak."""

import functools
import json
import re
from typing import Any

import jsonschema_rs
import pytest

from engine.graph import flow_specs
from engine.registry import load_registry
from engine.server.codec import decode, encode
from engine.server.openapi import describe
from engine.server.routes import ROUTES, _nodes
from engine.server.shapes import JobRequest, JobShape, Settings
from engine.server.shapes.event import MESSAGES
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


@functools.cache
def validator(schema: str, components: str) -> Any:
    return jsonschema_rs.Draft202012Validator({**json.loads(schema), "components": json.loads(components)})


def fits(value: Any, schema: Any, whole: Any) -> bool:
    return validator(json.dumps(schema), json.dumps(whole["components"])).is_valid(value)


def problems(value: Any, schema: Any, whole: Any) -> list[str]:
    found = validator(json.dumps(schema), json.dumps(whole["components"])).iter_errors(value)
    return [f"{list(error.instance_path)}: {error.message[:200]}" for error in found]


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
    every = [(path, *one) for path, methods in described["paths"].items() for one in methods.items()]
    for path, method, operation in sorted(every, key=lambda one: one[1] == "delete"):
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
            wrongs = problems(json.loads(text), schema, described)
            assert not wrongs, (method, path, status, wrongs)
            checked.add((path, status < 300))
    assert {("/api/jobs", True), ("/api/jobs/{id}", True), ("/api/state", True), ("/api/plan", True)} <= checked
    assert ("/api/jobs/{id}/move", False) in checked


def test_every_node_and_type_that_ships_is_what_the_description_says(described):
    registry = load_registry()
    listed = json.loads(json.dumps(encode(_nodes(registry))))
    assert len(listed["nodes"]) > 180 and len(listed["nodes"]) == len(registry.nodes) + len(flow_specs())
    for part, shape in (("nodes", "NodeSpec"), ("types", "TypeSpec")):
        for one in listed[part]:
            wrongs = problems(one, {"$ref": f"#/components/schemas/{shape}"}, described)
            assert not wrongs, (one.get("id") or one["name"], wrongs)


def test_every_event_is_what_the_description_says_and_of_a_kind_that_it_names(running, described):
    work = document(
        {"s": box("paint.dots", seed="random"), "bad": box("toy.fail", thing={"from": "m.out"}), "m": box("toy.make")},
        outputs={"o": "s", "b": "bad"},
    )
    start = running.client.state()
    running.client.wait(running.client.submit(work).id)
    many = running.client.submit(work, batch={"count": 2, "seed": "s.seed"})
    running.client.wait(many.id)
    running.client.save("one", work)
    running.client.delete("one")
    running.client.put_tab("main", {"n": 1})
    running.client.settings({"a": 1})
    running.client.forget(many.id)
    running.client.queue(paused=False)
    heard = []
    for event in running.client.events(start.seq, start.epoch):
        heard.append({key: value for key, value in event.items() if key != "image"})
        if event["event"] == "queue_changed":
            break
    for event in heard:
        assert problems(event, {"$ref": "#/components/schemas/Event"}, described) == [], event
    kinds = {event["event"] for event in heard}
    assert kinds <= set(MESSAGES)
    assert {"hello", "item_finished", "step_failed", "step_pictures", "job_finished", "tab_changed"} <= kinds


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
