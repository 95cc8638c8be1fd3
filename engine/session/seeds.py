"""Seeds: `"random"` and `"increment"` become numbers, drawn ahead so that the plan shown is the plan that runs."""

from __future__ import annotations

import dataclasses
import secrets
import threading
from collections.abc import Mapping

from engine.graph.settable import RANDOM
from engine.records import Records
from engine.registry import Registry
from engine.workflow import Net, Node, Value, Workflow

SEED_BITS = 48


class Seeds:
    """The seeds that the next runs will have. Every method may be called from any thread."""

    def __init__(self, registry: Registry, records: Records) -> None:
        """None is drawn yet."""
        self.registry = registry
        self.records = records
        self._ahead: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()

    def draw(self, workflow: Workflow, flow: str) -> tuple[Workflow, dict[str, int]]:
        """Replace `"random"` and `"increment"` by the seeds that the next run will have.

        What one parameter feeds gets one seed: a second pass refines with the noise of the first.
        """
        drawn: dict[str, int] = {}

        def net(part: Net, prefix: str) -> dict[str, Node]:
            nodes = dict(part.nodes)
            leader = {target: p.to[0] for p in part.parameters.values() for target in p.to}
            for name, node in part.nodes.items():
                inner = workflow.net(node.body or node.type) if node.body or node.type.startswith("#") else None
                inputs = dict(node.inputs)
                for label, parameter in inner.parameters.items() if inner is not None else ():
                    if parameter.default in RANDOM and label not in inputs:
                        inputs[label] = Value(parameter.default)
                for socket, source in inputs.items():
                    if not isinstance(source, Value) or source.value not in RANDOM:
                        continue
                    if self._takes_seed(workflow, node, socket):
                        own = f"{name}.{socket}"
                        first = leader.get(own, own)
                        seed = drawn.get(prefix + first)
                        if seed is None:
                            seed = self._next_seed(flow, prefix + first, source.value)
                        drawn[prefix + own] = seed
                        node = dataclasses.replace(node, inputs={**node.inputs, socket: Value(seed)})
                        nodes[name] = node
            return nodes

        graphs = {
            name: dataclasses.replace(part, nodes=net(part, f"#{name}/")) for name, part in workflow.graphs.items()
        }
        return dataclasses.replace(workflow, nodes=net(workflow, ""), graphs=graphs), drawn

    def _takes_seed(self, workflow: Workflow, node: Node, socket: str, inside: frozenset[str] = frozenset()) -> bool:
        """Is the input a seed, or a parameter of an inner graph that feeds one?"""
        graph = node.body or node.type
        if graph in inside:
            return False  # graphs that contain each other: `bind` tells
        inner = workflow.net(graph) if node.body or node.type.startswith("#") else None
        if inner is None:
            spec = self.registry.get(node.type)
            item = spec.by_name.get(socket) if spec else None
            return item is not None and item.widget.get("kind") == "seed"
        for target in inner.parameters[socket].to if socket in inner.parameters else ():
            name, _, deeper = target.rpartition(".")
            below = inner.nodes.get(name)
            if below is not None and self._takes_seed(workflow, below, deeper, inside | {graph}):
                return True
        return False

    def _next_seed(self, flow: str, key: str, policy: str) -> int:
        with self._lock:
            seed = self._ahead.get((flow, key))
            if seed is None:
                last = self.records.seed(flow, key) if policy == "increment" else None
                seed = secrets.randbits(SEED_BITS) if last is None else (last + 1) % 2**64
                self._ahead[flow, key] = seed
            return seed

    def use(self, flow: str, drawn: Mapping[str, int]) -> None:
        """A job has them: the next plan draws others."""
        with self._lock:
            for key, seed in drawn.items():
                if self._ahead.pop((flow, key), None) is not None:
                    self.records.set_seed(flow, key, seed)
