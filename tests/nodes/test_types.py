"""What each wire carries: the names under which the types are known."""

import dataclasses

from nodes import types

CLASSES = [thing for name in types.__all__ if dataclasses.is_dataclass(thing := getattr(types, name))]


def test_every_type_is_of_nodes_types_in_ids_and_files_wherever_it_stands():
    assert len(CLASSES) >= 26
    assert [cls.__name__ for cls in CLASSES if cls.__module__ != "nodes.types"] == []
    assert {spec.path for cls in CLASSES if (spec := vars(cls).get("__weft_type__"))} >= {"nodes.types:Denoiser"}


def test_every_type_is_frozen():
    assert [cls.__name__ for cls in CLASSES if not cls.__dataclass_params__.frozen] == []
