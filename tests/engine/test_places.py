"""Places: what a name means on disk, that it never leaves its place, and the ids of files."""

import os
import stat
import threading
from pathlib import Path

import pytest

from engine import places as room
from engine.errors import WeftError
from engine.places import Places, check_name, current, file_id, hub_snapshot, set_process_places, using, write_atomic


@pytest.fixture
def home(tmp_path):
    return Places(home=tmp_path / "weft")


def put(path, data=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


# --- models ---------------------------------------------------------------------------------------------------------


def test_a_model_is_found_in_every_tree_in_their_order(tmp_path, home):
    there = put(tmp_path / "weft" / "models" / "loras" / "a.safetensors")
    assert home.model("loras", "a.safetensors") == there
    given = put(tmp_path / "other" / "loras" / "a.safetensors")
    both = Places(home=tmp_path / "weft", model_folders=(tmp_path / "other",))
    assert both.model("loras", "a.safetensors") == given  # what is given on the command line comes first


@pytest.mark.parametrize(
    ("kind", "folder"),
    [
        ("checkpoints", "models/Stable-diffusion"),
        ("vae", "models/VAE"),
        ("loras", "models/Lora"),
        ("controlnet", "models/ControlNet"),
    ],
)
def test_an_a1111_tree_is_read_in_place(tmp_path, kind, folder):
    put(tmp_path / "webui" / folder / "x" / "a.safetensors")
    places = Places(home=tmp_path / "weft", model_folders=(tmp_path / "webui",))
    assert places.models(kind) == ["x/a.safetensors"] and places.model(kind, "x/a.safetensors").is_file()


@pytest.mark.parametrize(("kind", "folder"), [("diffusion_models", "unet"), ("text_encoders", "clip"), ("vae", "vae")])
def test_a_comfyui_tree_is_read_in_place(tmp_path, kind, folder):
    put(tmp_path / "comfy" / "models" / folder / "a.safetensors")
    assert Places(home=tmp_path / "weft", model_folders=(tmp_path / "comfy",)).models(kind) == ["a.safetensors"]


def test_a_folder_with_a_config_is_one_model_and_pickles_are_none(tmp_path, home):
    base = tmp_path / "weft" / "models" / "checkpoints"
    put(base / "sd" / "model_index.json", b"{}")
    put(base / "sd" / "unet" / "model.safetensors")
    put(base / "deep" / "unet" / "config.json", b"{}")
    put(base / "old.ckpt")
    put(base / ".hidden" / "a.safetensors")
    assert home.models("checkpoints") == ["deep/unet", "sd"]
    assert home.models("vae") == ["sd"] and home.model("vae", "sd") == base / "sd"  # a whole model has one


def test_a_missing_model_says_what_there_is_and_where_to_put_it(tmp_path, home):
    put(tmp_path / "weft" / "models" / "loras" / "crayon.safetensors")
    with pytest.raises(WeftError) as wrong:
        home.model("loras", "crayn.safetensors")
    assert wrong.value.code == "model.missing"
    assert "Did you mean 'crayon.safetensors'?" in str(wrong.value) and "loras" in str(wrong.value)


def test_a_pack_can_bring_models_of_any_kind_by_its_folders_name(tmp_path, home):
    import dataclasses

    brings = {"starter/unet": tmp_path / "ship", "loras:starter/big": tmp_path / "big.safetensors"}
    shipped = dataclasses.replace(home, shipped=brings)
    assert shipped.model("loras", "starter/big") == tmp_path / "big.safetensors"
    assert "starter/big" in shipped.models("loras") and "starter/big" not in shipped.models("checkpoints")
    for kind, name in (("checkpoints", "starter/big"), ("loras", "starter/unet")):
        with pytest.raises(WeftError) as wrong:
            shipped.model(kind, name)
        assert wrong.value.code == "model.missing"


def test_models_that_packs_bring_and_the_hub_cache(tmp_path, home, monkeypatch):
    import dataclasses

    shipped = dataclasses.replace(home, shipped={"starter/unet": tmp_path / "ship"})
    assert shipped.model("checkpoints", "starter/unet") == tmp_path / "ship"
    assert "starter/unet" in shipped.models("checkpoints") and "starter/unet" not in shipped.models("loras")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = tmp_path / "hub" / "models--org--name"
    put(folder / "refs" / "main", b"abc\n")
    (folder / "snapshots" / "abc").mkdir(parents=True)
    assert hub_snapshot("org/name") == folder / "snapshots" / "abc" == home.model("checkpoints", "org/name")
    assert hub_snapshot("org/gone") is None and hub_snapshot("a/b/c") is None and hub_snapshot("../x") is None


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "sub/a.png", "sub\\a.png", "ü 中.png", "a..b.png", "./a.png", "a//b"])
def test_a_relative_name_is_fine_and_means_the_same_everywhere(name):
    assert "\\" not in check_name(name) and "//" not in check_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        "../a",
        "a/../../b",
        "..\\a",
        "/etc/passwd",
        "\\a",
        "~/a",
        "C:/a",
        "c:a",
        "a\0b",
        "con",
        "sub/NUL.txt",
        "COM1",
        "x" * 600,
    ],
)
def test_a_name_that_could_leave_its_place_is_refused(name, home):
    with pytest.raises(WeftError) as wrong:
        home.file("input", name)
    assert wrong.value.code == "place.outside" and len(str(wrong.value)) < 400
    with pytest.raises(WeftError):
        home.model("loras", name)


def test_a_link_may_lead_out_because_its_owner_put_it_there(tmp_path, home):
    outside = put(tmp_path / "disk" / "a.txt", b"shared")
    (tmp_path / "weft").mkdir()
    home.input.mkdir()
    (home.input / "link.txt").symlink_to(outside)
    assert home.file("input", "link.txt").read_bytes() == b"shared"


def test_an_input_may_lie_beside_the_workflow(tmp_path, home):
    import dataclasses

    put(tmp_path / "shared" / "photo.png")
    beside = dataclasses.replace(home, beside=tmp_path / "shared")
    assert beside.file("input", "photo.png") == tmp_path / "shared" / "photo.png"
    put(home.input / "photo.png")
    assert beside.file("input", "photo.png") == home.input / "photo.png"  # the place itself comes first
    with pytest.raises(WeftError, match="gone"):
        beside.file("input", "gone.png")


def test_files_of_a_place_are_listed_with_slashes(home):
    for name in ("b.png", "sub/a.JPG", "notes.txt", ".hidden.png"):
        put(home.input / name)
    assert home.files("input") == ["b.png", "sub/a.JPG"] and home.files("workflows") == []


def test_places_are_the_processs_the_steps_or_the_blocks(home, tmp_path):
    set_process_places(home)
    assert current() is home
    other = Places(home=tmp_path / "other")
    with using(other):
        assert current() is other
        seen = []
        thread = threading.Thread(target=lambda: seen.append(current()))
        thread.start()
        thread.join()
        assert seen == [home]  # another thread is another step
    assert current() is home


def test_home_can_be_given(monkeypatch, tmp_path):
    monkeypatch.setenv("WEFT_HOME", str(tmp_path))
    assert Places().home == tmp_path and Places().output == tmp_path / "output"
    monkeypatch.delenv("WEFT_HOME")
    assert Places().home == Path.home() / "weft"


# --- writing --------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="a folder cannot be synced there")
def test_a_power_cut_loses_neither_what_was_written_nor_its_name(tmp_path, monkeypatch):
    path, synced, true_sync = tmp_path / "a" / "b.txt", [], os.fsync

    def sync(handle: int) -> None:
        synced.append((stat.S_ISDIR(os.fstat(handle).st_mode), path.exists()))
        true_sync(handle)

    monkeypatch.setattr(os, "fsync", sync)
    write_atomic(path, b"kept")
    assert synced == [(False, False), (True, True), (True, True)], "bytes before the name is given; name, new folder"
    write_atomic(path, b"anew")
    assert synced[3:] == [(False, True), (True, True)]


def test_a_reader_sees_the_old_file_or_the_new_one(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "a.json"
    write_atomic(path, b"old")
    monkeypatch.setattr(room.os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(WeftError) as wrong:
        write_atomic(path, b"new")
    assert wrong.value.code == "place.write" and "No space left on device" in str(wrong.value)
    assert path.read_bytes() == b"old" and list(path.parent.iterdir()) == [path]


def test_what_is_written_has_the_rights_that_new_files_have(tmp_path):
    write_atomic(tmp_path / "a", b"x")
    (tmp_path / "b").write_bytes(b"x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_a_folder_where_the_file_should_be_is_one_clear_line(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(WeftError) as wrong:
        write_atomic(tmp_path / "a", b"x")
    assert wrong.value.code == "place.write" and "\n" not in str(wrong.value)


# --- ids ------------------------------------------------------------------------------------------------------------


def test_a_file_is_known_by_its_content(tmp_path):
    one, two = put(tmp_path / "one", b"same"), put(tmp_path / "two", b"same")
    assert file_id(one) == file_id(two) and len(file_id(one)) == 32
    os.utime(one, ns=(1, 1))
    assert file_id(one) == file_id(two)
    put(one, b"more")
    assert file_id(one) != file_id(two)


def test_an_unchanged_file_is_read_once(tmp_path, monkeypatch):
    path = put(tmp_path / "a", b"content")
    before = file_id(path)
    monkeypatch.setattr(room, "_hash_file", lambda *a: pytest.fail("it was read again"))
    assert file_id(path) == before


def test_a_large_file_is_sampled_and_a_lock_reads_all_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "WHOLE_HASH_LIMIT", 1000)
    monkeypatch.setattr(room, "BLOCK", 16)
    data = bytearray(100_000)
    path = put(tmp_path / "big", bytes(data))
    sampled, whole = file_id(path), file_id(path, whole=True)
    data[16 + 5] = 1  # between the blocks that are looked at
    os.utime(put(path, bytes(data)), ns=(2, 2))
    assert file_id(path) == sampled and file_id(path, whole=True) != whole
    data[0] = 1  # the header of a safetensors file
    os.utime(put(path, bytes(data)), ns=(3, 3))
    assert file_id(path) != sampled


def test_a_folder_is_known_by_names_and_contents_and_not_by_pickles(tmp_path):
    folder = tmp_path / "model"
    put(folder / "config.json", b"{}")
    put(folder / "unet" / "model.safetensors", b"w")
    before = file_id(folder)
    put(folder / "old.bin", b"pickle")
    put(folder / ".cache")
    assert file_id(folder) == before
    put(folder / "unet" / "config.json", b"{}")
    assert file_id(folder) != before
