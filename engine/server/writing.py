"""Writing: what the author of a prompt is told while typing – names that stand for files, words used before, tokens.

What a text may name and who will read it, the node's widget says (`Multiline(names=..., tokens=...)`).
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from engine.errors import fail
from engine.node import Input, resolve
from engine.places import Places, using
from engine.registry import Registry
from engine.server.house import House
from engine.server.routing import route
from engine.server.shapes import TokenCount, Tokens, TokensRequest, Words
from engine.server.store import Store
from engine.session import Session
from engine.workflow import from_json

LOOK = 300  # jobs whose prompts are read, the newest first
WORDS = 1000  # that are told, those used in most prompts first
LONGEST = 60  # signs of a phrase that is worth completing
# Comments, mends of LoRAs, numbers of choices and weights, breaks, embeddings, wildcards.
_SYNTAX = re.compile(
    r"(?s)/\*.*?\*/|//[^\n]*|<[^>]*>|\$\$|\d+(?:\.\d+)?::|:[\d.]+(?=\))|\bBREAK\b"
    r"|embedding:[\w./+-]+|__[^\n]*?__"
)


@route("GET", "/api/words", Words, query={"node": str, "input": str})
async def words(house: House, request: web.Request) -> Words:
    """What may be completed in a text: names the node knows, by kind, and the words of earlier prompts."""
    session = await house.session()
    spec = session.engine.registry.get(request.query.get("node", ""))
    item = spec.by_name.get(request.query.get("input", "")) if spec is not None else None
    if item is None:
        raise fail("server.missing", "there is no such input", mend="give node=TYPE and input=NAME")
    where, owner = house.places_of(request), house.owner(request)
    names = await asyncio.to_thread(_names, item, where)
    used = await asyncio.to_thread(used_words, house.store, session.engine.registry, owner)
    return Words(names, used)


def _names(item: Input, where: Places) -> dict[str, list[str]]:
    source = item.widget.get("names")
    found: Mapping[str, Any] = resolve(str(source))(where) if source else {}
    return {kind: [str(one) for one in some] for kind, some in found.items()}


def used_words(store: Store, registry: Registry, owner: str = "") -> list[str]:
    """The phrases of earlier prompts, as they stand between commas and brackets: those of most prompts first.

    A prompt that ran a hundred times counts once.
    """
    texts: dict[str, None] = {}
    for row in store.history(None, LOOK, owner):
        nets = [row.resolved, *row.resolved.get("graphs", {}).values()]
        for node in (node for net in nets for node in net.get("nodes", {}).values()):
            spec = registry.get(str(node.get("type", "")))
            for item in spec.inputs if spec is not None else ():
                value = node.get("inputs", {}).get(item.name)
                if item.widget.get("kind") == "prompt" and isinstance(value, str):
                    texts.setdefault(value)
    counted: Counter[str] = Counter()
    for text in texts:
        counted.update(list(dict.fromkeys(phrases(text))))
    return [phrase for phrase, _ in counted.most_common(WORDS)]


def phrases(text: str) -> list[str]:
    """What stands between a prompt's commas, brackets and line ends, without its syntax."""
    parts = re.split(r"[,\n()\[\]{}|]", _SYNTAX.sub(",", text))
    found = (" ".join(part.split()).strip(" .;:\\") for part in parts)
    return [part for part in found if 2 < len(part) <= LONGEST]


@route("POST", "/api/tokens", Tokens, takes=TokensRequest)
async def tokens(house: House, request: web.Request, body: TokensRequest) -> Tokens:
    """How many tokens a text has for each encoder that reads it, window by window; nothing is loaded but tokenizers."""
    session = await house.session()
    where = house.places_of(request) if house.owner(request) else None
    return await asyncio.to_thread(_tokens, session, body, where)


def _tokens(session: Session, body: TokensRequest, where: Places | None) -> Tokens:
    path, _, name = body.to.rpartition(".")
    frontier, _ = session.look(from_json(body.workflow), places=where)
    live = frontier.lives.get(path)
    item = live.spec.by_name.get(name) if live is not None else None
    if live is None or item is None:
        raise fail("server.missing", f"there is no input '{body.to[:60]}'", mend="name it as path.input")
    source = item.widget.get("tokens")
    if not source or live.inputs is None:
        return Tokens([])
    with using(frontier.setting.places):
        found = resolve(str(source))(**live.inputs)
    return Tokens([TokenCount(encoder, list(windows), room) for encoder, windows, room in found])
