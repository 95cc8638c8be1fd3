"""The product in 150 lines: read, plan, run, change one widget: only that part runs, and the save finds its file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest

from engine import places, workflow
from engine.errors import WeftError
from engine.events import AlreadySaved, StepStarted, happened, ran
from engine.graph import bind
from engine.node import Range, Unkeyed, node, spec_of
from engine.numerics import Numerics
from engine.packs import Pack
from engine.places import Places
from engine.records import Records
from engine.registry import make_registry
from engine.session import Session
from engine.sockets import socket
from tests.nodes.conftest import make_sd1


@socket()
@dataclass(frozen=True)
class Verse:
    """Some lines of text."""

    text: str


@node("verse.write")
def write(line: str = "the sea") -> Verse:
    """One line."""
    return Verse(line)


@node("verse.repeat")
def repeat(verse: Verse, times: Annotated[int, Range(1, 9)] = 2) -> Verse:
    """The same line again."""
    return Verse("\n".join([verse.text] * times))


@node("verse.count")
def count(verse: Verse) -> int:
    """How many lines."""
    return verse.text.count("\n") + 1


@node("verse.title")
def title(verse: Verse, lines: int) -> Verse:
    """A headline, and the verse."""
    return Verse(f"{lines} lines\n{verse.text}")


@node("verse.save", output="files", effect=True, lane="io")
def save(verse: Verse, name: Annotated[str, Unkeyed] = "verse") -> list[str]:
    """The verse as a file."""
    places.write_atomic(places.current().output / f"{name}.txt", verse.text.encode())
    return [f"{name}.txt"]


REGISTRY = make_registry(
    [
        Pack(
            "core",
            __name__,
            Path(__file__).parent,
            nodes=tuple(spec_of(function) for function in (write, repeat, count, title, save)),
            types=(vars(Verse)["__weft_type__"],),
        )
    ]
)

FILE = """{
  "weft": 1,
  "title": "A verse",
  "nodes": {
    "write": {"type": "verse.write", "version": 1, "inputs": {"line": "the sea"}},
    "repeat": {"type": "verse.repeat", "version": 1, "inputs": {"verse": {"from": "write"}, "times": 3}},
    "count": {"type": "verse.count", "version": 1, "inputs": {"verse": {"from": "repeat"}}},
    "title": {"type": "verse.title", "version": 1, "inputs": {"verse": {"from": "write"}, "lines": {"from": "count"}}},
    "save": {"type": "verse.save", "version": 1, "inputs": {"verse": {"from": "title"}}}
  },
  "parameters": {
    "line": {"to": ["write.line"]},
    "times": {"to": ["repeat.times"], "label": "How often"}
  },
  "outputs": {"verse": "title"}
}
"""


@pytest.fixture
def session(tmp_path: Path):
    home = Places(home=tmp_path / "weft")
    with Session(registry=REGISTRY, places=home, numerics=Numerics("cpu"), records=Records()) as made:
        yield made


def test_a_saved_workflow_is_read_planned_run_and_only_what_changed_runs_again(tmp_path, session):
    file = tmp_path / "verse.json"
    file.write_text(FILE)
    flow = workflow.read(file)
    assert workflow.dumps(flow) == FILE  # what is read is what is written

    graph = bind(flow, session.engine.registry)
    assert list(graph.steps) == ["write", "repeat", "count", "title", "save"]

    before = {row.path: row.status for row in session.plan(flow).steps}
    assert before == {"write": "run", "repeat": "run", "count": "run", "title": "maybe", "save": "maybe"}

    first = session.run(flow)
    assert first.state == "succeeded"
    assert first.ran == ["count", "repeat", "save", "title", "write"]
    assert first["verse"].text == "3 lines\nthe sea"
    assert Path(first.files[0]).read_text() == "3 lines\nthe sea"

    again = session.run(flow)
    assert again.ran == []  # nothing changed: nothing runs, and the save finds its file
    assert [e.path for e in again.events if isinstance(e, AlreadySaved)] == ["save"]
    assert again.files == first.files and again["verse"] is first["verse"]

    longer = session.run(flow, {"times": 4})
    assert longer.ran == ["count", "repeat", "save", "title"]  # the line was not written again
    assert next(e.why for e in longer.events if isinstance(e, StepStarted) and e.path == "repeat") == "times changed"

    other = session.run(flow, {"line": "the lake"})
    assert other.ran == ["count", "repeat", "save", "title", "write"]

    # As many lines of another verse: the count gives what it gave, so what only reads the count need not run.
    assert session.run(flow, {"line": "the lake", "times": 3}).ran == []

    with pytest.raises(WeftError) as wrong:
        session.run(flow, {"times": 10})
    assert wrong.value.code == "graph.value"
    assert str(wrong.value) == f"{file}:6:93 repeat.times: 'times' must be at most 9, got 10"
    assert happened(again.events)[-1] == "job_finished"


def test_a_prompt_becomes_a_picture_and_another_decoder_setting_denoises_nothing_again(tmp_path):
    make_sd1(tmp_path / "weft" / "models" / "checkpoints" / "tiny")
    boxes = {
        "load": {"type": "load.model", "inputs": {"model": "tiny"}},
        "prompt": {"type": "text.encode", "inputs": {"encoder": {"from": "load.text_encoder"}, "text": "a red cube"}},
        "canvas": {"type": "latent.empty", "inputs": {"model": {"from": "load.model"}, "width": 64, "height": 64}},
        "sample": {
            "type": "denoise.sample",
            "inputs": {
                "model": {"from": "load.model"},
                "positive": {"from": "prompt.conditioning"},
                "negative": {"from": "prompt.conditioning"},
                "latent": {"from": "canvas.latent"},
                "steps": 2,
                "seed": 7,
            },
        },
        "decode": {
            "type": "vae.decode",
            "inputs": {"vae": {"from": "load.vae"}, "latent": {"from": "sample.latent"}},
        },
        "save": {"type": "image.save", "inputs": {"image": {"from": "decode.image"}, "name": "tiny"}},
    }
    flow = workflow.from_json({"weft": 1, "nodes": boxes, "outputs": {"image": "save.image"}})
    with Session(places=Places(home=tmp_path / "weft"), numerics=Numerics("cpu"), records=Records()) as session:
        first = session.run(flow)
        assert (first.state, first.ran) == ("succeeded", ["canvas", "decode", "prompt", "sample", "save"])
        assert Path(first.files[0]).read_bytes().startswith(b"\x89PNG")
        assert tuple(first["image"].pixels.shape) == (1, 64, 64, 3)
        assert ran(session.run(flow).events) == []
        assert session.run(flow, {"sample.seed": 8}).ran == ["decode", "sample", "save"]
