"""Warming: the part of a workflow that makes compiled models ready – each of its stepped nodes, for one step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from engine.memory.forecast import leasable
from engine.session.look import look
from engine.workflow import Workflow

if TYPE_CHECKING:
    from engine.session.main import Session


def compiling(session: Session, workflow: Workflow, values: Mapping[str, Any]) -> list[str]:
    """The nodes that can be stopped early and lease a model that is compiled, by name, in the order of the plan."""
    frontier, _ = session.look(workflow, values)
    found = []
    for live in sorted(frontier.lives.values(), key=lambda live: live.order):
        patches = [patch for recipe in leasable(live.inputs, "patches") for patch in recipe.patches]
        compiles = any(getattr(patch, "compiles", False) for patch in patches)
        if compiles and live.path in workflow.nodes and live.spec.stop:
            found.append(live.path)
    return found


def warming(session: Session, workflow: Workflow, values: Mapping[str, Any]) -> tuple[Workflow, tuple[str, ...]]:
    """The workflow with those nodes stopped before their second step, and their outputs; none when nothing compiles.

    The rest of it is not wanted: no picture is decoded, nothing is saved. Sizes, batches and texts are its own, so what
    is compiled is what a run needs.
    """
    names = compiling(session, workflow, values)
    if not names:
        return workflow, ()
    workflow, _ = session.settle(workflow, values)
    seen = look(workflow, session.engine.registry, dict.fromkeys(names, 1))
    specs = {name: session.engine.registry.get(workflow.nodes[name].type) for name in names}
    return seen.workflow, tuple(f"{name}.{spec.outputs[0].name}" for name, spec in specs.items() if spec is not None)
