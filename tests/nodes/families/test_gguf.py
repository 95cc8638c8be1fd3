"""GGUF files: read without torch, loaded packed, and the same numbers as what they were packed from comes to."""

import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.errors import WeftError
from engine.memory import Memory, module_bytes
from nodes import load, lora, numerics, text, vae
from nodes.denoise import sample
from nodes.families.describe import describe
from nodes.families.gguf import header, layers
from nodes.families.gguf.layers import is_packed, widen
from nodes.families.lora_file import read_lora
from nodes.families.offload import stream
from nodes.types import Latent
from tests.nodes import first_layout, ggufs
from tests.nodes.conftest import clip_tokenizer, t5_tokenizer
from tests.nodes.families import test_split
from tests.nodes.families.test_adapters import forward, make_lora
from tests.nodes.test_single_file import KINDS, TINY, states, told


@pytest.fixture
def folder(home):
    made = home.home / "models" / "checkpoints"
    made.mkdir(parents=True)
    return made


@pytest.fixture(params=[kind for kind in KINDS if kind != "sdxl-refiner"])
def pair(request, folder):
    """(a whole checkpoint in Q8_0, its twin in plain numbers, its kind)."""
    kind = request.param
    source = request.getfixturevalue(TINY[kind])
    packed, plain = folder / "packed.gguf", folder / "plain.safetensors"
    ggufs.write(packed, first_layout.whole(kind, states(source, kind), 1), architecture=kind, twin=plain)
    ggufs.configs_beside(source, packed, plain)
    return packed.name, plain.name, kind


def modules(recipe, dtype="float32"):
    built = recipe.build("cpu", dtype)
    return list(built.values()) if isinstance(built, torch.nn.ModuleDict) else [built]


def made_anew(module):
    """Bytes of the small tables that no file holds."""
    kept = module.state_dict()
    return sum(b.numel() * b.element_size() for name, b in module.named_buffers() if name not in kept)


# --- loaded -----------------------------------------------------------------------------------------------------------


def test_a_picture_from_packed_weights_is_that_of_what_they_come_to(pair):
    pictures = []
    for name in pair[:2]:
        model, encoder, autoencoder = load.model(name)
        prompt, negative = text.encode(encoder, "a red cube"), text.encode(encoder, "")
        canvas = Latent(torch.zeros(1, model.space.channels, 32, 32), model.space)
        cfg = 1.0 if model.distilled_guidance else 4.0
        flow = "simple" if model.prediction == "flow" else "normal"
        drawn = sample(model, prompt, canvas, negative, seed=3, steps=2, cfg=cfg, scheduler=flow).latent
        pictures.append(vae.decode(autoencoder, drawn).pixels)
    assert torch.equal(*pictures)


def test_matrices_stay_packed_and_take_what_the_header_says(pair):
    packed, plain = (load.model(name) for name in pair[:2])
    for one, other in ((packed.model, plain.model), (packed.text_encoder, plain.text_encoder)):
        for dtype in ("float32", "bfloat16"):
            found, wide = modules(one, dtype), modules(other, dtype)
            held = [p for module in found for p in module.parameters() if is_packed(p)]
            tables = sum(map(made_anew, found))
            assert held or one is packed.text_encoder
            said = {module.computes_in for module in found if hasattr(module, "computes_in")}
            assert said == ({getattr(torch, dtype)} if held else set())
            real = sum(map(module_bytes, found)) - tables
            assert abs(one.footprint(dtype).whole - real) <= 0.02 * real
            assert real < sum(map(module_bytes, wide)) or not held


# Where the scales of a block stand, in types that do not begin with the only one.
SCALES = {**dict.fromkeys(("Q4_1", "Q5_1", "Q4_K", "Q5_K"), (0, 2)), "Q2_K": (80, 82), "Q3_K": (108,), "Q6_K": (208,)}


def test_every_type_is_widened_as_the_package_of_the_format_says():
    made = np.random.default_rng(0)
    for kind in header.WIDENED:
        block, width = header.BLOCKS[kind]
        assert gguf.GGML_QUANT_SIZES[ggufs.TYPES[kind]] == (block, width)
        raw = made.integers(0, 256, (3, 2 * width), dtype=np.uint8)
        # Scales of any bytes may be no numbers at all: where they stand in each type, in halves.
        for at in SCALES.get(kind, (0,)):
            scales = made.uniform(-1, 1, (3, 2)).astype(np.float16).view(np.uint8).reshape(3, 2, 2)
            for place in range(2):
                raw[:, place * width + at : place * width + at + 2] = scales[:, place]
        wanted = gguf.quants.dequantize(raw, ggufs.TYPES[kind])
        held = layers._parameter(torch.from_numpy(raw), kind)
        assert np.array_equal(widen(held, torch.float32).numpy(), wanted), kind
        # In half precision the product of scale and number is rounded once more, by at most one part in 2^10.
        assert np.allclose(widen(held, torch.float16).float().numpy(), wanted, rtol=2**-8, atol=2**-6), kind


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"])
def test_a_transformer_in_every_type_gives_what_its_numbers_give(folder, tiny_flux, kind):
    state = first_layout.denoiser("flux", states(tiny_flux, "flux")["transformer"])
    ggufs.write(folder / "packed.gguf", state, kind, twin=folder / "plain.safetensors")
    ggufs.configs_beside(tiny_flux, folder / "packed.gguf", folder / "plain.safetensors")
    first, second = (load.denoiser(name).build("cpu", "float32") for name in ("packed.gguf", "plain.safetensors"))
    assert sum(is_packed(p) for p in first.parameters()) > 20
    assert torch.equal(flux_forward(first), flux_forward(second))


def flux_forward(module):
    ids = torch.zeros(4, 3)
    with torch.no_grad():
        return module(
            torch.linspace(-1, 1, 4 * 64).reshape(1, 4, 64),
            torch.linspace(-1, 1, 4 * 32).reshape(1, 4, 32),
            torch.linspace(-1, 1, 32).reshape(1, 32),
            torch.tensor([0.5]),
            img_ids=ids,
            txt_ids=ids,
            guidance=torch.tensor([3.5]),
            return_dict=False,
        )[0]


@pytest.fixture
def encoders(home):
    """The folder of text encoders, with the words that they know in reach."""
    made, words = home.home / "models" / "text_encoders", home.home / "models" / "tokenizers"
    made.mkdir(parents=True)
    clip_tokenizer().save_pretrained(words / "clip")
    t5_tokenizer().save_pretrained(words / "t5")
    return made


def test_text_encoders_in_files_of_their_own_are_those_of_transformers(encoders):
    t5 = load_file(test_split.t5(encoders / "plain.safetensors", feed=32))
    ggufs.write(encoders / "t5.gguf", ggufs.llama(t5), architecture="t5encoder", twin=encoders / "t5.safetensors")
    clip = load_file(test_split.clip(encoders / "clip.safetensors", 64))
    ggufs.write(encoders / "clip.gguf", clip, "Q4_0", architecture="clip", twin=encoders / "clip.safetensors")
    assert {one.kind for one in header.read(encoders / "t5.gguf").tensors.values()} == {"Q8_0", "F32"}
    packed, plain = load.text_encoder("t5.gguf", "clip.gguf"), load.text_encoder("t5.safetensors", "clip.safetensors")
    assert packed.facts == plain.facts and packed.layout == "clip-l+t5:32"
    assert packed.footprint("float16").whole < plain.footprint("float16").whole
    for dtype in ("float32", "bfloat16"):
        with torch.no_grad():
            one, other = (
                {name: encoder(torch.tensor([[3, 4, 5, 1]]))[0] for name, encoder in recipe.build("cpu", dtype).items()}
                for recipe in (packed, plain)
            )
        assert one.keys() == other.keys() == {"text_encoder", "text_encoder_2"}
        off = 0.0 if dtype == "float32" else 0.05
        for name, found in one.items():
            assert found.dtype == getattr(torch, dtype)
            assert torch.allclose(found, other[name], atol=off, rtol=off)
    first, second = (text.encode(recipe, "a red cube").entries[0] for recipe in (packed, plain))
    assert torch.equal(first.embedding, second.embedding) and torch.equal(first.pooled, second.pooled)


# --- what is done with it ---------------------------------------------------------------------------------------------


@pytest.fixture
def twins(folder, tiny_sd1):
    """(the packed UNet's recipe, its twin's) of a whole checkpoint."""
    packed, plain = folder / "packed.gguf", folder / "plain.safetensors"
    ggufs.write(packed, first_layout.whole("sd1", states(tiny_sd1, "sd1"), 1), architecture="sd1", twin=plain)
    ggufs.configs_beside(tiny_sd1, packed, plain)
    return load.model(packed.name).model, load.model(plain.name).model


def adapted(recipe, file):
    module = recipe.build("cpu", "float32")
    before = forward(module)
    undo = recipe.with_adapter(file, 0.7).attach(module)
    during = forward(module)
    undo()
    assert torch.equal(forward(module), before) and not torch.equal(during, before)
    return during


def test_a_lora_on_packed_weights_is_that_on_their_numbers(twins, tmp_path):
    packed, plain = twins
    file = read_lora(make_lora(tmp_path / "a", plain.build("cpu", "float32"), 1))
    assert lora.apply(packed, file).report == "a: 32 of 32 layers of the model"
    assert torch.equal(adapted(packed, file), adapted(plain, file))


def test_a_full_difference_to_packed_weights_is_set_and_taken_off(twins, tmp_path):
    packed, plain = twins
    layer = "down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"
    torch.manual_seed(0)
    save_file({f"lora_unet_{layer}.diff": torch.randn(16, 16) / 4}, tmp_path / "full.safetensors")
    file = read_lora(tmp_path / "full.safetensors")
    assert file.dense
    assert torch.equal(adapted(packed, file), adapted(plain, file))


def test_a_dora_on_packed_weights_is_refused_before_anything_is_loaded(twins, tmp_path):
    packed, plain = twins
    file = read_lora(make_lora(tmp_path / "dora", plain.build("cpu", "float32"), 1, use_dora=True))
    lora.apply(plain, file)
    said = told(lora.apply, packed, file)
    assert "dora is a DoRA" in said and "packed (Q8_0)" in said and "safetensors" in said


def test_packed_weights_take_no_other_storage(twins):
    assert "packed already (Q8_0" in told(numerics.precision, twins[0], storage="float8_e4m3fn")
    assert numerics.precision(twins[0], dtype="bfloat16").numerics == (("dtype", "bfloat16"),)


@pytest.mark.parametrize("way", ["blocks", "layers"])
def test_packed_weights_come_in_parts_and_give_the_same_bits(twins, way):
    module = twins[0].build("cpu", "float32")
    expected = forward(module)
    undo = stream(module, "cpu", way)
    assert torch.equal(forward(module), expected)
    undo()
    assert torch.equal(forward(module), expected)
    assert sum(is_packed(p) for p in module.parameters()) > 20


def test_packed_weights_are_leased_given_up_and_read_again(twins):
    memory, run = Memory({"cpu": 2**24}), []
    for _ in range(2):
        with memory.lease(twins[0], "cpu", "float32") as module:
            run.append(forward(module))
        held = module_bytes(module)
        assert memory.budget("cpu").used == held < module_bytes(twins[1].build("cpu", "float32"))
        assert memory.free_everything("cpu") == held and memory.modules() == []
    assert torch.equal(*run)


def test_the_stretches_of_a_file_that_a_part_is_read_from_are_its_own(twins):
    recipe = twins[0]
    spans = recipe.sources()
    table = header.read(Path(recipe.base.path).parent).tensors
    own = {name for name in table if name.startswith("model.diffusion_model.")}
    assert spans and sum(one.end - one.start for one in spans) >= sum(table[name].bytes for name in own)
    for name in own:
        assert any(one.start <= table[name].start and table[name].start + table[name].bytes <= one.end for one in spans)


def test_a_file_changed_since_the_plan_is_told(twins):
    file = Path(twins[0].base.path).parent
    raw = bytearray(file.read_bytes())
    raw[-5] ^= 1
    file.write_bytes(raw)
    with pytest.raises(WeftError) as wrong:
        twins[0].build("cpu", "float32")
    assert wrong.value.code == "model.changed"


def test_without_the_package_one_command_is_named_before_anything_is_loaded(twins, monkeypatch):
    monkeypatch.setitem(sys.modules, "gguf", None)
    said = told(load.model, "packed.gguf")
    assert said == 'packed.gguf is a GGUF file, and the package gguf is not installed -- pip install "weft[gguf]"'
    assert describe(Path(twins[0].base.path).parent)["family"] == "sd1", "what it is is told without the package"
