"""Pages: the built editor, served as it lies; and the two pages that stand in for it.

The editor is `web/dist` in a checkout and `engine/server/dist` in a wheel. It needs no build and no Node here.
"""

from __future__ import annotations

import html
import mimetypes
from pathlib import Path

from aiohttp import hdrs, web

from engine.errors import fail
from engine.places import check_name, inside

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.6 system-ui, sans-serif; background: #14161a; color: #e6e8eb; margin: 20vh auto; max-width: 34rem;
padding: 0 1rem }} code {{ background: #23262d; padding: .1em .4em; border-radius: 4px }}
</style><h1>{title}</h1>{body}</html>
"""


def dist() -> Path | None:
    """Where the built editor lies, if it is there."""
    here = Path(__file__).resolve().parent
    for folder in (here / "dist", here.parent.parent / "web" / "dist"):
        if (folder / "index.html").is_file():
            return folder
    return None


def locked() -> str:
    """For who came without the token."""
    body = "<p>Open the address that <code>weft serve</code> printed: it carries the token that lets you in.</p>"
    return _PAGE.format(title="This Weft is locked", body=body)


def absent() -> str:
    """For an installation without the editor."""
    body = (
        "<p>The server runs, but the editor is not built here. In a checkout, build it once with "
        "<code>make web</code>.</p><p>The API is there all the same: <code>/api/openapi.json</code>.</p>"
    )
    return _PAGE.format(title="Weft", body=body)


def missing(path: str) -> str:
    """For an address of which nothing is known."""
    return _PAGE.format(title="Not here", body=f"<p>There is nothing at <code>{html.escape(path[:200])}</code>.</p>")


async def page(request: web.Request) -> web.StreamResponse:
    """A file of the editor; its own addresses (without an ending) all show `index.html`."""
    folder = dist()
    name = request.match_info.get("path", "")
    if folder is None:
        if name:
            return web.Response(status=404, text=missing(request.path), content_type="text/html")
        return web.Response(text=absent(), content_type="text/html")
    path = inside(folder, check_name(name)) if name else folder / "index.html"
    if path is None or path.is_symlink():
        raise fail("place.outside", "the address leads out of the editor", mend="open /")
    if name == "favicon.ico":  # what a browser asks for on its own, beside a page of the API
        path = folder / "favicon.svg"
    if not path.is_file():
        if "." in path.name:
            return web.Response(status=404, text=missing(request.path), content_type="text/html")
        path = folder / "index.html"
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    headers = {hdrs.CONTENT_TYPE: _KINDS.get(path.suffix, kind), hdrs.CACHE_CONTROL: "no-cache"}
    return web.FileResponse(path, headers=headers)


# What Windows' registry has been known to get wrong.
_KINDS = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
