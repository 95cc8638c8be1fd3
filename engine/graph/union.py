"""Union: several graphs beside each other in one, each under a name of its own – the items of a job."""

from __future__ import annotations

from collections.abc import Mapping

from engine.graph.bound import Bound, Graph, Keyed, Muted, Out, Several, Step


def union(graphs: Mapping[str, Graph]) -> Graph:
    """One graph of all: the step `sample` of the graph called `3` is `3/sample`, and so are its outputs."""
    steps: dict[str, Step] = {}
    outputs: dict[str, Bound] = {}
    types = {}
    muted: dict[str, str] = {}
    for name, graph in graphs.items():
        for path, step in graph.steps.items():
            sources = tuple((socket, _moved(bound, name)) for socket, bound in step.sources)
            steps[f"{name}/{path}"] = step._replace(path=f"{name}/{path}", sources=sources)
        outputs.update({f"{name}/{output}": _moved(bound, name) for output, bound in graph.outputs.items()})
        types.update({f"{name}/{output}": kind for output, kind in graph.output_types.items()})
        muted.update({f"{name}/{path}": f"{name}/{by}" for path, by in graph.muted.items()})
    problems = tuple(problem for graph in graphs.values() for problem in graph.problems)
    return Graph(steps, outputs, types, {}, muted, problems)


def _moved(bound: Bound, name: str) -> Bound:
    if isinstance(bound, Out):
        return Out(f"{name}/{bound.path}", bound.output)
    if isinstance(bound, Several):
        return Several(tuple(_moved(item, name) for item in bound.items))
    if isinstance(bound, Keyed):
        return Keyed(tuple((key, _moved(item, name)) for key, item in bound.items))
    if isinstance(bound, Muted):
        return Muted(f"{name}/{bound.by}")
    return bound
