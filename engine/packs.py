"""Packs: node packs found (installed, folder, development) and read from their manifests without importing them.

A pack is an ordinary Python package. An installed one has an entry point in the group `weft.packs` that names the
package; a single file or a package folder in `WEFT_HOME/nodes` counts too. Its manifest, `nodes.json` beside its
`__init__.py`, is generated (`weft manifest`): listing and checking read that and import nothing. A manifest older than
the pack's sources is passed over and the pack is imported instead, so an author never sees yesterday's nodes.

In its `__init__.py` a pack may say `__weft_pack__ = {"title": ..., "about": ..., "models": {name: folder},
"describe": "module:function", "convert": "module:function", "exclude": [module, ...]}`; `describe` tells what a model
file is (`engine.shelf`), `convert` makes a workflow of another program's (`engine.workflow.foreign`).
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import importlib
import importlib.metadata
import importlib.util
import json
import pkgutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from engine.errors import Problem, WeftError, Where, fail
from engine.node import NodeSpec
from engine.sockets import TypeSpec

GROUP = "weft.packs"
MANIFEST = "nodes.json"
FORMAT = 1


@dataclass(frozen=True)
class Pack:
    """A pack as found: its name, where it lies, what it offers, or why it could not be read."""

    name: str
    module: str
    folder: Path
    version: str = "0"
    title: str = ""
    about: str = ""
    nodes: tuple[NodeSpec, ...] = ()
    types: tuple[TypeSpec, ...] = ()
    models: Mapping[str, str] = field(default_factory=dict)
    describe: str = ""
    convert: str = ""
    development: bool = False
    problem: Problem | None = None
    sources: Mapping[str, str] = field(default_factory=dict)  # in development: node id -> digest of its code


def find_packs(folder: Path | None = None) -> list[Pack]:
    """Every installed pack, then those in `folder` (`WEFT_HOME/nodes`). A broken one is a row with its error."""
    found = [read_pack(name, module, editable) for name, (module, editable) in sorted(_entry_points().items())]
    if folder is not None and folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.name.startswith((".", "_")):
                continue
            if path.suffix == ".py" or (path / "__init__.py").is_file():
                found.append(_read_loose(path))
    return found


def _entry_points() -> dict[str, tuple[str, bool]]:
    """Name -> its package, and whether it is installed as editable, which is how packs are developed."""
    points = importlib.metadata.entry_points(group=GROUP)
    found = {point.name: (point.value.partition(":")[0], _editable(point)) for point in points}
    # The built-in nodes are a pack like any other, and there even in a checkout that was never installed. Golden
    # digests guard their versions, in a checkout too.
    found["core"] = ("nodes", False)
    return found


def _editable(point: importlib.metadata.EntryPoint) -> bool:
    try:
        text = point.dist.read_text("direct_url.json") if point.dist is not None else None
        return bool(text and json.loads(text).get("dir_info", {}).get("editable"))
    except (OSError, ValueError, AttributeError):
        return False


def read_pack(name: str, module: str, development: bool = False) -> Pack:
    """One installed pack, from its manifest if that is fresh, else by importing it."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError) as error:
        return _broken(name, module, Path(), f"{module} cannot be imported: {error}")
    if spec is None or spec.origin is None:
        return _broken(name, module, Path(), f"the package {module} is not installed")
    folder = Path(spec.origin).parent
    manifest = folder / MANIFEST
    if manifest.is_file():
        try:
            record = json.loads(manifest.read_bytes())
            if record["manifest"] == FORMAT and record["sources"] == sources_digest(
                folder, record["pack"].get("exclude", ())
            ):
                return _keyed(_from_manifest(name, module, folder, record), development, Path(spec.origin))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return _broken(name, module, folder, f"its {MANIFEST} cannot be read: {error}")
    return _keyed(_import_pack(name, module, folder), development, Path(spec.origin))


def sources_digest(folder: Path, exclude: Sequence[str] = ()) -> str:
    """A digest of a pack's Python sources, line endings aside: a manifest is fresh while it matches."""
    digest = hashlib.blake2b(digest_size=16)
    for path in _sources(folder, exclude):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        digest.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()


def _sources(folder: Path, exclude: Sequence[str]) -> Iterator[Path]:
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).parts
        if parts[0].removesuffix(".py") not in exclude and "__pycache__" not in parts:
            yield path


def _keyed(pack: Pack, development: bool, init: Path) -> Pack:
    """The pack with the digests of its nodes' code, while it is under development."""
    if not development or pack.problem is not None:
        return pack
    modules = {spec.path.partition(":")[0] for spec in pack.nodes}
    digests = {module: code_digest(module, pack.module, init) for module in modules}
    sources = {spec.id: digests[spec.path.partition(":")[0]] for spec in pack.nodes}
    return dataclasses.replace(pack, development=True, sources=sources)


def code_digest(module: str, package: str, init: Path) -> str:
    """A digest of a module and of the modules of its package that it imports, directly or not.

    Nodes under development are keyed by it: an edit makes what they gave before a thing of the past. The files are
    read, not imported. `init` is the package's `__init__.py`, or the single file that is the whole pack.
    """
    texts: dict[str, bytes] = {}
    pending = [module]
    while pending:
        name = pending.pop()
        path = _module_file(name, package, init)
        if name in texts or path is None:
            continue
        texts[name] = path.read_bytes().replace(b"\r\n", b"\n")
        pending.extend(_imported(texts[name], name, path.name == "__init__.py"))
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(texts):
        digest.update(name.encode() + b"\0" + texts[name])
    return digest.hexdigest()


def _module_file(module: str, package: str, init: Path) -> Path | None:
    if module == package:
        return init
    if init.name != "__init__.py" or not module.startswith(package + "."):
        return None
    bare = init.parent.joinpath(*module.removeprefix(package + ".").split("."))
    return next((path for path in (bare.with_name(bare.name + ".py"), bare / "__init__.py") if path.is_file()), None)


def _imported(source: bytes, module: str, is_package: bool) -> Iterator[str]:
    """The names a module imports, absolute; a name imported from a package may be a module of it."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: None if is_package and node.level == 1 else -(node.level - is_package)]
            base = ".".join([*above, *([node.module] if node.module else [])]) if node.level else node.module or ""
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _from_manifest(name: str, module: str, folder: Path, record: Mapping[str, Any]) -> Pack:
    about = record["pack"]
    return Pack(
        name=name,
        module=module,
        folder=folder,
        version=about["version"],
        title=about.get("title", ""),
        about=about.get("about", ""),
        nodes=tuple(NodeSpec.from_json(item) for item in record["nodes"]),
        types=tuple(TypeSpec.from_json(item) for item in record["types"]),
        models=about.get("models", {}),
        describe=about.get("describe", ""),
        convert=about.get("convert", ""),
    )


def _read_loose(path: Path) -> Pack:
    """A single file or folder in `WEFT_HOME/nodes`: imported under its own name, always in development."""
    name = path.stem
    module = f"weft_loose_{name}"
    init = path if path.suffix == ".py" else path / "__init__.py"
    spec = importlib.util.spec_from_file_location(
        module, init, submodule_search_locations=None if path.suffix == ".py" else [str(path)]
    )
    if spec is None or spec.loader is None:
        return _broken(name, module, path.parent, f"{path} cannot be imported")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[module] = loaded
    try:
        spec.loader.exec_module(loaded)
        modules = [loaded, *(_submodules(loaded, ()) if path.suffix != ".py" else ())]
        return _keyed(_collect(name, module, init.parent, modules, development=True), True, init)
    except Exception as error:
        sys.modules.pop(module, None)
        return _broken(name, module, path.parent, _one_line(error), error)


def _import_pack(name: str, module: str, folder: Path) -> Pack:
    try:
        package = importlib.import_module(module)
        exclude = getattr(package, "__weft_pack__", {}).get("exclude", ())
        return _collect(name, module, folder, [package, *_submodules(package, exclude)], development=False)
    except Exception as error:
        return _broken(name, module, folder, _one_line(error), error)


def _submodules(package: ModuleType, exclude: Sequence[str]) -> Iterator[ModuleType]:
    if not hasattr(package, "__path__"):
        return
    for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        inner = info.name.removeprefix(package.__name__ + ".")
        if inner.partition(".")[0] not in exclude and not inner.rpartition(".")[2].startswith("__"):
            yield importlib.import_module(info.name)


def _collect(name: str, module: str, folder: Path, modules: Sequence[ModuleType], *, development: bool) -> Pack:
    """What the modules declare. Ids and types of a pack other than the built-in one are prefixed with its name."""
    prefix = "" if name == "core" else f"{name}/"
    specs: dict[str, NodeSpec] = {}
    kinds: dict[str, TypeSpec] = {}
    for loaded in modules:
        for thing in vars(loaded).values():
            spec = getattr(thing, "__weft__", None)
            if isinstance(spec, NodeSpec) and spec.path.partition(":")[0] == loaded.__name__:
                if prefix and not spec.id.startswith(prefix):
                    raise fail(
                        "node.declaration",
                        f"node {spec.id} of pack {name} must be called {prefix}{spec.id}",
                        mend=f'write @node("{prefix}{spec.id}")',
                        file=loaded.__file__,
                        line=spec.line,
                    )
                if spec.id in specs and specs[spec.id].path != spec.path:
                    raise fail(
                        "node.declaration", f"two nodes are called {spec.id}", mend="rename one", file=loaded.__file__
                    )
                object.__setattr__(spec, "pack", name)
                specs[spec.id] = spec
            kind = vars(thing).get("__weft_type__") if isinstance(thing, type) else None
            if kind is not None and kind.path.partition(":")[0] == loaded.__name__:
                kinds[kind.name] = kind
    about: Mapping[str, Any] = getattr(modules[0], "__weft_pack__", {})
    return Pack(
        name=name,
        module=module,
        folder=folder,
        version=_version(module),
        title=about.get("title", name),
        about=about.get("about", (modules[0].__doc__ or "").strip().partition("\n")[0]),
        nodes=tuple(specs[id] for id in sorted(specs)),
        types=tuple(kinds[kind] for kind in sorted(kinds)),
        models=about.get("models", {}),
        describe=about.get("describe", ""),
        convert=about.get("convert", ""),
        development=development,
    )


def _version(module: str) -> str:
    name = "weft" if module == "nodes" else module
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "0"


def build_manifest(name: str, module: str) -> dict[str, Any]:
    """The manifest of a pack, made by importing it."""
    package = importlib.import_module(module)
    folder = Path(package.__file__ or "").parent
    exclude = list(getattr(package, "__weft_pack__", {}).get("exclude", ()))
    pack = _collect(name, module, folder, [package, *_submodules(package, exclude)], development=False)
    return {
        "manifest": FORMAT,
        "pack": {
            "name": name,
            "version": pack.version,
            "title": pack.title,
            "about": pack.about,
            "models": dict(pack.models),
            **({"describe": pack.describe} if pack.describe else {}),
            **({"convert": pack.convert} if pack.convert else {}),
            "exclude": exclude,
        },
        "sources": sources_digest(folder, exclude),
        "types": [kind.to_json() for kind in pack.types],
        "nodes": [spec.to_json() for spec in pack.nodes],
    }


def _one_line(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _broken(name: str, module: str, folder: Path, message: str, error: BaseException | None = None) -> Pack:
    if isinstance(error, WeftError):
        problem = error.problem
    else:
        import traceback

        report = "".join(traceback.format_exception(error)) if error else None
        problem = Problem("pack.broken", f"pack {name}: {message}", Where(file=str(folder)), report=report)
    return Pack(name=name, module=module, folder=folder, problem=problem)
