"""An engine for each test: the toys as its nodes, records in memory, folders of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.memory import Memory
from engine.numerics import Numerics
from engine.places import Places
from engine.records import Records
from engine.session import Session
from tests.engine import fakes, toys

MB = 2**20
PINNED = Numerics("cpu", "", "float32", threads=1, libraries=(("torch", "0"),))


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    toys.COUNT.clear()
    toys.STAMP["now"] = 0
    fakes.GATES.clear()
    yield
    for one in fakes.GATES.values():
        one.open.set()


@pytest.fixture(scope="session")
def registry():
    return toys.registry()


@pytest.fixture
def home(tmp_path: Path) -> Places:
    return Places(home=tmp_path / "weft")


@pytest.fixture
def make_session(registry, home) -> Iterator[Any]:
    made: list[Session] = []

    def make(limit: int = 64 * MB, **more: Any) -> Session:
        settings = {
            "registry": registry,
            "places": home,
            "numerics": PINNED,
            "memory": Memory({"cpu": limit}),
            "records": Records(),
            **more,
        }
        made.append(Session(**settings))
        return made[-1]

    yield make
    for one in fakes.GATES.values():
        one.open.set()
    for session in made:
        session.close()


@pytest.fixture
def session(make_session) -> Session:
    return make_session()
