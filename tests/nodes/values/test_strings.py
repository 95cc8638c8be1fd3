import time

import pytest
from hypothesis import given
from hypothesis import strategies as some

from engine.errors import WeftError
from nodes.values import lists, strings


def test_a_pattern_finds_the_first_its_group_and_all():
    found = strings.match("seed 12, steps 30", r"(\d)\d")
    assert found == (True, "12", "1", ["12", "30"])
    assert strings.match("nothing", r"\d+") == (False, "", "", [])
    assert strings.match("A Cube", "cube", ignore_case=True).found
    assert not strings.match("A Cube", "cube").found
    assert strings.match("a\nb", "^b", multiline=True).found
    assert strings.match("a\nb", "a.b", dotall=True).found


def test_a_pattern_that_runs_away_is_stopped():
    started = time.thread_time()
    with pytest.raises(WeftError, match="takes more than 1 s"):
        strings.match("a" * 64 + "!", r"^(?:(a+)+|(a|aa)+)$")
    with pytest.raises(WeftError, match="takes more than 1 s"):
        strings.replace("a" * 64 + "!", r"^(?:(a+)+|(a|aa)+)$", "b", pattern=True)
    assert time.thread_time() - started < 10


def test_what_is_no_pattern_is_refused_on_its_socket():
    with pytest.raises(WeftError, match="is no pattern") as caught:
        strings.match("a", "(")
    assert caught.value.problem.where.socket == "pattern"
    with pytest.raises(WeftError, match="cannot be put there") as caught:
        strings.replace("a", "a", r"\7", pattern=True)
    assert caught.value.problem.where.socket == "put"


def test_text_is_replaced_as_it_stands_or_by_a_pattern():
    assert strings.replace("a (red) cube", "(red)", "[blue]") == "a [blue] cube"
    assert strings.replace("a.b.c", ".", "\\1") == "a\\1b\\1c"
    assert strings.replace("a1 b2", r"(\w)(\d)", r"\2\1", pattern=True) == "1a 2b"
    assert strings.replace("x x x", "x", "y", most=2) == "y y x"
    assert strings.replace("Red red", "RED", "blue", ignore_case=True) == "blue blue"
    assert strings.replace("as it is", "", "x") == "as it is"


@given(some.text(max_size=60), some.text(min_size=1, max_size=5), some.text(max_size=5))
def test_replacing_plain_text_is_pythons(text, find, put):
    assert strings.replace(text, find, put) == text.replace(find, put)


@pytest.mark.parametrize(
    ("to", "made"),
    [
        ("as it is", "a Red cube"),
        ("lower", "a red cube"),
        ("upper", "A RED CUBE"),
        ("title", "A Red Cube"),
        ("sentence", "A red cube"),
    ],
)
def test_case_is_changed_and_spaces_are_taken_off(to, made):
    assert strings.case("  a Red cube\n", to) == made
    assert strings.case(" a ", "upper", trim=False) == " A "


def test_text_is_cut_split_and_measured():
    assert strings.cut("abcdef", 2, 3) == "cde"
    assert strings.cut("abcdef", -2) == "ef"
    assert strings.split("a, b,, c") == ["a", "b", "c"]
    assert strings.split("a\nb", "\\n", trim=False) == ["a", "b"]
    assert strings.split("a,,b", ",", trim=False) == ["a", "", "b"]
    assert strings.length("a red\ncube") == (10, 3, 2)


@pytest.mark.parametrize(
    ("first", "second", "how", "true"),
    [
        ("a", "a", "equal", True),
        ("a", "A", "equal", False),
        ("10", "9", "greater", True),
        ("10", "9.0", "less", False),
        ("b", "a", "greater", True),
        ("1.0", "1", "equal", True),
        ("cube", "cu", "starts with", True),
        ("cube", "be", "ends with", True),
        ("cube", "ub", "contains", True),
        ("cube", "x", "not equal", True),
    ],
)
def test_texts_and_numbers_are_compared(first, second, how, true):
    assert strings.compare(first, second, how) is true


def test_comparing_may_ignore_case():
    assert strings.compare("Cube", "cUBE", ignore_case=True)


# --- lists -----------------------------------------------------------------------------------------------------------


def test_lists_are_made_joined_picked_and_cut():
    assert lists.make(1, 2, 3) == [1, 2, 3]
    assert lists.join([1], [2, 3]) == [1, 2, 3]
    assert lists.pick([1, 2, 3], -1) == 3
    assert lists.pick([1, 2, 3], 7, around=True) == 2
    assert lists.part([0, 1, 2, 3, 4], 1, 2, 2) == [1, 3]
    assert lists.part([0, 1, 2], -2) == [1, 2]
    assert lists.count([5, 6]) == 2
    assert lists.repeat("a", 3) == ["a"] * 3
    for bad, what in (([], "is empty"), ([1], "no item 3")):
        with pytest.raises(WeftError, match=what):
            lists.pick(bad, 3)
    with pytest.raises(WeftError, match="the limit is"):
        lists.join([0] * 9_999, [1, 2])


@given(some.lists(some.integers(), max_size=30), some.integers(0, 2**64 - 1))
def test_shuffling_keeps_every_item_and_follows_the_seed(items, seed):
    mixed = lists.order(items, "shuffle", seed)
    assert sorted(mixed) == sorted(items)
    assert lists.order(items, "shuffle", seed) == mixed
    assert lists.order(items) == items[::-1]


@given(some.integers(0, 2**64 - 1), some.integers(-100, 100), some.integers(0, 100))
def test_a_random_number_lies_between_its_ends(seed, low, span):
    assert low <= lists.draw(seed, low, low + span) <= low + span
    whole = lists.draw(seed, low, low + span, whole=True)
    assert whole == round(whole)
    assert low <= whole <= low + span
    assert lists.draw(seed, low, low + span) == lists.draw(seed, low, low + span)
