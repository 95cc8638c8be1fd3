"""The benchmarks run: at toy size every row has its measure, its floor and their ratio. No time is asserted."""

import json
import math
from pathlib import Path

import pytest

from bench import __main__ as command
from bench import commands, planning, running, starter, worlds
from bench.measure import Row, difference, interleaved
from engine.workflow import Link
from tests.nodes.conftest import make_sd1


def whole(rows: list[Row], group: str) -> list[Row]:
    """The rows, each of them complete."""
    assert rows
    for row in rows:
        assert row.group == group
        assert row.name
        assert row.floor_is
        assert math.isfinite(row.measured)
        assert row.floor > 0
        assert row.ratio == pytest.approx(row.measured / row.floor)
        assert row.to_json()["ratio"] == row.ratio
    return rows


@pytest.fixture(scope="module")
def small_starter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose `starter/unet` is a tiny random model."""
    from diffusers import DDIMScheduler

    home = tmp_path_factory.mktemp("home")
    folder = make_sd1(home / "models" / "checkpoints" / "starter" / "unet")
    # As the starter's: the pipeline's own defaults would clip what it predicts.
    DDIMScheduler(
        beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False, steps_offset=1
    ).save_pretrained(folder / "scheduler")
    index = folder / "model_index.json"
    index.write_text(index.read_text().replace("PNDMScheduler", "DDIMScheduler"))
    return home


def test_planning_is_measured_beside_keys_that_list_every_ancestor():
    rows = whole(planning.rows(size=20, large=60, times=3), "plan")
    assert any(row.floor_is.startswith("naive") for row in rows)
    assert any(row.note.startswith("60 steps planned") for row in rows)


def test_running_is_measured_beside_the_naive_forms():
    rows = whole(running.rows(size=20, times=2), "run")
    assert sum(row.floor_is.startswith("naive") for row in rows) >= 4


def test_the_command_line_is_measured_in_processes_of_its_own(small_starter, monkeypatch):
    monkeypatch.setenv("WEFT_HOME", str(small_starter))
    rows = whole(commands.rows(times=1), "cli")
    assert [row.name for row in rows] == [f"weft {name}, CPU" for name in ("--help", "nodes", "check", "plan")]


def test_the_engine_makes_the_pipelines_picture_with_the_pipelines_forwards(small_starter, monkeypatch):
    monkeypatch.setenv("WEFT_HOME", str(small_starter))
    rows = {row.name: row for row in whole(starter.rows(pairs=1, steps=2, branched=2, cold=False), "starter")}
    assert rows["pictures that are bit-equal to the pipeline's"].ratio == 1
    assert [row.measured for name, row in rows.items() if name.startswith("forwards of")] == [2, 2, 1]
    assert all(row.ratio == 1 for name, row in rows.items() if name.startswith("forwards of"))


@pytest.mark.slow
def test_the_first_picture_of_a_process_is_measured_beside_a_script(small_starter, monkeypatch):
    monkeypatch.setenv("WEFT_HOME", str(small_starter))
    assert len(whole(starter.first_picture(times=1), "starter")) == 2


def test_a_model_that_is_not_there_is_one_line_and_the_rest_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WEFT_HOME", str(tmp_path))
    assert command.main(["starter", "--model", "nowhere", "--json", str(tmp_path / "rows.json")]) == 1
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("bench starter: left out: the model 'nowhere' is not there")
    written = json.loads((tmp_path / "rows.json").read_text())
    assert written["rows"] == []
    assert {"date", "processor", "cores", "python", "torch"} <= set(written["machine"])


def test_the_table_has_a_line_for_each_row():
    row = Row("plan", "a thing", 0.5, "ms", 2.0, "target", 0.25, "of a kind")
    assert command.table([row]).splitlines()[-1] == "| a thing (of a kind) | 0.5 ms | 0.25 ms | 2 ms | 0.25 | target |"


def test_naive_keys_tell_nodes_apart_by_all_that_is_above_them():
    flow = worlds.mesh(12)
    before, after = worlds.ancestor_keys(flow), worlds.ancestor_keys(worlds.edited(flow, 9))
    assert len(set(before.values())) == len(before)
    changed = {name for name in before if before[name] != after[name]}
    below = {"n0"}
    for name, node in flow.nodes.items():
        if any(isinstance(source, Link) and source.node in below for source in node.inputs.values()):
            below.add(name)
    assert changed == below


def test_pairs_are_taken_in_turn_and_told_their_round():
    seen: list[tuple[str, int]] = []
    first, second = interleaved([lambda turn: seen.append(("a", turn)), lambda turn: seen.append(("b", turn))], 2)
    assert seen == [("a", -1), ("b", -1), ("a", 0), ("b", 0), ("b", 1), ("a", 1)]
    assert len(difference(first, second).values) == 2
