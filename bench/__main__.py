"""The command: `python -m bench [GROUP ...] [--json FILE] [--quick] [--model NAME]`."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# One thread: the CPU seconds of waiting threads would be noise. Set before anything loads torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from bench import ahead, commands, editing, loading, overlap, planning, quality, reuse, running, serving, starter
from bench.measure import Row

RESULTS = Path(__file__).parent / "results"


def groups(quick: bool, model: str) -> dict[str, Callable[[], list[Row]]]:
    """What can be measured; `quick` takes fewer repetitions and the same sizes."""
    few = {"times": 5} if quick else {}
    return {
        "plan": lambda: planning.rows(**few),
        "run": lambda: running.rows(**few),
        "cli": lambda: commands.rows(**({"times": 2} if quick else {})),
        "starter": lambda: starter.rows(model, **({"pairs": 6} if quick else {})),
        "serve": lambda: serving.rows(model, **few),
        "reuse": lambda: reuse.rows(model),
        "overlap": lambda: overlap.rows(model),
        "ahead": lambda: ahead.rows(**({"times": 1} if quick else {})),
        "editing": lambda: editing.rows(),
        "load": lambda: loading.rows(**({"times": 1} if quick else {})),
        "quality": lambda: quality.rows(quality.measure(model, 8 if quick else 24)),
    }


def machine() -> dict[str, Any]:
    """Where and when this is measured."""
    import importlib.metadata

    with open("/proc/cpuinfo") if Path("/proc/cpuinfo").exists() else open(os.devnull) as stream:
        models = [line.partition(":")[2].strip() for line in stream if line.startswith("model name")]
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "processor": models[0] if models else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": int(os.environ["OMP_NUM_THREADS"]),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in ("torch", "diffusers", "transformers")},
    }


def table(rows: Sequence[Row]) -> str:
    """The rows in Markdown: what, measured, best, floor, what the floor is, ratio."""
    lines = ["| what | measured | best | floor | ratio | the floor is |", "| :--- | ---: | ---: | ---: | ---: | :--- |"]
    for row in rows:
        best = _number(row.best, row.unit) if row.best is not None else ""
        name = f"{row.name} ({row.note})" if row.note else row.name
        cells = (
            name,
            _number(row.measured, row.unit),
            best,
            _number(row.floor, row.unit),
            f"{row.ratio:.3g}",
            row.floor_is,
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _number(value: float, unit: str) -> str:
    shown = f"{value:,.0f}" if value >= 1000 or (not unit and float(value).is_integer()) else f"{value:.3g}"
    return f"{shown} {unit}".strip()


def main(arguments: Sequence[str]) -> int:
    """Measure, print the table, write the JSON; 1 when a group could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "group",
        nargs="*",
        help="plan, run, cli, starter, reuse, overlap, ahead, editing, load, quality; all without one",
    )
    parser.add_argument("--json", type=Path, default=RESULTS / "last.json", help="where the rows go as data")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--model", default=starter.MODEL, help="measure another model of its kind")
    given = parser.parse_args(arguments)
    known = groups(given.quick, given.model)
    for name in given.group:
        if name not in known:
            parser.error(f"there is no group '{name}'; there are: {', '.join(known)}")
    warnings.simplefilter("ignore")
    about = machine()
    print(", ".join(f"{key} {value}" for key, value in about.items()), file=sys.stderr)
    rows: list[Row] = []
    missed = 0
    for name in given.group or known:
        try:
            rows += known[name]()
        except (starter.NoStarter, starter.CommandFailed) as error:
            print(f"bench {name}: left out: {error}", file=sys.stderr)
            missed = 1
    print(table(rows))
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps({"machine": about, "rows": [row.to_json() for row in rows]}, indent=2) + "\n")
    return missed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
