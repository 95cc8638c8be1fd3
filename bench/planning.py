"""Planning: from a workflow to a plan, by number of nodes."""

from __future__ import annotations

from typing import Any

from bench import worlds
from bench.measure import Row, interleaved, repeated
from engine.graph import bind
from engine.numerics import Numerics
from engine.places import Places
from engine.plan import Frontier, Plan, Setting
from engine.records import Records
from engine.registry import Registry
from engine.workflow import Workflow

TARGET = 0.025


class Planner:
    """bind + ids + plan, with nothing known: every step will run."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.records = Records()
        self.places = registry.places(Places())
        self.numerics = Numerics("cpu", threads=1)
        self.light: dict[str, Any] = {}  # as in a session: light nodes that were called before are not called again

    def __call__(self, workflow: Workflow) -> Plan:
        graph = bind(workflow, self.registry)
        setting = Setting(self.numerics, self.records, self.places, self.registry.types, light_memo=self.light)
        return Frontier(graph, setting).snapshot()


def rows(size: int = 1000, large: int = 10_000, times: int = 15) -> list[Row]:
    """Bind, ids and plan of `size` nodes, of `large`, and of a chain, beside keys that list every ancestor."""
    planner = Planner(worlds.registry())
    mesh, chain, deep = worlds.mesh(size), worlds.chain(size), worlds.chain(large)
    ours, naive = interleaved([lambda turn: planner(mesh), lambda turn: worlds.ancestor_keys(mesh)], max(times // 3, 1))
    more = repeated(lambda: planner(mesh), times)
    line = repeated(lambda: planner(chain), times)
    far = repeated(lambda: planner(deep), max(times // 3, 1))
    steps = planner(deep).count("run")
    each = f"{mesh.nodes[f'n{size - 1}'].type}: 2 wires, 3 widgets a node"
    return [
        Row(
            "plan",
            f"bind + ids + plan, {size:,} nodes",
            more.median * 1e3,
            "ms",
            TARGET * 1e3 * size / 1000,
            "target",
            more.best * 1e3,
            each,
        ),
        Row(
            "plan",
            f"the same, {size:,} nodes, beside the naive keys",
            ours.median * 1e3,
            "ms",
            naive.median * 1e3,
            "naive: keys alone, every ancestor listed",
            ours.best * 1e3,
        ),
        Row(
            "plan",
            f"a chain of {size:,} nodes",
            line.median * 1e3,
            "ms",
            TARGET * 1e3 * size / 1000,
            "target",
            line.best * 1e3,
        ),
        Row(
            "plan",
            f"a chain of {large:,} nodes: one node",
            far.median / large * 1e6,
            "us",
            line.median / size * 1e6,
            f"one node of {size:,}: linear is 1",
            far.best / large * 1e6,
            f"{steps:,} steps planned, no recursion",
        ),
    ]
