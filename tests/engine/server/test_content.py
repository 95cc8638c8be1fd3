"""Content: pictures in, pictures out, workflows with their versions, models."""

import json
from io import BytesIO

import PIL.Image
import PIL.PngImagePlugin
import pytest

from engine.errors import WeftError
from engine.registry import load_registry
from engine.server.uploads import open_workflow
from tests.engine.flows import box
from tests.engine.server.painted import document, png
from tests.nodes.comfyui.graphs import text_to_image

FLOW = document({"s": box("paint.square", colour="blue")}, outputs={"o": "s"})


def test_a_picture_that_is_sent_can_be_used_and_seen(weft, picture_file, home):
    kept = weft.upload(picture_file)
    assert (kept.name, kept.width, kept.height) == ("red.png", 8, 6)
    assert weft.file("input", kept.name) == picture_file.read_bytes()
    assert (home.input / "red.png").read_bytes() == picture_file.read_bytes()


def test_the_same_picture_is_kept_once_and_another_of_the_name_beside_it(weft, picture_file, tmp_path):
    assert weft.upload(picture_file).name == weft.upload(picture_file).name == "red.png"
    other = png(tmp_path / "other.png", (9, 9), "blue")
    assert weft.upload(other.read_bytes(), "red.png").name == "red-2.png"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("../../etc/passwd.png", "passwd.png"),
        ("C:\\temp\\x.png", "x.png"),
        ("con.png", "picture con.png"),
        ("a\x00b<>.png", "a_b__.png"),
        ("....png", "picture.png"),
        ("photo.html", "photo.png"),
        ("Übung 1.png", "Übung 1.png"),
    ],
)
def test_a_name_is_made_harmless_and_the_ending_follows_the_content(sent, kept):
    from engine.server.uploads import harmless

    assert harmless(sent) + ".png" == kept


def test_a_file_of_a_saved_picture_is_shown_by_its_name(weft):
    job = weft.wait(weft.submit(document({"s": box("paint.square"), "save": box("paint.save", picture="@s")})).id)
    assert weft.file("output", job.files[0]).startswith(b"\x89PNG")


def test_the_workflow_in_a_picture_or_file_is_given_back_and_nothing_is_kept(weft, home):
    info = PIL.PngImagePlugin.PngInfo()
    info.add_text("weft", json.dumps({"weft": 1, "workflow": FLOW}))
    stream = BytesIO()
    PIL.Image.new("RGB", (4, 4)).save(stream, "PNG", pnginfo=info)
    assert weft.open(stream.getvalue(), "made.png")["nodes"] == FLOW["nodes"]
    assert weft.open(json.dumps(FLOW).encode(), "flow.json")["nodes"] == FLOW["nodes"]
    assert not home.input.exists()


def test_another_programs_graph_is_made_ours_by_the_pack_that_knows_it_and_says_what_to_look_at(tmp_path):
    graph = text_to_image(n30=("FaceDetailer", {"image": ["8", 0]}))
    registry = load_registry()
    workflow, told = open_workflow("a graph.json", json.dumps(graph).encode(), registry)
    assert workflow.title == "a graph" and workflow.nodes["sample"].type == "denoise.sample"
    assert ["FaceDetailer" in line for line in told] == [True]
    info = PIL.PngImagePlugin.PngInfo()
    info.add_text("prompt", json.dumps(graph))
    PIL.Image.new("RGB", (4, 4)).save(tmp_path / "made.png", pnginfo=info)
    assert open_workflow("made.png", (tmp_path / "made.png").read_bytes(), registry)[0].nodes == workflow.nodes
    assert open_workflow("flow.json", json.dumps(FLOW).encode(), registry)[1] is None


def test_a_picture_without_a_workflow_says_so_without_naming_our_folders(weft, picture_file):
    with pytest.raises(WeftError) as caught:
        weft.open(picture_file)
    assert caught.value.code == "media.format" and "carries no workflow" in str(caught.value)
    assert "/tmp" not in str(caught.value)


def test_templates_are_listed_after_yours_and_every_one_can_be_opened(weft):
    weft.save("mine", FLOW)
    rows = weft.workflows()
    assert (rows[0].name, rows[0].origin) == ("mine", "yours")
    templates = [row for row in rows if row.origin == "template"]
    assert "template:text_to_image" in {row.name for row in templates}
    assert all(weft.workflow(row.name).workflow["nodes"] for row in templates)
    with pytest.raises(WeftError, match="a template cannot be changed"):
        weft.save("template:text_to_image", FLOW)


def test_saving_keeps_what_was_there_as_a_version(weft):
    first = weft.save("portraits/soft light", FLOW)
    assert first.versions == [] and first.workflow["nodes"] == FLOW["nodes"]
    changed = document({"s": box("paint.square", colour="green")})
    second = weft.save("portraits/soft light", changed)
    [version] = second.versions
    assert weft.workflow("portraits/soft light", version).workflow["nodes"] == FLOW["nodes"]
    assert weft.workflow("portraits/soft light").workflow["nodes"] == changed["nodes"]
    weft.delete("portraits/soft light")
    with pytest.raises(WeftError, match="no workflow"):
        weft.workflow("portraits/soft light")
    assert len(weft.save("portraits/soft light", FLOW).versions) == 2, "a deleted one is still among its versions"


def test_two_who_save_at_once_do_not_overwrite_each_other(weft):
    first = weft.save("shared", FLOW)
    weft.save("shared", FLOW, modified=first.modified)
    with pytest.raises(WeftError, match="saved elsewhere meanwhile"):
        weft.save("shared", FLOW, modified=first.modified - 10)


def test_an_unreadable_workflow_is_refused_and_a_damaged_file_is_listed(weft, home):
    with pytest.raises(WeftError) as caught:
        weft.save("bad", {"nodes": []})
    assert caught.value.code == "file.shape"
    home.workflows.mkdir(parents=True)
    (home.workflows / "broken.json").write_text("{")
    [row] = [row for row in weft.workflows() if row.origin == "yours"]
    assert row.name == "broken" and row.about.startswith("cannot be read")


def test_a_saved_workflow_is_an_endpoint(weft):
    work = {**FLOW, "parameters": {"colour": {"to": ["s.colour"], "default": "blue"}}}
    weft.save("paint it", work)
    blue, green = (weft.wait(weft.run("paint it", given).id) for given in ({}, {"colour": "green"}))
    assert blue.outputs["o"] != green.outputs["o"]
    with pytest.raises(WeftError, match="no parameter 'color'"):
        weft.run("paint it", {"color": "red"})
    with pytest.raises(WeftError, match="no workflow"):
        weft.run("paint that", {})


def test_models_are_listed_by_kind_with_their_size(weft, home):
    folder = home.home / "models" / "loras"
    folder.mkdir(parents=True)
    (folder / "style.safetensors").write_bytes(b"x" * 10)
    [row] = weft.models()["loras"]
    assert (row.name, row.bytes) == ("style.safetensors", 10)
