"""The benchmarks run: at toy size every row has its measure, its floor and their ratio. No time is asserted."""

import json
import math
from pathlib import Path

import pytest

from bench import __main__ as command
from bench import (
    ahead,
    commands,
    editing,
    gpu,
    loading,
    overlap,
    planning,
    quality,
    reuse,
    running,
    serving,
    starter,
    worlds,
)
from bench.measure import Row, difference, interleaved
from engine.workflow import Link
from tests.nodes.conftest import make_sd1


def whole(rows: list[Row], group: str, nothing: bool = False) -> list[Row]:
    """The rows, each of them complete; `nothing` may be a floor."""
    assert rows
    for row in rows:
        assert row.group == group
        assert row.name
        assert row.floor_is
        assert math.isfinite(row.measured)
        assert row.floor > 0 or nothing
        assert row.ratio == (
            pytest.approx(row.measured / row.floor) if row.floor else 1 if row.measured == 0 else math.inf
        )
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


def test_reading_ahead_is_measured_beside_a_session_without_it(tmp_path):
    try:
        rows = whole(ahead.rows(times=1, size=16 * 2**20, turns=60), "ahead")
    except AssertionError as error:
        if "whatever it is told" in str(error):
            pytest.skip("this file system keeps everything in memory")
        raise
    assert rows[0].measured < rows[0].floor == 16


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


def test_the_plan_of_an_edit_is_measured_over_http_and_every_node_is_in_it(small_starter, monkeypatch):
    monkeypatch.setenv("WEFT_HOME", str(small_starter))
    [row] = whole(serving.rows(count=2, times=1), "starter")
    assert "13 real nodes" in row.name and row.floor == 100


@pytest.mark.timeout(400)
def test_a_change_costs_the_forwards_of_the_steps_it_acts_in_and_no_more(small_starter, monkeypatch):
    """The floors of reuse are met to the forward, and what was resumed is bit-equal to a run from scratch."""
    monkeypatch.setenv("WEFT_HOME", str(small_starter))
    rows = {row.name: row for row in whole(reuse.rows(steps=10, cold=False, many=2), "reuse", nothing=True)}
    for name, row in rows.items():
        if "times fewer" in name:
            assert row.ratio >= 1, name
        else:
            assert row.ratio == 1, name
    assert {row.measured for name, row in rows.items() if "bit-equal" in name} == {1}
    assert rows["an unchanged run again"].measured == rows["A, B, A: the first again"].measured == 0
    assert rows["a prompt that acts from 70% on changed"].measured == 3


def test_edits_are_replayed_through_the_real_cache_within_two_points_of_who_knows_the_future():
    """Seconds are counted, not taken: the figures are the same on every machine."""
    rows = whole(editing.rows(), "editing")
    small = rows[0]
    assert "64 MB" in small.name and small.floor - small.measured <= editing.TARGET
    lru = [float(row.note.split("LRU by bytes ")[1].split(",")[0]) for row in rows]
    assert all(row.measured > bytes_alone for row, bytes_alone in zip(rows, lru, strict=True))
    states = editing.session(5)
    everything = sum(node.seconds for node in editing.NODES.values())
    assert editing.replay(editing.Engine(0, states), states[:2]) == pytest.approx(2 * everything)


def test_overlap_cancel_and_batch_are_measured_from_the_diary(small_starter, monkeypatch):
    monkeypatch.setenv("WEFT_HOME", str(small_starter))
    rows = whole(overlap.rows(steps=2, pictures=2, scale=2), "overlap")
    assert len(rows) == 3 and 0 <= rows[0].measured <= 100


def test_the_cost_of_a_choice_is_measured_beside_the_exact_run(small_starter, monkeypatch, tmp_path):
    monkeypatch.setenv("WEFT_HOME", str(small_starter))
    found = quality.measure(count=1, steps=4, choices=(quality.CHOICES[0], quality.CHOICES[-1]))
    exact, deep = whole(quality.rows(found), "quality")
    assert exact.note.startswith("0.00 levels away") and not deep.note.startswith("0.00 levels away")
    quality.sheet(found, tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 500


def test_the_gpu_bench_runs_on_toy_models(tmp_path):
    rows = whole(gpu.rows(["sd1"], "cpu", steps=1, times=1, tiny=True, compiled=False), "gpu")
    assert [row.name.rpartition(": ")[2] for row in rows] == ["eager", "memory capped at 25%", "memory capped at 10%"]


@pytest.mark.slow
def test_loading_is_measured_in_processes_of_its_own_and_gives_diffusers_weights():
    rows = whole(loading.rows(width=32, times=1, dtypes=("float32",)), "load")
    assert len(rows) == 6 and any("anonymous memory" in row.name for row in rows)


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
