"""What was released stays: old files load and keep their ids, and a node that does something else has a new version."""

import json
from pathlib import Path

import pytest

from engine import workflow
from engine.graph import check
from engine.memory import Memory
from engine.places import Places
from engine.plan import Frontier
from engine.records import Records
from engine.registry import load_registry
from engine.session import Session
from tests import golden_code
from tests.engine import toys
from tests.engine.conftest import PINNED
from tests.engine.test_graph import gone, newer

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted((GOLDEN / "format1").glob("*.json"))
REGISTRY = toys.registry(newer, gone)


def load(name):
    path = GOLDEN / name
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def save(name, record):
    rows = ",\n".join(f" {json.dumps(key)}: {json.dumps(record[key])}" for key in sorted(record))
    (GOLDEN / name).write_text("{\n" + rows + "\n}\n", encoding="utf-8")


@pytest.fixture
def session(tmp_path):
    made = Session(
        registry=REGISTRY,
        places=Places(home=tmp_path),
        numerics=PINNED,
        memory=Memory({"cpu": 2**24}),
        records=Records(),
    )
    yield made
    made.close()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_old_file_loads_runs_and_keeps_every_id(file, session, update_golden):
    work = workflow.read(file)
    assert check(work, REGISTRY) == []
    assert workflow.dumps(work) == file.read_text(encoding="utf-8")
    assert session.run(work).state == "succeeded"
    # With the contents known, every step has its key.
    graph = session.prepare(work)[1]
    lives = Frontier(graph, session.engine.setting()).lives
    ids = {path: live.key for path, live in lives.items() if live.key}
    assert ids
    golden = load("ids.json")
    if file.stem not in golden and update_golden:
        save("ids.json", {**golden, file.stem: ids})
        return
    assert golden.get(file.stem) == ids, "ids have changed: every cache and trace of every user would be lost"


def test_every_golden_file_is_still_there():
    assert set(load("ids.json")) <= {file.stem for file in FILES}


def test_a_node_that_does_something_else_has_a_new_version(update_golden):
    core = next(pack for pack in load_registry().packs if pack.name == "core")
    assert core.problem is None
    found = {f"{spec.id}@{spec.version}": golden_code.digest(spec.path) for spec in core.nodes}
    golden = load("nodes.json")
    if update_golden:
        save("nodes.json", {**golden, **found})
        return
    changed = sorted(name for name, digest in found.items() if golden.get(name, digest) != digest)
    unknown = sorted(set(found) - set(golden))
    assert not changed and not unknown, (
        f"changed: {', '.join(changed) or 'none'}; new: {', '.join(unknown) or 'none'}. If the same inputs now give "
        "another result, raise the node's version (and give it a migrate when its inputs changed). Then, or when no "
        "result changes: pytest tests/test_golden.py --update-golden"
    )


def test_the_digest_of_a_node_follows_its_helpers_and_not_its_comments(tmp_path, monkeypatch):
    package = tmp_path / "nodes"
    package.mkdir()
    monkeypatch.setattr(golden_code, "ROOT", tmp_path)

    def digest(node, helper):
        (package / "a.py").write_text(node)
        (package / "b.py").write_text(helper)
        golden_code.module.cache_clear()
        return golden_code.digest("nodes.a:f")

    base = 'def f(x):\n    """Doc."""\n    from nodes.b import g\n\n    return g(x) + ONE  # why\n\n\nONE = 1\n'
    helper = "def g(x):\n    return x\n\n\ndef other(x):\n    return 0\n"
    before = digest(base, helper)
    assert digest(base.replace("Doc.", "Other words.").replace("# why", "# because"), helper) == before
    assert digest(base, helper.replace("return 0", "return 1")) == before
    assert digest(base, helper.replace("return x", "return -x")) != before
    assert digest(base.replace("ONE = 1", "ONE = 2"), helper) != before
    golden_code.module.cache_clear()
