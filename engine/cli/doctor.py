"""Doctor: `weft doctor` – what this machine is, what is broken, and the next step for each."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.cli import console, documents
from engine.errors import WeftError
from engine.places import MODEL_FOLDERS, Places
from engine.registry import Registry, load_registry

NEEDED = {"torch": (2, 11), "diffusers": (0, 42), "transformers": (5, 20), "peft": (0, 21)}
LITTLE_MEMORY, LITTLE_DISK = 4 * 10**9, 2 * 10**9
INSTALL = "install the build of torch for it, with the command that PyTorch's own 'Get started' page gives"

# What torch says of itself, asked in a process of its own: an import that crashes must not take us along.
ASK_TORCH = """
import json, torch
found = {"version": torch.__version__, "devices": []}
for index in range(torch.cuda.device_count()):
    found["devices"].append([torch.cuda.get_device_name(index), torch.cuda.get_device_properties(index).total_memory])
if hasattr(torch, "xpu") and torch.xpu.is_available():
    found["devices"] += [[torch.xpu.get_device_name(i), 0] for i in range(torch.xpu.device_count())]
if torch.backends.mps.is_available():
    found["devices"].append(["Apple GPU (mps)", torch.mps.recommended_max_memory()])
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    about: str
    state: Literal["fine", "note", "broken"]
    text: str
    mend: str = ""


class World:
    """What doctor asks of the machine; tests give it another one."""

    system = sys.platform
    machine = platform.machine()
    python: tuple[int, ...] = sys.version_info[:3]

    def exists(self, path: str) -> bool:
        """Is the device file or folder there?"""
        return os.path.exists(path)

    def ask(self, *command: str, timeout: float = 60) -> tuple[int, str, str]:
        """A command's exit code (-1 when there is no such command), stdout and stderr."""
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
        except (OSError, subprocess.SubprocessError) as error:
            return -1, "", str(error)
        return done.returncode, done.stdout, done.stderr

    def versions(self) -> dict[str, str]:
        """The installed versions of the libraries that compute."""
        from engine.numerics import versions

        return dict(versions())

    def memory(self) -> int:
        """Bytes of memory that this process may use."""
        from engine.memory import HostDevice

        return HostDevice().total()

    def free(self, folder: Path) -> int:
        """Bytes free on the folder's disk."""
        return shutil.disk_usage(folder).free


def add(name: str, parser: argparse.ArgumentParser) -> None:
    """The options of `weft doctor`."""
    documents.add_places(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(go=go)


def go(args: argparse.Namespace) -> int:
    """Look at everything; 1 when something is broken."""
    places = documents.places_of(args)
    registry = load_registry(places.nodes)
    found = list(examine(World(), registry.places(places), registry))
    if args.json:
        console.out_json([vars(finding) for finding in found])
    else:
        colours = {"fine": "green", "note": "yellow", "broken": "red"}
        for finding in found:
            console.out(
                f"{console.style(f'{finding.state:<6}', colours[finding.state])}  {finding.about}: {finding.text}"
            )
            if finding.mend:
                console.out(f"        -> {finding.mend}")
    return int(any(finding.state == "broken" for finding in found))


def examine(world: World, places: Places, registry: Registry) -> Iterator[Finding]:
    """Every finding, in the order in which one would ask."""
    yield _python(world)
    yield from _libraries(world)
    yield from _torch(world)
    yield _memory(world)
    yield from _folders(world, places)
    yield from _packs(registry)
    yield from _models(places)


def _python(world: World) -> Finding:
    text = ".".join(map(str, world.python))
    if world.python < (3, 11):
        return Finding("Python", "broken", f"{text}; Weft needs 3.11 or newer", "make a new environment with it")
    return Finding("Python", "fine", f"{text} on {world.system} ({world.machine})")


def _libraries(world: World) -> Iterator[Finding]:
    for name, version in world.versions().items():
        least = ".".join(map(str, NEEDED.get(name, ())))
        if not version:
            yield Finding(name, "broken", "not installed", "pip install weft installs it")
        elif tuple(map(int, re.findall(r"\d+", version)[:2])) < NEEDED.get(name, (0, 0)):
            yield Finding(name, "broken", f"{version} is too old; Weft needs {least}", f"pip install -U {name}")
        else:
            yield Finding(name, "fine", version)


def gpus(world: World) -> dict[str, str]:
    """The graphics processors that the system shows, whatever torch can do with them: kind -> name."""
    found: dict[str, str] = {}
    code, told, _ = world.ask("nvidia-smi", "-L", timeout=15)
    names = re.findall(r"^GPU \d+: (.+?)(?: \(UUID.*)?$", told, re.M) if code == 0 else []
    if names:
        found["cuda"] = ", ".join(names)
    elif world.exists("/proc/driver/nvidia/version"):
        found["cuda"] = "an NVIDIA GPU (nvidia-smi does not answer)"
    elif world.exists("/dev/dxg") and world.exists("/usr/lib/wsl/lib/libcuda.so.1"):
        found["cuda"] = "an NVIDIA GPU through WSL (/dev/dxg)"
    if world.exists("/dev/kfd"):
        found["rocm"] = "an AMD GPU (/dev/kfd)"
    if world.system == "darwin" and world.machine == "arm64":
        found["mps"] = "an Apple GPU"
    return found


def _torch(world: World) -> Iterator[Finding]:
    """Does the build of torch fit the machine?"""
    there = gpus(world)
    if not world.versions().get("torch"):
        return
    code, told, wrong = world.ask(sys.executable, "-c", ASK_TORCH, timeout=120)
    lines = told.strip().splitlines()
    if code != 0 or not lines:
        last = (wrong.strip().splitlines() or ["it ended without a word"])[-1]
        yield Finding("torch", "broken", f"it cannot be imported: {console.one_line(last)}", "install it anew")
        return
    answer = json.loads(lines[-1])
    version, devices = str(answer["version"]), answer["devices"]
    if devices:
        for name, size in devices:
            room = f", {console.size(size)}" if size else ""
            yield Finding("device", "fine", f"{name}{room}")
        return
    build = version.partition("+")[2] or "the default build"
    if not there:
        yield Finding("device", "note", "no GPU: everything runs on the CPU, which is slow for all but small models")
        return
    for kind, name in there.items():
        wants = {"cuda": "cu", "rocm": "rocm", "mps": ""}[kind]
        if version.endswith("+cpu") or (wants and "+" in version and not build.startswith(wants)):
            text = f"this machine has {name}, but torch {version} cannot use it: it is a build for {_for(build)}"
            yield Finding("device", "broken", text, INSTALL)
        else:
            text = f"this machine has {name}, but torch {version} does not see it"
            yield Finding("device", "broken", text, "update the graphics driver; if that does not help, " + INSTALL)


def _for(build: str) -> str:
    if build.startswith("cu"):
        return "NVIDIA GPUs"
    return {"cpu": "the CPU alone", "rocm": "AMD GPUs"}.get(build.rstrip("0123456789."), build)


def _memory(world: World) -> Finding:
    total = world.memory()
    if total < LITTLE_MEMORY:
        mend = "use small models, or set WEFT_MEMORY_CPU (MB) so that less is kept"
        return Finding("memory", "note", f"{console.size(total)} is little", mend)
    return Finding("memory", "fine", console.size(total))


def _folders(world: World, places: Places) -> Iterator[Finding]:
    from engine.cli.run import check_writable

    for name, folder in (("home", places.home), ("output", places.output), ("state", places.state)):
        try:
            check_writable(folder)
        except WeftError as error:
            why = error.problem.message.partition(f"{folder}: ")[2] or error.problem.message
            mend = "let it be written, or set WEFT_HOME to another folder"
            yield Finding(name, "broken", f"{folder} cannot be written: {why}", mend)
            continue
        there = next(parent for parent in (folder, *folder.parents) if parent.exists())
        free = world.free(there)
        text = f"{folder}, {console.size(free)} free"
        if free < LITTLE_DISK:
            yield Finding(name, "note", text, "make room: pictures and models need some")
        else:
            yield Finding(name, "fine", text)


def _packs(registry: Registry) -> Iterator[Finding]:
    for pack in registry.packs:
        if pack.problem is not None:
            text = pack.problem.message.removeprefix(f"pack {pack.name}: ")
            mend = "install weft anew" if pack.name == "core" else f"update {pack.name}, or remove it"
            yield Finding(f"pack {pack.name}", "broken", text, mend)
        else:
            text = f"{console.plural(len(pack.nodes), 'node')}, version {pack.version}"
            yield Finding(f"pack {pack.name}", "fine", text)


def _models(places: Places) -> Iterator[Finding]:
    counts = {kind: len(places.models(kind)) for kind in MODEL_FOLDERS}
    told = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in counts.items() if count)
    if not counts["checkpoints"]:
        mend = f"put one under {places.home / 'models' / 'checkpoints'}, or add --models DIR"
        yield Finding("models", "note", told or "none found", mend)
    else:
        yield Finding("models", "fine", told)
