"""Together: several runs of the loop share forwards; each keeps its own noise, schedule, guidance and checkpoints.

Every run walks through its own loop on a thread of its own, up to the model. There all of them meet: when everybody
who is still under way waits, what fits is stacked and goes through the model (`nodes/denoise/meeting.py`) at once, and
each gets its rows back. So nothing but the number of rows in a forward differs from a single run; that number changes
how sums are rounded, which is why results made together have ids of their own.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from engine.invoke import EngineRun
from engine.node import Alone
from engine.sockets import Ref, facts_of
from nodes.denoise.active import Settings
from nodes.denoise.meeting import MEETING, Meeting
from nodes.families import family_of
from nodes.families.choices import stateful
from nodes.families.compiling import as_far_as_it_compiles, telling
from nodes.types import Control, Denoiser


def alike(**inputs: Any) -> Any:
    """What must agree between runs that share forwards, or why one runs alone.

    Seeds, prompts, samplers, steps, guidance, stops, masks, hints and their strengths may differ; the model with all
    that is on it, its ControlNets and the size may not.
    """
    settings, model, control = Settings.of(inputs), inputs["model"], inputs.get("control")
    if not isinstance(model, Denoiser) or not settings.known or isinstance(control, Ref):
        return Alone("its model or its settings are made by a node that has not run yet")
    if stateful(model.patches):
        return Alone("a cache on its model remembers forwards from step to step")
    other = next((patch for patch in model.patches if not getattr(patch, "rowwise", False)), None)
    if other is not None:
        return Alone(f"{type(other).__name__} on its model does not say that it treats each picture by itself")
    facts = facts_of(inputs["latent"])
    if "width" not in facts or "height" not in facts:
        return Alone("the size of its latents is not known before it runs")
    nets = tuple(item.net for item in control.items) if isinstance(control, Control) else ()
    return model, nets, facts["width"], facts["height"]


def together(
    call: Callable[[int, EngineRun], Any], runs: Sequence[EngineRun], inputs: Sequence[Mapping[str, Any]]
) -> list[Any]:
    """Run all of them; `call(i, run)` runs the i-th. A result or an exception for each, in order."""
    import torch

    model, control = as_far_as_it_compiles(inputs[0]["model"], runs[0]), inputs[0].get("control")
    family, rows = family_of(model), 0
    for one in inputs:
        rows += one["latent"].samples.shape[0] * (2 if Settings.of(one).guidance.scale != 1 else 1)
    _, _, height, width = inputs[0]["latent"].samples.shape
    room = family.working_bytes(model, rows, height, width, 4 if runs[0].dtype == "float32" else 2)
    results: list[Any] = [None] * len(runs)
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        # One lease for all: each on its own thread, they would wait for each other's for ever.
        lent = [(item.net, stack.enter_context(runs[0].lease(item.net))) for item in (control.items if control else ())]
        asked = model.bare if model.ranged else model
        lent.append((asked, stack.enter_context(runs[0].lease(asked, working_bytes=room))))
        meeting = Meeting(len(runs))

        def go(index: int) -> None:
            MEETING.set(meeting)
            try:
                results[index] = call(index, runs[index].lending(lent))
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
        with telling(lambda text: runs[0].check()):
            meeting.serve()
        for thread in threads:
            thread.join()
    return results
