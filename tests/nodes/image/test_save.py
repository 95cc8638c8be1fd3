import io
import json
import zlib

import numpy as np
import PIL.Image
import pytest
import torch
from PIL import ImageCms

from engine import places
from engine.errors import Cancelled, WeftError
from engine.invoke import EngineRun, Hooks, using_ambient
from engine.memory import Memory
from engine.numerics import Numerics
from nodes import mask, metadata
from nodes.image.animate import save_animation
from nodes.image.folder import load_animation
from nodes.image.save import Extra, save, save_facts
from nodes.types import Image, Mask

DOCUMENT = {"title": "Spheres", "nodes": {"prompt": {"inputs": {"text": "a red sphere"}}}}
RESOLVED = {"seed": 7}


@pytest.fixture(autouse=True)
def folder(tmp_path):
    run = EngineRun("save", Memory({"cpu": 2**28}), Numerics(device="cpu"), document=DOCUMENT, resolved=RESOLVED)
    with places.using(places.Places(home=tmp_path)), using_ambient(run):
        yield tmp_path / "output"


def picture(batch=1, height=24, width=40):
    return Image(torch.rand(batch, height, width, 3, generator=torch.Generator().manual_seed(0)))


def levels(path):
    with PIL.Image.open(path) as opened:
        return np.array(opened)


def test_the_file_is_what_diffusers_would_save(folder):
    image = picture()
    saved = save(image)
    assert saved.files == ["Spheres_00001_.png"]
    assert saved.image is image
    expected = (image.pixels[0].numpy() * 255).round().astype("uint8")
    assert np.array_equal(levels(folder / saved.files[0]), expected)


def test_every_picture_of_a_batch_gets_its_own_file_number_and_record(folder):
    files = save(picture(3), "%prompt.text%/%seed%").files
    assert files == [f"a red sphere/{seed}_00001_.png" for seed in (7, 8, 9)]
    assert [metadata.read(folder / file)["item"] for file in files] == [0, 1, 2]
    assert metadata.read(folder / files[0])["workflow"] == DOCUMENT
    assert metadata.read(folder / files[0])["resolved"] == RESOLVED


def test_nothing_is_ever_overwritten(folder):
    first = save(picture()).files
    before = (folder / first[0]).read_bytes()
    assert save(Image(1 - picture().pixels)).files == ["Spheres_00002_.png"]
    assert (folder / first[0]).read_bytes() == before


def test_a_mask_is_saved_as_transparency(folder):
    saved = save(picture(2), mask=mask.rectangle(40, 24, 0, 0, 20, 24))
    for file in saved.files:
        alpha = levels(folder / file)[..., 3]
        assert (alpha[:, :20] == 0).all()
        assert (alpha[:, 20:] == 255).all()
    with pytest.raises(WeftError, match="no transparency"):
        save(picture(), format="jpeg", mask=mask.solid(40, 24))
    with pytest.raises(WeftError, match="differ in size"):
        save(picture(), mask=mask.solid(24, 40))


@pytest.mark.parametrize(("format", "ending", "kind"), [("webp", ".webp", "WEBP"), ("jpeg", ".jpg", "JPEG")])
def test_the_other_formats_have_their_quality(folder, format, ending, kind):
    smooth = Image(torch.linspace(0, 1, 128).view(1, 1, 128, 1).expand(1, 128, 128, 3) ** 2)
    sizes = []
    for quality in (10, 90):
        file = folder / save(smooth, format=format, quality=quality).files[0]
        assert file.suffix == ending
        sizes.append(file.stat().st_size)
        assert np.abs(levels(file).astype(int) - (smooth.pixels[0].numpy() * 255)).mean() < 8
    assert sizes[0] < sizes[1]
    with PIL.Image.open(file) as opened:
        assert opened.format == kind


def test_webp_at_100_is_lossless(folder):
    image = picture()
    file = save(image, format="webp", quality=100).files[0]
    assert np.array_equal(levels(folder / file), np.array(image.pil()[0]))


def test_values_beyond_the_range_are_clamped_not_wrapped(folder):
    wild = Image(torch.tensor([-0.5, 1.5, 0.5]).view(1, 1, 1, 3).repeat(1, 4, 4, 1))
    assert levels(folder / save(wild).files[0])[0, 0].tolist() == [0, 255, 128]


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "C:\\x", "nul"])
def test_a_name_outside_the_output_folder_is_refused_while_planning_and_writes_nothing(folder, name):
    with pytest.raises(WeftError) as caught:
        save_facts(image=None, name=name, format="png", mask=None)
    assert caught.value.code == "place.outside"
    with pytest.raises(WeftError):
        save(picture(), name)
    assert not folder.exists()


def test_a_folder_that_cannot_be_written_is_one_line_and_leaves_nothing(folder):
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("a file where the folder should be")
    with pytest.raises(WeftError) as caught:
        save(picture())
    assert caught.value.code == "place.write"
    assert folder.read_text() == "a file where the folder should be"


def test_a_full_disk_leaves_nothing_half_written(folder, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(places.os, "fsync", full)
    with pytest.raises(WeftError, match="No space left on device"):
        save(picture())
    assert list(folder.iterdir()) == []


def test_a_cancelled_save_keeps_the_pictures_it_has_finished(folder):
    told = []
    hooks = Hooks(progress=lambda done, total, text: told.append(done), cancelled=lambda: len(told) > 2)
    run = EngineRun("save", Memory({"cpu": 2**28}), Numerics(device="cpu"), hooks)
    with using_ambient(run), pytest.raises(Cancelled):
        save(picture(4))
    assert sorted(file.name for file in folder.iterdir()) == ["untitled_00001_.png", "untitled_00002_.png"]


def test_metadata_can_be_left_out(folder):
    assert metadata.read(folder / save(picture(), metadata="none").files[0]) == {}
    kept = metadata.read(folder / save(picture(), metadata="parameters").files[0])
    assert "workflow" not in kept
    assert json.dumps(kept["resolved"]) == json.dumps(RESOLVED)


def test_one_mask_serves_a_whole_batch(folder):
    saved = save(picture(2), mask=Mask(torch.zeros(1, 24, 40)))
    assert all((levels(folder / file)[..., 3] == 255).all() for file in saved.files)


# --- what goes into a file beside its pixels -------------------------------------------------------------------------


def test_sixteen_bits_keep_what_eight_would_round_away(folder):
    ramp = Image(torch.linspace(0, 1, 1000).view(1, 1, 1000, 1).expand(1, 2, 1000, 3).contiguous())
    file = folder / save(ramp, bits=16).files[0]
    assert file.read_bytes()[24] == 16, "the depth in the header"
    body = zlib.decompress(next(data for kind, data in chunks(file) if kind == b"IDAT"))
    rows = np.frombuffer(body, np.uint8).reshape(2, -1)[:, 1:]
    first = rows[0].view(">u2").reshape(1000, 3)
    assert np.array_equal(first[:, 0], (np.linspace(0, 1, 1000) * 65535).round())
    for format in ("jpeg", "webp", "avif"):
        with pytest.raises(WeftError, match="holds 8 bits"):
            save_facts(name="x", format=format, mask=None, bits=16)


def chunks(file):
    data, at = file.read_bytes(), 8
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += 12 + length


@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "avif"])
def test_a_profile_is_there_when_asked_for(folder, format):
    files = [folder / save(picture(), format=format, profile=profile).files[0] for profile in ("none", "sRGB")]
    found = []
    for file in files:
        with PIL.Image.open(file) as opened:
            found.append(opened.info.get("icc_profile"))
    assert not found[0]
    profile = ImageCms.ImageCmsProfile(io.BytesIO(found[1]))
    assert "sRGB" in ImageCms.getProfileDescription(profile)
    assert found[1] == Extra({}, profile="sRGB").icc, "the same today and tomorrow"
    assert found[1][24:36] == bytes((7, 208, 0, 1, 0, 1)) + bytes(6)


@pytest.mark.parametrize("format", ["png", "jpeg"])
def test_dots_per_inch_are_there_when_asked_for(folder, format):
    with PIL.Image.open(folder / save(picture(), format=format, dpi=300).files[0]) as opened:
        assert opened.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_avif_is_small_and_close(folder):
    smooth = Image(torch.linspace(0, 1, 128).view(1, 1, 128, 1).expand(1, 128, 128, 3).contiguous())
    file = folder / save(smooth, format="avif", quality=80).files[0]
    assert file.suffix == ".avif"
    assert np.abs(levels(file).astype(int) - np.array(smooth.pil()[0])).mean() < 3


def test_nothing_of_this_machine_is_in_a_saved_file(folder):
    for format in ("png", "jpeg", "webp", "avif"):
        data = (folder / save(picture(), format=format).files[0]).read_bytes()
        assert str(folder).encode() not in data
        assert str(folder.parent).encode() not in data


# --- moving pictures -------------------------------------------------------------------------------------------------


def moving(count=4):
    return Image(torch.stack([torch.full((24, 32, 3), index / (count - 1)) for index in range(count)]))


@pytest.mark.parametrize(
    ("format", "ending"), [("webp", ".webp"), ("gif", ".gif"), ("apng", ".png"), ("avif", ".avif")]
)
def test_a_batch_plays_in_its_order_and_speed(folder, format, ending):
    saved = save_animation(moving(), format=format, fps=5, quality=100)
    file = folder / saved.files[0]
    assert file.suffix == ending
    with PIL.Image.open(file) as opened:
        assert opened.n_frames == 4
        shown, lasting = [], []
        for index in range(4):
            opened.seek(index)
            shown.append(np.array(opened.convert("RGB"))[12, 16, 0])
            lasting.append(opened.info.get("duration"))
    assert np.abs(np.array(shown, int) - [0, 85, 170, 255]).max() <= 3
    assert lasting[-1] == pytest.approx(200, abs=1)
    assert metadata.read(file)["workflow"] == DOCUMENT


def test_there_and_back_plays_the_inner_pictures_twice(folder):
    with PIL.Image.open(folder / save_animation(moving(), format="gif", there_and_back=True).files[0]) as opened:
        assert opened.n_frames == 6


def test_how_often_it_plays(folder):
    loops = {}
    for times in (0, 1, 3):
        with PIL.Image.open(folder / save_animation(moving(), format="gif", loops=times).files[0]) as opened:
            loops[times] = opened.info.get("loop")
    assert loops == {0: 0, 1: None, 3: 2}
    with pytest.raises(WeftError, match="at most 50"):
        save_animation(moving(), format="gif", fps=100)


@pytest.mark.parametrize("format", ["webp", "gif", "apng", "avif"])
def test_an_animation_is_loaded_as_the_batch_it_was(folder, format):
    name = save_animation(moving(), format=format, fps=5, quality=100).files[0]
    here = places.current()
    here.input.mkdir(parents=True)
    (here.input / name).write_bytes((folder / name).read_bytes())
    image, fps = load_animation(name)
    assert fps == pytest.approx(5, abs=0.1)
    assert (image.pixels - moving().pixels).abs().max() < 0.02
    assert load_animation(name, start=1, every=2).image.pixels.shape[0] == 2
    assert load_animation(name, most=3).image.pixels.shape[0] == 3
    with pytest.raises(WeftError, match="the animation has 4 pictures"):
        load_animation(name, start=9)
