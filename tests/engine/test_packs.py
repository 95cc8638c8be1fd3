"""Packs: found by entry point or in a folder, read from their manifests without importing them."""

import importlib
import importlib.metadata
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import CODES
from engine.packs import build_manifest, code_digest, find_packs, read_pack, sources_digest
from engine.places import Places
from engine.registry import load_registry, make_registry
from tests.engine.flows import box, flow

EXAMPLE = Path(__file__).parents[1] / "pack"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The example pack, installed as pip does: its package and a dist-info on the path."""
    site = tmp_path / "site"
    shutil.copytree(EXAMPLE / "src" / "weft_words", site / "weft_words")
    info = site / "weft_words-1.2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: weft-words\nVersion: 1.2.0\n")
    (info / "entry_points.txt").write_text("[weft.packs]\nwords = weft_words\n")
    monkeypatch.syspath_prepend(str(site))
    importlib.invalidate_caches()
    yield site / "weft_words"
    for name in [name for name in sys.modules if name.partition(".")[0] == "weft_words"]:
        del sys.modules[name]


def words(packs):
    return next(pack for pack in packs if pack.name == "words")


def imported():
    return [name for name in sys.modules if name.partition(".")[0] == "weft_words"]


# --- manifests ------------------------------------------------------------------------------------------------------


def test_an_installed_pack_is_listed_without_importing_it(installed):
    pack = words(find_packs())
    assert pack.problem is None and [spec.id for spec in pack.nodes] == ["words/verse.count", "words/verse.write"]
    assert (pack.title, pack.version) == ("Words", "1.2.0") and not pack.development
    assert [kind.name for kind in pack.types] == ["words/Verse"]
    assert imported() == ["weft_words"] or imported() == []  # its __init__ at most, never its nodes


def test_the_example_packs_manifest_is_up_to_date(installed):
    assert json.loads((installed / "nodes.json").read_text()) == json.loads(
        json.dumps(build_manifest("words", "weft_words"))
    )


def test_a_manifest_older_than_the_sources_is_passed_over(installed):
    text = (installed / "verse.py").read_text()
    (installed / "verse.py").write_text(text.replace("How many words", "The number of words"))
    spec = next(spec for spec in words(find_packs()).nodes if spec.id == "words/verse.count")
    assert spec.help == "The number of words a verse has." and "weft_words.verse" in imported()


def test_line_endings_do_not_make_a_manifest_old(installed):
    before = sources_digest(installed, ["workshop"])
    for path in installed.glob("*.py"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert sources_digest(installed, ["workshop"]) == before


@pytest.mark.parametrize("damage", ["{", '{"manifest": 1}', "[]", '{"manifest": 1, "sources": "x", "pack": 3}'])
def test_a_damaged_manifest_is_a_row_with_its_error(installed, damage):
    (installed / "nodes.json").write_text(damage)
    pack = words(find_packs())
    assert pack.problem is not None and pack.problem.code == "pack.broken" and "nodes.json" in pack.problem.message


def test_a_manifest_of_another_format_is_passed_over(installed):
    record = json.loads((installed / "nodes.json").read_text())
    (installed / "nodes.json").write_text(json.dumps({**record, "manifest": 99}))
    assert words(find_packs()).problem is None and "weft_words.verse" in imported()


# --- broken packs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("verse.py", "def broken(:\n", "invalid syntax"),
        ("verse.py", "import a_module_that_is_not_there\n", "a_module_that_is_not_there"),
        ("verse.py", "raise RuntimeError('no luck')\n", "no luck"),
        (
            "verse.py",
            'from engine.node import node\n\n\n@node("verse.write")\ndef write(x: int = 1) -> int:\n    """x."""\n',
            "must be called words/verse.write",
        ),
    ],
)
def test_a_pack_that_does_not_load_is_a_row_with_its_error_and_the_others_work(installed, file, text, said):
    (installed / file).write_text(text)
    packs = find_packs()
    problem = words(packs).problem
    assert problem is not None and problem.code in CODES and said in problem.line()
    others = [pack for pack in packs if pack.name != "words"]
    assert [pack.problem for pack in others] == [None] * len(others) and others


def test_an_entry_point_to_nothing_is_a_row_with_its_error():
    pack = read_pack("ghost", "weft_ghost")
    assert pack.problem is not None and "not installed" in pack.problem.message
    assert read_pack("ghost", "weft.ghost.deep").problem is not None


def test_two_packs_with_a_type_of_one_name_do_not_mix(installed):
    first = words(find_packs())
    other = read_pack("words", "weft_words")
    import dataclasses

    thief = dataclasses.replace(
        other, name="thief", types=(dataclasses.replace(other.types[0], path="thief.types:Verse"),)
    )
    registry = make_registry([first, thief])
    assert [pack.problem is None for pack in registry.packs] == [True, False]
    assert registry.types["words/Verse"].path == "weft_words.types:Verse"
    assert 'name="thief/Verse"' in registry.packs[1].problem.mend.text


# --- loose files ----------------------------------------------------------------------------------------------------

LOOSE = '''"""A single file."""
from engine.node import node


@node("{name}/text.mark")
def mark(text: str = "x") -> str:
    """Marks it."""
    return text + "{mark}"
'''


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "nodes"
    made.mkdir()
    yield made
    for name in [name for name in sys.modules if name.startswith("weft_loose_")]:
        del sys.modules[name]


def test_a_single_file_is_a_pack_in_development(folder):
    (folder / "marks.py").write_text(LOOSE.format(name="marks", mark="!"))
    pack = next(pack for pack in find_packs(folder) if pack.name == "marks")
    assert pack.development and [spec.id for spec in pack.nodes] == ["marks/text.mark"]
    assert pack.sources.keys() == {"marks/text.mark"} and pack.about == "A single file."


def test_an_edited_file_is_read_anew_and_what_it_gave_before_is_not_used(folder, make_session, home):
    def run():
        session = make_session(registry=load_registry(folder), records=records)
        work = flow({"m": box("marks/text.mark", text="a")}, outputs={"out": "m"})
        return session.run(work)

    from engine.records import Records

    records = Records(folder.parent / "r.sqlite")
    (folder / "marks.py").write_text(LOOSE.format(name="marks", mark="!"))
    assert run()["out"] == "a!"
    records = Records(folder.parent / "r.sqlite")
    assert run().ran == []  # the same code: the trace is good
    (folder / "marks.py").write_text(LOOSE.format(name="marks", mark="?"))
    records = Records(folder.parent / "r.sqlite")
    assert run()["out"] == "a?"


def test_a_loose_folder_is_a_pack_with_modules(folder):
    inner = folder / "many"
    inner.mkdir()
    (inner / "__init__.py").write_text('"""Many."""\n')
    (inner / "one.py").write_text(LOOSE.format(name="many", mark="1"))
    pack = next(pack for pack in find_packs(folder) if pack.name == "many")
    assert pack.problem is None and [spec.id for spec in pack.nodes] == ["many/text.mark"]


def test_what_begins_with_a_dot_or_an_underscore_is_no_pack(folder):
    for name in (".hidden.py", "_draft.py", "notes.txt"):
        (folder / name).write_text("raise RuntimeError")
    assert {pack.name for pack in find_packs(folder)} == {pack.name for pack in find_packs()}


def test_a_broken_file_is_a_row_with_file_and_traceback(folder):
    (folder / "bad.py").write_text("x = 1 / 0\n")
    problem = next(pack for pack in find_packs(folder) if pack.name == "bad").problem
    assert problem is not None and "division by zero" in problem.message and "bad.py" in (problem.report or "")
    assert "weft_loose_bad" not in sys.modules


# --- code digests ---------------------------------------------------------------------------------------------------


def test_a_nodes_digest_follows_the_modules_it_imports_and_no_others(installed):
    init = installed / "__init__.py"

    def digests():
        return {name: code_digest(f"weft_words.{name}", "weft_words", init) for name in ("verse", "types", "metre")}

    before = digests()
    (installed / "metre.py").write_text((installed / "metre.py").read_text() + "\n# changed\n")
    after = digests()
    assert before["verse"] != after["verse"] and before["types"] == after["types"]


@pytest.mark.parametrize(
    "line",
    [
        "from . import helper",
        "from .helper import f",
        "import pkg.helper",
        "from pkg import helper",
        "from pkg.helper import f",
    ],
)
def test_every_form_of_import_is_followed(tmp_path, line):
    package = tmp_path / "pkg"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "inner" / "__init__.py").write_text("from .. import helper\n")
    (package / "node.py").write_text(line + "\n")
    (package / "helper.py").write_text("f = 1\n")
    found = [code_digest(f"pkg.{name}", "pkg", package / "__init__.py") for name in ("node", "inner")]
    (package / "helper.py").write_text("f = 2\n")
    changed = [code_digest(f"pkg.{name}", "pkg", package / "__init__.py") for name in ("node", "inner")]
    assert found[0] != changed[0] and found[1] != changed[1]


def test_an_editable_install_is_in_development(installed):
    assert words(find_packs()).sources == {}
    info = installed.parent / "weft_words-1.2.0.dist-info"
    (info / "direct_url.json").write_text(json.dumps({"url": "file:///x", "dir_info": {"editable": True}}))
    importlib.invalidate_caches()
    pack = words(find_packs())
    assert pack.development and set(pack.sources) == {"words/verse.count", "words/verse.write"}
    assert load_registry().source_digest(pack.nodes[0]) == pack.sources[pack.nodes[0].id]


# --- the example pack, used -----------------------------------------------------------------------------------------


def test_the_example_pack_runs_and_old_files_of_it_load(installed, make_session, tmp_path):
    registry = load_registry()
    session = make_session(registry=registry)
    nodes = {
        "w": box("words/verse.write", text="one two\nthree", repeat=2),
        "c": {"type": "words/verse.count", "version": 1, "inputs": {"poem": {"from": "w"}}},
    }
    assert session.run(flow(nodes, outputs={"n": "c.words"}))["n"] == 6


def test_the_models_a_pack_brings_have_a_name(installed, tmp_path):
    places = load_registry().places(Places(home=tmp_path / "home"))
    assert places.model("checkpoints", "words/small") == installed / "model"
    assert "words/small" in places.models("checkpoints")


@pytest.mark.slow
def test_the_example_pack_can_be_built_and_installed(tmp_path):
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "-q",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            str(tmp_path),
            str(EXAMPLE),
        ],
        check=True,
    )
    wheel = next(tmp_path.glob("*.whl"))
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(tmp_path / "site")], check=True)
    code = "from engine.packs import find_packs; print([p.name for p in find_packs() if p.problem is None])"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); {code}"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "'words'" in done.stdout
