from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from engine import places
from engine.errors import WeftError
from engine.invoke import EngineRun, using_ambient
from engine.memory import Memory
from engine.numerics import Numerics
from engine.sockets import Ref
from nodes import mask
from nodes.latent import batch_latents, edit, files, pick_latent, sizes
from nodes.types import Denoiser, Latent, LatentSpace, Leftover, Weights

SPACE = LatentSpace("sd1", 4, 8, ((0.1, 0.2, 0.3),) * 5)


def latent(batch=1, rows=8, columns=12, seed=0, masked=False):
    drawn = torch.randn(batch, 4, rows, columns, generator=torch.Generator().manual_seed(seed))
    where = torch.rand(batch, 1, rows, columns) if masked else None
    return Latent(drawn, SPACE, where)


def test_a_batch_is_repeated_with_its_masks():
    made = edit.repeat(latent(2, masked=True), 3)
    assert made.samples.shape[0] == made.noise_mask.shape[0] == 6
    assert torch.equal(made.samples[2:4], latent(2).samples)
    with pytest.raises(WeftError, match="GiB as latents"):
        edit.repeat(latent(1, 2000, 2000), 4096)


@pytest.mark.parametrize("how", ["straight", "round"])
def test_blending_begins_and_ends_with_its_latents(how):
    first, second = latent(), latent(seed=1)
    assert torch.allclose(edit.blend(first, second, 0.0, how).samples, first.samples, atol=1e-5)
    assert torch.allclose(edit.blend(first, second, 1.0, how).samples, second.samples, atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(some.floats(0, 1), some.integers(0, 1000))
def test_a_round_blend_keeps_the_strength_of_noise(amount, seed):
    first, second = latent(rows=16, columns=16, seed=seed), latent(rows=16, columns=16, seed=seed + 1)
    lengths = [one.samples.norm(dim=1) for one in (first, second, edit.blend(first, second, amount, "round"))]
    assert torch.allclose(lengths[2], torch.lerp(lengths[0], lengths[1], amount), atol=1e-3)


def test_arithmetic_is_what_it_says():
    first, second = latent(2), latent(seed=1)
    assert torch.equal(edit.calculate(first, second).samples, first.samples + second.samples)
    assert torch.equal(edit.calculate(first, second, "subtract", 0.5).samples, first.samples - second.samples * 0.5)
    assert torch.equal(edit.calculate(first, factor=2.0).samples, first.samples * 2)


def test_latents_that_do_not_go_together_are_refused():
    other = Latent(torch.zeros(1, 4, 8, 12), LatentSpace("sdxl", 4, 8))
    for bad in (other, latent(rows=4)):
        with pytest.raises(WeftError, match="does not go with"):
            edit.blend(latent(), bad)
    with pytest.raises(WeftError, match="3 latents for 2"):
        edit.blend(latent(2), latent(3))


@pytest.mark.parametrize(("x", "y"), [(0, 0), (16, 8), (-16, -8), (80, 56), (200, 0)])
def test_a_latent_is_laid_at_its_place_and_nothing_else_changes(x, y):
    below, above = latent(), latent(rows=4, columns=4, seed=1)
    made = edit.composite(below, above, x, y).samples
    inside = torch.zeros(8, 12, dtype=torch.bool)
    inside[max(y // 8, 0) : max(y // 8 + 4, 0), max(x // 8, 0) : max(x // 8 + 4, 0)] = True
    assert torch.equal(made[..., ~inside], below.samples[..., ~inside])
    if (x, y) == (16, 8):
        assert torch.equal(made[..., 1:5, 2:6], above.samples)


def test_what_is_laid_on_may_fade_in_or_be_masked():
    below, above = Latent(torch.zeros(1, 4, 16, 16), SPACE), Latent(torch.ones(1, 4, 8, 8), SPACE)
    faded = edit.composite(below, above, 32, 32, feather=24).samples[0, 0]
    assert faded[8, 4:8].tolist() == pytest.approx([0.25, 0.5, 0.75, 1.0])
    corner = edit.composite(below, above, 0, 0, feather=24).samples[0, 0]
    assert corner[0, 0] == 1, "no fade at the sides of the whole"
    half = edit.composite(below, above, 0, 0, mask=mask.rectangle(64, 64, 0, 0, 32, 64)).samples[0, 0]
    assert half[2].tolist() == [1] * 4 + [0] * 12


def test_turning_and_mirroring_undo_themselves_masks_and_all():
    start = latent(2, masked=True)
    there = edit.flip(edit.flip(start, "vertical"), "vertical")
    around = edit.rotate(edit.rotate(start, 90), 270)
    for made in (there, around):
        assert torch.equal(made.samples, start.samples)
        assert torch.equal(made.noise_mask, start.noise_mask)
    assert edit.rotate(start, 90).samples.shape[-2:] == (12, 8)
    assert torch.equal(edit.rotate(start, 90).samples[..., 0, -1], start.samples[..., 0, 0]), "clockwise"


def test_a_rectangle_of_whole_cells_is_cut():
    start = latent(masked=True)
    made = edit.crop(start, 16, 8, 32, 24)
    assert torch.equal(made.samples, start.samples[..., 1:4, 2:6])
    assert torch.equal(made.noise_mask, start.noise_mask[..., 1:4, 2:6])
    with pytest.raises(WeftError, match="x 12 is no multiple of 8"):
        edit.crop(start, 12, 0, 32, 32)
    with pytest.raises(WeftError, match="use a smaller rectangle"):
        edit.crop(start, 80, 0, 32, 32)


@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic", "area", "bislerp"])
def test_scaling_gives_whole_cells_and_the_plan_knows_them(method):
    start = latent(masked=True)
    made = edit.scale(start, 1.6, method)
    assert made.samples.shape[-2:] == made.noise_mask.shape[-2:] == (13, 19)
    facts = edit.scale_facts(latent=start, factor=1.6)["latent"]
    assert (facts["height"], facts["width"]) == (13 * 8, 19 * 8)
    assert edit.scale_facts(latent=Ref("later", {"latent_space": "sd1"}), factor=2.0) == {
        "latent": {"latent_space": "sd1"}
    }
    level = Latent(torch.full((1, 4, 8, 8), 0.5), SPACE)
    assert torch.allclose(edit.scale(level, 2.0, method).samples, torch.full((1, 4, 16, 16), 0.5), atol=1e-4)


def test_bislerp_keeps_noise_as_strong_as_it_is():
    start = latent(rows=32, columns=32)
    strength = {method: edit.scale(start, 2.0, method).samples.std().item() for method in ("bilinear", "bislerp")}
    assert strength["bilinear"] < 0.75 < 0.9 < strength["bislerp"]


def test_without_its_mask_it_may_change_everywhere():
    made = edit.clear_mask(latent(masked=True))
    assert made.noise_mask is None


# --- sizes -----------------------------------------------------------------------------------------------------------


def model(family="sd1", side=64, factor=8):
    space = LatentSpace(family, 4, factor)
    return Denoiser(Weights("a", "unet", ""), family, space, config=(("sample_size", side),))


@pytest.mark.parametrize(
    ("shape", "portrait", "sides"),
    [
        ("1:1", False, (1024, 1024)),
        ("16:9", False, (1344, 768)),
        ("3:2", False, (1216, 832)),
        ("21:9", True, (640, 1536)),
    ],
)
def test_sdxl_gets_a_size_it_was_trained_on(shape, portrait, sides):
    assert sizes.size(model("sdxl", 128), shape, portrait) == sides


@pytest.mark.parametrize("shape", sizes.RATIOS)
def test_every_shape_has_about_the_area_the_model_knows_in_whole_steps(shape):
    for known, base in ((model(), 512), (model("starter", 16), 128), (None, 1024)):
        width, height = sizes.size(known, shape)
        assert width * height == pytest.approx(base**2, rel=0.2)
        assert width % 8 == height % 8 == 0
        assert width / height == pytest.approx(sizes.RATIOS[shape], rel=0.2)
        assert sizes.size(known, shape, portrait=True) == (height, width)


def test_a_larger_area_is_larger_in_both_directions():
    assert sizes.size(model(), area=4.0) == (1024, 1024)


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path):
    run = EngineRun("", Memory({"cpu": 2**28}), Numerics(device="cpu"), document={"title": "Cube"})
    with places.using(places.Places(home=tmp_path, input_folder=tmp_path / "output")) as made, using_ambient(run):
        yield made


def test_a_saved_latent_comes_back_bit_for_bit(here):
    start = Latent(latent(2).samples, SPACE, torch.rand(1, 1, 8, 12), 5, torch.rand(1, 5, 8, 12))
    saved = files.save(start)
    assert saved.files == ["Cube_00001_.latent.safetensors"]
    assert saved.latent is start
    made = files.load(saved.files[0])
    for part in ("samples", "noise_mask", "beside"):
        assert torch.equal(getattr(made, part), getattr(start, part))
    assert (made.space, made.space.preview, made.seeds_from) == (SPACE, SPACE.preview, 5)
    assert files.load(files.save(latent()).files[0]).noise_mask is None


def test_a_file_that_is_no_latent_is_refused(here):
    from safetensors.torch import save_file

    here.input.mkdir()
    (here.input / "a.safetensors").write_bytes(b"what")
    save_file({"samples": torch.zeros(1)}, here.input / "b.safetensors")
    for name in ("a.safetensors", "b.safetensors"):
        with pytest.raises(WeftError, match="is no latent of Weft"):
            files.load(name)


# --- latents that were stopped half-way ------------------------------------------------------------------------------


def stopped(batch=1, sigma=1.5, masked=False, seed=0):
    tensors = [torch.randn(batch, 4, 8, 12, generator=torch.Generator().manual_seed(seed + i)) for i in (1, 2)]
    left = Leftover(sigma, "ve", *tensors) if masked else Leftover(sigma, "ve")
    return replace(latent(batch, masked=masked, seed=seed), leftover=left)


def test_the_noise_that_is_left_goes_with_what_is_picked_joined_and_turned():
    both = stopped(2, masked=True)
    one = pick_latent(both, 1)
    assert one.leftover.sigma == 1.5
    assert torch.equal(one.leftover.noise, both.leftover.noise[1:])
    joined = batch_latents(pick_latent(both, 0), one)
    assert torch.equal(joined.leftover.original, both.leftover.original)
    assert torch.equal(edit.flip(both).leftover.noise, both.leftover.noise.flip(-1))
    assert edit.repeat(both, 2).leftover.noise.shape[0] == 4
    assert edit.crop(both, 0, 0, 32, 32).leftover.noise.shape[-2:] == (4, 4)
    plain = batch_latents(stopped(), stopped(seed=3)).leftover
    assert (plain.sigma, plain.form, plain.noise) == (1.5, "ve", None)
    with pytest.raises(WeftError, match="have a noise mask and others do not"):
        batch_latents(stopped(masked=True), stopped())


def test_latents_with_another_amount_of_noise_are_not_mixed():
    for other in (latent(), stopped(sigma=0.5)):
        for mix in (edit.blend, batch_latents):
            with pytest.raises(WeftError, match="stopped half-way"):
                mix(stopped(), other)
    with pytest.raises(WeftError, match="would smear the noise"):
        edit.scale(stopped(), 2.0)
