"""A preview is made in every run, whether anything reads it or not, and not again when it is known."""

import pytest

from engine import workflow as workflows
from engine.memory import Memory
from engine.places import Places
from engine.records import Records
from engine.registry import load_registry
from engine.session import Session


@pytest.fixture
def session(tmp_path):
    with Session(
        places=Places(home=tmp_path), registry=load_registry(), records=Records(), memory=Memory({"cpu": 2**30})
    ) as made:
        yield made


def flow(**more):
    nodes = {
        "grey": {"type": "image.solid", "inputs": {"width": 16, "height": 16, "colour": "grey"}},
        "look": {"type": "image.preview", "inputs": {"image": {"from": "grey.image"}}},
        "side": {"type": "image.size", "inputs": {"image": {"from": "grey.image"}}},
        "told": {"type": "values.show", "inputs": {"value": {"from": "side.width"}}},
        **more,
    }
    return workflows.from_json({"weft": 1, "nodes": nodes})


def test_a_preview_runs_once_and_is_known_afterwards(session):
    first = session.run(flow())
    assert first.problems == ()
    assert first.ran == ["grey", "look", "side", "told"]
    assert [event.path for event in first.events if event.kind == "step_shown"] == ["look", "told"]
    assert session.run(flow()).ran == []


def test_another_picture_is_shown_again(session):
    session.run(flow())
    assert session.run(flow(), {"grey.colour": "red"}).ran == ["grey", "look", "side"]


def test_a_preview_is_a_target_beside_what_is_saved(session):
    save = {"type": "image.save", "inputs": {"image": {"from": "grey.image"}, "name": "a"}}
    assert "look" in session.run(flow(save=save)).ran


def test_a_preview_in_a_body_is_made_for_every_item(session):
    graph = workflows.from_json(
        {
            "weft": 1,
            "nodes": {"each": {"type": "map", "body": "#one", "inputs": {"colour": ["red", "blue"]}}},
            "graphs": {
                "one": {
                    "nodes": {
                        "fill": {"type": "image.solid", "inputs": {"width": 16, "height": 16}},
                        "look": {"type": "image.preview", "inputs": {"image": {"from": "fill.image"}}},
                    },
                    "parameters": {"colour": {"to": ["fill.colour"]}},
                    "outputs": {"image": "fill.image"},
                }
            },
        }
    )
    assert session.run(graph).ran == ["each/0/fill", "each/0/look", "each/1/fill", "each/1/look"]
