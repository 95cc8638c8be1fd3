"""Items: one request that means many runs – a batch of seeds, a sweep over axes, rows of values.

Each item is the base (the workflow with its parameters set and its seeds drawn) and a few values of its own. The base
is written once, so a thousand items cost a thousand short lines, and each is exact: nothing is drawn later.
"""

from __future__ import annotations

import itertools
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.errors import Problem, WeftError, Where, fail
from engine.graph import bind
from engine.graph.bound import outs
from engine.graph.settable import RANDOM, check_value, inputs_of, known_name
from engine.node import Input
from engine.registry import Registry
from engine.server.shapes import Batch, JobRequest, Sweep
from engine.session.seeds import SEED_BITS
from engine.workflow import Value, Workflow

MOST = 1_000
AXES = 3
SHARE = 64  # the most items that may share a forward
STOP = "stop_step"  # the input of a denoise node that ends it early
_SEEDS = 2**64


@dataclass(frozen=True)
class Item:
    """What one item has of its own, by `node.input`, and what to call it."""

    set: dict[str, Any] = field(default_factory=dict)
    label: str = ""


def names(request: JobRequest) -> list[str]:
    """Every parameter or input that the items set."""
    if request.sweep is not None:
        return [name for axis in request.sweep.axes for name in axis.to]
    return list(dict.fromkeys(name for row in request.rows or () for name in row))


def many(request: JobRequest) -> bool:
    """Does the request mean a job with items? One that stops early is one, of a single item at least."""
    kinds = [name for name in ("batch", "sweep", "rows") if getattr(request, name) is not None]
    if len(kinds) > 1:
        raise fail("server.request", f"a job has one of {' and '.join(kinds)}, not both", mend="send two jobs")
    return bool(kinds) or request.stop is not None


def check_together(request: JobRequest) -> None:
    """May its items share forwards?"""
    if request.together and not 2 <= request.together <= SHARE:
        message = f"2 to {SHARE} items can share a forward, not {request.together}"
        raise fail("server.request", message, mend="leave `together` out, or choose a number in between")
    if request.together and not many(request):
        raise fail("server.request", "`together` is for jobs with items", mend="add a batch, a sweep or rows")


def expand(request: JobRequest, base: Workflow, registry: Registry) -> list[Item]:
    """Every item, with all of its values checked; all that is wrong at once."""
    known = inputs_of(base, registry)
    if request.batch is not None:
        items = _batch(request.batch, base, known)
    elif request.sweep is not None:
        items = list(_sweep(request.sweep, base, known))
    elif request.rows is not None:
        items = list(_rows(request.rows, base, known))
    else:
        items = [Item()]
    _check(items, known)
    return items


def stops(stop: Mapping[str, int], base: Workflow, registry: Registry) -> dict[str, Any]:
    """`{"denoise": 6}` as values by `node.input`."""
    found: dict[str, Any] = {}
    known = inputs_of(base, registry)
    for name, step in stop.items():
        target = name if name in known else f"{name}.{STOP}"
        if target not in known or name in base.parameters:
            able = ", ".join(n.removesuffix(f".{STOP}") for n in known if n.endswith(f".{STOP}")) or "none"
            message = f"'{name[:60]}' cannot be stopped early"
            raise fail("server.request", message, mend=f"nodes that can: {able}", path=name)
        if known[target] is not None:
            problem = check_value(step, known[target], Where(socket=target))
            if problem is not None:
                raise WeftError(problem)
        found[target] = step
        node = base.nodes[target.rpartition(".")[0]]
        spec = registry.get(node.type)
        # What is made of a stop is to be looked at: without the noise that is left.
        found.update({f"{target.rpartition('.')[0]}.{other}": False for other in (spec.stop[1:] if spec else ())})
    return found


def unsaved(workflow: Workflow, registry: Registry) -> list[str] | None:
    """Targets that make what would be saved without saving it; None where nothing is saved."""
    graph = bind(workflow, registry)
    effects = set(graph.effects)
    if not effects:
        return None
    found: dict[str, None] = {}
    for name, bound in graph.outputs.items():
        if all(out.path not in effects for out in outs(bound)):
            found[name] = None
    for path in graph.effects:
        for _, bound in graph.steps[path].sources:
            found.update(dict.fromkeys(f"{o.path}.{o.output}" for o in outs(bound) if o.path not in effects))
    return list(found)


# --- the three kinds -----------------------------------------------------------------------------------------------


def targets_of(name: str, base: Workflow, known: Mapping[str, Input | None], at: str) -> tuple[str, ...]:
    """The inputs that a name sets."""
    problem = known_name(name, known, Where(file=at), base)
    if problem is not None:
        raise WeftError(problem)
    return base.parameters[name].to if name in base.parameters else (name,)


def _batch(batch: Batch, base: Workflow, known: Mapping[str, Input | None]) -> list[Item]:
    _count(batch.count)
    given = [batch.seed] if isinstance(batch.seed, str) else batch.seed
    if batch.seed == "seed" and "seed" not in known:
        seeds = [name for name, item in known.items() if item is not None and item.widget.get("kind") == "seed"]
        offered = f"it has {', '.join(seeds)}" if seeds else "it has no seed at all"
        raise fail("server.request", f"the workflow has no parameter 'seed'; {offered}", mend="name it in batch.seed")
    targets = dict.fromkeys(target for name in given for target in targets_of(name, base, known, "batch.seed"))
    first = {target: _seed_of(base, target, known[target]) for target in targets}
    if not first:
        raise fail("server.request", "batch.seed names no input", mend="name the input that holds the seed")
    items = []
    for index in range(batch.count):
        if batch.policy == "increment":
            seeds_now = {target: (seed + index) % _SEEDS for target, seed in first.items()}
        elif batch.policy == "random" and index:
            seeds_now = dict.fromkeys(first, secrets.randbits(SEED_BITS))
        else:
            seeds_now = first
        items.append(Item(dict(seeds_now), f"seed {next(iter(seeds_now.values()))}"))
    return items


def _seed_of(base: Workflow, target: str, item: Input | None) -> int:
    """The seed that an input has in the base."""
    node, _, socket = target.rpartition(".")
    source = base.nodes[node].inputs.get(socket)
    value = source.value if isinstance(source, Value) else None if source else getattr(item, "default", None)
    try:
        return int(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        wired = "is wired" if source is not None and not isinstance(source, Value) else "holds no seed"
        raise fail("server.request", f"'{target}' {wired}", mend="name an input that holds a seed") from None


def _sweep(sweep: Sweep, base: Workflow, known: Mapping[str, Input | None]) -> Iterator[Item]:
    if not 1 <= len(sweep.axes) <= AXES:
        raise fail("server.request", f"a sweep has 1 to {AXES} axes, not {len(sweep.axes)}", mend="or send rows")
    count = 1
    for number, axis in enumerate(sweep.axes):
        if not axis.to or not axis.values:
            lack = "sets no input" if not axis.to else "has no values"
            raise fail("server.request", f"axis {number} {lack}", mend='{"to": ["node.input"], "values": [1, 2]}')
        count *= len(axis.values)
    _count(count)
    ways = []
    for number, axis in enumerate(sweep.axes):
        to = [target for name in axis.to for target in targets_of(name, base, known, f"sweep.axes[{number}].to")]
        label = axis.label or axis.to[0]
        ways.append([(dict.fromkeys(to, value), f"{label} {short(value)}") for value in axis.values])
    for point in itertools.product(*ways):
        values: dict[str, Any] = {}
        for own, _ in point:
            values.update(own)
        yield Item(values, " · ".join(label for _, label in point))


def _rows(rows: Sequence[Mapping[str, Any]], base: Workflow, known: Mapping[str, Input | None]) -> Iterator[Item]:
    _count(len(rows))
    for number, row in enumerate(rows):
        values: dict[str, Any] = {}
        for name, value in row.items():
            for target in targets_of(name, base, known, f"rows[{number}]"):
                if value in RANDOM if isinstance(value, str) else False:
                    item = known[target]
                    if item is not None and item.widget.get("kind") == "seed":
                        value = secrets.randbits(SEED_BITS)
                values[target] = value
        yield Item(values, " · ".join(f"{name} {short(value)}" for name, value in row.items()))


def _count(count: int) -> None:
    if not 1 <= count <= MOST:
        raise fail("server.limit", f"a job has 1 to {MOST:,} items, not {count:,}", mend="split it up")


def _check(items: Sequence[Item], known: Mapping[str, Input | None]) -> None:
    """Every value against its input; the same one is looked at once."""
    seen: set[tuple[str, str]] = set()
    wrong: list[Problem] = []
    for index, item in enumerate(items):
        for target, value in item.set.items():
            key = (target, json.dumps(value, default=str))
            if key in seen:
                continue
            seen.add(key)
            node, _, socket = target.rpartition(".")
            problem = check_value(value, known.get(target), Where(file=f"item {index}", path=node, socket=socket))
            if problem is not None:
                wrong.append(problem)
    if wrong:
        raise WeftError(wrong[:20])


def short(value: Any) -> str:
    """A value in few characters."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else text[:39] + "…"
