"""Devices: places that compute, the best of them, and what running out of memory looks like."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from dataclasses import dataclass
from typing import Any, Protocol

from engine.errors import fail
from engine.numerics import Numerics, threads
from engine.values import loaded_torch

MB = 2**20


class Device(Protocol):
    """A place that computes: what it is called, how many bytes it has, and what it does when they run out."""

    name: str

    def total(self) -> int:
        """Bytes of memory."""

    def free(self) -> int:
        """Bytes nobody holds, as far as the driver knows."""

    def release(self) -> None:
        """Give cached blocks back to the driver."""

    def peak(self, reset: bool = False) -> int | None:
        """The most bytes that were in use since the last reset, if the device counts."""


@dataclass
class HostDevice:
    """The CPU and its memory."""

    name: str = "cpu"

    def total(self) -> int:
        """Bytes of memory this process may use: the machine's, or its container's limit."""
        import psutil

        total = int(psutil.virtual_memory().total)
        for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
            try:
                with open(limit) as stream:
                    text = stream.read().strip()
            except OSError:
                continue
            if text.isdigit():
                total = min(total, int(text))
        return total

    def free(self) -> int:
        """Bytes available without swapping."""
        # Asked at every lease, and psutil takes several times as long.
        found = _told("/proc/meminfo", rb"MemAvailable:\s*(\d+) kB")
        if found is not None:
            return found
        import psutil

        return int(psutil.virtual_memory().available)

    def release(self) -> None:
        """Python's allocator keeps its own counsel."""

    def peak(self, reset: bool = False) -> int | None:
        """The most bytes that this process held, where the system counts it (Linux) and lets it begin anew."""
        if not reset:
            return _told("/proc/self/status", rb"VmHWM:\s*(\d+) kB")
        with contextlib.suppress(OSError):
            file = os.open("/proc/self/clear_refs", os.O_WRONLY)
            try:
                os.write(file, b"5")
            finally:
                os.close(file)
        return None


def _told(name: str, what: bytes) -> int | None:
    """The bytes of a line in KiB that Linux tells in a file of one page; None where there is none."""
    try:
        file = os.open(name, os.O_RDONLY)
        try:
            found = re.search(what, os.read(file, 4096))
        finally:
            os.close(file)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


@dataclass
class TorchDevice:
    """A CUDA or ROCm, MPS or XPU device, through torch."""

    name: str

    @property
    def _module(self) -> Any:
        import torch

        return getattr(torch, self.name.partition(":")[0])

    def total(self) -> int:
        """Bytes of device memory (Apple: what Metal recommends)."""
        if self.name.startswith("mps"):
            return int(self._module.recommended_max_memory())
        return int(self._module.get_device_properties(self.name).total_memory)

    def free(self) -> int:
        """Bytes the driver can still give."""
        if self.name.startswith("mps"):
            return self.total() - int(self._module.driver_allocated_memory())
        return int(self._module.mem_get_info(self.name)[0])

    def release(self) -> None:
        """Empty torch's block cache."""
        self._module.empty_cache()

    def peak(self, reset: bool = False) -> int | None:
        """Bytes allocated at the peak."""
        if not hasattr(self._module, "max_memory_allocated"):
            return None
        if reset:
            self._module.reset_peak_memory_stats(self.name)
            return None
        return int(self._module.max_memory_allocated(self.name))


def probe(device: str = "auto", dtype: str = "auto", **overrides: Any) -> Numerics:
    """The numerics of this machine: the best device there is, or the one asked for.

    Imports torch only where its answer is needed: a CPU build of torch has no other device. fp16 and bf16 are chosen
    only on devices; on the CPU `auto` is float32.
    """
    from engine.numerics import versions

    cpu_build = dict(versions()).get("torch", "").endswith("+cpu")
    if device == "auto" and cpu_build:
        device = "cpu"
    if device == "cpu":
        return Numerics("cpu", "", "float32" if dtype == "auto" else dtype, **overrides)
    import torch

    if device == "auto":
        device = _best_device()
    kind = device.partition(":")[0]
    if kind == "cpu":
        return Numerics("cpu", "", "float32" if dtype == "auto" else dtype, **overrides)
    backend = getattr(torch, kind, None)
    if backend is None or not hasattr(backend, "is_available") or not backend.is_available():
        raise fail(
            "device.missing", f"this machine has no device '{device}'", mend="leave --device out, or use --device cpu"
        )
    if ":" not in device and kind in ("cuda", "xpu"):
        device = f"{kind}:0"
    if kind in ("cuda", "xpu") and int(device.partition(":")[2]) >= backend.device_count():
        count = backend.device_count()
        raise fail("device.missing", f"there is no '{device}': this machine has {count}", mend=f"use {kind}:0")
    capability = ""
    if kind == "cuda":
        capability = f"{backend.get_device_name(device)} {backend.get_device_capability(device)}"
    if dtype == "auto":
        # fp16 keeps more mantissa than bf16; most published weights were made for it.
        dtype = "float16"
    return Numerics(device, capability, dtype, **overrides)


def _best_device() -> str:
    import torch

    if torch.cuda.is_available():
        return "cuda:0"
    if hasattr(torch, "xpu") and torch.xpu.is_available():
        return "xpu:0"
    if torch.backends.mps.is_available():
        return "mps"
    return "cpu"


_threads_set = False
_threads_lock = threading.Lock()


def set_threads_once() -> None:
    """Load torch, on one thread, and set its thread count: once per process, because it changes summation order.

    Steps of two lanes that import torch at the same moment can wait for each other for ever; here they queue.
    """
    global _threads_set
    if not _threads_set:
        with _threads_lock:
            import torch

            if not _threads_set:
                torch.set_num_threads(threads())
                _threads_set = True


def is_out_of_memory(error: BaseException) -> bool:
    """Did a device (or the host) run out of memory?"""
    if isinstance(error, MemoryError):
        return True
    torch = loaded_torch()
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "out of memory" in str(error).lower()
