"""Runs of the loop that share forwards: as close to single runs as rounding lets them be, and far fewer forwards."""

from dataclasses import dataclass
from typing import ClassVar

import diffusers
import pytest
import torch

from engine.disk import Disk
from engine.events import StepStarted
from engine.memory import Memory
from engine.node import Alone
from engine.numerics import Numerics
from engine.plan import Frontier
from engine.records import Records
from engine.session import Session
from engine.sockets import Ref
from engine.workflow import from_json, to_json
from nodes.denoise.together import alike
from nodes.families.choices import Deep
from tests.nodes.families.test_adapters import make_lora
from tests.nodes.test_denoise_in_the_engine import STEPS, flow

# What a forward of many rows may change: the order of sums.
CLOSE = 1e-4


@pytest.fixture
def session(home):
    with Session(places=home, memory=Memory(), records=Records(), numerics=Numerics("cpu", threads=1)) as made:
        yield made


@pytest.fixture
def forwards():
    """The rows of each forward of a UNet."""
    counted = []

    def count(module, inputs):
        if type(module).__name__ == "UNet2DConditionModel":
            counted.append(len(inputs[0]))

    hook = torch.nn.modules.module.register_module_forward_pre_hook(count)
    yield counted
    hook.remove()


def latents(results):
    return [result.outputs["latent"].samples for result in results]


def differences(session, work, variants):
    """Each variant alone, then together: the largest difference of each."""
    alone = [session.run(work, values).outputs["latent"].samples for values in variants]
    together = latents(session.together(work, variants))
    return [float((a - b).abs().max() / a.abs().max()) for a, b in zip(alone, together, strict=True)]


VARIANTS = [
    {"sample.seed": 1},
    {"sample.seed": 2, "red.text": "a green ball"},
    {"sample.seed": 3, "guide.scale": 2.0},
    {"sample.seed": 4, "sample.sampler": "dpmpp_2m"},
    {"sample.seed": 5, "sample.steps": 6},
    {"sample.seed": 6, "guide.stop": 0.5},
]


@pytest.mark.parametrize("model", ["tiny-sd1", "tiny-sd3"])
def test_each_is_its_single_run_but_for_rounding(session, tiny_sd1, tiny_sd3, model):
    sampler = {"sampler": "euler"} if model == "tiny-sd3" else {}
    variants = [one for one in VARIANTS if model == "tiny-sd1" or "sample.sampler" not in one]
    found = differences(session, flow(load={"model": model}, sample=sampler), variants)
    assert max(found) < CLOSE
    work = flow(load={"model": model}, sample=sampler)
    assert len({tuple(one.flatten()[:8].tolist()) for one in latents(session.together(work, variants))}) == len(
        variants
    )


def test_so_many_share_each_forward(session, tiny_sd1, forwards):
    work = flow()
    variants = [{"sample.seed": seed} for seed in range(8)]
    session.run(work, {"sample.seed": 99})
    forwards.clear()
    results = session.together(work, variants)
    assert len(forwards) == STEPS
    assert forwards[0] == 8 * 2  # the unconditional prediction and one prompt of each
    assert [result.state for result in results] == ["succeeded"] * 8


def test_those_that_stop_go_on_together_from_where_they_are(session, tiny_sd1):
    work = flow()
    variants = [{"sample.seed": seed} for seed in range(3)]
    stopped = [{**one, "sample.stop_step": stop} for one, stop in zip(variants, (4, 6, 8), strict=True)]
    session.together(work, stopped)
    results = session.together(work, variants)
    known = [e.resumed for r in results for e in r.events if isinstance(e, StepStarted) and e.path == "sample"]
    assert known == [4, 6, 8]
    again = session.together(work, variants)
    assert [result.ran for result in again] == [[], [], []]


def test_a_step_that_was_interrupted_goes_on_after_a_restart(home, tiny_sd1):
    work, variants = flow(), [{"sample.seed": seed} for seed in range(3)]

    def session():
        lower = Disk(home.home / "cache", {"engine", "nodes"}, quick=0.0)
        made = Session(
            places=home, memory=Memory(), records=Records(), numerics=Numerics("cpu", threads=1), lower=lower
        )
        made.engine.checkpoints.spacing = made.engine.checkpoints.share = 0.0
        return made

    with session() as first:
        first.together(work, [{**one, "sample.stop_step": 7} for one in variants])
    with session() as second:
        results = second.together(work, variants)
    known = [e.resumed for r in results for e in r.events if isinstance(e, StepStarted) and e.path == "sample"]
    assert known == [7, 7, 7]


def test_what_runs_alone_says_why(session, tiny_sd1):
    graph = session.prepare(flow())[1]
    live = Frontier(graph, session.engine.setting(together=True)).lives["sample"]
    assert live.alike
    assert not live.alone

    def asked(**change):
        return alike(**{**live.inputs, **change})

    model = live.inputs["model"]
    assert not isinstance(asked(), Alone)
    assert "remembers forwards" in asked(model=model.with_patch(Deep()))
    assert "Strange" in asked(model=model.with_patch(Strange()))
    assert "size of its latents" in asked(latent=Ref("x"))
    assert "not run yet" in asked(control=Ref("x"))
    assert "not run yet" in asked(guidance=Ref("x"))


@dataclass(frozen=True)
class Strange:
    """A third party's patch that says nothing of rows."""

    def attach(self, module, recipe):
        return lambda: None


@dataclass(frozen=True)
class ByRow(Strange):
    """One that says that it treats each picture by itself."""

    rowwise: ClassVar[bool] = True


def test_a_patch_that_treats_each_picture_by_itself_may_be_shared(session, tiny_sd1):
    graph = session.prepare(flow())[1]
    live = Frontier(graph, session.engine.setting(together=True)).lives["sample"]
    model = live.inputs["model"]
    assert not isinstance(alike(**{**live.inputs, "model": model.with_patch(ByRow())}), Alone)


def test_adapters_with_ranges_are_set_for_each_forward_that_is_shared(session, tiny_sd1, home, forwards):
    unet = diffusers.UNet2DConditionModel.from_pretrained(tiny_sd1 / "unet")
    make_lora(home.home / "models" / "loras" / "late", unet, 3)
    work = flow(sample={"model": {"from": "styled.model"}})
    more = {
        "file": {"type": "lora.load", "version": 1, "inputs": {"lora": "late/pytorch_lora_weights.safetensors"}},
        "styled": {
            "type": "lora.apply",
            "version": 1,
            "inputs": {
                "model": {"from": "load.model"},
                "lora": {"from": "only_late.lora"},
            },
        },
        "only_late": {"type": "lora.range", "version": 1, "inputs": {"lora": {"from": "file.lora"}, "start": 0.5}},
    }
    record = to_json(work)
    record["nodes"] |= more
    work = from_json(record)
    # With other numbers of steps the range begins elsewhere: in some rounds one has it on and the other has not.
    variants = [{"sample.seed": 1}, {"sample.seed": 2}, {"sample.seed": 3, "sample.steps": 6}]
    assert max(differences(session, work, variants)) < CLOSE
    plain = session.run(flow(), {"sample.seed": 1})["latent"].samples
    assert not torch.equal(session.run(work, {"sample.seed": 1})["latent"].samples, plain)
    alone = 2 * STEPS + 6
    forwards.clear()
    session.together(work, [{**one, "sample.seed": seed} for seed, one in enumerate(variants, 50)])
    assert len(forwards) < alone


def test_texts_of_several_lengths_share_forwards_and_what_fills_them_up_counts_for_nothing(session, tiny_sd1, forwards):
    work = flow()
    variants = [{"sample.seed": 1}, {"sample.seed": 2, "blue.text": "a blue cube on a checkered floor " * 8}]
    variants = [{**one, "red.text": one.get("blue.text", "a red cube")} for one in variants]
    assert max(differences(session, work, variants)) < CLOSE
