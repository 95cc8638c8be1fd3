"""Guiders: which kind of guidance works with which family. A room of its own, because every plan asks it."""

from __future__ import annotations

from collections.abc import Mapping

# Which kind works with which family: the docs' table and a test for each cell are made of it.
DISTILLED = "it was distilled with guidance inside it, and has no unconditional prediction to move away from"
KINDS: Mapping[str, str] = {
    "cfg": "guidance.cfg",
    "cfg_zero": "guidance.cfg_zero",
    "apg": "guidance.apg",
    "tcfg": "guidance.tcfg",
    "attention": "guidance.pag",
    "energy": "guidance.seg",
    "layers": "guidance.skip_layers",
}
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "sd1": tuple(KINDS),
    "sd2": tuple(KINDS),
    "sdxl": tuple(KINDS),
    "sd3": tuple(KINDS),
    "flux": ("attention", "energy", "layers"),
}
