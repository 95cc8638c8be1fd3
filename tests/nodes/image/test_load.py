import io
import struct
import zlib

import numpy as np
import PIL.Image
import pytest

from engine import places
from engine.errors import WeftError
from nodes.image.load import load, load_facts

RNG = np.random.default_rng(0)
LEVELS = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def folder(tmp_path):
    (tmp_path / "input").mkdir()
    with places.using(places.Places(home=tmp_path)):
        yield tmp_path / "input"


def put(folder, picture, name="p.png", **options):
    picture.save(folder / name, **options)
    return load(name)


def test_colours_come_as_rgb_from_0_to_1_and_no_transparency_is_a_mask_of_zeros(folder):
    image, mask = put(folder, PIL.Image.fromarray(LEVELS))
    assert image.pixels.shape == (1, 6, 9, 3)
    assert np.array_equal(image.numpy()[0], LEVELS.astype(np.float32) / 255)
    assert mask.alpha.shape == (1, 6, 9)
    assert not mask.alpha.any()


def test_a_loaded_picture_is_the_picture_that_was_saved(folder):
    image, _ = put(folder, PIL.Image.fromarray(LEVELS))
    assert np.array_equal(np.array(image.pil()[0]), LEVELS)


def test_transparency_comes_as_a_mask(folder):
    alpha = RNG.integers(0, 256, (6, 9, 1), dtype=np.uint8)
    image, mask = put(folder, PIL.Image.fromarray(np.concatenate([LEVELS, alpha], 2)))
    assert np.array_equal(np.array(image.pil()[0]), LEVELS)
    assert np.allclose(mask.alpha[0].numpy(), 1 - alpha[..., 0] / 255, atol=1e-6)


def test_a_palette_with_a_transparent_colour_is_understood(folder):
    picture = PIL.Image.new("P", (9, 6), 1)
    picture.putpalette([255, 0, 0, 0, 255, 0])
    picture.putpixel((0, 0), 0)
    image, mask = put(folder, picture, transparency=0)
    assert image.pixels[0, 1, 1].tolist() == [0, 1, 0]
    assert mask.alpha[0, 0, 0] == 1
    assert mask.alpha.sum() == 1


def test_sixteen_bits_keep_their_depth(folder):
    grey = (np.arange(54, dtype=np.uint16) * 1000).reshape(6, 9)
    image, _ = put(folder, PIL.Image.fromarray(grey))
    assert np.allclose(image.numpy()[0, ..., 1], grey / 65535, atol=1e-7)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "YCbCr", "HSV", "F"])
def test_every_mode_becomes_rgb(folder, mode):
    picture = PIL.Image.new("RGB", (9, 6), (255, 255, 255))
    name = "p.tiff" if mode in ("CMYK", "F") else "p.jpg" if mode == "YCbCr" else "p.png"
    picture = picture.convert("L" if mode == "HSV" else mode)
    if mode == "F":
        picture = picture.point(lambda v: v / 255)
    image, mask = put(folder, picture, name)
    assert image.pixels.shape == (1, 6, 9, 3)
    assert image.pixels.min() > 0.98
    assert not mask.alpha.any()


@pytest.mark.parametrize(("turn", "corner"), [(1, (0, 0)), (3, (-1, -1)), (6, (0, -1)), (8, (-1, 0)), (2, (0, -1))])
def test_a_turned_photograph_stands_upright(folder, turn, corner):
    picture = PIL.Image.new("RGB", (8, 4))
    picture.putpixel((0, 0), (255, 255, 255))
    exif = PIL.Image.Exif()
    exif[0x0112] = turn
    image, _ = put(folder, picture, exif=exif)
    assert image.pixels[0][corner].tolist() == [1, 1, 1]
    height, width = image.pixels.shape[1:3]
    assert (width, height) == ((4, 8) if turn in (6, 8) else (8, 4))
    assert load_facts(name="p.png")["image"] == {"batch": 1, "width": width, "height": height}


def png_of(width, height, data=b""):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [10_000, 60_000, 2**31 - 1])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_bomb_is_refused_before_its_pixels_are_decoded(folder, side):
    (folder / "bomb.png").write_bytes(png_of(side, side, zlib.compress(b"\0" * 100_000)))
    for read in (load, lambda name: load_facts(name=name)):
        with pytest.raises(WeftError) as caught:
            read("bomb.png")
        assert caught.value.code == "media.format"
        assert "limit" in str(caught.value)


def damaged():
    stream = io.BytesIO()
    PIL.Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(stream, "PNG")
    whole = stream.getvalue()
    jpeg = io.BytesIO()
    PIL.Image.fromarray(LEVELS).resize((64, 64)).save(jpeg, "JPEG")
    return {
        "empty": b"",
        "text": b"hello, I am no picture",
        "html": b"<html></html>",
        "cut off in the header": whole[:20],
        "cut off in the pixels": whole[: len(whole) // 2],
        "jpeg cut off": jpeg.getvalue()[:300],
        "wrong pixels": png_of(8, 8, b"nonsense"),
        "no size": png_of(0, 0),
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        "text bomb": whole[:33]
        + (lambda body: struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body)))(
            b"k\0\0" + zlib.compress(b"\0" * 10**8)
        )
        + whole[33:],
    }


@pytest.mark.parametrize("what", list(damaged()))
def test_what_is_no_picture_or_a_broken_one_is_one_clear_line(folder, what):
    (folder / "p.png").write_bytes(damaged()[what])
    with pytest.raises(WeftError) as caught:
        load("p.png")
    assert caught.value.code == "media.format"
    assert "p.png" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_picture_that_is_not_there_is_found_missing_while_planning(folder):
    with pytest.raises(WeftError) as caught:
        load_facts(name="nowhere.png")
    assert caught.value.code == "media.missing"


def test_only_the_first_frame_of_an_animation_counts(folder):
    frames = [PIL.Image.new("RGB", (9, 6), colour) for colour in ("red", "blue")]
    frames[0].save(folder / "p.gif", save_all=True, append_images=frames[1:])
    assert load("p.gif").image.pixels[0, 0, 0].tolist() == [1, 0, 0]


@pytest.mark.parametrize("format", ["png", "webp", "bmp", "tiff", "mpo"])
def test_every_format_that_is_named_can_be_read(folder, format):
    picture = PIL.Image.new("RGB", (16, 16), (255, 255, 255))
    more = {"save_all": True, "append_images": [picture]} if format == "mpo" else {}
    assert put(folder, picture, "p.png", format=format, **more).image.pixels.min() > 0.98
