import json

import numpy as np
import PIL.Image
import pytest

from engine.errors import WeftError
from nodes import metadata
from nodes.image import png
from nodes.image.save import Extra, encode

LEVELS = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
DOCUMENT = {"weft": 1, "title": "Größe 色", "nodes": {"a": {"type": "x.y", "inputs": {"seed": 2**64 - 1}}}}
RESOLVED = {"a.seed": 2**64 - 1, "b.text": 'a "red" sphere\n日本'}


@pytest.mark.parametrize("format", ["png", "webp", "jpeg", "avif"])
def test_a_saved_picture_gives_its_workflow_back(tmp_path, format):
    file = tmp_path / f"p.{format}"
    file.write_bytes(encode(LEVELS, format, 90, Extra(metadata.record(DOCUMENT, RESOLVED, "full", 3))))
    assert metadata.read(file) == {"weft": 1, "workflow": DOCUMENT, "resolved": RESOLVED, "item": 3}
    with PIL.Image.open(file) as picture:
        assert picture.size == (40, 24)


@pytest.mark.parametrize("format", ["png", "webp", "jpeg", "avif"])
def test_a_workflow_larger_than_one_segment_survives(tmp_path, format):
    document = {"nodes": {f"n{i}": {"type": "x.y", "title": "t" * 50} for i in range(4000)}}
    file = tmp_path / f"p.{format}"
    file.write_bytes(encode(LEVELS, format, 90, Extra(metadata.record(document, {}, "full"))))
    assert file.stat().st_size > 200_000
    assert metadata.read(file)["workflow"] == document
    with PIL.Image.open(file) as picture:
        picture.load()


def test_parameters_keeps_the_values_and_none_keeps_nothing(tmp_path):
    file = tmp_path / "p.png"
    file.write_bytes(encode(LEVELS, "png", 90, Extra(metadata.record(DOCUMENT, RESOLVED, "parameters"))))
    assert metadata.read(file) == {"weft": 1, "resolved": RESOLVED, "item": 0}
    file.write_bytes(encode(LEVELS, "png", 90, Extra(metadata.record(DOCUMENT, RESOLVED, "none"))))
    assert metadata.read(file) == {}
    assert b"weft" not in file.read_bytes()


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "nonsense", '{"weft": NaN'])
def test_a_damaged_record_is_one_clear_error(tmp_path, text):
    file = tmp_path / "p.png"
    file.write_bytes(png.encode(LEVELS, {"weft": text}))
    with pytest.raises(WeftError) as caught:
        metadata.read(file)
    assert caught.value.code == "media.format"


def test_a_picture_of_somebody_else_has_no_record(tmp_path):
    for format in ("PNG", "JPEG", "WEBP"):
        PIL.Image.fromarray(LEVELS).save(tmp_path / "p", format)
        assert metadata.read(tmp_path / "p") == {}


@pytest.mark.parametrize("cut", [9, 30, 60, 200])
@pytest.mark.parametrize("format", ["png", "jpeg"])
def test_a_picture_that_is_cut_off_does_not_crash_the_reader(tmp_path, format, cut):
    file = tmp_path / "p"
    file.write_bytes(encode(LEVELS, format, 90, Extra(metadata.record(DOCUMENT, RESOLVED, "full")))[:cut])
    try:
        assert metadata.read(file) == {}
    except WeftError as error:
        assert error.code == "media.format"


def test_what_is_no_picture_is_refused(tmp_path):
    (tmp_path / "p").write_text("hello")
    with pytest.raises(WeftError, match="no PNG, JPEG, WebP, AVIF or GIF"):
        metadata.read(tmp_path / "p")
    with pytest.raises(WeftError) as caught:
        metadata.read(tmp_path / "nowhere")
    assert caught.value.code == "media.missing"


@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 5, 3), (7, 5, 4), (7, 5, 1), (300, 200, 3)])
def test_the_png_that_is_written_is_the_picture(tmp_path, shape):
    levels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    (tmp_path / "p.png").write_bytes(png.encode(levels, {}))
    with PIL.Image.open(tmp_path / "p.png") as picture:
        picture.verify()
    with PIL.Image.open(tmp_path / "p.png") as picture:
        back = np.array(picture)
    assert np.array_equal(back.reshape(shape), levels)


def test_what_json_cannot_say_stands_as_text():
    assert json.loads(metadata.dumps({"a": {1}})) == {"a": "{1}"}
