"""The house rules: layers, words, sizes, and what a checkout may not carry."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MODULES = sorted((ROOT / "engine").rglob("*.py"))
ROOMS = [path for path in MODULES if path.name not in ("__init__.py", "__main__.py")]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# --- layers --------------------------------------------------------------------------------------------------------


def test_the_layers_hold(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    failed = lint_imports(config_filename="pyproject.toml", no_cache=True, no_logo=True)
    assert not failed, capsys.readouterr().out


# What each contract is there to stop: a line added to a module, and the words by which the report names it.
BREACHES = {
    "line": [
        ("engine/errors.py", "import engine.node", "engine.errors -> engine.node"),
        ("engine/sockets.py", "def late():\n    import engine.node", "engine.sockets -> engine.node"),
        ("engine/attic.py", "", "attic"),
    ],
    "nodes": [("engine/errors.py", "import nodes.anything", "engine.errors -> nodes")],
    "light": [
        ("engine/errors.py", "import torch", "engine.errors -> torch"),
        ("engine/plan.py", "def late():\n    from PIL import Image", "engine.plan -> PIL"),
        ("engine/keys.py", "import numpy as np", "engine.keys -> numpy"),
    ],
    "http": [
        ("engine/session/late.py", "import aiohttp", "engine.session.late -> aiohttp"),
        ("nodes/anything.py", "from aiohttp import web", "nodes.anything -> aiohttp"),
    ],
    "networkx": [("engine/plan.py", "import networkx", "engine.plan -> networkx")],
}


@pytest.mark.parametrize(
    ("contract", "file", "line", "told"),
    [(contract, *breach) for contract, all_ in BREACHES.items() for breach in all_],
)
def test_a_breach_of_the_layers_is_found(tmp_path, contract, file, line, told):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in ("engine", "nodes"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=unreadable)
    (tmp_path / "nodes" / "anything.py").touch()
    spoilt = tmp_path / file
    if (tmp_path / file).with_suffix("").is_dir():  # a room that has become a folder
        spoilt = (tmp_path / file).with_suffix("") / "__init__.py"
    before = spoilt.read_text(encoding="utf-8") if spoilt.exists() else ""
    spoilt.write_text(f"{before}\n{line}\n", encoding="utf-8")
    command = [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache", "--contract", contract]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "1 broken" in done.stdout
    assert told in done.stdout


def unreadable(folder: str, names: list[str]) -> list[str]:
    """What a copy for reading the imports leaves out: all but folders and Python."""
    return [n for n in names if n == "__pycache__" or not (n.endswith(".py") or Path(folder, n).is_dir())]


# --- rooms ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_a_room_says_what_it_is_in_one_line(module):
    """As in `Keys: ids of outputs before they exist.`: the noun, a colon, one sentence."""
    text = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))
    assert text, "no docstring"
    first, _, rest = text.partition("\n")
    assert re.match(r"[A-Z][\w`'’ -]{1,40}: \S.*[.?!]$", first), first
    assert len(first) <= 120
    assert not rest or rest.startswith("\n"), "the line is followed by an empty one"


@pytest.mark.parametrize("module", ROOMS, ids=name)
def test_a_room_is_small(module):
    lines = len(module.read_text(encoding="utf-8").splitlines())
    if lines > 400:
        warnings.warn(f"{name(module)} has {lines} lines: at about 400 a room becomes a folder", stacklevel=1)
    assert lines <= 600


def test_every_room_has_its_tests():
    assert untested() == []


def untested() -> list[str]:
    """Rooms of `engine/` without `tests/engine/test_<room>.py`, or a folder of that name for a room that is one."""
    rooms = {path.relative_to(ROOT / "engine").parts[0].removesuffix(".py") for path in ROOMS}
    tests = ROOT / "tests" / "engine"
    return sorted(room for room in rooms if not (tests / f"test_{room}.py").is_file() and not (tests / room).is_dir())


# --- what a checkout may not carry ---------------------------------------------------------------------------------

# Written in pieces, so that this file does not name what it forbids.
FORBIDDEN = {
    "a developer's machine": r"/work/(?:main|shared|\.)|/root/|/(?:home|Users)/(?!you/|me/|user/)\w+/|[A-Z]:\\Users\\",
    "a package registry": "|".join(
        re.escape(".".join(parts))
        for parts in [
            ("pypi", "org"),
            ("pythonhosted", "org"),
            ("download", "pytorch", "org"),
            ("registry", "npmjs", "org"),
            ("registry", "yarnpkg", "com"),
            ("deb", "debian", "org"),
        ]
    ),
}


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [ROOT / file for file in listed.decode().split("\0") if file and (ROOT / file).is_file()]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_tracked_file_names(what):
    found = []
    for path in tracked():
        blob = path.read_bytes()
        if b"\0" in blob[:8192] or path == Path(__file__):
            continue
        for number, line in enumerate(blob.decode("utf-8", "replace").splitlines(), 1):
            if hit := re.search(FORBIDDEN[what], line):
                found.append(f"{name(path)}:{number}: {hit[0]}")
    assert not found, f"these name {what}:\n" + "\n".join(found[:20])


# --- the environment -----------------------------------------------------------------------------------------------


def test_every_dependency_is_pinned():
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M))
    normal = {re.sub(r"[-_.]+", "-", pin).lower() for pin in pins}
    asked = [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["dev"]]
    assert {re.match(r"[\w-]+", need)[0].lower() for need in asked} <= normal
    assert not {"torchvision", "torchaudio"} & normal


# --- a light start -------------------------------------------------------------------------------------------------

PROBE = """
import sys, time
from engine.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as exit:
    code = exit.code
heavy = {"torch", "diffusers", "transformers", "peft", "numpy", "PIL"} & sys.modules.keys()
print(f"probe: {code or 0} {time.process_time():.2f} {','.join(sorted(heavy))}", file=sys.stderr)
"""


@pytest.mark.parametrize(
    "command", ["--help", "nodes", "check workflows/text_to_image.json", "plan workflows/text_to_image.json"]
)
def test_what_does_not_run_a_model_starts_at_once(command, tmp_path):
    """No tensor library, and under half a second of CPU: the best of four, since the first compiles."""
    seconds = []
    env = {**os.environ, "WEFT_HOME": str(tmp_path), "PYTHONPYCACHEPREFIX": str(tmp_path / "compiled")}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # sources are compiled once, as on any machine where Weft is installed
    for _ in range(4):
        done = subprocess.run(
            [sys.executable, "-c", PROBE, *command.split()], cwd=ROOT, env=env, capture_output=True, text=True
        )
        told = re.search(r"^probe: (\S+) (\S+) (\S*)$", done.stderr, re.M)
        assert told, done.stderr
        assert told[1] == "0", done.stdout + done.stderr
        assert told[3] == ""
        seconds.append(float(told[2]))
        if seconds[-1] < 0.5:
            return
    assert min(seconds) < 0.5


def test_the_title_of_every_node_is_its_own_and_in_the_words_of_the_field():
    titles = [record["title"] for record in json.loads((ROOT / "nodes" / "nodes.json").read_text())["nodes"]]
    assert len(titles) == len(set(titles)), "two nodes of one title cannot be told apart in the palette"
    said = re.compile(r"\b(Vae|vae|Lora|lora|Cfg|cfg|Freeu|Ip adapter|Controlnet|controlnet|Sdxl)\b")
    assert [title for title in titles if said.search(title)] == []
