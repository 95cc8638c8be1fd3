"""A saved workflow is an address: typed parameters, pictures as files, URLs or base64, and a word when it is over."""

import base64
import json
import time
import urllib.error
import urllib.request

import pytest

from engine.client import verify
from engine.errors import WeftError
from engine.server import hooks
from engine.server.config import Config
from engine.server.outside import Outside, is_public
from engine.server.shapes import Batch
from tests.engine.fakes import gate
from tests.engine.flows import box
from tests.engine.server.outer import Outer
from tests.engine.server.painted import document
from tests.engine.server.test_door import Caller, code


@pytest.fixture
def outer():
    made = Outer()
    yield made
    made.close()


@pytest.fixture
def saved(weft):
    return keep(weft)


def keep(weft):
    work = document(
        {
            "open": box("paint.open", name="none.png"),
            "pick": box("paint.pick", picture="@open", side=5),
            "dots": box("paint.dots", seed="random"),
        },
        parameters={
            "picture": {"to": ["open.name"], "label": "Picture", "order": 1},
            "side": {"to": ["pick.side"], "label": "Side", "range": [1, 64], "order": 2, "about": "In pixels."},
            "seed": {"to": ["dots.seed"], "default": "random"},
            "only": {"to": ["pick.only"], "required": True},
        },
        outputs={"image": "pick", "dots": "dots"},
    )
    return weft.save("my/picker", work)


def form(running, path, parts):
    """A multipart request: `{"name": (file name or None, bytes)}`."""
    edge = "edge-of-the-form"
    body = b""
    for name, (file, data) in parts.items():
        more = f'; filename="{file}"' if file else ""
        body += f'--{edge}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + data + b"\r\n"
    body += f"--{edge}--\r\n".encode()
    headers = {
        "Content-Type": f"multipart/form-data; boundary={edge}",
        "Authorization": f"Bearer {running.address.token}",
    }
    request = urllib.request.Request(running.address.base + path, body, headers)
    with urllib.request.urlopen(request, timeout=20) as reply:
        return json.loads(reply.read())


def test_a_workflow_describes_its_parameters_with_types_ranges_and_defaults(weft, saved, picture_file):
    found = weft.endpoint("my/picker")
    rows = {row.name: row for row in found.parameters}
    assert rows["picture"].type == "image" and rows["only"].required
    assert rows["side"].schema == {
        "type": "integer",
        "minimum": 1,
        "maximum": 64,
        "description": "In pixels.",
        "default": 5,
    }
    assert rows["seed"].default == "random" and {"enum": ["random", "increment"]} in rows["seed"].schema["anyOf"]
    assert found.schema["required"] == ["only"] and found.schema["additionalProperties"] is False
    assert found.outputs == {"image": "Picture", "dots": "Picture"}


def test_the_workflow_has_an_openapi_of_its_own(running, saved):
    given = json.loads(Caller(running)("GET", "/api/run/my%2Fpicker/openapi.json")[1])
    [(path, methods)] = given["paths"].items()
    content = methods["post"]["requestBody"]["content"]
    assert path == "/api/run/my%2Fpicker" and set(content) == {"application/json", "multipart/form-data"}
    assert content["multipart/form-data"]["schema"]["properties"]["picture"]["type"] == "string"
    assert given["components"]["schemas"]["Parameters"]["properties"]["side"]["maximum"] == 64


def test_a_picture_comes_as_a_file_of_a_form_with_the_other_parameters_as_text(running, weft, saved, picture_file):
    parts = {"picture": ("red.png", picture_file.read_bytes()), "side": (None, b"7"), "only": (None, b"7")}
    job = form(running, "/api/run/my%2Fpicker?wait", parts)
    assert job["state"] == "succeeded" and job["outputs"]["image"][0]["width"] == 7
    assert job["urls"]["image"] == [f"/api/blobs/{job['outputs']['image'][0]['blob']}"]
    assert job["parameters"]["picture"].startswith("red-")


def test_a_picture_comes_as_base64_or_as_a_data_url_and_the_same_one_is_kept_once(weft, saved, picture_file, home):
    data = base64.b64encode(picture_file.read_bytes()).decode()
    made = [
        weft.run("my/picker", {"picture": picture, "only": 5})
        for picture in ({"base64": data, "name": "p.png"}, f"data:image/png;base64,{data}", picture_file)
    ]
    ended = [weft.wait(job.id) for job in made]
    assert [job.state for job in ended] == ["succeeded"] * 3
    assert ended[0].outputs["image"] == ended[1].outputs["image"]
    before = len(list(home.input.iterdir()))
    weft.run("my/picker", {"picture": picture_file, "only": 5})
    assert len(list(home.input.iterdir())) == before


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"base64": "@@@"}, "no base64"),
        ({"base64": "aGVsbG8="}, "no picture"),
        ("data:image/png,plain", "must be base64"),
        ({"path": "/etc/passwd"}, "a picture is a name"),
        ({"url": "file:///etc/passwd"}, "only http and https"),
        ({"url": "http://127.0.0.1:8118/healthz"}, "not on the public internet"),
        ({"url": "http://localhost/"}, "not on the public internet"),
        ({"url": "http://[::ffff:10.0.0.1]/"}, "not on the public internet"),
        ({"url": "http://169.254.169.254/latest/meta-data"}, "not on the public internet"),
        ({"url": "http://2130706433/"}, "not on the public internet"),
        ({"url": "http://user:pass@example.com/"}, "a name or a password"),
    ],
)
def test_a_picture_that_is_none_or_lies_where_nobody_may_ask_is_refused(weft, saved, value, says):
    with pytest.raises(WeftError) as caught:
        weft.run("my/picker", {"picture": value, "only": 5})
    assert says in str(caught.value) and caught.value.problem.where.path == "picture"
    assert weft.jobs() == []


def test_a_form_with_a_file_for_something_else_is_refused(running, weft, saved):
    with pytest.raises(urllib.error.HTTPError) as caught:
        form(running, "/api/run/my%2Fpicker", {"side": ("a.png", b"x")})
    assert "takes no picture" in json.loads(caught.value.read())["error"]["message"]


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("10.1.2.3", False),
        ("127.0.0.1", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("fd00::1", False),
        ("no address", False),
    ],
)
def test_only_addresses_of_the_public_internet_are_asked(address, public):
    assert is_public(address) is public


def test_a_picture_is_fetched_from_a_host_that_was_allowed_and_not_followed_elsewhere(servers, outer, picture_file):
    weft = servers.start(config=Config(allow_fetch=(outer.host,))).client
    keep(weft)
    outer.pages["/red.png"] = (200, {"Content-Type": "image/png"}, picture_file.read_bytes())
    outer.pages["/moved"] = (302, {"Location": "/red.png"}, b"")
    outer.pages["/astray"] = (302, {"Location": "http://127.0.0.1:1/red.png"}, b"")
    outer.pages["/round"] = (302, {"Location": "/round"}, b"")
    for path in ("/red.png", "/moved"):
        job = weft.wait(weft.run("my/picker", {"picture": {"url": outer.url + path}, "only": 5}).id)
        assert job.state == "succeeded" and job.outputs["image"]
    for path, says in (("/astray", "not on the public"), ("/round", "leads on"), ("/none.png", "answered 404")):
        with pytest.raises(WeftError, match=says):
            weft.run("my/picker", {"picture": {"url": outer.url + path}, "only": 5})


def test_what_is_fetched_is_counted_while_it_comes(servers, outer, monkeypatch):
    import asyncio

    outer.pages["/big"] = (200, {}, b"x" * 200_000)
    outside = Outside([outer.host])
    with pytest.raises(WeftError, match="more than 100,000 bytes"):
        asyncio.run(outside.get(f"{outer.url}/big", 100_000))


def test_a_server_may_be_told_to_fetch_and_to_tell_nothing(servers, outer):
    running = servers.start(config=Config(fetch=False, webhooks=False))
    keep(running.client)
    with pytest.raises(WeftError, match="fetches no pictures"):
        running.client.run("my/picker", {"picture": {"url": "https://example.com/a.png"}, "only": 5})
    with pytest.raises(WeftError, match="tells no webhooks"):
        running.client.submit(document({"m": box("toy.make")}), webhook="https://example.com/hook")


def test_a_batch_may_be_run_by_name(weft, picture_file):
    weft.save(
        "dots",
        document({"dots": box("paint.dots")}, parameters={"seed": {"to": ["dots.seed"]}}, outputs={"image": "dots"}),
    )
    job = weft.wait(weft.run("dots", {"seed": 3}, batch=Batch(2)).id)
    assert [item.set["dots.seed"] for item in job.items] == [3, 4] and len(job.urls["image"]) == 2


# --- webhooks --------------------------------------------------------------------------------------------------------


def test_a_webhook_is_told_once_it_is_over_signed_and_tried_again_until_it_is_taken(servers, outer, monkeypatch, home):
    monkeypatch.setattr(hooks, "BACKOFF", (0.05, 0.05, 0.05))
    weft = servers.start(config=Config(allow_fetch=(outer.host,), base_url="https://weft.example/")).client
    outer.answers = [500, 302]
    job = weft.submit(document({"s": box("paint.square")}, outputs={"o": "s"}), webhook=f"{outer.url}/hook?secret=1")
    weft.wait(job.id)
    end = time.monotonic() + 10
    while len(outer.taken) < 3 and time.monotonic() < end:
        time.sleep(0.02)
    time.sleep(0.3)
    assert len(outer.taken) == 3, "taken once with 200, it is not told again"
    headers, body = outer.taken[-1]
    secret = hooks.secret_of(hooks.load_secret(home.state), "")
    assert headers["X-Weft-Delivery"] == job.id and verify(body, headers["X-Weft-Signature"], secret)
    told = json.loads(body)
    assert told["event"] == "job_finished" and told["job"]["state"] == "succeeded" and "workflow" not in told["job"]
    assert told["job"]["urls"]["o"][0].startswith("https://weft.example/api/blobs/")


def test_a_webhook_that_nobody_takes_is_given_up_and_one_of_a_dead_server_is_told_by_the_next(
    servers, outer, monkeypatch
):
    monkeypatch.setattr(hooks, "BACKOFF", (0.01,))
    config = Config(allow_fetch=(outer.host,))
    first = servers.start(config=config)
    outer.answers = [500] * 9
    work = document({"s": box("paint.square")})
    first.client.wait(first.client.submit(work, webhook=f"{outer.url}/hook").id)
    end = time.monotonic() + 5
    while len(outer.taken) < 2 and time.monotonic() < end:
        time.sleep(0.02)
    time.sleep(0.2)
    assert len(outer.taken) == 2
    outer.answers = []
    job = first.client.submit(
        document({"make": box("toy.make"), "gate": box("toy.gate", thing="@make")}), webhook=f"{outer.url}/later"
    )
    assert gate("gate").reached.wait(10)
    servers.stop(first)
    gate("gate").open.set()
    outer.got.clear()
    second = servers.start(config=config)
    second.client.wait(job.id)
    assert outer.got.wait(10) and json.loads(outer.taken[-1][1])["job"]["id"] == job.id


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8118/api/queue",
        "http://10.0.0.1/",
        "ftp://example.com/",
        "nonsense",
        "https://a@b/",
        "x" * 3000,
    ],
)
def test_a_webhook_to_this_machine_or_its_network_is_refused_at_once(weft, url):
    with pytest.raises(WeftError) as caught:
        weft.submit(document({"m": box("toy.make")}), webhook=url)
    assert caught.value.code in ("server.outside", "server.limit") and weft.jobs() == []


def test_a_signature_of_another_body_secret_or_day_is_not_believed():
    body, secret = b'{"a": 1}', "s" * 32
    good = hooks.sign(secret, body, 1000)
    assert verify(body, good, secret, now=1100)
    assert not verify(b'{"a": 2}', good, secret, now=1100)
    assert not verify(body, good, "t" * 32, now=1100)
    assert not verify(body, good, secret, now=1400)
    assert not verify(body, "nonsense", secret) and not verify(body, "t=1,v1=\u00fc", secret, now=1)


def test_the_secret_of_webhooks_is_its_owners_alone(home):
    import os
    import stat

    first = hooks.load_secret(home.state)
    assert hooks.load_secret(home.state) == first and len(first) >= 32
    if os.name != "nt":
        assert stat.S_IMODE((home.state / "webhook_secret").stat().st_mode) == 0o600
    assert hooks.secret_of(first, "ann") != hooks.secret_of(first, "bob")


def test_a_body_that_is_neither_json_nor_a_form_is_not_taken(running, weft, saved):
    call = Caller(running)
    assert code(call("POST", "/api/run/my%2Fpicker", raw=b"a=1", Content_Type="text/plain")) == (415, "server.type")
