"""Strings: text searched, replaced, cut and changed. All of it is known before Run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from engine.errors import refuse
from engine.node import Help, Multiline, Range, node

MAX_TEXT = 1_000_000
SECONDS = 1.0  # a pattern that takes longer than this runs away on its text
Text = Annotated[str, Multiline(prompt=True)]
Pattern = Annotated[str, Help("A regular expression, as Python has them.")]
T = TypeVar("T")


class Flags(NamedTuple):
    """How a pattern is read."""

    ignore_case: bool
    multiline: bool
    dotall: bool


def _searching(pattern: str, flags: Flags, search: Callable[[Any], T]) -> T:
    """What `search` finds with the compiled pattern; a bad one, or one that runs away, is refused."""
    import regex

    if len(pattern) > 2000:
        raise refuse("the pattern is longer than 2000 characters", socket="pattern")
    bits = [regex.IGNORECASE, regex.MULTILINE, regex.DOTALL]
    try:
        return search(regex.compile(pattern, sum(bit for bit, on in zip(bits, flags, strict=True) if on)))
    except regex.error as error:
        raise refuse(
            f"'{pattern[:60]}' is no pattern: {error}", socket="pattern", mend="escape ( [ . * with \\"
        ) from None
    except TimeoutError:
        raise refuse(
            f"the pattern takes more than {SECONDS:g} s on this text",
            socket="pattern",
            mend="avoid repeats within repeats, such as (a+)+",
        ) from None


def bounded(result: str) -> str:
    """The text, unless it has become too long."""
    if len(result) > MAX_TEXT:
        raise refuse(f"the text would have {len(result):,} characters, the limit is {MAX_TEXT:,}")
    return result


class Match(NamedTuple):
    """Whether it was found; the whole match, its first group, all matches."""

    found: bool
    text: str
    group: str
    all: list[str]


@node(
    "values.match",
    title="Match pattern",
    advanced=("multiline", "dotall"),
    light=True,
    aliases=["RegexMatch", "RegexExtract", "regex", "StringContains"],
)
def match(
    text: Text = "",
    pattern: Pattern = r"\d+",
    ignore_case: bool = False,
    multiline: Annotated[bool, Help("^ and $ mean every line.")] = False,
    dotall: Annotated[bool, Help("A dot is a line break too.")] = False,
) -> Match:
    """Look for a regular expression in a text. A pattern that takes more than a second is refused."""

    def search(compiled: Any) -> Match:
        hits = list(compiled.finditer(text, timeout=SECONDS))[:10_000]
        if not hits:
            return Match(False, "", "", [])
        group = hits[0].group(1) if compiled.groups else hits[0].group()
        return Match(True, hits[0].group(), group or "", [hit.group() for hit in hits])

    return _searching(pattern, Flags(ignore_case, multiline, dotall), search)


@node(
    "values.replace",
    title="Replace text",
    advanced=("ignore_case", "most"),
    output="text",
    light=True,
    aliases=["StringReplace", "RegexReplace", "find and replace"],
)
def replace(
    text: Text = "",
    find: Annotated[str, Help("What is looked for.")] = "",
    put: Annotated[str, Help("What stands there instead; with a pattern, \\1 is its first group.")] = "",
    pattern: Annotated[bool, Help("Take `find` as a regular expression.")] = False,
    ignore_case: bool = False,
    most: Annotated[int, Range(0, 10_000, 1), Help("At most so many times; 0 everywhere.")] = 0,
) -> str:
    """Replace text by text, or what a regular expression finds. A pattern that takes more than a second is refused."""
    import regex

    if not find:
        return text
    wanted = find if pattern else regex.escape(find)
    with_ = put if pattern else put.replace("\\", "\\\\")

    def change(compiled: Any) -> str:
        try:
            changed: str = compiled.sub(with_, text, count=most, timeout=SECONDS)
        except (IndexError, regex.error) as error:
            raise refuse(f"'{put[:60]}' cannot be put there: {error}", socket="put", mend="use \\1 .. \\9") from None
        return changed

    return bounded(_searching(wanted, Flags(ignore_case, True, False), change))


@node(
    "values.case",
    title="Change case",
    output="text",
    light=True,
    aliases=["CaseConverter", "StringTrim", "upper case", "lower case"],
)
def case(
    text: Text = "",
    to: Literal["as it is", "lower", "upper", "title", "sentence"] = "as it is",
    trim: Annotated[bool, Help("Take spaces and line breaks off both ends.")] = True,
) -> str:
    """Upper or lower case, and without spaces around it."""
    kept = text.strip() if trim else text
    if to == "sentence":
        return kept[:1].upper() + kept[1:].lower()
    changed = {"lower": kept.lower, "upper": kept.upper, "title": kept.title}
    return changed[to]() if to in changed else kept


@node("values.cut", title="Cut text", output="text", light=True, aliases=["StringSubstring", "Substring"])
def cut(
    text: Text = "",
    start: Annotated[int, Range(-MAX_TEXT, MAX_TEXT, 1), Help("From 0; negative counts from the end.")] = 0,
    length: Annotated[int, Range(0, MAX_TEXT, 1), Help("0 is up to the end.")] = 0,
) -> str:
    """A part of a text, counted in characters."""
    rest = text[start:]
    return rest[:length] if length else rest


@node(
    "values.split",
    title="Split text",
    output="parts",
    light=True,
    aliases=["StringSplit", "split text", "Text to list"],
)
def split(
    text: Text = "",
    separator: Annotated[str, Help("\\n is a line break.")] = ",",
    trim: Annotated[bool, Help("Take spaces off each part, and leave empty ones out.")] = True,
) -> list[str]:
    """A text as a list of its parts, for `map`."""
    mark = separator.replace("\\n", "\n").replace("\\t", "\t")
    parts = text.split(mark) if mark else list(text)
    return [part.strip() for part in parts if part.strip()] if trim else parts


class Length(NamedTuple):
    """Characters, words, lines."""

    characters: int
    words: int
    lines: int


@node("values.length", title="Text length", light=True, aliases=["StringLength", "count words"])
def length(text: Text = "") -> Length:
    """How long a text is."""
    return Length(len(text), len(text.split()), len(text.splitlines()))


@node(
    "values.compare",
    title="Compare",
    output="true",
    light=True,
    aliases=["StringCompare", "Compare", "is equal", "NumberComparison"],
)
def compare(
    first: str = "",
    second: str = "",
    how: Literal["equal", "not equal", "less", "greater", "starts with", "ends with", "contains"] = "equal",
    ignore_case: bool = False,
) -> bool:
    """Compare two texts, or two numbers written as text (less and greater, when both are numbers)."""
    a, b = (first.casefold(), second.casefold()) if ignore_case else (first, second)
    tests = {"starts with": a.startswith, "ends with": a.endswith}
    if how in tests:
        return tests[how](b)
    if how == "contains":
        return b in a
    try:
        order = (float(a) > float(b)) - (float(a) < float(b))
    except ValueError:
        order = (a > b) - (a < b)
    return {"equal": order == 0, "not equal": order != 0, "less": order < 0, "greater": order > 0}[how]
