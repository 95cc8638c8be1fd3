"""Plan: what runs for these targets, why, in which order, and when a value is last used.

Nothing is executed here but light nodes. A `Frontier` walks the graph twice:

    forward   every step gets the templates of its inputs (values, or Refs to what does not exist yet), and from them
              its key and its outputs. Light nodes are simply called; map, fold and switch unfold.
    backward  from the targets: an output that is known is a *hit*, one that is not makes its step *run*, and a step
              behind a cut-off output whose content is not known yet is a *maybe*.

A *maybe* is settled when the cut-off step has run (or the trace table remembers it): `settle` tells the content, and
only what waited for it is walked again. So the plan is a frontier, re-planned as digests arrive:

    hit      its value is there                     maybe    depends on a content not known yet
    run      will run                               saved    an effect whose files are in place
    light    bookkeeping, already done              failed   cannot run; its problem says why

The states of a `Plan` are a snapshot of a frontier.
"""

from __future__ import annotations

import dataclasses
import json
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine import places as places_room
from engine.errors import Problem, WeftError, Where, fail
from engine.graph import Bound, Const, Free, Graph, Keyed, Out, Several, Step, outs, unknown_target
from engine.keys import canonical, checkpoint_ids, hash_text, output_id, step_key, template_from_json
from engine.node import Input, NodeSpec, arguments, dress, named_outputs, resolve
from engine.numerics import Numerics
from engine.places import Places, file_id
from engine.records import Records
from engine.sockets import PLAIN, Ref, TypeSpec, check_same, facts_of, holes

Known = Callable[[str], str | None]
Order = tuple[int, ...]
MAX_UNFOLDED = 100_000


@dataclass(frozen=True)
class Scope:
    """Where a step stands: the path before its name, and the parameters of the body it belongs to."""

    prefix: str = ""
    free: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Live:
    """What is known of one step while a plan is made and carried out."""

    step: Step
    path: str
    scope: Scope
    order: Order
    inputs: dict[str, Any] | None = None
    outputs: dict[str, Any] = field(default_factory=dict)
    key: str = ""
    effect_key: str = ""
    unsettled: tuple[str, ...] = ()  # cut-off outputs whose content is not known
    blockers: frozenset[str] = frozenset()  # paths that must be settled before this step can be keyed
    problem: Problem | None = None
    failed_by: str = ""
    status: str = ""
    why: str = ""
    files: tuple[str, ...] = ()  # of an effect already in place
    tier: str = ""
    checkpoints: tuple[str, ...] = ()
    resumed: int = 0
    turn: int = 0
    items: tuple[Scope, ...] = ()
    wanted: bool = False

    @property
    def spec(self) -> NodeSpec:
        """The node's declaration."""
        return self.step.spec


@dataclass(frozen=True)
class PlanStep:
    """One row of a plan."""

    path: str
    node: str
    status: str
    why: str = ""
    seconds: float | None = None
    steps: int = 0
    resumed: int = 0
    waits_for: tuple[str, ...] = ()
    problem: Problem | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        record = {k: v for k, v in dataclasses.asdict(self).items() if v and k != "problem"}
        if self.problem:
            record["problem"] = self.problem.to_json()
        return record


@dataclass(frozen=True)
class Plan:
    """A snapshot: what would happen now."""

    steps: tuple[PlanStep, ...]
    problems: tuple[Problem, ...] = ()
    lints: tuple[Problem, ...] = ()

    def count(self, status: str) -> int:
        """How many steps have this status."""
        return sum(step.status == status for step in self.steps)

    @property
    def seconds(self) -> float | None:
        """Expected seconds of what will certainly run; None when a step was never measured."""
        rows = [step.seconds for step in self.steps if step.status == "run"]
        return None if any(row is None for row in rows) else sum(row or 0.0 for row in rows)

    def to_json(self) -> dict[str, Any]:
        """Plain data for the editor, the API and `weft plan --json`."""
        return {
            "steps": [step.to_json() for step in self.steps],
            "seconds": self.seconds,
            "problems": [problem.to_json() for problem in self.problems],
            "lints": [problem.to_json() for problem in self.lints],
        }


@dataclass(frozen=True)
class Setting:
    """Everything a frontier asks of the world around it."""

    numerics: Numerics
    records: Records
    places: Places
    types: Mapping[str, TypeSpec] = field(default_factory=dict)
    known: Known = lambda id: None  # id -> tier
    light_memo: dict[str, Any] | None = None
    nonce: str = ""  # makes volatile nodes new; one a job
    flow: str = ""  # the workflow's name in the records, for "what changed"
    again: bool = False  # effects write again even when their files are in place
    source_digest: Callable[[NodeSpec], str] = lambda spec: ""


class _Blocked(Exception):
    def __init__(self, blockers: frozenset[str]) -> None:
        self.blockers = blockers


class _Failed(Exception):
    def __init__(self, by: str) -> None:
        self.by = by


class Frontier:
    """The living plan of one job."""

    def __init__(
        self,
        graph: Graph,
        setting: Setting,
        targets: Sequence[str] | None = None,
        given: Mapping[str, Any] | None = None,
    ) -> None:
        """Plan `graph` for `targets` (nodes or named outputs; by default effects and named outputs).

        `given` are values or Refs for the parameters of a body graph that is run on its own.
        """
        self.graph = graph
        self.setting = setting
        self.lives: dict[str, Live] = {}
        self.maker: dict[str, tuple[str, str]] = {}
        self.lints: list[Problem] = []
        self.hits: dict[str, str] = {}
        self.wanted_ids: set[str] = set()
        self._new_runs: list[Live] = []
        self._new_marks: list[Live] = []
        self._waiting: dict[str, list[Callable[[], None]]] = {}
        self._dependents: dict[str, set[str]] = {}
        self._last: dict[str, dict[str, str]] | None = None
        self._outlines: dict[str, Callable[[Ref], Any] | None] = {}
        self._scope = Scope("", dict(given or {}))
        self.target_paths, self.target_outputs = self._targets(targets)
        needed = self._ancestors([*self.target_paths, *(out.path for out in self._target_outs())])
        token = places_room.CURRENT.set(setting.places)
        try:
            self._enter(graph, self._scope, (), needed)
            for path in self.target_paths:
                self._want_step(path)
            for bound in self.target_outputs.values():
                self._want_bound(bound, self._scope)
        finally:
            places_room.CURRENT.reset(token)

    # -- targets

    def _targets(self, targets: Sequence[str] | None) -> tuple[list[str], dict[str, Bound]]:
        graph = self.graph
        if targets is None:
            effects = set(graph.effects)
            outputs = {n: b for n, b in graph.outputs.items() if not (isinstance(b, Out) and b.path in effects)}
            if effects or graph.outputs:
                return list(graph.effects), outputs
            return [path for path in graph.steps if not graph.readers[path]], {}
        paths: list[str] = []
        chosen: dict[str, Bound] = {}
        for target in targets:
            if target in graph.outputs:
                chosen[target] = graph.outputs[target]
            elif target in graph.steps:
                paths.append(target)
            elif "." in target and target.rpartition(".")[0] in graph.steps:
                path, _, output = target.rpartition(".")
                if graph.steps[path].spec.output(output) is None:
                    raise unknown_target(graph, target)
                chosen[target] = Out(path, output)
            else:
                raise unknown_target(graph, target)
        return paths, chosen

    def _target_outs(self) -> Iterator[Out]:
        for bound in self.target_outputs.values():
            yield from outs(bound)

    def _ancestors(self, paths: Iterable[str]) -> set[str]:
        seen: set[str] = set()
        pending = list(paths)
        while pending:
            path = pending.pop()
            if path in seen or path not in self.graph.steps:
                continue
            seen.add(path)
            for _, bound in self.graph.steps[path].sources:
                pending.extend(out.path for out in outs(bound))
        return seen

    # -- forward: templates, keys, outputs

    def _enter(self, graph: Graph, scope: Scope, order: Order, needed: set[str] | None = None) -> None:
        """Lay out the steps of a graph under a prefix and resolve each."""
        if len(self.lives) + len(graph.steps) > MAX_UNFOLDED:
            raise fail("run.limit", f"the graph unfolds to more than {MAX_UNFOLDED:,} steps")
        for index, (name, step) in enumerate(graph.steps.items()):
            if needed is not None and name not in needed:
                continue
            path = scope.prefix + name
            live = Live(step, path, scope, (*order, index, 1))
            self.lives[path] = live
            self._resolve(live)

    def _resolve(self, live: Live) -> None:
        """Compute what can be known of a step now. Called again when a blocker is settled."""
        live.blockers = frozenset()
        try:
            self._compute(live)
        except _Blocked as blocked:
            live.blockers = blocked.blockers
            for blocker in blocked.blockers:
                self._dependents.setdefault(blocker, set()).add(live.path)
        except _Failed as failed:
            live.failed_by = failed.by
        except WeftError as error:
            live.problem = error.problem.at(path=live.path)

    def _compute(self, live: Live) -> None:
        flow = live.step.flow
        if flow == "switch":
            self._switch(live)
            return
        spec = live.spec
        inputs = self._inputs(live)
        live.inputs = inputs
        if flow:
            (self._map if flow == "map" else self._fold)(live, inputs)
            return
        facts = self._facts(live, inputs) if spec.facts else {}
        if spec.lints:
            self.lints.extend(p.at(path=live.path) for p in resolve(spec.lints)(**inputs))
        if spec.light:
            live.outputs = self._light(live, inputs)
            return
        self._heavy(live, inputs, facts)

    def _inputs(self, live: Live) -> dict[str, Any]:
        found: dict[str, Any] = {}
        blockers: set[str] = set()
        by_name = live.spec.by_name
        scope = live.scope
        for name, bound in live.step.sources:
            if type(bound) is Const:
                item = by_name.get(name)
                found[name] = (
                    dress(item, bound.value) if item is not None and (item.enum or item.variants) else bound.value
                )
                continue
            try:
                found[name] = self._template(bound, scope, by_name.get(name))
            except _Blocked as blocked:
                blockers |= blocked.blockers
        if blockers:
            raise _Blocked(frozenset(blockers))
        return found

    def _template(self, bound: Bound, scope: Scope, item: Input | None = None) -> Any:
        if type(bound) is Out:
            live = self.lives[scope.prefix + bound.path]
            template = live.outputs.get(bound.output, _NOTHING)
            if template is not _NOTHING:
                return template
            if live.problem is not None or live.failed_by:
                raise _Failed(live.failed_by or live.path)
            raise _Blocked(live.blockers or frozenset((live.path,)))
        if isinstance(bound, Const):
            return dress(item, bound.value) if item is not None else bound.value
        if isinstance(bound, Free):
            if bound.name not in scope.free:
                raise fail("graph.missing_input", f"parameter '{bound.name}' has no value", socket=bound.name)
            return scope.free[bound.name]
        if isinstance(bound, Several):
            return self._all(bound.items, scope, item)
        if isinstance(bound, Keyed):
            values = self._all([source for _, source in bound.items], scope, item)
            return dict(zip((name for name, _ in bound.items), values, strict=True))
        raise _Failed(getattr(bound, "by", ""))

    def _all(self, bounds: Sequence[Bound], scope: Scope, item: Input | None) -> list[Any]:
        blockers: set[str] = set()
        found = []
        for bound in bounds:
            try:
                found.append(self._template(bound, scope, item))
            except _Blocked as blocked:
                blockers |= blocked.blockers
        if blockers:
            raise _Blocked(frozenset(blockers))
        return found

    def _files(self, spec: NodeSpec, inputs: Mapping[str, Any]) -> list[tuple[str, str]]:
        """The ids of the files and models that literal inputs name."""
        found = []
        for item in spec.inputs:
            kind = item.widget.get("kind")
            if kind in ("model", "file"):
                value = inputs.get(item.name)
                if isinstance(value, str) and value:
                    try:
                        if kind == "model":
                            path = self.setting.places.model(item.widget["models"], value)
                        else:
                            path = self.setting.places.file(item.widget["place"], value)
                    except WeftError as error:
                        raise error.at(socket=item.name) from None
                    found.append((item.name, file_id(path)))
        return found

    def _light(self, live: Live, inputs: dict[str, Any]) -> dict[str, Any]:
        spec = live.spec
        memo = self.setting.light_memo
        name = ""
        if memo is not None:
            try:
                name = f"{spec.id}@{spec.version}|{self._files(spec, inputs)}|{canonical(inputs)}"
            except TypeError:
                memo = None
            else:
                if name in memo:
                    known: dict[str, Any] = memo[name]
                    return known
        args, kwargs = arguments(spec, inputs)
        try:
            outputs = named_outputs(spec, spec.function(*args, **kwargs))
        except WeftError:
            raise
        except Exception as error:
            raise _raised(live, error) from error
        if memo is not None:
            if len(memo) > 4096:
                memo.clear()
            memo[name] = outputs
        return outputs

    def _heavy(self, live: Live, inputs: dict[str, Any], facts: Mapping[str, Mapping[str, Any]]) -> None:
        spec, setting = live.spec, self.setting
        if spec.lane == "device":
            numerics = setting.numerics.digest
        elif spec.lane == "cpu":
            numerics = setting.numerics.host_digest
        else:
            numerics = ""
        more: list[Any] = self._files(spec, inputs) if _reads_files(spec) else []
        if spec.fingerprint:
            more.append(("fingerprint", resolve(spec.fingerprint)(**inputs)))
        if spec.volatile:
            more.append(("volatile", setting.nonce, live.path))
        source = setting.source_digest(spec)
        keyed = (
            inputs
            if all(item.keyed for item in spec.inputs)
            else {name: value for name, value in inputs.items() if spec.by_name[name].keyed}
        )
        live.key = key = step_key(spec.id, spec.version, source, numerics, keyed, more)
        if spec.effect:
            live.effect_key = step_key(spec.id, spec.version, source, str(setting.places.output), inputs, more)
        passed = dict(spec.bypass) if spec.effect else {}
        unsettled = []
        for out in spec.outputs:
            id = output_id(key, out.name)
            if out.name in passed:
                live.outputs[out.name] = inputs[passed[out.name]]
            elif spec.cutoff or out.type.name in PLAIN or out.type.name in ("list", "choice"):
                self.maker[id] = (live.path, out.name)
                trace = setting.records.trace(id)
                if trace is None:
                    unsettled.append(out.name)
                else:
                    self._learn(live, out.name, trace)
            else:
                self.maker[id] = (live.path, out.name)
                ref = Ref(id, facts.get(out.name, {}))
                outline = self._outline(out.type.name)
                live.outputs[out.name] = outline(ref) if outline else ref
        live.unsettled = tuple(unsettled)

    def _learn(self, live: Live, output: str, trace: str) -> None:
        template = template_from_json(json.loads(trace))
        live.outputs[output] = template
        for ref in holes(template):
            self.maker.setdefault(ref.id, (live.path, output))

    def _outline(self, kind: str) -> Callable[[Ref], Any] | None:
        if kind not in self._outlines:
            spec = self.setting.types.get(kind)
            cls = resolve(spec.path) if spec is not None and spec.recipe else None
            self._outlines[kind] = getattr(cls, "outline", None)
        return self._outlines[kind]

    def _facts(self, live: Live, inputs: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for rule in live.spec.facts:
            if rule.kind == "same":
                problem = check_same(rule, inputs)
                if problem is not None:
                    raise WeftError(problem)
            elif rule.kind == "copy":
                source, target = rule.sockets
                name, _, fact = source.partition(".")
                value = inputs.get(name)
                known = facts_of(value).get(fact) if fact else value
                if known is not None and not isinstance(known, Ref):
                    output, _, goal = target.partition(".")
                    found.setdefault(output, {})[goal] = known
            else:
                for output, facts in (resolve(rule.path)(**inputs) or {}).items():
                    found.setdefault(output, {}).update(facts)
        return found

    # -- switch, map, fold

    def _switch(self, live: Live) -> None:
        sources = dict(live.step.sources)
        choose = self._template(sources["choose"], live.scope)
        if isinstance(choose, Ref):
            raise fail("node.refused", "'choose' must be a number, a name or true/false", socket="choose")
        named, options = sources.get("named"), sources.get("options")
        if isinstance(named, Keyed) and named.items:
            table: dict[Any, Bound] = dict(named.items)
        elif isinstance(options, Several):
            table = dict(enumerate(options.items))
        else:
            table = {}
        chosen = table.get(int(choose) if isinstance(choose, bool | float) else choose)
        if chosen is None:
            shown = ", ".join(map(str, table)) or "none"
            raise fail("node.refused", f"there is no option {choose!r}", socket="choose", mend=f"options are: {shown}")
        live.outputs = {"value": self._template(chosen, live.scope)}

    def _map(self, live: Live, inputs: dict[str, Any]) -> None:
        step = live.step
        body = step.body
        assert body is not None
        if not live.items:
            lists = {name: inputs[name] for name in step.mapped}
            for name, value in lists.items():
                if not isinstance(value, list | tuple):
                    raise fail("node.refused", f"'{name}' is no list", socket=name)
            lengths = {name: len(value) for name, value in lists.items()}
            if len(set(lengths.values())) > 1:
                shown = ", ".join(f"{name} has {length}" for name, length in lengths.items())
                raise fail("node.refused", f"the lists differ in length: {shown}", mend="give lists of one length")
            scopes = []
            for index in range(next(iter(lengths.values()))):
                free = {n: v[index] if n in lists else v for n, v in inputs.items()}
                scopes.append(Scope(f"{live.path}/{index}/", free))
            live.items = tuple(scopes)
            for index, scope in enumerate(scopes):
                self._enter(body, scope, (*live.order[:-1], 0, index))
                self._body_effects(body, scope)
        # Every blocker of every item, so that all items can be settled side by side.
        blockers: set[str] = set()
        outputs: dict[str, list[Any]] = {name: [] for name in body.outputs}
        for scope in live.items:
            for name, bound in body.outputs.items():
                try:
                    outputs[name].append(self._template(bound, scope))
                except _Blocked as blocked:
                    blockers |= blocked.blockers
        if blockers:
            raise _Blocked(frozenset(blockers))
        live.outputs = dict(outputs)

    def _fold(self, live: Live, inputs: dict[str, Any]) -> None:
        step = live.step
        body = step.body
        assert body is not None
        while True:
            if len(live.items) == live.turn:
                free = dict(inputs)
                if live.turn:
                    before = live.items[-1]
                    for name, bound in body.outputs.items():
                        if name in body.parameters:
                            free[name] = self._template(bound, before)
                scope = Scope(f"{live.path}/{live.turn}/", free)
                live.items = (*live.items, scope)
                self._enter(body, scope, (*live.order[:-1], 0, live.turn))
                self._body_effects(body, scope)
            scope = live.items[live.turn]
            done = live.turn + 1 >= step.turns
            if not done and step.until:
                done = bool(self._template(body.outputs[step.until], scope))
            if done:
                live.outputs = {name: self._template(bound, scope) for name, bound in body.outputs.items()}
                return
            live.turn += 1

    def _body_effects(self, body: Graph, scope: Scope) -> None:
        for path in body.effects:
            self._want_step(scope.prefix + path)

    # -- backward: what must run

    def _want_bound(self, bound: Bound, scope: Scope) -> None:
        """Make sure the value of a source will be there."""
        try:
            template = self._template(bound, scope)
        except _Blocked as blocked:
            self._wait(blocked.blockers, lambda: self._want_bound(bound, scope))
            return
        except _Failed as failed:
            self._mark_failed(failed.by)
            return
        except WeftError:
            return
        for ref in holes(template):
            self._want_id(ref.id)

    def _want_step(self, path: str) -> None:
        """Make sure a step's effect has happened, or its outputs are there."""
        live = self.lives.get(path)
        if live is None:
            return
        if live.problem is not None or live.failed_by:
            self._mark(live, "failed")
            return
        if live.blockers:
            self._mark(live, "maybe")
            self._wait(live.blockers, lambda: self._want_step(path))
            return
        if live.spec.effect:
            self._want_effect(live)
        elif live.spec.light:
            self._mark(live, "light")
            for template in live.outputs.values():
                for ref in holes(template):
                    self._want_id(ref.id)
        else:
            for out in live.spec.outputs:
                if out.name in live.unsettled:
                    self._run(live)
                for ref in holes(live.outputs.get(out.name)):
                    self._want_id(ref.id)
            if not live.status:
                self._mark(live, "hit" if live.spec.outputs else "run")
            if not live.spec.outputs:
                self._run(live)

    def _want_effect(self, live: Live) -> None:
        receipt = [] if self.setting.again or live.spec.volatile else self.setting.records.receipt(live.effect_key)
        if receipt and all(_in_place(file, content) for file, content in receipt):
            live.files = tuple(file for file, _ in receipt)
            self._mark(live, "saved")
        else:
            self._run(live)

    def _want_id(self, id: str) -> None:
        """Make sure a value is there: known, or its maker runs. Iterative: chains may be 10,000 long."""
        pending = [id]
        while pending:
            id = pending.pop()
            if id in self.wanted_ids:
                continue
            self.wanted_ids.add(id)
            path, _ = self.maker.get(id, ("", ""))
            live = self.lives.get(path)
            if live is not None and live.status == "run":
                continue
            tier = self.setting.known(id)
            if tier is not None:
                self.hits[id] = tier
                if live is not None and not live.status:
                    live.tier = tier
                    self._mark(live, "hit")
                continue
            if live is not None:
                pending.extend(self._start(live))

    def _run(self, live: Live) -> None:
        for id in self._start(live):
            self._want_id(id)

    def _start(self, live: Live) -> list[str]:
        """Mark a step as running; the ids it reads."""
        if live.status == "run":
            return []
        if live.problem is not None or live.failed_by:
            self._mark(live, "failed")
            return []
        live.wanted = True
        self._find_checkpoint(live)
        live.status = "run"
        self._new_runs.append(live)
        return [ref.id for ref in holes(live.inputs)]

    def _find_checkpoint(self, live: Live) -> None:
        if not live.spec.steps or live.checkpoints:
            return
        numerics = self.setting.numerics.digest
        opening = f"{live.spec.id}@{live.spec.version}|{self.setting.source_digest(live.spec)}|{numerics}"
        active = resolve(live.spec.steps)(**(live.inputs or {}))
        live.checkpoints = tuple(checkpoint_ids(opening, active))
        for index in range(len(live.checkpoints) - 1, -1, -1):
            if self.setting.known(live.checkpoints[index]) is not None:
                live.resumed = index + 1
                return

    def _mark(self, live: Live, status: str) -> None:
        if live.status != status:
            live.status = status
            self._new_marks.append(live)

    def _mark_failed(self, path: str) -> None:
        live = self.lives.get(path)
        if live is not None and live.problem is not None:
            self._mark(live, "failed")

    def _wait(self, blockers: frozenset[str], retry: Callable[[], None]) -> None:
        """Run what decides, then ask again. Only the first blocker is waited for: the rest follows from the retry."""
        for path in sorted(blockers):
            blocker = self.lives[path]
            if blocker.problem is not None or blocker.failed_by:
                continue
            if blocker.unsettled:
                self._run(blocker)
        first = min(blockers)
        self._waiting.setdefault(first, []).append(retry)

    # -- what the executor asks and tells

    def take_runs(self) -> list[Live]:
        """The steps that were found to run since the last call."""
        found, self._new_runs = self._new_runs, []
        return found

    def take_marks(self) -> list[Live]:
        """The steps whose status (hit, saved, failed, ...) was decided since the last call."""
        found, self._new_marks = self._new_marks, []
        return found

    def settle(self, live: Live, traces: Mapping[str, str]) -> None:
        """A cut-off step has run: its outputs' templates are known now. Walks on from there."""
        for output, trace in traces.items():
            self._learn(live, output, trace)
        live.unsettled = ()
        token = places_room.CURRENT.set(self.setting.places)
        try:
            dependents = self._dependents.pop(live.path, set())
            for path in sorted(dependents, key=lambda p: self.lives[p].order):
                if self.lives[path].blockers:
                    self._resolve(self.lives[path])
            for retry in self._waiting.pop(live.path, []):
                retry()
        finally:
            places_room.CURRENT.reset(token)

    def revive(self, id: str) -> None:
        """A value that was there is gone after all: take it from the cache, or run its maker (again)."""
        self.hits.pop(id, None)
        self.wanted_ids.discard(id)
        path, _ = self.maker.get(id, ("", ""))
        live = self.lives.get(path)
        if live is not None and live.problem is None:
            live.status = ""
        self._want_id(id)

    def output_templates(self) -> dict[str, Any]:
        """The templates of the target outputs that can be known."""
        found = {}
        for name, bound in self.target_outputs.items():
            try:
                found[name] = self._template(bound, self._scope)
            except (_Blocked, _Failed, WeftError):
                continue
        return found

    # -- the snapshot

    @property
    def problems(self) -> list[Problem]:
        """The problems of every step that was looked at."""
        return [live.problem for live in self._in_order() if live.problem is not None]

    def _in_order(self) -> list[Live]:
        return sorted(self.lives.values(), key=lambda live: live.order)

    def snapshot(self) -> Plan:
        """The plan as it stands."""
        rows = []
        for live in self._in_order():
            if live.spec.light and not live.problem and live.status != "maybe":
                status = "maybe" if live.blockers else "light"
            elif live.problem is not None or live.failed_by:
                status = "failed"
            elif live.blockers:
                status = "maybe"
            else:
                status = live.status or "not needed"
            rows.append(
                PlanStep(
                    live.path,
                    live.spec.id,
                    status,
                    self.why(live) if status == "run" else live.why or live.tier,
                    self.seconds(live) if status == "run" else None,
                    len(live.checkpoints),
                    live.resumed,
                    tuple(sorted(live.blockers)),
                    live.problem,
                )
            )
        return Plan(tuple(rows), tuple(self.problems), tuple(self.lints))

    def seconds(self, live: Live) -> float | None:
        """Expected seconds of a step, from earlier runs under the same numerics."""
        rate = self.setting.records.rate(self.rate_key(live))
        if rate is None:
            return None
        seconds = rate * self.work(live)
        if live.resumed:
            seconds *= 1 - live.resumed / len(live.checkpoints)
        return seconds

    def rate_key(self, live: Live) -> str:
        """Under which name a step's seconds are kept."""
        return f"{live.spec.id}@{live.spec.version}|{self.setting.numerics.digest}"

    def work(self, live: Live) -> float:
        """The step's units of work, by its own rule; 1 without one, or when the rule needs what is not known yet."""
        if not live.spec.work or live.inputs is None:
            return 1.0
        try:
            return float(resolve(live.spec.work)(**live.inputs))
        except (WeftError, TypeError, KeyError, ZeroDivisionError):
            return 1.0

    def input_digests(self, live: Live) -> dict[str, str]:
        """Short digests of a step's inputs, to tell at the next run which of them changed."""
        return {name: hash_text(canonical(value))[:12] for name, value in (live.inputs or {}).items()}

    def why(self, live: Live) -> str:
        """Why a step runs: which inputs changed since the last run of this workflow."""
        if live.spec.volatile:
            return "it never reuses a result"
        if self._last is None:
            self._last = self.setting.records.last(self.setting.flow) if self.setting.flow else {}
        before = self._last.get(live.path)
        if before is None:
            return "new"
        changed = [name for name, value in self.input_digests(live).items() if before.get(name) != value]
        if not changed:
            return "its result is no longer there"
        own = [name for name, bound in live.step.sources if name in changed and isinstance(bound, Const)]
        if own:
            return f"{' and '.join(own)} changed"
        sources = dict(live.step.sources)
        causes = sorted({out.path for name in changed if name in sources for out in outs(sources[name])})
        return (
            f"{' and '.join(changed)} changed (from {', '.join(causes)})"
            if causes
            else f"{' and '.join(changed)} changed"
        )


_NOTHING = object()


def _reads_files(spec: NodeSpec) -> bool:
    return any(item.widget and item.widget.get("kind") in ("model", "file") for item in spec.inputs)


def _in_place(file: str, content: str) -> bool:
    path = Path(file)
    try:
        return path.is_file() and file_id(path) == content
    except OSError:
        return False


def _raised(live: Live, error: Exception) -> WeftError:
    report = "".join(traceback.format_exception(error))
    message = f"'{live.spec.id}' raised {type(error).__name__}: {error}"
    return WeftError(Problem("node.raised", message, Where(path=live.path), report=report))


def make_plan(graph: Graph, setting: Setting, targets: Sequence[str] | None = None) -> Plan:
    """The plan for these targets, as a snapshot."""
    return Frontier(graph, setting, targets).snapshot()
