"""Places: where things live on disk, what a name in a workflow means there, and the ids of files.

A name in a workflow uses `/` on every system and never leaves its place. Models are looked for in every models folder
(`WEFT_HOME/models`, each `--models DIR`, existing ComfyUI and A1111 trees read in place), then among the models that
packs ship (`starter/unet`), then in the Hugging Face cache (`org/name`). Nothing here reads the network.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import did_you_mean, fail

# The field's folder names, with the other names that existing trees use for them.
MODEL_FOLDERS: Mapping[str, tuple[str, ...]] = {
    "checkpoints": ("checkpoints", "Stable-diffusion"),
    "diffusion_models": ("diffusion_models", "unet"),
    "text_encoders": ("text_encoders", "clip"),
    "vae": ("vae", "VAE"),
    "loras": ("loras", "Lora", "lora", "LyCORIS"),
    "controlnet": ("controlnet", "ControlNet", "t2i_adapter"),
    "embeddings": ("embeddings",),
    "upscale_models": ("upscale_models", "ESRGAN", "RealESRGAN"),
    "clip_vision": ("clip_vision",),
    "ip_adapter": ("ip_adapter", "ipadapter"),
    "preprocessors": ("preprocessors",),
    "tokenizers": ("tokenizers",),
}
# Kinds that a whole model's folder holds too: `load.vae` may name one and take its VAE.
COMPONENTS = ("diffusion_models", "text_encoders", "vae")
WHOLE = ("checkpoints", *COMPONENTS)
WEIGHT_ENDINGS = (".safetensors", ".gguf", ".sft")
TOKENIZERS = ("tokenizer.json", "vocab.json", "spiece.model")
PICKLED = (".ckpt", ".pt", ".pth", ".bin", ".pkl")
IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
WHOLE_HASH_LIMIT = 256 * 2**20
SAMPLE_BLOCKS = 64
BLOCK = 2**16
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def default_home() -> Path:
    """`WEFT_HOME`, or `~/weft`."""
    given = os.environ.get("WEFT_HOME")
    return Path(given).expanduser() if given else Path.home() / "weft"


@dataclass(frozen=True)
class Places:
    """The folders of one session. Nothing is created until something is written."""

    home: Path = field(default_factory=default_home)
    model_folders: tuple[Path, ...] = ()
    output_folder: Path | None = None
    input_folder: Path | None = None
    # Models that packs bring: a whole model's name -> its folder; of other kinds "loras:name" -> a file or folder.
    shipped: Mapping[str, Path] = field(default_factory=dict)
    beside: Path | None = None  # the folder of the workflow file: its pictures may lie beside it

    @property
    def input(self) -> Path:
        """Where images to work on lie."""
        return self.input_folder or self.home / "input"

    @property
    def output(self) -> Path:
        """Where results are saved."""
        return self.output_folder or self.home / "output"

    @property
    def workflows(self) -> Path:
        """Where the editor keeps workflows."""
        return self.home / "workflows"

    @property
    def nodes(self) -> Path:
        """Single-file nodes, hot-loaded."""
        return self.home / "nodes"

    @property
    def state(self) -> Path:
        """The engine's own records."""
        return self.home / "state"

    def roots(self) -> list[Path]:
        """The model trees, in the order they are searched. An A1111 tree keeps its models under `models`."""
        given = list(self.model_folders)
        given += [folder / "models" for folder in self.model_folders if (folder / "models").is_dir()]
        return [*given, self.home / "models"]

    def model(self, kind: str, name: str) -> Path:
        """The file or folder a model's name means, or a `model.missing` that says what there is."""
        relative = check_name(name)
        for root in self.roots():
            for folder in MODEL_FOLDERS.get(kind, (kind,)):
                base = root / folder
                found = inside(base, relative)
                if found is not None and found.exists():
                    return found
        if kind in COMPONENTS and relative in self._whole_models():
            return self.model("checkpoints", name)
        brought = self.shipped.get(f"{kind}:{relative}") or (self.shipped.get(relative) if kind in WHOLE else None)
        if brought is not None:
            return brought
        found = hub_snapshot(name)
        if found is not None:
            return found
        known = self.models(kind)
        fetch = f"fetch it with `weft models get {name}`, " if HUB_ID.fullmatch(name) else ""
        raise fail(
            "model.missing",
            f"no {kind.rstrip('s').replace('_', ' ')} named '{name}'.{did_you_mean(name, known)}",
            mend=f"{fetch}put it under {self.home / 'models' / kind}, add --models DIR, or choose one of: "
            + (", ".join(known[:8]) or "none there yet"),
        )

    def models(self, kind: str) -> list[str]:
        """Every model name of a kind, sorted, `/` on every system; folders count when they hold a config."""
        found: set[str] = set()
        for root in self.roots():
            for folder in MODEL_FOLDERS.get(kind, (kind,)):
                found.update(_models_under(root / folder))
        if kind in WHOLE:
            found.update(name for name in self.shipped if ":" not in name)
        found.update(name.removeprefix(f"{kind}:") for name in self.shipped if name.startswith(f"{kind}:"))
        if kind in COMPONENTS:
            found.update(self._whole_models())
        return sorted(found)

    def _whole_models(self) -> set[str]:
        """The names in `checkpoints` that hold all components of a model: folders with an index, and single files."""
        bases = [root / folder for root in self.roots() for folder in MODEL_FOLDERS["checkpoints"]]
        return {name for base in bases for name in _models_under(base) if _is_whole(base / name)}

    def file(self, place: str, name: str) -> Path:
        """The file of a name in `input`, `output` or `workflows`, or a `media.missing`.

        An `input` that is not there is looked for beside the workflow file, so that a shared folder is complete.
        """
        base: Path = getattr(self, place)
        found = inside(base, check_name(name))
        if found is None:
            raise outside(name, base)
        if not found.is_file() and place == "input" and self.beside is not None:
            found = inside(self.beside, check_name(name)) or found
        if not found.is_file():
            raise fail(
                "media.missing", f"there is no file '{name}' in {base}", mend="check the name, or put the file there"
            )
        return found

    def files(self, place: str, endings: Sequence[str] = IMAGE_ENDINGS) -> list[str]:
        """The names of the files in a place, sorted."""
        base: Path = getattr(self, place)
        if not base.is_dir():
            return []
        return sorted(
            path.relative_to(base).as_posix()
            for path in base.rglob("*")
            if path.suffix.lower() in endings and not path.name.startswith(".")
        )


def _is_whole(path: Path) -> bool:
    """May a name in `checkpoints` stand for one of its components?"""
    return path.suffix.lower() in WEIGHT_ENDINGS or (path / "model_index.json").is_file()


def _models_under(base: Path) -> Iterator[str]:
    if not base.is_dir():
        return
    for current, folders, files in os.walk(base, followlinks=True):
        here = Path(current)
        tokens = base.name == "tokenizers" and any(name in files for name in TOKENIZERS)
        if "model_index.json" in files or (("config.json" in files or tokens) and here != base):
            yield here.relative_to(base).as_posix()
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith((".", "__"))]
        for name in files:
            if name.lower().endswith(WEIGHT_ENDINGS):
                yield (here / name).relative_to(base).as_posix()


CURRENT: ContextVar[Places | None] = ContextVar("weft_places", default=None)
_process_places = Places()


def current() -> Places:
    """The places of the running step, or of the process."""
    return CURRENT.get() or _process_places


def set_process_places(places: Places) -> None:
    """What `current()` gives outside a running step."""
    global _process_places
    _process_places = places


@contextmanager
def using(places: Places) -> Iterator[Places]:
    """Make `places` the current ones within the block (and in what it calls, on this thread)."""
    token = CURRENT.set(places)
    try:
        yield places
    finally:
        CURRENT.reset(token)


# --- names and paths -----------------------------------------------------------------------------------------------

_RESERVED = re.compile(r"(?i)^(con|prn|aux|nul|com\d|lpt\d)(\.|$)")


def check_name(name: str) -> str:
    """A relative name with `/`, that means the same on every system and cannot climb out of its place."""
    parts = name.replace("\\", "/").split("/")
    bad = (
        not name
        or "\0" in name
        or name.startswith(("/", "\\", "~"))
        or ".." in parts
        or any(":" in part or _RESERVED.match(part) for part in parts)
    )
    if bad or len(name) > 512:
        raise fail(
            "place.outside",
            f"'{name[:80]}' is not a name inside its folder",
            mend="use a relative name with '/', without '..' and drive letters",
        )
    return "/".join(part for part in parts if part not in ("", "."))


def inside(base: Path, name: str) -> Path | None:
    """`base / name`, or None when it leaves `base` after links are followed.

    A link that is itself a part of the tree may lead out of it: the tree's owner put it there (a shared models disk).
    """
    path = base / name
    try:
        resolved, root = path.resolve(), base.resolve()
    except (OSError, RuntimeError):
        return None
    if resolved == root or root in resolved.parents:
        return path
    # The owner's own links (a shared models disk) are fine for reading models; names cannot contain '..' here.
    return path if path.is_symlink() or any(parent.is_symlink() for parent in _between(base, path)) else None


def _between(base: Path, path: Path) -> Iterator[Path]:
    for parent in path.parents:
        if parent == base:
            return
        yield parent


def outside(name: str, base: Path) -> Exception:
    """The error for a path that leaves its folder."""
    return fail("place.outside", f"'{name[:80]}' leads out of {base}", mend="name a file inside that folder")


def hub_snapshot(name: str) -> Path | None:
    """The newest snapshot of `org/name` in the Hugging Face cache, if it is there; no library, no network."""
    if not HUB_ID.fullmatch(name):
        return None
    home = os.environ.get("HF_HOME")
    cache = os.environ.get("HF_HUB_CACHE")
    root = Path(cache) if cache else (Path(home) if home else Path.home() / ".cache" / "huggingface") / "hub"
    folder = root / ("models--" + name.replace("/", "--"))
    ref = folder / "refs" / "main"
    try:
        snapshot = folder / "snapshots" / ref.read_text().strip()
    except OSError:
        return None
    return snapshot if snapshot.is_dir() else None


def _sync(folder: Path) -> None:
    """The names in a folder outlive a power cut too, where one can be synced: not on Windows, nor on every share."""
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_atomic(path: Path, data: bytes) -> None:
    """Write so that a reader sees the old file or the new one, never half: temporary file, fsync, rename, fsync."""
    temporary = path.parent / f".weft-{secrets.token_hex(8)}.part"
    try:
        fresh = not path.parent.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        # Opened with the mode that any new file has: to ask for the umask is to set it, for every thread.
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync(path.parent)
        if fresh:
            _sync(path.parent.parent)
    except OSError as error:
        raise fail(
            "place.write",
            f"cannot write {path}: {error.strerror or error}",
            mend="check that the folder may be written and the disk has room",
        ) from error


# --- ids of files --------------------------------------------------------------------------------------------------

_file_ids: dict[tuple[str, int, int, int, int], str] = {}
_file_ids_lock = threading.Lock()


def file_id(path: Path, whole: bool = False) -> str:
    """The id of a file (or folder) by content: 32 hex digits.

    Up to 256 MB the whole file is hashed; above that its size, its first block (a safetensors header) and 64 spaced
    blocks, unless `whole`. Memoised by path, size, times and inode, so an unchanged file is read once per process.
    A folder's id is made of the names and ids of the files that matter in it (JSON, text and weights).
    """
    if path.is_dir():
        digest = hashlib.blake2b(digest_size=16)
        for parts in sorted(_files_below(str(path))):
            digest.update(f"{'/'.join(parts)}\0{_file_id(os.path.join(path, *parts), whole)}\n".encode())
        return digest.hexdigest()
    return _file_id(str(path), whole)


def _files_below(folder: str) -> Iterator[tuple[str, ...]]:
    """The files of a folder that matter, as the parts of their names. Plain strings: every plan asks this."""
    for current, _, files in os.walk(folder):
        inner = os.path.relpath(current, folder)
        before = () if inner == os.curdir else tuple(inner.split(os.sep))
        for name in files:
            if name[0] != "." and os.path.splitext(name)[1] not in PICKLED and os.path.isfile(f"{current}/{name}"):
                yield (*before, name)


def _file_id(path: str, whole: bool) -> str:
    stat = os.stat(path)
    key = (path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
    if not whole:
        with _file_ids_lock:
            known = _file_ids.get(key)
        if known is not None:
            return known
    found = _hash_file(Path(path), stat.st_size, whole)
    if not whole:
        with _file_ids_lock:
            if len(_file_ids) > 65_536:
                _file_ids.clear()
            _file_ids[key] = found
    return found


def _hash_file(path: Path, size: int, whole: bool) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as stream:
        if whole or size <= WHOLE_HASH_LIMIT:
            while chunk := stream.read(2**20):
                digest.update(chunk)
        else:
            digest.update(f"sampled {size}\0".encode())
            for index in range(SAMPLE_BLOCKS + 1):
                stream.seek((size - BLOCK) * index // SAMPLE_BLOCKS)
                digest.update(stream.read(BLOCK))
    return digest.hexdigest()
