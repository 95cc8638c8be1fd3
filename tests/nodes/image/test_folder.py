import os

import numpy as np
import PIL.Image
import pytest

from engine import places
from engine import workflow as workflows
from engine.errors import WeftError
from engine.invoke import EngineRun, using_ambient
from engine.memory import Memory
from engine.numerics import Numerics
from engine.places import Places
from engine.records import Records
from engine.registry import load_registry
from engine.session import Session
from nodes.image.folder import listed, load_folder, names, read_parameters
from nodes.image.save import Extra, encode
from nodes.metadata import record


@pytest.fixture(autouse=True)
def folder(tmp_path):
    base = tmp_path / "input" / "set"
    (base / "deep").mkdir(parents=True)
    run = EngineRun("", Memory({"cpu": 2**28}), Numerics(device="cpu"))
    with places.using(places.Places(home=tmp_path)), using_ambient(run):
        yield base


def put(folder, name, level=0, size=(8, 6)):
    PIL.Image.new("RGB", size, (level, level, level)).save(folder / name)


def test_pictures_come_in_natural_order_with_their_names(folder):
    for name, level in (("b10.png", 100), ("b2.png", 20), ("a.jpg", 0), ("deep/c.png", 1), ("note.txt.png", 7)):
        put(folder, name, level)
    (folder / "text.txt").write_text("no picture")
    found = load_folder("set", "a* b*")
    assert found.names == ["set/a.jpg", "set/b2.png", "set/b10.png"]
    assert [round(float(image.pixels.mean() * 255)) for image in found.images] == [0, 20, 100]
    assert [image.pixels.shape for image in found.images] == [(1, 6, 8, 3)] * 3
    assert all(mask.alpha.max() == 0 for mask in found.masks)
    assert names("set", "*.png", below=True)[-1] == "set/note.txt.png"
    assert "set/deep/c.png" in names("set", below=True)
    assert names("set", most=1) == ["set/a.jpg"]


def test_the_order_may_be_by_time(folder):
    for index, name in enumerate(("z.png", "y.png", "x.png")):
        put(folder, name)
        os.utime(folder / name, (1000 + index, 1000 + index))
    assert listed("set", "*", False, "newest first", 0) == ["set/x.png", "set/y.png", "set/z.png"]
    assert listed("set", "*", False, "oldest first", 2) == ["set/z.png", "set/y.png"]


def test_a_broken_picture_is_named_and_stops_or_is_left_out(folder):
    put(folder, "a.png", 9)
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:40])
    (folder / "c.png").write_text("hello")
    with pytest.raises(WeftError, match=r"b\.png is"):
        load_folder("set")
    found = load_folder("set", broken="skip")
    assert found.names == ["set/a.png"]
    assert [line.partition(":")[0] for line in found.problems] == ["set/b.png", "set/c.png"]


@pytest.mark.parametrize("name", ["../..", "/etc", "set/../../x"])
def test_a_folder_outside_the_input_folder_is_refused(name):
    with pytest.raises(WeftError) as caught:
        load_folder(name)
    assert caught.value.code == "place.outside"


def test_an_empty_or_missing_folder_is_refused(folder):
    with pytest.raises(WeftError, match="there is no folder 'nowhere'"):
        load_folder("nowhere")
    with pytest.raises(WeftError, match=r"there is no picture '\*\.gif' in 'set'"):
        load_folder("set", "*.gif")


def test_a_new_picture_in_the_folder_runs_only_itself(folder, tmp_path):
    put(folder, "a.png", 10)
    put(folder, "b.png", 20)
    flow = workflows.from_json(
        {
            "weft": 1,
            "nodes": {
                "files": {"type": "image.names", "inputs": {"folder": "set"}},
                "each": {"type": "map", "body": "#one", "inputs": {"name": {"from": "files.names"}}},
            },
            "outputs": {"image": "each.image"},
            "graphs": {
                "one": {
                    "nodes": {
                        "load": {"type": "image.load", "inputs": {}},
                        "invert": {"type": "image.invert", "inputs": {"image": {"from": "load.image"}}},
                    },
                    "parameters": {"name": {"to": ["load.name"]}},
                    "outputs": {"image": "invert.image"},
                }
            },
        }
    )
    here = Places(home=tmp_path)
    with Session(places=here, registry=load_registry(), records=Records(), memory=Memory({"cpu": 2**30})) as session:
        first = session.run(flow)
        assert first.problems == ()
        assert len(first["image"]) == 2
        assert session.run(flow).ran == []
        put(folder, "c.png", 30)
        assert session.run(flow).ran == ["each/2/invert", "each/2/load", "files"]


def test_what_made_a_picture_is_read_from_it(folder):
    levels = np.zeros((24, 40, 3), np.uint8)
    document = {
        "nodes": {
            "prompt": {"inputs": {"text": "a red cube"}},
            "sample": {
                "inputs": {"positive": {"from": "prompt.c"}, "seed": 5, "steps": 9, "cfg": 2.0, "sampler": "ddim"}
            },
        }
    }
    (folder / "p.png").write_bytes(encode(levels, "png", 90, Extra(record(document, {}, "full"))))
    found = read_parameters("set/p.png")
    assert found[:6] == ("a red cube", "", 5, 9, 2.0, "ddim")
    assert found.text.startswith("a red cube\nSteps: 9, Sampler: ddim, CFG scale: 2, Seed: 5, Size: 40x24")
    put(folder, "plain.png")
    assert read_parameters("set/plain.png")[:4] == ("", "", 0, 0)
