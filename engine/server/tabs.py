"""Tabs: what is open in the editor, kept on the server, so that a phone and a desktop share it.

A tab has a version, sent as its ETag. Who changes it says which version that was (`If-Match`): when another was there
meanwhile the change is refused with 412, and the newer tab is fetched instead of being overwritten.
"""

from __future__ import annotations

import asyncio
import json
import re
import time

from aiohttp import hdrs, web

from engine.errors import fail
from engine.server.codec import encode
from engine.server.house import House
from engine.server.routing import route
from engine.server.shapes import Tab, TabRequest, Tabs
from engine.server.store import Store

MOST = 100  # tabs of one user
MAX_BYTES = 4 * 2**20
NAME = re.compile(r"[\w.:-]{1,100}")


def tabs(store: Store, owner: str) -> list[Tab]:
    """Every tab of a user, the newest first."""
    rows = store.select("SELECT name, version, modified FROM tabs WHERE owner=? ORDER BY modified DESC", (owner,))
    return [Tab(*row) for row in rows]


def read(store: Store, owner: str, name: str) -> Tab:
    """A tab; `server.missing` when there is none."""
    rows = store.select("SELECT name, version, modified, body FROM tabs WHERE owner=? AND name=?", (owner, name))
    for found, version, modified, body in rows:
        return Tab(found, version, modified, json.loads(body))
    raise fail("server.missing", f"there is no tab '{name[:60]}'", mend="GET /api/tabs lists them")


def write(store: Store, owner: str, name: str, body: str, match: str | None) -> Tab:
    """Keep a tab as its next version. `match` is the version it was made from, `0` a new one, `*` or None any."""
    if not NAME.fullmatch(name):
        raise fail("server.request", "a tab's name is 1 to 100 letters, digits or . : _ -", mend="rename it")
    if len(body) > MAX_BYTES:
        raise fail("server.limit", f"a tab holds up to {MAX_BYTES:,} characters", mend="save the workflow instead")
    now = time.time()
    with store.change() as db:
        row = db.execute("SELECT version FROM tabs WHERE owner=? AND name=?", (owner, name)).fetchone()
        version = row[0] if row else 0
        if match not in (None, "*") and match != str(version):
            raise fail("server.changed", f"the tab was changed elsewhere meanwhile: version {version}", mend="GET it")
        if not row and db.execute("SELECT COUNT(*) FROM tabs WHERE owner=?", (owner,)).fetchone()[0] >= MOST:
            raise fail("server.limit", f"there are {MOST} tabs already", mend="close some")
        db.execute("INSERT OR REPLACE INTO tabs VALUES (?, ?, ?, ?, ?)", (owner, name, version + 1, now, body))
    return Tab(name, version + 1, now)


def _reply(tab: Tab) -> web.Response:
    return web.json_response(encode(tab), headers={hdrs.ETAG: f'"{tab.version}"'})


def _match(request: web.Request) -> str | None:
    given = request.headers.get(hdrs.IF_MATCH)
    if request.headers.get(hdrs.IF_NONE_MATCH) == "*":
        return "0"
    return given.strip().removeprefix("W/").strip('"') if given is not None else None


@route("GET", "/api/tabs", Tabs)
async def list_tabs(house: House, request: web.Request) -> Tabs:
    """Every tab that is open, without what is in it."""
    return Tabs(await asyncio.to_thread(tabs, house.store, house.owner(request)))


@route("GET", "/api/tabs/{name}", Tab)
async def get_tab(house: House, request: web.Request) -> web.Response:
    """A tab and what is in it; its version is the ETag."""
    return _reply(await asyncio.to_thread(read, house.store, house.owner(request), request.match_info["name"]))


@route("PUT", "/api/tabs/{name}", Tab, takes=TabRequest)
async def put_tab(house: House, request: web.Request, body: TabRequest) -> web.Response:
    """Keep a tab. With `If-Match: "VERSION"` refused (412) when another browser changed it meanwhile."""
    owner, name = house.owner(request), request.match_info["name"]
    text = json.dumps(body.body, ensure_ascii=False)
    tab = await asyncio.to_thread(write, house.store, owner, name, text, _match(request))
    house.hub.publish({"event": "tab_changed", "tab": name, "version": tab.version}, owner)
    return _reply(tab)


@route("DELETE", "/api/tabs/{name}", Tabs)
async def close_tab(house: House, request: web.Request) -> Tabs:
    """Close a tab in every browser."""
    owner, name = house.owner(request), request.match_info["name"]

    def close() -> list[Tab]:
        read(house.store, owner, name)
        with house.store.change() as db:
            db.execute("DELETE FROM tabs WHERE owner=? AND name=?", (owner, name))
        return tabs(house.store, owner)

    left = await asyncio.to_thread(close)
    house.hub.publish({"event": "tab_changed", "tab": name, "version": 0}, owner)
    return Tabs(left)
