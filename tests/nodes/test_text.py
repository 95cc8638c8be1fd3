"""Prompts of any length become embeddings, and prompts combine without any tensor being read."""

import pytest
import torch

from engine.errors import WeftError
from engine.sockets import Ref
from nodes import load, text
from nodes.families.clip import chunks
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
    found = list(chunks(tokenizer, prompt, 77))
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
