"""What the author of a text is told while typing."""

import pytest

from engine.errors import WeftError
from engine.server.shapes import TokenCount
from engine.server.writing import phrases
from tests.engine.flows import box
from tests.engine.server.painted import document

SAVED = {"save": box("paint.save", picture="@caption")}


def test_a_text_is_completed_with_the_names_that_its_node_knows_and_with_words_of_earlier_texts(weft, picture_file):
    weft.upload(picture_file)
    for text in ("a red square, (low light:1.2)", "blue square, low light, {oil|ink} // not this", "{"):
        weft.wait(weft.submit(document({"caption": box("paint.caption", text=text), **SAVED})).id)
    told = weft.words("paint.caption", "text")
    assert told.names == {"colour": ["red", "rose"], "file": ["red.png"]}
    assert told.words[0] == "low light", "of two prompts; the others of one"
    assert set(told.words) == {"low light", "a red square", "blue square", "oil", "ink"}
    assert weft.words("paint.save", "name").names == {}
    with pytest.raises(WeftError, match="there is no such input"):
        weft.words("paint.caption", "nothing")


def test_a_text_that_ran_a_hundred_times_counts_once(weft):
    for side in range(3):
        weft.wait(weft.submit(document({"caption": box("paint.caption", text="often", side=side + 1), **SAVED})).id)
    for text in ("twice, a", "twice, b"):
        weft.wait(weft.submit(document({"caption": box("paint.caption", text=text), **SAVED})).id)
    assert weft.words("paint.caption", "text").words[:2] == ["twice", "often"]


def test_the_syntax_of_a_prompt_is_no_word():
    assert phrases("(a red cube:1.2), __animal__, <lora:x:0.8> BREAK embedding:bad, 3::sky|{2$$sea|land}") == [
        *("a red cube", "sky", "sea", "land")
    ]


def test_the_tokens_of_a_text_are_those_of_its_node_with_everything_as_it_is_wired(weft):
    work = document({"caption": box("paint.caption", text="seven ", side=4), **SAVED})
    assert weft.tokens(work, "caption.text") == [TokenCount("letters", [4, 2], 4)]
    work["nodes"]["caption"]["inputs"]["text"] = ""
    assert weft.tokens(work, "caption.text") == []
    assert weft.tokens(work, "save.name") == [], "nobody counts a file's name"
    with pytest.raises(WeftError, match=r"there is no input 'caption\.nothing'"):
        weft.tokens(work, "caption.nothing")
