"""Follow: a job's events as a person sees them – live bars on a terminal, plain lines anywhere else.

Everything here goes to stderr. The first Ctrl-C cancels the job at its next step, the second leaves at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING

from engine.cli import console
from engine.events import (
    AlreadySaved,
    Event,
    JobFinished,
    JobStarted,
    Linted,
    Planned,
    StepBlocked,
    StepCancelled,
    StepFailed,
    StepFinished,
    StepHit,
    StepProgress,
    StepRetried,
    StepShown,
    StepStarted,
    WeightsNear,
)

if TYPE_CHECKING:
    from engine.session import Job

TICK = 0.1
BAR = 24
NAME = 32
SPIN = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


# --- displays ------------------------------------------------------------------------------------------------------


class Silent:
    """Shows nothing; the base of the others."""

    def begin(self, job: Job, title: str) -> None:
        """A job begins."""

    def tell(self, event: Event) -> None:
        """Something happened."""

    def tick(self) -> None:
        """Some time went by."""

    def note(self, text: str) -> None:
        """A line that is no event."""
        console.err(text)

    def end(self) -> None:
        """No more events: leave the screen as it was found."""


class Lines(Silent):
    """The events as JSON lines on stdout."""

    def __init__(self) -> None:
        self.row = 0

    def begin(self, job: Job, title: str) -> None:
        """Count the runs."""
        self.row += 1

    def tell(self, event: Event) -> None:
        """One event, one line."""
        console.out(json.dumps({**event.to_json(), "run": self.row}, ensure_ascii=False, default=str))


@dataclass
class Plain(Silent):
    """One line for every step that is done, with why it ran."""

    brief: bool = False  # of many runs only what went wrong is told, step by step
    names: int = 0
    why: dict[str, str] = field(default_factory=dict)

    def begin(self, job: Job, title: str) -> None:
        """Say what begins."""
        self.names = min(NAME, max((len(path) for path in job.graph.steps), default=0))
        self.why.clear()
        if title:
            self.note(console.style(title, "bold", sys.stderr))

    def tell(self, event: Event) -> None:
        """The line of an event, if it has one."""
        if isinstance(event, StepStarted):
            self.why[event.path] = _reason(event)
        line = self.line(event)
        if line is not None and (not self.brief or isinstance(event, StepFailed | StepRetried)):
            self.note(line)

    def line(self, event: Event) -> str | None:
        """What a person is told of an event."""
        match event:
            case JobStarted(drawn=drawn) if drawn:
                return "  " + ", ".join(f"{name} drawn: {seed}" for name, seed in drawn.items())
            case Planned():
                left = f", about {console.seconds(event.seconds)}" if event.seconds and event.run else ""
                maybe = f", {event.maybe} to be seen" if event.maybe else ""
                return f"  {console.plural(event.run, 'step')} to run, {event.hit} known{maybe}{left}"
            case StepHit(shared=True):
                return self._row(event.path, "shared", "another run computed it")
            case StepHit(tier=tier):
                return self._row(event.path, "cached", f"in the {tier}'s memory" if tier != "disk" else "on disk")
            case StepFinished():
                same = "; the same result as before" if event.cut_off else ""
                return self._row(event.path, console.seconds(event.seconds), self.why.get(event.path, "") + same)
            case AlreadySaved():
                return self._row(event.path, "there", "already saved, nothing changed")
            case StepFailed():
                return self._row(event.path, "failed", event.problem.message, "red")
            case StepBlocked():
                return self._row(event.path, "not run", f"because {event.by} failed", "yellow")
            case StepCancelled():
                return self._row(event.path, "stopped", "")
            case StepRetried():
                return self._row(event.path, "retried", f"{event.because}; {event.how}", "yellow")
            case WeightsNear(stopped="") if event.read:
                took = f"{console.size(event.read)} in {console.seconds(event.seconds)}, ahead of its turn"
                return self._row(event.path, "read", took)
            case StepShown():
                return self._row(event.path, "shows", event.summary)
            case Linted():
                return self._row(event.path, "note", event.problem.message, "yellow")
        return None

    def _row(self, path: str, state: str, why: str, colour: str = "") -> str:
        word = console.style(f"{state:<8}", colour, sys.stderr) if colour else f"{state:<8}"
        return f"  {console.one_line(path):<{self.names}}  {word}  {console.one_line(why)}".rstrip()


@dataclass
class Live(Plain):
    """The same lines, and below them a bar for every step that is running."""

    running: dict[str, float] = field(default_factory=dict)
    progress: dict[str, tuple[StepProgress, float]] = field(default_factory=dict)
    drawn: int = 0
    unicode: bool = True

    def __post_init__(self) -> None:
        self.unicode = console.drawable("█░" + SPIN, sys.stderr)

    def tell(self, event: Event) -> None:
        """Keep what is running, then the line as ever."""
        now = time.monotonic()
        if isinstance(event, StepStarted):
            self.running[event.path] = now
        elif isinstance(event, StepProgress):
            self.progress[event.path] = (event, now)
        elif isinstance(event, StepFinished | StepFailed | StepCancelled):
            self.running.pop(event.path, None)
            self.progress.pop(event.path, None)
        elif isinstance(event, JobFinished):
            self.running.clear()
        super().tell(event)
        if not isinstance(event, StepProgress):
            self.tick()

    def note(self, text: str) -> None:
        """A line above the bars."""
        self._clear()
        console.err(text)

    def tick(self) -> None:
        """Draw the bars anew."""
        room = console.width() - 1
        bars = [self._bar(path, since) for path, since in list(self.running.items())[:8]]
        lines = [console.cut(bar, room) if self.unicode else bar[:room] for bar in bars]
        self._clear()
        if lines:
            sys.stderr.write("\n".join(lines) + "\n")
            sys.stderr.flush()
        self.drawn = len(lines)

    def end(self) -> None:
        """Take the bars away."""
        self.running.clear()
        self._clear()

    def _clear(self) -> None:
        if self.drawn:
            sys.stderr.write(f"\x1b[{self.drawn}A\x1b[J")
            sys.stderr.flush()
            self.drawn = 0

    def _bar(self, path: str, since: float) -> str:
        now = time.monotonic()
        name = f"  {console.one_line(path):<{self.names}}"
        known = self.progress.get(path)
        if known is None or known[0].total <= 0:
            spin = SPIN[int(now * 10) % len(SPIN)] if self.unicode else r"-\|/"[int(now * 5) % 4]
            return f"{name}  {spin} {console.seconds(now - since)}"
        event, told = known
        full = min(BAR, round(BAR * event.done / event.total))
        bar = "█" * full + "░" * (BAR - full) if self.unicode else "#" * full + "-" * (BAR - full)
        left = f"{console.seconds(max(0.0, event.left - (now - told)))} left" if event.left is not None else ""
        return f"{name}  {bar}  {event.done}/{event.total}  {left}  {console.one_line(event.text)}".rstrip()


def _reason(event: StepStarted) -> str:
    if event.resumed:
        return f"{event.why}; went on after step {event.resumed} of {event.steps}"
    return event.why


def display(*, brief: bool) -> Plain:
    """Bars where stderr is a terminal, lines where it is not."""
    return Live(brief) if console.live(sys.stderr) else Plain(brief)


# --- following -----------------------------------------------------------------------------------------------------


@dataclass
class Stop:
    """Has the user asked to stop? Ctrl-C (or SIGTERM) cancels the running job, a second one leaves at once."""

    asked: bool = False
    job: Job | None = None
    screen: Silent = field(default_factory=Silent)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        if self.asked:
            self.screen.end()
            os._exit(130)
        self.asked = True
        if self.job is not None:
            self.job.cancel()
        self.screen.note("stopping after the current step; Ctrl-C again leaves at once")


@contextlib.contextmanager
def stoppable(screen: Silent) -> Iterator[Stop]:
    """Within the block Ctrl-C cancels instead of raising."""
    stop = Stop(screen=screen)
    if threading.current_thread() is not threading.main_thread():  # called as a function: the caller has the signals
        yield stop
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def follow(job: Job, screen: Silent, stop: Stop) -> None:
    """Show a job until it has ended. Never waits for long at a time, so that Ctrl-C is heard on Windows too."""
    inbox: queue.Queue[Event] = queue.Queue()

    def pump() -> None:
        for event in job.events():
            inbox.put(event)

    threading.Thread(target=pump, name="weft follow", daemon=True).start()
    stop.job = job
    if stop.asked:
        job.cancel()
    while True:
        try:
            event = inbox.get(timeout=TICK)
        except queue.Empty:
            screen.tick()
            continue
        screen.tell(event)
        if isinstance(event, JobFinished):
            stop.job = None
            return
