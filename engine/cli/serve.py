"""Serve: `weft serve` – the editor and the API, on this machine alone unless told otherwise."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from engine.cli import console, documents
from engine.errors import fail
from engine.places import Places
from engine.registry import Registry

if TYPE_CHECKING:
    from engine.server.config import Config
    from engine.session import Session

EPILOG = """examples:
  weft serve                                  the editor, on this machine
  weft serve --port auto --no-browser         a free port; only print the address
  weft serve --lan                            for your phone: the address, and as a QR code
  weft serve --host 0.0.0.0 --allow-host studio.lan     for others on the network
  weft serve --config studio.toml             everything that may be set, in a file (docs/server.md)

The address that is printed carries the token that lets you in; WEFT_TOKEN sets it.
"""
ALL = "0.0.0.0"


def add(name: str, parser: argparse.ArgumentParser) -> None:
    """The options of `weft serve`."""
    parser.epilog = EPILOG
    parser.add_argument("--port", help="8118; auto takes a free one")
    parser.add_argument("--host", help="where to listen (127.0.0.1); beyond it others reach it")
    parser.add_argument("--lan", action="store_true", help="listen for the local network; print a QR code too")
    parser.add_argument(
        "--allow-host", metavar="NAME", action="append", default=[], help="a further name it may be asked under"
    )
    parser.add_argument("--base-url", metavar="URL", help="the address by which others know it, behind a proxy")
    parser.add_argument("--tls-cert", metavar="FILE", help="speak HTTPS with this certificate (PEM)")
    parser.add_argument("--tls-key", metavar="FILE", help="the certificate's private key (PEM)")
    parser.add_argument(
        "--allow-fetch", metavar="HOST", action="append", default=[], help="a host beside the public internet to ask"
    )
    parser.add_argument("--config", metavar="FILE", help="a configuration file (WEFT_HOME/weft.toml)")
    parser.add_argument("--log", choices=("text", "json"), help="the form of the log")
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), help="what is logged (warning)")
    parser.add_argument("--no-browser", action="store_true", help="do not open the browser")
    parser.add_argument("--rotate-token", action="store_true", help="make a new token; old addresses end")
    parser.add_argument("--out", metavar="DIR", help="where results are saved (WEFT_HOME/output)")
    documents.add_machine(parser)
    parser.set_defaults(go=go)


def go(args: argparse.Namespace) -> int:
    """Carry out `weft serve`."""
    from engine.server import log
    from engine.server.door import load_token
    from engine.server.main import Server, has_display, is_loopback, serve

    config = config_of(args)
    log.prepare(config.log, config.log_level)
    args.models = [*args.models, *config.models]
    args.input, args.out = args.input or config.input or None, args.out or config.output or None
    places = documents.places_of(args)
    token = load_token(places.state, rotate=args.rotate_token)
    server = Server(
        places,
        lambda places, registry: _session(args, places, registry),
        host=config.host,
        port=None if config.port == "auto" else int(config.port),
        token=token,
        config=config,
    )
    if not is_loopback(config.host):
        console.err(f"weft listens on {config.host}: whoever has the address with the token can run workflows here")
        if not config.tls_cert and not config.base_url:
            console.err("  without TLS (--tls-cert, --tls-key, or a proxy) the token can be read on the way")
    browser = config.browser and not config.lan and has_display()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(server, lambda url: _say(url, config.lan), browser=browser))
    return 0


def config_of(args: argparse.Namespace) -> Config:
    """The configuration file, and over it the options."""
    from engine.server import config as room

    file = Path(args.config) if args.config else Places().home / room.NAME
    config = room.read(file) if args.config or file.is_file() else room.Config()
    options = {
        "host": args.host,
        "port": _port(args.port) if args.port is not None else None,
        "lan": args.lan or None,
        "allow_hosts": (*config.allow_hosts, *args.allow_host) if args.allow_host else None,
        "allow_fetch": (*config.allow_fetch, *args.allow_fetch) if args.allow_fetch else None,
        "base_url": args.base_url,
        "tls_cert": args.tls_cert,
        "tls_key": args.tls_key,
        "browser": False if args.no_browser else None,
        "log": args.log,
        "log_level": args.log_level,
    }
    config = dataclasses.replace(config, **{name: value for name, value in options.items() if value is not None})
    if config.port != "auto":
        _port(str(config.port))
    if config.lan and args.host is None:
        config = dataclasses.replace(config, host=ALL)
    return config


def _session(args: argparse.Namespace, places: Places, registry: Registry) -> Session:
    from engine.cli.run import open_session

    return open_session(args, places, registry)


def _say(url: str, lan: bool) -> None:
    console.out(url)
    if lan and sys.stderr.isatty():
        from engine.server.main import qr

        console.err(qr(url))
    console.err("Weft is ready at this address; Ctrl-C ends it")


def _port(text: str) -> str | int:
    if text == "auto":
        return text
    if not text.isdigit() or not 1 <= int(text) <= 65_535:
        raise fail("cli.usage", f"--port {text}: it must be a number from 1 to 65535, or auto", mend="--port auto")
    return int(text)
