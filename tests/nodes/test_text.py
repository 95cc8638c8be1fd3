"""Prompts of any length become embeddings, and prompts combine without any tensor being read."""

import pytest
import torch

from engine import workflow
from engine.errors import WeftError
from engine.graph import check
from engine.registry import load_registry
from engine.sockets import Ref
from nodes import load, text
from nodes.families.clip import windows
from nodes.prompt.parse import plain
from nodes.types import Conditioning, Entry, Mask


@pytest.fixture
def sd1(home, tiny_sd1):
    return load.model("tiny-sd1").text_encoder


@pytest.fixture
def sd3(home, tiny_sd3):
    return load.model("tiny-sd3").text_encoder


def embedding(encoder, prompt, **inputs):
    return text.encode(encoder, prompt, **inputs).entries[0].embedding


def test_a_prompt_that_fits_is_the_pipelines_embedding(sd1, tiny_sd1):
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(tiny_sd1)
    for prompt in ("", "a red cube", "a " * 75):
        with torch.no_grad():
            reference, _ = pipe.encode_prompt(prompt, "cpu", 1, False)
        assert torch.equal(embedding(sd1, prompt), reference)


def test_a_prompt_that_fits_is_the_sd3_pipelines_embedding(sd3, tiny_sd3):
    from diffusers import StableDiffusion3Pipeline

    pipe = StableDiffusion3Pipeline.from_pretrained(tiny_sd3)
    for prompt in ("", "a red cube on the left of a sphere"):
        with torch.no_grad():
            hidden, _, pooled, _ = pipe.encode_prompt(prompt, None, None, do_classifier_free_guidance=False)
        entry = text.encode(sd3, prompt).entries[0]
        assert torch.equal(entry.embedding, hidden)
        assert torch.equal(entry.pooled, pooled)


def test_a_long_prompt_goes_on_in_windows_and_loses_nothing(sd1, tiny_sd1):
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(tiny_sd1 / "tokenizer")
    prompt = "red " * 75 + "blue " * 10
    found = [window.ids for window in windows(None, tokenizer, plain(prompt), 77)]
    ids = tokenizer(prompt, add_special_tokens=False).input_ids
    assert [len(window) for window in found] == [77] * -(-len(ids) // 75)
    special = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}
    assert [token for window in found for token in window if token not in special] == ids
    whole = embedding(sd1, prompt)
    assert whole.shape == (1, 77 * len(found), 32)
    first = tokenizer.decode(found[0][1:-1], clean_up_tokenization_spaces=False)
    assert torch.equal(whole[:, :77], embedding(sd1, first))


def test_ten_thousand_words_work(sd1):
    found = embedding(sd1, "a " * 10_000)
    assert found.shape == (1, 77 * 134, 32)
    assert bool(found.isfinite().all())


def test_t5_refuses_what_it_cannot_take_in_one_line(sd3):
    assert embedding(sd3, "a " * 255).shape[1] == 4 * 77 + 256
    assert embedding(sd3, "a " * 300).shape[1] == 4 * 77 + 512
    with pytest.raises(WeftError) as caught:
        text.encode(sd3, "a " * 10_000)
    assert "10,001 tokens" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_clip_skip_counts_from_the_last_layer(sd1, tiny_sd1):
    from transformers import CLIPTextModel, CLIPTokenizer

    encoder = CLIPTextModel.from_pretrained(tiny_sd1 / "text_encoder")
    ids = CLIPTokenizer.from_pretrained(tiny_sd1 / "tokenizer")(
        "a red cube", padding="max_length", max_length=77, return_tensors="pt"
    ).input_ids
    with torch.no_grad():
        states = encoder(ids, output_hidden_states=True).hidden_states
        earlier = encoder.final_layer_norm(states[-3])
    assert torch.equal(embedding(sd1, "a red cube", clip_skip=3), earlier)
    with pytest.raises(WeftError, match="only 4 layers"):
        text.encode(sd1, "a", clip_skip=5)


def test_an_absent_encoder_is_filled_with_zeros(home, tiny_sd3):
    import json
    import shutil

    whole = embedding(load.model("tiny-sd3").text_encoder, "a red cube")
    folder = home.home / "models" / "checkpoints" / "less"
    shutil.copytree(tiny_sd3, folder)
    index = json.loads((folder / "model_index.json").read_text())
    index |= {"text_encoder_3": [None, None], "text_encoder_2": [None, None]}
    (folder / "model_index.json").write_text(json.dumps(index))
    entry = text.encode(load.model("less").text_encoder, "a red cube").entries[0]
    assert entry.embedding.shape == whole.shape
    assert entry.pooled.shape == (1, 64)
    assert torch.equal(entry.embedding[:, :77, :16], whole[:, :77, :16])
    assert not entry.embedding[:, 77:].any()
    assert entry.pooled[:, :32].any()
    assert not entry.pooled[:, 32:].any()


# --- several prompts -------------------------------------------------------------------------------------------------


def outline(id: str, layout: str = "clip:32") -> Conditioning:
    return Conditioning.outline(Ref(id, {"text_layout": layout}))


def test_combining_reads_no_tensor():
    both = text.combine(outline("one"), outline("two"))
    assert [entry.embedding.id for entry in both.entries] == ["one", "two"]
    assert both.facts == {"text_layout": "clip:32"}


def test_prompts_for_different_models_do_not_combine():
    with pytest.raises(WeftError) as caught:
        text.combine(outline("one"), outline("two", "clip:768"))
    assert caught.value.code == "facts.mismatch"
    with pytest.raises(WeftError, match="nothing to combine"):
        text.combine()


def test_placing_says_where_when_and_how_strongly():
    mask = Mask(torch.ones(1, 4, 4))
    entry = text.place(outline("one"), 0.5, x=0.5, width=0.5, start=0.2, end=0.8, mask=mask).entries[0]
    assert (entry.weight, entry.area, entry.start, entry.end) == (0.5, (0.5, 0.0, 0.5, 1.0), 0.2, 0.8)
    assert entry.mask is mask
    assert text.place(outline("one")).entries[0].area is None
    for wrong in ({"width": 0.0}, {"start": 0.5, "end": 0.5}):
        with pytest.raises(WeftError):
            text.place(outline("one"), **wrong)


def test_zero_keeps_shape_and_place():
    entry = Entry(torch.ones(1, 3, 4), torch.ones(1, 2), weight=0.5)
    found = text.zero(Conditioning((entry, Entry(torch.ones(1, 3, 4))), "clip:4")).entries
    assert torch.equal(found[0].embedding, torch.zeros(1, 3, 4))
    assert torch.equal(found[0].pooled, torch.zeros(1, 2))
    assert found[1].pooled is None
    assert found[0].weight == 0.5


# --- weights, windows, embeddings ------------------------------------------------------------------------------------


def states(encoder, *ids):
    """What the small CLIP says to these tokens, padded."""
    with torch.no_grad():
        return encoder(torch.tensor([ids])).last_hidden_state


@pytest.fixture
def clip(tiny_sd1):
    from transformers import CLIPTextModel, CLIPTokenizer

    return CLIPTextModel.from_pretrained(tiny_sd1 / "text_encoder"), CLIPTokenizer.from_pretrained(
        tiny_sd1 / "tokenizer"
    )


def tokens(tokenizer, prompt):
    return tokenizer(prompt, padding="max_length", max_length=77).input_ids


def test_comfys_weights_move_a_word_away_from_the_empty_prompt(sd1, clip):
    encoder, tokenizer = clip
    full, empty = (states(encoder, *tokens(tokenizer, prompt)) for prompt in ("a red cube", ""))
    place = tokens(tokenizer, "a red cube").index(tokenizer("red", add_special_tokens=False).input_ids[0])
    many = len(tokenizer("red", add_special_tokens=False).input_ids)
    wanted = full.clone()
    span = slice(place, place + many)
    wanted[:, span] = empty[:, span] + 1.5 * (full[:, span] - empty[:, span])
    torch.testing.assert_close(embedding(sd1, "a (red:1.5) cube"), wanted)


def test_a1111s_weights_multiply_and_keep_the_windows_mean(sd1, clip):
    encoder, tokenizer = clip
    full = states(encoder, *tokens(tokenizer, "a red cube"))
    place = tokens(tokenizer, "a red cube").index(tokenizer("red", add_special_tokens=False).input_ids[0])
    many = len(tokenizer("red", add_special_tokens=False).input_ids)
    wanted = full.clone()
    wanted[:, place : place + many] *= 1.5
    wanted *= full.mean() / wanted.mean()
    torch.testing.assert_close(embedding(sd1, "a (red:1.5) cube", weights="a1111"), wanted)


@pytest.mark.parametrize("name", ["sd1", "sdxl", "sd3", "flux"])
def test_weights_of_one_are_the_bare_prompt_and_others_act_in_every_family(request, home, name):
    request.getfixturevalue(f"tiny_{name}")
    encoder = load.model(f"tiny-{name}").text_encoder
    bare = embedding(encoder, "a red cube")
    assert torch.equal(embedding(encoder, "a red cube", weights="a1111"), bare)
    assert torch.equal(embedding(encoder, "(a red cube:1)"), bare)
    assert torch.equal(embedding(encoder, "a red cube", weights="plain"), bare)
    found = [embedding(encoder, "a (red:1.4) cube", weights=dialect) for dialect in ("comfy", "a1111", "plain")]
    assert all(one.isfinite().all() and not torch.equal(one, bare) for one in found)
    assert not torch.equal(found[0], found[1])


def test_a_break_begins_a_new_window(sd1):
    found = embedding(sd1, "a red cube BREAK a blue sphere")
    assert found.shape == (1, 154, 32)
    assert torch.equal(found[:, :77], embedding(sd1, "a red cube"))
    assert torch.equal(found[:, 77:], embedding(sd1, "a blue sphere"))


def test_an_escaped_bracket_is_a_bracket(sd1):
    assert torch.equal(embedding(sd1, r"a \(red\) cube"), embedding(sd1, "a (red) cube", weights="plain"))


def save_embedding(home, name, **tensors):
    from safetensors.torch import save_file

    path = home.home / "models" / "embeddings" / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)


def test_an_embeddings_vectors_stand_for_its_name(home, sd1, clip):
    """The rows of known words under another name give what the words give."""
    encoder, tokenizer = clip
    words = tokenizer("blue sphere", add_special_tokens=False).input_ids
    rows = encoder.get_input_embeddings().weight[words].detach().clone()
    save_embedding(home, "ink/v2", emb_params=rows)
    bare = embedding(sd1, "a blue sphere")
    assert torch.allclose(embedding(sd1, "a embedding:ink/v2"), bare, atol=1e-5)
    assert torch.allclose(embedding(sd1, "a embedding:ink/v2.safetensors"), bare, atol=1e-5)
    assert torch.allclose(embedding(sd1, "a (embedding:ink/v2:1.3)"), embedding(sd1, "a (blue sphere:1.3)"), atol=1e-5)
    assert torch.equal(embedding(sd1, "a blue sphere"), bare), "nothing stays behind in the encoder"
    filled = embedding(sd1, "a " * 74 + "embedding:ink/v2")
    assert filled.shape[1] == 154, "its vectors stay together"


def test_one_file_serves_both_encoders_of_sdxl(home, tiny_sdxl):
    encoder = load.model("tiny-sdxl").text_encoder
    save_embedding(home, "two", clip_l=torch.randn(1, 32), clip_g=torch.randn(2, 32))
    entry = text.encode(encoder, "a embedding:two").entries[0]
    assert entry.embedding.shape[-1] == 64
    assert not torch.equal(entry.embedding[..., :32], embedding(encoder, "a")[..., :32])


def test_an_embedding_that_does_not_fit_is_told_before_the_encoder_is_loaded(home, sd1):
    save_embedding(home, "ink", emb_params=torch.zeros(1, 32))
    save_embedding(home, "wide", emb_params=torch.zeros(1, 768))
    save_embedding(home, "long", emb_params=torch.zeros(80, 32))
    (home.home / "models" / "embeddings" / "old.pt").write_bytes(b"x")
    for prompt, said in (
        ("embedding:inc", "there is no embedding 'inc'. Did you mean 'ink'?"),
        ("embedding:wide", "the embedding 'wide' is 768 wide, this model's text encoder takes 32"),
        ("embedding:old", "the embedding old.pt is a pickle"),
    ):
        with pytest.raises(WeftError) as caught:
            text.prompt_facts(encoder=sd1, text=prompt, weights="comfy")
        assert said in str(caught.value)
        assert caught.value.problem.where.socket == "text"
    with pytest.raises(WeftError, match="has 80 vectors"):
        text.encode(sd1, "embedding:long")


def test_a_replaced_embedding_file_is_another_key(home, sd1):
    save_embedding(home, "ink", emb_params=torch.zeros(1, 32))
    first = text.prompt_files(text="a embedding:ink", weights="comfy")
    save_embedding(home, "ink", emb_params=torch.ones(1, 32))
    assert [name for name, _ in first] == ["ink"]
    assert text.prompt_files(text="a embedding:ink", weights="comfy") != first
    assert (
        text.prompt_files(text="a cube", weights="comfy") == text.prompt_files(text=Ref("later"), weights="comfy") == []
    )


# --- what a prompt cannot say ----------------------------------------------------------------------------------------


def refusal(prompt, weights="comfy"):
    with pytest.raises(WeftError) as caught:
        text.prompt_facts(encoder=Ref("encoder"), text=prompt, weights=weights)
    assert "\n" not in str(caught.value)
    assert caught.value.problem.where.socket == "text"
    return caught.value


def test_prompt_editing_is_another_nodes_and_told_in_both_dialects():
    assert "text.schedule" in str(refusal("a [red:blue:0.4] cube", "a1111"))
    assert "text.schedule" in str(refusal("a [red|blue] cube", "a1111"))
    (lint,) = text.prompt_advice(text="a [red:blue:0.4] cube", weights="comfy")
    assert lint.code == "lint.editing"
    assert not text.prompt_facts(encoder=Ref("e"), text="a [red:blue:0.4] cube", weights="plain")


def test_a_weight_that_can_only_give_noise_is_refused():
    refusal("(red:1000)")
    refusal("(" * 60 + "red" + ")" * 60, "a1111")
    assert text.prompt_facts(encoder=Ref("e"), text="(red:-1.5)", weights="comfy") == {}


def test_choices_that_nobody_makes_are_pointed_out_with_the_mend():
    (lint,) = text.prompt_advice(text="a {red|blue} cube", weights="comfy")
    assert lint.code == "lint.choices"
    assert not list(text.prompt_advice(text=r"a \{red|blue\} cube", weights="comfy"))
    work = workflow.parse(
        '{"weft": 1, "nodes": {"encode": {"type": "text.encode", "inputs": {"encoder": {"from": "load.text_encoder"}, '
        '"text": "a {red|blue} cube"}}}, "parameters": {"prompt": {"to": ["encode.text"]}}}'
    )
    mended = workflow.apply_edits(work, lint.at(path="encode").mend.edits)
    assert mended.nodes["resolve"].inputs["text"].value == "a {red|blue} cube"
    assert mended.nodes["encode"].inputs["text"] == workflow.Link("resolve", "text")
    assert mended.parameters["prompt"].to == ("resolve.text",)


def test_a_lora_in_the_text_becomes_nodes_behind_the_loader():
    work = workflow.parse(
        '{"weft": 1, "nodes": {"load": {"type": "load.model", "inputs": {"model": "m"}}, '
        '"encode": {"type": "text.encode", "inputs": {"encoder": {"from": "load.text_encoder"}, '
        '"text": "a cube <lora:ink:0.7>"}}, "sample": {"type": "denoise.sample", "inputs": '
        '{"model": {"from": "load.model"}, "positive": {"from": "encode.conditioning"}}}, "decode": '
        '{"type": "vae.decode", "inputs": {"vae": {"from": "load.vae"}, "latent": {"from": "sample.latent"}}}}}'
    )
    error = refusal("a cube <lora:ink:0.7>").at(path="encode")
    mended = workflow.apply_edits(work, error.problem.mend.edits)
    nodes = workflow.to_json(mended)["nodes"]
    assert nodes["load 2"] == {"type": "lora.load", "inputs": {"lora": "ink"}}
    assert nodes["apply"]["inputs"] == {
        **{"model": {"from": "load.model"}, "text_encoder": {"from": "load.text_encoder"}},
        **{"lora": {"from": "load 2.lora"}, "strength": 0.7},
    }
    assert nodes["encode"]["inputs"] == {"encoder": {"from": "apply.text_encoder"}, "text": "a cube"}
    assert nodes["sample"]["inputs"]["model"] == {"from": "apply.model"}
    assert nodes["decode"]["inputs"]["vae"] == {"from": "load.vae"}
    assert [problem.where.socket for problem in check(mended, load_registry())] == ["latent"], "the mend adds no error"
