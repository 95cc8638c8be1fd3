"""The client: both forms say the same, refusals are the server's own words, events go on over lost connections."""

import asyncio
import inspect
import socket
import time

import pytest

from engine.client import AsyncClient, Client, document, problem_of
from engine.errors import WeftError, fail
from engine.server.codec import decode
from engine.server.shapes import ProblemShape
from engine.workflow import from_json
from tests.engine.fakes import gate
from tests.engine.flows import box, flow

SQUARE = flow({"square": box("paint.square")}, outputs={"image": "square"})


def methods(kind):
    found = inspect.getmembers(kind, inspect.isfunction)
    return {name: inspect.signature(thing) for name, thing in found if not name.startswith("_")}


def test_what_one_form_can_the_other_can_with_the_same_arguments():
    waits, awaited = methods(Client), methods(AsyncClient)
    awaited.pop("send")
    assert set(waits) == set(awaited)
    for name, signature in waits.items():
        assert list(signature.parameters.values()) == list(awaited[name].parameters.values()), name


def test_a_workflow_may_be_given_as_one_or_as_its_document(weft):
    assert document(SQUARE) == document(document(SQUARE))
    one, two = (weft.wait(weft.submit(form).id) for form in (SQUARE, document(SQUARE)))
    assert one.outputs == two.outputs and from_json(two.workflow) == SQUARE


def test_a_refusal_is_raised_with_the_servers_own_problem_place_and_mend(weft):
    with pytest.raises(WeftError) as caught:
        weft.submit(flow({"a": box("toy.make", txt="x")}))
    problem = caught.value.problem
    assert (problem.code, problem.where.path, problem.where.socket) == ("graph.unknown_input", "a", "txt")
    assert "Did you mean 'text'?" in problem.message


def test_a_problem_survives_the_way_over_the_wire():
    first = fail("graph.type", "no", mend="do", edits=[{"unset": "a.b"}], path="a", socket="b").problem
    assert problem_of(decode(ProblemShape, first.to_json())) == first
    newer = {**first.to_json(), "code": "graph.of_tomorrow"}
    assert problem_of(decode(ProblemShape, newer)).code == "server.failed"


@pytest.mark.parametrize("address", ["", "127.0.0.1:8118", "ftp://x", "http://"])
def test_an_address_that_is_none_is_one_line(address):
    with pytest.raises(WeftError, match="is no address"):
        Client(address)


def test_a_server_that_is_gone_is_named_with_the_way_out():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    before = time.monotonic()
    with Client(f"http://127.0.0.1:{port}/?token=t") as weft, pytest.raises(WeftError) as caught:
        weft.state()
    assert caught.value.code == "server.unreachable" and "weft serve" in str(caught.value)
    assert time.monotonic() - before < 10


def test_a_wrong_token_ends_the_events_in_place_of_trying_for_ever(running):
    with Client(running.address.base, "not the token") as weft:
        with pytest.raises(WeftError) as caught:
            next(weft.events())
        assert caught.value.code == "server.auth"


def test_events_go_on_when_the_server_comes_back(servers):
    first = servers.start()
    port = first.address.port

    async def listen(seen, back):
        async with AsyncClient(first.address.url) as weft:
            async for event in weft.events():
                seen.append(event)
                if [one["event"] for one in seen].count("hello") == 2:
                    back.set()
                    return

    async def scene():
        seen, back = [], asyncio.Event()
        listening = asyncio.create_task(listen(seen, back))
        while not seen:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(servers.stop, first)
        await asyncio.to_thread(servers.start, port=port)
        await asyncio.wait_for(listening, 15)
        return [event for event in seen if event["event"] == "hello"]

    before, after = asyncio.run(scene())
    assert after["mode"] == "snapshot" and after["epoch"] != before["epoch"]


def test_a_job_that_is_over_is_followed_to_its_one_last_event(weft):
    job = weft.wait(weft.submit(SQUARE).id)
    [last] = weft.follow(job.id)
    assert (last["event"], last["state"]) == ("job_finished", "succeeded")
    assert last["outputs"]["image"][0]["blob"] == job.outputs["image"][0].blob


def test_who_begins_to_follow_late_still_gets_the_diary_from_the_first(weft):
    nodes = {"make": box("toy.make"), "gate": box("toy.gate", thing="@make")}
    job = weft.submit(flow(nodes, outputs={"out": "gate"}))
    assert gate("gate").reached.wait(10)
    kinds = []
    for event in weft.follow(job.id):
        kinds.append(event["event"])
        gate("gate").open.set()
    durable = [kind for kind in kinds if kind != "step_progress"]
    assert durable[:4] == ["job_queued", "job_started", "planned", "step_started"] and durable[-1] == "job_finished"
