"""`weft serve`: a port, a token, an address – quickly, and never further than it was told."""

import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from engine import cli
from engine.client import Client
from engine.errors import WeftError
from engine.server import pages
from engine.server.main import Address, listen

ROOT = Path(__file__).resolve().parents[3]


def test_a_port_that_is_taken_is_named_with_who_has_it_and_the_way_out(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("WEFT_HOME", str(tmp_path))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert cli.main(["serve", "--port", str(port), "--no-browser"]) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert f"port {port} on 127.0.0.1 is taken" in line and "--port auto" in line
    assert str(os.getpid()) in line


@pytest.mark.parametrize("words", [["--port", "http"], ["--port", "0"], ["--port", "70000"], ["--prot", "1"]])
def test_a_wrong_option_is_one_line(words, capsys):
    assert cli.main(["serve", *words]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_a_host_that_is_not_ours_is_one_line():
    with pytest.raises(WeftError, match="cannot listen on 192"):
        listen("192.0.2.1", 0)


def test_the_address_that_is_printed_can_be_opened():
    assert Address("127.0.0.1", 8118, "t").url == "http://127.0.0.1:8118/?token=t"
    assert Address("::1", 8118, "t").base == "http://[::1]:8118"
    assert Address("0.0.0.0", 8118, "t").base == "http://localhost:8118"


def test_weft_serve_listens_within_a_second_of_cpu_and_ends_when_asked(tmp_path):
    env = {**os.environ, "WEFT_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    env.pop("WEFT_TOKEN", None)
    command = [sys.executable, "-m", "engine.cli", "serve", "--port", "auto", "--no-browser"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    try:
        url = process.stdout.readline().strip()
        times = psutil.Process(process.pid).cpu_times()
        with urllib.request.urlopen(url.partition("/?")[0] + "/healthz", timeout=20) as reply:
            assert reply.status == 200
        assert times.user + times.system < 1.5, "one second, and some for a busy machine"
        token = (tmp_path / "state" / "token").read_text().strip()
        assert url.endswith(f"?token={token}")
        with Client(url) as weft:
            assert {node["id"] for node in weft.nodes().nodes} >= {"load.model", "denoise.sample", "map"}
    finally:
        process.terminate()
        said = process.communicate(timeout=60)
    assert process.returncode == 0, said


def test_without_the_editor_there_is_a_page_that_says_how_to_get_it(running, monkeypatch):
    monkeypatch.setattr(pages, "dist", lambda: None)
    page = read(running, "/")
    assert b"make web" in page and b"/api/openapi.json" in page


def test_the_editor_is_served_as_it_lies_and_its_own_addresses_show_it(running, monkeypatch, tmp_path):
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<title>editor</title>")
    (tmp_path / "assets" / "index.js").write_text("import './x.js'")
    (tmp_path / "favicon.svg").write_text("<svg/>")
    monkeypatch.setattr(pages, "dist", lambda: tmp_path)
    assert read(running, "/favicon.ico", "Content-Type") == "image/svg+xml"
    assert b"editor" in read(running, "/") and b"editor" in read(running, "/w/portraits")
    assert read(running, "/assets/index.js", "Content-Type") == "text/javascript; charset=utf-8"
    with pytest.raises(urllib.error.HTTPError, match="404"):
        read(running, "/assets/none.js")


def read(running, path, header=None):
    request = urllib.request.Request(running.address.base + path)
    request.add_header("Authorization", f"Bearer {running.address.token}")
    with urllib.request.urlopen(request, timeout=20) as reply:
        return reply.headers[header] if header else reply.read()
