"""Every guidance with every family: what works differs from plain CFG and stays finite, what does not says why."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from engine.errors import WeftError
from engine.invoke import EngineRun, Hooks, using_ambient
from engine.memory import Memory
from engine.numerics import Numerics
from engine.sockets import Ref
from nodes import denoise, guidance, load, text
from nodes.denoise.active import active
from nodes.denoise.perturb import blocks, middle
from nodes.guidance import FAMILIES, KINDS
from nodes.types import Guidance, Latent

STEPS = 4
MEMORY = Memory()
MODELS = {"sd1": "tiny_sd1", "sdxl": "tiny_sdxl", "sd3": "tiny_sd3", "flux": "tiny_flux"}


class Parts:
    def __init__(self, name: str) -> None:
        self.family = name
        self.model, encoder, _ = load.model(MODELS[name].replace("_", "-"))
        self.red, self.empty = text.encode(encoder, "a red cube"), text.encode(encoder, "")

    def guided(self, kind: str) -> Guidance:
        scale = 1.0 if self.model.distilled_guidance else 4.0
        of = {"cfg": guidance.classifier_free_guidance, "cfg_zero": guidance.cfg_zero, "apg": guidance.apg}
        of |= {"tcfg": guidance.tcfg}
        if kind in of:
            return of[kind](4.0)
        base = guidance.classifier_free_guidance(scale)
        if kind == "layers":
            return guidance.skip_layers(base, stop=1.0)
        return guidance.pag(base) if kind == "attention" else guidance.seg(base)

    def sample(self, start=None, states=None, **inputs) -> torch.Tensor:
        space = self.model.space
        latent = Latent(torch.zeros(1, space.channels, 16, 16), space)
        given = {"negative": self.empty, "seed": 3, "steps": STEPS, "cfg": 1.0, **inputs}
        hooks = Hooks(resume=lambda: start, checkpoint=(lambda state: None) if states is None else states.append)
        with using_ambient(EngineRun("sample", MEMORY, Numerics(device="cpu", dtype="float32"), hooks)):
            return denoise.sample(self.model, self.red, latent, **given).latent.samples

    def forwards(self, **inputs) -> list[int]:
        """The batch of each forward of the denoiser."""
        seen: list[int] = []
        with EngineRun("", MEMORY, Numerics(device="cpu", dtype="float32"), Hooks()).lease(self.model) as module:
            hook = module.register_forward_pre_hook(
                lambda _, args, kwargs: seen.append(len(args[0] if args else kwargs["hidden_states"])), with_kwargs=True
            )
        self.sample(**inputs)
        hook.remove()
        return seen


@pytest.fixture(params=MODELS)
def parts(request, home) -> Parts:
    request.getfixturevalue(MODELS[request.param])
    return Parts(request.param)


@pytest.fixture
def sd1(home, tiny_sd1) -> Parts:
    return Parts("sd1")


@pytest.mark.parametrize("kind", KINDS)
def test_each_cell_of_the_table_is_what_happens(parts, kind):
    if kind not in FAMILIES[parts.family]:
        with pytest.raises(WeftError, match="distilled with guidance inside it") as caught:
            parts.sample(guidance=parts.guided(kind))
        assert caught.value.problem.where.socket == "guidance"
        return
    plain = Guidance(1.0 if parts.model.distilled_guidance else 4.0)
    found, reference = parts.sample(guidance=parts.guided(kind)), parts.sample(guidance=plain)
    assert found.isfinite().all()
    assert torch.equal(found, reference) == (kind == "cfg")
    doubled = [2] * STEPS if not parts.model.distilled_guidance else [1] * STEPS
    more = kind in ("attention", "energy", "layers")
    assert sorted(parts.forwards(guidance=parts.guided(kind))) == sorted(doubled + [1] * (STEPS if more else 0))
    # Nothing stays on the module.
    assert torch.equal(parts.sample(guidance=plain), reference)


@pytest.mark.parametrize("node", [guidance.pag, guidance.seg, guidance.skip_layers])
def test_a_perturbation_acts_in_its_part_of_the_steps_only(sd1, node):
    part = node(Guidance(1.0), start=0.25, stop=0.75)
    assert sd1.forwards(guidance=part) == [1] * (STEPS + 2)
    assert torch.equal(sd1.sample(guidance=node(Guidance(4.0), scale=0.0)), sd1.sample(guidance=Guidance(4.0)))


def test_a_change_of_a_perturbation_or_of_its_rescaling_names_its_steps_anew(sd1):
    def chain(of: Guidance):
        given = {"sampler": "euler", "scheduler": "normal", "steps": 4, "denoise": 1.0, "cfg": 1.0, "seed": 0}
        return active(model=sd1.model, positive=sd1.red, latent=Ref("l"), guidance=of, **given)

    late = guidance.pag(Guidance(1.0), start=0.5)
    assert chain(late)[:2] == chain(Guidance(1.0))[:2] == chain(guidance.pag(Guidance(1.0, 0.7), start=0.5))[:2]
    for other in (Guidance(1.0), guidance.pag(Guidance(1.0, 0.7), start=0.5), guidance.seg(Guidance(1.0), start=0.5)):
        assert chain(late)[2] != chain(other)[2]


def test_a_cache_and_a_worse_model_do_not_go_together(sd1):
    model = replace(sd1.model, patches=(Remembering(),))
    with pytest.raises(WeftError, match="which a cache on the model would take for the model itself"):
        denoise.check(
            **{"sampler": "euler", "scheduler": "normal", "steps": 4, "denoise": 1.0, "cfg": 1.0, "seed": 0},
            **{"model": model, "positive": sd1.red, "latent": Ref("l"), "guidance": guidance.pag(Guidance(1.0))},
        )


@dataclass(frozen=True)
class Remembering:
    stateful: ClassVar[bool] = True


def test_two_perturbations_go_together(sd1):
    both = guidance.seg(guidance.pag(Guidance(4.0)))
    assert len(sd1.forwards(guidance=both)) == 3 * STEPS
    assert not torch.equal(sd1.sample(guidance=both), sd1.sample(guidance=guidance.pag(Guidance(4.0))))


def test_perturbed_attention_is_diffusers_own(sd1):
    """diffusers' guider on the same block, step by step."""
    from diffusers.hooks import HookRegistry
    from diffusers.hooks.layer_skip import LayerSkipConfig, _apply_layer_skip_hook

    from nodes.denoise.perturb import perturbed
    from nodes.types import Perturbation

    x, words = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0)), sd1.red.entries[0].embedding
    run = EngineRun("", MEMORY, Numerics(device="cpu", dtype="float32"), Hooks())
    with run.lease(sd1.model) as module, torch.no_grad():
        plain = module(x, 500, words).sample
        for index, name in enumerate(["down_blocks.1.attentions.0", "mid_block.attentions.0"]):
            with perturbed(module, Perturbation("attention", 1.0, (index,)), 16, 16):
                ours = module(x, 500, words).sample
            config = LayerSkipConfig([0], f"{name}.transformer_blocks", False, True, False)
            _apply_layer_skip_hook(module, config, name="theirs")
            theirs = module(x, 500, words).sample
            HookRegistry.check_if_exists_or_initialize(module).remove_hook("theirs", recurse=True)
            assert torch.equal(ours, theirs)
            assert not torch.equal(ours, plain)
        assert torch.equal(module(x, 500, words).sample, plain)


def test_the_blocks_are_those_of_the_model_and_a_wrong_one_is_refused(parts):
    run = EngineRun("", MEMORY, Numerics(device="cpu", dtype="float32"), Hooks())
    with run.lease(parts.model) as module:
        many = len(blocks(module))
        assert many >= 1
        assert set(middle(module)) <= set(range(many))
    scale = 1.0 if parts.model.distilled_guidance else 4.0
    with pytest.raises(WeftError, match=f"no transformer block 99: there are {many}"):
        parts.sample(guidance=guidance.pag(Guidance(scale), blocks="99"))


def test_guidance_with_a_memory_goes_on_bit_for_bit(sd1):
    states: list = []
    whole = sd1.sample(states=states, guidance=guidance.apg(6.0))
    for state in states:
        assert torch.equal(sd1.sample(start=state, guidance=guidance.apg(6.0)), whole), state.index
    assert not torch.equal(sd1.sample(guidance=guidance.apg(6.0, momentum=0.0)), whole)


@pytest.mark.parametrize("text", ["7, x", "-1", "1.5"])
def test_what_is_no_list_of_blocks_is_refused(text):
    with pytest.raises(WeftError, match=re.escape(f"'{text}' is no list of blocks")):
        guidance.pag(Guidance(1.0), blocks=text)
    assert guidance.pag(Guidance(1.0), blocks="9; 7,7").perturbations[0].layers == (7, 9)


@pytest.mark.parametrize("node", [guidance.cfg_zero, guidance.apg, guidance.tcfg])
def test_a_range_in_which_it_never_acts_is_refused(node):
    with pytest.raises(WeftError, match="never act"):
        node(start=0.6, stop=0.4)


def test_the_page_has_every_cell():
    page = (Path(__file__).resolve().parents[2] / "docs" / "guidance.md").read_text(encoding="utf-8")
    assert page == guidance.document(), "write docs/guidance.md again: it is nodes.guidance.document()"
    assert all(f"| `{id}` |" in page for id in KINDS.values())
    assert page.count("no: distilled") == sum(len(KINDS) - len(able) for able in FAMILIES.values())
