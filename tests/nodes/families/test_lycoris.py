"""LyCORIS on a live module: what peft computes from the same matrices, exact off, by block and by step."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine.errors import WeftError
from engine.memory import module_bytes
from engine.node import spec_of
from engine.sockets import Ref
from nodes import denoise, load, lora
from nodes.denoise.active import active
from nodes.families import lycoris
from nodes.families.adapters import attach_adapters
from nodes.families.layer_names import blocks_of, ldm_name, targets
from nodes.families.lora_file import read_lora
from nodes.families.single_file.names import diffusers_names, moves
from nodes.types import Conditioning, Entry, Noise
from tests.nodes import first_layout
from tests.nodes.families.test_adapters import bare, files, forward, fresh, unet, with_  # noqa: F401
from tests.nodes.test_single_file import published

LAYERS = ("down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q", "up_blocks.0.resnets.0.conv1")
LINEAR, CONV = LAYERS


def kohya(layer: str) -> str:
    return "lora_unet_" + layer.replace(".", "_")


def write(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path)
    return path


def filled(module, config, seed: int = 3):
    """A module with peft's adapter on it, all matrices random."""
    from peft import inject_adapter_in_model

    inject_adapter_in_model(config, module, adapter_name="made")
    torch.manual_seed(seed)
    found = {}
    for name, parameter in module.named_parameters():
        if ".made" in name:
            torch.nn.init.normal_(parameter, std=0.3)
            found[name.replace(".made", "")] = parameter.detach().clone()
    return found


@pytest.mark.parametrize("kind", ["LoHa", "LoKr", "LoKr-rank"])
def test_each_kind_is_what_peft_makes_of_the_same_matrices(unet, tmp_path, kind):  # noqa: F811
    from peft import LoHaConfig, LoKrConfig

    module = bare(unet)
    if kind == "LoHa":
        config = LoHaConfig(r=4, alpha=2, target_modules=list(LAYERS), use_effective_conv2d=False)
    else:
        # Where both factors are whole matrices, LyCORIS has no use for alpha.
        small = {"r": 1, "alpha": 0.5, "decompose_both": True, "target_modules": [LINEAR]}
        config = LoKrConfig(**(small if kind == "LoKr-rank" else {"r": 8, "alpha": 8, "target_modules": list(LAYERS)}))
    matrices = filled(module, config)
    wanted = forward(module)
    state = {}
    for name, tensor in matrices.items():
        layer, end = name.rsplit(".", 1)
        state[f"{kohya(layer)}.{end}"] = tensor
    for layer in config.target_modules:
        state[f"{kohya(layer)}.alpha"] = torch.tensor({"LoHa": 2.0, "LoKr": 8.0, "LoKr-rank": 0.5}[kind])
    file = read_lora(write(tmp_path / "odd.safetensors", state))
    assert file.dense
    assert torch.allclose(fresh(unet, (file, 1.0)), wanted, atol=2e-5)
    assert not torch.allclose(fresh(unet), wanted, atol=1e-4)


def random(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def by_hand(unet, layer: str, change):  # noqa: F811
    """A forward of a module whose one weight was changed by hand."""
    module = bare(unet)
    part = module.get_submodule(layer)
    part.weight = torch.nn.Parameter(change(part.weight.detach().clone()))
    return forward(module)


def shape(unet, layer: str) -> tuple[int, ...]:  # noqa: F811
    return tuple(bare(unet).get_submodule(layer).weight.shape)


def test_a_tucker_decomposed_convolution_is_its_three_factors(unet, tmp_path):  # noqa: F811
    out, into, high, wide = shape(unet, CONV)
    up, mid, down = random(out, 3, 1, 1), random(3, 2, high, wide, seed=2), random(2, into, 1, 1, seed=3)
    name = kohya(CONV)
    state = {f"{name}.lora_up.weight": up, f"{name}.lora_mid.weight": mid, f"{name}.lora_down.weight": down}
    state[f"{name}.alpha"] = torch.tensor(1.0)
    file = read_lora(write(tmp_path / "locon.safetensors", state))
    change = torch.einsum("or,rskl,si->oikl", up[:, :, 0, 0], mid, down[:, :, 0, 0]) * (1.0 / 2)
    assert torch.allclose(fresh(unet, (file, 0.5)), by_hand(unet, CONV, lambda w: w + 0.5 * change), atol=1e-5)


def test_a_full_difference_and_a_norm_are_added(unet, tmp_path):  # noqa: F811
    difference, norm = random(*shape(unet, LINEAR)), "up_blocks.0.resnets.0.norm1"
    state = {f"{kohya(LINEAR)}.diff": difference}
    file = read_lora(write(tmp_path / "full.safetensors", state))
    assert torch.allclose(fresh(unet, (file, 0.3)), by_hand(unet, LINEAR, lambda w: w + 0.3 * difference), atol=1e-6)
    size = bare(unet).get_submodule(norm).weight.shape[0]
    state = {f"{kohya(norm)}.w_norm": random(size), f"{kohya(norm)}.b_norm": torch.zeros(size)}
    file = read_lora(write(tmp_path / "norm.safetensors", state))
    assert torch.allclose(fresh(unet, (file, 1.0)), by_hand(unet, norm, lambda w: w + random(size)), atol=1e-6)


@pytest.mark.parametrize("by", ["output", "input"])
def test_kohyas_dora_gives_rows_or_columns_their_lengths(unet, tmp_path, by):  # noqa: F811
    out, into = shape(unet, LINEAR)
    up, down = random(out, 4), random(4, into, seed=2)
    length = random(out, 1, seed=4).abs() if by == "output" else random(1, into, seed=4).abs()
    name = kohya(LINEAR)
    state = {f"{name}.lora_up.weight": up, f"{name}.lora_down.weight": down, f"{name}.dora_scale": length}
    file = read_lora(write(tmp_path / "dora.safetensors", state | {f"{name}.alpha": torch.tensor(4.0)}))

    def change(weight: torch.Tensor) -> torch.Tensor:
        moved = weight + up @ down
        return length * moved / moved.norm(dim=1 if by == "output" else 0, keepdim=True)

    assert torch.allclose(fresh(unet, (file, 1.0)), by_hand(unet, LINEAR, change), atol=1e-5)


@pytest.fixture
def odd(unet, tmp_path):  # noqa: F811
    """A LoHa over one layer."""
    out, into = shape(unet, LINEAR)
    names = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
    sizes = ((out, 4), (4, into), (out, 4), (4, into))
    state = {f"{kohya(LINEAR)}.{n}": random(*s, seed=i) for i, (n, s) in enumerate(zip(names, sizes, strict=True))}
    return read_lora(write(tmp_path / "odd.safetensors", state))


def test_weights_put_aside_are_counted_beside_those_that_stand_in_for_them(unet, odd):  # noqa: F811
    """Until it is undone both are in memory."""
    module = bare(unet)
    before, changed = module_bytes(module), 4 * dict(module.named_modules())[LINEAR].weight.numel()
    undo = attach_adapters(module, with_(unet, (odd, 1.0)))
    assert module_bytes(module) == before + changed
    undo()
    assert module_bytes(module) == before


def test_undoing_gives_back_the_very_same_tensors(unet, odd):  # noqa: F811
    module = bare(unet)
    before, first = dict(module.named_parameters()), forward(module)
    undo = attach_adapters(module, with_(unet, (odd, 1.0)))
    assert not torch.equal(forward(module), first)
    undo()
    assert all(parameter is before[name] for name, parameter in module.named_parameters())
    assert torch.equal(forward(module), first)


def test_it_goes_together_with_one_that_peft_holds(unet, odd, files):  # noqa: F811
    both = fresh(unet, (files[0], 0.7), (odd, 0.5))
    assert torch.allclose(both, fresh(unet, (odd, 0.5), (files[0], 0.7)), atol=1e-6)
    assert not torch.allclose(both, fresh(unet, (files[0], 0.7)), atol=1e-3)
    module = bare(unet)
    base = forward(module)
    attach_adapters(module, with_(unet, (files[0], 0.7)))()
    attach_adapters(module, with_(unet, (odd, 0.5)))()
    assert torch.equal(forward(module), base)


def test_the_headers_tell_family_fit_and_report(unet, odd, tmp_path):  # noqa: F811
    layer = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
    state = {f"{kohya(layer)}.lokr_w1": random(4, 4), f"{kohya(layer)}.lokr_w2_a": random(4, 2)}
    state |= {f"{kohya(layer)}.lokr_w2_b": random(2, 8)}
    found = read_lora(write(tmp_path / "kron.safetensors", state))
    assert (found.family, found.rank, found.dense) == ("sd1-32", 2, True)
    assert lora.apply(unet, odd).report == "odd.safetensors: 1 of 1 layers of the model"
    wrong = {f"{kohya(LINEAR)}.diff": torch.ones(3, 5)}
    with pytest.raises(WeftError, match=r"as 5 → 3, the model has 16 → 16 there"):
        lora.apply(unet, read_lora(write(tmp_path / "wrong.safetensors", wrong)))


# --- names of the first code -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
def test_every_layer_of_a_unet_is_known_by_its_older_name(kind):
    state = published(kind, "unet")
    shapes = {key.removesuffix(".weight"): tuple(t.shape) for key, t in state.items() if key.endswith(".weight")}
    crossed = {name.split(".")[1] for name in shapes if ".attentions." in name and name.startswith("up_blocks")}
    old = {key.removesuffix(".weight") for key in first_layout.unet(state, 2) if key.endswith(".weight")}
    assert {ldm_name(name, 3, crossed) for name in shapes} == old
    there = targets(shapes)
    for name in shapes:
        assert [target.name for target in there[ldm_name(name, 3, crossed).replace(".", "_")]] == [name]
    assert diffusers_names("ldm", {f"{name}.weight": ("", ()) for name in old}, {"layers_per_block": 2}).keys() == {
        f"{name}.weight" for name in shapes
    }


@pytest.mark.parametrize("kind", ["sd3", "flux"])
def test_every_layer_of_a_dit_is_known_by_its_older_name(kind):
    state = published(kind, "transformer")
    shapes = {key.removesuffix(".weight"): tuple(t.shape) for key, t in state.items() if key.endswith(".weight")}
    there = targets(shapes)
    old = first_layout.denoiser(kind, state)
    table = {key: ("", tuple(tensor.shape)) for key, tensor in old.items()}
    for new, name, cut in moves(kind, table):
        if new.endswith(".weight") and "blocks." in name and "norm" not in new.split(".")[-2]:
            found = there[name.removesuffix(".weight").replace(".", "_")]
            assert (new.removesuffix(".weight"), cut.start, cut.stop) in {(t.name, t.start, t.stop) for t in found}, (
                name
            )


def test_one_layer_of_the_file_may_be_three_of_the_module(home, tiny_flux, tmp_path):
    recipe = load.model("tiny-flux").model
    module = bare(recipe)
    width = module.inner_dim
    change = random(3 * width, width)
    write(tmp_path / "full.safetensors", {"lycoris_double_blocks_0_img_attn_qkv.diff": change})
    file = read_lora(tmp_path / "full.safetensors")
    assert lora.apply(recipe, file).report.endswith("1 of 1 layers of the model")
    before = {key: t.clone() for key, t in module.state_dict().items()}
    undo = lycoris.attach(module, "denoiser", {file: {(): 1.0}})
    for index, side in enumerate("qkv"):
        key = f"transformer_blocks.0.attn.to_{side}.weight"
        assert torch.equal(module.state_dict()[key], before[key] + change[index * width : (index + 1) * width])
    undo()
    assert all(torch.equal(t, before[key]) for key, t in module.state_dict().items())


def test_flux_own_names_with_pefts_matrices_are_kohyas(home, tiny_flux, tmp_path):
    """`diffusion_model.double_blocks.0.img_attn.qkv.lora_A.weight`, as ComfyUI and ai-toolkit save them."""
    recipe = load.model("tiny-flux").model
    width = bare(recipe).inner_dim
    a, b = random(4, width), random(3 * width, 4)
    name = "double_blocks.0.img_attn.qkv"
    own = {f"diffusion_model.{name}.lora_A.weight": a, f"diffusion_model.{name}.lora_B.weight": b}
    other = {f"lora_unet_{name.replace('.', '_')}.lora_{end}.weight": t for end, t in (("down", a), ("up", b))}
    other[f"lora_unet_{name.replace('.', '_')}.alpha"] = torch.tensor(4.0)
    states = []
    for path, state in (("own", own), ("kohya", other)):
        module = bare(recipe)
        file = read_lora(write(tmp_path / f"{path}.safetensors", state))
        assert lora.apply(recipe, file).report.endswith("1 of 1 layers of the model")
        attach_adapters(module, recipe.with_adapter(file, 1.0))
        states.append({key.split(".weft_")[0]: t for key, t in module.state_dict().items() if "lora_" in key})
    assert states[0].keys() == states[1].keys()
    assert len(states[0]) == 6
    assert all(torch.equal(tensor, states[1][key]) for key, tensor in states[0].items())


def test_xlabs_names_are_the_pipelines(home, tiny_flux, tmp_path):
    from diffusers import FluxPipeline

    recipe = load.model("tiny-flux").model
    width = bare(recipe).inner_dim
    state = {}
    for what, out in (("qkv_lora1", 3 * width), ("proj_lora1", width), ("qkv_lora2", 3 * width), ("proj_lora2", width)):
        state[f"double_blocks.0.processor.{what}.down.weight"] = random(4, width)
        state[f"double_blocks.0.processor.{what}.up.weight"] = random(out, 4, seed=2)
    file = read_lora(write(tmp_path / "xlabs.safetensors", state))
    assert lora.apply(recipe, file).report.endswith("4 of 4 layers of the model")
    module = bare(recipe)
    attach_adapters(module, recipe.with_adapter(file, 1.0))
    pipe = FluxPipeline.from_pretrained(tiny_flux)
    pipe.load_lora_weights(tmp_path / "xlabs.safetensors")
    wanted = [t for key, t in sorted(pipe.transformer.state_dict().items()) if "lora_" in key]
    found = [t for key, t in sorted(module.state_dict().items()) if "lora_" in key]
    assert len(wanted) == len(found) == 16
    assert all(torch.equal(*pair) for pair in zip(found, wanted, strict=True))


# --- by block --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "blocks"),
    [
        ("down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q", ("in01", "in")),
        ("down_blocks.2.attentions.1.proj_in", ("in08", "in")),
        ("down_blocks.0.downsamplers.0.conv", ("in03", "in")),
        ("mid_block.attentions.0.proj_in", ("mid", "m00")),
        ("up_blocks.1.attentions.0.proj_in", ("out03", "out")),
        ("up_blocks.3.attentions.2.proj_in", ("out11", "out")),
        ("time_embedding.linear_1", ("base",)),
        ("transformer_blocks.7.attn.to_q", ("double07", "double")),
        ("single_transformer_blocks.12.attn.to_q", ("single12", "single")),
    ],
)
def test_a_layer_stands_in_the_block_that_others_call_so(layer, blocks):
    assert blocks_of(layer, 3, flux=True) == blocks


def test_a_share_of_0_leaves_a_block_as_it_was(unet, files):  # noqa: F811
    half = lora.blocks(files[0], out=0.0)
    module = bare(unet)
    attach_adapters(module, lora.apply(unet, half).model)
    scales = {name: layer.scaling for name, layer in module.named_modules() if hasattr(layer, "scaling")}
    off = {name for name, layer in module.named_modules() if name in scales and layer.disable_adapters}
    assert {name.partition("_block")[0] for name in off} == {"up"}
    assert {name.partition("_block")[0] for name in scales} - {"up"} == {"down", "mid"}
    assert not torch.equal(forward(module), fresh(unet, (files[0], 1.0)))


@pytest.mark.parametrize("dense", [False, True])
def test_a_blocks_share_is_a_strength_there(unet, files, odd, dense):  # noqa: F811
    file = odd if dense else files[0]
    by_group = lora.blocks(lora.blocks(file, **{"in": 0.25}), mid=0.25, out=0.25, base=0.25)
    assert torch.allclose(fresh_of(unet, by_group), fresh(unet, (file, 0.25)), atol=1e-6)
    narrow = lora.blocks(file, **{"in": 0.25, "in03": 1.0, "in02": 1.0, "in04": 1.0})
    assert not torch.allclose(fresh_of(unet, narrow), fresh(unet, (file, 0.25)), atol=1e-6)


def fresh_of(unet, file):  # noqa: F811
    module = bare(unet)
    attach_adapters(module, lora.apply(unet, file).model)
    return forward(module)


def test_a_block_that_is_none_is_told(files):  # noqa: F811
    with pytest.raises(WeftError, match="no block is called 'head'"):
        lora.blocks(files[0], head=1.0)


# --- by step ---------------------------------------------------------------------------------------------------------


def steps_of(model, **more):
    entry = Entry(Ref("text", {}))
    inputs = {
        **{item.name: item.default for item in spec_of(denoise.sample).inputs},
        "model": model,
        "positive": Conditioning((entry,)),
        "negative": Conditioning((entry,)),
        "latent": Ref("latent", {}),
        "steps": 10,
        "noise": Noise(1),
        **more,
    }
    return active(**inputs)


def test_steps_before_its_range_do_not_depend_on_a_lora(unet, files):  # noqa: F811
    late = [lora.apply(unet, lora.steps(file, 0.3, 0.8)).model for file in files]
    one, other, none = (steps_of(model) for model in (*late, lora.apply(unet, lora.steps(files[0], 0.3, 0.7)).model))
    assert one[:3] == other[:3], "the first three steps are the same whichever LoRA comes later"
    assert one[3] != other[3]
    assert one[8:] == other[8:]
    assert one[:7] == none[:7], "until when it acts matters only from there on"
    assert one[7] != none[7]


def test_a_lora_with_a_range_acts_there_and_only_there(unet, files, home):  # noqa: F811
    """Bit for bit the steps without it, then those with it."""
    from nodes import text
    from nodes.denoise import sample
    from nodes.types import Latent

    parts = load.model("tiny-sd1")
    canvas = Latent(torch.zeros(1, 4, 32, 32), parts.model.space)
    prompt, empty = text.encode(parts.text_encoder, "a red cube"), text.encode(parts.text_encoder, "")
    given = {"positive": prompt, "negative": empty, "seed": 3, "steps": 4, "cfg": 3.0}
    late = lora.apply(parts.model, lora.steps(files[0], 0.5, 1.0)).model
    half = sample(parts.model, latent=canvas, **given, stop_step=2)
    goes_on = {**given, "start_step": 2, "add_noise": False}
    wanted = sample(lora.apply(parts.model, files[0]).model, latent=half.latent, **goes_on).latent.samples
    found = sample(late, latent=canvas, **given).latent.samples
    assert torch.equal(found, wanted)
    assert not torch.equal(found, sample(parts.model, latent=canvas, **given).latent.samples)
    whole = lora.apply(parts.model, lora.steps(files[0], 0.0, 1.0)).model
    assert torch.equal(
        sample(whole, latent=canvas, **given).latent.samples,
        sample(lora.apply(parts.model, files[0]).model, latent=canvas, **given).latent.samples,
    )


def test_a_range_without_a_step_is_refused(files):  # noqa: F811
    with pytest.raises(WeftError, match=r"from 0.6 to 0.4 has no step"):
        lora.steps(files[0], 0.6, 0.4)
