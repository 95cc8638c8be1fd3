"""Commands: what the command line costs before anything is computed, in a process of its own each time."""

from __future__ import annotations

import sys

from bench.measure import Row, Sample
from bench.starter import FILE, NoStarter, folder, spent

TARGET = 0.5


def rows(times: int = 5) -> list[Row]:
    """CPU seconds of `weft --help`, `nodes`, `check` and `plan`, beside a Python that does nothing."""
    asked = {"--help": ["--help"], "nodes": ["nodes"], "check": ["check", str(FILE)], "plan": ["plan", str(FILE)]}
    try:
        folder()
    except NoStarter:
        asked.pop("plan")  # a plan without its model is an error
    bare = Sample(tuple(spent([sys.executable, "-c", "pass"])[1] for _ in range(times)))
    found = []
    for name, arguments in asked.items():
        command = [sys.executable, "-m", "engine.cli", *arguments]
        spent(command)  # byte code is written once
        runs = Sample(tuple(spent(command)[1] for _ in range(times)))
        note = f"a Python that does nothing: {bare.median:.3f} s"
        found.append(Row("cli", f"weft {name}, CPU", runs.median, "s", TARGET, "target", runs.best, note))
    return found
