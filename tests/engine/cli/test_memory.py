"""`weft memory`: what a device has, what a workflow needs there, who holds what on a server."""

import json

import pytest

from engine.cli import main

FLOW = {
    "weft": 1,
    "title": "memory",
    "nodes": {
        "load": {"type": "load.model", "inputs": {"model": "starter/unet"}},
        "prompt": {"type": "text.encode", "inputs": {"encoder": {"from": "load.text_encoder"}, "text": "a red cube"}},
        "canvas": {"type": "latent.empty", "inputs": {"model": {"from": "load.model"}, "width": 512, "height": 512}},
        "sample": {
            "type": "denoise.sample",
            "inputs": {
                "model": {"from": "load.model"},
                "positive": {"from": "prompt.conditioning"},
                "negative": {"from": "prompt.conditioning"},
                "latent": {"from": "canvas.latent"},
                "seed": "random",
            },
        },
        "decode": {"type": "vae.decode", "inputs": {"vae": {"from": "load.vae"}, "latent": {"from": "sample.latent"}}},
    },
    "outputs": {"image": "decode.image"},
}


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("WEFT_HOME", str(tmp_path / "weft"))
    path = tmp_path / "flow.json"
    path.write_text(json.dumps(FLOW))
    return str(path)


def told(capsys, *words):
    code = main(["memory", *words])
    return code, capsys.readouterr().out


def test_without_a_file_the_device_is_told(file, capsys):
    code, out = told(capsys, "--device", "cpu", "--json")
    found = json.loads(out)
    assert code == 0 and found["total"] >= found["limit"] > 0 and found["device"] == "cpu"
    assert "Weft may use" in told(capsys, "--device", "cpu")[1]


def test_each_model_of_a_workflow_is_listed_with_its_weights_and_activations(file, capsys):
    code, out = told(capsys, file, "--budget", "8192", "--json")
    found = json.loads(out)
    rows = {row["path"]: row for row in found["steps"]}
    assert code == 0 and list(rows) == ["prompt", "sample", "decode"]  # a canvas leases nothing
    assert found["dtype"] == "float16" and found["limit"] == 8192 * 2**20
    assert all(row["way"] == "whole" and row["fits"] for row in rows.values())
    assert rows["sample"]["working"] > 0 and rows["decode"]["working"] > rows["sample"]["working"]
    assert found["most"] == max(row["on_device"] for row in rows.values())


def test_a_budget_that_is_too_small_is_told_before_anything_is_loaded(file, capsys):
    code, out = told(capsys, file, "--budget", "30")
    assert code == 0 and "in layers, from the host" in out and "whole, and it is too large" in out
    assert "it may run out" in out


def test_float32_takes_twice_the_weights_of_float16(file, capsys):
    full, half = (
        {row["path"]: row["weights"] for row in json.loads(told(capsys, file, *words, "--json")[1])["steps"]}
        for words in (["--device", "cpu"], ["--budget", "8192"])
    )
    assert full["sample"] == 2 * half["sample"]


def test_a_budget_of_nothing_is_a_mistake(file, capsys):
    assert main(["memory", "--budget", "0"]) == 2
    assert "8192" in capsys.readouterr().err


def test_a_workflow_that_cannot_be_planned_is_an_error_and_not_said_to_fit(file, capsys):
    code = main(["memory", file, "--budget", "8192", "--set", "load.model=nowhere"])
    shown = capsys.readouterr()
    assert code != 0 and "nowhere" in shown.err and "it fits" not in shown.out
