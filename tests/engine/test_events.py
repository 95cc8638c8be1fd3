"""Events: one frozen dataclass per thing that can happen; the diary is the test."""

import dataclasses
import json

import pytest

from engine.errors import Problem
from engine.events import (
    KINDS,
    TERMINAL,
    Event,
    JobFinished,
    MemoryHeld,
    StepEvent,
    StepFailed,
    StepFinished,
    StepHit,
    StepPreview,
    StepProgress,
    StepStarted,
    happened,
    ran,
)

FILLED = {
    "path": "a",
    "seconds": 1.5,
    "id": "x.out",
    "problem": Problem("node.raised", "no luck"),
    "by": "b",
    "how": "evicted",
    "state": "succeeded",
    "done": 1,
    "total": 2,
    "picture": lambda: None,
    "hit": 0,
    "run": 1,
    "maybe": 0,
    "device": "cpu",
    "used": 1,
    "limit": 2,
    "peak": 1,
    "model": "VAE",
    "bytes": 1,
    "read": 1,
}


def make(kind):
    needed = [f.name for f in dataclasses.fields(kind) if f.default is f.default_factory is dataclasses.MISSING]
    return kind(job="j", **{name: FILLED[name] for name in needed})


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {StepEvent}, key=lambda k: k.__name__))
def test_every_event_is_frozen_and_plain_json(kind):
    event = make(kind)
    record = json.loads(json.dumps(event.to_json()))
    assert record["event"] == event.kind and record["job"] == "j" and "picture" not in record
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.job = "other"


def test_kinds_are_names_of_their_own():
    names = list(KINDS.values())
    assert len(set(names)) == len(names)
    assert KINDS[StepFinished] == "step_finished" and all(name == name.lower() for name in names)


def test_only_what_matters_now_is_volatile():
    assert {kind for kind in KINDS if not kind.durable} == {StepProgress, StepPreview, MemoryHeld}


def test_a_problem_in_an_event_has_the_one_json_shape():
    problem = Problem("node.raised", "no luck")
    assert StepFailed(path="a", problem=problem).to_json()["problem"] == problem.to_json()
    assert JobFinished(state="failed", problems=(problem,)).to_json()["problems"] == [problem.to_json()]


def test_ran_and_happened_are_canonical():
    events: list[Event] = [
        StepStarted(path="b"),
        StepProgress(path="b", done=1, total=2),
        StepStarted(path="a"),
        StepHit(path="c"),
        StepFinished(path="b", seconds=0.1),
        StepStarted(path="b"),
        JobFinished(state="succeeded"),
    ]
    assert ran(events) == ["a", "b"]
    assert happened(events[:2]) == ["step_started b"]
    assert happened(events)[-1] == "job_finished"


def test_no_terminal_state_is_left_again():
    assert set(TERMINAL) == {"partial", "succeeded", "failed", "cancelled"}
