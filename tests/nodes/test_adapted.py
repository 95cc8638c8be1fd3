"""LoRA, ControlNet and schedule wired in a workflow: only what a change touches runs again; errors name the socket."""

import json

import pytest
import torch
from safetensors.torch import save_file

from engine.errors import WeftError
from engine.events import StepStarted
from engine.places import Places
from engine.records import Records
from engine.session import Session
from engine.workflow import parse
from tests.nodes.families.test_adapters import make_lora

WORKFLOW = {
    "weft": 1,
    "nodes": {
        "load": {"type": "load.model", "inputs": {"model": "tiny-sd1"}},
        "style": {"type": "lora.load", "inputs": {"lora": "adapted.safetensors"}},
        "adapted": {
            "type": "lora.apply",
            "inputs": {"model": {"from": "load.model"}, "lora": {"from": "style.lora"}, "strength": 0.8},
        },
        "prompt": {"type": "text.encode", "inputs": {"encoder": {"from": "load.text_encoder"}, "text": "a red cube"}},
        "canvas": {"type": "latent.empty", "inputs": {"model": {"from": "load.model"}, "width": 64, "height": 64}},
        "hint": {"type": "vae.decode", "inputs": {"vae": {"from": "load.vae"}, "latent": {"from": "canvas.latent"}}},
        "net": {"type": "control.load", "inputs": {"controlnet": "tiny-canny"}},
        "control": {
            "type": "control.apply",
            "inputs": {"controlnet": {"from": "net.controlnet"}, "image": {"from": "hint.image"}, "end": 0.5},
        },
        "schedule": {"type": "schedule.make", "inputs": {"sampler": "dpmpp_2m", "scheduler": "karras", "steps": 4}},
        "noise": {"type": "noise.make", "inputs": {"seed": 7}},
        "sample": {
            "type": "denoise.sample",
            "inputs": {
                "model": {"from": "adapted.model"},
                "positive": {"from": "prompt.conditioning"},
                "latent": {"from": "canvas.latent"},
                "cfg": 1.0,
                "schedule": {"from": "schedule.schedule"},
                "noise": {"from": "noise.noise"},
                "control": {"from": "control.control"},
            },
        },
    },
    "outputs": {"latent": "sample.latent"},
}


@pytest.fixture
def session(models, tiny_sd1, tiny_controlnet, home, tmp_path):
    from nodes import load

    (models / "loras").mkdir(exist_ok=True)
    made = make_lora(tmp_path / "made", load.model("tiny-sd1").model.build("cpu", "float32"), 1)
    (made / "pytorch_lora_weights.safetensors").replace(models / "loras" / "adapted.safetensors")
    with Session(places=Places(home=tmp_path / "weft", model_folders=(models,)), records=Records()) as session:
        yield session


def edited(**changes):
    record = json.loads(json.dumps(WORKFLOW))
    for node, inputs in changes.items():
        record["nodes"][node]["inputs"].update(inputs)
    return parse(json.dumps(record))


def run(session, **changes):
    found = session.run(edited(**changes))
    assert found.state == "succeeded", found.problems
    return found


def test_only_what_a_change_touches_runs_again(session):
    first = run(session)
    assert {"sample", "prompt", "hint", "canvas"} <= set(first.ran)
    assert run(session).ran == []
    for change in (
        {"adapted": {"strength": 0.4}},
        {"control": {"strength": 0.5}},
        {"control": {"end": 1.0}},
        {"schedule": {"scheduler": "normal"}},
        {"noise": {"seed": 8}},
    ):
        changed = run(session, **change)
        assert changed.ran == ["sample"], change
        assert not torch.equal(changed["latent"].samples, first["latent"].samples), change
    assert run(session).ran == [], "and the first is still known"


def test_strength_0_is_the_plain_model_and_a_hit(session):
    plain = run(session, sample={"model": {"from": "load.model"}})
    off = run(session, adapted={"strength": 0.0})
    assert off.ran == []
    assert torch.equal(off["latent"].samples, plain["latent"].samples)


def test_a_later_change_of_a_range_keeps_the_steps_before_it(session):
    run(session, control={"end": 0.5})
    whole = run(session, control={"end": 1.0})
    started = next(event for event in whole.events if isinstance(event, StepStarted) and event.path == "sample")
    assert (started.resumed, started.steps) == (2, 4), "half of the steps are the same with the net and without"
    session.engine.cache.clear()
    assert torch.equal(run(session, control={"end": 1.0})["latent"].samples, whole["latent"].samples)


def test_a_lora_of_another_family_is_an_error_on_the_socket_before_anything_runs(session, models):
    key = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.lora_{}.weight"
    wide = {key.format("A"): torch.ones(4, 768), key.format("B"): torch.ones(16, 4)}
    save_file(wide, models / "loras" / "sd15.safetensors")
    with pytest.raises(WeftError) as refused:
        session.run(edited(style={"lora": "sd15.safetensors"}))
    problem = refused.value.problem
    assert (problem.code, problem.where.path, problem.where.socket) == ("facts.mismatch", "adapted", "lora")
    assert "made for sd1, the model is sd1-32" in problem.message


@pytest.mark.parametrize(
    ("change", "path", "says"),
    [
        ({"schedule": {"sampler": "ddim"}}, "schedule", "evenly in time"),
        ({"schedule": {"sampler": "lcm", "scheduler": "exponential"}}, "sample", "distilled"),
        ({"control": {"start": 0.9}}, "control", "no step in it"),
        ({"style": {"lora": "stile.safetensors"}}, "style", "no lora named 'stile.safetensors'"),
        ({"net": {"controlnet": "tiny-cany"}}, "net", "Did you mean 'tiny-canny'"),
    ],
)
def test_what_cannot_be_is_an_error_before_anything_runs(session, change, path, says):
    with pytest.raises(WeftError, match=says) as refused:
        session.run(edited(**change))
    assert refused.value.problem.where.path == path
