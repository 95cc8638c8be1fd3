"""`weft cache`: what is kept on disk, and why something was not found there."""

import json
from pathlib import Path

import pytest

from engine.cli import main
from engine.disk import Disk
from tests.engine.flows import box
from tests.engine.toys import Thing

FLOW = {
    "weft": 1,
    "nodes": {
        "load": box("load.model", model="starter/unet"),
        "text": box("text.encode", encoder="@load.text_encoder", text="a red sphere"),
        "canvas": box("latent.empty", model="@load.model", width=64, height=64),
        "sample": box(
            "denoise.sample",
            **{"model": "@load.model", "latent": "@canvas.latent", "positive": "@text.conditioning"},
            **{"steps": 16, "seed": 1, "cfg": 1.0},
        ),
    },
    "outputs": {"latent": "sample.latent"},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home in which the flow has run once."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEFT_HOME", str(folder / "weft"))
        (folder / "flow.json").write_text(json.dumps(FLOW))
        assert main(["run", str(folder / "flow.json")]) == 0
    return folder


@pytest.fixture
def cache(home, monkeypatch, capfd):
    monkeypatch.setenv("WEFT_HOME", str(home / "weft"))
    monkeypatch.chdir(home)

    def call(*words: str):
        capfd.readouterr()
        code = main(["cache", *words])
        return code, capfd.readouterr().out

    return call


def test_the_values_are_listed_with_what_they_were_made_of(cache):
    _, text = cache("ls", "--json")
    rows = json.loads(text)
    latent = next(row for row in rows if row["about"].get("output") == "latent")
    assert latent["about"]["node"] == "denoise.sample"
    assert {"in.seed", "in.model", "numerics", "version"} <= set(latent["about"])
    shown = cache("show", latent["id"][:12])[1]
    assert "denoise.sample version" in shown
    assert "output latent" in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "sample.seed=2"], "seed differs from the nearest"),
        (["--set", "sample.seed=2", "sample.steps=15"], "seed and steps differ from the nearest"),
        (["--dtype", "bfloat16"], "the numerics (versions of torch"),
    ],
)
def test_why_says_which_inputs_differ_from_the_nearest_kept_value(cache, words, said):
    code, text = cache("why", "flow.json", "sample", *words, "--json")
    assert code == 0
    assert next(row["why"] for row in json.loads(text) if row["output"] == "latent").startswith(said)


def test_why_has_nothing_to_say_of_what_is_there(cache):
    assert cache("why", "flow.json") == (0, "nothing would run\n")
    assert "it is not looked for: hit" in cache("why", "flow.json", "sample")[1]


def test_why_without_a_workflow_or_of_an_unknown_step_is_told(cache, capfd):
    assert main(["cache", "why"]) == 2
    assert main(["cache", "why", "flow.json", "smaple"]) == 2
    assert "did you mean" in capfd.readouterr().err.lower()


def test_verify_removes_what_is_damaged_and_says_so(cache, home):
    disk = Disk(home / "weft" / "cache", {"engine", "nodes"})
    first = next(iter(disk.entries())).path
    copy = Path(str(first).replace(first.stem, f"{first.stem[:2]}damaged"))
    copy.write_bytes(first.read_bytes())
    code, text = cache("verify", "--json")
    assert (code, json.loads(text)["removed"]) == (1, [copy.name])
    assert cache("verify")[0] == 0


def test_verify_leaves_the_values_of_packs_that_are_not_installed_here(cache, home):
    disk = Disk(home / "weft" / "cache", {"engine", "nodes", "tests"}, quick=0.0)
    disk.put("abpack.out", Thing("of a pack"), 1.0)
    disk.close()
    assert cache("verify")[0] == 0
    assert disk.get("abpack.out") == Thing("of a pack")
    assert Disk(disk.folder, {"engine", "nodes"}).get("abpack.out") is None  # nor does asking for it take it away
    assert disk.get("abpack.out") == Thing("of a pack")


def test_a_cache_that_cannot_be_written_costs_the_run_nothing_and_is_told(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("WEFT_HOME", str(tmp_path / "weft"))
    (tmp_path / "weft").mkdir()
    (tmp_path / "weft" / "cache").write_text("in the way")
    (tmp_path / "flow.json").write_text(json.dumps(FLOW))
    assert main(["run", str(tmp_path / "flow.json")]) == 0
    assert "values could not be kept for the next run" in capfd.readouterr().err
