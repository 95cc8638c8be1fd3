"""Compiling: the repeated blocks of a denoiser through torch.compile, kept on disk, told while it happens.

Blocks of one kind share what is compiled (regional compilation). Every size is compiled for itself and none for any
size: what torch makes of a second size depends on which came first, and a result must not. What was compiled lies under
`WEFT_HOME/state/compiled` (torch's own caches), so another process reads it instead of compiling.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

from engine import places
from engine.errors import WeftError, fail, refuse
from engine.run import Run
from nodes.families import attending
from nodes.types import Denoiser

LIMIT = 64  # how many sizes and kinds of blocks one process compiles; torch's 8 is less than a UNet has
FOLDER = "TORCHINDUCTOR_CACHE_DIR"
CHOICE = "compiling"  # what a run does without after the compiler failed

_TELL: ContextVar[Callable[[str], None]] = ContextVar("weft_compiling", default=lambda text: None)


@contextmanager
def telling(tell: Callable[[str], None]) -> Iterator[None]:
    """Within the block `tell` is called with a line before each block that is compiled; it may raise to cancel."""
    token = _TELL.set(tell)
    try:
        yield
    finally:
        _TELL.reset(token)


def as_far_as_it_compiles(model: Denoiser, run: Run) -> Denoiser:
    """The model without what compiles it, where the compiler has failed for this run before."""
    kept = tuple(patch for patch in model.patches if not getattr(patch, "compiles", False))
    return replace(model, patches=kept) if kept != model.patches and run.without(CHOICE) else model


def attach(module: Any, mode: str) -> Callable[[], None]:
    """Give each repeated block its compiled call; returns what takes it off. The first forward of a size compiles.

    Errors: a model without repeated blocks is refused; a compiler that fails raises `device.compile` in the forward.
    """
    names = getattr(module, "_repeated_blocks", None) or ()
    blocks = [one for one in module.modules() if type(one).__name__ in names]
    if not blocks:
        raise refuse(
            f"diffusers names no repeated blocks of {type(module).__name__}, so there is nothing to compile",
            socket="model",
            mend="take numerics.compile out",
        )
    import torch._dynamo.config as settings

    attending.forget(module)
    keep()
    # Torch keeps these by thread: this is the one that will call the blocks.
    settings.recompile_limit = max(settings.recompile_limit, LIMIT)
    settings.fail_on_recompile_limit_hit = True  # else the rest would silently run as it is
    made = module.__dict__.setdefault("weft_compiled", {})
    known = made.setdefault(mode, set())
    for block in blocks:
        key = (id(block), mode)
        if key not in made:
            made[key] = compiled(block, mode, known)
        block._compiled_call_impl = made[key]

    def undo() -> None:
        for block in blocks:
            block._compiled_call_impl = None

    return undo


def keep() -> None:
    """Let what is compiled be kept under `WEFT_HOME`, unless somebody has said where else."""
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    # Torch sets it too, to a temporary folder, when it is imported: that nobody has said.
    if os.environ.get(FOLDER) in (None, os.path.abspath(default_cache_dir())):
        os.environ[FOLDER] = str(places.current().state / "compiled")


def compiled(block: Any, mode: str, known: set[Any]) -> Callable[..., Any]:
    """The block's compiled call. `known` are the kinds and sizes that were compiled already, by any block."""
    import torch
    from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException

    make: Any = torch.compile
    call = make(block._call_impl, mode=None if mode == "default" else mode, dynamic=False)
    name = type(block).__name__

    def forward(*args: Any, **kwargs: Any) -> Any:
        size = (name, _size(args), _size(kwargs))
        if size not in known:
            _TELL.get()(f"compiling {name}, once for this size")
        try:
            found = call(*args, **kwargs)
        except (TorchDynamoException, FailOnRecompileLimitHit) as error:
            raise failed(name, error) from None
        known.add(size)
        return found

    return forward


def _size(value: Any) -> Any:
    """The shapes and dtypes of the tensors in a call's arguments."""
    if isinstance(value, Mapping):
        return tuple((name, _size(one)) for name, one in value.items())
    if isinstance(value, list | tuple):
        return tuple(map(_size, value))
    return (tuple(value.shape), value.dtype) if hasattr(value, "shape") else None


def failed(name: str, error: BaseException) -> WeftError:
    """What a compiler's failure is in one line; its own page of text is the report."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = lines[0] if lines else type(error).__name__
    return fail(
        "device.compile",
        f"torch could not compile {name}: {told[:200]}",
        mend="is a C++ compiler installed (g++, or Xcode's, or MSVC's)? Without one take numerics.compile out",
        report=str(error),
    )
