"""Choices: what the nodes of `nodes/numerics.py` put on a live denoiser, as patches: frozen, keyed, taken off again.

A patch with `own` changes the weights themselves (their layout, or how they are stored), so a denoiser that has it is a
live module of its own. A `stateful` one remembers forwards between the steps of a run; a run with it is not resumed in
its middle, because that memory is not part of a checkpoint. A `rowwise` one treats each picture of a batch by itself,
so runs with it may share forwards.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from engine.errors import fail, refuse

Undo = Callable[[], None]
KERNELS = {"flash": "FLASH_ATTENTION", "efficient": "EFFICIENT_ATTENTION", "cudnn": "CUDNN_ATTENTION", "math": "MATH"}
PACKAGES = {
    "flash-attn": ("flash_attn", "flash"),
    "sage": ("sageattention", "sage"),
    "xformers": ("xformers", "xformers"),
}
UNETS = ("sd1", "sd2", "sdxl")


def stateful(patches: tuple[Any, ...]) -> bool:
    """Does one of them remember forwards?"""
    return any(getattr(patch, "stateful", False) for patch in patches)


def is_unet(family: str) -> bool:
    """Has the family a UNet? Those of the others are stacks of transformer blocks."""
    return family.partition("-")[0] in UNETS


# --- how it computes -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Attention:
    """Which kernel computes attention: one of torch's own (`KERNELS`), or one of a package (`PACKAGES`)."""

    kernel: str
    rowwise: ClassVar[bool] = True

    def attach(self, module: Any, recipe: Any) -> Undo:
        """Set it for every forward of the module."""
        device = next(module.parameters()).device.type
        runs_on = getattr(module, "runs_on", None)
        device = device if runs_on is None else runs_on.type
        if device == "cpu" and self.kernel not in ("flash", "math"):
            raise refuse(
                f"the kernel '{self.kernel}' needs a GPU, this run computes on the CPU",
                socket="kernel",
                mend="use math or flash, or take numerics.attention out",
            )
        if self.kernel in KERNELS:
            return _around(module, lambda: _torch_kernel(self.kernel))
        package, backend = PACKAGES[self.kernel]
        if importlib.util.find_spec(package) is None:
            raise fail(
                "device.missing",
                f"the kernel '{self.kernel}' is in the package {package}, which is not installed",
                mend=f"pip install {package}, or choose another kernel",
                socket="kernel",
            )
        if not is_unet(recipe.family):
            module.set_attention_backend(backend)
            undo: Undo = module.reset_attention_backend
            return undo
        if self.kernel != "xformers":
            raise refuse(
                f"'{self.kernel}' is for transformers (Flux, SD 3), this model has a UNet",
                socket="kernel",
                mend="use xformers, or one of torch's own",
            )
        module.enable_xformers_memory_efficient_attention()
        back: Undo = module.disable_xformers_memory_efficient_attention
        return back


def _torch_kernel(kernel: str) -> Any:
    from torch.nn.attention import SDPBackend, sdpa_kernel

    return sdpa_kernel(getattr(SDPBackend, KERNELS[kernel]))


def _around(module: Any, make: Callable[[], Any]) -> Undo:
    """Enter a context before each forward of the module and leave it after, also when the forward fails."""
    stack = ExitStack()

    def before(*_: Any) -> None:
        stack.enter_context(make())

    def after(*_: Any) -> None:
        stack.close()

    handles = [module.register_forward_pre_hook(before), module.register_forward_hook(after, always_call=True)]

    def undo() -> None:
        for handle in handles:
            handle.remove()

    return undo


@dataclass(frozen=True)
class ChannelsLast:
    """Convolution weights with their channels innermost, as tensor cores want them; other kernels, other rounding."""

    own: ClassVar[str] = "channels_last"
    rowwise: ClassVar[bool] = True

    def attach(self, module: Any, recipe: Any) -> Undo:
        """Once for the module, which nobody else has."""
        import torch

        if not getattr(module, "channels_last", False):
            module.to(memory_format=torch.channels_last)
            module.channels_last = True
        return _nothing


@dataclass(frozen=True)
class Stored:
    """Weights kept in 8 bits and widened layer by layer as they are needed (diffusers' layerwise casting)."""

    kind: str  # `float8_e4m3fn` or `float8_e5m2`
    rowwise: ClassVar[bool] = True

    @property
    def own(self) -> str:
        """The rounded weights are no longer the file's."""
        return self.kind

    def attach(self, module: Any, recipe: Any) -> Undo:
        """Once for the module, which nobody else has."""
        import torch

        if not hasattr(module, "computes_in"):
            dtype = next(module.parameters()).dtype
            module.enable_layerwise_casting(storage_dtype=getattr(torch, self.kind), compute_dtype=dtype)
            module.computes_in = dtype
        return _nothing


@dataclass(frozen=True)
class Compiled:
    """The repeated blocks of the model compiled by torch, once for all of a kind, kept on disk for other processes."""

    mode: str = "default"
    rowwise: ClassVar[bool] = True
    compiles: ClassVar[bool] = True

    def attach(self, module: Any, recipe: Any) -> Undo:
        """Each block gets its compiled call; the first forward of a new shape compiles."""
        from nodes.families import compiling

        return compiling.attach(module, self.mode)


# --- what is not computed in every step ------------------------------------------------------------------------------


@contextmanager
def remembering(module: Any, who: str) -> Iterator[None]:
    """One forward of `who`, a side of guidance or a picture of a batch, for whom alone it is remembered."""
    state = getattr(module, "weft_remembers", None)
    if state is None:
        yield
        return
    from diffusers.models.cache_utils import CacheMixin

    state["who"] = who
    with CacheMixin.cache_context(module, who):  # models that are no CacheMixin take hooks all the same
        yield


@dataclass(frozen=True)
class Hooked:
    """One of diffusers' cache hooks, by name, with its numbers."""

    kind: str
    options: tuple[tuple[str, Any], ...] = ()
    stateful: ClassVar[bool] = True

    def attach(self, module: Any, recipe: Any) -> Undo:
        """Hooks on the blocks, removed with all they remember."""
        from diffusers import hooks
        from diffusers.hooks.hooks import HookRegistry

        def names() -> dict[Any, set[str]]:
            every = ((one, getattr(one, "_diffusers_hook", None)) for one in module.modules())
            return {one: set(registry.hooks) for one, registry in every if registry is not None}

        before = names()
        state: dict[str, Any] = {"who": "", "t": 0.0}
        watch = module.register_forward_pre_hook(lambda _, args, kwargs: _note(state, args, kwargs), with_kwargs=True)
        given = dict(self.options)
        every: Any = hooks
        if self.kind == "first_block":
            every.apply_first_block_cache(module, every.FirstBlockCacheConfig(**given))
        elif self.kind == "taylor":
            dtype = next(module.parameters()).dtype
            every.apply_taylorseer_cache(module, every.TaylorSeerCacheConfig(**given, taylor_factors_dtype=dtype))
        else:
            config = every.PyramidAttentionBroadcastConfig(**given, current_timestep_callback=lambda: state["t"])
            every.apply_pyramid_attention_broadcast(module, config)
            for one, found in names().items():
                for name in found - before.get(one, set()):
                    one._diffusers_hook.get_hook(name).state = _Broadcast(state)
        registry: Any = HookRegistry.check_if_exists_or_initialize(module)
        registry.invalidate_child_registries_cache()
        module.weft_remembers = state

        def undo() -> None:
            watch.remove()
            del module.weft_remembers
            for one, found in names().items():
                for name in found - before.get(one, set()):
                    one._diffusers_hook.remove_hook(name, recurse=False)
            registry.invalidate_child_registries_cache()

        return undo


@dataclass(eq=False)
class _Broadcast:
    """What diffusers' broadcast hook keeps of one attention, for each side: its own is one for all that come by.

    It reads and writes `iteration` and `cache`, and calls `reset`.
    """

    said: dict[str, Any]  # under `who`, whose forward it is
    counts: dict[str, int] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)

    @property
    def iteration(self) -> int:
        """How many forwards of this side there were."""
        return self.counts.get(self.said["who"], 0)

    @iteration.setter
    def iteration(self, count: int) -> None:
        self.counts[self.said["who"]] = count

    @property
    def cache(self) -> Any:
        """What the attention gave this side last."""
        return self.given.get(self.said["who"])

    @cache.setter
    def cache(self, output: Any) -> None:
        self.given[self.said["who"]] = output

    def reset(self) -> None:
        """Forget every side."""
        self.counts.clear()
        self.given.clear()


def _note(state: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Which timestep it is, 0 to 1000, for hooks that act in a range of them; flow models are told it from 0 to 1."""
    told = kwargs.get("timestep", args[1] if len(args) > 1 else 0.0)
    t = float(told.flatten()[0]) if hasattr(told, "flatten") else float(told)
    state["t"] = t * 1000 if 0 < t <= 1 else t


@dataclass(frozen=True)
class Deep:
    """The inner levels of a UNet computed in every `interval`-th step and reused between (Ma et al. 2023, DeepCache).

    `levels` are computed in every step: the outermost so many, down and up.
    """

    interval: int = 2
    levels: int = 1
    stateful: ClassVar[bool] = True

    def attach(self, module: Any, recipe: Any) -> Undo:
        """The inner blocks give what they gave before, unless it is their turn."""
        blocks = len(module.up_blocks)
        if self.levels >= blocks:
            raise refuse(
                f"with {self.levels} of its {blocks} levels computed in every step nothing is left to reuse",
                socket="levels",
                mend=f"use at most {blocks - 1}",
            )
        inner = [*module.down_blocks[self.levels :], module.mid_block, *module.up_blocks[: blocks - self.levels]]
        state: dict[str, Any] = {"who": ""}
        sides: dict[str, _Side] = {}

        def begin(*_: Any) -> None:
            side = sides.setdefault(state["who"], _Side())
            side.fresh = side.count % self.interval == 0
            side.count += 1

        def wrapped(block: Any, forward: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **kwargs: Any) -> Any:
                side = sides[state["who"]]
                if side.fresh or block not in side.given:
                    side.given[block] = forward(*args, **kwargs)
                return side.given[block]

            return call

        for block in inner:
            block.forward = wrapped(block, block.forward)
        watch = module.register_forward_pre_hook(begin)
        module.weft_remembers = state

        def undo() -> None:
            watch.remove()
            del module.weft_remembers
            sides.clear()
            for block in inner:
                del block.forward  # the class's own is there again

        return undo


@dataclass(eq=False)
class _Side:
    """What the inner blocks gave one side, and whether it is their turn."""

    count: int = 0
    fresh: bool = True
    given: dict[Any, Any] = field(default_factory=dict)


def _nothing() -> None:
    """The module is its own."""
