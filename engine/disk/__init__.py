"""Disk: the tier below the host. The same ids, in safetensors files that outlive the process.

    WEFT_HOME/cache/ab/<id>.safetensors      tensors, and in the header's metadata the value's shape as JSON

A file is written aside, synced and renamed, so that a killed writer leaves nothing that is ever read; several processes
may share the folder. Every tensor is checked against its digest when it is read: a damaged, truncated or foreign file
is not there, is removed, and the value is computed again. Weights never come here, and neither do values that are
quicker made than read. When the folder grows past its limit, or the disk is full, what is worth least goes first:
seconds saved per byte, halved for every week unused.

Values are rebuilt only from frozen dataclasses of installed packs; nothing in a file can name other code.
"""

from __future__ import annotations

from engine.disk.codec import read_metadata
from engine.disk.nearest import Difference, nearest
from engine.disk.tier import Disk, Kept

__all__ = ["Difference", "Disk", "Kept", "nearest", "read_metadata"]
