"""Memory: one budget per device for everything resident, weights and tensors alike.

A `Resident` is something that takes room on a device and can be given up: a module's weights, a cached value, a
checkpoint, a step's activations. Each device has one `Budget`, which evicts by what a value is worth, as
hyperbolic caching does (Blankstein et al. 2017):

    worth = frequency * cost / bytes / age          age in seconds of work that the budget has seen since it came

`cost` is measured: the seconds it took to compute the value, or to load the module again. So a small tensor that took
long to make outlives a large one that is quickly made, and nothing stays for ever. What is in use is never evicted;
leased bytes may exceed the limit, so a limit of 0 means no reuse, not failure.

Live modules are reached only through `Memory.lease`: room made, locked for one thread, set exactly to the recipe. Room
is made *before* weights are read and activations are needed. Where a model does not fit in one piece, its weights wait
on the host and come block by block, or layer by layer (`placing`): that moves bytes and changes no bit.
"""

from engine.memory.ahead import Disk, Extent, Reader, Wish, signature
from engine.memory.budget import Budget, Resident
from engine.memory.devices import (
    MB,
    Device,
    HostDevice,
    TorchDevice,
    is_out_of_memory,
    probe,
    set_threads_once,
)
from engine.memory.modules import ASIDE, Memory, has_changed, module_bytes
from engine.memory.placing import Footprint, Way, choose

__all__ = [
    "ASIDE",
    "MB",
    "Budget",
    "Device",
    "Disk",
    "Extent",
    "Footprint",
    "HostDevice",
    "Memory",
    "Reader",
    "Resident",
    "TorchDevice",
    "Way",
    "Wish",
    "choose",
    "has_changed",
    "is_out_of_memory",
    "module_bytes",
    "probe",
    "set_threads_once",
    "signature",
]
