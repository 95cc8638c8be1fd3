"""The attacks: each line of docs/security.md is one of these rules."""

import contextlib
import http.client
import json
import os
import re
import socket
import stat
import struct
import zlib
from pathlib import Path

import pytest

from engine.errors import WeftError
from engine.server import uploads
from engine.server.door import Door, load_token, split_host
from engine.server.main import is_loopback
from engine.server.routes import ROUTES
from tests.engine.flows import box
from tests.engine.server.painted import document, png

JSON = "application/json"


class Caller:
    """Requests with every header in our own hands."""

    def __init__(self, running):
        self.address = running.address
        self.host = f"127.0.0.1:{self.address.port}"

    def __call__(self, method, path, body=None, *, host=None, token=True, raw=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.address.port, timeout=20)
        data = raw if raw is not None else json.dumps(body).encode() if body is not None else None
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        every = {"Host": self.host if host is None else host}
        if data is not None:
            every |= {"Content-Type": JSON, "Content-Length": str(len(data))}
        if token:
            every["Authorization"] = f"Bearer {self.address.token}"
        every |= {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in every.items():
            if value is not None:
                connection.putheader(name, value)
        with contextlib.suppress(ConnectionError):  # refused before all of it was read
            connection.endheaders(data)
        reply = connection.getresponse()
        text = reply.read()
        connection.close()
        return reply.status, text, reply.headers


@pytest.fixture
def call(running):
    running.client.state()
    return Caller(running)


def code(reply):
    return reply[0], json.loads(reply[1])["error"]["code"]


# --- who asks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8118", "127.0.0.1.evil.example", "", "localhost@evil.example", "[::1", "a b"]
)
def test_a_foreign_host_is_refused_so_that_a_name_cannot_be_rebound_to_us(call, host):
    assert code(call("GET", "/api/state", host=host)) == (403, "server.origin")
    assert code(call("GET", "/healthz", host=host, token=False)) == (403, "server.origin")


def test_the_names_of_the_loopback_and_those_that_were_allowed_are_ours(servers):
    running = servers.start(hosts=["studio.lan"])
    running.client.state()
    call = Caller(running)
    for name in ("localhost", "127.0.0.1", "[::1]", "STUDIO.lan"):
        assert call("GET", "/api/state", host=f"{name}:{running.address.port}")[0] == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost", "file://"]
)
def test_a_request_from_another_origin_is_refused_even_with_the_token(call, origin):
    work = {"workflow": document({"m": box("toy.make")})}
    assert code(call("POST", "/api/jobs", work, Origin=origin)) == (403, "server.origin")
    assert code(call("GET", "/api/state", Origin=origin)) == (403, "server.origin")
    assert json.loads(call("GET", "/api/jobs")[1])["jobs"] == []


def test_our_own_origin_is_welcome(call):
    assert call("GET", "/api/state", Origin=f"http://{call.host}")[0] == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_browser_that_says_the_request_comes_from_elsewhere_is_believed(call, site):
    assert code(call("GET", "/api/state", Sec_Fetch_Site=site)) == (403, "server.origin")
    assert code(call("GET", "/api/state", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate")) == (403, "server.origin")
    followed = call("GET", f"/?token={call.address.token}", token=False, Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate")
    assert followed[0] == 303, "the printed address may be clicked anywhere"


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_a_socket_from_a_foreign_origin_is_refused(call, origin):
    upgrade = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec_WebSocket_Version": "13",
    }
    assert code(call("GET", "/ws", Origin=origin, **upgrade)) == (403, "server.origin")
    assert code(call("GET", "/ws", token=False, **upgrade)) == (401, "server.auth")


# --- the token -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given", [None, "Bearer ", "Bearer wrong", "Basic dXNlcjpwYXNz", "Bearer \u00fc", "bearer", "Bearer " + "x" * 7000]
)
def test_without_the_token_there_is_nothing(call, given):
    given = given.encode("latin-1").decode("latin-1") if given else None
    for method, path in [("GET", "/api/state"), ("GET", "/"), ("GET", "/api/openapi.json"), ("GET", "/api/none")]:
        assert code(call(method, path, token=False, Authorization=given)) == (401, "server.auth")


def test_the_printed_address_sets_a_cookie_that_scripts_cannot_read_and_is_not_the_token(call):
    status, _, headers = call("GET", f"/?token={call.address.token}&open=x", token=False)
    cookie = headers["Set-Cookie"]
    assert status == 303 and headers["Location"] == "/?open=x"
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and call.address.token not in cookie
    assert call("GET", "/api/state", token=False, Cookie=cookie.partition(";")[0])[0] == 200
    name, _, value = cookie.partition(";")[0].partition("=")
    assert call("GET", "/api/state", token=False, Cookie=f"{name}={value[:-1]}x")[0] == 401
    assert call("GET", "/?token=wrong", token=False)[0] == 401
    assert call("GET", f"/api/state?token={call.address.token}", token=False)[0] == 401, "only a page may bring it"


def test_a_person_without_the_token_is_told_what_to_do(call):
    status, page, _ = call("GET", "/", token=False, Accept="text/html")
    assert status == 401 and b"weft serve" in page


def test_the_token_is_kept_for_its_owner_alone_and_can_be_changed(tmp_path, monkeypatch):
    monkeypatch.delenv("WEFT_TOKEN", raising=False)
    first = load_token(tmp_path)
    assert load_token(tmp_path) == first and len(first) >= 32
    if os.name != "nt":
        assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    second = load_token(tmp_path, rotate=True)
    assert second != first and Door(first).cookie != Door(second).cookie
    monkeypatch.setenv("WEFT_TOKEN", "short")
    with pytest.raises(WeftError, match="fewer than 16"):
        load_token(tmp_path)


# --- forms of other pages, and what answers say ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None])
def test_a_body_that_a_form_of_another_page_could_send_is_not_taken(call, kind):
    work = {"workflow": document({"m": box("toy.make")})}
    assert code(call("POST", "/api/jobs", work, Content_Type=kind)) == (415, "server.type")
    assert code(call("POST", "/api/queue", {"clear": True}, Content_Type=kind)) == (415, "server.type")
    if kind != "multipart/form-data":
        assert code(call("POST", "/api/uploads", {}, Content_Type=kind)) == (415, "server.type")


@pytest.mark.parametrize("path", ["/", "/api/state", "/api/none", "/healthz"])
def test_every_answer_forbids_foreign_scripts_sniffing_and_frames(call, path):
    headers = call("GET", path)[2]
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy and "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
    assert "Access-Control-Allow-Origin" not in headers and "Server" not in headers


def test_an_error_of_the_server_says_nothing_of_its_inside(call, running, monkeypatch):
    monkeypatch.setattr(running.server.house.library, "rows", lambda: 1 / 0)
    status, text, _ = call("GET", "/api/workflows")
    assert status == 500 and b"division" not in text and b"Traceback" not in text


# --- paths -----------------------------------------------------------------------------------------------------------

ESCAPES = [
    "../secret.png",
    "..%2fsecret.png",
    "%2e%2e/secret.png",
    "%2e%2e%2fsecret.png",
    "a/../../secret.png",
    "..%5csecret.png",
    "%2fetc/passwd.png",
    "/etc/passwd.png",
    "C:/secret.png",
    "C:%5csecret.png",
    "~/secret.png",
    "secret.png%00.png",
    "con.png",
    "link.png",
    "folder/secret.png",
    ".hidden.png",
    "%252e%252e/secret.png",
]


@pytest.mark.parametrize("place", ["input", "output"])
def test_no_name_of_a_file_leads_out_of_its_folder(call, home, tmp_path, place):
    folder = getattr(home, place)
    folder.mkdir(parents=True)
    secret = png(tmp_path / "secret.png", (3, 3), "red")
    png(folder.parent / "secret.png", (3, 3), "red")
    png(folder / ".hidden.png", (3, 3), "red")
    (folder / "link.png").symlink_to(secret)
    (folder / "folder").symlink_to(tmp_path, target_is_directory=True)
    for name in ESCAPES:
        status, text, _ = call("GET", f"/api/files/{place}/{name}")
        assert status in (400, 404) and b"PNG" not in text, name


def test_no_name_of_a_workflow_leads_out_of_its_folder(call, home, tmp_path):
    home.workflows.mkdir(parents=True)
    text = json.dumps(document({"m": box("toy.make", text="secret")}))
    for folder in (tmp_path, home.home):
        (folder / "secret.json").write_text(text)
    (home.workflows / "link.json").symlink_to(tmp_path / "secret.json")
    (home.workflows / "folder").symlink_to(tmp_path, target_is_directory=True)
    for name in [name.replace(".png", "") for name in ESCAPES]:
        for method, path, body in [
            ("GET", f"/api/workflows/{name}", None),
            ("GET", f"/api/workflows/{name}/thumbnail", None),
            ("DELETE", f"/api/workflows/{name}", None),
            ("GET", f"/api/workflows/template:{name}", None),
            ("POST", f"/api/run/{name}", {}),
            ("PUT", f"/api/workflows/{name}", {"workflow": document({})}),
        ]:
            status, reply, _ = call(method, path, body)
            made = method == "PUT" and status == 200 and "%25" in name  # a name with a percent sign is only odd
            assert made or status in (400, 404, 405), (method, path, reply)
            assert b'"secret"' not in reply
    assert (tmp_path / "secret.json").read_text() == (home.home / "secret.json").read_text() == text


def test_a_hash_is_a_hash(call):
    for name in ("../jobs", "..%2fjobs.sqlite", "0" * 31, "0" * 31 + "G", "%00" * 32, "a" * 5000):
        assert call("GET", f"/api/blobs/{name}")[0] in (400, 404), name
        assert call("GET", f"/api/blobs/{name}?size=128")[0] in (400, 404), name


def test_a_page_is_a_file_of_the_editor(call):
    for name in ("../api.md", "%2e%2e/pyproject.toml", "assets/../../package.json", "index.html%00"):
        status, text, _ = call("GET", f"/{name}")
        assert status in (200, 400, 404) and b"[project]" not in text and b'"dependencies"' not in text, name


# --- uploads ---------------------------------------------------------------------------------------------------------


def multipart(data, name="x.png", field="file"):
    head = f'--B\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'
    return head.encode() + data + b"\r\n--B--\r\n"


def send(call, data, path="/api/uploads", **more):
    return call("POST", path, raw=multipart(data, **more), Content_Type="multipart/form-data; boundary=B")


def bomb(width, height):
    """A PNG that says it is huge, in a few bytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 10**6))
        + chunk(b"IEND", b"")
    )


NO_PICTURES = [
    b"",
    b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
    b"<html><script>alert(1)</script></html>",
    b"GIF89a<script>alert(1)</script>",
    b"%PDF-1.4",
    b"\x80\x04\x95pickle.",
    b"PK\x03\x04" + b"\0" * 100,
    bomb(60_000, 60_000),
    bomb(2**31 - 1, 2**31 - 1),
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
]


def test_only_a_picture_that_can_be_opened_is_kept(call, home):
    for data in NO_PICTURES:
        assert code(send(call, data)) == (422, "media.format"), data[:40]
    assert not home.input.exists()


def test_an_upload_that_is_too_large_is_cut_off(call, home, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_BYTES", 100_000)
    assert code(send(call, b"\x89PNG" + b"\0" * 200_000)) == (413, "server.limit")
    assert not home.input.exists()


def test_a_picture_is_sent_back_as_what_it_is_and_never_as_a_page(call, home, picture_file):
    name = json.loads(send(call, picture_file.read_bytes(), name="page.html")[1])["name"]
    assert name == "page.png"
    assert call("GET", f"/api/files/input/{name}")[2]["Content-Type"] == "image/png"
    (home.input / "evil.html").write_text("<script>")
    (home.input / "evil.svg").write_text("<svg>")
    for other in ("evil.html", "evil.svg"):
        assert call("GET", f"/api/files/input/{other}")[0] == 404


def test_an_upload_goes_nowhere_but_into_the_input_folder(call, picture_file):
    body = b'--B\r\nContent-Disposition: form-data; name="place"\r\n\r\noutput\r\n' + multipart(
        picture_file.read_bytes()
    )
    reply = call("POST", "/api/uploads", raw=body, Content_Type="multipart/form-data; boundary=B")
    assert code(reply) == (400, "server.request")


def test_a_damaged_form_is_refused(call):
    for body in (b"", b"--B", b"--B\r\n\r\n--B--", b"nothing", multipart(b"x", field="other")):
        for kind in ("multipart/form-data; boundary=B", "multipart/form-data", "multipart/form-data; boundary="):
            assert code(call("POST", "/api/uploads", raw=body, Content_Type=kind)) == (400, "server.request"), body


# --- workflows -------------------------------------------------------------------------------------------------------


HOSTILE = [
    b"",
    b"{",
    b"[" * 100_000,
    b'{"a":' * 5_000,
    b'{"workflow": {}, "workflow": {}}',
    b'{"workflow": {"weft": NaN}}',
    b'{"workflow": {"weft": 1e999}}',
    b'{"workflow": {"weft": ' + b"9" * 5000 + b"}}",
    b"\xff\xfe{}",
    b'"text"',
    b"null",
]


def test_hostile_json_is_one_clear_line(call):
    for text in HOSTILE:
        status, reply, _ = call("POST", "/api/check", raw=text)
        error = json.loads(reply)["error"]
        assert status in (400, 413) and error["code"] in ("file.syntax", "file.limit", "server.request"), text[:40]
        assert len(error["message"]) < 300


def test_json_that_is_too_long_is_cut_off(call):
    assert code(call("POST", "/api/check", raw=b'"' + b"x" * (16 * 2**20 + 10) + b'"')) == (413, "server.limit")


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ({"a": box("toy.upper", thing="@b"), "b": box("toy.upper", thing="@a")}, "graph.cycle"),
        ({"a": {"type": "__import__('os')", "inputs": {}}}, "graph.unknown_node"),
        ({"a": box("toy.make", size=10**15)}, "graph.value"),
        ({"a": box("toy.read", name="../../etc/passwd")}, "place.outside"),
        ({"a": {"type": "#a", "inputs": {}}}, "graph.unknown_graph"),
        ({"a": {"type": 7, "inputs": []}}, "file.shape"),
    ],
)
def test_a_hostile_workflow_is_refused_before_anything_runs(call, nodes, expected):
    status, text, _ = call("POST", "/api/jobs", {"workflow": {"weft": 1, "nodes": nodes}})
    assert status in (400, 422) and json.loads(text)["error"]["code"] == expected
    assert json.loads(call("GET", "/api/jobs")[1])["jobs"] == []


def test_markup_in_titles_and_prompts_comes_back_as_the_text_it_is(weft):
    evil = "<img src=x onerror=alert(1)>\u202e\x07"
    work = document({"m": box("toy.make", text=evil)}) | {"title": evil}
    job = weft.wait(weft.submit(work).id)
    assert job.title == evil and job.workflow["nodes"]["m"]["inputs"]["text"] == evil


@pytest.mark.parametrize("key", ["", "x" * 201, "a\tb", "ü"])
def test_a_key_is_short_and_plain(call, key):
    work = {"workflow": document({"m": box("toy.make")})}
    assert call("POST", "/api/jobs", work, Idempotency_Key=key)[0] == 400


# --- the socket and the rest -----------------------------------------------------------------------------------------


def test_a_client_that_floods_the_socket_is_cut(running):
    with socket.create_connection(("127.0.0.1", running.address.port)) as raw:
        raw.sendall(
            f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{running.address.port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            f"Authorization: Bearer {running.address.token}\r\n\r\n".encode()
        )
        raw.settimeout(10)
        assert b"101" in raw.recv(4096)
        with contextlib.suppress(ConnectionError):
            raw.sendall(b"\x81\xff" + struct.pack(">Q", 2**30) + b"\0\0\0\0" + b"x" * 200_000)
            while raw.recv(65536):
                pass
    assert running.client.health().ok


@pytest.mark.parametrize(
    ("host", "name"),
    [("LOCALHOST:8118", "localhost"), ("[::1]:80", "::1"), ("a@b", ""), ("a/b", ""), ("a:b", ""), ("", "")],
)
def test_a_host_is_read_strictly(host, name):
    assert split_host(host)[0] == name


@pytest.mark.parametrize(
    ("host", "ours"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("10.0.0.1", False)]
)
def test_only_the_loopback_is_this_machine_alone(host, ours):
    assert is_loopback(host) is ours


# --- the page --------------------------------------------------------------------------------------------------------


def test_every_threat_of_the_page_names_a_test_that_is_there():
    here = Path(__file__).parent
    page = (here.parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
    rules = {name for file in here.glob("test_*.py") for name in re.findall(r"^def (test_\w+)", file.read_text(), re.M)}
    named = re.findall(r"`(test_\w+)` \|$", page, re.M)
    assert len(named) > 25 and set(named) <= rules


def test_every_address_stands_in_the_documentation():
    page = (Path(__file__).parents[3] / "docs" / "server.md").read_text(encoding="utf-8")
    for one in ROUTES:
        path = re.sub(r"{(\w+):[^}]*}", r"{\1}", one.path)
        assert f"`{one.method} {path}`" in page
