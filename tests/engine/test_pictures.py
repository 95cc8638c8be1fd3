"""Pictures: the record that a saved picture carries is read back; anything else is refused in one line."""

import json
import struct
import zlib

import pytest

from engine import pictures
from engine.errors import WeftError
from engine.workflow import Value

DOCUMENT = {
    "weft": 1,
    "nodes": {"a": {"type": "x.y", "inputs": {"seed": 5}}},
    "parameters": {"seed": {"to": ["a.seed"], "default": "random", "required": True}},
}
RECORD = {"weft": 1, "workflow": DOCUMENT, "resolved": {"a.seed": 5}, "item": 0}


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(text: str, kind: bytes = b"iTXt") -> bytes:
    head = b"weft\0\0\0\0\0" if kind == b"iTXt" else b"weft\0"
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", b"\0" * 13) + chunk(kind, head + text.encode()) + chunk(b"IEND", b"")


def jpeg(text: str) -> bytes:
    body = b"weft " + text.encode()
    return b"\xff\xd8\xff\xe0\x00\x04ab\xff\xfe" + struct.pack(">H", len(body) + 2) + body + b"\xff\xda\x00\x02"


def webp(text: str, order: str = "<") -> bytes:
    body = text.encode() + b"\0"
    mark = b"II*\0" if order == "<" else b"MM\0*"
    tiff = mark + struct.pack(f"{order}IH", 8, 1) + struct.pack(f"{order}HHII", 0x010E, 2, len(body), 26) + b"\0" * 4
    data = tiff + body
    exif = b"EXIF" + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    odd = b"VP8X" + struct.pack("<I", 3) + b"abc\0"
    return b"RIFF" + struct.pack("<I", len(odd + exif) + 4) + b"WEBP" + odd + exif


@pytest.mark.parametrize(
    "make",
    [png, lambda text: png(text, b"tEXt"), jpeg, webp, lambda text: webp(text, ">")],
    ids=["png", "png tEXt", "jpeg", "webp", "webp big-endian"],
)
def test_the_record_is_read_back(tmp_path, make):
    path = tmp_path / "picture"
    path.write_bytes(make(json.dumps(RECORD)))
    assert pictures.record(path) == RECORD


def test_the_workflow_comes_with_the_values_it_ran_with(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png(json.dumps(RECORD)))
    made = pictures.workflow(path)
    assert made.with_defaults().nodes["a"].inputs["seed"] == Value(5)  # not drawn anew by the parameter's default


def error(path) -> str:
    with pytest.raises(WeftError) as caught:
        pictures.workflow(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "no PNG, JPEG, WebP, AVIF or GIF"),
        (b"GIF89a", "no workflow"),
        (b"GIF89a" + bytes(7) + b"\x21\xfe\xff", "no workflow"),
        (b"\0\0\0\x1cftypavif" + b"II*\0\xff\xff\xff\xff", "no workflow"),
        (png("{"), "damaged"),
        (png("[" * 100_000), "damaged"),
        (png("[1]"), "no workflow"),
        (png(json.dumps({"weft": 1, "resolved": {}})), "only the values"),
        (png(json.dumps({"weft": 1, "workflow": {"weft": 99}})), "format 99"),
        (png(json.dumps(RECORD))[:60], "no workflow"),
        (jpeg(json.dumps(RECORD))[:30], "damaged"),
        (b"\xff\xd8" + b"\xff\xfe\x00\x00" * 4, "no workflow"),
        (webp(json.dumps(RECORD))[:40], "damaged"),
        (b"RIFF\0\0\0\0WEBP" + b"EXIF\xff\xff\xff\xff" + b"II*\0\xff\xff\xff\xff", "damaged"),
        (b"RIFF\0\0\0\0WEBPEXIF\x04\0\0\0what", "no workflow"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(tmp_path, data, told):
    path = tmp_path / "a.png"
    path.write_bytes(data)
    assert told in error(path)
    assert "\n" not in error(path)


def test_a_picture_that_is_not_there(tmp_path):
    assert "No such file" in error(tmp_path / "a.png")


def test_what_the_save_node_writes_is_what_is_read(tmp_path):
    import numpy

    from nodes import metadata
    from nodes.image import save

    levels = numpy.zeros((4, 4, 3), numpy.uint8)
    for kind in ("png", "jpeg", "webp", "avif"):
        path = tmp_path / f"a.{kind}"
        path.write_bytes(save.encode(levels, kind, 90, save.Extra(RECORD)))
        assert pictures.record(path) == metadata.read(path) == RECORD


@pytest.mark.parametrize("kind", ["gif", "webp", "apng", "avif"])
def test_an_animation_carries_its_workflow_too(tmp_path, kind):
    import numpy

    from nodes.image import animate, save

    frames = [numpy.full((8, 8, 3), level, numpy.uint8) for level in (0, 128, 255)]
    long = {**RECORD, "resolved": {"text": "a" * 2000}}
    path = tmp_path / "a"
    path.write_bytes(animate.encode_moving(frames, kind, 8, 0, 90, save.Extra(long)))
    assert pictures.record(path) == long
