"""Events: resumed without a gap, volatile ones newest only, and nobody slows anybody else."""

import asyncio
import contextlib
import json
import socket
import time

import aiohttp
import pytest

from engine.errors import WeftError
from engine.server.hub import TOO_SLOW, Hub, frame, unframe
from tests.engine.fakes import gate
from tests.engine.flows import box
from tests.engine.server.painted import document

SQUARE = document({"square": box("paint.square")}, outputs={"image": "square"})


class Listener:
    """What a client's connection got."""

    def __init__(self):
        self.got = []

    async def __call__(self, message):
        self.got.append(message)

    @property
    def events(self):
        return [json.loads(message) for message in self.got if isinstance(message, str)]


async def pumped(client, seconds=0.05):
    """What a client is sent within some time."""
    listener = Listener()
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(client.pump(listener), seconds)
    return listener


def test_durable_events_come_in_order_and_without_a_gap():
    async def scene():
        hub = Hub()
        client = hub.join()
        for turn in range(100):
            hub.publish({"event": "x", "turn": turn})
        return (await pumped(client)).events

    hello, *events = asyncio.run(scene())
    assert hello["event"] == "hello" and hello["seq"] == 0
    assert [event["seq"] for event in events] == list(range(1, 101))


@pytest.mark.parametrize(
    ("epoch", "since", "mode", "first"),
    [
        ("same", 7, "resumed", 8),
        ("same", 10, "resumed", None),
        ("same", 6, "resumed", 7),
        ("same", 5, "snapshot", None),  # beyond the ring
        ("same", 11, "snapshot", None),  # from a future
        ("same", None, "snapshot", None),
        ("other", 8, "snapshot", None),
    ],
)
def test_who_comes_back_gets_what_it_missed_or_is_told_to_look_at_the_snapshot(epoch, since, mode, first):
    async def scene():
        hub = Hub(ring=4)
        for turn in range(10):
            hub.publish({"event": "x", "turn": turn})
        client = hub.join(hub.epoch if epoch == "same" else epoch, since)
        return (await pumped(client)).events

    hello, *events = asyncio.run(scene())
    assert (hello["mode"], hello["seq"]) == (mode, 10)
    assert (events[0]["seq"] if events else None) == first
    assert not events or [event["seq"] for event in events] == list(range(first, 11))


def test_of_a_volatile_key_only_the_newest_is_sent_about_ten_times_a_second():
    async def scene():
        hub = Hub()
        client = hub.join()
        listener = Listener()
        pump = asyncio.create_task(client.pump(listener))
        for turn in range(50):
            hub.flash(("job", "a", "progress"), json.dumps({"key": "a", "turn": turn}))
            hub.flash(("job", "b", "progress"), json.dumps({"key": "b", "turn": turn}))
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.15)
        pump.cancel()
        return listener.events[1:]

    events = asyncio.run(scene())
    for key in "ab":
        turns = [event["turn"] for event in events if event["key"] == key]
        assert turns == sorted(turns) and turns[-1] == 49
        assert 2 <= len(turns) <= 10


def test_nothing_volatile_of_a_step_is_sent_after_it_is_over():
    async def scene():
        hub = Hub()
        client = hub.join()
        hub.flash(("job", "a", "progress"), "old")
        hub.flash(("job", "b", "progress"), "still going")
        hub.forget("job", "a")
        hub.publish({"event": "step_finished", "job": "job", "path": "a"})
        return (await pumped(client)).got[1:]

    sent = asyncio.run(scene())
    assert len(sent) == 2 and "step_finished" in sent[0] and sent[1] == "still going"


def test_a_client_that_does_not_read_is_cut_and_the_others_get_everything():
    async def scene():
        hub = Hub(queue=50)
        slow, healthy = hub.join(), hub.join()
        listener = Listener()

        async def never(message):
            await asyncio.Event().wait()

        stuck = asyncio.create_task(slow.pump(never))
        pump = asyncio.create_task(healthy.pump(listener))
        for turn in range(150):
            hub.publish({"event": "x", "turn": turn})
            await asyncio.sleep(0)
        await asyncio.wait([stuck], timeout=2)
        await asyncio.sleep(0.05)
        pump.cancel()
        return slow, stuck.done(), listener.events[1:]

    slow, ended, events = asyncio.run(scene())
    assert [event["turn"] for event in events] == list(range(150))
    assert slow.too_slow and ended and slow.waiting == 0, "nothing piles up for it"


def test_a_binary_message_says_what_it_is():
    kind, header, body = unframe(frame(1, {"job": "j", "mime": "image/jpeg"}, b"\xff\xd8..."))
    assert (kind, header, body) == (1, {"job": "j", "mime": "image/jpeg"}, b"\xff\xd8...")
    for bad in (b"", b"\x02\x01\x00\x00", b"\x01\x01\x00\x09{"):
        with pytest.raises(WeftError):
            unframe(bad)


def test_events_resume_over_a_connection_that_was_lost(weft, running):
    first = weft.wait(weft.submit(SQUARE).id)
    seen = []
    for event in weft.events():
        seen.append(event)
        break
    epoch, since = seen[0]["epoch"], seen[0]["seq"]
    second = weft.wait(weft.submit(document({"o": box("toy.other")}, outputs={"o": "o"})).id)
    missed = []
    for event in weft.events(since, epoch):
        missed.append(event)
        if event["event"] == "job_finished":
            break
    assert missed[0]["mode"] == "resumed"
    assert [event["seq"] for event in missed[1:]] == list(range(since + 1, since + len(missed)))
    assert {event["job"] for event in missed[1:]} == {second.id} and first.id != second.id


def test_previews_are_binary_and_made_only_while_somebody_watches(weft, running, monkeypatch):
    steps = {"s": box("paint.square", side=8), "slow": box("paint.slow", picture="@s", steps=3)}
    made = []
    diary = running.server.house
    weft.state()
    frames = []
    import engine.server.diary as room

    real = room.frame
    monkeypatch.setattr(room, "frame", lambda *args: made.append(1) or real(*args))
    job = weft.submit(document(steps, outputs={"o": "slow"}))
    assert gate("slow").reached.wait(10)
    time.sleep(0.1)
    gate("slow").open.set()
    weft.wait(job.id)
    assert made == [] and diary.hub.watched is False
    gate("slow").open.clear()
    gate("slow").reached.clear()
    steps["s"] = box("paint.square", side=9)
    weft.queue(paused=True)
    job = weft.submit(document(steps, outputs={"o": "slow"}))
    for event in weft.events(previews=True):
        if event["event"] == "hello":
            weft.queue(paused=False)
        if event["event"] == "step_preview":
            frames.append(event)
            gate("slow").open.set()
        if event["event"] == "job_finished":
            break
    assert frames and frames[0]["image"].startswith(b"\xff\xd8") and frames[0]["mime"] == "image/jpeg"
    assert (frames[0]["job"], frames[0]["path"], frames[0]["total"]) == (job.id, "slow", 3)


def test_a_socket_that_never_reads_is_closed_and_jobs_go_on(servers):
    running = servers.start()
    hub = running.server.house.hub
    running.client.state()
    hub.queue = 200
    where = (running.address.host, running.address.port)
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect(where)
    raw.sendall(
        f"GET /ws HTTP/1.1\r\nHost: {where[0]}:{where[1]}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        f"Authorization: Bearer {running.address.token}\r\n\r\n".encode()
    )
    end = time.monotonic() + 10
    while not hub.clients and time.monotonic() < end:
        time.sleep(0.01)
    assert len(hub.clients) == 1
    text = "x" * 20_000
    while hub.clients and time.monotonic() < end:
        running.do(lambda: [hub.publish({"event": "filler", "text": text}) for _ in range(20)])
        time.sleep(0.02)
    assert not hub.clients, "it is still there"
    assert running.client.wait(running.client.submit(SQUARE).id).state == "succeeded"
    raw.close()


def test_a_slow_client_is_told_why_it_was_cut(running):
    hub = running.server.house.hub

    async def scene():
        headers = {"Authorization": f"Bearer {running.address.token}"}
        async with aiohttp.ClientSession(headers=headers) as http, http.ws_connect(running.address.base + "/ws") as ws:
            assert (await ws.receive_json())["event"] == "hello"
            running.do(lambda: setattr(hub, "queue", 0))
            running.do(lambda: hub.publish({"event": "one too many"}))
            while not ws.closed:
                await ws.receive()
            return ws.close_code

    assert asyncio.run(scene()) == TOO_SLOW
