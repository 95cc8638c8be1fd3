"""What may be set: in a file, by an option; every key documented, every mistake one line. And TLS, the LAN, the log."""

import io
import json
import logging
import re
import ssl
import subprocess
import urllib.request
from pathlib import Path

import pytest

from engine.cli import build_parser, serve
from engine.errors import WeftError
from engine.server import config, log, main
from engine.server.config import KEYS, Config
from tests.engine.flows import box
from tests.engine.server.painted import document
from tests.engine.server.test_door import Caller

DOCS = Path(__file__).parents[3] / "docs"


def test_every_key_stands_in_the_documentation_with_its_default():
    page = (DOCS / "server.md").read_text(encoding="utf-8")
    for name, entry in KEYS.items():
        shown = re.escape(json.dumps(list(entry.default) if isinstance(entry.default, tuple) else entry.default))
        assert re.search(rf"\| `{re.escape(name)}` \| `{shown}` \|", page), f"{name} = {entry.default!r}"


def test_the_example_in_the_documentation_is_read(tmp_path):
    page = (DOCS / "server.md").read_text(encoding="utf-8")
    [text] = re.findall(r"```toml\n(.*?)```", page, re.S)
    (tmp_path / "weft.toml").write_text(text)
    assert config.read(tmp_path / "weft.toml") != Config()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[server]\nprot = 1", "Did you mean 'port'?"),
        ("[sever]\nport = 1", "Did you mean 'server'?"),
        ("[server]\nport = true", "server.port must be text or a whole number"),
        ("[server]\nlan = 1", "server.lan must be true or false"),
        ('[server]\nallow_hosts = "a"', "must be a list of texts"),
        ("[server]\nallow_hosts = [1]", "must be a list of texts"),
        ("[jobs]\nhistory = -1", "a whole number from 0"),
        ('[log]\nformat = "jsn"', "Did you mean 'json'?"),
        ("server = 1", "must be a section"),
        ("[server", "not TOML"),
    ],
)
def test_what_cannot_be_set_is_one_line_with_the_file(tmp_path, text, says):
    file = tmp_path / "weft.toml"
    file.write_text(text)
    with pytest.raises(WeftError) as caught:
        config.read(file)
    assert says in str(caught.value) and "weft.toml" in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(WeftError, match="cannot read it"):
        config.read(tmp_path / "none.toml")


def test_an_option_goes_before_the_file_and_the_file_before_the_default(tmp_path, monkeypatch):
    monkeypatch.setenv("WEFT_HOME", str(tmp_path))

    def given(*words):
        return serve.config_of(build_parser("serve").parse_args(["serve", *words]))

    assert given() == Config()
    (tmp_path / "weft.toml").write_text('[server]\nport = 9000\nallow_hosts = ["a"]\n[log]\nformat = "json"\n')
    assert (given().port, given().log) == (9000, "json")
    assert given("--port", "auto").port == "auto" and given("--allow-host", "b").allow_hosts == ("a", "b")
    other = tmp_path / "other.toml"
    other.write_text("[server]\nlan = true\n")
    assert (given("--config", str(other)).host, given("--config", str(other)).port) == ("0.0.0.0", 8118)
    assert given("--lan", "--host", "127.0.0.1").host == "127.0.0.1"


def test_the_local_network_finds_the_machine_by_its_address_and_name(monkeypatch):
    monkeypatch.setattr(main, "lan_address", lambda: "192.168.7.9")
    monkeypatch.setattr(main.sockets, "gethostname", lambda: "Studio.example")
    assert main.lan_names() == ["192.168.7.9", "studio.example", "studio.local"]


def test_an_address_can_be_read_by_a_phone():
    code = main.qr("http://192.168.7.9:8118/?token=abc")
    assert len(code.splitlines()) > 10 and "token" not in code


# --- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return cert, key


def test_with_a_certificate_the_server_speaks_https_and_its_cookie_is_secure(home, certificate):
    import asyncio
    import threading

    cert, key = certificate

    def never(places, registry):
        raise AssertionError("nobody asks for the engine")

    async def ask():
        made = Config(tls_cert=str(cert), tls_key=str(key))
        server = main.Server(home, lambda p, r: never(p, r), port=None, token="t" * 20, warm=False, config=made)
        async with server as address:
            assert address.base.startswith("https://")
            context = ssl.create_default_context(cafile=str(cert))
            found = []

            def look():
                with urllib.request.urlopen(f"{address.base}/healthz", context=context, timeout=20) as reply:
                    found.append(reply.status)
                opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), Stay())
                with opener.open(address.url, timeout=20) as reply:
                    found.append(reply.headers["Set-Cookie"])

            thread = threading.Thread(target=look)
            thread.start()
            await asyncio.to_thread(thread.join)
            return found

    status, cookie = asyncio.run(ask())
    assert status == 200 and "Secure" in cookie and "HttpOnly" in cookie


class Stay(urllib.request.HTTPErrorProcessor):
    """Takes every answer as it is, also one that leads on."""

    def http_response(self, request, response):
        return response

    https_response = http_response


def test_a_certificate_that_cannot_be_used_is_one_line(tmp_path, certificate):
    cert, key = certificate
    with pytest.raises(WeftError, match="belong together"):
        main.encryption(Config(tls_cert=str(cert)))
    with pytest.raises(WeftError, match="cannot be used: No such file"):
        main.encryption(Config(tls_cert=str(tmp_path / "none.pem"), tls_key=str(key)))
    (tmp_path / "bad.pem").write_text("no certificate")
    with pytest.raises(WeftError, match="cannot be used"):
        main.encryption(Config(tls_cert=str(tmp_path / "bad.pem"), tls_key=str(key)))


# --- behind a proxy --------------------------------------------------------------------------------------------------


def test_behind_a_proxy_its_name_and_origin_are_ours_and_the_cookie_is_secure(servers):
    running = servers.start(config=Config(base_url="https://weft.example"))
    assert running.address.base_url == "https://weft.example"
    call = Caller(running)
    assert call("GET", "/api/state", host="weft.example", Origin="https://weft.example")[0] == 200
    assert call("GET", "/api/state", host="weft.example", Origin="http://weft.example.evil")[0] == 403
    entered = call("GET", f"/?token={running.address.token}", token=False, host="weft.example")
    assert "Secure" in entered[2]["Set-Cookie"]
    for wrong in ("weft.example", "https://weft.example/path", "ftp://weft.example"):
        with pytest.raises(WeftError, match="but no path"):
            main.base_of(wrong)


# --- the log ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def logged():
    stream = io.StringIO()
    kept = {name: (logging.getLogger(name).handlers, logging.getLogger(name).level) for name in ("weft", "aiohttp")}
    yield lambda form, level: (log.prepare(form, level, stream), stream)[1]
    for name, (handlers, level) in kept.items():
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = handlers, True
        logger.setLevel(level)
    logging.getLogger("asyncio").handlers = []
    logging.getLogger("asyncio").propagate = True


def test_the_log_is_json_where_it_is_wanted_and_holds_nothing_secret(logged, servers):
    stream = logged("json", "debug")
    running = servers.start()
    running.client.wait(running.client.submit(document({"s": box("paint.square")}, outputs={"o": "s"})).id)
    call = Caller(running)
    call("GET", f"/?token={running.address.token}", token=False)
    call("GET", f"/api/none?token={running.address.token}")
    logging.getLogger("weft.server").error("Authorization: Bearer %s", running.address.token)
    servers.stop(running)
    rows = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert {"time", "level", "logger", "message"} <= set(rows[0])
    asked = [row for row in rows if row["message"] == "request"]
    assert any((row["method"], row["path"], row["status"]) == ("POST", "/api/jobs", 201) for row in asked)
    assert any(row["message"] == "job over" and row["state"] == "succeeded" for row in rows)
    assert running.address.token not in stream.getvalue()


def test_the_log_for_people_is_a_line_each(logged):
    stream = logged("text", "info")
    logging.getLogger("weft.server").info("job over", extra={"job": "j1", "state": "failed"})
    logging.getLogger("weft.server").debug("nothing of this")
    assert re.fullmatch(r"\d\d:\d\d:\d\d info  job over  job=j1  state=failed\n", stream.getvalue())
