"""Values: how big a value is, where it lives, how it is owned, moved, told apart and shown.

The first room that may touch a tensor. Values are frozen dataclasses, tuples, lists and dicts over tensors and plain
data; these functions walk them. A pack whose values hold something else (a PIL image, a mesh) registers with the
`singledispatch` functions `parts`, `content` and `summary`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import singledispatch
from typing import TYPE_CHECKING, Any

from engine.keys import canonical
from engine.run import State
from engine.sockets import facts_of, field_names

if TYPE_CHECKING:
    import torch


def loaded_torch() -> Any:
    """Torch if anything in this process has loaded it; else None: there are no tensors to care for.

    Another thread may be half-way through importing it: the import statement waits for that, `sys.modules` does not.
    """
    if "torch" not in sys.modules:
        return None
    import torch

    return torch


def is_tensor(value: Any) -> bool:
    """Is it a torch tensor? Never imports torch to find out."""
    loaded = loaded_torch()
    return loaded is not None and isinstance(value, loaded.Tensor)


@singledispatch
def parts(value: Any) -> Iterator[Any]:
    """The direct parts of a value, for walking; nothing for plain data and unknown things."""
    for name in field_names(type(value)):
        yield getattr(value, name)


@parts.register(list)
@parts.register(tuple)
def _(value: Any) -> Iterator[Any]:
    yield from value


@parts.register(dict)
def _(value: dict[Any, Any]) -> Iterator[Any]:
    yield from value.values()


def tensors(value: Any) -> list[torch.Tensor]:
    """Every tensor inside a value, in a fixed order."""
    loaded = loaded_torch()
    found: list[torch.Tensor] = []
    if loaded is not None:
        _collect(value, loaded.Tensor, found)
    return found


_PLAIN_CLASSES = frozenset({str, int, float, bool, bytes, type(None)})


def _collect(value: Any, kind: type[torch.Tensor], found: list[torch.Tensor]) -> None:
    if isinstance(value, kind):
        found.append(value)
    elif type(value) not in _PLAIN_CLASSES:
        builtin = type(value) is dict or type(value) is tuple or type(value) is list
        inner = (value.values() if type(value) is dict else value) if builtin else parts(value)
        for part in inner:
            if type(part) not in _PLAIN_CLASSES:
                _collect(part, kind, found)


def nbytes(value: Any, held: Sequence[torch.Tensor] | None = None) -> int:
    """Bytes the value keeps alive: each storage once, plus the plain data. `held` are its tensors, if known."""
    seen: dict[int, int] = {}
    for tensor in tensors(value) if held is None else held:
        storage = tensor.untyped_storage()
        seen[storage.data_ptr() or id(storage)] = storage.nbytes()
    return sum(seen.values()) + sys.getsizeof(value)


def device_of(value: Any) -> str:
    """The device of the value's tensors (`cpu` when it has none)."""
    for tensor in tensors(value):
        if tensor.device.type != "cpu":
            return str(tensor.device)
    return "cpu"


def map_tensors(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """The same value with every tensor changed; parts without tensors are shared."""
    if is_tensor(value):
        return change(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(map_tensors(item, change) for item in value))
    if isinstance(value, list | tuple):
        return type(value)([map_tensors(item, change) for item in value])
    if isinstance(value, dict):
        return {key: map_tensors(item, change) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changed = {}
        for entry in dataclasses.fields(value):
            old = getattr(value, entry.name)
            new = map_tensors(old, change)
            if new is not old:
                changed[entry.name] = new
        return dataclasses.replace(value, **changed) if changed else value
    return value


def dense(tensor: torch.Tensor) -> bool:
    """Does it fill its stretch of memory without gaps or overlaps, in whatever order of its dimensions?"""
    if tensor.is_contiguous():
        return True
    expected = 1
    for step, size in sorted((step, size) for step, size in zip(tensor.stride(), tensor.shape, strict=True)):
        if size != 1:
            if step != expected:
                return False
            expected *= size
    return True


def contiguous(value: Any) -> Any:
    """The value in one order of memory: kernels may sum another one differently, so equal content is not enough.

    For values that are named by their content; those named by how they were made keep the order they were made in.
    """
    return map_tensors(value, lambda tensor: tensor.contiguous())


def owned(value: Any, held: Sequence[torch.Tensor] | None = None) -> Any:
    """The value with small views cloned, so that keeping it does not keep a large storage alive.

    What is left is `dense`, and so comes back from the disk as it is. The very same value when there is nothing to do.
    `held` are its tensors, if known.
    """

    def view(tensor: torch.Tensor) -> bool:
        return tensor.untyped_storage().nbytes() > 2 * tensor.nbytes + 4096 or not dense(tensor)

    for tensor in tensors(value) if held is None else held:
        if tensor.requires_grad or view(tensor):
            break
    else:
        return value
    return map_tensors(value, lambda tensor: tensor.detach().clone() if view(tensor) else tensor.detach())


def moved(value: Any, device: str) -> Any:
    """The value on another device."""
    return map_tensors(value, lambda tensor: tensor if str(tensor.device) == device else tensor.to(device))


def leaving(value: Any) -> Callable[[], Any]:
    """Begin to take a value off its device; the result, called on another thread, gives it in host memory.

    Call on the thread that made the value. On CUDA and ROCm the copy runs on a stream of its own, beside the work that
    was queued after it; elsewhere it is a plain copy.
    """
    device = device_of(value)
    if device == "cpu":
        return lambda: value
    torch = loaded_torch()
    if not device.startswith("cuda"):
        return lambda: moved(value, "cpu")
    made = torch.cuda.Event()
    made.record(torch.cuda.current_stream(device))

    def arrive() -> Any:
        side = _side_streams.get(device)
        if side is None:
            side = _side_streams[device] = torch.cuda.Stream(device)

        def fetch(tensor: Any) -> Any:
            if tensor.device.type == "cpu":
                return tensor
            pinned = torch.empty_like(tensor, device="cpu", pin_memory=True)  # in the same order of memory
            return pinned.copy_(tensor, non_blocking=True)

        with torch.cuda.stream(side):
            side.wait_event(made)
            copied = map_tensors(value, fetch)
        side.synchronize()
        # Pinned pages are few; what may stay for long lies in plain ones.
        return map_tensors(copied, lambda tensor: tensor.clone() if tensor.is_pinned() else tensor)

    return arrive


_side_streams: dict[str, Any] = {}


def versions(value: Any) -> tuple[int, ...]:
    """The version counters of every tensor: they differ after anything wrote into one in place."""
    return tuple(tensor._version for tensor in tensors(value))


@singledispatch
def content(value: Any) -> str:
    """A canonical text for what `keys.canonical` cannot read: a tensor by dtype, shape and bytes."""
    if is_tensor(value):
        plain = value.detach().cpu().contiguous()
        torch = loaded_torch()
        digest = hashlib.blake2b(digest_size=16)
        if plain.numel():
            digest.update(memoryview(plain.view(-1).view(torch.uint8).numpy()))
        return f"T{plain.dtype}{tuple(plain.shape)}{digest.hexdigest()}"
    raise TypeError(f"a {type(value).__name__} has no content digest; register it with engine.values.content")


@content.register(bytes)
def _(value: bytes) -> str:
    return "y" + hashlib.blake2b(value, digest_size=16).hexdigest()


def content_digest(value: Any) -> str:
    """The hash of a value's content: equal exactly for equal bits."""
    text = canonical(value, content)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def bit_equal(a: Any, b: Any) -> bool:
    """Do two values hold the same bits?"""
    return content_digest(a) == content_digest(b)


@singledispatch
def summary(value: Any) -> str:
    """One line for a person: `Image 512x512`, `Image 512x512, 4 of them`, `3.5`, `text of 20 characters`."""
    if isinstance(value, str):
        return repr(value) if len(value) <= 60 else f"text of {len(value)} characters"
    if value is None or isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, list | tuple):
        return f"list of {len(value)}" + (f" ({summary(value[0])}, ...)" if value else "")
    if is_tensor(value):
        return f"tensor {tuple(value.shape)} {value.dtype}"
    if isinstance(value, State):
        return f"state after step {value.index + 1}"
    name = type(value).__name__
    facts: Mapping[str, Any] = facts_of(value)
    size = f" {facts['width']}x{facts['height']}" if "width" in facts and "height" in facts else ""
    count = f", {facts['batch']} of them" if facts.get("batch", 1) != 1 else ""
    family = f" ({facts['family']})" if facts.get("family") else ""
    return f"{name}{size}{count}{family}"


def summaries(values: Mapping[str, Any]) -> str:
    """Inputs in one line each, for error reports."""
    return "\n".join(f"  {name}: {summary(value)}" for name, value in values.items())
