"""Forward: every step gets the templates of its inputs, and from them its key and its outputs.

Light nodes are called, facts are compared, map, fold and switch unfold. Nothing is executed and no tensor exists.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.errors import Problem, WeftError, fail
from engine.graph import Bound, Const, Free, Graph, Keyed, Out, Several
from engine.keys import canonical, digest, hash_text, output_id, step_key, template_from_json
from engine.node import Alone, Input, NodeSpec, arguments, dress, fitted, outputs_of, resolve
from engine.places import file_id
from engine.plan.asking import in_time, raised
from engine.plan.state import Live, Order, Scope, Setting
from engine.plan.unfolding import Blocked, Failed, Unfolding
from engine.sockets import PLAIN, Ref, check_same, facts_of, holes

MAX_UNFOLDED = 100_000
TOGETHER = "|together"  # in the keys of what is computed together with others


@dataclass(frozen=True, slots=True)
class _Way:
    """How the steps of one kind of node get their keys and outputs in this plan: asked of the spec once."""

    numerics: str
    source: str
    reads_files: bool
    unkeyed: frozenset[str]
    passed: tuple[tuple[str, str], ...]  # outputs that are an input, as effects have them
    made: tuple[tuple[str, Callable[[Ref], Any] | None], ...]  # known by the step's key, with their outlines
    cut: tuple[str, ...]  # known by their content


class Forward(Unfolding):
    """The forward walk."""

    def __init__(self, setting: Setting) -> None:
        """Nothing is resolved yet."""
        self.setting = setting
        self.lives: dict[str, Live] = {}
        self.maker: dict[str, tuple[str, str]] = {}
        self.lints: list[Problem] = []
        self.spread: dict[str, int] = {}  # maps that have unfolded, and into how many items
        self._dependents: dict[str, set[str]] = {}
        self._ways: dict[str, _Way] = {}

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
        except Blocked as blocked:
            live.blockers = blocked.blockers
            for blocker in blocked.blockers:
                self._dependents.setdefault(blocker, set()).add(live.path)
        except Failed as failed:
            live.failed_by = failed.by
        except WeftError as error:
            live.problem = error.problem.at(path=live.path)
        except Exception as error:
            # A rule of the node's own: facts, lints, fingerprint.
            live.problem = raised(live, error).problem

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
                item = by_name.get(name)
                value = self._template(bound, scope, item)
                found[name] = value if item is None or type(value) is Ref else fitted(item, value)
            except Blocked as blocked:
                blockers |= blocked.blockers
        if blockers:
            raise Blocked(frozenset(blockers))
        return found

    def _template(self, bound: Bound, scope: Scope, item: Input | None = None) -> Any:
        if type(bound) is Out:
            live = self.lives[scope.prefix + bound.path]
            template = live.outputs.get(bound.output, _NOTHING)
            if template is not _NOTHING:
                return template
            if live.problem is not None or live.failed_by:
                raise Failed(live.failed_by or live.path)
            raise Blocked(live.blockers or frozenset((live.path,)))
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
        raise Failed(getattr(bound, "by", ""))

    def _all(self, bounds: Sequence[Bound], scope: Scope, item: Input | None) -> list[Any]:
        blockers: set[str] = set()
        found = []
        for bound in bounds:
            try:
                found.append(self._template(bound, scope, item))
            except Blocked as blocked:
                blockers |= blocked.blockers
        if blockers:
            raise Blocked(frozenset(blockers))
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
                more = in_time(spec, inputs) if spec.fingerprint else ""
                name = f"{spec.id}@{spec.version}|{self._files(spec, inputs)}|{more}|{canonical(inputs)}"
            except TypeError:
                memo = None
            else:
                if name in memo:
                    known: dict[str, Any] = memo[name]
                    return known
        args, kwargs = arguments(spec, inputs)
        try:
            outputs = outputs_of(spec, spec.function(*args, **kwargs), self.setting.types)
        except WeftError:
            raise
        except Exception as error:
            raise raised(live, error) from error
        if memo is not None:
            self._note(name, outputs)
        return outputs

    def _note(self, name: str, found: Any) -> None:
        """Remember for the plans to come."""
        memo = self.setting.light_memo
        if memo is not None:
            if len(memo) > 4096:
                memo.clear()
            memo[name] = found

    def _heavy(self, live: Live, inputs: dict[str, Any], facts: Mapping[str, Mapping[str, Any]]) -> None:
        spec, setting, path = live.spec, self.setting, live.path
        way = self._ways.get(spec.id)
        if way is None:
            way = self._ways[spec.id] = self._way(spec)
        more: list[Any] = self._files(spec, inputs) if way.reads_files else []
        if spec.fingerprint:
            more.append(("fingerprint", in_time(spec, inputs)))
        if spec.volatile:
            more.append(("volatile", setting.nonce, path))
        keyed = {name: value for name, value in inputs.items() if name not in way.unkeyed} if way.unkeyed else inputs
        numerics = way.numerics
        if setting.together and spec.batched:
            found = resolve(f"{spec.batched}:alike")(**inputs)
            if found is None or isinstance(found, Alone):
                live.alone = found or "it shares its work with no other"
            else:
                live.alike = digest((spec.id, found))
                numerics += TOGETHER
        live.exact = key = step_key(spec.id, spec.version, way.source, numerics, keyed, more)
        live.leaner = setting.leaner.get(key, ())
        live.key = key = hash_text("|".join((key, *live.leaner))) if live.leaner else key
        if spec.effect:
            live.effect_key = step_key(spec.id, spec.version, way.source, str(setting.places.output), inputs, more)
        for output, source in way.passed:
            live.outputs[output] = inputs[source]
        for output, outline in way.made:
            id = output_id(key, output)
            self.maker[id] = (path, output)
            ref = Ref(id, facts.get(output, {}))
            live.outputs[output] = outline(ref) if outline else ref
        unsettled = []
        for output in way.cut:
            id = output_id(key, output)
            self.maker[id] = (path, output)
            trace = setting.records.trace(id)
            if trace is None:
                unsettled.append(output)
            else:
                self._learn(live, output, trace)
        live.unsettled = tuple(unsettled)

    def _way(self, spec: NodeSpec) -> _Way:
        setting = self.setting
        by_lane = {"device": setting.numerics.digest, "cpu": setting.numerics.host_digest}
        passed = spec.bypass if spec.effect else ()
        cut, made = [], []
        for out in spec.outputs:
            if out.name in dict(passed):
                continue
            if spec.cutoff or out.type.name in PLAIN or out.type.name in ("list", "choice"):
                cut.append(out.name)
            else:
                made.append((out.name, self._outline(out.type.name)))
        return _Way(
            by_lane.get(spec.lane, ""),
            setting.source_digest(spec),
            any(item.widget.get("kind") in ("model", "file") for item in spec.inputs),
            frozenset(item.name for item in spec.inputs if not item.keyed),
            passed,
            tuple(made),
            tuple(cut),
        )

    def _learn(self, live: Live, output: str, trace: str) -> None:
        template = template_from_json(json.loads(trace))
        live.outputs[output] = template
        for ref in holes(template):
            self.maker.setdefault(ref.id, (live.path, output))

    def _outline(self, kind: str) -> Callable[[Ref], Any] | None:
        """How a recipe that does not exist yet looks, for types that say so."""
        spec = self.setting.types.get(kind)
        cls = resolve(spec.path) if spec is not None and spec.recipe else None
        return getattr(cls, "outline", None)

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


_NOTHING = object()
