"""Opening: the session of a command, and a place to save in."""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from engine.cli import console, documents
from engine.errors import fail
from engine.places import Places
from engine.registry import Registry

if TYPE_CHECKING:
    from engine.session import Session


def open_session(args: argparse.Namespace, places: Places, registry: Registry) -> Session:
    """A session on the device that was asked for."""
    from engine.disk import Disk
    from engine.memory import probe
    from engine.session import Session

    kind, _, index = args.device.partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps", "xpu") or (index and not index.isdigit()):
        raise fail(
            "cli.usage", f"--device {args.device}: there is no such device", mend="cpu, cuda, cuda:1, mps or xpu"
        )
    numerics = probe(args.device, args.dtype)
    lower = None if getattr(args, "no_cache", False) else Disk.of(places, registry)
    records = documents.records_of(places)
    return Session(registry=registry, places=places, numerics=numerics, records=records, lower=lower)


def tell_what_was_not_kept(session: Session) -> None:
    """After the end: what could not be written costs no run, but the next one, and is said."""
    kept = (("values", session.engine.cache.lower), ("records", session.engine.records))
    for what, store in kept:
        if why := getattr(store, "problem", ""):
            told = fail("place.write", f"{what} could not be kept for the next run: {why}").problem
            console.problems([dataclasses.replace(told, severity="lint")])


def check_writable(folder: Path) -> None:
    """Fail before the work when what comes of it could not be saved; makes nothing."""
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    try:
        if not there.is_dir():
            raise NotADirectoryError(20, "it is no folder")
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise fail(
            "place.write",
            f"results cannot be saved in {folder}: {error.strerror or error}",
            mend="choose another folder with --out DIR",
        ) from None
