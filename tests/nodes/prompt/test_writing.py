"""What is told of a prompt while it is written: names that stand for files, and how many tokens the encoders get."""

import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from engine import places
from nodes import load, text
from nodes.families import family_of
from nodes.prompt import writing

PROMPTS = [
    "",
    "a red cube",
    "red " * 75 + "blue " * 10,
    "red BREAK (blue sphere:1.3), ((sky)) // not this",
    "embedding:ink red embedding:ink cube",
]


@pytest.fixture
def ink(home):
    folder = places.current().home / "models" / "embeddings"
    folder.mkdir(parents=True)
    save_file({"emb_params": torch.zeros(5, 32)}, folder / "ink.safetensors")


def read_by(encoder, prompt):
    """How many tokens the encoder is given, window by window: all between the start and the first end."""
    from nodes.families import clip
    from nodes.prompt.parse import parse

    built = family_of(encoder).build_text_encoder(encoder, "cpu", "float32")
    module, tokenizer = built["text_encoder"], built.tokenizers["text_encoder"]
    made = clip.windows(module, tokenizer, parse(prompt, "comfy"), encoder.length)
    found = []
    for window in made:  # an embedding's rows stand at any token
        own = {at for start, rows in window.rows for at in range(start, start + len(rows))}
        found.append(next(at for at, id in enumerate(window.ids) if id == tokenizer.eos_token_id and at not in own) - 1)
    return found


def test_the_count_is_what_the_encoder_reads(ink, tiny_sd1):
    encoder = load.model("tiny-sd1").text_encoder
    for prompt in PROMPTS:
        ((_, windows, room),) = writing.tokens(encoder=encoder, text=prompt)
        entry = text.encode(encoder, prompt).entries[0]
        assert room == 75
        assert entry.embedding.shape[1] == 77 * len(windows)
        assert read_by(encoder, prompt) == windows, prompt


def test_every_encoder_of_a_model_counts_for_itself(home, tiny_sd3, tiny_flux):
    counts = writing.tokens(encoder=load.model("tiny-sd3").text_encoder, text="a red cube BREAK on the left")
    assert [(name, len(windows), room) for name, windows, room in counts] == [
        *(("CLIP", 2, 75), ("CLIP", 2, 75), ("T5", 1, 511))
    ]
    flux = load.model("tiny-flux").text_encoder
    clip, t5 = writing.tokens(encoder=flux, text="red " * 300)
    assert len(clip[1]) > 1 and t5[2] == dict(flux.config)["tokens"] - 1


def test_who_reads_a_text_is_not_known_without_an_encoder():
    assert writing.tokens(text="red", encoder=None) == ()
    assert writing.tokens(text=None, encoder=None) == ()


def test_the_names_are_those_of_files_without_their_endings(ink, home):
    (places.current().home / "wildcards" / "animals").mkdir(parents=True)
    (places.current().home / "wildcards" / "animals" / "small.txt").write_text("mouse\n")
    found = writing.names(places.current())
    assert (found["embedding"], found["wildcard"]) == (["ink"], ["animals/small"])


def test_counting_imports_no_torch(tiny_sd1):
    code = (
        "import sys, pathlib, nodes.prompt.writing as w; from engine import places; from nodes.load import model;"
        f"places.set_process_places(places.Places(model_folders=(pathlib.Path({str(tiny_sd1.parent.parent)!r}),)));"
        "print(w.tokens(encoder=model('tiny-sd1').text_encoder, text='red'));"
        "print('torch' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert told[1] == "False" and told[0].startswith("[('CLIP', [")
