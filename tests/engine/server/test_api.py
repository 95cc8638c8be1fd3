"""The API of the first paint: state, nodes, choices, check, plan – and the pages."""

import json
import urllib.error
import urllib.request

import pytest

from engine.errors import WeftError
from tests.engine import toys
from tests.engine.flows import box
from tests.engine.server.painted import document

CHAIN = {"make": box("toy.make", text="ab"), "up": box("toy.upper", thing="@make")}


def test_the_state_names_machine_queue_and_the_last_event(weft):
    state = weft.state()
    assert (state.numerics.device, state.numerics.dtype) == ("cpu", "float32")
    assert state.queue.jobs == [] and state.queue.paused is False
    assert state.epoch and state.seq >= 0


def test_every_node_is_listed_with_the_engines_own_marked_as_flow(weft):
    listed = {node["id"]: node for node in weft.nodes().nodes}
    assert set(listed) >= {spec.id for spec in toys.NODES} | {"map", "fold", "switch", "reroute"}
    assert {id for id, node in listed.items() if node.get("flow")} == {"map", "fold", "switch", "reroute"}


def test_the_table_of_connections_agrees_with_the_engine(weft):
    connect = weft.nodes().connect
    assert connect["Thing"]["Thing"] == "fits"
    assert connect["SpecialThing"]["Thing"] == "fits"
    assert connect["Other"]["Thing"] == "no"
    assert connect["Thing"]["Thing?"] == "fits"
    assert connect["int"]["float"] == "fits"
    assert connect["any"]["Thing"] == "unknown"


def test_choices_are_asked_live(weft, home):
    assert weft.choices("toy.widgets", "live") == ["one", "two"]
    assert weft.choices("toy.widgets", "way") == ["up", "down"]
    with pytest.raises(WeftError, match="no such input"):
        weft.choices("toy.widgets", "nothing")


def test_check_gives_every_problem_with_its_place_and_a_form_error_is_one_too(weft):
    bad = document({"up": box("toy.upper", thing="@nowhere"), "x": box("toy.unknown")})
    found = weft.check(bad)
    assert {(p.code, p.where.path) for p in found.problems} == {
        ("graph.link", "up"),
        ("graph.unknown_node", "x"),
    }
    assert [p.code for p in weft.check({"nodes": []}).problems] == ["file.shape"]
    assert weft.check(document(CHAIN)).problems == []


def test_a_plan_says_what_would_run_and_which_seeds_the_next_run_has(weft):
    work = document({"s": box("toy.seeded", seed="random")}, outputs={"out": "s"})
    plan = weft.plan(work)
    assert [(step.path, step.status) for step in plan.steps] == [("s", "run")]
    job = weft.wait(weft.submit(work).id)
    assert job.drawn == plan.drawn == {"s.seed": plan.drawn["s.seed"]}


def test_a_plan_of_a_workflow_that_cannot_be_bound_has_its_problems_and_no_steps(weft):
    plan = weft.plan(document({"up": box("toy.upper", thing="@nowhere")}))
    assert plan.steps == [] and [p.code for p in plan.problems] == ["graph.link"]


def test_settings_are_kept_and_null_forgets(weft, running, servers):
    assert weft.settings({"theme": "dark", "zoom": 2}) == {"theme": "dark", "zoom": 2}
    assert weft.settings({"zoom": None}) == {"theme": "dark"}
    servers.stop(running)
    assert servers.start().client.settings() == {"theme": "dark"}


def test_memory_names_who_holds_what(weft):
    weft.wait(weft.submit(document({"g": box("toy.grid", count=1000)}, outputs={"out": "g"})).id)
    [cpu] = weft.memory().devices
    assert cpu.device == "cpu" and cpu.used >= 4000 and any(one.kind for one in cpu.residents)


def test_memory_is_given_back_on_request_and_the_plan_says_so(weft):
    work = document({"g": box("toy.grid", count=1000)}, outputs={"out": "g"})
    weft.wait(weft.submit(work).id)
    assert [step.status for step in weft.plan(work).steps] == ["hit"]
    with pytest.raises(WeftError, match="nothing is named"):
        weft.free()
    assert weft.free(models=True) == 0, "values are not models"
    assert weft.free(values=True, disk=True) >= 4000
    assert weft.memory().devices[0].used == 0
    assert [step.status for step in weft.plan(work).steps] == ["run"]


def test_the_folders_are_named(weft, home):
    found = {one.what: one.path for one in weft.folders()}
    assert found["output"] == str(home.output) and found["models"] == str(home.roots()[0])


def test_a_wrong_body_is_told_by_the_name_of_its_field(weft, running):
    def post(path, body):
        request = urllib.request.Request(
            running.address.base + path,
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {running.address.token}"},
        )
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request)
        return caught.value.code, json.loads(caught.value.read())["error"]

    status, error = post("/api/jobs", {"workflow": 7})
    assert (status, error["code"]) == (400, "server.request") and "workflow must be an object" in error["message"]
    status, error = post("/api/jobs", {"workflow": {}, "parameter": {}})
    assert status == 400 and "Did you mean 'parameters'?" in error["message"]
    status, error = post("/api/jobs/x/move", {"position": True})
    assert status == 400 and "position must be a whole number" in error["message"]


def test_every_way_to_go_wrong_has_the_one_form_of_errors(running):
    for method, path, status in [
        ("GET", "/api/nothing", 404),
        ("DELETE", "/api/state", 405),
        ("GET", "/api/jobs/none", 404),
        ("GET", "/api/state?colour=red", 400),
        ("GET", "/api/history?limit=many", 400),
    ]:
        request = urllib.request.Request(
            running.address.base + path, method=method, headers={"Authorization": f"Bearer {running.address.token}"}
        )
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request)
        body = json.loads(caught.value.read())
        assert caught.value.code == status, path
        assert set(body) == {"error", "problems"} and body["error"] == body["problems"][0]
        assert set(body["error"]) >= {"code", "message", "severity", "where"}


def test_the_process_says_that_it_is_there_without_a_token(running):
    with urllib.request.urlopen(running.address.base + "/healthz") as reply:
        assert json.loads(reply.read())["ok"] is True
