"""Planning: from a workflow and values to a graph and to what would happen, seeds drawn ahead."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.executor import Engine
from engine.graph import Graph, bind
from engine.places import Places
from engine.plan import Frontier, Plan
from engine.session.seeds import Seeds
from engine.workflow import Workflow


class Planning:
    """The part of a session that runs nothing."""

    engine: Engine
    seeds: Seeds

    def prepare(
        self, workflow: Workflow, parameters: Mapping[str, Any] | None = None
    ) -> tuple[Workflow, Graph, dict[str, int]]:
        """Set parameters, draw seeds, bind. The seeds are drawn ahead: they stay the next ones until a job has them."""
        given = dict(parameters or {})
        workflow = workflow.with_defaults(given).with_parameters(given)
        workflow, drawn = self.seeds.draw(workflow, flow_name(workflow))
        return workflow, bind(workflow, self.engine.registry), drawn

    def settle(
        self, workflow: Workflow, parameters: Mapping[str, Any] | None = None, later: Iterable[str] = ()
    ) -> tuple[Workflow, dict[str, int]]:
        """The workflow with parameters set and seeds drawn, unbound, and those seeds: the base of many like it.

        Parameters in `later` may be missing still: each of the many sets its own.
        """
        given = dict(parameters or {})
        missing = {name: None for name in later if not getattr(workflow.parameters.get(name), "has_default", True)}
        workflow = workflow.with_defaults({**missing, **given}).with_parameters(given)
        workflow, drawn = self.seeds.draw(workflow, flow_name(workflow))
        return workflow.settled(), drawn

    def plan(
        self,
        workflow: Workflow,
        parameters: Mapping[str, Any] | None = None,
        targets: Sequence[str] | None = None,
        *,
        again: bool = False,
    ) -> Plan:
        """What would happen now. Problems of single steps stand in the plan; those of form are raised."""
        return self.foresee(workflow, parameters, targets, again=again)[0]

    def foresee(
        self,
        workflow: Workflow,
        parameters: Mapping[str, Any] | None = None,
        targets: Sequence[str] | None = None,
        *,
        again: bool = False,
        places: Places | None = None,
    ) -> tuple[Plan, dict[str, int]]:
        """The plan, and the seeds that the next run will have, by `node.input`."""
        frontier, drawn = self.look(workflow, parameters, targets, again=again, places=places)
        return frontier.snapshot(), drawn

    def look(
        self,
        workflow: Workflow,
        parameters: Mapping[str, Any] | None = None,
        targets: Sequence[str] | None = None,
        *,
        again: bool = False,
        places: Places | None = None,
        together: bool = False,
    ) -> tuple[Frontier, dict[str, int]]:
        """The living plan that `foresee` makes a picture of, and the seeds of the next run.

        `together`: of a run that shares its work with others.
        """
        workflow, graph, drawn = self.prepare(workflow, parameters)
        places = places or self._places(workflow)
        flow = flow_name(workflow)
        setting = self.engine.setting(nonce="plan", flow=flow, again=again, places=places, together=together)
        return Frontier(graph, setting, targets), drawn

    def _places(self, workflow: Workflow) -> Places:
        """The places with the workflow's own folder beside them."""
        origin = workflow.origin
        if origin is None or not Path(origin.file).is_file():
            return self.engine.places
        return dataclasses.replace(self.engine.places, beside=Path(origin.file).resolve().parent)


def flow_name(workflow: Workflow) -> str:
    """Under which name the records know a workflow: its file, else its title."""
    return workflow.origin.file if workflow.origin else workflow.title
