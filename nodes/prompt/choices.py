r"""Choices: `{a|b}` and `__wildcard__` in a prompt, settled by a seed before anything else looks at the text.

    {red|blue} cube            one of the two
    {3::red|1::blue}           red three times as often
    {2$$red|blue|green}        two different ones, with ", " between them; {1-2$$ and $$a|b|c}: one or two, " and "
    __animal__                 a line of `wildcards/animal.txt`; __animals/*__ of any file in that folder

Choices may stand in choices and in lines of files. `\{` is a brace. The n-th choice of a text depends on the seed and
on n alone, so that a change behind it leaves it as it was.
"""

from __future__ import annotations

import fnmatch
import hashlib
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import did_you_mean, fail, refuse
from engine.places import Places, file_id
from nodes.prompt.parse import SPECIAL, uncommented

MAX_DEPTH = 32
MAX_LENGTH = 200_000
MAX_WAYS = 100_001  # of one choice, in an enumeration
MAX_FILE = 16 * 2**20
_WILDCARD = re.compile(r"__([\w*?\-][\w*?\-./ ]*?)__")
_MANY = re.compile(r"(\d+)(?:-(\d+))?\$\$")
_ODDS = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)::")


@dataclass(frozen=True)
class Choice:
    """Some of several texts: each with its odds, how many at least and at most, what stands between them."""

    options: tuple[tuple[float, Text], ...]
    least: int = 1
    most: int = 1
    between: str = ", "


@dataclass(frozen=True)
class Wildcard:
    """A line of a file."""

    name: str


Text = tuple["str | Choice | Wildcard", ...]


def has_choices(text: str) -> bool:
    """Is there a choice between several texts, or a wildcard, in a text?"""
    return any(not isinstance(part, str) for part in read(text))


def resolve(text: str, seed: int, places: Places) -> str:
    """The text with every choice made; raises `media.missing` for a wildcard that has no file."""
    return _Drawing(seed, Files(places)).settle(read(text), 0)


def combinations(text: str, places: Places, most: int) -> list[str]:
    """Every text that the choices allow, in the order in which they are written, without doubles; at most `most`."""
    found = list(itertools.islice(_unique(_all(read(text), Files(places), 0)), most + 1))
    if len(found) > most:
        raise refuse(
            f"there are more than {most:,} combinations",
            socket="text",
            mend="write fewer choices, raise 'most', or draw some with prompt.resolve and different seeds",
        )
    return found


# --- reading ---------------------------------------------------------------------------------------------------------


def read(text: str) -> Text:
    """A text as words, choices and wildcards. Never fails: braces that do not belong together are themselves."""
    text = uncommented(text)
    if "{" not in text and "__" not in text:
        return (text,) if text else ()
    return _read(text, _braces(text), 0, len(text), 0)


def _braces(text: str) -> dict[int, int]:
    """Where each brace that is closed closes."""
    found: dict[int, int] = {}
    waiting: list[int] = []
    index = 0
    while index < len(text):
        if _escapes(text, index):
            index += 2
            continue
        if text[index] == "{":
            waiting.append(index)
        elif text[index] == "}" and waiting:
            found[waiting.pop()] = index
        index += 1
    return found


def _escapes(text: str, index: int) -> bool:
    return text[index] == "\\" and index + 1 < len(text) and text[index + 1] in SPECIAL


def _read(text: str, braces: dict[int, int], start: int, end: int, depth: int) -> Text:
    found: list[str | Choice | Wildcard] = []
    at = index = start

    def words(upto: int) -> None:
        if upto > at:
            found.append(text[at:upto])

    while index < end:
        if _escapes(text, index):
            index += 2
            continue
        close = braces.get(index, end)
        if text[index] == "{" and close < end and depth < MAX_DEPTH:
            words(index)
            found.append(_choice(text, braces, index + 1, close, depth + 1))
            at = index = close + 1
            continue
        wildcard = _WILDCARD.match(text, index, end) if text.startswith("__", index) else None
        if wildcard is not None:
            words(index)
            found.append(Wildcard(wildcard[1].strip()))
            at = index = wildcard.end()
            continue
        index += 1
    words(end)
    return tuple(found)


def _choice(text: str, braces: dict[int, int], start: int, end: int, depth: int) -> Choice:
    least = most = 1
    between = ", "
    many = _MANY.match(text, start, end)
    if many is not None:
        start = many.end()
        least, most = int(many[1]), int(many[2] or many[1])
        separator = text.find("$$", start, end)
        if separator >= 0 and "|" not in text[start:separator] and "{" not in text[start:separator]:
            between, start = text[start:separator], separator + 2
    options = []
    at = index = start
    while index <= end:
        if index == end or text[index] == "|":
            odds = _ODDS.match(text, at, index)
            body = _read(text, braces, odds.end() if odds else at, index, depth)
            options.append((float(odds[1]) if odds else 1.0, body))
            at = index + 1
        if index < end and _escapes(text, index):
            index += 2
            continue
        index = braces[index] + 1 if index < end and text[index] == "{" and braces.get(index, end) < end else index + 1
    return Choice(tuple(options), min(least, most), max(least, most), between)


# --- files -----------------------------------------------------------------------------------------------------------


@dataclass
class Files:
    """The wildcard files in reach: `WEFT_HOME/wildcards`, and `wildcards` in every model tree."""

    places: Places
    _names: dict[str, Path] | None = field(default=None, repr=False)

    @property
    def names(self) -> dict[str, Path]:
        """Every wildcard's name (a path below its folder, `/` on every system) with its file."""
        if self._names is None:
            self._names = {}
            for base in [self.places.home / "wildcards", *(root / "wildcards" for root in self.places.roots())]:
                for path in sorted(base.rglob("*.txt")) if base.is_dir() else ():
                    self._names.setdefault(path.relative_to(base).with_suffix("").as_posix(), path)
        return self._names

    def find(self, name: str) -> list[Path]:
        """The files that a name or pattern means; `media.missing` where there is none."""
        wanted = name.removesuffix(".txt")
        if any(sign in wanted for sign in "*?"):
            found = [path for known, path in self.names.items() if fnmatch.fnmatchcase(known, wanted)]
        else:
            found = [path for known, path in self.names.items() if known == wanted]
        if not found:
            shown = ", ".join(list(self.names)[:8]) or "none there yet"
            raise fail(
                "media.missing",
                f"there is no wildcard '{wanted}'.{did_you_mean(wanted, list(self.names))}",
                socket="text",
                mend=f"put {wanted}.txt, one choice a line, in {self.places.home / 'wildcards'}; known are: {shown}",
            )
        return found

    def lines(self, name: str) -> list[str]:
        """The lines of a wildcard: without the empty ones, and those that begin with `#`."""
        found: list[str] = []
        for path in self.find(name):
            if path.stat().st_size > MAX_FILE:
                raise refuse(f"the wildcard file {path.name} is larger than 16 MB", socket="text", mend="split it")
            text = path.read_text(encoding="utf-8-sig", errors="replace")
            found += [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        if not found:
            raise refuse(f"the wildcard '{name}' has no lines", socket="text", mend="write one choice on each line")
        return found

    def ids(self, text: str) -> list[tuple[str, str]]:
        """The ids of all files that a text may read, those that its lines name included."""
        waiting, seen, found = _wildcards(read(text)), set[str](), []
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            found += [(name, file_id(path)) for path in self.find(name)]
            for line in self.lines(name):
                waiting += _wildcards(read(line))
        return sorted(found)


def _wildcards(text: Text) -> list[str]:
    found: list[str] = []
    for part in text:
        if isinstance(part, Wildcard):
            found.append(part.name)
        elif isinstance(part, Choice):
            for _, option in part.options:
                found += _wildcards(option)
    return found


# --- drawing ---------------------------------------------------------------------------------------------------------


@dataclass
class _Drawing:
    seed: int
    files: Files
    drawn: int = 0
    length: int = 0

    def settle(self, text: Text, depth: int) -> str:
        """The words of a text."""
        return "".join(self._part(part, depth) for part in text)

    def _part(self, part: str | Choice | Wildcard, depth: int) -> str:
        if isinstance(part, str):
            self.length += len(part)
            if self.length > MAX_LENGTH:
                raise refuse("the choices make a prompt of more than 200,000 signs", socket="text")
            return part
        if depth > MAX_DEPTH:
            raise _circle(part)
        if isinstance(part, Wildcard):
            lines = self.files.lines(part.name)
            return self.settle(read(lines[self._pick([1.0] * len(lines))]), depth + 1)
        left = list(part.options)
        count = min(part.least + self._below(part.most - part.least + 1), len(left))
        chosen = [left.pop(self._pick([odds for odds, _ in left]))[1] for _ in range(count)]
        return part.between.join(self.settle(option, depth + 1) for option in chosen)

    def _number(self) -> int:
        """64 bits: the n-th number of a seed, the same on every machine and in every version of Python."""
        self.drawn += 1
        text = f"weft choice {self.seed} {self.drawn}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")

    def _below(self, limit: int) -> int:
        return self._number() % limit if limit > 1 else 0

    def _pick(self, odds: Sequence[float]) -> int:
        total = sum(odds)
        if total <= 0:
            odds, total = [1.0] * len(odds), float(len(odds))
        at, passed = self._number() / 2**64 * total, 0.0
        for index, share in enumerate(odds):
            passed += share
            if at < passed:
                return index
        return len(odds) - 1


def _circle(part: Choice | Wildcard) -> Exception:
    name = f"the wildcard '{part.name}'" if isinstance(part, Wildcard) else "a choice"
    return refuse(f"{name} comes back to itself more than {MAX_DEPTH} times", socket="text", mend="take the circle out")


def _all(text: Text, files: Files, depth: int) -> Iterator[str]:
    """Every way to settle a text, the last choice turning first."""
    ways = [list(itertools.islice(_ways(part, files, depth), MAX_WAYS)) for part in text]
    return map("".join, itertools.product(*ways))


def _ways(part: str | Choice | Wildcard, files: Files, depth: int) -> Iterator[str]:
    if isinstance(part, str):
        yield part
        return
    if depth > MAX_DEPTH:
        raise _circle(part)
    if isinstance(part, Wildcard):
        for line in files.lines(part.name):
            yield from _all(read(line), files, depth + 1)
        return
    options = [option for _, option in part.options]
    for count in range(min(part.least, len(options)), min(part.most, len(options)) + 1):
        for chosen in itertools.permutations(options, count):
            for words in itertools.product(*(list(_all(option, files, depth + 1)) for option in chosen)):
                yield part.between.join(words)


def _unique(texts: Iterator[str]) -> Iterator[str]:
    seen: set[str] = set()
    for text in texts:
        if text not in seen:
            seen.add(text)
            yield text
