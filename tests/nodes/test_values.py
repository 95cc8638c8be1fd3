import math

import pytest

from engine.errors import WeftError
from nodes import values


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("a + b * 2", 8),
        ("-a ** 2", -4),
        ("7 // a % 2", 1),
        ("max(a, b, 9)", 9),
        ("clamp(a * 100, 0, 64)", 64),
        ("a if a > b else b", 3),
        ("1 < a < b", 1),
        ("0 and b", 0),
        ("a and 0 or b", 3),
        ("not a", 0),
        ("round(pi, 2)", 3.14),
        ("round(2.5)", 2),
        ("floor(sqrt(b * 3.5)) + ceil(0.1)", 4),
    ],
)
def test_a_formula_means_what_it_says(expression, result):
    assert values.compute(expression, a=2, b=3).number == pytest.approx(result)


def test_a_formula_also_gives_a_whole_number():
    assert values.compute("a / 3", a=512).whole == 171


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('true')",
        "a.__class__",
        "(lambda: 1)()",
        "[a for a in (1, 2)]",
        "'x' * 9",
        "max(*a)",
        "open('x')",
        "a := 1",
        "print(a)",
        "a[0]",
        "1j",
        "f'{a}'",
    ],
)
def test_a_formula_runs_nothing_else(expression):
    with pytest.raises(WeftError) as caught:
        values.compute(expression, a=1)
    assert caught.value.code == "node.refused"


@pytest.mark.parametrize(
    "expression", ["9 ** 9 ** 9", "1 / 0", "sqrt(-1)", "c", "", "a +", "(" * 500, "-" * 999 + "1", "exp(999)"]
)
def test_a_formula_that_has_no_value_is_refused_in_one_line(expression):
    with pytest.raises(WeftError) as caught:
        values.compute(expression, a=1)
    assert caught.value.code == "node.refused"
    assert "\n" not in str(caught.value)


def test_a_long_formula_is_refused_before_it_is_read():
    with pytest.raises(WeftError, match="longer than"):
        values.compute("1+" * 10_000 + "1")


def test_values_are_put_into_text():
    text = values.format_text("a {colour} cube, {n:03} {{x}} {s:.2f} {whole}", colour="red", n=7, s=0.5, whole=7.0)
    assert text == "a red cube, 007 {x} 0.50 7"


@pytest.mark.parametrize(
    "template", ["{a.__class__}", "{a[0]}", "{a!r}", "{", "}", "{}", "{b}", "{a:>999999999}", "{a:zz}"]
)
def test_a_template_reaches_nothing_but_its_values(template):
    with pytest.raises(WeftError) as caught:
        values.format_text(template, a="x")
    assert caught.value.code == "node.refused"


def test_text_stays_bounded():
    with pytest.raises(WeftError, match="limit"):
        values.format_text("{a}" * 2000, a="x" * 1000)


def test_texts_are_joined_without_the_empty_ones():
    assert values.join("a red cube", " ", "on white") == "a red cube, on white"
    assert values.join("a", "b", separator="-") == "a-b"


def test_lists_for_map():
    assert values.lines(" a \n\n b\n") == ["a", "b"]
    assert values.number_range(0, 1, 5) == [0, 0.25, 0.5, 0.75, 1]
    assert values.number_range(3, 9, 1) == [3]
    assert values.seeds(2**64 - 4, 4)[-1] == 2**64 - 1
    with pytest.raises(WeftError):
        values.seeds(2**64 - 3, 4)


def test_plain_values_pass_through():
    assert values.whole_number(3) == 3
    assert values.number(math.pi) == math.pi
    assert values.text("x") == "x"
    assert values.truth(True) is True
    assert values.seed(2**64 - 1) == 2**64 - 1
