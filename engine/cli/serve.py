"""Serve: `weft serve` – the editor and the API, on this machine alone unless told otherwise."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from typing import TYPE_CHECKING

from engine.cli import console, documents
from engine.errors import fail
from engine.places import Places
from engine.registry import Registry

if TYPE_CHECKING:
    from engine.session import Session

EPILOG = """examples:
  weft serve                                  the editor, on this machine
  weft serve --port auto --no-browser         a free port; only print the address
  weft serve --host 0.0.0.0 --allow-host studio.lan     for others on the network

The address that is printed carries the token that lets you in; WEFT_TOKEN sets it.
"""


def add(name: str, parser: argparse.ArgumentParser) -> None:
    """The options of `weft serve`."""
    parser.epilog = EPILOG
    parser.add_argument("--port", default="8118", help="8118; auto takes a free one")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen; beyond 127.0.0.1 others reach it")
    parser.add_argument(
        "--allow-host", metavar="NAME", action="append", default=[], help="a further name it may be asked under"
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open the browser")
    parser.add_argument("--rotate-token", action="store_true", help="make a new token; old addresses end")
    parser.add_argument("--out", metavar="DIR", help="where results are saved (WEFT_HOME/output)")
    documents.add_machine(parser)
    parser.set_defaults(go=go)


def go(args: argparse.Namespace) -> int:
    """Carry out `weft serve`."""
    from engine.server.door import load_token
    from engine.server.main import Server, has_display, is_loopback, serve

    places = documents.places_of(args)
    token = load_token(places.state, rotate=args.rotate_token)
    server = Server(
        places,
        lambda places, registry: _session(args, places, registry),
        host=args.host,
        port=_port(args.port),
        token=token,
        hosts=args.allow_host,
    )
    if not is_loopback(args.host):
        console.err(f"weft listens on {args.host}: whoever has the address with the token can run workflows here")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(server, _say, browser=not args.no_browser and has_display()))
    return 0


def _session(args: argparse.Namespace, places: Places, registry: Registry) -> Session:
    from engine.cli.run import open_session

    return open_session(args, places, registry)


def _say(url: str) -> None:
    console.out(url)
    console.err("Weft is ready at this address; Ctrl-C ends it")


def _port(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdigit() or not 1 <= int(text) <= 65_535:
        raise fail("cli.usage", f"--port {text}: it must be a number from 1 to 65535, or auto", mend="--port auto")
    return int(text)
