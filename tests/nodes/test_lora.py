"""LoRA nodes: headers tell what a file is and whether it fits; recipes carry it."""

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine.errors import WeftError
from engine.node import spec_of
from nodes import load, lora
from nodes.types import Adapter, Denoiser, LatentSpace, Weights

ROOT = Path(__file__).resolve().parents[2]
UNET = "unet.down_blocks.1.attentions.0.transformer_blocks.0.{}.lora_{}.weight"


def layer(name, into, out, rank=4):
    return {UNET.format(name, "A"): torch.ones(rank, into), UNET.format(name, "B"): torch.ones(out, rank)}


def sd1(width=32):
    return layer("attn1.to_q", 16, 16) | layer("attn2.to_k", width, 16) | layer("attn2.to_v", width, 16)


@pytest.fixture
def put(home):
    folder = home.home / "models" / "loras"
    folder.mkdir(parents=True)

    def write(tensors, name="style.safetensors"):
        save_file(tensors, folder / name)
        return name

    write.folder = folder
    return write


@pytest.fixture
def parts(home, tiny_sd1):
    return load.model("tiny-sd1")


# --- load ----------------------------------------------------------------------------------------------------------


def test_the_header_tells_family_rank_and_encoders(put):
    te = "text_encoder.text_model.encoder.layers.0.self_attn.q_proj.lora_{}.weight"
    both = sd1(768) | {te.format("A"): torch.ones(8, 16), te.format("B"): torch.ones(16, 8)}
    found = lora.load(put(both), 0.8)
    assert (found.family, found.rank, found.encoders, found.strength) == ("sd1", 8, ("text_encoder",), 0.8)
    assert lora.load(put(sd1(1024))).family == "sd2"
    assert lora.load(put(sd1(2048))).family == "sdxl"
    assert lora.load(put(layer("attn1.to_q", 16, 16))).family == "", "self-attention alone does not tell"


def test_the_key_is_the_content_and_not_the_place(put):
    first, second = lora.load(put(sd1(), "a.safetensors")), lora.load(put(sd1(), "b.safetensors"))
    assert first == second
    assert lora.load(put(sd1() | layer("attn1.to_k", 16, 16))) != first


def lying(header: dict, body: bytes = b"") -> bytes:
    raw = json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + body


HOSTILE = {
    "empty": b"",
    "truncated": struct.pack("<Q", 5000) + b"{",
    "not-json": struct.pack("<Q", 4) + b"nope",
    "beyond": lying({"x.lora_A.weight": {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 64]}}, b"1234"),
    "huge": struct.pack("<Q", 2**62) + b"{}",
    "shape": lying({"x.lora_A.weight": {"dtype": "F32", "shape": [9, 9], "data_offsets": [0, 4]}}, b"1234"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_damaged_or_lying_file_is_named_in_one_line(put, name):
    (put.folder / f"{name}.safetensors").write_bytes(HOSTILE[name])
    with pytest.raises(WeftError) as refused:
        lora.load(f"{name}.safetensors")
    assert refused.value.code == "model.format"
    assert f"{name}.safetensors is damaged" in refused.value.problem.message
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("ending", ["ckpt", "pt", "bin"])
def test_a_pickled_file_is_never_opened(put, ending):
    (put.folder / f"evil.{ending}").write_bytes(b"\x80\x04not even a pickle")
    with pytest.raises(WeftError, match="pickled and could run any program") as refused:
        lora.load(f"evil.{ending}")
    assert refused.value.code == "model.format"


def test_what_is_no_lora_is_told_apart(put):
    with pytest.raises(WeftError, match=r"a model of some kind, not a LoRA: none of its 1 tensors"):
        lora.load(put({"conv_in.weight": torch.ones(4, 4)}))
    with pytest.raises(WeftError, match="an adapter of the kind OFT, which nothing here reads, not a LoRA"):
        lora.load(put({"lora_unet_mid_block.oft_blocks": torch.ones(4, 4)}))
    with pytest.raises(WeftError, match="only one of its two matrices"):
        lora.load(put({UNET.format("attn1.to_q", "A"): torch.ones(4, 16)}))
    with pytest.raises(WeftError, match=r"matrices \[4, 16\] and \[16, 8\]"):
        lora.load(put(layer("attn1.to_q", 16, 16) | {UNET.format("attn1.to_q", "B"): torch.ones(16, 8)}))
    (put.folder / "folder").mkdir()
    with pytest.raises(WeftError, match="the folder folder holds no LoRA"):
        lora.load("folder")


def test_a_missing_file_says_what_there_is(put):
    put(sd1(), "paper-cut.safetensors")
    with pytest.raises(
        WeftError, match=r"no lora named 'paper-cat.safetensors'\. Did you mean 'paper-cut.safetensors'"
    ):
        lora.load("paper-cat.safetensors")


# --- does it fit? --------------------------------------------------------------------------------------------------


def test_a_lora_of_another_family_is_an_error_before_anything_is_loaded(put, parts):
    with pytest.raises(WeftError, match="made for sd1, the model is sd1-32") as refused:
        lora.apply(parts.model, lora.load(put(sd1(768))))
    assert refused.value.code == "facts.mismatch"
    assert refused.value.problem.where.socket == "lora"


def test_a_lora_whose_shapes_differ_is_an_error_even_when_the_family_does_not_tell(put, parts):
    with pytest.raises(WeftError, match=r"changes '.*attn1.to_q' as 64 → 64, the model has 16 → 16 there"):
        lora.apply(parts.model, lora.load(put(layer("attn1.to_q", 64, 64))))


def test_a_lora_of_other_layers_is_an_error_that_names_the_first(put, parts):
    names = ("transformer.transformer_blocks.{}.attn.to_q.lora_{}.weight",)
    dit = {name.format(i, end): torch.ones(4, 4) for name in names for i in range(3) for end in "AB"}
    with pytest.raises(WeftError, match=r"only 0 of the 3 layers .* unused: 'transformer_blocks.0.attn.to_q'"):
        lora.apply(parts.model, lora.load(put(dit)))


def test_the_facts_rule_says_the_same_while_a_graph_is_checked(put, parts):
    wrong, right = lora.load(put(sd1(768), "w.safetensors")), lora.load(put(sd1(), "r.safetensors"))
    for node, wired in ((lora.apply, {"lora": wrong}), (lora.stack, {"loras": [right, wrong]})):
        rule = next(rule for rule in spec_of(node).facts if rule.kind == "call")
        assert rule.path == "nodes.lora:fits"
        with pytest.raises(WeftError, match="made for sd1"):
            lora.fits(model=parts.model, **wired)
    assert lora.fits(model=parts.model, lora=right) == lora.fits(model=None, loras=[wrong]) == {}


def test_looking_at_a_lora_imports_no_torch(put, parts):
    put(sd1())
    code = (
        "import sys; from pathlib import Path; from engine import places; from nodes import load, lora;"
        f"places.set_process_places(places.Places(Path({str(put.folder.parents[1])!r}), (Path({parts.model.base.path!r}).parents[2],)));"  # noqa: E501
        "m = lora.apply(load.model('tiny-sd1').model, lora.load('style.safetensors')).model;"
        "assert len(m.adapters) == 1; assert not {'torch', 'diffusers', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def told(parts, file, encoder=None):
    return [(lint.code, lint.message) for lint in lora.advice(model=parts.model, lora=file, text_encoder=encoder)]


def test_what_is_not_used_is_said_before_the_run(put, parts):
    te = "text_encoder.text_model.encoder.layers.0.self_attn.q_proj.lora_{}.weight"
    both = sd1() | {te.format("A"): torch.ones(4, 32), te.format("B"): torch.ones(32, 4)}
    assert told(parts, lora.load(put(sd1()))) == []
    assert [code for code, _ in told(parts, lora.load(put(both)))] == ["lint.lora_text"]
    assert told(parts, lora.load(put(both)), parts.text_encoder) == []
    extra = sd1() | {
        key.replace("attentions.0", "attentions.9"): tensor for key, tensor in layer("attn1.to_q", 16, 16).items()
    }
    ((code, message),) = told(parts, lora.load(put(extra)))
    assert code == "lint.lora_unused"
    assert "1 layers or tensors in style.safetensors are not used: 'down_blocks.1.attentions.9" in message
    ((_, message),) = told(parts, lora.load(put(sd1() | {"bundle_emb.x": torch.ones(3)})))
    assert "'bundle_emb.x'" in message
    assert {spec_of(node).lints for node in (lora.apply, lora.stack)} == {"nodes.lora:advice"}


# --- apply, stack --------------------------------------------------------------------------------------------------


def test_applying_is_bookkeeping_on_the_recipe(put, parts):
    file = lora.load(put(sd1()), 0.5)
    out = lora.apply(parts.model, file, 1.5)
    assert out.model.adapters == (Adapter(lora.load(put(sd1())), 0.75),)
    assert out.model.weights == parts.model.weights, "the base in memory is the same"
    assert out.text_encoder is None


def test_strength_0_gives_back_the_very_model(put, parts):
    file = lora.load(put(sd1()))
    assert lora.apply(parts.model, file, 0.0, parts.text_encoder)[:2] == (parts.model, parts.text_encoder)
    assert lora.apply(parts.model, lora.weight(file, 0.0)).model == parts.model


def test_a_stack_is_its_loras_one_after_the_other(put, parts):
    a = lora.load(put(sd1(), "a.safetensors"), 0.5)
    b = lora.load(put(layer("attn1.to_q", 16, 16), "b.safetensors"))
    stacked = lora.stack(parts.model, a, b, strength=0.5).model
    assert stacked == lora.apply(lora.apply(parts.model, a, 0.5).model, b, 0.5).model
    assert [use.strength for use in stacked.adapters] == [0.25, 0.5]
    assert lora.stack(parts.model).model == parts.model


def test_the_text_encoder_gets_a_lora_only_when_the_file_changes_it(put, parts):
    te = "text_encoder.text_model.encoder.layers.0.self_attn.q_proj.lora_{}.weight"
    width = dict(parts.model.config)["cross_attention_dim"]
    both = sd1() | {te.format("A"): torch.ones(4, width), te.format("B"): torch.ones(width, 4)}
    out = lora.apply(parts.model, lora.load(put(both)), 1.0, parts.text_encoder)
    assert len(out.model.adapters) == len(out.text_encoder.adapters) == 1
    out = lora.apply(parts.model, lora.load(put(sd1())), 1.0, parts.text_encoder)
    assert out.text_encoder == parts.text_encoder
    wide = sd1() | {te.format("A"): torch.ones(4, 768), te.format("B"): torch.ones(768, 4)}
    with pytest.raises(WeftError, match="q_proj' as 768 → 768"):
        lora.apply(parts.model, lora.load(put(wide)), 1.0, parts.text_encoder)


def test_the_facts_of_the_model_go_on(put, parts):
    applied = spec_of(lora.apply)
    copied = {rule.sockets for rule in applied.facts if rule.kind == "copy"}
    assert {("model.family", "model.family"), ("model.latent_space", "model.latent_space")} <= copied
    assert dict(applied.bypass) == {"model": "model", "text_encoder": "text_encoder"}
    bare = Denoiser(Weights("w", "unet", ""), "sd1", LatentSpace("sd1", 4, 8))
    assert bare.facts == bare.with_adapter(lora.load(put(sd1())), 1.0).facts
