"""Numerics: whatever changes bits without being an input. One frozen record on the run, part of every heavy step's key.

Two runs with the same file, seed and numerics give the same bytes. Flags, nodes and ids read this one record, so they
cannot disagree. Nothing here imports torch: versions come from package metadata, and what only torch can tell (which
device there is) is told to this room by `engine.memory.probe`.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
from dataclasses import dataclass, field

LIBRARIES = ("torch", "diffusers", "transformers", "peft")
DTYPES = ("float32", "bfloat16", "float16")


@functools.cache
def versions() -> tuple[tuple[str, str], ...]:
    """The installed versions of the libraries whose kernels make the bits."""
    found = []
    for name in LIBRARIES:
        try:
            found.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            found.append((name, ""))
    return tuple(found)


def threads() -> int:
    """The CPU threads a process should compute with: as many as it may run on. Set once per process."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdigit() and int(given) > 0:
        return int(given)
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Numerics:
    """What decides the bits of a run.

    `device` as torch names it, `capability` its model or compute capability, `dtype` what denoisers compute in,
    `threads` the CPU threads (they change summation order), `attention` the backend, `compile` whether torch.compile
    is on, `deterministic` whether torch's deterministic algorithms are asked for.
    """

    device: str = "cpu"
    capability: str = ""
    dtype: str = "float32"
    threads: int = field(default_factory=threads)
    attention: str = "sdpa"
    compile: bool = False
    deterministic: bool = False
    libraries: tuple[tuple[str, str], ...] = field(default_factory=versions)

    @property
    def device_class(self) -> str:
        """`cuda` of `cuda:0`: the index of a device changes no bits."""
        return self.device.partition(":")[0]

    @functools.cached_property
    def digest(self) -> str:
        """One hash over everything that changes bits on this device."""
        parts = (
            self.device_class,
            self.capability,
            self.dtype,
            self.threads if self.device_class == "cpu" else 0,
            self.attention,
            self.compile,
            self.deterministic,
            self.libraries,
        )
        return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()

    @functools.cached_property
    def host_digest(self) -> str:
        """The same for steps of the cpu lane, which never see the device or its dtype."""
        parts = ("cpu", self.threads, self.deterministic, self.libraries)
        return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()
