"""What is shown while a job runs: bars on a terminal that can, lines elsewhere, nothing that a console cannot show."""

import io
import sys
from types import SimpleNamespace

import pytest

from engine.cli import console, follow
from engine.errors import Problem
from engine.events import (
    Planned,
    StepBlocked,
    StepFailed,
    StepFinished,
    StepHit,
    StepProgress,
    StepStarted,
    WeightsComing,
    WeightsNear,
)

JOB = SimpleNamespace(graph=SimpleNamespace(steps={"sample": None, "decode": None}))


class Terminal(io.StringIO):
    """A terminal of 80 columns."""

    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__()
        self.kind = encoding

    @property
    def encoding(self) -> str:
        return self.kind

    def isatty(self) -> bool:
        return True


@pytest.fixture
def screen(monkeypatch):
    def make(encoding: str = "utf-8") -> Terminal:
        made = Terminal(encoding)
        monkeypatch.setattr(sys, "stderr", made)
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.delenv("NO_COLOR", raising=False)
        return made

    return make


def shown(text: str) -> list[str]:
    """What is on the screen in the end: cursor movements carried out, colours left out."""
    lines: list[str] = []
    for part in text.replace("\x1b[J", "").split("\n"):
        while part.startswith("\x1b[") and "A" in part[:6]:
            count, _, part = part[2:].partition("A")
            del lines[len(lines) - int(count) :]
        lines.append(part)
    return [line for line in lines if line.strip()]


def test_a_bar_for_what_runs_and_a_line_for_what_has_run(screen):
    terminal = screen()
    view = follow.display(brief=False)
    assert isinstance(view, follow.Live)
    view.begin(JOB, "")
    view.tell(StepStarted(path="sample", why="seed changed", steps=20))
    view.tell(StepProgress(path="sample", done=5, total=20, left=3.0))
    view.tick()
    assert shown(terminal.getvalue())[-1].startswith("  sample  ██████░░░░░░░░░░░░░░░░░░  5/20  3.0 s left")
    view.tell(StepFinished(path="sample", seconds=4.0))
    view.end()
    assert shown(terminal.getvalue()) == ["  sample  4.0 s     seed changed"]


def test_a_resumed_step_begins_where_it_was_left(screen):
    screen()
    view = follow.Plain()
    view.tell(StepStarted(path="sample", why="steps changed", resumed=14, steps=20))
    line = view.line(StepFinished(path="sample", seconds=1.0))
    assert line is not None and line.endswith("steps changed; went on after step 14 of 20")


def test_weights_that_were_read_ahead_are_told_once_they_are_there(screen):
    screen()
    view = follow.Plain()
    assert view.line(WeightsComing(path="decode", model="VAE", bytes=10**9)) is None
    line = view.line(WeightsNear(path="decode", model="VAE", read=10**9, seconds=2.0))
    assert line is not None and line.split() == "decode read 1.0 GB in 2.0 s, ahead of its turn".split()
    stopped = WeightsNear(path="decode", model="VAE", read=5, seconds=2.0, stopped="nobody needs it any more")
    assert view.line(stopped) is None


def test_a_terminal_without_blocks_gets_signs_that_it_has(screen):
    terminal = screen("cp437-of-old")
    view = follow.display(brief=False)
    view.begin(JOB, "")
    view.tell(StepStarted(path="sample"))
    view.tell(StepProgress(path="sample", done=10, total=20))
    view.tick()
    bar = shown(terminal.getvalue())[-1]
    assert "############------------  10/20" in bar
    bar.encode("ascii")


def test_a_line_is_never_wider_than_the_terminal(screen):
    terminal = screen()
    view = follow.display(brief=False)
    view.begin(JOB, "")
    for path in ("x" * 200, "球" * 60):
        view.tell(StepStarted(path=path))
        view.tell(StepProgress(path=path, done=1, total=2, text="y" * 200))
    view.tick()
    assert len(shown(terminal.getvalue())) == 2
    assert all(console.columns(line) < 80 for line in shown(terminal.getvalue()))


def test_lines_where_there_is_no_terminal(capsys):
    view = follow.display(brief=False)
    assert type(view) is follow.Plain
    view.begin(JOB, "Words")
    view.tell(Planned(hit=1, run=2, maybe=1, seconds=3.0))
    view.tell(StepHit(path="sample", tier="host"))
    view.tell(StepFailed(path="decode", problem=Problem("node.refused", "too\nlarge")))
    view.tell(StepBlocked(path="save", by="decode"))
    assert capsys.readouterr().err.splitlines() == [
        "Words",
        "  2 steps to run, 1 known, 1 to be seen, about 3.0 s",
        "  sample  cached    in the host's memory",
        "  decode  failed    too large",
        "  save    not run   because decode failed",
    ]


def test_of_many_runs_only_what_went_wrong_is_told_by_step(capsys):
    view = follow.display(brief=True)
    view.tell(StepHit(path="sample"))
    view.tell(StepFailed(path="decode", problem=Problem("node.refused", "too large")))
    assert capsys.readouterr().err == "  decode  failed    too large\n"


def test_colours_are_left_out_where_they_are_not_wanted(screen, monkeypatch):
    terminal = screen()
    assert console.style("x", "red", terminal) == "\x1b[31mx\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert console.style("x", "red", terminal) == "x"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert console.style("x", "red", terminal) == "x"
    assert console.style("x", "red", io.StringIO()) == "x"


def test_nothing_printed_can_move_the_cursor(capsys):
    console.problems([Problem("node.refused", "a\x1b[2Jb\r\nc")])
    assert capsys.readouterr().err == "error: a [2Jb c\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.0, "0.00 s"),
        (0.349, "0.35 s"),
        (9.9, "9.9 s"),
        (12, "12 s"),
        (59.9, "1:00 min"),
        (200, "3:20 min"),
        (3900, "1:05 h"),
    ],
)
def test_seconds_in_words(seconds, text):
    assert console.seconds(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 bytes"), (999, "999 bytes"), (17_400_000, "17.4 MB"), (10**13, "10.0 TB")]
)
def test_sizes_in_words(count, text):
    assert console.size(count) == text


def test_a_table_is_aligned_by_what_is_seen():
    assert console.table([["球", "a"], ["xxx", "b"]]) == "球   a\nxxx  b"


def test_what_is_piped_is_whole(capsys):
    assert console.cut("x" * 500) == "x" * 500
    assert console.table([["x" * 500]]) == "x" * 500


def test_a_table_wraps_its_last_column_under_itself(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    text = console.table([["a", "one two three four five six seven eight"], ["bb", "x"]], last="wrap")
    assert text == "a   one two three four five six seven\n    eight\nbb  x"
