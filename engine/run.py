"""Run: what a node may ask of whoever runs it.

A node that wants services takes a first parameter `run: Run`; one that does not is pure by construction. The engine
passes its own `Run`; outside a graph, in a notebook, `ambient()` gives one that loads models, draws noise and prints
nothing. This room only says what may be asked; `engine.invoke` answers.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch


@runtime_checkable
class Leasable(Protocol):
    """A recipe whose live module can be leased. Weights are residents of the memory manager, never cached values."""

    @property
    def weights(self) -> str:
        """The id of the base weights: one module per (weights, device, dtype) is kept, whatever the adapters."""

    def build(self, device: str, dtype: str) -> Any:
        """Load the bare module onto a device (`cuda:0`) in a dtype (`float32`). Runs rarely; the engine keeps it."""

    def attach(self, module: Any) -> Callable[[], None]:
        """Set adapters, hooks, attention and caches exactly to the recipe; returns what undoes it."""


@dataclass(frozen=True)
class State:
    """Where a stepped node stands after step `index` (0-based): all it needs to go on bit-exactly.

    `tensors` by name, `data` plain JSON, `rng` the states of its generators (`Generator.get_state()` as bytes).
    """

    index: int
    tensors: Mapping[str, torch.Tensor]
    data: Mapping[str, Any] = field(default_factory=dict)
    rng: tuple[bytes, ...] = ()


class Run(ABC):
    """The services of one step. All of them may be called from the node's thread at any time."""

    path: str
    """The node's path in the workflow, for messages."""

    @property
    @abstractmethod
    def device(self) -> str:
        """The device to compute on, as torch names it: `cpu`, `cuda:0`, `mps`, `xpu:0`."""

    @property
    @abstractmethod
    def dtype(self) -> str:
        """The dtype that denoisers compute in, as torch names it: `float32`, `bfloat16`, `float16`."""

    @property
    @abstractmethod
    def cancelled(self) -> bool:
        """Has the job been cancelled? `progress` and `check` raise when it has."""

    @abstractmethod
    def check(self) -> None:
        """Raise `Cancelled` if the job has been cancelled. Call between tiles, tensors, chunks."""

    @abstractmethod
    def progress(self, done: int, total: int, text: str = "") -> None:
        """`done` of `total` units are finished. Also a place where cancel takes effect."""

    @abstractmethod
    def preview(self, picture: Callable[[], Any], done: int = 0, total: int = 0) -> None:
        """Offer a picture of work in progress; the callable (to a PIL image) runs only when somebody watches."""

    @abstractmethod
    def show(self, value: Any) -> None:
        """Show a value to the user (a preview node, a plot), without making it an output."""

    @abstractmethod
    def lease(self, recipe: Leasable, working_bytes: int = 0) -> AbstractContextManager[Any]:
        """Borrow the recipe's live module; never keep it after the `with`.

        Room is made for it and for `working_bytes` of activations, it is locked for this thread, and its adapters are
        set exactly to the recipe and removed on exit.
        """

    def leaner(self, way: str) -> bool:
        """Is the step to make do with less memory in this way, because it ran out before? Ask for the mildest first.

        A way changes bits (`tiles`, `split batch`): the step then has a key of its own, and the diary says so. What a
        node asks for here is what the engine can try when the device has run out; a node that never asks just fails.
        """
        return False

    def without(self, choice: str) -> bool:
        """Is the step to do without a choice of numerics (`compiling`), because it failed on this machine before?

        What a node asks for here may fail with `device.compile`: the step then runs once more without it, under a key
        of its own, and the diary says so.
        """
        return False

    @abstractmethod
    def generators(self, seed: int, batch: int, single_stream: bool = False) -> list[torch.Generator]:
        """The generators of a batch: item i draws on the CPU from `seed + i`, so that any item renders alone.

        `single_stream=True` gives one generator for the whole batch, as a plain `torch.manual_seed` would.
        """

    @abstractmethod
    def resume(self) -> State | None:
        """The newest known state of this very computation, or None to start over. Stepped nodes only."""

    @abstractmethod
    def checkpoint(self, state: State) -> None:
        """Offer the state after a step. The engine may keep it, under a name made from what was active until then."""

    @abstractmethod
    def nested(self, workflow: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Run a workflow through the engine with these parameter values; to the plan it is part of this one step."""


def ambient() -> Run:
    """The Run of a node called as a plain function, outside any graph."""
    # Named as a string: the room that answers lies below this one, and the line of imports stays a line.
    made: Run = importlib.import_module("engine.invoke").ambient()
    return made
