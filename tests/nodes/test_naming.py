from concurrent.futures import ProcessPoolExecutor
from datetime import datetime

import pytest

from engine.errors import WeftError
from nodes import naming

NOW = datetime(2026, 3, 7, 9, 5, 1)


def expand(pattern, **values):
    return naming.expand(pattern, values, NOW)


def test_dates_values_and_the_counter_are_filled_in():
    assert expand("%date%/a %seed%", seed=7) == "2026-03-07/a 7_%counter%_"
    assert expand("%date:yyMMdd HH.mm.ss% %counter%") == "260307 09.05.01 %counter%"
    assert naming.expand("%load.model%", {"load.model": "starter/unet"}, NOW) == "starter_unet_%counter%_"


def test_a_value_cannot_lead_out_of_the_folder_or_break_a_name():
    assert expand("%prompt%", prompt="../../etc/passwd") == ".._.._etc_passwd_%counter%_"
    assert expand("%prompt%", prompt='a "red"\nsphere: <x>?') == "a _red_sphere_ _x__%counter%_"
    assert expand("%prompt%/x", prompt="..") == "_/x_%counter%_"
    assert expand("%prompt%/x", prompt="CON") == "_CON/x_%counter%_"
    assert len(expand("%prompt%", prompt="é" * 5000)) < 120


def test_a_value_that_is_not_known_leaves_its_own_name():
    assert expand("%nothing%") == "nothing_%counter%_"


def test_a_name_that_no_system_could_hold_is_cut_not_refused():
    name = expand("x" * 400)
    assert len(name.encode()) < 255
    assert name.endswith("_")


@pytest.mark.parametrize("pattern", ["../x", "/x", "a/../../x", "C:/x", "~/x", "nul", "a/con.png", "", "a\0b", "\\x"])
def test_a_pattern_that_leaves_its_folder_is_refused(pattern):
    with pytest.raises(WeftError) as caught:
        naming.check(pattern)
    assert caught.value.code == "place.outside"


def test_folders_are_not_counted():
    with pytest.raises(WeftError, match="files, not folders"):
        naming.check("run %counter%/x")


def test_numbers_go_on_after_the_highest_whatever_the_ending(tmp_path):
    (tmp_path / "a_00041_.webp").touch()
    assert naming.write_new(tmp_path, "a_%counter%_", ".png", b"1") == "a_00042_.png"
    assert naming.write_new(tmp_path, "a_%counter%_", ".png", b"2") == "a_00043_.png"
    assert naming.write_new(tmp_path, "b/a_%counter%_", ".png", b"3") == "b/a_00001_.png"
    assert (tmp_path / "b" / "a_00001_.png").read_bytes() == b"3"
    assert not list(tmp_path.rglob("*.part"))


def write_twenty(folder):
    return [naming.write_new(folder, "n_%counter%_", ".bin", b"x" * 1000) for _ in range(20)]


def test_two_processes_never_get_the_same_number(tmp_path):
    with ProcessPoolExecutor(2) as pool:
        names = [name for names in pool.map(write_twenty, [tmp_path] * 2) for name in names]
    assert len(set(names)) == 40
    assert {path.stat().st_size for path in tmp_path.iterdir()} == {1000}


def test_a_file_system_without_hard_links_still_never_overwrites(tmp_path, monkeypatch):
    def no_links(source, target):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(naming.os, "link", no_links)
    (tmp_path / "a_00002_.png").write_bytes(b"old")
    monkeypatch.setattr(naming, "_next_number", lambda folder, name: 2)  # as if another process had just taken it
    assert naming.write_new(tmp_path, "a_%counter%_", ".png", b"new") == "a_00003_.png"
    assert (tmp_path / "a_00002_.png").read_bytes() == b"old"


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WeftError) as caught:
        naming.write_new(tmp_path, "file/a_%counter%_", ".png", b"1")
    assert caught.value.code == "place.write"
    assert ".part" not in str(caught.value)


def test_inputs_parameters_and_the_seeds_of_batch_items_can_be_named():
    nodes = {
        "prompt": {"inputs": {"text": "red", "encoder": {"from": "load.text_encoder"}}},
        "s": {"inputs": {"seed": 1}},
    }
    values = naming.values_for({"title": "T", "nodes": nodes}, {"look": "red", "seed": 40}, 128, 64, item=2)
    assert (values["prompt.text"], values["seed"], values["width"], values["height"]) == ("red", 42, 128, 64)
    assert "prompt.encoder" not in values
    assert naming.expand("%title% %look% %seed%", values, NOW) == "T red 42_%counter%_"
    assert naming.values_for({"nodes": nodes}, {}, 8, 8)["seed"] == 1
    assert naming.values_for({"nodes": nodes}, {"s.seed": 9}, 8, 8, item=1)["seed"] == 10
