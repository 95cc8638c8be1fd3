"""Choices and wildcards: settled by a seed, the same everywhere, with clear words for what is not there."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import workflow
from engine.errors import WeftError
from engine.memory import Memory
from engine.numerics import Numerics
from engine.places import Places, using
from engine.records import Records
from engine.session import Session
from nodes import metadata, prompt
from nodes.prompt import choices

NOWHERE = Places(home=Path("/nowhere"))


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "wildcards"
    (folder / "animals").mkdir(parents=True)
    (folder / "colour.txt").write_text("red\nblue\n\n# not this\n")
    (folder / "thing.txt").write_text("__colour__ {cube|sphere}\n")
    (folder / "animals" / "small.txt").write_text("mouse\n")
    (folder / "animals" / "large.txt").write_text("whale\n")
    (folder / "circle.txt").write_text("a __circle__\n")
    (folder / "empty.txt").write_text("# nothing\n")
    return Places(home=tmp_path)


def drawn(text, places=NOWHERE, seeds=200):
    return Counter(choices.resolve(text, seed, places) for seed in range(seeds))


def test_a_choice_is_one_of_its_options_and_every_option_comes_up():
    assert set(drawn("a {red|blue|} cube")) == {"a red cube", "a blue cube", "a  cube"}
    assert set(drawn("{a {b|c}|d}")) == {"a b", "a c", "d"}
    assert drawn("a cube") == {"a cube": 200}


def test_odds_are_kept():
    found = drawn("{9::red|1::blue}", seeds=500)
    assert 0.85 < found["red"] / 500 < 0.95
    assert set(drawn("{0::red|1::blue}")) == {"blue"}


def test_several_are_different_ones():
    assert set(drawn("{2$$a|b|c}")) == {"a, b", "b, a", "a, c", "c, a", "b, c", "c, b"}
    assert set(drawn("{1-2$$ and $$a|b}")) == {"a", "b", "a and b", "b and a"}
    assert set(drawn("{5$$a|b}")) == {"a, b", "b, a"}


def test_a_seed_chooses_the_same_everywhere_and_a_later_change_leaves_it():
    assert [choices.resolve("{a|b|c|d} {e|f|g|h}", seed, NOWHERE) for seed in range(4)] == PINNED
    for seed in range(20):
        first = choices.resolve("{a|b|c|d} {e|f|g|h}", seed, NOWHERE)[0]
        assert choices.resolve("{a|b|c|d} and more {x|y|z}", seed, NOWHERE)[0] == first


PINNED = ["b e", "b g", "d g", "a e"]


def test_what_is_no_choice_is_text():
    for text in ("{", "}", "a } b {", "{a", "__", "____", "__ a __", "a_b__c", "__../secret__"):
        assert choices.resolve(text, 1, NOWHERE) == text
    assert choices.resolve(r"\{a|b\}", 1, NOWHERE) == r"\{a|b\}"
    assert not choices.has_choices("a (red:1.2) cube")
    assert choices.has_choices("{a|b}")
    assert choices.has_choices("__a__")


def test_comments_are_gone_before_anything_is_chosen():
    assert set(drawn("{red|blue} // {green|white}\n# __nothing__\ncube")) == {"red \n\ncube", "blue \n\ncube"}


@given(st.text(alphabet="ab{}|$:1-_\\ */\n", max_size=50) | st.text(max_size=30), st.integers(0, 2**64 - 1))
def test_no_text_is_too_odd(text, seed):
    try:
        found = choices.resolve(text, seed, NOWHERE)
        assert found == choices.resolve(text, seed, NOWHERE)
    except WeftError as error:
        assert error.code == "media.missing"


def test_deep_braces_are_only_text_beyond_a_depth():
    assert choices.resolve("{" * 500 + "x" + "}" * 500, 1, NOWHERE).count("{") == 500 - choices.MAX_DEPTH


# --- files -----------------------------------------------------------------------------------------------------------


def test_a_wildcard_is_a_line_of_its_file_and_lines_may_choose_again(files):
    assert set(drawn("a __colour__ cube", files)) == {"a red cube", "a blue cube"}
    assert set(drawn("__thing__", files)) == {"red cube", "red sphere", "blue cube", "blue sphere"}
    assert set(drawn("__animals/*__", files)) == {"mouse", "whale"}


def test_a_model_tree_brings_its_own(files, tmp_path):
    tree = tmp_path / "tree" / "wildcards"
    tree.mkdir(parents=True)
    (tree / "place.txt").write_text("here\n")
    both = Places(home=files.home, model_folders=(tmp_path / "tree",))
    assert choices.resolve("__place__", 1, both) == "here"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("__colur__", "there is no wildcard 'colur'. Did you mean 'colour'?"),
        ("__circle__", "the wildcard 'circle' comes back to itself"),
        ("__empty__", "the wildcard 'empty' has no lines"),
        ("__beasts/*__", "there is no wildcard 'beasts/*'"),
    ],
)
def test_what_is_not_there_is_said_in_one_line_with_the_mend(files, text, said):
    with pytest.raises(WeftError, match=re.escape(said)) as caught:
        choices.resolve(text, 1, files)
    assert "\n" not in str(caught.value)
    assert caught.value.problem.where.socket == "text"


def test_the_files_of_a_text_are_known_through_lines_too(files):
    assert [name for name, _ in choices.Files(files).ids("{a __thing__|b}")] == ["colour", "thing"]


# --- every one of them -----------------------------------------------------------------------------------------------


def test_combinations_are_all_of_them_in_order_and_without_doubles(files):
    assert choices.combinations("{red|blue} {cube|sphere}", files, 100) == [
        *("red cube", "red sphere", "blue cube", "blue sphere"),
    ]
    assert choices.combinations("{a|a|b}", files, 100) == ["a", "b"]
    assert choices.combinations("{0-2$$-$$a|b}", files, 100) == ["", "a", "b", "a-b", "b-a"]
    assert choices.combinations("__thing__", files, 100) == ["red cube", "red sphere", "blue cube", "blue sphere"]
    with pytest.raises(WeftError, match="more than 3 combinations"):
        choices.combinations("{a|b} {c|d}", files, 3)


# --- in the engine ---------------------------------------------------------------------------------------------------


@pytest.fixture
def session(files, home, tiny_sd1):
    places = Places(home=files.home, model_folders=home.model_folders)
    with Session(places=places, memory=Memory(), records=Records(), numerics=Numerics(device="cpu")) as made:
        yield made


def flow(text, **more):
    nodes = {
        "load": ("load.model", {"model": "tiny-sd1"}),
        "resolve": ("prompt.resolve", {"text": text, "seed": 0}),
        "encode": ("text.encode", {"encoder": {"from": "load.text_encoder"}, "text": {"from": "resolve.text"}}),
        "canvas": ("latent.empty", {"model": {"from": "load.model"}, "width": 64, "height": 64}),
        "decode": ("vae.decode", {"vae": {"from": "load.vae"}, "latent": {"from": "canvas.latent"}}),
        "save": ("image.save", {"image": {"from": "decode.image"}, "name": "x"}),
    }
    record = {
        "weft": 1,
        "nodes": {name: {"type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()},
        "parameters": {"seed": {"to": ["resolve.seed"]}},
        "outputs": {"conditioning": "encode.conditioning", "image": "save.image"},
    }
    return workflow.parse(json.dumps(record))


def test_seeds_that_choose_the_same_words_share_the_work(session):
    text = "a {red|blue} cube"
    by_words: dict[str, list[int]] = {}
    for seed in range(12):
        by_words.setdefault(choices.resolve(text, seed, NOWHERE), []).append(seed)
    ran = {seed: session.run(flow(text), {"seed": seed}, targets=["conditioning"]).ran for seed in range(12)}
    for seeds in by_words.values():
        assert [ran[seed] for seed in seeds] == [["encode"], *[[]] * (len(seeds) - 1)]


def test_a_changed_wildcard_file_is_noticed(session, files):
    assert session.run(flow("__animals/small__"), targets=["conditioning"]).ran == ["encode"]
    assert session.run(flow("__animals/small__"), targets=["conditioning"]).ran == []
    (files.home / "wildcards" / "animals" / "small.txt").write_text("wren\n")
    assert session.run(flow("__animals/small__"), targets=["conditioning"]).ran == ["encode"]


def test_a_saved_picture_says_which_words_were_chosen(session):
    made = session.run(flow("a {red|blue} cube"), {"seed": 3})
    found = metadata.read(Path(made.files[0]))["resolved"]
    assert found["resolve.text"] == choices.resolve("a {red|blue} cube", 3, NOWHERE)
    assert found["seed"] == 3


def test_a_wildcard_that_is_not_there_is_told_before_anything_runs(session):
    with pytest.raises(WeftError, match="no wildcard 'colours'") as caught:
        session.run(flow("__colours__"))
    problem = caught.value.problem
    assert (problem.where.path, problem.where.socket) == ("resolve", "text")


def test_as_functions_they_read_the_places_of_the_process(files):
    with using(files):
        assert prompt.resolve("__animals/small__") == "mouse"
        assert prompt.combinations("{a|b}") == ["a", "b"]
