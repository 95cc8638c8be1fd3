"""Text encoders in files of their own: told apart by their headers, and put together as one model's."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine import places
from engine.errors import WeftError
from nodes import load, text
from nodes.families.files import component
from tests.nodes import first_layout
from tests.nodes.conftest import clip_tokenizer, clip_vocabulary, t5_tokenizer


@pytest.fixture
def folder(home) -> Path:
    """models/text_encoders, and tokenizers in the models tree."""
    tokenizers = home.home / "models" / "tokenizers"
    clip_tokenizer().save_pretrained(tokenizers / "clip")
    t5_tokenizer().save_pretrained(tokenizers / "t5")
    made = home.home / "models" / "text_encoders"
    made.mkdir(parents=True)
    return made


def clip(file: Path, width: int, projection: int = 0, seed: int = 0) -> Path:
    """A CLIP as ComfyUI's users have it: heads of 64, under transformers' older names."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(seed)
    config = CLIPTextConfig(
        hidden_size=width,
        intermediate_size=16,
        num_attention_heads=width // 64,
        num_hidden_layers=2,
        projection_dim=projection or width,
        vocab_size=len(clip_vocabulary()),
        hidden_act="gelu",
    )
    module = (CLIPTextModelWithProjection if projection else CLIPTextModel)(config)
    save_file(first_layout.clip_l(module.state_dict()), file)
    return file


def t5(file: Path, width: int = 32, dtype=torch.float32, feed: int = 16) -> Path:
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(3)
    config = T5Config(d_model=width, d_ff=feed, d_kv=8, num_heads=2, num_layers=1, vocab_size=64, is_gated_act=True)
    config.feed_forward_proj = "gated-gelu"
    state = T5EncoderModel(config).state_dict()
    state.pop("encoder.embed_tokens.weight", None)
    save_file({key: tensor.to(dtype) for key, tensor in state.items()}, file)
    return file


def refused(*names: str, **more) -> str:
    with pytest.raises(WeftError) as caught:
        load.text_encoder(*names, **more)
    assert "\n" not in str(caught.value)
    return f"{caught.value.problem.message} -- {caught.value.problem.mend.text}"


@pytest.mark.parametrize("order", [("clip_l", "clip_g"), ("clip_g", "clip_l")])
def test_two_clips_are_sdxls_in_any_order(folder, order):
    clip(folder / "clip_l.safetensors", 64)
    clip(folder / "clip_g.safetensors", 128, projection=96)
    found = load.text_encoder(*(f"{name}.safetensors" for name in order))
    assert (found.family, found.layout) == ("sdxl-192", "clip-l+clip-g:192")
    assert [part.component for part in found.parts] == ["text_encoder", "text_encoder_2"]
    entry = text.encode(found, "a red cube").entries[0]
    assert entry.embedding.shape == (1, 77, 192)
    assert entry.pooled.shape == (1, 96)


def test_each_set_is_told_by_what_is_in_it(folder):
    clip(folder / "l.safetensors", 64)
    clip(folder / "g.safetensors", 64, projection=64)
    t5(folder / "t5.safetensors")
    small, g, long = "l.safetensors", "g.safetensors", "t5.safetensors"
    assert load.text_encoder(small).family == "sd1-64"
    assert load.text_encoder(small, g).family == "sdxl-128"
    assert load.text_encoder(small, long).layout == "clip-l+t5:32"
    assert load.text_encoder(g).layout.startswith("clip-l+clip-g:64")
    assert dict(load.text_encoder(small, long).config)["tokens"] == 512
    assert dict(load.text_encoder(small, long, of="flux-schnell").config)["tokens"] == 256
    assert load.text_encoder(g, long).family == "sd3-32"
    assert text.encode(load.text_encoder(small, long), "a red cube").entries[0].embedding.shape == (1, 512, 32)


def test_a_file_is_the_encoder_it_was_made_from(folder, home, tiny_flux):
    """T5 in half the bits of its folder's: the same up to what those bits hold."""
    whole = component(tiny_flux / "text_encoder_2")
    state = {key: tensor for key, tensor in load_file(whole.files[0]).items() if key != "encoder.embed_tokens.weight"}
    save_file(state, folder / "t5xxl.safetensors")
    clip(folder / "clip_l.safetensors", 64)
    built = load.text_encoder("clip_l.safetensors", "t5xxl.safetensors").build("cpu", "float32")
    told = built["text_encoder_2"]
    assert {name: told.config.to_dict()[name] for name in ("d_model", "d_ff", "d_kv", "num_heads", "num_layers")} == {
        name: whole.config[name] for name in ("d_model", "d_ff", "d_kv", "num_heads", "num_layers")
    }
    assert all(torch.equal(told.state_dict()[key], tensor) for key, tensor in state.items())


@pytest.mark.parametrize("scaled", [False, True])
def test_a_file_in_8_bits_is_brought_to_the_dtype_asked_for(folder, scaled):
    clip(folder / "clip_l.safetensors", 64)
    state = load_file(t5(folder / "whole.safetensors"))
    small = {key: tensor.to(torch.float8_e4m3fn) for key, tensor in state.items()}
    key = "encoder.block.0.layer.0.SelfAttention.q.weight"
    if scaled:
        small |= {key.replace(".weight", ".scale_weight"): torch.tensor(4.0), "scaled_fp8": torch.zeros(2)}
        small |= {key.replace(".weight", ".scale_input"): torch.tensor(1.0)}
    save_file(small, folder / "t5xxl_fp8.safetensors")
    built = load.text_encoder("clip_l.safetensors", "t5xxl_fp8.safetensors").build("cpu", "float32")["text_encoder_2"]
    wanted = state[key].to(torch.float8_e4m3fn).float() * (4.0 if scaled else 1.0)
    assert torch.equal(built.state_dict()[key], wanted)
    assert built.state_dict()[key].dtype == torch.float32


def test_what_does_not_make_a_set_is_told_in_one_line(folder):
    clip(folder / "l.safetensors", 64)
    clip(folder / "again.safetensors", 64, seed=4)
    clip(folder / "g.safetensors", 64, projection=64)
    t5(folder / "t5.safetensors")
    assert "are both CLIP-L" in refused("l.safetensors", "again.safetensors")
    said = refused("l.safetensors", of="flux")
    assert said == "these are CLIP-L; Flux takes CLIP-L and T5 -- name T5 as well"
    assert "T5 alone could be of several models" in refused("t5.safetensors")
    said = refused("l.safetensors", "t5.safetensors", of="sdxl")
    assert said == "these are CLIP-L and T5; Stable Diffusion XL takes CLIP-L and CLIP-G -- name CLIP-G as well"
    assert "widths" not in said


def test_without_t5s_words_one_command_is_named(home, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "none"))
    folder = home.home / "models" / "text_encoders"
    folder.mkdir(parents=True)
    clip_tokenizer().save_pretrained(home.home / "models" / "tokenizers" / "clip")
    clip(folder / "l.safetensors", 64)
    t5(folder / "t5.safetensors")
    with places.using(places.Places(home=home.home)):
        said = refused("l.safetensors", "t5.safetensors")
    assert "none with T5's 64 words was found" in said
    assert "`weft models get google/t5-v1_1-xxl --only tokenizer`" in said


def test_a_folder_and_a_file_may_be_mixed(folder, tiny_flux):
    import shutil

    shutil.copytree(tiny_flux / "text_encoder_2", folder / "t5")
    shutil.copytree(tiny_flux / "tokenizer_2", folder / "t5", dirs_exist_ok=True)
    clip(folder / "l.safetensors", 64)
    found = load.text_encoder("l.safetensors", "t5")
    assert [Path(part.path).name for part in found.parts] == ["clip_l", "t5"]
    assert text.encode(found, "a red cube").entries[0].pooled.shape == (1, 64)


def test_sentencepieces_model_is_counted_without_its_library(tmp_path):
    from nodes.families.single_file.tokenizers import vocabulary

    piece = b"\n\x05\n\x03abc"  # field 1, five bytes: field 1, "abc"
    (tmp_path / "spiece.model").write_bytes(piece * 300 + b"\x12\x02\x08\x01")
    assert vocabulary(tmp_path) == (400, "t5")
    (tmp_path / "spiece.model").write_bytes(b"\xff" * 10)
    assert vocabulary(tmp_path)[0] == 0
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"a": 0}}}))
    assert vocabulary(tmp_path) == (1, "clip")
