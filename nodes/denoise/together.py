"""Together: several runs of the loop share forwards; each keeps its own noise, schedule, guidance and checkpoints.

Every run walks through its own loop on a thread of its own, up to the model. There all of them meet: when everybody
who is still under way waits, what fits is stacked and goes through the model at once, and each gets its rows back. So
nothing but the number of rows in a forward differs from a single run; that number changes how sums are rounded, which
is why results made together have ids of their own.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.invoke import EngineRun
from engine.sockets import facts_of
from nodes.denoise.active import Settings
from nodes.families import family_of
from nodes.types import Denoiser

if TYPE_CHECKING:
    import torch

    from nodes.families.base import Family

# Other kinds of guidance may change the module itself for a forward of their own.
KINDS = ("cfg", "embedded")


def alike(**inputs: Any) -> Any:
    """What must agree between runs that share forwards; None for one that runs alone.

    Seeds, prompts, samplers, steps, guidance scales and stops may differ.
    """
    settings, model, latent = Settings.of(inputs), inputs["model"], inputs["latent"]
    if not settings.known or not isinstance(model, Denoiser) or inputs.get("control") is not None:
        return None
    if model.patches or model.ranged:
        return None  # these change the module for one run, or between two of its steps
    facts = facts_of(latent)
    if (
        settings.guidance.kind not in KINDS
        or settings.guidance.perturbations
        or "width" not in facts
        or "height" not in facts
    ):
        return None
    return model, facts["width"], facts["height"]


def together(
    call: Callable[[int, EngineRun], Any], runs: Sequence[EngineRun], inputs: Sequence[Mapping[str, Any]]
) -> list[Any]:
    """Run all of them; `call(i, run)` runs the i-th. A result or an exception for each, in order."""
    import torch

    model = inputs[0]["model"]
    family, rows = family_of(model), 0
    for one in inputs:
        rows += one["latent"].samples.shape[0] * (2 if Settings.of(one).guidance.scale != 1 else 1)
    _, _, height, width = inputs[0]["latent"].samples.shape
    room = family.working_bytes(model, rows, height, width, 4 if runs[0].dtype == "float32" else 2)
    results: list[Any] = [None] * len(runs)
    with torch.no_grad(), runs[0].lease(model, working_bytes=room) as module:
        meeting = Meeting(len(runs))

        def go(index: int) -> None:
            MEETING.set(meeting)
            try:
                results[index] = call(index, runs[index].lending(model, module))
            except BaseException as error:
                results[index] = error
            finally:
                meeting.leave()

        threads = [
            threading.Thread(target=contextvars.copy_context().run, args=(go, index), name=f"weft run {index}")
            for index in range(len(runs))
        ]
        for thread in threads:
            thread.start()
        meeting.serve()
        for thread in threads:
            thread.join()
    return results


@dataclass(eq=False)
class _Wish:
    """A forward that a run waits for."""

    family: Family
    module: Any
    x: torch.Tensor
    t: torch.Tensor
    text: torch.Tensor
    pooled: torch.Tensor | None
    residuals: Any
    scale: float
    sizes: torch.Tensor | None
    result: torch.Tensor | None = None
    error: BaseException | None = None

    @property
    def kind(self) -> tuple[Any, ...]:
        """Wishes of one kind can be stacked."""
        if self.residuals is not None:
            return (id(self),)
        parts = (self.x, self.text, self.pooled, self.sizes)
        shapes = tuple(None if part is None else (tuple(part.shape[1:]), part.dtype) for part in parts)
        return (*shapes, self.t.dtype, self.scale)


class Meeting:
    """Where runs wait for each other. One thread serves, every run asks on its own."""

    def __init__(self, count: int) -> None:
        """`count` runs are under way."""
        self._changed = threading.Condition()
        self._under_way = count
        self._waiting: list[_Wish] = []
        self.forwards = 0

    def predict(self, family: Family, *inputs: Any) -> torch.Tensor:
        """What `family.predict(*inputs)` gives, computed together with what the others ask for."""
        wish = _Wish(family, *inputs)
        with self._changed:
            self._waiting.append(wish)
            self._changed.notify_all()
            self._changed.wait_for(lambda: wish.result is not None or wish.error is not None)
        if wish.error is not None:
            raise wish.error
        assert wish.result is not None
        return wish.result

    def leave(self) -> None:
        """A run is at its end."""
        with self._changed:
            self._under_way -= 1
            self._changed.notify_all()

    def serve(self) -> None:
        """Answer, until every run has left."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: len(self._waiting) == self._under_way)
                if not self._under_way:
                    return
                wishes, self._waiting = self._waiting, []
            groups: dict[tuple[Any, ...], list[_Wish]] = {}
            for wish in wishes:
                groups.setdefault(wish.kind, []).append(wish)
            for group in groups.values():
                self._answer(group)
            with self._changed:
                self._changed.notify_all()

    def _answer(self, group: Sequence[_Wish]) -> None:
        import torch

        first, counts = group[0], [wish.x.shape[0] for wish in group]
        self.forwards += 1
        try:
            if len(group) == 1:
                out = first.family.predict(
                    first.module, first.x, first.t, first.text, first.pooled, first.residuals, first.scale, first.sizes
                )
            else:
                t = torch.cat([wish.t.expand(count) for wish, count in zip(group, counts, strict=True)])
                x, text = torch.cat([wish.x for wish in group]), torch.cat([wish.text for wish in group])
                pooled = None if first.pooled is None else torch.cat([wish.pooled for wish in group])  # type: ignore[misc]
                sizes = None if first.sizes is None else torch.cat([wish.sizes for wish in group])  # type: ignore[misc]
                out = first.family.predict(first.module, x, t, text, pooled, None, first.scale, sizes)
            for wish, rows in zip(group, out.split(counts), strict=True):
                wish.result = rows
        except BaseException as error:
            for wish in group:
                wish.error = error


MEETING: ContextVar[Meeting | None] = ContextVar("weft_meeting", default=None)


def predict(family: Family, *inputs: Any) -> torch.Tensor:
    """`family.predict(*inputs)`, together with others where runs share their forwards."""
    meeting = MEETING.get()
    out: torch.Tensor = family.predict(*inputs) if meeting is None else meeting.predict(family, *inputs)
    return out
