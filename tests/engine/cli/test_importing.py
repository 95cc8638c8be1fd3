"""`weft import`: another program's graph becomes a file of ours; what is to be looked at is told."""

import json
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from engine.workflow import read
from tests.nodes.comfyui.graphs import text_to_image


def test_a_graph_becomes_a_file_beside_it_and_what_has_no_counterpart_is_told(weft):
    graph = text_to_image(n30=("FaceDetailer", {"image": ["8", 0]}))
    Path("my_graph.json").write_text(json.dumps(graph))
    told = weft("import", "my_graph.json")
    assert (told.code, told.out.strip()) == (0, "my_graph.weft.json")
    assert "FaceDetailer (30): there is no node for 'FaceDetailer'" in told.err
    made = read("my_graph.weft.json")
    assert made.title == "my graph" and made.nodes["sample"].version == 1
    assert weft("import", "my_graph.json").code == 2, "it is there already"
    assert weft("import", "my_graph.json", "--force").code == 0


def test_a_picture_brings_its_graph(weft):
    info = PngInfo()
    info.add_text("prompt", json.dumps(text_to_image()))
    Image.new("RGB", (8, 8)).save("made.png", pnginfo=info)
    assert weft("import", "made.png", "--out", "flow.json").code == 0
    assert read("flow.json").nodes["sample"].inputs["seed"].value == 5


def test_what_is_no_graph_is_one_line_and_nothing_is_written(weft):
    Path("a.json").write_text('{"weft": 1, "nodes": {}}')
    Image.new("RGB", (8, 8)).save("b.png")
    Path("c.json").write_text("{]")
    Path("d.json").write_bytes(b"\xff\xfe")
    Path("e.json").write_text('{"nodes": [{"id": 1, "type": "KSampler", "inputs": 7}], "links": []}')
    for name in ("a.json", "b.png", "c.json", "d.json", "e.json", "none.json"):
        told = weft("import", name)
        assert told.code == 2 and len(told.err.strip().splitlines()) == 1, told.err
        assert "Traceback" not in told.err
    assert not list(Path().glob("*.weft.json"))
