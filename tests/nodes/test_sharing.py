"""Every technique with every family: variants that share forwards give what they give alone, but for rounding.

Three variants of each cell of docs/capabilities.md, which differ in seed, prompt, guidance scale and what else the
technique has. Where a run has to be alone, it says why, and its result is that of a single run, bit for bit.
"""

import zlib

import pytest
import torch

from engine.plan import Frontier
from engine.workflow import from_json
from tests.nodes.test_capabilities import FAMILIES, TECHNIQUES, plain, session  # noqa: F401

# What a forward of many rows may change: the order of sums. Relative to the largest number.
CLOSE = 2e-4
MODELS = {"UNet2DConditionModel", "SD3Transformer2DModel", "FluxTransformer2DModel"}
ALONE = {
    "DeepCache": "remembers forwards",
    "FirstBlockCache": "remembers forwards",
    "TaylorSeer": "remembers forwards",
    "pyramid attention": "remembers forwards",
}
OWN = {
    "ControlNet": [{}, {"control.strength": 0.4}, {"control.end": 0.5}],
    "inpaint by a mask": [{}, {"area.right": 16}, {"area.bottom": 64}],
    "image to image": [{}, {"sample.denoise": 0.7}, {}],
    "stop and go on": [{}, {"sample.stop_step": 2}, {}],
}


@pytest.fixture
def forwards(monkeypatch):
    """The rows of each forward of a denoiser or a ControlNet."""
    counted = []
    call = torch.nn.Module.__call__

    def count(module, *args, **given):
        name = type(module).__name__
        if name in MODELS or "ControlNet" in name:
            first = args[0] if args else given["hidden_states"]
            counted.append((name, len(first)))
        return call(module, *args, **given)

    monkeypatch.setattr(torch.nn.Module, "__call__", count)
    return counted


def flow(family, technique):
    nodes = plain(family)
    TECHNIQUES[technique](nodes, family)
    return from_json({"weft": 1, "nodes": nodes, "outputs": {"latent": "sample.latent"}})


def variants(work, technique):
    """Three, each with a seed and a prompt of its own; guidance of its own where the widget has a say."""
    own = OWN.get(technique, [{}, {}, {}])
    texts = ["a red cube", "a green ball", "a blue cone on a checkered floor " * 5]
    if technique == "pyramid attention":
        texts[2] = "a blue cone"  # diffusers' hooks do not keep two forwards of one step apart
    first = zlib.crc32(technique.encode())  # seeds of its own, or what another technique made would be found
    found = [
        {"sample.seed": first + index, "prompt.text": text, **more}
        for index, (text, more) in enumerate(zip(texts, own, strict=True))
    ]
    sampler = work.nodes["sample"].inputs
    if "guidance" not in sampler and getattr(sampler.get("cfg"), "value", 1.0) != 1.0:
        for one, scale in zip(found, (2.0, 3.0, 5.0), strict=True):
            one["sample.cfg"] = scale
    return found


def cell(made, forwards, family, technique):
    """(largest relative difference, forwards alone, forwards together, why a run is alone); None if it is refused."""
    work = flow(family, technique)
    if made.plan(work).problems:
        return None
    told = variants(work, technique)
    live = Frontier(made.prepare(work)[1], made.engine.setting(together=True)).lives["sample"]
    forwards.clear()
    alone = [made.run(work, values)["latent"].samples for values in told]
    apart = [*forwards]
    forwards.clear()
    results = made.together(work, told)
    assert [result.state for result in results] == ["succeeded"] * 3, [result.problems for result in results]
    given = [result["latent"].samples for result in results]
    found = max(float((a - b).abs().max() / a.abs().max()) for a, b in zip(alone, given, strict=True))
    return found, apart, [*forwards], live.alone


@pytest.mark.parametrize("technique", TECHNIQUES)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model)
def test_variants_share_forwards_and_give_what_they_give_alone(session, forwards, family, technique):  # noqa: F811
    found = cell(session, forwards, family, technique)
    if found is None:
        pytest.skip("refused: docs/capabilities.md says why")
    difference, apart, shared, why = found
    if technique in ALONE:
        assert ALONE[technique] in why
        assert difference == 0.0
        return
    assert not why
    assert difference < CLOSE
    assert len(shared) < len(apart)
