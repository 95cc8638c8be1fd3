"""The manifest of Weft's own pack: what is listed without importing it is what importing it gives."""

import json
from pathlib import Path

import nodes
from engine.node import NodeSpec
from engine.packs import MANIFEST, build_manifest, read_pack

PATH = Path(nodes.__file__).with_name(MANIFEST)


def test_the_manifest_is_up_to_date():
    assert json.loads(PATH.read_text(encoding="utf-8")) == json.loads(json.dumps(build_manifest("core", "nodes"))), (
        "nodes/nodes.json is older than the nodes: run `make nodes`"
    )


def test_a_node_read_from_the_manifest_is_the_node():
    for record in build_manifest("core", "nodes")["nodes"]:
        spec = NodeSpec.from_json(json.loads(json.dumps(record)))
        assert spec.to_json() == record
        assert spec.function.__doc__, spec.id


def test_the_pack_is_read_without_importing_it(monkeypatch):
    def imported(name: str, package: str | None = None):
        raise AssertionError(f"{name} was imported")

    monkeypatch.setattr("importlib.import_module", imported)
    pack = read_pack("core", "nodes")
    assert pack.problem is None
    assert len(pack.nodes) > 50
