"""The registry: which nodes exist, and what to offer for a socket."""

import pytest

from engine.node import node
from engine.packs import Pack
from engine.registry import load_registry, make_registry
from engine.sockets import Type, list_of
from tests.engine import toys
from tests.engine.toys import Other, Thing


def ids(specs):
    return [spec.id for spec in specs]


def test_the_first_pack_keeps_an_id():
    def named(name):
        return Pack(name, "m", toys.Path(), nodes=(toys.NODES[0],))

    assert len(make_registry([named("a"), named("b")]).nodes) == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [("toy.mak", "Did you mean 'toy.make'?"), ("MakeThing", "Here it is called 'toy.make'."), ("zzz", "")],
)
def test_an_unknown_id_is_told_what_was_meant(registry, wrong, said):
    assert registry.suggest(wrong).strip() == said


def test_producers_come_simplest_first(registry):
    found = ids(registry.producers(Type("Thing")))
    assert "toy.make" in found and found.index("toy.make") < found.index("toy.upper")
    assert ids(registry.producers(Type("Thing", optional=True))) == found
    assert ids(registry.producers(Type("nothing"))) == []


def test_converters_take_one_and_give_the_other(registry):
    assert ids(registry.converters(Type("Other"), Type("Thing"))) == ["toy.convert"]
    assert ids(registry.converters(Type("Grid"), Type("Thing"))) == []


def test_deprecated_nodes_are_not_offered():
    @node("toy.old_convert", deprecated="use toy.convert")
    def old(other: Other) -> Thing:
        """The old way."""
        return Thing(other.text)

    assert ids(toys.registry(old).converters(Type("Other"), Type("Thing"))) == ["toy.convert"]
    assert toys.registry(old).get("toy.old_convert") is not None


def test_types_know_their_bases(registry):
    assert registry.bases("SpecialThing") == ("Thing",) and registry.bases("nothing") == ()
    assert registry.fits(Type("SpecialThing"), Type("Thing")) and not registry.fits(Type("Other"), Type("Thing"))
    assert not registry.fits(list_of(Type("Thing")), Type("Thing"))


def test_the_installed_registry_has_the_core_nodes_and_no_broken_pack():
    registry = load_registry()
    core = next(pack for pack in registry.packs if pack.name == "core")
    assert core.problem is None and core.nodes and registry.get("denoise.sample") is not None
    for spec in core.nodes:
        for item in (*spec.inputs, *spec.outputs):
            bare = item.type
            while bare.args:
                bare = bare.args[0]
            known = bare.variable or bare.name in ("int", "float", "str", "bool", "any", "choice", "variant")
            assert known or bare.name in registry.types, f"{spec.id}.{item.name}: no type {bare}"
