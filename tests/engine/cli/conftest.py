"""The command line, called as a function: in a home of its own, with a pack of small, light nodes."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine.cli import main

PACK = '''
"""Small nodes: words in the place of pictures."""
import time
from typing import Annotated, Literal, NamedTuple

from engine import places
from engine.errors import Problem, Where, refuse
from engine.node import File, Help, Model, Range, Seed, Unkeyed, node
from engine.run import Run
from nodes.naming import expand, write_new


@node("desk/word.say", light=True, aliases=["Speaker"])
def say(text: str = "a", times: Annotated[int, Range(1, 10)] = 1) -> str:
    """Says a word, several times."""
    return text * times


@node("desk/word.mark", lane="io")
def mark(text: str, seed: Seed = 0, strength: Annotated[float, Range(0, 1)] = 0.5,
         how: Literal["loud", "quiet"] = "loud", polite: bool = False) -> str:
    """A word with a mark."""
    if text == "bad":
        raise refuse("this word is not said", socket="text", mend="say another")
    if text == "crash":
        raise ZeroDivisionError("words cannot be divided")
    return f"{text}{'!' if how == 'loud' else '.'}{seed}"


@node("desk/word.slow", lane="io")
def slow(run: Run, text: str, steps: Annotated[int, Range(1, 10_000)] = 4, deaf: bool = False) -> str:
    """Takes its time."""
    for done in range(steps):
        time.sleep(0.05)
        if not deaf:
            run.progress(done + 1, steps)
    return text


class Written(NamedTuple):
    text: str
    files: list[str]


@node("desk/word.write", effect=True, lane="io")
def write(text: str, name: Annotated[str, Unkeyed] = "note") -> Written:
    """Writes a word into a file."""
    folder = places.current().output
    return Written(text, [write_new(folder, expand(name, {}), ".txt", text.encode())])


@node("desk/word.read", lane="io")
def read(name: Annotated[str, File("input")]) -> str:
    """Reads a word from a file."""
    return places.current().file("input", name).read_text()


@node("desk/word.model", light=True)
def model(name: Annotated[str, Model("loras")]) -> str:
    """Names a model."""
    return str(places.current().model("loras", name))


@node("desk/word.advise", light=True, lints="weft_loose_desk:advice")
def advise(text: str = "a") -> str:
    """Gives advice."""
    return text


def advice(text):
    yield Problem("lint.long", "this is a long word", Where(socket="text"), severity="lint")
'''


@dataclass
class Told:
    """What a command gave: its exit code, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `WEFT_HOME` with the pack `desk`; the current folder is an empty one."""
    folder = tmp_path / "home"
    (folder / "nodes").mkdir(parents=True)
    (folder / "nodes" / "desk.py").write_text(PACK, encoding="utf-8")
    desk = tmp_path / "desk"
    desk.mkdir()
    monkeypatch.setenv("WEFT_HOME", str(folder))
    monkeypatch.delenv("HF_HOME", raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(desk)
    return folder


@pytest.fixture
def weft(home: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Told]:
    """Carry out a command."""

    def call(*words: object) -> Told:
        capsys.readouterr()
        code = main([str(word) for word in words])
        told = capsys.readouterr()
        return Told(code, told.out, told.err)

    return call


def words(**more: Any) -> dict[str, Any]:
    """A workflow: a word is said, marked and written."""
    return {
        "weft": 1,
        "title": "Words",
        "nodes": {
            "say": {"type": "desk/word.say", "inputs": {"text": "hello"}},
            "mark": {"type": "desk/word.mark", "inputs": {"text": {"from": "say.out"}, "seed": 7}},
            "write": {"type": "desk/word.write", "inputs": {"text": {"from": "mark.out"}}},
        },
        "parameters": {
            "word": {"to": ["say.text"]},
            "seed": {"to": ["mark.seed"]},
            "strength": {"to": ["mark.strength"]},
            "how": {"to": ["mark.how"]},
            "polite": {"to": ["mark.polite"]},
        },
        "outputs": {"said": "mark.out"},
        **more,
    }


def put(record: Any, name: str = "words.json") -> str:
    """Write a workflow into the current folder; gives its name."""
    text = record if isinstance(record, str) else json.dumps(record, indent=1)
    Path(name).write_text(text, encoding="utf-8")
    return name


def changed(record: dict[str, Any], node: str, **inputs: Any) -> dict[str, Any]:
    """The workflow with other inputs of a node."""
    made = json.loads(json.dumps(record))
    made["nodes"][node]["inputs"].update(inputs)
    return made
