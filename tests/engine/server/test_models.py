"""Models over HTTP: the picture beside one, what its file says of itself, and who needs it."""

import json
import shutil

import pytest

from engine.errors import WeftError
from engine.server.shapes import ModelNotes, ModelRow, WorkflowRow
from engine.shelf.beside import Notes, notes_of, picture_beside


def model(path, metadata=None, raw=None):
    """A safetensors file of one small tensor."""
    header = {"t": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    if metadata is not None:
        header["__metadata__"] = metadata
    text = json.dumps(header).encode() if raw is None else raw
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"\0\0\0\0")
    return path


def test_what_a_trainer_wrote_is_told_the_words_of_its_author_before_the_frequent_ones(tmp_path):
    tags = {"10_ink": {"ink wash": 40, "paper": 12}, "5_more": {"paper": 50, "broken": "many"}}
    told = notes_of(
        model(
            tmp_path / "ink.safetensors",
            {
                "ss_output_name": "ink",
                "ss_tag_frequency": json.dumps(tags),
                "ss_base_model_version": "sd_v1",
                "modelspec.trigger_phrase": "inkstyle",
                "modelspec.author": "A. Painter",
            },
        )
    )
    assert told == Notes("ink", "A. Painter", "", "", "sd_v1", ("inkstyle", "paper", "ink wash"))


@pytest.mark.parametrize("raw", [b"{", b"[1]", b'{"__metadata__": 3}', b"\xff\xfe", b""])
def test_a_header_that_cannot_be_read_says_nothing_and_breaks_nothing(tmp_path, raw):
    assert notes_of(model(tmp_path / "odd.safetensors", raw=raw)) == Notes()


def test_a_header_that_claims_more_than_there_is_is_not_read(tmp_path):
    path = tmp_path / "lying.safetensors"
    path.write_bytes((2**40).to_bytes(8, "little") + b"{}")
    assert notes_of(path) == Notes() and notes_of(tmp_path / "none.safetensors") == Notes()


def test_the_picture_of_a_model_lies_beside_it_or_in_its_folder(tmp_path, picture_file):
    path = model(tmp_path / "ink.v2.safetensors")
    assert picture_beside(path) is None
    plain = shutil.copy(picture_file, tmp_path / "ink.v2.png")
    assert picture_beside(path) == plain
    better = shutil.copy(picture_file, tmp_path / "ink.v2.preview.png")
    assert picture_beside(path) == better
    folder = tmp_path / "whole"
    folder.mkdir()
    assert picture_beside(folder) is None
    assert picture_beside(folder) == shutil.copy(picture_file, folder / "preview.png") or picture_beside(folder)


def ask(weft, gives, path):
    return weft._do(weft._client._ask(gives, "GET", path))


def test_the_list_has_the_address_of_the_picture_and_of_each_model_its_notes(weft, home, picture_file):
    path = model(home.home / "models" / "loras" / "my inks" / "ink 1.safetensors", {"modelspec.title": "Ink"})
    shutil.copy(picture_file, path.with_suffix(".png"))
    rows = ask(weft, dict[str, list[ModelRow]], "/api/models")
    [row] = rows["loras"]
    assert row.picture == "/api/models/loras/my%20inks/ink%201.safetensors/picture"
    notes = ask(weft, ModelNotes, "/api/models/loras/my%20inks/ink%201.safetensors")
    assert (notes.title, notes.kind, notes.name) == ("Ink", "loras", "my inks/ink 1.safetensors")
    with pytest.raises(WeftError, match="no kind 'secrets'"):
        ask(weft, ModelNotes, "/api/models/secrets/x")
    with pytest.raises(WeftError):
        ask(weft, ModelNotes, "/api/models/loras/..%2F..%2Fx")


def test_every_workflow_says_which_models_it_needs_and_how_to_get_those_that_are_not_there(weft, home):
    model(home.home / "models" / "loras" / "here.safetensors")
    needs = {"loras": {"here.safetensors": {}, "ink.safetensors": {"from": "someone/inks/ink.safetensors"}}}
    weft.save("needy", {"weft": 1, "nodes": {}, "requires": {"models": needs}})
    row = next(row for row in ask(weft, list[WorkflowRow], "/api/workflows") if row.name == "needy")
    assert [(need.name, need.there) for need in row.needs] == [("here.safetensors", True), ("ink.safetensors", False)]
    assert row.needs[1].mend == "weft models get someone/inks/ink.safetensors --to loras --name ink.safetensors"
