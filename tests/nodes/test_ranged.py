"""Adapters that act in a part of the steps, inside the engine: a late change denoises again from there only."""

import json
from dataclasses import dataclass

import pytest
import torch

from engine import workflow
from engine.events import StepStarted
from engine.memory import Memory
from engine.numerics import Numerics
from engine.records import Records
from engine.session import Session
from nodes import load
from nodes.denoise import sample
from nodes.types import Latent
from tests.nodes.families.test_adapters import make_lora
from tests.parity.test_ip_adapter import adapter, vision

STEPS = 10
PICTURE = {"vae": {"from": "load.vae"}, "latent": {"from": "canvas.latent"}}


def flow(of: str, **change):
    """A small picture with a LoRA that acts from 0.4 on, or an IP-Adapter from 0.6 on."""
    nodes = {
        "load": ("load.model", {"model": "tiny-sd1"}),
        "red": ("text.encode", {"encoder": {"from": "load.text_encoder"}, "text": "a red cube"}),
        "empty": ("text.encode", {"encoder": {"from": "load.text_encoder"}, "text": ""}),
        "canvas": ("latent.empty", {"model": {"from": "load.model"}, "width": 64, "height": 64}),
        "style": ("lora.load", {"lora": "a"}),
        "late": ("lora.range", {"lora": {"from": "style.lora"}, "start": 0.4}),
        "on": ("lora.apply", {"model": {"from": "load.model"}, "lora": {"from": "late.lora"}, "strength": 0.8}),
        "hint": ("vae.decode", PICTURE),
        "eye": ("ip_adapter.load", {"adapter": "like.safetensors", "encoder": "eye"}),
        "look": ("ip_adapter.encode", {"adapter": {"from": "eye.adapter"}, "images": [{"from": "hint.image"}]}),
        "like": (
            "ip_adapter.apply",
            {
                **{"model": {"from": "load.model"}, "adapter": {"from": "eye.adapter"}},
                **{"prompt": {"from": "look.prompt"}, "start": 0.6, "strength": 0.7},
            },
        ),
        "sample": (
            "denoise.sample",
            {
                **{"model": {"from": f"{of}.model"}, "latent": {"from": "canvas.latent"}, "steps": STEPS, "seed": 1},
                **{"positive": {"from": "red.conditioning"}, "negative": {"from": "empty.conditioning"}, "cfg": 4.0},
            },
        ),
    }
    record = {
        "weft": 1,
        "nodes": {
            name: {"type": kind, "version": 1, "inputs": {**inputs, **change.get(name, {})}}
            for name, (kind, inputs) in nodes.items()
        },
        "outputs": {"latent": "sample.latent"},
    }
    return workflow.parse(json.dumps(record))


@pytest.fixture
def make(home, tiny_sd1, models):
    module = load.model("tiny-sd1").model.build("cpu", "float32")
    for seed, name in enumerate("ab"):
        make_lora(home.home / "models" / "loras" / name, module, seed)
        module = load.model("tiny-sd1").model.build("cpu", "float32")
    adapter(home.home / "models" / "ip_adapter" / "like.safetensors", module, "plus")
    vision(home.home / "models" / "clip_vision" / "eye")
    made = []

    def session() -> Session:
        numerics = Numerics(device="cpu", threads=1)
        made.append(Session(places=home, memory=Memory(), records=Records(), numerics=numerics, paranoid=True))
        return made[-1]

    yield session
    for one in made:
        one.close()


def run(session: Session, of: str, **change):
    """(latent, how many steps were known already)."""
    diary = []
    result = session.run(flow(of, **change), on_event=diary.append)
    assert result.state == "succeeded", result.problems
    known = [event.resumed for event in diary if isinstance(event, StepStarted) and event.path == "sample"]
    return result.outputs["latent"].samples, known


@pytest.mark.parametrize(
    ("of", "change", "known"),
    [
        ("on", {"style": {"lora": "b"}}, 4),
        ("on", {"on": {"strength": 0.3}}, 4),
        ("on", {"late": {"start": 0.4, "end": 0.7}}, 7),
        ("on", {"late": {"start": 0.2}}, 2),
        ("on", {"on": {"strength": 0.0}}, 4),
        ("like", {"like": {"strength": 0.2}}, 6),
        ("like", {"like": {"end": 0.8}}, 8),
    ],
)
def test_a_late_change_goes_on_from_where_the_adapter_begins(make, of, change, known):
    session = make()
    first, _ = run(session, of)
    node, inputs = next(iter(change.items()))
    full = {node: {**_inputs(of, node), **inputs}}
    again, resumed = run(session, of, **full)
    assert resumed == [known]
    clean, _ = run(make(), of, **full)
    assert torch.equal(again, clean)
    assert not torch.equal(again, first)


def _inputs(of: str, node: str):
    return {key: value for key, value in json.loads(workflow.dumps(flow(of)))["nodes"][node]["inputs"].items()}


@dataclass(frozen=True)
class Louder:
    """A third party's patch: the output times a number, in a range of steps."""

    times: float
    start: float = 0.0
    end: float = 1.0

    def attach(self, module, recipe):
        hook = module.register_forward_hook(lambda module, words, out: (out[0] * self.times,))
        return hook.remove


def test_a_patch_of_a_third_party_may_have_a_range_too(home, tiny_sd1):
    from nodes import text

    parts = load.model("tiny-sd1")
    canvas = Latent(torch.zeros(1, 4, 32, 32), parts.model.space)
    given = {"positive": text.encode(parts.text_encoder, "a red cube"), "seed": 3, "steps": 4, "cfg": 1.0}
    late = parts.model.with_patch(Louder(1.5, start=0.5))
    assert late.ranged
    half = sample(parts.model, latent=canvas, stop_step=2, **given).latent
    always = parts.model.with_patch(Louder(1.5))
    assert not always.ranged
    wanted = sample(always, latent=half, start_step=2, add_noise=False, **given).latent.samples
    found = sample(late, latent=canvas, **given).latent.samples
    assert torch.equal(found, wanted)
    assert not torch.equal(found, sample(always, latent=canvas, **given).latent.samples)
