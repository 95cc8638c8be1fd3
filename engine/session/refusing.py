"""Refusing: what is known to be wrong with a job before anything ran, with its place in the file."""

from __future__ import annotations

from engine.errors import Problem
from engine.executor import Execution
from engine.workflow import Workflow


def fatal(execution: Execution) -> list[Problem]:
    """The problems known before anything ran that keep a target from being reached."""
    frontier = execution.frontier
    paths = [p for p in frontier.target_paths if p in frontier.lives]
    blamed: dict[str, Problem] = {}
    for path in paths:
        live = frontier.lives[path]
        cause = frontier.lives.get(live.failed_by, live)
        if cause.problem is not None:
            blamed[cause.path] = cause.problem
    for live in frontier.lives.values():
        if live.problem is not None and (live.wanted or live.status == "failed"):
            blamed[live.path] = live.problem
    return list(blamed.values())


def located(workflow: Workflow, problem: Problem) -> Problem:
    """The problem with file and line, when its path is a node of the file."""
    path = problem.where.path or ""
    if workflow.origin is None or path not in workflow.nodes:
        return problem
    steps: list[str | int] = ["nodes", path]
    if problem.where.socket in workflow.nodes[path].inputs:
        steps += ["inputs", str(problem.where.socket)]
    place = workflow.origin.where(steps)
    return problem.at(file=place.file, line=place.line, column=place.column)
