"""What denoise.sample advises: the field's common mistakes, said before the run, and nothing about what is usual."""

from dataclasses import replace
from pathlib import Path

import PIL.Image
import pytest

from engine.memory import Memory
from engine.node import spec_of
from engine.numerics import Numerics
from engine.places import Places
from engine.records import Records
from engine.session import Session
from engine.sockets import Ref
from engine.workflow import from_json, read
from nodes.denoise import sample
from nodes.denoise.lints import advice
from nodes.types import (
    Adapter,
    Control,
    ControlItem,
    ControlNet,
    Denoiser,
    Guidance,
    LatentSpace,
    Lora,
    Schedule,
    Weights,
    plain,
)

WORKFLOWS = Path(__file__).resolve().parents[2] / "workflows"
USUAL = {"sampler": "euler", "scheduler": "normal", "steps": 20, "denoise": 1.0, "cfg": 7.0, "seed": 0}
LORA = Adapter(Lora(Weights("l", "lora", ""), "sd1"))


def denoiser(training=None, **changes):
    recipe = Denoiser(
        Weights("w", "unet", ""),
        "sd1",
        LatentSpace("sd1", 4, 8),
        "v_prediction",
        training=plain(training or {}),
        config=plain({"sample_size": 64}),
    )
    return replace(recipe, **changes)


def told(training=None, model=None, **inputs):
    lints = advice(model=model or denoiser(training), **{**USUAL, **inputs})
    return [(lint.code, lint.where.socket) for lint in lints]


def ref(**facts):
    return Ref("0" * 32, facts)


def test_the_node_asks_for_it():
    assert spec_of(sample).lints == "nodes.denoise.lints:advice"


@pytest.mark.parametrize(
    "usual",
    [
        {},
        {"cfg": 15.0},
        {"sampler": "ddim", "steps": 50, "cfg": 1.0},
        {"sampler": "lcm", "steps": 8, "cfg": 2.0, "model": denoiser(adapters=(LORA,))},
        {"sampler": "lcm", "steps": 4, "cfg": 1.0, "negative": ref(), "model": denoiser(adapters=(LORA,))},
        {"sampler": "euler_ancestral", "steps": 30},
        {"negative": ref(), "latent": ref(width=512, height=512)},
        {"negative": ref(zeroed=True), "model": denoiser(family="sdxl")},
        {"negative": ref(zeroed=True), "cfg": 1.0, "steps": 4, "model": denoiser(distilled_guidance=True)},
        {"latent": ref(picture=True), "denoise": 0.6},
        {"latent": ref(width=512, height=320)},
        {"guidance": Guidance(1.0, kind="embedded", options=plain({"scale": 3.5})), "model": "dev"},
        {"control": Control((ControlItem(ControlNet(Weights("c", "c", ""), "sd1"), ref(), 1.0),))},
    ],
)
def test_what_is_usual_is_left_in_peace(usual):
    if usual.get("model") == "dev":
        usual = {**usual, "model": DEV}
    assert told(**usual) == []


DEV = denoiser(distilled_guidance=True, config=plain({"guidance": 3.5}))
SCHNELL = denoiser(distilled_guidance=True)


@pytest.mark.parametrize(
    ("inputs", "lints"),
    [
        ({"cfg": 20.0}, [("lint.cfg_high", "cfg")]),
        ({"guidance": Guidance(20.0)}, [("lint.cfg_high", "guidance")]),
        (
            {"guidance": Guidance(1.0, kind="embedded", options=plain({"scale": 30.0})), "model": DEV},
            [("lint.cfg_high", "guidance")],
        ),
        ({"cfg": 1.0, "negative": ref()}, [("lint.negative_unread", "negative")]),
        ({"negative": ref(zeroed=True)}, [("lint.zeroed", "negative")]),
        ({"sampler": "lcm", "steps": 4, "model": denoiser(adapters=(LORA,))}, [("lint.cfg_distilled", "cfg")]),
        ({"sampler": "lcm", "steps": 4, "cfg": 1.5}, [("lint.not_distilled", "sampler")]),
        (
            {"sampler": "tcd", "cfg": 1.0, "steps": 30, "model": denoiser(adapters=(LORA,))},
            [("lint.steps_many", "steps")],
        ),
        (
            {"schedule": Schedule("lcm", "normal", 9), "cfg": 1.5, "model": denoiser(adapters=(LORA,))},
            [("lint.steps_many", "schedule")],
        ),
        ({"cfg": 1.0, "model": SCHNELL}, [("lint.steps_many", "steps")]),
        ({"steps": 4}, [("lint.steps_few", "steps")]),
        ({"sampler": "euler_ancestral", "steps": 60}, [("lint.steps_many", "steps")]),
        ({"latent": ref(width=1024, height=768)}, [("lint.size", "latent")]),
        ({"latent": ref(width=256, height=256)}, [("lint.size", "latent")]),
        ({"denoise": 0.0}, [("lint.strength", "denoise")]),
        ({"latent": ref(picture=True)}, [("lint.strength", "denoise")]),
        (
            {"control": Control((ControlItem(ControlNet(Weights("c", "c", ""), "sd1"), ref(), 3.0),))},
            [("lint.control_strong", "control")],
        ),
    ],
)
def test_what_seldom_gives_what_was_meant_is_said_on_its_socket(inputs, lints):
    assert told(**{"cfg": 7.0, **inputs}) == lints


def test_a_spacing_that_leaves_out_where_zero_snr_starts():
    zero = {"rescale_betas_zero_snr": True}
    assert told(zero, sampler="ddim") == [("lint.spacing_late", "scheduler")]
    assert told(zero, scheduler="ddim_uniform") == [("lint.spacing_late", "scheduler")]
    assert told(zero) == told(zero, sampler="ddim", scheduler="sgm_uniform") == []
    assert told({}, sampler="ddim") == []


def test_what_is_not_known_yet_is_not_judged():
    assert told({}, guidance=Ref("0" * 32), cfg=99.0) == []


def test_each_one_is_a_lint_with_a_mend_in_one_line():
    for lint in advice(model=Ref("0"), **{**USUAL, "sampler": "lcm", "cfg": 9.0}):
        assert lint.severity == "lint"
        assert lint.mend is not None
        assert "\n" not in lint.line()


# --- in a graph, before any weight is read --------------------------------------------------------------------------

LOAD = {"type": "load.model", "version": 1, "inputs": {"model": "tiny-sd1"}}
TEXT = {"type": "text.encode", "version": 1, "inputs": {"encoder": {"from": "load.text_encoder"}, "text": "a"}}
ENCODE = {"vae": {"from": "load.vae"}, "image": {"from": "picture.image"}}


@pytest.fixture
def lints(home, tiny_sd1, tmp_path):
    """The lints of a graph as (code, path, socket), told by a plan; nothing runs and no weight is read."""
    session = Session(places=home, records=Records(), memory=Memory({"cpu": 2**30}), numerics=Numerics())
    home.input.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB", (64, 64), "red").save(home.input / "red.png")

    def tell(**nodes):
        flow = from_json({"weft": 1, "nodes": nodes})
        plan = session.plan(flow, targets=["sample"] if "sample" in nodes else None)
        assert plan.problems == ()
        return [(lint.code, lint.where.path, lint.where.socket) for lint in plan.lints]

    yield tell
    session.close()


def sampling(**inputs):
    wired = {
        "model": {"from": "load.model"},
        "positive": {"from": "text.conditioning"},
        "negative": {"from": "negative.conditioning"},
        "latent": {"from": "latent.latent"},
    }
    return {"type": "denoise.sample", "version": 1, "inputs": {**wired, **inputs}}


PICTURE = {"type": "image.load", "version": 1, "inputs": {"name": "red.png"}}
ZERO = {"type": "text.zero", "version": 1, "inputs": {"conditioning": {"from": "text.conditioning"}}}


def test_a_picture_redrawn_at_full_strength_is_told_and_one_in_part_is_not(lints):
    latent = {"type": "vae.encode", "version": 1, "inputs": ENCODE}
    graph = {"load": LOAD, "text": TEXT, "negative": TEXT, "picture": PICTURE, "latent": latent}
    assert lints(**graph, sample=sampling()) == [("lint.strength", "sample", "denoise")]
    assert lints(**graph, sample=sampling(denoise=0.6)) == []


def test_zeros_in_place_of_the_empty_prompt_are_told_for_sd1(lints):
    empty = {"type": "latent.empty", "version": 1, "inputs": {"model": {"from": "load.model"}}}
    canvas = {**empty, "inputs": {**empty["inputs"], "width": 64, "height": 64}}
    graph = {"load": LOAD, "text": TEXT, "latent": canvas}
    told = lints(**graph, negative=ZERO, sample=sampling())
    assert ("lint.zeroed", "sample", "negative") in told
    assert all(code != "lint.zeroed" for code, *_ in lints(**graph, negative=TEXT, sample=sampling()))


@pytest.mark.parametrize("name", sorted(path.stem for path in WORKFLOWS.glob("*.json")))
def test_what_ships_is_silent(name, tmp_path):
    session = Session(places=Places(home=tmp_path), records=Records(), numerics=Numerics())
    assert session.plan(read(WORKFLOWS / f"{name}.json")).lints == ()
    session.close()
