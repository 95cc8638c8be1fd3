import json

import numpy as np
import PIL.Image
import pytest
import torch

from engine import places
from engine.errors import Cancelled, WeftError
from engine.invoke import EngineRun, Hooks, using_ambient
from engine.memory import Memory
from engine.numerics import Numerics
from nodes import mask, metadata
from nodes.image.save import save, save_facts
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
