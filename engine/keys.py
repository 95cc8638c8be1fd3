"""Keys: the ids of outputs before they exist.

In the words of "Build Systems a la Carte" (Mokhov, Mitchell & Peyton Jones 2018): a topological scheduler with
deterministic constructive traces, as in Buck and Nix, with early cut-off where values are small.

* A *step key* is a hash of the node and its version, the digests of its inputs, and the numerics.
* An *id* names one output: `<step key>.<output>`, or, for a cut-off output, `c<content digest>`.
* A *digest* is the canonical hash of an input: literals and recipes by content, values that do not exist yet by id.

Each node costs one hash over its parents' ids, never over its ancestors, so a chain of n nodes costs n.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from engine.sockets import Ref

Leaf = Callable[[Any], str]


def _unknown(value: Any) -> str:
    raise TypeError(f"a {type(value).__name__} has no canonical form")


_field_names: dict[type, tuple[str, ...]] = {}


def _fields(cls: type) -> tuple[str, ...]:
    """The keyed fields of a dataclass: those with `compare=False` (a path on this machine) are not part of any key."""
    known = _field_names.get(cls)
    if known is None:
        known = _field_names[cls] = tuple(entry.name for entry in dataclasses.fields(cls) if entry.compare)
    return known


def canonical(value: Any, leaf: Leaf = _unknown) -> str:
    """A text that is equal exactly for equal values. `leaf` gives the text of what only a lower room can read."""
    kind = type(value)
    if kind is str:
        return f"s{len(value)}:{value}"
    if kind is Ref:
        return f"@{value.id}{value.path or ''}"
    if kind is float:
        # -0.0 and 0.0 are one number to every node.
        return f"f{value!r}" if value else "f0.0"
    if kind is bool:
        return "b1" if value else "b0"
    if kind is int:
        return f"i{value}"
    if value is None:
        return "n"
    if isinstance(value, list | tuple):
        return "[" + ",".join([canonical(item, leaf) for item in value]) + "]"
    if isinstance(value, Mapping):
        return "{" + ",".join([f"{canonical(k)}={canonical(value[k], leaf)}" for k in sorted(value)]) + "}"
    if isinstance(value, enum.Enum):
        return f"e{kind.__qualname__}.{value.name}"
    if dataclasses.is_dataclass(value):
        known = getattr(value, _TEXT, None)
        if known is not None:
            return str(known)
        parts = [f"{name}={canonical(getattr(value, name), leaf)}" for name in _fields(kind)]
        text = f"{kind.__module__}.{kind.__qualname__}({','.join(parts)})"
        if _fixed(value):
            object.__setattr__(value, _TEXT, text)
        return text
    return leaf(value)


# A recipe keeps its text: in a graph of a hundred samplers one model is part of a hundred keys.
_TEXT = "_weft_canonical"


def _fixed(value: Any) -> bool:
    """Can nothing inside a dataclass change, and can it keep a note of its text?"""
    if not type(value).__dataclass_params__.frozen or not hasattr(value, "__dict__"):
        return False
    return all(_unchanging(getattr(value, name)) for name in _fields(type(value)))


def _unchanging(value: Any) -> bool:
    if value is None or isinstance(value, str | int | float | Ref | enum.Enum):
        return True
    if isinstance(value, tuple):
        return all(_unchanging(item) for item in value)
    return dataclasses.is_dataclass(value) and getattr(value, _TEXT, None) is not None


def hash_text(text: str) -> str:
    """32 hex digits of BLAKE2b."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def digest(value: Any, leaf: Leaf = _unknown) -> str:
    """The canonical hash of a value."""
    return hash_text(canonical(value, leaf))


def step_key(
    node: str, version: int, source: str, numerics: str, inputs: Mapping[str, Any], more: Sequence[Any] = ()
) -> str:
    """The key of one step.

    `source` is the digest of the node's code while its pack is under development, else empty; `numerics` the digest of
    the numerics for nodes that compute; `inputs` the keyed inputs as templates; `more` the fingerprint and file ids.
    """
    parts = [f"{name}={canonical(value)}" for name, value in inputs.items()]
    ending = canonical(more) if more else "[]"
    return hash_text(f"{node}@{version}|{source}|{numerics}|{'&'.join(parts)}|{ending}")


def output_id(key: str, output: str) -> str:
    """The id of one output of a step."""
    return f"{key}.{output}"


def content_id(content: str) -> str:
    """The id of a cut-off output, from its content digest."""
    return f"c{content}"


def checkpoint_ids(key: str, active: Iterable[Any]) -> list[str]:
    """The ids of a stepped node's states: K_i = H(K_{i-1}, what is active at step i). `key` opens the chain."""
    ids = []
    current = key
    last, text = None, ""
    for item in active:
        if item != last:  # most steps depend on what the one before did
            last, text = item, canonical(item)
        current = hash_text(f"{current}>{text}")
        ids.append(f"k{current}")
    return ids


# --- templates as JSON: what the trace table remembers of a cut-off output ------------------------------------------


def template_to_json(template: Any) -> Any:
    """A template of plain values, lists and Refs as JSON; `TypeError` for anything else."""
    if isinstance(template, Ref):
        return {"$ref": template.id, "facts": dict(template.facts)}
    if isinstance(template, list | tuple):
        return [template_to_json(item) for item in template]
    if template is None or isinstance(template, str | int | float | bool):
        return template
    raise TypeError(f"{type(template).__name__} cannot be remembered in the trace table")


def template_from_json(record: Any) -> Any:
    """Read back what `template_to_json` wrote."""
    if isinstance(record, dict):
        return Ref(record["$ref"], record.get("facts", {}))
    if isinstance(record, list):
        return [template_from_json(item) for item in record]
    return record


def encode_template(template: Any) -> str:
    """The same as one line of text."""
    return json.dumps(template_to_json(template), separators=(",", ":"))
