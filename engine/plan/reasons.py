"""Reasons: why a step runs, and how long it will take."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from engine.graph import Const, outs
from engine.keys import canonical, hash_text
from engine.node import resolve
from engine.plan.state import Live, Setting


class Reasons:
    """Answers about the steps of one plan; reads the records once."""

    def __init__(self, setting: Setting) -> None:
        """Nothing is read until somebody asks why."""
        self.setting = setting
        self._last: Mapping[str, Mapping[str, str]] | None = None
        self._digests: dict[str, tuple[dict[str, Any] | None, dict[str, str]]] = {}  # with the inputs they are of
        self._rates: dict[str, float | None] = {}  # by rate key
        self._peaks: dict[str, int | None] = {}  # by rate key and work

    def seconds(self, live: Live) -> float | None:
        """Expected seconds of a step, from earlier runs under the same numerics."""
        name = self.rate_key(live)
        if name not in self._rates:
            self._rates[name] = self.setting.records.rate(name)
        rate = self._rates[name]
        if rate is None:
            return None
        seconds = rate * self.work(live)
        known = max(live.resumed, live.shared)
        if known:
            seconds *= 1 - known / len(live.checkpoints)
        return seconds

    def memory(self, live: Live) -> int | None:
        """Bytes that will be in use at most while a step runs, from earlier runs under the same numerics."""
        name, work = self.rate_key(live), self.work(live)
        at = f"{name}|{work:g}"
        if at not in self._peaks:
            self._peaks[at] = self.setting.records.peak(name, work)
        return self._peaks[at]

    def rate_key(self, live: Live) -> str:
        """Under which name a step's seconds are kept."""
        return f"{live.spec.id}@{live.spec.version}|{self.setting.numerics.digest}{'|together' if live.alike else ''}"

    def work(self, live: Live) -> float:
        """The step's units of work, by its own rule; 1 without one, or when the rule needs what is not known yet.

        It only predicts seconds: whatever is wrong with it must not stop a run.
        """
        if not live.spec.work or live.inputs is None:
            return 1.0
        try:
            units = float(resolve(live.spec.work)(**live.inputs))
        except Exception:
            return 1.0
        return units if math.isfinite(units) and units >= 0 else 1.0

    def input_digests(self, live: Live) -> dict[str, str]:
        """Short digests of a step's inputs, to tell at the next run which of them changed."""
        inputs, digests = self._digests.get(live.path, (None, {}))
        if inputs is not live.inputs:
            digests = {name: hash_text(canonical(value))[:12] for name, value in (live.inputs or {}).items()}
            self._digests[live.path] = (live.inputs, digests)
        return digests

    def about(self, live: Live, output: str) -> dict[str, str]:
        """What is told of a value to the tier that outlives the process, so that `weft cache why` can compare."""
        spec, setting = live.spec, self.setting
        numerics = {"device": setting.numerics.digest, "cpu": setting.numerics.host_digest}.get(spec.lane, "")
        head = {"node": spec.id, "output": output, "version": str(spec.version), "numerics": numerics[:12]}
        head["code"] = setting.source_digest(spec)[:12]
        return {**head, **{f"in.{name}": digest for name, digest in self.input_digests(live).items()}}

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
