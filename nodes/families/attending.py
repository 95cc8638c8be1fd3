"""Attending: what diffusers asks of an attention processor at every forward, answered once.

`Attention.forward` takes the signature of its processor apart each time it is called, to warn of arguments it does not
know. On a small model that is a hundredth of the picture: 280 times a picture of 20 steps for each block.
"""

from __future__ import annotations

import inspect
from typing import Any

ASKED = "__call__"  # looked up on the processor itself; the call goes to its class


class _Known:
    """The processor's call, with the signature that `inspect.signature` would find."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self.__signature__ = inspect.signature(call)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)


def remember(module: Any) -> Any:
    """Let every attention processor of the module know its signature; the module."""
    for part in module.modules():
        processor = getattr(part, "processor", None)
        own = getattr(processor, "__dict__", None)
        # A processor that is a module itself (an adapter's) has its calls looked after by torch.
        if own is not None and callable(processor) and not hasattr(processor, "_parameters"):
            own.setdefault(ASKED, _Known(type(processor).__call__.__get__(processor)))
    return module


def forget(module: Any) -> None:
    """As diffusers made them: the compiler understands that, and folds the question away itself."""
    for part in module.modules():
        getattr(getattr(part, "processor", None), "__dict__", {}).pop(ASKED, None)
