"""Jobs: accepted once, in order, with events that begin after the reply and end exactly once."""

import asyncio
import json
import time
import urllib.error
import urllib.request

import pytest
from aiohttp import web

from engine.errors import WeftError
from engine.events import TERMINAL
from tests.engine import toys
from tests.engine.fakes import gate
from tests.engine.flows import box
from tests.engine.server.painted import document

SQUARE = {"square": box("paint.square", colour="red", side=8)}
PAINT = {**SQUARE, "save": box("paint.save", picture="@square")}
WAITS = {"make": box("toy.make"), "gate": box("toy.gate", thing="@make")}


def blocked(name, text="a"):
    """A job that stands before a gate."""
    return document({"make": box("toy.make", text=text), "gate": box("toy.gate", thing="@make", name=name)})


def stalled(weft, count=2):
    """As many jobs as run at once, all before their gates."""
    jobs = [weft.submit(blocked(f"g{turn}", str(turn))) for turn in range(count)]
    assert gate("g0").reached.wait(10)
    return jobs


def diary(weft, work, **more):
    return list(weft.follow(weft.submit(work, **more).id))


def test_a_job_runs_and_its_outputs_are_pictures_by_content(weft):
    job = weft.wait(weft.submit(document(PAINT, outputs={"image": "square"})).id)
    assert job.state == "succeeded" and job.files == ["square.png"] and job.fraction == 1.0
    [blob] = job.outputs["image"]
    assert (blob.width, blob.height) == (8, 8)
    data = weft.picture(blob)
    assert data.startswith(b"\x89PNG") and weft.picture(blob, 64)[8:12] == b"WEBP"


def test_plain_outputs_are_values(weft):
    work = document({"make": box("toy.make", text="abc"), "n": box("toy.length", thing="@make")}, outputs={"n": "n"})
    assert weft.wait(weft.submit(work).id).values == {"n": 3}


def test_a_job_that_was_run_before_gives_its_pictures_again_without_running(weft):
    work = document(PAINT, outputs={"image": "square"})
    first = weft.wait(weft.submit(work).id)
    again = weft.wait(weft.submit(work).id)
    assert toys.COUNT["square"] == 1
    assert again.outputs == first.outputs and again.files == ["square.png"]


def test_every_output_that_can_be_seen_is_told_with_its_pictures(weft, running):
    weft.queue(paused=True)
    job = weft.submit(document(SQUARE, outputs={"image": "square"}))
    seen = []
    for event in weft.events(0, running.server.house.hub.epoch):
        seen.append(event)
        if event["event"] == "job_queued":
            weft.queue(paused=False)
        if event["event"] == "job_finished":
            break
    shown = [event for event in seen if event["event"] == "step_pictures"]
    assert [(e["job"], e["path"], e["output"]) for e in shown] == [(job.id, "square", "out")]
    assert shown[0]["pictures"][0]["width"] == 8
    kinds = [event["event"] for event in seen if event.get("job") == job.id]
    assert kinds.index("step_pictures") == kinds.index("step_finished") + 1


def test_no_event_of_a_job_comes_before_the_reply_to_its_post(weft, running):
    hub = running.server.house.hub
    before = weft.state().seq
    replied = []
    write = web.Response.write_eof

    async def late(self, *args):
        if self.status == 201:
            await asyncio.sleep(0.1)
            replied.append(hub.seq)
        return await write(self, *args)

    web.Response.write_eof = late
    try:
        job = weft.submit(document(SQUARE, outputs={"o": "square"}))
    finally:
        web.Response.write_eof = write
    weft.wait(job.id)
    assert replied[0] == before, "events were published while the reply was being written"
    assert hub.seq > before


def test_exactly_one_terminal_event_and_the_history_is_readable_before_it(weft, running):
    work = document({"make": box("toy.make"), "bad": box("toy.fail", thing="@make")}, outputs={"out": "bad"})
    seen = []
    job = weft.submit(work)
    for event in weft.events(0, running.server.house.hub.epoch):
        if event.get("job") == job.id:
            seen.append(event["event"])
            if event["event"] == "job_finished":
                assert weft.history()[0].id == job.id
                assert event["state"] == "failed" and event["problems"][0]["code"] == "node.raised"
                break
    time.sleep(0.1)
    numbers = running.do(lambda: [json.loads(text) for _, text, _ in running.server.house.hub._ring])
    assert [e["event"] for e in numbers if e.get("job") == job.id].count("job_finished") == 1


def test_what_is_wrong_with_the_file_is_told_at_once_and_nothing_is_queued(weft):
    with pytest.raises(WeftError) as caught:
        weft.submit(document({"up": box("toy.upper", thing="@nowhere")}))
    assert caught.value.code == "graph.link" and caught.value.problem.where.path == "up"
    assert weft.jobs() == []


def test_the_same_key_gives_the_same_job_and_another_request_under_it_is_refused(weft):
    first = weft.submit(document(SQUARE), key="once")
    assert weft.submit(document(SQUARE), key="once").id == first.id
    weft.wait(first.id)
    assert weft.submit(document(SQUARE), key="once").id == first.id
    with pytest.raises(WeftError, match="used for another request"):
        weft.submit(document({"o": box("toy.other")}), key="once")
    assert len(weft.jobs()) == 1


def test_the_same_key_at_the_same_moment_is_still_one_job(running):
    from engine.client import AsyncClient

    async def both():
        async with AsyncClient(running.address.url) as weft:
            return await asyncio.gather(*(weft.submit(document(SQUARE), key="twin") for _ in range(8)))

    assert len({job.id for job in asyncio.run(both())}) == 1


def test_a_queued_job_can_be_moved_and_runs_in_its_new_place(weft):
    running_jobs = stalled(weft)
    a, b, c = (weft.submit(document({"m": box("toy.make", text=text)})) for text in "abc")
    assert [weft.job(j.id).position for j in (a, b, c)] == [0, 1, 2]
    assert weft.move(c.id, 0).position == 0
    assert [job.id for job in weft.state().queue.jobs] == [*(j.id for j in running_jobs), c.id, a.id, b.id]
    with pytest.raises(WeftError, match="only a queued job"):
        weft.move(running_jobs[0].id, 0)
    for turn in range(2):
        gate(f"g{turn}").open.set()
    ends = [weft.wait(job.id).started for job in (c, a, b)]
    assert ends == sorted(ends)


def test_paused_means_that_nothing_new_starts_and_clear_cancels_what_waits(weft):
    assert weft.queue(paused=True).paused
    jobs = [weft.submit(document({"m": box("toy.make", text=t)})) for t in "ab"]
    time.sleep(0.1)
    assert [weft.job(j.id).state for j in jobs] == ["queued", "queued"]
    assert weft.queue(clear=True).jobs == []
    assert [weft.job(j.id).state for j in jobs] == ["cancelled", "cancelled"]
    weft.queue(paused=False)
    assert weft.wait(weft.submit(document(SQUARE)).id).state == "succeeded"


def test_cancel_stops_a_running_job_and_ends_a_queued_one_at_once(weft):
    first, second = stalled(weft)
    third = weft.submit(document(SQUARE))
    assert weft.cancel(third.id).state == "cancelled"
    weft.cancel(first.id)
    assert weft.wait(first.id).state == "cancelled"
    gate("g1").open.set()
    assert weft.wait(second.id).state == "succeeded"
    assert weft.cancel(second.id).state == "succeeded", "what is over stays as it is"


def test_wait_replies_at_the_end_and_gives_the_picture_to_who_wants_one(weft, running):
    def post(accept, nodes):
        request = urllib.request.Request(
            f"{running.address.base}/api/jobs?wait",
            json.dumps({"workflow": document(nodes, outputs={"image": list(nodes)[-1]})}).encode(),
            {
                "Content-Type": "application/json",
                "Authorization": f"Bearer {running.address.token}",
                "Accept": accept,
            },
        )
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.headers["Content-Type"], reply.read()

    kind, data = post("image/png", SQUARE)
    assert kind == "image/png" and data.startswith(b"\x89PNG")
    kind, data = post("application/json", SQUARE)
    assert kind.startswith("application/json") and json.loads(data)["state"] in TERMINAL
    with pytest.raises(urllib.error.HTTPError) as caught:
        post("image/png", {"make": box("toy.make"), "bad": box("toy.fail", thing="@make")})
    assert caught.value.code == 422 and json.loads(caught.value.read())["error"]["code"] == "node.raised"


def test_a_picture_that_cannot_be_painted_harms_nothing_else(weft):
    job = weft.wait(weft.submit(document({"shy": box("paint.shy"), **PAINT}, outputs={"o": "shy", "i": "square"})).id)
    assert job.state == "succeeded" and set(job.outputs) == {"i"}


def test_the_fraction_never_goes_back(weft):
    steps = {"s": box("paint.square"), "slow": box("paint.slow", picture="@s", steps=4)}
    job = weft.submit(document(steps, outputs={"o": "slow"}))
    assert gate("slow").reached.wait(10)
    seen = [weft.job(job.id).fraction]
    while seen[-1] == 0 and len(seen) < 500:
        time.sleep(0.01)
        seen.append(weft.job(job.id).fraction)
    gate("slow").open.set()
    seen.append(weft.wait(job.id).fraction)
    assert seen == sorted(seen) and 0 < seen[-2] < seen[-1] == 1


def test_history_is_newest_first_in_pages_and_forgetting_deletes_pictures_nobody_holds(weft):
    jobs = [weft.wait(weft.submit(document({"s": box("paint.square", side=n)}, outputs={"o": "s"})).id) for n in (2, 3)]
    twin = weft.wait(weft.submit(document({"s": box("paint.square", side=3)}, outputs={"o": "s"})).id)
    page = weft.history(limit=2)
    assert [job.id for job in page] == [twin.id, jobs[1].id]
    assert [job.id for job in weft.history(before=page[-1].finished)] == [jobs[0].id]
    assert page[0].workflow["nodes"]["s"]["inputs"] == {"side": 3}
    weft.forget(jobs[0].id)
    weft.forget(twin.id)
    assert weft.picture(jobs[1].outputs["o"][0]), "another job holds it still"
    with pytest.raises(WeftError, match="no picture"):
        weft.picture(jobs[0].outputs["o"][0])
    with pytest.raises(WeftError, match="no job"):
        weft.job(twin.id)
