"""Adapters on a live module: exact on, exact off, and only what fits."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from engine.errors import WeftError
from engine.invoke import EngineRun
from engine.memory import Memory
from engine.numerics import Numerics
from nodes import load, lora
from nodes.families.adapters import attach_adapters, loaded
from nodes.families.lora_file import read_lora
from nodes.types import Adapter

ROOT = Path(__file__).resolve().parents[3]
TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]


def make_lora(folder, module, seed, *, prefix="unet", targets=TARGETS, rank=4, alpha=8, **more):
    """A LoRA made with peft, both matrices filled, saved as diffusers does."""
    from diffusers import StableDiffusion3Pipeline, StableDiffusionPipeline
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft import LoraConfig, inject_adapter_in_model
    from peft.utils import get_peft_model_state_dict

    torch.manual_seed(seed)
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets, init_lora_weights=False, **more)
    inject_adapter_in_model(config, module, adapter_name="made")
    state = get_peft_model_state_dict(module, adapter_name="made")
    pipeline = StableDiffusion3Pipeline if prefix == "transformer" else StableDiffusionPipeline
    if prefix == "text_encoder":
        state = convert_state_dict_to_diffusers(state)
    told = {f"{prefix}_lora_layers": state, f"{prefix}_lora_adapter_metadata": config.to_dict()}
    pipeline.save_lora_weights(folder, **told)
    return folder


@pytest.fixture
def unet(home, tiny_sd1):
    return load.model("tiny-sd1").model


def forward(module, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1, 4, 32, 32, generator=generator)
    text = torch.randn(1, 7, 32, generator=generator)
    with torch.no_grad():
        return module(x, torch.tensor(500), encoder_hidden_states=text, return_dict=False)[0]


def bare(recipe):
    return recipe.build("cpu", "float32")


@pytest.fixture
def files(unet, tmp_path):
    return [read_lora(make_lora(tmp_path / name, bare(unet), seed)) for name, seed in (("a", 1), ("b", 2))]


def fresh(recipe, *adapters):
    """What a module that never had another adapter gives."""
    module = bare(recipe)
    attach_adapters(module, with_(recipe, *adapters))
    return forward(module)


def with_(recipe, *adapters):
    for file, strength in adapters:
        recipe = recipe.with_adapter(file, strength)
    return recipe


# --- on and off ----------------------------------------------------------------------------------------------------


def test_a_lora_is_what_diffusers_own_pipeline_makes_of_it(unet, files, tiny_sd1):
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(tiny_sd1, safety_checker=None)
    pipe.load_lora_weights(files[0].weights.path, adapter_name="a")
    pipe.load_lora_weights(files[1].weights.path, adapter_name="b")
    pipe.set_adapters(["a", "b"], [0.7, -0.4])
    assert torch.equal(fresh(unet, (files[0], 0.7), (files[1], -0.4)), forward(pipe.unet))


def test_undoing_gives_back_the_base_bit_for_bit(unet, files):
    module = bare(unet)
    before = forward(module)
    undo = attach_adapters(module, with_(unet, (files[0], 1.0)))
    assert not torch.equal(forward(module), before)
    undo()
    assert torch.equal(forward(module), before)
    assert loaded(module), "they stay, switched off, for the next step with the same recipe"


def test_strength_0_is_the_base_and_half_is_between(unet, files):
    base = forward(bare(unet))
    assert torch.equal(fresh(unet, (files[0], 0.0)), base)
    assert torch.equal(fresh(unet, (files[0], 1.0), (files[0], -1.0)), base)
    half, full = fresh(unet, (files[0], 0.5)), fresh(unet, (files[0], 1.0))
    assert 0 < (half - base).norm() < (full - base).norm()
    assert torch.equal(fresh(unet, (files[0], 0.25), (files[0], 0.25)), half)


def test_going_from_a_to_b_and_back_is_as_if_never_gone(unet, files):
    a, b = ((files[0], 0.8),), ((files[1], 0.6),)
    module, base = bare(unet), forward(bare(unet))
    for recipe in (a, b, a, (), a + b, (), b, b + a, a, ()):
        undo = attach_adapters(module, with_(unet, *recipe))
        assert torch.equal(forward(module), fresh(unet, *recipe) if recipe else base)
        undo()
        assert torch.equal(forward(module), base)


def test_only_the_last_recipes_adapters_are_kept(unet, files):
    module = bare(unet)
    names = {name for name, _ in module.named_parameters()}
    for file in (*files, *files):
        attach_adapters(module, with_(unet, (file, 1.0)))()
        assert len(loaded(module)) == 1
    assert not any(parameter.requires_grad for parameter in module.parameters())
    other = bare(unet)
    attach_adapters(other, with_(unet, (files[0], 1.0)))()
    from nodes.families.adapters import _keep_only

    _keep_only(other, set())
    assert {name for name, _ in other.named_parameters()} == names, "the plain layers are back in their place"


def test_two_recipes_on_one_base_from_two_threads_never_mix(unet, files):
    memory, numerics = Memory(), Numerics(device="cpu", dtype="float32")
    recipes = [with_(unet, (files[0], 1.0)), with_(unet, (files[1], 1.0)), unet]
    expected = [fresh(unet, (files[0], 1.0)), fresh(unet, (files[1], 1.0)), forward(bare(unet))]
    gate, modules = threading.Barrier(3), set()

    def work(index):
        run = EngineRun(f"n{index}", memory, numerics)
        gate.wait()
        right = 0
        for _ in range(8):
            with run.lease(recipes[index]) as module:
                modules.add(id(module))
                right += torch.equal(forward(module), expected[index])
        return right

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(work, range(3))) == [8, 8, 8]
    assert len(modules) == 1, "one base in memory, whatever the adapters"


def test_half_precision_takes_the_adapter_in_the_modules_dtype(unet, files):
    module = unet.build("cpu", "bfloat16")
    attach_adapters(module, with_(unet, (files[0], 1.0)))
    assert {parameter.dtype for parameter in module.parameters()} == {torch.bfloat16}


def test_a_model_without_loras_does_not_even_import_peft():
    code = (
        "import sys; from nodes.families.adapters import attach_adapters;"
        "from nodes.types import *; import torch;"
        "attach_adapters(torch.nn.Linear(2, 2), Denoiser(Weights('w', 'unet', ''), 'sd1', LatentSpace('sd1', 4, 8)))();"
        "assert not {'peft', 'diffusers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


# --- the ways of naming --------------------------------------------------------------------------------------------


def renamed(tmp_path, file, how):
    state = load_file(file.weights.path + "/pytorch_lora_weights.safetensors")
    out = {}
    for key, tensor in state.items():
        layer, _, end = key.removeprefix("unet.").partition(".lora_")
        down = end.startswith("A")
        match how:
            case "peft":
                name = f"base_model.model.{layer}.lora_{end}"
            case "bare":
                name = f"{layer}.lora_{end}"
            case "diffusers":
                name = f"unet.{layer}.lora.{'down' if down else 'up'}.weight"
            case "kohya":
                name = f"lora_unet_{layer.replace('.', '_')}.lora_{'down' if down else 'up'}.weight"
                out[f"lora_unet_{layer.replace('.', '_')}.alpha"] = torch.tensor(8.0)
        out[name] = tensor
    path = tmp_path / f"{how}.safetensors"
    save_file(out, path)
    return read_lora(path)


@pytest.mark.parametrize("how", ["peft", "bare", "diffusers", "kohya"])
def test_every_way_of_naming_the_layers_is_understood(unet, files, tmp_path, how):
    other = renamed(tmp_path, files[0], how)
    assert (other.family, other.rank, other.encoders) == ("sd1-32", 4, ())
    # alpha is 8 of rank 4 and only in the file where kohya writes it; elsewhere diffusers takes alpha = rank.
    strength = 1.0 if how == "kohya" else 2.0
    assert torch.equal(fresh(unet, (other, strength)), fresh(unet, (files[0], 1.0)))


def test_the_alpha_beside_a_peft_file_counts(unet, files, tmp_path):
    import json

    folder = tmp_path / "saved-by-peft"
    folder.mkdir()
    renamed(tmp_path, files[0], "peft")
    (tmp_path / "peft.safetensors").rename(folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": TARGETS, "rank_pattern": {}})
    )
    assert torch.equal(fresh(unet, (read_lora(folder), 1.0)), fresh(unet, (files[0], 1.0)))


def test_an_alpha_in_a_file_of_diffusers_names_counts(unet, files, tmp_path):
    state = load_file(files[0].weights.path + "/pytorch_lora_weights.safetensors")
    alphas = {key.replace("lora_A.weight", "alpha"): torch.tensor(8.0) for key in state if "lora_A" in key}
    save_file(state | alphas, tmp_path / "alphas.safetensors")
    assert torch.equal(fresh(unet, (read_lora(tmp_path / "alphas.safetensors"), 1.0)), fresh(unet, (files[0], 1.0)))


def test_dora_keeps_its_lengths(unet, tiny_sd1, tmp_path):
    from diffusers import StableDiffusionPipeline

    folder = make_lora(tmp_path / "dora", bare(unet), 5, use_dora=True)
    path = folder / "pytorch_lora_weights.safetensors"
    with safe_open(path, "pt") as stream:
        note = stream.metadata()
    state = load_file(path)
    lengths = [key for key in state if "magnitude" in key]
    assert lengths
    plain = read_lora(make_lora(tmp_path / "plain", bare(unet), 5))
    # peft starts with the lengths that change nothing: give them others.
    save_file(state | {key: state[key] * 1.5 for key in lengths}, path, note)
    pipe = StableDiffusionPipeline.from_pretrained(tiny_sd1, safety_checker=None)
    pipe.load_lora_weights(folder)
    ours = fresh(unet, (read_lora(folder), 1.0))
    assert torch.equal(ours, forward(pipe.unet))
    assert not torch.allclose(ours, fresh(unet, (plain, 1.0)))


def test_embeddings_that_came_along_in_kohyas_file_do_no_harm(unet, files, tmp_path):
    renamed(tmp_path, files[0], "kohya")
    state = load_file(tmp_path / "kohya.safetensors") | {"bundle_emb.style.string_to_param.*": torch.ones(1, 32)}
    save_file(state, tmp_path / "bundle.safetensors")
    assert torch.equal(fresh(unet, (read_lora(tmp_path / "bundle.safetensors"), 1.0)), fresh(unet, (files[0], 1.0)))


def test_names_that_diffusers_cannot_translate_are_an_error_and_never_silence(home, tiny_sd3, tmp_path):
    model = load.model("tiny-sd3").model
    name = "lora_transformer_transformer_blocks_0_attn_to_q.lora_{}.weight"
    save_file(
        {name.format("down"): torch.ones(4, 32), name.format("up"): torch.ones(32, 4)}, tmp_path / "k.safetensors"
    )
    with pytest.raises(WeftError, match=r"cannot translate the names in k\.safetensors"):
        attach_adapters(bare(model), model.with_adapter(read_lora(tmp_path / "k.safetensors"), 1.0))


# --- other parts ---------------------------------------------------------------------------------------------------


def test_a_dit_takes_loras_as_its_pipeline_does(home, tiny_sd3, tmp_path):
    from diffusers import StableDiffusion3Pipeline

    model = load.model("tiny-sd3").model
    file = read_lora(make_lora(tmp_path / "dit", bare(model), 3, prefix="transformer"))
    assert (file.family, file.rank) == ("", 4)
    pipe = StableDiffusion3Pipeline.from_pretrained(tiny_sd3)
    pipe.load_lora_weights(file.weights.path)
    generator = torch.Generator().manual_seed(0)
    given = {
        "hidden_states": torch.randn(1, 16, 8, 8, generator=generator),
        "encoder_hidden_states": torch.randn(1, 9, 32, generator=generator),
        "pooled_projections": torch.randn(1, 64, generator=generator),
        "timestep": torch.tensor([500.0]),
        "return_dict": False,
    }
    module = bare(model)
    with torch.no_grad():
        before = module(**given)[0]
        undo = attach_adapters(module, model.with_adapter(file, 1.0))
        assert torch.equal(module(**given)[0], pipe.transformer(**given)[0])
        assert not torch.equal(module(**given)[0], before)
        undo()
        assert torch.equal(module(**given)[0], before)


def test_a_text_encoders_share_acts_there_and_only_there(home, tiny_sd1, tmp_path):
    from diffusers import StableDiffusionPipeline

    parts = load.model("tiny-sd1")
    encoders = parts.text_encoder.build("cpu", "float32")
    made = parts.text_encoder.build("cpu", "float32")["text_encoder"]
    file = read_lora(make_lora(tmp_path / "te", made, 4, prefix="text_encoder", targets=["q_proj", "v_proj"]))
    assert file.encoders == ("text_encoder",)
    pipe = StableDiffusionPipeline.from_pretrained(tiny_sd1, safety_checker=None)
    pipe.load_lora_weights(file.weights.path)
    ids = torch.arange(10)[None] % 5
    with torch.no_grad():
        before = encoders["text_encoder"](ids)[0]
        undo = attach_adapters(encoders, parts.text_encoder.with_adapter(file, 1.0))
        assert torch.equal(encoders["text_encoder"](ids)[0], pipe.text_encoder(ids)[0])
        assert not torch.equal(encoders["text_encoder"](ids)[0], before)
        undo()
        assert torch.equal(encoders["text_encoder"](ids)[0], before)


def test_kohyas_file_for_both_unet_and_text_encoder_is_the_pipelines(home, tiny_sd1, tmp_path):
    from diffusers import StableDiffusionPipeline

    parts = load.model("tiny-sd1")
    generator = torch.Generator().manual_seed(3)
    layers = {
        "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k": (16, 32),
        "lora_te_text_model_encoder_layers_0_self_attn_q_proj": (32, 32),
    }
    width = parts.text_encoder.build("cpu", "float32")["text_encoder"].config.intermediate_size
    layers["lora_te_text_model_encoder_layers_1_mlp_fc1"] = (width, 32)
    state = {}
    for name, (out, into) in layers.items():
        state[f"{name}.lora_down.weight"] = torch.randn(4, into, generator=generator)
        state[f"{name}.lora_up.weight"] = torch.randn(out, 4, generator=generator)
        state[f"{name}.alpha"] = torch.tensor(2.0)
    save_file(state, tmp_path / "both.safetensors")
    file = read_lora(tmp_path / "both.safetensors")
    assert file.encoders == ("text_encoder",)
    pipe = StableDiffusionPipeline.from_pretrained(tiny_sd1, safety_checker=None)
    pipe.load_lora_weights(tmp_path, weight_name="both.safetensors")
    out = lora.apply(parts.model, file, 1.0, parts.text_encoder)
    assert torch.equal(fresh(parts.model, (file, 1.0)), forward(pipe.unet))
    encoders = parts.text_encoder.build("cpu", "float32")
    attach_adapters(encoders, out.text_encoder)
    ids = torch.arange(10)[None] % 5
    with torch.no_grad():
        assert torch.equal(encoders["text_encoder"](ids)[0], pipe.text_encoder(ids)[0])


# --- what does not fit ---------------------------------------------------------------------------------------------


def test_a_file_of_other_layers_is_refused_and_names_the_first(unet, files, tmp_path):
    state = load_file(files[0].weights.path + "/pytorch_lora_weights.safetensors")
    keys = {key.rpartition(".lora_")[0] for key in state}
    strange = {key.replace("blocks.0", "blocks.7"): tensor for key, tensor in state.items()}
    save_file(strange, tmp_path / "strange.safetensors")
    module = bare(unet)
    before = forward(module)
    with pytest.raises(
        WeftError, match=rf"only \d of the {len(keys)} layers in strange.safetensors.*blocks\.7"
    ) as refused:
        attach_adapters(module, with_(unet, (files[0], 1.0), (read_lora(tmp_path / "strange.safetensors"), 1.0)))
    assert refused.value.code == "facts.mismatch"
    assert torch.equal(forward(module), before), "nothing is left on the module"
    assert not loaded(module)


def test_a_few_layers_too_many_do_no_harm(unet, files, tmp_path):
    state = load_file(files[0].weights.path + "/pytorch_lora_weights.safetensors")
    extra = {"unet.nowhere.to_q.lora_A.weight": torch.ones(4, 8), "unet.nowhere.to_q.lora_B.weight": torch.ones(8, 4)}
    save_file(state | extra, tmp_path / "extra.safetensors")
    assert torch.equal(fresh(unet, (read_lora(tmp_path / "extra.safetensors"), 2.0)), fresh(unet, (files[0], 1.0)))


def test_a_file_that_has_gone_since_the_plan_is_named(unet, files):
    import shutil

    recipe = unet.with_adapter(files[0], 1.0)
    shutil.rmtree(files[0].weights.path)
    with pytest.raises(WeftError, match=r"holds no LoRA|is gone"):
        attach_adapters(bare(unet), recipe)


def test_the_same_strength_has_one_key():
    from nodes.types import Lora, Weights

    file = Lora(Weights("i", "lora", "/x"), "sd1", 4, (), 0.5)
    assert Adapter.of(file, 2.0) == Adapter.of(lora.weight(file, 2.0), 1.0) == Adapter(lora.weight(file, 2.0), 1.0)
