"""Single files: told apart by their headers, found whole in their parts, and the same as the folders they came from."""

import json
import shutil
import struct
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.errors import WeftError
from nodes import load, lora, text, vae
from nodes.denoise import sample
from nodes.families import base, single_file
from nodes.families.files import component, read_json
from nodes.families.single_file_names import convert, diffusers_names
from nodes.types import Latent
from tests.nodes import first_layout

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("sd1", "sdxl")
MODULES = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL"}
ENCODERS = {"sd1": ("text_encoder",), "sdxl": ("text_encoder", "text_encoder_2")}


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
    return {part: load_file(component(folder / part).files[0]) for part in ("unet", "vae", *ENCODERS[kind])}


def write(kind: str, source: Path, file: Path, more=()) -> Path:
    """A tiny checkpoint, and beside it the configurations and tokenizers it was made from."""
    parts = states(source, kind)
    save_file(first_layout.whole(kind, parts, 1) | dict(more), file)
    shutil.copytree(source, file.with_suffix(""), ignore=shutil.ignore_patterns("*.safetensors", "model_index.json"))
    return file


@pytest.fixture(params=KINDS)
def tiny(request, checkpoints, tiny_sd1, tiny_sdxl):
    """(a tiny checkpoint's name, the folder it was made from)."""
    source = {"sd1": tiny_sd1, "sdxl": tiny_sdxl}[request.param]
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
        canvas = Latent(torch.zeros(1, 4, 32, 32), model.space)
        drawn = sample(model, prompt, canvas, negative, seed=3, steps=2, cfg=4.0)
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
    names = {
        name.removesuffix(".weight"): shape for name, (_, shape) in component(Path(folder.base.path)).header().items()
    }
    layer = next(name for name in names if name.endswith("attn2.to_k"))
    deep = next((name for name in names if name.endswith("transformer_blocks.1.attn1.to_q")), layer)
    tensors = {}
    for name in {layer, deep}:
        out, inside = names[name]
        tensors |= {
            f"unet.{name}.lora_A.weight": torch.ones(2, inside),
            f"unet.{name}.lora_B.weight": torch.ones(out, 2),
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

# What the models' makers and diffusers count: UNet, VAE, CLIP-L, CLIP-G.
COUNTS = {
    ("sd1", "unet"): 859_520_964,
    ("sd1", "vae"): 83_653_863,
    ("sd1", "text_encoder"): 123_060_480,
    ("sdxl", "unet"): 2_567_463_684,
    ("sdxl", "vae"): 83_653_863,
    ("sdxl", "text_encoder"): 123_060_480,
    ("sdxl", "text_encoder_2"): 694_659_840,
}


@lru_cache
def published(kind: str, part: str) -> dict[str, torch.Tensor]:
    """The parameters of a part as its shipped configuration says, without storage."""
    import diffusers
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = read_json(single_file.CONFIGS / kind / part / "config.json")
    with torch.device("meta"), base.unmade():
        if part in MODULES:
            module = getattr(diffusers, MODULES[part]).from_config(config)
        else:
            cls = CLIPTextModelWithProjection if part == "text_encoder_2" else CLIPTextModel
            module = cls(CLIPTextConfig(**config))
    return {name: tensor.detach().to("meta") for name, tensor in module.named_parameters()}


@pytest.mark.parametrize(("kind", "part"), COUNTS)
def test_shipped_configurations_make_models_of_the_published_size(kind, part):
    assert sum(tensor.numel() for tensor in published(kind, part).values()) == COUNTS[kind, part]


@lru_cache
def full(kind: str) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint as it is published, without storage."""
    return first_layout.whole(kind, {part: published(kind, part) for part in ("unet", "vae", *ENCODERS[kind])}, 2)


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


@pytest.mark.parametrize("kind", KINDS)
def test_a_published_checkpoint_is_known_by_its_header(kind, checkpoints, words):
    hollow(checkpoints / "big.safetensors", full(kind))
    model, encoder, autoencoder = load.model("big.safetensors")
    assert (model.family, model.space.name, model.prediction) == (kind, kind, "epsilon")
    assert encoder.layout == model.text_layout
    assert autoencoder.scale == {"sd1": 0.18215, "sdxl": 0.13025}[kind]
    assert {Path(one.path) for one in encoder.tokenizers} == {words}
    assert [one.variant for one in encoder.tokenizers] == ["<|endoftext|>", "!"][: len(encoder.tokenizers)]


@pytest.mark.parametrize("kind", KINDS)
def test_our_table_and_diffusers_call_a_checkpoint_the_same(kind, checkpoints):
    from diffusers.loaders.single_file_utils import infer_diffusers_model_type

    theirs = {"v1": "sd1", "inpainting": "sd1", "xl_base": "sdxl"}[infer_diffusers_model_type(full(kind))]
    assert single_file.open_file(hollow(checkpoints / "big.safetensors", full(kind))).kind.name == theirs == kind


@pytest.mark.parametrize(("kind", "part"), [key for key in COUNTS if key[1] in ("unet", "text_encoder_2")])
def test_names_before_weights_are_read_are_those_that_diffusers_converts_to(kind, part):
    old = (
        (first_layout.unet(published(kind, part), 2)) if part == "unet" else first_layout.clip_g(published(kind, part))
    )
    config = read_json(single_file.CONFIGS / kind / part / "config.json")
    mine = diffusers_names(part, {name: ("F16", tuple(tensor.shape)) for name, tensor in old.items()}, config)
    state = dict(old)

    class Told:
        config = None

    convert(part, "", Told, config, state)
    assert {name: shape for name, (_, shape) in mine.items()} == {name: tuple(t.shape) for name, t in state.items()}


def test_a_model_for_inpainting_says_that_it_wants_the_picture_too(checkpoints, words):
    tensors = dict(full("sd1"))
    tensors["model.diffusion_model.input_blocks.0.0.weight"] = torch.empty(320, 9, 3, 3, device="meta")
    hollow(checkpoints / "inpainting.safetensors", tensors)
    assert dict(load.model("inpainting.safetensors").model.config)["in_channels"] == 9


# --- one part in a file ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
@pytest.mark.parametrize("kind", KINDS)
def test_a_lone_unet_is_a_denoiser(kind, prefix, home):
    folder = home.home / "models" / "diffusion_models"
    folder.mkdir(parents=True)
    hollow(
        folder / "unet.safetensors",
        {prefix + name: t for name, t in first_layout.unet(published(kind, "unet"), 2).items()},
    )
    found = load.denoiser("unet.safetensors", prediction="v_prediction")
    assert (found.family, found.space.name, found.prediction) == (kind, kind, "v_prediction")


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
        (["model.diffusion_model.joint_blocks.0.x_block.mlp.fc1.weight"], "Stable Diffusion 3, which"),
        (["double_blocks.0.img_attn.norm.key_norm.scale"], "Flux, which"),
        (["text_model.encoder.layers.0.mlp.fc1.weight"], "a CLIP text encoder, which"),
        (["down_blocks.0.resnets.0.conv1.weight"], "put its config.json beside it and name the folder"),
        (["model.diffusion_model.input_blocks.0.0.weight"], "in a folder 'odd' beside it"),
        (["something.else"], "none of the models known here (its first tensor is 'something.else')"),
    ],
)
def test_another_sort_of_file_is_told_what_it_is(checkpoints, names, says):
    save_file({name: torch.zeros(2) for name in names}, checkpoints / "odd.safetensors")
    assert says in told(load.model, "odd.safetensors")


def test_kinds_that_are_known_but_not_read_are_named(checkpoints):
    attention = "model.diffusion_model.input_blocks.{}.1.transformer_blocks.0.attn2.to_k.weight"
    sd2 = {attention.format(1): torch.zeros(320, 1024)}
    refiner = {
        attention.format(4): torch.zeros(768, 1280),
        "model.diffusion_model.label_emb.0.0.weight": torch.zeros(1536, 2560),
    }
    for tensors, name in ((sd2, "Stable Diffusion 2.x"), (refiner, "Stable Diffusion XL's refiner")):
        save_file(tensors, checkpoints / "known.safetensors")
        assert f"known.safetensors is {name}, which" in told(load.model, "known.safetensors")


def test_a_truncated_file_is_damaged(checkpoints, tiny_sd1):
    file = write("sd1", tiny_sd1, checkpoints / "cut.safetensors")
    file.write_bytes(file.read_bytes()[:-100])
    assert "lies beyond the end of the file" in told(load.model, "cut.safetensors")
    assert "download or copy the file again" in told(load.model, "cut.safetensors")


@pytest.mark.parametrize("ending", [".ckpt", ".pt"])
def test_a_pickle_is_never_opened(checkpoints, ending):
    (checkpoints / f"old{ending}").write_bytes(b"\x80\x04 what a program could do")
    message = told(load.model, f"old{ending}")
    assert "is pickled and could run any program when opened -- get its safetensors version" in message


def test_without_a_tokenizer_one_command_is_named(checkpoints, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(checkpoints / "no-hub"))
    hollow(checkpoints / "big.safetensors", full("sd1"))
    message = told(load.model, "big.safetensors")
    assert "none with CLIP's 49,408 words was found" in message
    assert "hf download openai/clip-vit-large-patch14 vocab.json merges.txt" in message


def test_a_tokenizer_of_other_words_is_not_taken(checkpoints, words, tiny_sd1):
    shutil.copytree(tiny_sd1 / "tokenizer", checkpoints / "tokenizer")
    hollow(checkpoints / "big.safetensors", full("sd1"))
    assert Path(load.model("big.safetensors").text_encoder.tokenizers[0].path) == words


def test_a_part_that_is_not_there_is_named(checkpoints, words):
    tensors = {name: t for name, t in full("sd1").items() if not name.startswith("first_stage_model.")}
    hollow(checkpoints / "no-vae.safetensors", tensors)
    assert "no-vae.safetensors lacks a vae" in told(load.model, "no-vae.safetensors")
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
