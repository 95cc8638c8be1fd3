"""The documentation is true: its samples run, its workflows bind, its links lead somewhere, and nothing is left out."""

import argparse
import base64
import importlib.util
import json
import re
import shlex
import shutil
import sys
import tomllib
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pytest

from engine import cli, events, places, sockets, values
from engine.errors import CODES, WeftError
from engine.graph import check, flow_specs
from engine.invoke import ambient
from engine.node import node
from engine.packs import GROUP
from engine.registry import load_registry
from engine.run import Leasable, Run, State
from engine.server.config import KEYS
from engine.workflow import links, parse, read

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\S*)[ ]?([^\n]*)\n(.*?)^```$", re.M | re.S)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def blocks(page: Path, *languages: str) -> list[tuple[str, str, int]]:
    """(what stands after the language, the block, its line)."""
    whole = page.read_text(encoding="utf-8")
    found = FENCE.finditer(whole)
    return [(m[2].strip(), m[3], whole.count("\n", 0, m.start()) + 2) for m in found if m[1] in languages]


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def inline(page: Path) -> list[str]:
    return re.findall(r"`([^`\n]+)`", prose(page))


@cache
def generate():
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = before
    return module


@cache
def registry():
    return load_registry()


def with_blocks(*languages: str) -> list:
    return [pytest.param(page, id=name(page)) for page in PAGES if blocks(page, *languages)]


# --- what is made from the code ------------------------------------------------------------------------------------


def test_made_pages_are_what_the_code_says():
    assert generate().stale(generate().pages()) == [], "run `make docs`"


def test_a_page_that_differs_is_found(monkeypatch, tmp_path):
    made = {"docs/errors.md": "other\n"}
    monkeypatch.setattr(generate(), "ROOT", tmp_path)
    assert generate().stale(made) == ["docs/errors.md"]
    (tmp_path / "docs" / "nodes").mkdir(parents=True)
    (tmp_path / "docs" / "errors.md").write_text("other\n")
    (tmp_path / "docs" / "nodes" / "gone.md").touch()
    assert generate().stale(made) == ["docs/nodes/gone.md"]


def test_a_drawing_has_every_node_every_wire_and_the_picture():
    flow = read(ROOT / "workflows" / "inpaint.json")
    wires = [link for node_ in flow.nodes.values() for source in node_.inputs.values() for link in links(source)]
    picture = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x08"
    drawn = ElementTree.fromstring(generate().draw.svg(flow, registry(), picture))
    space = "{http://www.w3.org/2000/svg}"
    assert len(drawn.findall(f"{space}path")) == len(wires)
    assert set(flow.nodes) <= {text.text for text in drawn.findall(f"{space}text")}
    cards = [
        (int(r.get("x")), int(r.get("y")), int(r.get("height"))) for r in drawn.findall(f"{space}rect") if r.get("x")
    ]
    for one in cards:
        for other in cards:
            if one != other and one[0] == other[0]:
                assert one[1] + one[2] < other[1] or other[1] + other[2] < one[1], "two cards lie on each other"
    shown = drawn.find(f"{space}image")
    assert int(shown.get("width")) == 2 * int(shown.get("height"))
    assert base64.b64decode(shown.get("href").partition(",")[2]) == picture


# --- samples -------------------------------------------------------------------------------------------------------


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """Where a reader would stand: the workflows at hand, a WEFT_HOME of their own, a small model as the starter."""
    home = tmp_path / "weft"
    monkeypatch.setenv("WEFT_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "workflows", tmp_path / "workflows")
    loader = importlib.util.spec_from_file_location("tiny_models", ROOT / "tests" / "nodes" / "conftest.py")
    models = importlib.util.module_from_spec(loader)
    loader.loader.exec_module(models)
    models.make_sd1(home / "models" / "checkpoints" / "starter" / "unet")
    before = places.current()
    yield home
    places.set_process_places(before)
    for module in [m for m in sys.modules if m.startswith("weft_loose_")]:
        del sys.modules[module]


@pytest.mark.parametrize("page", with_blocks("python"))
def test_python_samples_run(page, desk):
    """A page is one story: its blocks share their names; a block headed by a path is that file in WEFT_HOME."""
    known: dict = {"__name__": "__sample__"}
    places.set_process_places(places.Places(home=desk))
    for head, block, line in blocks(page, "python"):
        if head:
            file = desk / head
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block, encoding="utf-8")
            continue
        code = compile("\n" * (line - 1) + block, str(page), "exec")
        exec(code, known)


@pytest.mark.parametrize("page", with_blocks("json"))
def test_json_samples_are_workflows_that_bind(page, desk):
    """A block headed `workflow` binds without a problem, or with the one it names; every other is JSON."""
    for head, block, _ in blocks(page, "python"):
        if head:
            (desk / head).parent.mkdir(parents=True, exist_ok=True)
            (desk / head).write_text(block, encoding="utf-8")
    nodes = load_registry(desk / "nodes") if (desk / "nodes").is_dir() else registry()
    for head, block, line in blocks(page, "json"):
        kind, _, wanted = head.partition(" ")
        if kind != "workflow":
            json.loads(block)
            continue
        try:
            found = [problem.code for problem in check(parse(block, f"{name(page)}:{line}"), nodes)]
        except WeftError as error:
            found = [problem.code for problem in error.problems]
        assert found == ([wanted] if wanted else []), f"{name(page)}:{line}"


@pytest.mark.parametrize("page", with_blocks("toml"))
def test_toml_samples_are_toml(page):
    for _, block, _ in blocks(page, "toml"):
        tomllib.loads(block)


def commands(page: Path) -> list[str]:
    """Every `weft ...` of a page, in blocks and in the text; what a reader fills in is written in capitals."""
    lines = [
        line.strip().removeprefix("$ ")
        for _, block, _ in blocks(page, "sh", "powershell")
        for line in block.splitlines()
    ]
    found = [line.partition("  #")[0] for line in lines if line.startswith("weft ")]
    return found + [code for code in inline(page) if code.startswith("weft ") and "…" not in code and "..." not in code]


def test_command_lines_are_understood():
    wrong = []
    for page in PAGES:
        for line in commands(page):
            words = shlex.split(line.partition(" | ")[0].partition(" > ")[0])[1:]
            command = next((word for word in words if not word.startswith("-")), "")
            try:
                cli.build_parser(command).parse_args(words)
            except SystemExit:
                continue  # --help
            except WeftError as error:
                # In running text a command may stand without its arguments.
                if not (words == [command] and "required" in str(error)):
                    wrong.append(f"{name(page)}: {line}: {error}")
    assert not wrong, "\n".join(wrong)


# --- links ---------------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    return {
        generate().anchor(re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title))
        for title in re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    }


def broken_links(page: Path) -> list[str]:
    bare = re.sub(r"`[^`\n]*`", "", prose(page))
    targets = re.findall(r"\]\(([^)\s]+)\)", bare) + re.findall(r'(?:src|href)="([^"]+)"', bare)
    broken = []
    for target in targets:
        path, _, spot = target.partition("#")
        if "://" in path or target.startswith("mailto:"):
            continue
        goal = (page.parent / path).resolve() if path else page
        if not goal.exists() or (spot and goal.suffix == ".md" and spot not in anchors(goal)):
            broken.append(f"{page.name}: {target}")
    return broken


def test_links_lead_somewhere():
    assert [link for page in PAGES for link in broken_links(page)] == []


def test_a_broken_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A title\n\n[a](#a-title) [b](#nowhere) [c](missing.md) ![d](page.md)\n")
    assert broken_links(page) == ["page.md: #nowhere", "page.md: missing.md"]


def test_every_page_can_be_reached_from_the_readme():
    seen: set[Path] = set()
    pending = [ROOT / "README.md"]
    while pending:
        page = pending.pop()
        if page in seen or page.suffix != ".md" or not page.is_file():
            continue
        seen.add(page)
        pending += [
            (page.parent / t.partition("#")[0]).resolve()
            for t in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
        ]
    assert sorted(name(page) for page in set(PAGES) - seen) == []


# --- nothing is left out, and nothing is made up ---------------------------------------------------------------------


def test_every_node_has_its_section():
    pages = {spec.id: f"docs/nodes/{spec.id.partition('.')[0]}.md" for spec in registry().nodes.values()}
    pages |= dict.fromkeys(flow_specs(), "docs/nodes/flow.md")
    missing = [id for id, page in pages.items() if f"\n## {id}\n" not in text(page)]
    assert missing == []


def test_every_type_says_what_it_carries():
    page = text("docs/nodes/types.md")
    assert [name for name in registry().types if f"\n## {name}\n" not in page] == []


def test_every_command_and_option_is_described():
    page = text("docs/cli.md")
    for command in cli.COMMANDS:
        assert f"\n## weft {command}\n" in page
        section = page.partition(f"\n## weft {command}\n")[2].partition("\n## ")[0]
        for action in generate().command(command)._actions:
            for option in [] if isinstance(action, argparse._HelpAction) else action.option_strings:
                assert f"`{option}`" in section, f"weft {command} {option}"


def test_every_event_and_error_is_described():
    assert [code for code in CODES if f"`{code}`" not in text("docs/errors.md")] == []
    told = [kind for cls, kind in events.KINDS.items() if cls is not events.StepEvent]
    assert [kind for kind in told if f"`{kind}`" not in text("docs/events.md")] == []


def test_every_lint_is_described_and_no_other():
    told = {
        code
        for path in (ROOT / "nodes").rglob("*.py")
        for code in re.findall(r'"(lint\.\w+)"', path.read_text(encoding="utf-8"))
    }
    assert told == set(re.findall(r"^\| `(lint\.\w+)`", text("docs/advice.md"), re.M))


def hooks() -> dict[str, list[str]]:
    """What an author may use, by the page that has to explain it."""
    import inspect

    import engine.node.widgets as widgets

    named = [
        n for n, thing in vars(widgets).items() if isinstance(thing, type) and thing.__module__ == widgets.__name__
    ]
    run = [n for n in dir(Run) if not n.startswith("_")]
    lease = [n for n in vars(Leasable) if not n.startswith("_")]
    state = list(State.__dataclass_fields__)
    rules = [f.__name__ for f in (sockets.same, sockets.copy, sockets.rule, sockets.socket, sockets.facts_of)]
    shown = [n for n, thing in vars(values).items() if hasattr(thing, "registry") and hasattr(thing, "dispatch")]
    declared = [p for p in inspect.signature(node).parameters if p != "id"]
    aliases = ["Seed", "Steps", "Size", "SocketOnly", "WidgetOnly", "Unkeyed"]
    about = re.findall(r"about(?:\.get\(|\[)\"(\w+)\"", text("engine/packs.py"))
    return {
        "docs/nodes.md": [
            *declared,
            *named,
            *aliases,
            *(f"run.{n}" for n in run if n != "path"),
            *lease,
            *state,
            *rules,
            *shown,
        ],
        "docs/packs.md": [GROUP, *about, "nodes.json", "__weft_pack__"],
        "docs/cli.md docs/house.md docs/python.md README.md": sorted(
            {
                v
                for f in [*(ROOT / "engine").rglob("*.py"), *(ROOT / "nodes").rglob("*.py")]
                for v in re.findall(r'"(WEFT_[A-Z_]+)"', f.read_text(encoding="utf-8"))
            }
        ),
    }


@pytest.mark.parametrize("pages", list(hooks()))
def test_every_hook_is_explained(pages):
    """As code in the text, or used in a sample."""
    there = "\n".join(text(page) for page in pages.split())
    missing = [hook for hook in hooks()[pages] if not re.search(rf"(?<![\w.]){re.escape(hook)}(?![a-z])", there)]
    assert missing == []


def test_what_is_named_exists():
    """Error codes, nodes and `run.` services that the text names are really there (made pages cannot be wrong)."""
    groups = {code.partition(".")[0] for code in CODES}
    chapters = {id.partition(".")[0] for id in registry().nodes}
    services = {f"run.{n}" for n in dir(ambient())}
    wrong = []
    written = [page for page in PAGES if not page.read_text(encoding="utf-8").startswith(generate().MADE)]
    for page in written:
        for code in inline(page):
            if not re.fullmatch(r"[a-z_]+\.[a-z_]+", code) or code.endswith((".py", ".md", ".json", ".png", ".txt")):
                continue
            group = code.partition(".")[0]
            known = code in CODES or code in registry().nodes or code in services or code in KEYS
            if (
                group in groups | chapters
                and group != "node"
                and not known
                and not hasattr(sys.modules.get(group), code.partition(".")[2])
            ):
                wrong.append(f"{name(page)}: {code}")
    assert wrong == []


def test_every_room_of_the_engine_is_in_the_house():
    rooms = {p.stem for p in (ROOT / "engine").iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()} - {
        "__init__"
    }
    named = set(re.findall(r"^\| `(\w+)` \|", text("docs/house.md"), re.M))
    assert rooms - named == set(), "rooms that the house does not name"


def test_the_house_lists_rooms_in_their_order():
    contracts = tomllib.loads(text("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["id"] == "line")
    order = [layer.strip("()") for layer in reversed(layers)]
    named = re.findall(r"^\| `(\w+)` \|", text("docs/house.md"), re.M)
    assert named == [room for room in order if room in named], "rooms in another order, or rooms that are not there"


def test_every_environment_variable_named_is_read():
    code = "".join(
        f.read_text(encoding="utf-8") for folder in ("engine", "nodes") for f in (ROOT / folder).rglob("*.py")
    )
    for page in PAGES:
        for variable in re.findall(r"\bWEFT_[A-Z]+(?:_[A-Z]+)?\b", page.read_text(encoding="utf-8")):
            stems = (variable, variable.rpartition("_")[0] + "_")
            assert any(f'"{stem}"' in code for stem in stems), f"{name(page)} names {variable}"


# --- form ----------------------------------------------------------------------------------------------------------


def test_words_have_one_meaning_each_in_order():
    words = re.findall(r"^\*\*([^*]+)\*\*", text("docs/words.md"), re.M)
    assert len(words) > 30
    assert words == sorted(set(words), key=str.lower)


def test_decisions_are_short_and_name_the_rejected_rival():
    files = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    assert [file.name[:4] for file in files] == [f"{i:04}" for i in range(1, len(files) + 1)]
    for file in files:
        whole = file.read_text(encoding="utf-8")
        assert re.match(rf"# {int(file.name[:4])} · \S", whole), file.name
        for part in ("\n**Decided**", "\n**Rejected**", "\n**Why**"):
            assert part in whole, f"{file.name} has no {part.strip()}"
        assert len(whole.splitlines()) <= 40, f"{file.name} is longer than half a page"


def test_the_parser_of_every_command_is_argparse():
    """`cli.md` is made from it."""
    assert all(isinstance(generate().command(name), argparse.ArgumentParser) for name in cli.COMMANDS)
