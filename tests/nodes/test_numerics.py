"""Numerics: every choice acts while the model is leased, is part of the key, and leaves the model as it was."""

import pytest
import torch

from engine.errors import WeftError
from engine.memory import Memory, module_bytes
from engine.numerics import Numerics
from engine.records import Records
from engine.session import Session
from nodes import numerics
from nodes.families import family_of
from nodes.families.choices import Attention, Compiled, Deep, Hooked, Stored, remembering, stateful
from nodes.load import model as load_model
from nodes.types import Denoiser
from tests.nodes.families.test_in_the_engine import flow

SHAPES = {"tiny-sd1": (32, None), "tiny-sdxl": (64, 32), "tiny-sd3": (32, 64), "tiny-flux": (32, 32)}
EVERY = tuple(SHAPES)


@pytest.fixture
def session(home, tiny_sd1, tiny_sd3, tiny_sdxl, tiny_flux):
    made = Session(places=home, memory=Memory(), records=Records(), numerics=Numerics("cpu", threads=1), paranoid=True)
    yield made
    made.close()


def recipe(name) -> Denoiser:
    return load_model(name).model


def steps(module, made: Denoiser, name: str, count: int = 6, who: str = "side"):
    """The predictions of a run of `count` steps, from noise to picture."""
    return taking_turns(module, made, name, {who: 8}, count)[who]


def taking_turns(module, made: Denoiser, name: str, tokens: dict[str, int], count: int = 6):
    """The predictions of each side, of a run whose sides, each with so many tokens, are computed one after another."""
    width, pool = SHAPES[name]
    sizes = torch.tensor([[64.0, 64, 0, 0, 64, 64]]) if name == "tiny-sdxl" else None
    given = {}
    for who, length in tokens.items():
        generator = torch.Generator().manual_seed(3)
        x = torch.randn(1, made.space.channels, 8, 8, generator=generator)
        text = torch.randn(1, length, width, generator=generator)
        given[who] = (x, text, None if pool is None else torch.randn(1, pool, generator=generator))
    found: dict[str, list[torch.Tensor]] = {who: [] for who in tokens}
    for index in range(count):
        t = torch.tensor(900.0 - 800.0 * index / count)
        for who, (x, text, pooled) in given.items():
            with torch.no_grad(), remembering(module, who):
                moved = x * (1 - 0.1 * index)
                found[who].append(family_of(made).predict(module, moved, t, text, pooled, sizes=sizes).clone())
    return {who: torch.stack(every) for who, every in found.items()}


def acted(made: Denoiser, name: str):
    """The predictions without, with, and after: (bare, chosen, after)."""
    module = replace_build(made, name)
    bare = steps(recipe(name).build("cpu", "float32"), made, name)
    undo = made.attach(module)
    chosen = steps(module, made, name)
    undo()
    return bare, chosen, steps(module, made, name)


def replace_build(made, name):
    return made.build("cpu", "float32")


CACHES = [
    (numerics.deep_cache, {"interval": 2}, ("tiny-sd1", "tiny-sdxl")),
    (numerics.first_block_cache, {"threshold": 0.9}, ("tiny-flux",)),
    (numerics.taylor_seer, {"interval": 2, "warm_up": 1}, ("tiny-sd3", "tiny-flux")),
    (numerics.pyramid_attention, {"interval": 2, "first": 1000, "last": 0}, EVERY),
]


@pytest.mark.parametrize(("make", "options", "name"), [(m, o, n) for m, o, names in CACHES for n in names])
def test_a_cache_changes_the_run_and_leaves_no_trace(
    home, tiny_sd1, tiny_sd3, tiny_sdxl, tiny_flux, make, options, name
):
    bare, chosen, after = acted(make(recipe(name), **options), name)
    assert torch.equal(chosen[0], bare[0])  # the first step computes everything
    assert not torch.equal(chosen, bare) and chosen.isfinite().all()
    assert torch.equal(after, bare)


@pytest.mark.parametrize(("make", "options", "name"), [(m, o, names[-1]) for m, o, names in CACHES])
def test_each_side_of_guidance_is_remembered_for_itself(
    home, tiny_sd1, tiny_sd3, tiny_sdxl, tiny_flux, make, options, name
):
    """Two sides in turn give what each gives alone."""
    made = make(recipe(name), **options)
    module = made.build("cpu", "float32")
    undo = made.attach(module)
    alone = steps(module, made, name, who="a")
    undo()
    undo = made.attach(module)
    for who in ("a", "b"):
        assert torch.equal(steps(module, made, name, who=who), alone)
    undo()


@pytest.mark.parametrize(("make", "options", "name"), [(m, o, n) for m, o, names in CACHES for n in names])
def test_sides_of_other_lengths_that_take_turns_are_each_remembered_for_themselves(
    home, tiny_sd1, tiny_sd3, tiny_sdxl, tiny_flux, make, options, name
):
    """Guidance in two forwards a step: what a side is given is what it is given where it is alone."""
    made = make(recipe(name), **options)
    module = made.build("cpu", "float32")
    tokens = {"a": 8, "b": 11}
    alone = {}
    for who, length in tokens.items():
        undo = made.attach(module)
        alone |= taking_turns(module, made, name, {who: length})
        undo()
    undo = made.attach(module)
    both = taking_turns(module, made, name, tokens)
    undo()
    assert all(torch.equal(both[who], alone[who]) for who in tokens)


def test_the_inner_levels_are_computed_in_every_so_many_th_step(home, tiny_sdxl):
    made = numerics.deep_cache(recipe("tiny-sdxl"), interval=3)
    module = made.build("cpu", "float32")
    calls = []
    handle = module.mid_block.resnets[0].register_forward_pre_hook(lambda *_: calls.append(1))
    undo = made.attach(module)
    steps(module, made, "tiny-sdxl", count=7)
    undo()
    handle.remove()
    assert len(calls) == 3


@pytest.mark.parametrize("kind", ["float8_e4m3fn", "float8_e5m2"])
def test_weights_in_eight_bits_are_a_model_of_their_own(home, tiny_sd1, kind):
    made = numerics.precision(recipe("tiny-sd1"), storage=kind)
    assert made.weights != recipe("tiny-sd1").weights
    memory = Memory()
    with memory.lease(recipe("tiny-sd1"), "cpu", "float32") as bare:
        full = module_bytes(bare)
        expected = steps(bare, made, "tiny-sd1")
    with memory.lease(made, "cpu", "float32") as module:
        assert module is not bare and module_bytes(module) < 0.6 * full
        found = steps(module, made, "tiny-sd1")
    assert not torch.equal(found, expected) and (found - expected).abs().max() < 0.5
    sizes = {name: size for _, name, size, _ in memory.report()["cpu"]}
    assert len(sizes) == 2 and max(sizes.values()) == full
    with memory.lease(recipe("tiny-sd1"), "cpu", "float32") as bare:
        assert torch.equal(steps(bare, made, "tiny-sd1"), expected)


def test_channels_last_differs_by_rounding_and_is_a_model_of_its_own(home, tiny_sd1):
    made = numerics.channels_last(recipe("tiny-sd1"))
    memory = Memory()
    with memory.lease(recipe("tiny-sd1"), "cpu", "float32") as bare:
        expected = steps(bare, made, "tiny-sd1")
    with memory.lease(made, "cpu", "float32") as module:
        assert module is not bare
        assert module.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
        assert (steps(module, made, "tiny-sd1") - expected).abs().max() < 1e-4
    assert bare.conv_in.weight.is_contiguous()


@pytest.mark.parametrize("name", ["tiny-sd1", "tiny-flux"])
@pytest.mark.parametrize("kernel", ["math", "flash"])
def test_attention_kernels_of_torch_differ_by_rounding(home, tiny_sd1, tiny_flux, name, kernel):
    bare, chosen, after = acted(numerics.attention(recipe(name), kernel), name)
    assert (chosen - bare).abs().max() < 1e-4 and torch.equal(after, bare)


def test_a_kernel_that_the_machine_has_not_is_refused_with_what_to_use(home, tiny_sd1):
    for kernel in ("cudnn", "efficient", "sage", "xformers"):
        made = numerics.attention(recipe("tiny-sd1"), kernel)
        with pytest.raises(WeftError, match="CPU") as wrong:
            made.attach(made.build("cpu", "float32"))
        assert "math or flash" in str(wrong.value)


def test_the_dtype_of_a_model_wins_over_the_runs(home, session):
    work = flow("tiny-sd1")
    half = with_choice(work, "numerics.precision", dtype="bfloat16")
    exact, found = session.run(work), session.run(half)
    difference = (exact["image"].pixels - found["image"].pixels).abs().max()
    assert 0 < difference < 0.1
    assert any(name.endswith("bfloat16") for name in session.engine.memory.modules())


def with_choice(work, kind, **options):
    """The workflow with a node between the model and the sampler."""
    from dataclasses import replace as changed

    from engine.workflow import Link, Node, Value

    node = Node(kind, {"model": Link("load", "model"), **{name: Value(value) for name, value in options.items()}})
    sample = work.nodes["sample"]
    inputs = {**sample.inputs, "model": Link("choice", "model")}
    return changed(work, nodes={**work.nodes, "choice": node, "sample": changed(sample, inputs=inputs)})


def test_a_choice_is_part_of_the_key_and_nothing_but_the_sampler_runs_for_it(session):
    work = flow("tiny-sd1")
    first = session.run(work)
    cached = session.run(with_choice(work, "numerics.deep_cache", interval=2))
    assert set(cached.ran) == {"sample", "decode"}
    assert not torch.equal(first["image"].pixels, cached["image"].pixels)
    again = session.run(work)
    assert again.ran == [] and torch.equal(first["image"].pixels, again["image"].pixels)


@pytest.mark.parametrize("kind", ["numerics.deep_cache", "numerics.pyramid_attention"])
def test_a_run_with_a_cache_starts_over_and_is_bit_equal_to_one_from_scratch(session, kind):
    """Its memory is in no checkpoint, so more steps are not resumed from fewer."""
    work = with_choice(flow("tiny-sd1", sample={"steps": 6, "stop_step": 4}), kind)
    whole = with_choice(flow("tiny-sd1", sample={"steps": 6}), kind)
    session.run(work)
    resumed = session.run(whole)
    session.engine.cache.clear()
    scratch = session.run(whole)
    assert torch.equal(resumed["image"].pixels, scratch["image"].pixels)
    assert all(
        event.resumed == 0
        for event in resumed.events
        if getattr(event, "path", "") == "sample" and hasattr(event, "resumed")
    )


def test_what_cannot_work_is_refused_in_the_recipe(home, tiny_sd1, tiny_sd3, tiny_flux):
    for make, name in ((numerics.deep_cache, "tiny-flux"), (numerics.channels_last, "tiny-flux")):
        with pytest.raises(WeftError):
            make(recipe(name))
    with pytest.raises(WeftError, match="gives no text back"):
        numerics.first_block_cache(recipe("tiny-sd3"))
    for make in (numerics.first_block_cache, numerics.taylor_seer):
        with pytest.raises(WeftError, match="a UNet"):
            make(recipe("tiny-sd1"))
    with pytest.raises(WeftError, match="two caches"):
        numerics.pyramid_attention(numerics.deep_cache(recipe("tiny-sd1")))
    with pytest.raises(WeftError, match="no timestep"):
        numerics.pyramid_attention(recipe("tiny-sd1"), first=100, last=100)
    made = numerics.deep_cache(recipe("tiny-sd1"), levels=4)
    with pytest.raises(WeftError, match="at most"):
        made.attach(made.build("cpu", "float32"))


def test_a_choice_of_the_same_kind_replaces_the_one_before(home, tiny_sd1):
    made = numerics.deep_cache(numerics.deep_cache(recipe("tiny-sd1"), 2), 3)
    assert [patch.interval for patch in made.patches] == [3]
    made = numerics.attention(numerics.precision(made, storage="float8_e4m3fn"), "math")
    assert {type(patch) for patch in made.patches} == {Deep, Stored, Attention} and stateful(made.patches)
    assert numerics.precision(recipe("tiny-sd1"), "run") == recipe("tiny-sd1")
    assert not stateful((Compiled(),)) and stateful((Hooked("taylor"),))


@pytest.mark.slow
def test_compiled_blocks_differ_by_rounding_and_leave_no_trace(home, tiny_sd1, monkeypatch):
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    bare, chosen, after = acted(numerics.compile_blocks(recipe("tiny-sd1")), "tiny-sd1")
    assert (chosen - bare).abs().max() < 1e-4 and torch.equal(after, bare)
    assert any((home.state / "compiled").rglob("*.py"))
