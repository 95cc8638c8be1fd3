"""Every family in the engine, folder and file: a late change runs what it changes, mistakes are told by the plan."""

import json

import pytest
import torch

from engine import workflow
from engine.errors import WeftError
from engine.events import StepStarted
from engine.memory import Memory
from engine.numerics import Numerics
from engine.records import Records
from engine.session import Session
from tests.nodes.conftest import make_sdxl
from tests.nodes.test_single_file import write

MODELS = ("tiny-sdxl", "tiny-flux", "tiny-sdxl.safetensors")


@pytest.fixture
def session(home, tiny_sdxl, tiny_flux):
    folder = home.home / "models" / "checkpoints"
    folder.mkdir(parents=True)
    write("sdxl", tiny_sdxl, folder / "tiny-sdxl.safetensors")
    numerics = Numerics(device="cpu", threads=1)
    made = Session(places=home, memory=Memory(), records=Records(), numerics=numerics, paranoid=True)
    yield made
    made.close()


def flow(model: str, **change):
    """Text to image; `change` replaces a node's inputs."""
    flux = "flux" in model
    guided = {"cfg": 1.0, "scheduler": "simple"} if flux else {"cfg": 4.0, "negative": {"from": "empty.conditioning"}}
    nodes = {
        "load": ("load.model", {"model": model}),
        "red": ("text.encode", {"encoder": {"from": "load.text_encoder"}, "text": "a red cube"}),
        "size": ("text.size", {"conditioning": {"from": "red.conditioning"}}),
        "empty": ("text.encode", {"encoder": {"from": "load.text_encoder"}, "text": ""}),
        "canvas": ("latent.empty", {"model": {"from": "load.model"}, "width": 64, "height": 64}),
        "sample": (
            "denoise.sample",
            {
                **{"model": {"from": "load.model"}, "latent": {"from": "canvas.latent"}, "steps": 2, "seed": 1},
                **{"positive": {"from": "size.conditioning"}, **guided},
            },
        ),
        "decode": ("vae.decode", {"vae": {"from": "load.vae"}, "latent": {"from": "sample.latent"}}),
    }
    record = {
        "weft": 1,
        "nodes": {
            name: {"type": kind, "version": 1, "inputs": {**inputs, **change.get(name, {})}}
            for name, (kind, inputs) in nodes.items()
        },
        "outputs": {"image": "decode.image"},
    }
    return workflow.parse(json.dumps(record))


@pytest.mark.parametrize("model", MODELS)
def test_a_late_change_runs_what_it_changes(session, model):
    first = session.run(flow(model))
    assert {"red", "sample", "decode"} <= set(first.ran)
    assert first.outputs["image"].pixels.shape == (1, 64, 64, 3)
    again = session.run(flow(model))
    assert not again.ran
    assert torch.equal(again.outputs["image"].pixels, first.outputs["image"].pixels)
    assert set(session.run(flow(model, sample={"seed": 2})).ran) == {"sample", "decode"}


@pytest.mark.parametrize("model", ["tiny-sdxl", "tiny-flux"])
def test_half_precision_is_near_the_picture_in_full(session, home, model):
    numerics = Numerics(device="cpu", dtype="bfloat16", threads=1)
    half = Session(places=home, memory=Memory(), records=Records(), numerics=numerics)
    try:
        found = half.run(flow(model)).outputs["image"].pixels
    finally:
        half.close()
    full = session.run(flow(model)).outputs["image"].pixels
    assert not torch.equal(found, full)
    assert (found - full).abs().mean() < 0.02


def test_telling_another_size_encodes_nothing_anew(session):
    first = session.run(flow("tiny-sdxl")).outputs["image"].pixels
    told = session.run(flow("tiny-sdxl", size={"width": 512, "height": 512}))
    assert set(told.ran) == {"sample", "decode"}
    assert not torch.equal(told.outputs["image"].pixels, first)


def test_a_file_gives_the_folders_picture(session):
    file, folder = (session.run(flow(name)).outputs["image"].pixels for name in ("tiny-sdxl.safetensors", "tiny-sdxl"))
    assert torch.equal(file, folder)


def refused(session, graph):
    """The problem, found before any step began."""
    diary = []
    with pytest.raises(WeftError) as caught:
        session.run(graph, on_event=diary.append)
    assert not any(isinstance(event, StepStarted) for event in diary)
    return caught.value.problem


def test_guiding_flux_twice_is_told_by_the_plan(session):
    problem = refused(session, flow("tiny-flux", sample={"cfg": 4.0}))
    assert (problem.where.path, problem.where.socket) == ("sample", "cfg")
    assert "would guide it twice" in problem.message


def test_another_models_text_is_told_by_the_plan(session, home):
    make_sdxl(home.home / "models" / "checkpoints" / "tiny-refiner", refiner=True)
    record = json.loads(workflow.dumps(flow("tiny-sdxl")))
    record["nodes"]["other"] = {"type": "load.model", "version": 1, "inputs": {"model": "tiny-refiner"}}
    record["nodes"]["empty"]["inputs"]["encoder"] = {"from": "other.text_encoder"}
    problem = refused(session, workflow.parse(json.dumps(record)))
    assert (problem.code, problem.where.path, problem.where.socket) == ("facts.mismatch", "sample", "negative")
