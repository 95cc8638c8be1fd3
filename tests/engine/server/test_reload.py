"""Single-file nodes are taken up while the server runs, between two jobs, and never in the middle of one."""

import time

import pytest

from engine.errors import WeftError
from engine.registry import load_registry, make_registry
from tests.engine.fakes import gate
from tests.engine.flows import box
from tests.engine.server import painted
from tests.engine.server.painted import document

SOURCE = '''
from engine.node import node


@node("loose/words.say")
def say(word: str = "{word}") -> str:
    """Says a word."""
    return word + "{mark}"
'''


def with_loose(folder):
    loose = [pack for pack in load_registry(folder).packs if pack.module.startswith("weft_loose_")]
    return make_registry([*painted.registry().packs, *loose])


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr("engine.server.house.WATCH", 0.05)
    monkeypatch.setattr("engine.server.house.load_registry", with_loose)


def write(home, **words):
    home.nodes.mkdir(parents=True, exist_ok=True)
    (home.nodes / "loose.py").write_text(SOURCE.format(**words))


def changed(weft, running, since):
    for event in weft.events(since, running.server.house.hub.epoch):
        if event["event"] == "nodes_changed":
            return event["seq"]


def test_a_node_file_is_taken_up_changed_and_taken_away_while_the_server_runs(quick, servers, home):
    running = servers.start()
    weft = running.client
    since = weft.state().seq
    work = document({"say": box("loose/words.say")}, outputs={"said": "say"})
    with pytest.raises(WeftError):
        weft.submit(work)
    write(home, word="hello", mark="!")
    since = changed(weft, running, since)
    assert "loose/words.say" in {node["id"] for node in weft.nodes().nodes}
    assert weft.wait(weft.submit(work).id).values == {"said": "hello!"}
    write(home, word="hello there", mark="?")
    since = changed(weft, running, since)
    assert weft.wait(weft.submit(work).id).values == {"said": "hello there?"}, "not what was made before"
    (home.nodes / "loose.py").unlink()
    changed(weft, running, since)
    assert "loose/words.say" not in {node["id"] for node in weft.nodes().nodes}


def test_what_runs_ends_with_what_it_began_with_and_what_waits_has_the_new_nodes(quick, servers, home):
    write(home, word="old", mark=".")
    running = servers.start()
    weft = running.client
    weft.state()
    running.do(lambda: running.server.house._session.reload(lambda: with_loose(home.nodes)))
    nodes = {
        "make": box("toy.make"),
        "gate": box("toy.gate", thing="@make", name="reload"),
        "say": box("loose/words.say"),
    }
    slow = weft.submit(document(nodes, outputs={"said": "say", "g": "gate"}))
    assert gate("reload").reached.wait(10)
    since = weft.state().seq
    write(home, word="new one", mark=".")
    time.sleep(0.4)
    waits = weft.submit(document({"say": box("loose/words.say")}, outputs={"said": "say"}))
    assert weft.job(waits.id).state == "queued", "it waits until the nodes are taken up"
    gate("reload").open.set()
    assert weft.wait(slow.id).values["said"] == "old."
    changed(weft, running, since)
    assert weft.wait(waits.id).values == {"said": "new one."}
