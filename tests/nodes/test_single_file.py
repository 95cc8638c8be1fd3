"""Single files: told apart by their headers, found whole in their parts, and the same as the folders they came from."""

import json
import re
import shutil
import struct
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from diffusers.loaders import single_file_utils as theirs
from safetensors.torch import load_file, save_file

from engine.errors import WeftError
from nodes import load, lora, text, vae
from nodes.denoise import sample
from nodes.families import base, single_file
from nodes.families.files import component, read_json
from nodes.families.single_file import configs
from nodes.families.single_file.names import convert, diffusers_names
from nodes.types import Latent
from tests.nodes import first_layout
from tests.nodes.conftest import make_sdxl

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("sd1", "sd2", "sdxl", "sdxl-refiner", "sd3", "flux")
TINY = {
    "sd1": "tiny_sd1",
    "sd2": "tiny_sd1",
    "sdxl": "tiny_sdxl",
    "sdxl-refiner": "tiny_refiner",
    "sd3": "tiny_sd3",
    "flux": "tiny_flux",
}
MODULES = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL"}
ENCODERS = {kind: tuple(first_layout.ENCODERS[kind]) for kind in KINDS}
DENOISER = {kind: "transformer" if kind in ("sd3", "flux") else "unet" for kind in KINDS}


def told(call, *arguments, **inputs) -> str:
    with pytest.raises(WeftError) as caught:
        call(*arguments, **inputs)
    assert "\n" not in caught.value.problem.message
    assert caught.value.problem.mend is not None
    return f"{caught.value.problem.message} -- {caught.value.problem.mend.text}"


@pytest.fixture
def checkpoints(home) -> Path:
    folder = home.home / "models" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def states(folder: Path, kind: str) -> dict[str, dict[str, torch.Tensor]]:
    """All parts of a diffusers folder."""
    return {part: load_file(component(folder / part).files[0]) for part in (DENOISER[kind], "vae", *ENCODERS[kind])}


def write(kind: str, source: Path, file: Path, more=()) -> Path:
    """A tiny checkpoint, and beside it the configurations and tokenizers it was made from."""
    parts = states(source, kind)
    save_file(first_layout.whole(kind, parts, 1) | dict(more), file)
    shutil.copytree(source, file.with_suffix(""), ignore=shutil.ignore_patterns("*.safetensors", "model_index.json"))
    return file


@pytest.fixture(scope="session")
def tiny_refiner(models) -> Path:
    return make_sdxl(models / "checkpoints" / "tiny-refiner", refiner=True)


@pytest.fixture(params=KINDS)
def tiny(request, checkpoints):
    """(a tiny checkpoint's name, the folder it was made from)."""
    source = request.getfixturevalue(TINY[request.param])
    return write(request.param, source, checkpoints / "tiny.safetensors").name, source.name


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


# --- the same as the folder ------------------------------------------------------------------------------------------


def test_every_part_is_the_folders_bit_for_bit(tiny):
    file, folder = (load.model(name) for name in tiny)
    for one, other in zip(file, folder, strict=True):
        assert same(one.build("cpu", "float32"), other.build("cpu", "float32"))


def test_a_picture_from_a_file_is_the_picture_from_the_folder(tiny):
    pictures = []
    for name in tiny:
        model, encoder, autoencoder = load.model(name)
        prompt, negative = text.encode(encoder, "a red cube"), text.encode(encoder, "")
        canvas = Latent(torch.zeros(1, model.space.channels, 32, 32), model.space)
        cfg = 1.0 if model.distilled_guidance else 4.0
        flow = "simple" if model.prediction == "flow" else "normal"
        drawn = sample(model, prompt, canvas, negative, seed=3, steps=2, cfg=cfg, scheduler=flow).latent
        pictures.append(vae.decode(autoencoder, drawn).pixels)
    assert torch.equal(*pictures)


def test_what_is_known_before_weights_are_read_is_the_folders(tiny):
    file, folder = (load.model(name) for name in tiny)
    assert [part.facts for part in file] == [part.facts for part in folder]
    assert file.model.config == folder.model.config
    assert file.vae.scale == folder.vae.scale
    assert {file.model.base.id, file.vae.base.id, *(part.id for part in file.text_encoder.parts)}.isdisjoint(
        {folder.model.base.id, folder.vae.base.id}
    )
    assert file.model.base.id != file.vae.base.id


def test_one_part_can_be_taken_from_a_file(tiny):
    whole = load.model(tiny[0])
    assert load.denoiser(tiny[0]) == whole.model
    assert load.vae(tiny[0]) == whole.vae
    assert load.text_encoder(tiny[0]) == whole.text_encoder


def test_a_lora_fits_a_file_as_it_fits_the_folder(tiny, home):
    file, folder = (load.model(name).model for name in tiny)
    into = next(iter(component(Path(folder.base.path)).header().items()))
    assert into
    part = file.base.component
    names = {
        name.removesuffix(".weight"): shape for name, (_, shape) in component(Path(folder.base.path)).header().items()
    }
    layer = next(name for name in names if name.endswith(("attn2.to_k", "attn.to_k")))
    deep = next((name for name in names if name.endswith("transformer_blocks.1.attn1.to_q")), layer)
    tensors = {}
    for name in {layer, deep}:
        out, inside = names[name]
        tensors |= {
            f"{part}.{name}.lora_A.weight": torch.ones(2, inside),
            f"{part}.{name}.lora_B.weight": torch.ones(out, 2),
        }
    (home.home / "models" / "loras").mkdir()
    save_file(tensors, home.home / "models" / "loras" / "style.safetensors")
    style = lora.load("style.safetensors")
    assert lora.apply(file, style).model.adapters == lora.apply(folder, style).model.adapters
    assert not list(lora.advice(model=file, lora=style))


def test_what_a_fine_tune_says_of_its_prediction_is_heard(checkpoints, tiny_sdxl):
    said = {"v_pred": torch.zeros(1), "ztsnr": torch.zeros(1)}
    write("sdxl", tiny_sdxl, checkpoints / "v.safetensors", said)
    found = load.model("v.safetensors").model
    assert found.prediction == "v_prediction"
    assert dict(found.training)["rescale_betas_zero_snr"] is True
    assert load.model("v.safetensors", prediction="epsilon").model.prediction == "epsilon"


def test_loading_a_file_imports_no_torch(tiny, home):
    program = (
        "import sys; from pathlib import Path; from engine import places; from nodes import load\n"
        f"with places.using(places.Places(home=Path({str(home.home)!r}))): load.model({tiny[0]!r})\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


# --- the published sizes ---------------------------------------------------------------------------------------------

# What the models' makers, and diffusers, count.
COUNTS = {
    ("sd1", "unet"): 859_520_964,
    ("sd1", "vae"): 83_653_863,
    ("sd1", "text_encoder"): 123_060_480,
    ("sd2", "unet"): 865_910_724,
    ("sd2", "text_encoder"): 340_387_840,
    ("sdxl", "unet"): 2_567_463_684,
    ("sdxl", "vae"): 83_653_863,
    ("sdxl", "text_encoder_2"): 694_659_840,
    ("sd3", "transformer"): 2_028_328_000,
    ("sd3", "vae"): 83_819_683,
    ("sd3", "text_encoder_3"): 4_762_310_656,
    ("flux", "transformer"): 11_901_408_320,
    ("flux", "vae"): 83_819_683,
}
# How the parts are built that no JSON ships for: as their makers published them.
CLIP = {"model_type": "clip_text_model", "vocab_size": 49408, "max_position_embeddings": 77}
CLIP |= {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1, "layer_norm_eps": 1e-05}
CLIP_L = CLIP | {"architectures": ["CLIPTextModel"], "hidden_act": "quick_gelu", "hidden_size": 768}
CLIP_L |= {"intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12, "projection_dim": 768}
CLIP_G = CLIP | {"architectures": ["CLIPTextModelWithProjection"], "hidden_act": "gelu", "hidden_size": 1280}
CLIP_G |= {"intermediate_size": 5120, "num_attention_heads": 20, "num_hidden_layers": 32, "projection_dim": 1280}
CLIP_H = CLIP | {"architectures": ["CLIPTextModel"], "hidden_act": "gelu", "hidden_size": 1024, "projection_dim": 1024}
CLIP_H |= {"intermediate_size": 4096, "num_attention_heads": 16, "num_hidden_layers": 23}
T5 = {"model_type": "t5", "d_model": 4096, "d_kv": 64, "num_heads": 64, "d_ff": 10240, "num_layers": 24}
T5 |= {"vocab_size": 32128, "relative_attention_num_buckets": 32, "feed_forward_proj": "gated-gelu"}
T5 |= {"is_encoder_decoder": False, "tie_word_embeddings": False}
SD3 = {"_class_name": "SD3Transformer2DModel", "sample_size": 128, "patch_size": 2, "in_channels": 16}
SD3 |= {"out_channels": 16, "num_layers": 24, "attention_head_dim": 64, "num_attention_heads": 24}
SD3 |= {"joint_attention_dim": 4096, "caption_projection_dim": 1536, "pooled_projection_dim": 2048}
SD3 |= {"pos_embed_max_size": 192, "dual_attention_layers": [], "qk_norm": None}
SD35 = {
    "medium": SD3 | {"pos_embed_max_size": 384, "dual_attention_layers": list(range(13)), "qk_norm": "rms_norm"},
    "large": SD3 | {"num_layers": 38, "num_attention_heads": 38, "caption_projection_dim": 2432, "qk_norm": "rms_norm"},
}
FLUX = {"_class_name": "FluxTransformer2DModel", "patch_size": 1, "in_channels": 64, "out_channels": 64}
FLUX |= {"num_layers": 19, "num_single_layers": 38, "attention_head_dim": 128, "num_attention_heads": 24}
FLUX |= {"joint_attention_dim": 4096, "pooled_projection_dim": 768, "guidance_embeds": True}
FLUX |= {"axes_dims_rope": [16, 56, 56]}
BUILT = {
    ("sd1", "text_encoder"): CLIP_L,
    ("sd2", "text_encoder"): CLIP_H,
    ("sdxl", "text_encoder"): CLIP_L,
    ("sdxl", "text_encoder_2"): CLIP_G,
    ("sdxl-refiner", "text_encoder_2"): CLIP_G,
    ("sd3", "text_encoder"): CLIP_L | {"architectures": ["CLIPTextModelWithProjection"]},
    ("sd3", "text_encoder_2"): CLIP_G,
    ("sd3", "text_encoder_3"): T5,
    ("flux", "text_encoder"): CLIP_L,
    ("flux", "text_encoder_2"): T5,
    ("sd3", "transformer"): SD3,
    ("flux", "transformer"): FLUX,
}


@lru_cache
def published(kind: str, part: str) -> dict[str, torch.Tensor]:
    """The parameters of a part as it was published, without storage."""
    if (kind, part) in BUILT:
        return made(json.dumps(BUILT[kind, part]))
    return made((configs.shipped(kind, part) / "config.json").read_text())


@lru_cache
def made(told: str) -> dict[str, torch.Tensor]:
    import diffusers
    import transformers

    config = json.loads(told)
    with torch.device("meta"), base.unmade():
        if "_class_name" in config:
            module = getattr(diffusers, config["_class_name"]).from_config(config)
        elif config["model_type"] == "t5":
            module = transformers.T5EncoderModel(transformers.T5Config(**config))
        else:
            module = getattr(transformers, config["architectures"][0])(transformers.CLIPTextConfig(**config))
    places = getattr(getattr(module, "pos_embed", None), "pos_embed", None)
    buffers = {} if places is None else {"pos_embed.pos_embed": places}
    return {name: tensor.detach().to("meta") for name, tensor in [*module.named_parameters(), *buffers.items()]}


@pytest.mark.parametrize(("kind", "part"), COUNTS)
def test_shipped_configurations_make_models_of_the_published_size(kind, part):
    parameters = {name: t for name, t in published(kind, part).items() if name != "pos_embed.pos_embed"}
    assert sum(tensor.numel() for tensor in parameters.values()) == COUNTS[kind, part]


@lru_cache
def full(kind: str) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint as it is published, without storage."""
    parts = {part: published(kind, part) for part in (DENOISER[kind], "vae", *ENCODERS[kind])}
    if kind == "sd2":  # the file has a layer that the model never uses
        parts["text_encoder"] = made(json.dumps(CLIP_H | {"num_hidden_layers": 24}))
    return first_layout.whole(kind, parts, 2)


@pytest.mark.parametrize(("kind", "part"), BUILT)
def test_how_a_part_is_built_is_read_from_its_shapes(kind, part, checkpoints):
    hollow(checkpoints / "big.safetensors", full(kind))
    assert single_file.part(checkpoints / "big.safetensors" / part).config == BUILT[kind, part]


@pytest.mark.parametrize("size", SD35)
@pytest.mark.parametrize("layout", ["published", "diffusers"])
def test_the_sizes_of_stable_diffusion_3_5_are_read_from_its_shapes(size, layout, home):
    folder = home.home / "models" / "diffusion_models"
    folder.mkdir(parents=True)
    state = made(json.dumps(SD35[size]))
    hollow(folder / "sd35.safetensors", first_layout.sd3(state) if layout == "published" else state)
    assert single_file.part(folder / "sd35.safetensors" / "transformer").config == SD35[size]
    assert load.denoiser("sd35.safetensors").facts["text_layout"] == "clip-l+clip-g+t5:4096"


def hollow(file: Path, tensors: dict[str, torch.Tensor]) -> Path:
    """A file with the header of these tensors in half precision; what would be weights takes no room on the disk."""
    header, end = {}, 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F16", "shape": list(tensor.shape), "data_offsets": [end, end + tensor.numel() * 2]}
        end += tensor.numel() * 2
    raw = json.dumps(header).encode()
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", len(raw)) + raw)
        stream.truncate(8 + len(raw) + end)
    return file


@pytest.fixture
def words(home):
    """A tokenizer with as many words as CLIP's, in the models tree."""
    folder = home.home / "models" / "tokenizers" / "clip"
    folder.mkdir(parents=True)
    marks = {"<|startoftext|>": 49406, "<|endoftext|>": 49407}
    vocabulary = {f"w{index}</w>": index for index in range(49406)} | marks
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return folder


@pytest.fixture
def pieces(home):
    """A tokenizer with as many pieces as T5's, in the models tree."""
    folder = home.home / "models" / "tokenizers" / "t5"
    folder.mkdir(parents=True)
    model = {"type": "Unigram", "vocab": [[f"w{index}", -1.0] for index in range(32100)]}
    (folder / "tokenizer.json").write_text(json.dumps({"model": model}))
    return folder


SPACE = {"sd2": "sd1", "sdxl-refiner": "sdxl"}
SCALE = {"sd1": 0.18215, "sdxl": 0.13025, "sd3": 1.5305, "flux": 0.3611}
PADS = {"sd1": ["<|endoftext|>"], "sd2": ["!"], "sdxl": ["<|endoftext|>", "!"], "sdxl-refiner": ["!"]}
PADS |= {"sd3": ["<|endoftext|>", "!", ""], "flux": ["<|endoftext|>", ""]}


@pytest.mark.parametrize("kind", KINDS)
def test_a_published_checkpoint_is_known_by_its_header(kind, checkpoints, words, pieces):
    hollow(checkpoints / "big.safetensors", full(kind))
    model, encoder, autoencoder = load.model("big.safetensors")
    space, prediction = SPACE.get(kind, kind), "flow" if kind in ("sd3", "flux") else "epsilon"
    assert (model.family, model.space.name, model.prediction) == (kind, space, prediction)
    assert encoder.layout == model.text_layout
    assert autoencoder.scale == SCALE[space]
    assert [Path(one.path) for one in encoder.tokenizers] == [words if pad else pieces for pad in PADS[kind]]
    assert [one.variant for one in encoder.tokenizers] == PADS[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_our_table_and_diffusers_call_a_checkpoint_the_same(kind, checkpoints):
    names = {
        "v1": "sd1",
        "v2": "sd2",
        "xl_base": "sdxl",
        "xl_refiner": "sdxl-refiner",
        "sd3": "sd3",
        "flux-dev": "flux",
    }
    found = names[theirs.infer_diffusers_model_type(full(kind))]
    assert single_file.open_file(hollow(checkpoints / "big.safetensors", full(kind))).kind == found == kind


@pytest.mark.parametrize("part", ["unet", "openclip", "sd3", "flux"])
def test_names_before_weights_are_read_are_those_that_diffusers_converts_to(part):
    kind, name = {"unet": ("sdxl", "unet"), "openclip": ("sdxl", "text_encoder_2")}.get(part, (part, "transformer"))
    layout = "ldm" if part == "unet" else part
    state = published(kind, name)
    old = first_layout.clip_g(state) if part == "openclip" else first_layout.denoiser(kind, state)
    table = {key: ("F16", tuple(tensor.shape)) for key, tensor in old.items()}
    mine = diffusers_names(layout, table, {"layers_per_block": 2})

    class Told:
        config = None

    if part in CONVERTERS:
        found = CONVERTERS[part](dict(old))
    else:
        found = dict(old)
        convert(name, layout, "", Told, read_json(configs.shipped("sdxl", "unet") / "config.json"), found)
    assert {name: shape for name, (_, shape) in mine.items()} == {name: tuple(t.shape) for name, t in found.items()}


CONVERTERS = {
    "sd3": theirs.convert_sd3_transformer_checkpoint_to_diffusers,
    "flux": theirs.convert_flux_transformer_checkpoint_to_diffusers,
}


@pytest.mark.parametrize("layout", CONVERTERS)
def test_a_transformers_weights_are_those_that_diffusers_converts_to(layout):
    """With every matrix cut to one column: what counts is which row goes where."""
    generator = torch.Generator().manual_seed(1)
    old = {}
    for name, tensor in first_layout.denoiser(layout, published(layout, "transformer")).items():
        block = re.match(r"\w+_blocks\.(\d+)", name)
        # One block of each sort; a last one of SD 3 gives nothing for the text.
        last = layout == "sd3" and re.search(r"context_block\.(mlp|attn\.proj)", name)
        if block is None or (block[1] == "0" and not last):
            old[name] = torch.randn(tensor.shape[0], *[1] * (tensor.ndim - 1), generator=generator)
    state = dict(old)
    convert("transformer", layout, "", None, {}, state)
    wanted = CONVERTERS[layout](dict(old))
    assert state.keys() == wanted.keys()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in state.items())


def test_a_model_for_inpainting_says_that_it_wants_the_picture_too(checkpoints, words):
    tensors = dict(full("sd1"))
    tensors["model.diffusion_model.input_blocks.0.0.weight"] = torch.empty(320, 9, 3, 3, device="meta")
    hollow(checkpoints / "inpainting.safetensors", tensors)
    assert dict(load.model("inpainting.safetensors").model.config)["in_channels"] == 9


# --- one part in a file ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
@pytest.mark.parametrize("kind", KINDS)
def test_a_lone_denoiser_loads_in_the_first_layout_and_in_diffusers(kind, prefix, home):
    folder = home.home / "models" / "diffusion_models"
    folder.mkdir(parents=True)
    state = published(kind, DENOISER[kind])
    hollow(folder / "old.safetensors", {prefix + key: t for key, t in first_layout.denoiser(kind, state).items()})
    hollow(folder / "new.safetensors", {prefix + key: t for key, t in state.items()})
    flow = kind in ("sd3", "flux")
    for name in ("old.safetensors", "new.safetensors"):
        found = load.denoiser(name, prediction="auto" if flow else "v_prediction")
        assert (found.family, found.space.name) == (kind, SPACE.get(kind, kind))
        assert found.prediction == ("flow" if flow else "v_prediction")


@pytest.mark.parametrize("prefix", ["", "first_stage_model."])
def test_a_lone_vae_has_to_be_told_whose_it_is(prefix, home):
    folder = home.home / "models" / "vae"
    folder.mkdir(parents=True)
    tensors = {prefix + name: t for name, t in first_layout.vae(published("sd1", "vae")).items()}
    hollow(folder / "vae.safetensors", tensors)
    message = told(load.vae, "vae.safetensors")
    assert message.startswith("vae.safetensors is a VAE of sd1 or sdxl: their tensors are alike, their scale is not")
    assert message.endswith("set space to sd1 or sdxl")
    found = [load.vae("vae.safetensors", space=space) for space in ("sd1", "sdxl")]
    assert [(one.space.name, one.scale) for one in found] == [("sd1", 0.18215), ("sdxl", 0.13025)]
    assert found[0].base.id != found[1].base.id
    assert "latents have 16" in told(load.vae, "vae.safetensors", space="flux")


def test_a_lone_vae_is_built_as_it_is_told(home):
    state = {name: torch.rand(tensor.shape) for name, tensor in published("sd1", "vae").items()}
    (home.home / "models" / "vae").mkdir(parents=True)
    old = {name: tensor.half().contiguous() for name, tensor in first_layout.vae(state).items()}
    save_file(old, home.home / "models" / "vae" / "vae.safetensors")
    built = load.vae("vae.safetensors", space="sd1").build("cpu", "float32")
    assert all(torch.equal(tensor, state[name].half().float()) for name, tensor in built.named_parameters())


# --- what is wrong is told in one line -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (
            ["lora_unet_down_blocks_0.lora_down.weight"],
            "a LoRA, which this node does not read as a single file -- load it with lora.load",
        ),
        (["control_model.time_embed.0.weight"], "a ControlNet, which"),
        (["double_blocks.0.img_attn.norm.key_norm.scale"], "a relative of Flux, which"),
        (["vision_model.embeddings.class_embedding"], "an image encoder, which"),
        (["emb_params"], "a textual inversion, which"),
        (["down_blocks.0.resnets.0.conv1.weight"], "put its config.json beside it and name the folder"),
        (["model.diffusion_model.input_blocks.0.0.weight"], "in a folder 'odd' beside it"),
        (["something.else"], "none of the models known here (its first tensor is 'something.else')"),
    ],
)
def test_another_sort_of_file_is_told_what_it_is(checkpoints, names, says):
    save_file({name: torch.zeros(2) for name in names}, checkpoints / "odd.safetensors")
    assert says in told(load.model, "odd.safetensors")


def test_a_split_file_given_as_another_kind_is_told_what_it_is(home, checkpoints):
    """One sentence: what it is, what is missing, which node reads it."""
    clip = {f"text_model.{key}": t for key, t in published("sdxl", "text_encoder").items()}
    for folder in ("vae", "text_encoders", "diffusion_models", "checkpoints"):
        (home.home / "models" / folder).mkdir(exist_ok=True)
        hollow(home.home / "models" / folder / "clip_l.safetensors", clip)
        hollow(home.home / "models" / folder / "flux.safetensors", first_layout.flux(published("flux", "transformer")))
        hollow(home.home / "models" / folder / "ae.safetensors", first_layout.vae(published("flux", "vae")))
    said = told(load.vae, "clip_l.safetensors")
    assert said.startswith(
        "clip_l.safetensors is a CLIP-L text encoder, it lacks a component named vae -- load it with"
    )
    assert "load.text_encoder" in said
    said = told(load.text_encoder, "flux.safetensors")
    assert "the denoiser of Flux, it lacks a text encoder -- load it with load.denoiser" in said
    assert "flux.safetensors is the denoiser of Flux, it lacks a vae" in told(load.model, "flux.safetensors")
    said = told(load.denoiser, "ae.safetensors")
    assert "ae.safetensors is a VAE, it lacks a component named unet or transformer -- load it with load.vae" in said
    assert "is a VAE, it lacks a text encoder" in told(load.text_encoder, "clip_l.safetensors", "ae.safetensors")


def test_a_checkpoint_without_text_encoders_says_which_nodes_to_use(checkpoints):
    tensors = {key: t for key, t in full("sd3").items() if not key.startswith("text_encoders.")}
    hollow(checkpoints / "medium.safetensors", tensors)
    said = told(load.model, "medium.safetensors")
    assert "medium.safetensors is Stable Diffusion 3, it lacks a text encoder" in said
    assert "load it with load.denoiser and load.vae" in said
    assert load.denoiser("medium.safetensors").family == "sd3"
    assert load.vae("medium.safetensors").space.name == "sd3"


def test_a_truncated_file_is_damaged(checkpoints, tiny_sd1):
    file = write("sd1", tiny_sd1, checkpoints / "cut.safetensors")
    file.write_bytes(file.read_bytes()[:-100])
    assert "lies beyond the end of the file" in told(load.model, "cut.safetensors")
    assert "download or copy the file again" in told(load.model, "cut.safetensors")


@pytest.mark.parametrize("ending", [".ckpt", ".pt"])
def test_a_pickle_is_never_opened(checkpoints, ending):
    (checkpoints / f"old{ending}").write_bytes(b"\x80\x04 what a program could do")
    message = told(load.model, f"old{ending}")
    assert "is pickled and could run any program when opened -- get its safetensors version, or convert" in message


def test_without_a_tokenizer_one_command_is_named(checkpoints, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(checkpoints / "no-hub"))
    hollow(checkpoints / "big.safetensors", full("sd1"))
    message = told(load.model, "big.safetensors")
    assert "none with CLIP's 49,408 words was found" in message
    assert "weft models get openai/clip-vit-large-patch14 --only tokenizer" in message


def test_a_tokenizer_of_other_words_is_not_taken(checkpoints, words, tiny_sd1):
    shutil.copytree(tiny_sd1 / "tokenizer", checkpoints / "tokenizer")
    hollow(checkpoints / "big.safetensors", full("sd1"))
    assert Path(load.model("big.safetensors").text_encoder.tokenizers[0].path) == words


def test_a_part_that_is_not_there_is_named(checkpoints, words):
    tensors = {name: t for name, t in full("sd1").items() if not name.startswith("first_stage_model.")}
    hollow(checkpoints / "no-vae.safetensors", tensors)
    assert "no-vae.safetensors is Stable Diffusion 1.x, it lacks a vae" in told(load.model, "no-vae.safetensors")
    assert load.denoiser("no-vae.safetensors").family == "sd1"


def test_configurations_that_are_another_models_are_refused(checkpoints, tiny_sd1):
    file = write("sd1", tiny_sd1, checkpoints / "wrong.safetensors")
    path = file.with_suffix("") / "unet" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"cross_attention_dim": 768}))
    assert "attn2.to_k.weight' is [16, 32], the configuration says [None, 768]" in told(load.model, "wrong.safetensors")


def test_padding_is_each_encoders_own(checkpoints, tiny_sdxl):
    write("sdxl", tiny_sdxl, checkpoints / "pads.safetensors")
    encoder = load.model("pads.safetensors").text_encoder
    tokenizers = encoder.build("cpu", "float32").tokenizers
    assert [one.pad_token for one in tokenizers.values()] == ["<|endoftext|>", "!"]


# --- what Stable Diffusion 2.x predicts ------------------------------------------------------------------------------

SPREAD = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"


def written(file: Path, name: str, values: list[float], notes: dict[str, str] | None = None) -> Path:
    """A hollow file with the numbers of one tensor in half precision, and notes of its own."""
    raw = file.read_bytes()[:8]
    length = int.from_bytes(raw, "little")
    with file.open("r+b") as stream:
        stream.seek(8)
        header = json.loads(stream.read(length))
        stream.seek(8 + length + header[name]["data_offsets"][0])
        stream.write(struct.pack(f"<{len(values)}e", *values))
    if notes:
        header["__metadata__"] = notes
        told = json.dumps(header).encode()
        whole = file.stat().st_size - 8 - length
        with file.open("wb") as stream:
            stream.write(struct.pack("<Q", len(told)) + told)
            stream.truncate(8 + len(told) + whole)
    return file


@pytest.mark.parametrize(("spread", "predicts"), [(0.05, "epsilon"), (0.2, "v_prediction")])
def test_what_stable_diffusion_2_predicts_is_read_from_one_tensor(checkpoints, words, spread, predicts):
    values = [spread if index % 2 else -spread for index in range(320)]
    written(hollow(checkpoints / "big.safetensors", full("sd2")), SPREAD, values)
    assert load.model("big.safetensors").model.prediction == predicts
    assert load.model("big.safetensors", prediction="epsilon").model.prediction == "epsilon"


def test_a_files_own_notes_are_heard_before_that(checkpoints, words):
    notes = {"modelspec.prediction_type": "v"}
    written(hollow(checkpoints / "noted.safetensors", full("sd2")), SPREAD, [0.0] * 320, notes)
    assert load.model("noted.safetensors").model.prediction == "v_prediction"
