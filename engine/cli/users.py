"""Users: `weft users` and `weft token` – who may come in. Both work beside a running server."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from engine.cli import console
from engine.errors import fail
from engine.places import Places

if TYPE_CHECKING:
    from engine.server.users import Users

USERS = """examples:
  weft users add ann --jobs 20 --bytes 5G --seconds 3600
  weft users list
  weft users quota ann --seconds 0            as much as they like
  weft users renew ann                        a new token; the old one ends
  weft users remove ann                       what they made stays in WEFT_HOME/users/ann

A user has a queue, folders, workflows and tabs of their own, and sees nothing of the others'.
"""
TOKEN = """examples:
  weft token                                  the token of `weft serve`
  weft token rotate                           a new one: every address and cookie of before ends
  weft token --webhook                        what webhooks are signed under
"""
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def add(name: str, parser: argparse.ArgumentParser) -> None:
    """The options of `weft users` and `weft token`."""
    if name == "token":
        parser.epilog = TOKEN
        parser.add_argument("action", nargs="?", default="show", choices=("show", "rotate"), help="show or rotate")
        parser.add_argument("--webhook", action="store_true", help="print the secret that webhooks are signed under")
        parser.add_argument("--user", metavar="NAME", default="", help="with --webhook: the secret of this user")
        parser.set_defaults(go=token)
        return
    parser.epilog = USERS
    actions = ("list", "add", "remove", "renew", "quota")
    parser.add_argument("action", nargs="?", default="list", choices=actions, help=", ".join(actions))
    parser.add_argument("name", nargs="?", metavar="NAME", help="small letters, digits, - and _")
    parser.add_argument("--jobs", type=int, metavar="N", help="jobs that may wait or run at once; 0 for any")
    parser.add_argument("--bytes", metavar="SIZE", help="what their folders may hold: 500M, 10G; 0 for any")
    parser.add_argument("--seconds", type=int, metavar="N", help="seconds of computing in a day (UTC); 0 for any")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(go=users)


def token(args: argparse.Namespace) -> int:
    """Carry out `weft token`."""
    from engine.server.door import load_token
    from engine.server.hooks import load_secret, secret_of

    state = Places().state
    if args.webhook:
        console.out(secret_of(load_secret(state), args.user))
    else:
        console.out(load_token(state, rotate=args.action == "rotate"))
        if args.action == "rotate":
            console.err("start the server anew: until then it knows the old one")
    return 0


def users(args: argparse.Namespace) -> int:
    """Carry out `weft users`."""
    from engine.server.door import load_token
    from engine.server.store import Store
    from engine.server.users import Quota, Users

    if args.action != "list" and not args.name:
        raise fail("cli.usage", f"weft users {args.action} needs a NAME", mend=f"weft users {args.action} ann")
    places = Places()
    quota = Quota(args.jobs, _size(args.bytes), args.seconds)
    store = Store(places.state / "jobs.sqlite")
    try:
        found = Users(store, places, load_token(places.state))
        match args.action:
            case "list":
                _list(found, args.json)
            case "add":
                _told(args.name, found.add(args.name, quota))
            case "renew":
                _told(args.name, found.renew(args.name))
            case "remove":
                found.remove(args.name)
                console.err(
                    f"{args.name} may come in no more; what they made is in {places.home / 'users' / args.name}"
                )
            case "quota":
                found.set_quota(args.name, quota)
                _list(found, args.json, args.name)
    finally:
        store.close()
    return 0


def _told(name: str, token: str) -> None:
    console.out(token)
    console.err(f"this lets {name} in, and is not shown again: the server's address, then /?token={token}")


def _list(users: Users, json: bool, only: str = "") -> None:
    rows = []
    for user in users.all():
        if only in ("", user.name):
            limits, used = users.limits(user.name), users.used(user.name)
            rows.append((user.name, used, limits))
    if json:
        console.out_json([{"name": name, "used": vars(used), "quota": vars(limits)} for name, used, limits in rows])
        return
    if not rows:
        console.err("there are no users: weft users add NAME")
    for name, used, limits in rows:
        parts = [
            f"jobs {used.jobs}{_of(limits.jobs)}",
            f"{used.bytes / 2**20:,.1f} MB{_of(limits.bytes and limits.bytes // 2**20)}",
            f"{used.seconds:,.0f} s today{_of(limits.seconds)}",
        ]
        console.out(f"{name}  {' · '.join(parts)}")


def _of(limit: int | None) -> str:
    return f" of {limit:,}" if limit else ""


def _size(text: str | None) -> int | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", text.strip().upper())
    if match is None:
        raise fail("cli.usage", f"--bytes {text}: it is no size", mend="--bytes 500M")
    return int(float(match[1]) * UNITS[match[2]])
