"""Bring: a model from a URL or the hub into the folder where it belongs, which its own header tells."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.errors import fail
from engine.places import HUB_ID, MODEL_FOLDERS, PICKLED, Places, check_name, inside
from engine.registry import Registry
from engine.shelf import describe, hub
from engine.shelf.fetch import Fetched, Progress, fetch

HUB_FILE = re.compile(r"([\w.-]+/[\w.-]+)/(.+)")
# Where a whole repository goes, by what its config.json says it is.
CLASSES = {"ControlNet": "controlnet", "T2IAdapter": "controlnet", "Autoencoder": "vae"}
CLASSES |= {"Transformer": "diffusion_models"}
CLASSES |= {"UNet": "diffusion_models", "clip_text_model": "text_encoders", "t5": "text_encoders"}
CLASSES |= {"clip_vision_model": "clip_vision", "siglip_vision_model": "clip_vision"}


@dataclass(frozen=True)
class Wish:
    """What is asked for: a URL, `org/name` or `org/name/file`; the rest is only needed where it cannot be told."""

    source: str
    kind: str = ""
    name: str = ""
    only: str = ""
    variant: str = ""
    revision: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Brought:
    """A model that is there now: its kind and name, as a node takes it, and where it lies."""

    kind: str
    name: str
    path: Path
    files: int
    bytes: int


Tell = Callable[[str], Progress]
"""Called with the name of a file that is about to come; what it gives is told how far that is."""


def bring(wish: Wish, where: Places, registry: Registry, tell: Tell = lambda name: lambda done, total: None) -> Brought:
    """Fetch it, check it, look into it, and put it where it belongs.

    Raises `model.missing`, `model.format`, and `cli.usage` where more has to be said (`--to`, `--name`, which file).
    """
    if wish.kind and wish.kind not in MODEL_FOLDERS:
        raise fail("cli.usage", f"there is no kind '{wish.kind}'", mend=f"kinds: {', '.join(MODEL_FOLDERS)}")
    if "://" in wish.source:
        incoming = where.home / "models" / ".incoming"
        found = fetch(wish.source, incoming, sha256=wish.sha256, progress=tell(_short(wish.source)))
        return _shelve(found, wish, where, registry)
    file = HUB_FILE.fullmatch(wish.source)
    if HUB_ID.fullmatch(wish.source):
        return _repository(wish, wish.source, wish.only, where, registry, tell)
    if file:
        return _repository(wish, file[1], file[2], where, registry, tell)
    mend = "give a URL, org/name, or org/name/file"
    raise fail("cli.usage", f"'{wish.source[:80]}' is neither an address nor a name on the hub", mend=mend)


def _repository(wish: Wish, name: str, only: str, where: Places, registry: Registry, tell: Tell) -> Brought:
    chosen = hub.choose(name, hub.entries(name, wish.revision or None), only, wish.variant)
    incoming = where.home / "models" / ".incoming"
    room = sum(one.size for one in chosen)
    _check_room(where.home, room)
    headers = hub.headers()
    if len(chosen) == 1 and chosen[0].name.endswith((*hub.WEIGHTS, *PICKLED)):
        one = chosen[0]
        sha256 = wish.sha256 or one.sha256
        found = fetch(one.url, incoming, sha256=sha256, size=one.size, headers=headers, progress=tell(one.name))
        return _shelve(Fetched(found.path, one.name.rpartition("/")[2], found.sha256), wish, where, registry)
    tokens = only == "tokenizer"
    folder = incoming / f"{name.replace('/', '--')}{'--tokenizer' if tokens else ''}"
    for one in chosen:
        place = inside(folder, check_name(one.name))
        if place is None:
            raise fail("place.outside", f"'{one.name[:80]}' leads out of its folder", mend="do not use this repository")
        if place.is_file() and place.stat().st_size == one.size:
            continue
        came = fetch(one.url, incoming, sha256=one.sha256, size=one.size, headers=headers, progress=tell(one.name))
        place.parent.mkdir(parents=True, exist_ok=True)
        came.path.replace(place)
        came.path.with_suffix(".json").unlink(missing_ok=True)
    kind = wish.kind or ("tokenizers" if tokens else _kind_of(folder))
    title = wish.name or (name.rpartition("/")[2] if tokens else name)
    target = _target(where, kind, title)
    if target.exists():
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    folder.replace(target)
    return Brought(kind, title, target, len(chosen), room)


def _kind_of(folder: Path) -> str:
    import json

    if (folder / "model_index.json").is_file():
        return "checkpoints"
    try:
        config: Mapping[str, object] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        config = {}
    told = f"{config.get('_class_name', '')} {config.get('model_type', '')}"
    kind = next((kind for sign, kind in CLASSES.items() if sign in told), "")
    if not kind:
        mend = f"say it with --to: {', '.join(MODEL_FOLDERS)}"
        what = told.strip() or "it has no config.json"
        raise fail("cli.usage", f"what came does not tell which kind of model it is: {what}", mend=mend)
    return kind


def _shelve(found: Fetched, wish: Wish, where: Places, registry: Registry) -> Brought:
    """Put a file that came into the folder of its kind."""
    name = check_name(wish.name or found.name or "model")
    ending = Path(name).suffix.lower()
    if ending not in (*hub.WEIGHTS, *PICKLED):
        ending = Path(found.name).suffix.lower()
        ending = ending if ending in (*hub.WEIGHTS, *PICKLED) else hub.WEIGHTS[0]
        name += ending
    size = found.path.stat().st_size
    kind = wish.kind
    if not kind:
        if ending in PICKLED:
            mend = "say where it belongs with --to, then `weft models convert` it"
            raise fail("cli.usage", f"{name} is pickled: what it is cannot be looked up", mend=mend)
        looked = found.path.with_suffix(ending)
        found.path.replace(looked)
        about = describe(looked, registry)
        looked.replace(found.path)
        kind = about.kind
        if about.problem:
            message = about.problem.replace(looked.name, name)
            raise fail("model.format", message, mend="is the address the file's own, not its page's?")
        if not kind:
            mend = f"say where it belongs with --to: {', '.join(MODEL_FOLDERS)}"
            raise fail("cli.usage", f"{name} does not tell what kind of model it is", mend=mend)
    target = _target(where, kind, name)
    if target.exists() and not _same(target, found):
        raise fail("place.write", f"there is another {target.name} in {target.parent}", mend="give it another --name")
    target.parent.mkdir(parents=True, exist_ok=True)
    found.path.replace(target)
    found.path.with_suffix(".json").unlink(missing_ok=True)
    return Brought(kind, name, target, 1, size)


def _target(where: Places, kind: str, name: str) -> Path:
    base = where.home / "models" / kind
    found = inside(base, check_name(name))
    if found is None:
        raise fail("place.outside", f"'{name[:80]}' leads out of {base}", mend="give it another --name")
    return found


def _same(path: Path, found: Fetched) -> bool:
    import hashlib

    if path.is_dir() or path.stat().st_size != found.path.stat().st_size:
        return False
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == found.sha256


def _check_room(home: Path, wanted: int) -> None:
    there = next((path for path in (home, *home.parents) if path.exists()), home)
    free = shutil.disk_usage(there).free
    if wanted > free:
        message = f"{wanted / 1e9:.1f} GB are wanted, the disk has {free / 1e9:.1f} GB left"
        raise fail("place.write", message, mend="make room, or choose a smaller --variant")


def _short(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2] or url
