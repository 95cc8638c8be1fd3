"""Registry: which nodes exist, from which pack, in which version, and which types they speak."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from engine.errors import Mend, Problem, Where, did_you_mean
from engine.node import NodeSpec
from engine.packs import Pack, find_packs
from engine.places import Places
from engine.sockets import Type, TypeSpec, fit


@dataclass(frozen=True, eq=False)
class Registry:
    """Every node and type of every readable pack. Immutable; a reload makes a new one."""

    nodes: Mapping[str, NodeSpec]
    types: Mapping[str, TypeSpec]
    packs: tuple[Pack, ...] = ()
    _bases: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False)

    def get(self, id: str) -> NodeSpec | None:
        """The node of this type id."""
        return self.nodes.get(id)

    def bases(self, name: str) -> tuple[str, ...]:
        """Every base type of a socket type, nearest first."""
        known = self._bases.get(name)
        if known is None:
            spec = self.types.get(name)
            known = spec.bases if spec else ()
            self._bases[name] = known
        return known

    @cached_property
    def by_alias(self) -> Mapping[str, str]:
        """Other names (class names of other editors, search words) to node ids."""
        return {alias: spec.id for spec in self.nodes.values() for alias in spec.aliases}

    def source_digest(self, spec: NodeSpec) -> str:
        """The digest of a node's code while its pack is under development; empty for released ones."""
        return self._sources.get(spec.id, "")

    @cached_property
    def _sources(self) -> Mapping[str, str]:
        return {id: digest for pack in self.packs for id, digest in pack.sources.items()}

    def suggest(self, id: str) -> str:
        """What an unknown type id may have meant, as a sentence, or an empty string."""
        known = self.by_alias.get(id)
        if known:
            return f" Here it is called '{known}'."
        return did_you_mean(id, self.nodes)

    def producers(self, kind: Type) -> list[NodeSpec]:
        """The nodes that give this type, simplest first, for "wire something that gives ..."."""
        bare = kind.required
        found = [s for s in self.nodes.values() if any(o.type == bare for o in s.outputs) and not s.deprecated]
        return sorted(found, key=lambda s: (sum(i.required for i in s.inputs), s.id))

    def converters(self, source: Type, target: Type) -> list[NodeSpec]:
        """The nodes that take `source` and give `target`: Latent -> Image finds the decoder."""
        goal = target.required
        found = []
        for spec in self.nodes.values():
            takes = any(i.wired and i.required and i.type.name == source.name for i in spec.inputs)
            if takes and any(o.type == goal for o in spec.outputs) and not spec.deprecated:
                found.append(spec)
        return sorted(found, key=lambda s: (sum(i.required for i in s.inputs), s.id))

    def fits(self, source: Type, target: Type) -> bool:
        """Does the type fit, as far as can be known now?"""
        return bool(fit(source, target, self.bases))

    def places(self, places: Places) -> Places:
        """The places with the models that packs ship added, as far as they are there."""
        shipped: dict[str, Path] = dict(places.shipped)
        for pack in self.packs:
            found = {name: pack.folder / folder for name, folder in pack.models.items()}
            shipped.update({name: folder for name, folder in found.items() if folder.exists()})
        return dataclasses.replace(places, shipped=shipped)


def make_registry(packs: Iterable[Pack]) -> Registry:
    """A registry of these packs; the first to claim an id keeps it (ids of packs are prefixed, so none collide)."""
    nodes: dict[str, NodeSpec] = {}
    types: dict[str, TypeSpec] = {}
    rows: list[Pack] = []
    for pack in packs:
        twice = next((kind for kind in pack.types if types.get(kind.name, kind).path != kind.path), None)
        if twice is not None:
            # Two classes of one name are two types: a wire would carry the one where the other is meant.
            mend = Mend(f'write @socket(name="{pack.name}/{twice.name.rpartition("/")[2]}")')
            message = f"pack {pack.name}: its type {twice.name} is called as one of another pack"
            problem = Problem("pack.broken", message, Where(file=str(pack.folder)), mend)
            rows.append(dataclasses.replace(pack, nodes=(), types=(), sources={}, problem=problem))
            continue
        rows.append(pack)
        for spec in pack.nodes:
            nodes.setdefault(spec.id, spec)
        for kind in pack.types:
            types.setdefault(kind.name, kind)
    return Registry(nodes, types, tuple(rows))


def load_registry(folder: Path | None = None) -> Registry:
    """The registry of everything installed, and of the loose nodes in `folder`."""
    return make_registry(find_packs(folder))
