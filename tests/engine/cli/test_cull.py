"""`weft cull`: many variants a few steps far on one sheet, and only the chosen ones to their end."""

import json
from pathlib import Path

import PIL.Image
import pytest

from engine.cli import main
from engine.events import StepStarted
from engine.session import Job
from tests.engine.flows import box

NODES = {
    "load": box("load.model", model="starter/unet"),
    "text": box("text.encode", encoder="@load.text_encoder", text="a red sphere"),
    "none": box("text.encode", encoder="@load.text_encoder", text=""),
    "canvas": box("latent.empty", model="@load.model", width=64, height=64),
    "sample": box(
        "denoise.sample",
        **{"model": "@load.model", "latent": "@canvas.latent", "positive": "@text.conditioning"},
        **{"negative": "@none.conditioning", "steps": 30, "seed": "random"},
    ),
    "decode": box("vae.decode", vae="@load.vae", latent="@sample.latent"),
    "save": box("image.save", image="@decode.image"),
}
FLOW = {
    "weft": 1,
    "title": "ideas",
    "nodes": NODES,
    "parameters": {"seed": {"to": ["sample.seed"]}},
    "outputs": {"image": "save.image"},
}


@pytest.fixture
def steps(monkeypatch):
    """How many steps each run of the sampler had to do."""
    done: list[int] = []
    tell = Job.tell

    def listen(self, event):
        if isinstance(event, StepStarted) and event.path == "sample":
            done.append(event.steps - event.resumed)
        tell(self, event)

    monkeypatch.setattr(Job, "tell", listen)
    return done


@pytest.fixture
def flow(tmp_path, monkeypatch):
    monkeypatch.setenv("WEFT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    Path("flow.json").write_text(json.dumps(FLOW))
    return "flow.json"


def told(capfd) -> dict:
    return json.loads(capfd.readouterr().out)


def test_a_sheet_is_drawn_for_the_stops_alone_and_the_chosen_ones_finish_in_another_session(flow, steps, capfd):
    assert main(["cull", flow, "--sweep", "seed=1..5", "--stop", "12", "--json"]) == 0
    drawn = told(capfd)
    assert steps == [12] * 5
    assert [run["name"] for run in drawn["runs"]] == [f"seed={seed}" for seed in range(1, 6)]
    assert [file.name for file in Path("home/output").iterdir()] == [Path(drawn["sheet"]).name]
    sheet = PIL.Image.open(drawn["sheet"])
    assert sheet.size == (3 * (64 + 4) + 4, 2 * (64 + 16 + 4) + 4)
    # A cell is empty where there is no fifth and sixth picture, and no other is.
    corners = [
        sheet.crop((4 + x * 68, 20 + y * 84, 68 + x * 68, 84 + y * 84)).getextrema() for y in (0, 1) for x in range(3)
    ]
    assert [cell == ((255, 255),) * 3 for cell in corners] == [False] * 5 + [True]
    steps.clear()
    assert main(["cull", drawn["sheet"], "--finish", "2,5", "--json"]) == 0
    finished = told(capfd)
    assert [run["number"] for run in finished["runs"]] == [2, 5]
    assert steps == [18, 18]
    main(["run", flow, "--set", "seed=2", "--no-cache", "--out", "clean", "--json"])
    one, clean = (PIL.Image.open(run["files"][0]) for run in (finished["runs"][0], told(capfd)))
    assert one.tobytes() == clean.tobytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cull", "flow.json"], "either --stop STEP or --finish NUMBERS"),
        (["cull", "flow.json", "--finish", "3"], "is no sheet of weft cull"),
        (["cull", "flow.json", "--sweep", "seed=1..3", "--stop", "soon"], "that is no step"),
        (["cull", "flow.json", "--sweep", "seed=1..3", "--stop", "decode=3"], "nodes that can: sample"),
    ],
)
def test_what_is_meant_otherwise_is_told_in_one_line(flow, capfd, words, said):
    assert main(words) == 2
    assert said in capfd.readouterr().err
