"""Undo: whatever is done, in whatever order, is undone step by step to the start, and done again to the end."""

import random

import pytest

from tests.browser.test_editing import chain

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

# What one does to a node that is selected, and to the graph. Keys that ask something first are answered or left.
TO_A_NODE = [
    ("delete",),
    ("control", "b"),
    ("control", "m"),
    ("control", "d"),
    ("control", "g"),
    ("alt", "c"),
    ("alt", "right"),
    ("alt", "down"),
    ("alt", "shift", "left"),
    ("control", "delete"),
    ("control", "shift", "e"),
    ("control", "shift", "u"),
    ("shift", "y"),
    ("alt", "s"),
    ("c",),
]
TO_THE_GRAPH = [
    ("control", "v"),
    ("control", "shift", "v"),
    ("control", "z"),
    ("control", "shift", "z"),
    ("shift", "l"),
]


def act(editor, dice):
    """One random edit, as a person makes it: by hand on a node that is in sight, or with a key."""
    editor.script("document.activeElement.blur()")
    nodes = editor.script(
        "return [...document.querySelectorAll('.react-flow__node[data-id]')].map((e) => e.dataset.id)"
    )
    what = dice.random()
    if what < 0.25 or not nodes:
        editor.keys(*dice.choice(TO_THE_GRAPH))
        return
    name = dice.choice(nodes)
    editor.script("document.querySelector(`.react-flow__node[data-id='${arguments[0]}']`)?.focus()", name)
    if what < 0.35:
        editor.keys("control", "c")
        editor.keys("control", "v")
    elif what < 0.5:
        fields = editor.all(f"[data-node='{name}'] [data-input=text], [data-node='{name}'] [data-input=steps]")
        if fields and fields[0].is_displayed():
            chain(editor).move_to_element(fields[0]).click().perform()
            editor.write(str(dice.randint(1, 40)))
            editor.script("document.activeElement.blur()")
    elif what < 0.6:
        card = editor.all(f"[data-node='{name}'] .head")
        if card and card[0].is_displayed():
            by = (dice.randint(-90, 90), dice.randint(-60, 60))
            chain(editor).click_and_hold(card[0]).move_by_offset(5, 5).move_by_offset(*by).release().perform()
    else:
        editor.keys(*dice.choice(TO_A_NODE))
    for _ in range(3):  # a menu, a list or a question that was opened is left
        if editor.all("dialog[open], [role=menu]"):
            editor.press("escape")


def settled(editor):
    """The document, once the autosave has all of it."""
    held = []

    def same():
        held.append(editor.document())
        return len(held) > 8 and all(one == held[-1] for one in held[-8:])

    editor.until(same, "the autosave")
    return held[-1]


def button(editor, name):
    return editor.one(f".top [aria-label^={name}]")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_edits_are_undone_to_the_start_and_done_again_to_the_end(editor, seed):
    dice = random.Random(seed)
    editor.set_number("sample", "steps", "19")  # from the first edit on there is an autosave
    editor.script("document.activeElement.blur()")
    editor.keys("control", "z")
    start = settled(editor)
    done = []
    while len(done) < 40:
        act(editor, dice)
        done.append(len(editor.all("[data-node]")))
    end = settled(editor)
    assert end != start and len(set(done)) > 1, "the edits did something"
    editor.script("document.activeElement.blur()")
    steps = 0
    while button(editor, "Undo").is_enabled():
        button(editor, "Undo").click()
        steps += 1
    assert steps >= 8
    editor.until(lambda: editor.document()["nodes"] == start["nodes"], "the nodes of the start")
    assert settled(editor) == start
    # What came after the last undo of the random edits is there to be done again.
    for _ in range(steps):
        button(editor, "Redo").click()
    assert settled(editor) == end
    # Tokens cannot be counted while a wire is cut: the browser tells the refusal, the editor shows no count.
    assert [said for said in editor.complaints() if "/api/tokens" not in said] == []
