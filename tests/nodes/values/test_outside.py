import json
import threading
from datetime import datetime

import pytest

from engine import places
from engine import workflow as workflows
from engine.errors import WeftError
from engine.invoke import EngineRun, Hooks, using_ambient
from engine.memory import Memory
from engine.numerics import Numerics
from engine.places import Places
from engine.records import Records
from engine.registry import load_registry
from engine.session import Session
from nodes.values import outside


@pytest.fixture
def shown():
    return []


@pytest.fixture(autouse=True)
def here(tmp_path, shown):
    hooks = Hooks(show=shown.append)
    run = EngineRun("", Memory({"cpu": 2**28}), Numerics(device="cpu"), hooks, {"title": "Notes"}, {"seed": 7})
    with places.using(Places(home=tmp_path)) as made, using_ambient(run):
        yield made


def flow(**nodes):
    outputs = {name: f"{name}.{output}" for name, (output, _) in nodes.items()}
    return workflows.from_json({"weft": 1, "nodes": {n: node for n, (_, node) in nodes.items()}, "outputs": outputs})


def test_the_date_has_the_form_asked_for():
    before, made, after = datetime.now(), outside.date("yyyy-MM-dd HH:mm:ss"), datetime.now()
    assert before.replace(microsecond=0) <= datetime.strptime(made, "%Y-%m-%d %H:%M:%S") <= after
    assert outside.date("no parts") == "no parts"


def test_what_is_wired_to_the_date_runs_again_only_when_it_has_changed(here, monkeypatch):
    graph = flow(
        day=("text", {"type": "values.date", "inputs": {"form": "yyyy"}}),
        file=("files", {"type": "values.save", "inputs": {"text": {"from": "day.text"}, "name": "a"}}),
    )
    with Session(places=here, registry=load_registry(), records=Records(), memory=Memory({"cpu": 2**28})) as session:
        assert session.run(graph).ran == ["day", "file"]
        assert session.run(graph).ran == []
        monkeypatch.setattr(outside, "moment", lambda form: "1999")
        assert session.run(graph).ran == ["day", "file"]


def test_two_counters_of_one_name_never_give_the_same_number(here):
    found = []

    def count():
        with places.using(here):
            found.extend(outside.counter("a").value for _ in range(20))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(1, 81))
    assert outside.counter("b", start=10, step=5, digits=3) == (10, "010")
    assert outside.counter("b", start=10, step=5, digits=3) == (15, "015")
    assert outside.counter("b", start=10, reset=True).value == 10


def test_a_counter_counts_in_every_run(here):
    graph = flow(number=("value", {"type": "values.counter", "inputs": {"name": "runs"}}))
    with Session(places=here, registry=load_registry(), records=Records(), memory=Memory({"cpu": 2**28})) as session:
        assert [session.run(graph)["number"] for _ in range(3)] == [1, 2, 3]


def test_a_folder_that_cannot_be_written_is_one_line(here):
    here.home.mkdir(exist_ok=True)
    (here.home / "state").write_text("a file where the folder should be")
    with pytest.raises(WeftError) as caught:
        outside.counter()
    assert caught.value.code == "place.write"


def test_anything_is_shown_and_passed_on(shown):
    assert outside.show([1, "two"]) == [1, "two"]
    assert shown == [[1, "two"]]


def test_a_text_is_saved_under_its_name_and_never_over_another(here):
    first = outside.save("größer\n", "%title%/%seed%", "md")
    assert first.files == ["Notes/7_00001_.md"]
    assert (here.output / first.files[0]).read_text(encoding="utf-8") == "größer\n"
    assert outside.save("other", "%title%/%seed%", "md").files == ["Notes/7_00002_.md"]
    with pytest.raises(WeftError, match="is no JSON"):
        outside.save("{", "a", "json")
    outside.save(json.dumps({"a": 1}), "a", "json")
    with pytest.raises(WeftError) as caught:
        outside.save_facts(name="../x")
    assert caught.value.code == "place.outside"
