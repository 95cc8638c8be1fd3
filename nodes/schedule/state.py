"""A scheduler's whole state as tensors and plain data, so that a run can stop and go on bit for bit.

What a scheduler carries from step to step differs: nothing but its index (DDIM, Euler), two predictions (DPM++ 2M),
a list of them and the last sample (PNDM, UniPC), a derivative (Heun). So all of it is taken, by name, but for the
tables that `build` computes again from the schedule. The generators' states are the caller's (`State.rng`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Made by the constructor from the betas alone.
TABLES = frozenset(
    "betas alphas alphas_cumprod final_alpha_cumprod alpha_t sigma_t lambda_t one one_minus_alphas_cumprod".split()
)
# The Brownian tree is a function of its seeds and of the interval; the next step makes it again.
REMADE = frozenset({"noise_sampler"})


Seen = dict[str, tuple[Any, int, Any]]  # name -> a tensor of the scheduler's, its version then, the clone of it


def capture(scheduler: Any, seen: Seen | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The state after a step: `(tensors, data)`, tensors cloned, data plain JSON that refers to them by name.

    With `seen`, kept from step to step, a tensor that nobody has written into since (its timesteps) is cloned once.
    """
    tensors: dict[str, Any] = {}
    data: dict[str, Any] = {}
    for name, value in vars(scheduler).items():
        if not name.startswith("_internal") and name not in TABLES and name not in REMADE:
            plain = value is None or type(value) in (int, float, str, bool)  # asked after each step: most of it is
            data[name] = value if plain else _take(f"scheduler.{name}", value, tensors, {} if seen is None else seen)
    return tensors, data


def restore(scheduler: Any, tensors: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    """Put a captured state into a scheduler that was built from the same schedule; nothing is shared with `tensors`."""
    for name, value in data.items():
        setattr(scheduler, name, _give(value, tensors))


def _take(name: str, value: Any, tensors: dict[str, Any], seen: Seen) -> Any:
    import numpy
    import torch

    if isinstance(value, torch.Tensor):
        held, version = seen.get(name), 0 if value.is_inference() else value._version
        if held is None or held[0] is not value or held[1] != version or value.is_inference():
            held = seen[name] = (value, version, value.detach().clone())
        tensors[name] = held[2]
        return {"tensor": name, "device": str(value.device)}
    if isinstance(value, numpy.ndarray):
        tensors[name] = torch.from_numpy(value.copy())
        return {"array": name}
    if isinstance(value, numpy.generic):
        tensors[name] = torch.tensor(value.item(), dtype=torch.from_numpy(numpy.asarray(value).reshape(1)).dtype)
        return {"number": name}
    if isinstance(value, list | tuple):
        items = [_take(f"{name}.{index}", item, tensors, seen) for index, item in enumerate(value)]
        return {"list": items} if isinstance(value, list) else {"tuple": items}
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"{name} of the scheduler is a {type(value).__name__}, which no checkpoint can hold")


def _give(value: Any, tensors: Mapping[str, Any]) -> Any:
    if not isinstance(value, Mapping):
        return value
    match value:
        case {"tensor": name, "device": device}:
            return tensors[name].detach().clone().to(device)
        case {"array": name}:
            return tensors[name].cpu().numpy().copy()
        case {"number": name}:
            return tensors[name].cpu().numpy()[()]
        case {"list": items}:
            return [_give(item, tensors) for item in items]
        case {"tuple": items}:
            return tuple(_give(item, tensors) for item in items)
    raise ValueError(f"{value!r} is no part of a scheduler's state")
