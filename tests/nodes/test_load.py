"""Loading reads headers, says what is wrong in one sentence, and builds what diffusers builds."""

import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from engine.errors import WeftError
from nodes import load
from nodes.families import build_vae, family_of, latent_space
from nodes.types import LatentSpace

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def broken(home, tiny_sd1: Path) -> Path:
    """A copy of the tiny model that a test may spoil; its name is `broken`."""
    return shutil.copytree(tiny_sd1, home.home / "models" / "checkpoints" / "broken")


def refused(name: str = "broken", node=load.model) -> WeftError:
    with pytest.raises(WeftError) as caught:
        node(name)
    assert "\n" not in str(caught.value)
    assert caught.value.problem.mend is not None
    return caught.value


def edit(path: Path, **change) -> None:
    record = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in {**record, **change}.items() if value is not None}))


# --- recipes and facts -----------------------------------------------------------------------------------------------


def test_a_model_folder_gives_three_recipes_that_fit_each_other(home, tiny_sd1):
    model, encoder, vae = load.model("tiny-sd1")
    assert model.facts == {
        "family": "sd1-32",
        "latent_space": "sd1",
        "prediction": "epsilon",
        "text_layout": "clip:32",
    }
    assert encoder.facts == {"family": "sd1-32", "text_layout": "clip:32"}
    assert (vae.scale, vae.shift, vae.space) == (0.18215, 0.0, LatentSpace("sd1", 4, 2))
    assert dict(model.training)["beta_schedule"] == "scaled_linear"
    assert (encoder.length, model.distilled_guidance) == (77, False)


def test_an_sd3_folder_gives_a_flow_model_with_three_text_encoders(home, tiny_sd3):
    model, encoder, vae = load.model("tiny-sd3")
    assert model.prediction == "flow"
    assert model.facts["text_layout"] == encoder.layout == "clip-l+clip-g+t5:32"
    assert [part.component for part in encoder.parts] == ["text_encoder", "text_encoder_2", "text_encoder_3"]
    assert (vae.scale, vae.shift, vae.space.name) == (1.5305, 0.0609, "sd3")


def test_components_load_alone_or_out_of_a_whole_model(home, tiny_sd1, tiny_sd3):
    parts = load.model("tiny-sd1")
    assert load.denoiser("tiny-sd1") == parts.model
    assert load.vae("tiny-sd1") == parts.vae
    assert load.text_encoder("tiny-sd1") == parts.text_encoder
    assert load.text_encoder("tiny-sd3") == load.model("tiny-sd3").text_encoder
    for kind, part in (("diffusion_models", "unet"), ("vae", "vae"), ("text_encoders", "text_encoder")):
        shutil.copytree(tiny_sd1 / part, home.home / "models" / kind / "own" / part)
    shutil.copytree(tiny_sd1 / "tokenizer", home.home / "models" / "text_encoders" / "own" / "tokenizer")
    alone = load.denoiser("own/unet")
    assert (alone.base.id, alone.space.name, alone.prediction) == (parts.model.base.id, "sd1", "epsilon")
    assert load.denoiser("own/unet", prediction="v_prediction").prediction == "v_prediction"
    assert load.vae("own/vae") == parts.vae
    assert load.text_encoder("own/text_encoder") == parts.text_encoder


def test_a_half_precision_variant_is_found_and_is_another_model(home, tiny_sd1, broken):
    from safetensors.torch import load_file, save_file

    whole = load.model("tiny-sd1").model
    state = {key: value.half() for key, value in load_file(broken / UNET).items()}
    save_file(state, broken / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    assert load.model("broken").model.base.variant == ""
    (broken / UNET).unlink()
    half = load.model("broken").model
    assert half.base.variant == "fp16"
    assert half.weights != whole.weights
    unet = half.build("cpu", "float32")
    assert {parameter.dtype for parameter in unet.parameters()} == {torch.float32}
    assert torch.equal(unet.conv_in.weight, state["conv_in.weight"].float())


def test_shards_are_one_model(home, tiny_sd1, broken):
    from diffusers import UNet2DConditionModel

    shutil.rmtree(broken / "unet")
    unet = UNet2DConditionModel.from_pretrained(tiny_sd1 / "unet")
    unet.save_pretrained(broken / "unet", max_shard_size="60KB")
    assert len(list((broken / "unet").glob("*.safetensors"))) > 1
    built = load.model("broken").model.build("cpu", "float32")
    assert same_state(built, unet)


def test_the_id_is_the_content_not_the_place(home, tiny_sd1, broken):
    first, second = load.model("tiny-sd1"), load.model("broken")
    assert first == second
    assert first.model.base.path != second.model.base.path


def test_latent_spaces_are_named_by_what_many_models_share():
    def config(scale, channels):
        return {"latent_channels": channels, "scaling_factor": scale, "block_out_channels": [1] * 4}

    names = [latent_space(config(*pair), Path()).name for pair in ((0.18215, 4), (0.13025, 4), (1.5305, 16), (0.5, 4))]
    assert names == ["sd1", "sdxl", "sd3", "8x4@0.5"]


def test_a_vae_brings_its_own_map_for_previews_and_its_key_is_the_same(home, tiny_sd1, broken):
    file = broken / "vae" / "preview.json"
    file.write_text(json.dumps({"latent_rgb": [[0.1, 0.2, 0.3]] * 5}))
    found = load.model("broken")
    assert found.vae.space.preview == ((0.1, 0.2, 0.3),) * 5
    assert found == load.model("tiny-sd1")
    for wrong in ([[0.1, 0.2]] * 5, [[0.1, 0.2, 0.3]] * 4, "red", [["a", "b", "c"]] * 5):
        file.write_text(json.dumps({"latent_rgb": wrong}))
        assert "preview.json" in str(refused())


def test_families_are_found_by_name_recipe_and_configuration():
    assert family_of("sd1-128") is family_of({"_class_name": "UNet2DConditionModel", "addition_embed_type": None})
    assert family_of("sd3") is family_of({"_class_name": "SD3Transformer2DModel"})
    sdxl = {"_class_name": "UNet2DConditionModel", "addition_embed_type": "text_time"}
    assert family_of("sdxl-refiner") is family_of(sdxl) is not family_of("sd1")
    for other in ({**sdxl, "addition_embed_type": "image"}, "pixart", {}):
        with pytest.raises(WeftError) as caught:
            family_of(other)
        assert caught.value.code == "model.family"


def test_loading_imports_no_torch(home, tiny_sd1):
    program = (
        "import sys; from pathlib import Path; from engine import places; from nodes import load;"
        f"places.set_process_places(places.Places(model_folders=(Path({str(tiny_sd1.parent.parent)!r}),)));"
        "load.model('tiny-sd1'); load.vae('tiny-sd1');"
        "print(sorted({'torch', 'diffusers', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- what is built ---------------------------------------------------------------------------------------------------


def same_state(one, other) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_built_modules_are_those_of_from_pretrained(home, tiny_sd1, tiny_sd3):
    from diffusers import AutoencoderKL, SD3Transformer2DModel, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, T5EncoderModel

    one, three = load.model("tiny-sd1"), load.model("tiny-sd3")
    assert same_state(one.model.build("cpu", "float32"), UNet2DConditionModel.from_pretrained(tiny_sd1 / "unet"))
    assert same_state(build_vae(one.vae, "cpu", "float32"), AutoencoderKL.from_pretrained(tiny_sd1 / "vae"))
    theirs = SD3Transformer2DModel.from_pretrained(tiny_sd3 / "transformer")
    assert same_state(three.model.build("cpu", "float32"), theirs)
    encoders = one.text_encoder.build("cpu", "float32")
    assert same_state(encoders["text_encoder"], CLIPTextModel.from_pretrained(tiny_sd1 / "text_encoder"))
    encoders = three.text_encoder.build("cpu", "float32")
    second = CLIPTextModelWithProjection.from_pretrained(tiny_sd3 / "text_encoder_2")
    assert same_state(encoders["text_encoder_2"], second)
    assert same_state(encoders["text_encoder_3"], T5EncoderModel.from_pretrained(tiny_sd3 / "text_encoder_3"))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_built_module_is_frozen_whole_and_of_one_dtype(home, tiny_sd1, tiny_sd3, dtype):
    for name in ("tiny-sd1", "tiny-sd3"):
        for recipe in (load.model(name).model, load.model(name).vae):
            module = recipe.build("cpu", dtype)
            tensors = [*module.parameters(), *module.buffers()]
            assert not module.training
            assert not any(tensor.requires_grad or tensor.is_meta for tensor in tensors)
            assert {tensor.dtype for tensor in tensors if tensor.is_floating_point()} == {getattr(torch, dtype)}


def test_weights_are_mapped_from_the_file_not_copied(home, tiny_sd1):
    if not os.path.exists("/proc/self/maps"):
        return
    unet = load.model("tiny-sd1").model.build("cpu", "float32")
    address = unet.conv_in.weight.data_ptr()
    maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    ranges = [(*(int(end, 16) for end in row[0].split("-")), row[-1]) for row in maps]
    assert any(low <= address < high and name.endswith(".safetensors") for low, high, name in ranges)


def test_building_one_model_leaves_other_threads_alone(home, tiny_sd1):
    from nodes.families.base import unmade

    with unmade():
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as pool:
            beside = pool.submit(lambda: torch.nn.Linear(2, 2)).result()
        inside = torch.nn.Linear(2, 2)
    assert not beside.weight.is_meta
    assert inside.weight.is_meta


def test_files_of_older_transformers_are_read(home, tiny_sd1, broken):
    from safetensors.torch import load_file, save_file

    file = broken / "text_encoder" / "model.safetensors"
    state = {f"text_model.{key}": value for key, value in load_file(file).items()}
    state["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    save_file(state, file)
    old = load.model("broken").text_encoder.build("cpu", "float32")
    assert same_state(old, load.model("tiny-sd1").text_encoder.build("cpu", "float32"))


def test_a_vae_that_overflows_in_half_precision_is_built_in_float32(home, tiny_sd1, broken):
    edit(broken / "vae" / "config.json", force_upcast=True)
    assert load.vae("broken").build("cpu", "float16").dtype == torch.float32
    edit(broken / "vae" / "config.json", force_upcast=False)
    assert load.vae("broken").build("cpu", "float16").dtype == torch.float16


# --- what is wrong ---------------------------------------------------------------------------------------------------


def test_a_missing_model_offers_what_there_is(home, tiny_sd1):
    error = refused("tiny-sd2")
    assert error.code == "model.missing"
    assert "tiny-sd1" in str(error)


@pytest.mark.parametrize("lost", ["model_index.json", "unet/config.json", "vae/config.json", UNET, "vae", "unet"])
def test_an_incomplete_folder_says_what_is_missing(broken, lost):
    shutil.rmtree(broken / lost) if (broken / lost).is_dir() else (broken / lost).unlink()
    error = refused()
    assert error.code in ("model.format", "model.missing")
    assert lost.rpartition("/")[2].replace("diffusion_pytorch_model.safetensors", "weights") in str(error)


def test_pickled_weights_are_refused_with_the_reason(broken):
    (broken / UNET).rename(broken / "unet" / "diffusion_pytorch_model.bin")
    error = refused()
    assert error.code == "model.format"
    assert "run any program" in str(error)


def test_a_file_is_looked_into_before_it_is_believed(home):
    folder = home.home / "models" / "checkpoints"
    folder.mkdir(parents=True)
    for name, word in (
        ("one.safetensors", "its header claims 120 bytes, the file has 1"),
        ("one.ckpt", "run any program"),
    ):
        (folder / name).write_bytes(b"x")
        error = refused(name)
        assert error.code == "model.format"
        assert word in str(error)


def header(record: object, claim: int | None = None, body: int = 8) -> bytes:
    raw = record if isinstance(record, bytes) else json.dumps(record).encode()
    return struct.pack("<Q", len(raw) if claim is None else claim) + raw + bytes(body)


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "claims"),
        (b"abc", "claims"),
        (header({"a": ENTRY}, claim=2**63), "claims"),
        (header({"a": ENTRY}, claim=4096), "claims"),
        (header(b"{'no json'}"), "believed"),
        (header(b"[" * 5000), "believed"),
        (header([1, 2]), "no table"),
        (header({"a": 3}), "believed"),
        (header({"a": {**ENTRY, "data_offsets": [0, 800]}}), "beyond the end"),
        (header({"a": {**ENTRY, "shape": [2**40]}}), "in 8 bytes"),
        (header({"a": {**ENTRY, "shape": [-2]}}), "no number"),
        (header({"a": {**ENTRY, "dtype": "X9"}}), "in 8 bytes"),
        (header({"a": ENTRY}), "have no"),
    ],
)
def test_a_lying_safetensors_header_is_not_believed(broken, data, word):
    (broken / UNET).write_bytes(data)
    error = refused()
    assert error.code == "model.format"
    assert word in str(error)


def test_a_truncated_file_is_found_before_it_is_loaded(broken):
    whole = (broken / UNET).read_bytes()
    (broken / UNET).write_bytes(whole[:-1000])
    assert "beyond the end" in str(refused())


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00\xff", '{"a": ' * 3000])
def test_a_damaged_configuration_is_named(broken, text):
    (broken / "unet" / "config.json").write_text(text)
    error = refused()
    assert error.code == "model.format"
    assert "config.json" in str(error)


def test_a_configuration_of_another_model_is_found_by_its_tensors(broken):
    edit(broken / "unet" / "config.json", cross_attention_dim=768)
    assert "attn2.to_k" in str(refused())
    edit(broken / "unet" / "config.json", cross_attention_dim=32, in_channels="four")
    assert "'in_channels'" in str(refused())


def test_weights_that_lack_tensors_are_named_when_built(broken):
    edit(broken / "unet" / "config.json", layers_per_block=2)
    model = load.model("broken").model
    with pytest.raises(WeftError) as caught:
        model.build("cpu", "float32")
    assert caught.value.code == "model.format"


def test_an_unknown_kind_of_model_names_itself(broken):
    edit(broken / "unet" / "config.json", _class_name="PixArtTransformer2DModel")
    error = refused()
    assert error.code == "model.family"
    assert "PixArtTransformer2DModel" in str(error)


def test_a_missing_tokenizer_is_found_before_transformers_misleads(broken):
    shutil.rmtree(broken / "tokenizer")
    error = refused()
    assert error.code == "model.format"
    assert "tokenizer" in str(error)


def test_a_text_encoder_of_another_kind_is_refused(home, tiny_sd3):
    shutil.copytree(tiny_sd3 / "text_encoder_3", home.home / "models" / "text_encoders" / "t5")
    error = refused("t5", load.text_encoder)
    assert error.code == "model.family"
    assert "T5 alone could be of several models" in str(error)
