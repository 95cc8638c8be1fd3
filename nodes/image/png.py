"""Png: a fast encoder. Pillow's PNG is the slowest part of a fast pipeline.

Each row is stored as its difference to the row above (the Up filter), then run-length coded (zlib level 1, Z_RLE):
as small as Pillow's default and six times quicker on pictures like ours. zlib lets go of the GIL.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR = {1: 0, 3: 2, 4: 6}  # channels -> PNG colour type
_UP = 2


def encode(levels: numpy.ndarray[Any, Any], texts: Mapping[str, str], icc: bytes = b"", dpi: int = 0) -> bytes:
    """A PNG of uint8 or uint16 [height, width, 1, 3 or 4], with `texts` as UTF-8 text chunks before the pixels.

    `icc` is a colour profile, `dpi` dots per inch; empty and 0 say nothing.
    """
    import numpy as np

    height, width, channels = levels.shape
    depth = levels.dtype.itemsize
    # Of 16 bits the high byte comes first; the filter works on bytes either way.
    rows = np.ascontiguousarray(levels.astype(">u2") if depth == 2 else levels).view(np.uint8).reshape(height, -1)
    filtered = np.empty((height, rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])  # modulo 256, as the filter wants it
    packer = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    header = struct.pack(">IIBBBBB", width, height, 8 * depth, _COLOUR[channels], 0, 0, 0)
    parts = [_SIGNATURE, _chunk(b"IHDR", header)]
    if icc:
        parts.append(_chunk(b"iCCP", b"icc\0\0" + zlib.compress(icc)))
    if dpi:
        parts.append(_chunk(b"pHYs", struct.pack(">IIB", *[round(dpi / 0.0254)] * 2, 1)))
    parts += [_chunk(b"iTXt", key.encode("latin-1") + b"\0\0\0\0\0" + text.encode()) for key, text in texts.items()]
    parts += [_chunk(b"IDAT", packer.compress(filtered.data) + packer.flush()), _chunk(b"IEND", b"")]
    return b"".join(parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
