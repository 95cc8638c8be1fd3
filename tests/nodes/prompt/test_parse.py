"""The prompt's syntax: weights of both dialects, escapes, breaks, embeddings, comments."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nodes.prompt.parse import BREAK, Piece, Prompt, editing, escaped, loras, parse, uncommented, without_loras, write


def weights(text, dialect):
    return [(piece.text, round(piece.weight, 4)) for piece in parse(text, dialect).pieces]


@pytest.mark.parametrize(
    ("text", "comfy", "a1111"),
    [
        ("a red cube", [("a red cube", 1)], [("a red cube", 1)]),
        ("a (red) cube", [("a ", 1), ("red", 1.1), (" cube", 1)], [("a ", 1), ("red", 1.1), (" cube", 1)]),
        ("((red))", [("red", 1.21)], [("red", 1.21)]),
        ("(red:1.3)", [("red", 1.3)], [("red", 1.3)]),
        ("(red : 0.5 )", [("red ", 0.5)], [("red ", 0.5)]),
        ("((red:1.2) blue:1.5)", [("red", 1.2), (" blue", 1.5)], [("red", 1.8), (" blue", 1.5)]),
        ("((red:1.2))", [("red", 1.2)], [("red", 1.32)]),
        ("[red] cube", [("[red] cube", 1)], [("red", 0.9091), (" cube", 1)]),
        ("([red])", [("[red]", 1.1)], [("red", 1)]),
        ("(red cube", [("(red cube", 1)], [("red cube", 1.1)]),
        ("red) cube", [("red) cube", 1)], [("red) cube", 1)]),
        (r"\(red\) cube", [("(red) cube", 1)], [("(red) cube", 1)]),
        (r"(red \(big\):1.2)", [("red (big)", 1.2)], [("red (big)", 1.2)]),
        ("(time 12:30 pm)", [("time 12:30 pm", 1.1)], [("time 12:30 pm", 1.1)]),
        ("(:1.2)", [(":1.2", 1.1)], [(":1.2", 1.1)]),
        ("()", [], []),
        ("a\\b", [("a\\b", 1)], [("a\\b", 1)]),
        ("a (b [c) d]", [("a ", 1), ("b [c", 1.1), (" d]", 1)], [("a ", 1), ("b ", 1.1), ("c", 1), (" d", 0.9091)]),
    ],
)
def test_each_dialect_weighs_as_its_users_know_it(text, comfy, a1111):
    assert weights(text, "comfy") == comfy
    assert weights(text, "a1111") == a1111
    assert parse(text, "plain").pieces == (Piece(text),)


def test_a_break_and_an_embedding_are_pieces_of_their_own():
    found = parse("sky BREAK (embedding:style/ink-2:0.8), embedding:dog.", "comfy").pieces
    assert found == (
        *(Piece("sky"), BREAK, Piece("style/ink-2", 0.8, "embedding"), Piece(","), Piece("dog", 1.0, "embedding")),
        Piece("."),
    )
    assert parse("BREAKFAST", "comfy").pieces == (Piece("BREAKFAST"),)
    assert parse("embedding: none", "comfy").pieces == (Piece("embedding: none"),)


def test_comments_are_left_out_and_addresses_are_not():
    text = "# a title\nred /* not\nblue */ cube // or so\nhttps://x.y #1"
    assert uncommented(text) == "\nred  cube \nhttps://x.y #1"
    assert uncommented("a /* never closed") == "a /* never closed"
    assert parse("a // b", "plain").pieces == (Piece("a // b"),)


def test_syntax_that_belongs_to_a_node_is_found():
    assert loras("a <lora:ink/v2:0.8> cube <lyco:x>") == [("<lora:ink/v2:0.8>", "ink/v2", 0.8), ("<lyco:x>", "x", 1.0)]
    assert loras("<lora:x:0.5:0.7> <lora:y:high>") == [("<lora:x:0.5:0.7>", "x", 0.5), ("<lora:y:high>", "y", 1.0)]
    assert without_loras("a cube <lora:x:1>") == "a cube"
    assert editing("a [red:blue:0.4] cube") == "[red:blue:0.4]"
    assert editing("a [red|blue] cube") == "[red|blue]"
    assert not editing("a [red] (cube:1.2) [a:b]")


dialects = st.sampled_from(["comfy", "a1111"])
signs = st.text(alphabet="ab (){}[]:1.2\\|<>/#*\n_$", max_size=60)


@given(signs | st.text(max_size=40), dialects)
@example("(" * 3000, "a1111")
@example("(a:" * 500 + ")" * 500, "comfy")
@example("[(" * 300 + "])" * 300, "a1111")
def test_no_text_is_too_odd(text, dialect):
    found = parse(text, dialect)
    assert all(piece.text or piece.kind == "break" for piece in found.pieces)
    assert all(isinstance(piece.weight, float) for piece in found.pieces)


@given(st.text(max_size=40).filter(lambda t: t == uncommented(t) and "BREAK" not in t and "embedding:" not in t))
def test_what_is_escaped_is_read_as_it_was(text):
    if uncommented(escaped(text)) == escaped(text):
        for dialect in ("comfy", "a1111"):
            assert "".join(piece.text for piece in parse(escaped(text), dialect).pieces) == text


words = st.text(alphabet="abcé ()[]{}|<>\\,", min_size=1, max_size=12)
heavy = st.floats(0.1, 3).map(lambda weight: round(weight, 3))
names = st.sampled_from(["ink", "style/ink-2"])
pieces = st.one_of(st.builds(Piece, words, heavy), st.builds(Piece, names, heavy, st.just("embedding")))


@given(st.lists(pieces, max_size=6), dialects)
def test_written_and_read_again_a_prompt_is_the_same(given_, dialect):
    first = parse(write(Prompt(tuple(given_), dialect)), dialect)
    assert parse(write(first), dialect) == first
    told = [(piece.text, piece.weight) for piece in given_ if piece.kind == "embedding"]
    assert [(piece.text, round(piece.weight, 6)) for piece in first.pieces if piece.kind == "embedding"] == told
