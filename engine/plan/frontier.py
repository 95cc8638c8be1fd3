"""The frontier: the living plan of one job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine import places as places_room
from engine.errors import Problem, WeftError
from engine.graph import Bound, Const, Graph, Out, outs, uncollected, unknown_target
from engine.keys import checkpoint_ids
from engine.node import resolve
from engine.places import file_id
from engine.plan.asking import raised
from engine.plan.forward import TOGETHER, Forward
from engine.plan.lints import told
from engine.plan.reasons import Reasons
from engine.plan.state import Live, Plan, PlanStep, Scope, Setting
from engine.plan.unfolding import Blocked, Failed
from engine.sockets import holes


class Frontier(Forward):
    """The living plan of one job: the backward walk, and what the executor asks and tells."""

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
        super().__init__(setting)
        self.graph = graph
        self.reasons = Reasons(setting)
        self.hits: dict[str, str] = {}
        self.wanted_ids: set[str] = set()
        self._new_runs: list[Live] = []
        self._new_marks: list[Live] = []
        self._waiting: dict[str, list[Callable[[], None]]] = {}
        self._scope = Scope("", dict(given or {}))
        self.target_paths, self.target_outputs = self._targets(targets)
        needed = self._ancestors([*self.target_paths, *(out.path for out in self._target_outs())])
        token = places_room.CURRENT.set(setting.places)
        try:
            with uncollected():
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
            if graph.targets or graph.outputs:
                return list(graph.targets), outputs
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
                if type(bound) is Out:
                    pending.append(bound.path)
                elif type(bound) is not Const:
                    pending.extend(out.path for out in outs(bound))
        return seen

    # -- backward: what must run

    def _want_bound(self, bound: Bound, scope: Scope) -> None:
        """Make sure the value of a source will be there."""
        try:
            template = self._template(bound, scope)
        except Blocked as blocked:
            self._wait(blocked.blockers, lambda: self._want_bound(bound, scope))
            return
        except Failed as failed:
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
        try:
            self._find_checkpoint(live)
        except Exception as error:
            found = error if isinstance(error, WeftError) else raised(live, error)
            live.problem = found.problem.at(path=live.path)
            self._mark(live, "failed")
            return []
        live.status = "run"
        self._new_runs.append(live)
        return [ref.id for ref in holes(live.inputs)]

    def _find_checkpoint(self, live: Live) -> None:
        if not live.spec.steps or live.checkpoints:
            return
        # The key of a step names all that its states depend on: what was named for an earlier plan is named.
        memo, name = self.setting.light_memo, f"states of {live.key}"
        if memo is None or name not in memo:
            numerics = self.setting.numerics.digest + (TOGETHER if live.alike else "")
            source = self.setting.source_digest(live.spec)
            opening = "|".join((f"{live.spec.id}@{live.spec.version}", source, numerics, *live.leaner))
            active = resolve(live.spec.steps)(**(live.inputs or {}))
            live.checkpoints = tuple(checkpoint_ids(opening, active))
            self._note(name, live.checkpoints)
        else:
            live.checkpoints = memo[name]
        for index in range(len(live.checkpoints) - 1, -1, -1):
            if self.setting.known(live.checkpoints[index]) is not None:
                live.resumed = index + 1
                return

    def checkpoints(self, live: Live) -> tuple[str, ...]:
        """Ids of a stepped node's checkpoints, one a step, also where it need not run; nothing for any other node."""
        if live.spec.steps and not live.checkpoints and live.inputs is not None and not live.blockers:
            try:
                self._find_checkpoint(live)
            except Exception:  # what is wrong with it is told where it runs
                return ()
        return live.checkpoints

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

    def planned(self) -> list[Live]:
        """The steps that were found to run and are not taken yet."""
        return list(self._new_runs)

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
            except (Blocked, Failed, WeftError):
                continue
        return found

    # -- the snapshot

    @property
    def problems(self) -> list[Problem]:
        """The problems of every step that was looked at."""
        return [live.problem for live in self._in_order() if live.problem is not None]

    def _in_order(self) -> list[Live]:
        return sorted(self.lives.values(), key=lambda live: live.order)

    def forecast(self, within: str = "") -> tuple[Counter[str], float | None]:
        """How many steps have which status, and the seconds of those that will run; None when one was never measured.

        What a job tells at its start: a snapshot would also ask for the reason of every step. Counted are those whose
        path begins with `within`.
        """
        counts: Counter[str] = Counter()
        seconds: float | None = 0.0
        self._foresee_sharing(self.lives.values())
        for live in self.lives.values():
            if not live.path.startswith(within):
                continue
            status = self.status(live)
            counts[status] += 1
            if status == "run" and seconds is not None:
                expected = self.reasons.seconds(live)
                seconds = None if expected is None else seconds + expected
        return counts, seconds

    @staticmethod
    def _foresee_sharing(lives: Iterable[Live]) -> None:
        """Which states a step will find because a step before it makes them."""
        made: set[str] = set()
        for live in lives:
            if live.checkpoints and live.status == "run":
                known = (n for n in range(len(live.checkpoints), 0, -1) if live.checkpoints[n - 1] in made)
                live.shared = next(known, 0)
                made.update(live.checkpoints)

    def snapshot(self) -> Plan:
        """The plan as it stands."""
        with uncollected():
            return self._snapshot()

    def _snapshot(self) -> Plan:
        rows = []
        problems = []
        lives = self._in_order()
        self._foresee_sharing(lives)
        for live in lives:
            if live.problem is not None:
                problems.append(live.problem)
            status = self.status(live)
            runs = status == "run"
            rows.append(
                PlanStep(
                    live.path,
                    live.spec.id,
                    status,
                    self.reasons.why(live) if runs else live.why or live.tier,
                    self.reasons.seconds(live) if runs else None,
                    len(live.checkpoints),
                    max(live.resumed, live.shared),
                    tuple(sorted(live.blockers)) if live.blockers else (),
                    live.problem,
                    self.reasons.memory(live) if runs else None,
                )
            )
        return Plan(tuple(rows), tuple(problems), told(self.lints, self.spread))

    @staticmethod
    def status(live: Live) -> str:
        """What a plan calls the state of a step."""
        if live.spec.light and not live.problem and live.status != "maybe":
            return "maybe" if live.blockers else "light"
        if live.problem is not None or live.failed_by:
            return "failed"
        if live.blockers:
            return "maybe"
        return live.status or "not needed"


def _in_place(file: str, content: str) -> bool:
    path = Path(file)
    try:
        return path.is_file() and file_id(path) == content
    except OSError:
        return False
