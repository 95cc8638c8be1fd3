"""Attending: what diffusers asks of an attention processor at every forward, answered once.

`Attention.forward` takes the signature of its processor apart each time it is called, to warn of arguments it does not
know: 280 times in a picture of the starter with 20 steps (docs/decisions, 24).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from typing import Any

ASKED = "__call__"  # looked up on the processor itself; the call goes to its class


@functools.cache
def _signature(function: Any) -> inspect.Signature:
    """Of a method's function, without `self`."""
    whole = inspect.signature(function)
    return whole.replace(parameters=list(whole.parameters.values())[1:])


class _Known:
    """The processor's call, with the signature that `inspect.signature` would find."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self.__signature__ = _signature(call.__func__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)


def remember(module: Any) -> Any:
    """Let every attention processor of the module know its signature; the module."""
    for processor in _processors(module):
        if callable(processor):
            vars(processor).setdefault(ASKED, _Known(type(processor).__call__.__get__(processor)))
    return module


def forget(module: Any) -> None:
    """As diffusers made them: the compiler understands that, and folds the question away itself."""
    for processor in _processors(module):
        vars(processor).pop(ASKED, None)


def _processors(module: Any) -> Iterator[Any]:
    """Those of all attentions. One that is a module itself (an adapter's) stands elsewhere, and torch calls it."""
    for part in module.modules():
        processor = vars(part).get("processor")
        if hasattr(processor, "__dict__"):
            yield processor
