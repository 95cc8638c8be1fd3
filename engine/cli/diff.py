"""Diff: `weft diff` – which nodes, inputs and wires of two workflows (or pictures) differ, one to a line.

As a git diff driver:

    git config diff.weft.command "weft diff --git"
    echo "workflows/*.json diff=weft" >> .gitattributes
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from engine.cli import console, documents
from engine.errors import WeftError, fail
from engine.workflow import Workflow
from engine.workflow.changes import Change, differences

GIT_WORDS = (7, 9)  # path old-file old-hex old-mode new-file new-hex new-mode, and two more for a renamed file


def add(name: str, parser: argparse.ArgumentParser) -> None:
    """The options of `weft diff`."""
    parser.epilog = (__doc__ or "").partition("As a git")[1] + (__doc__ or "").partition("As a git")[2]
    parser.add_argument("file", metavar="FILE", nargs="+", help="two workflows or saved pictures")
    parser.add_argument("--git", action="store_true", help="take the seven arguments that git gives a diff driver")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(go=go)


def go(args: argparse.Namespace) -> int:
    """Exit like diff: 0 the same, 1 different, 2 trouble; as git's driver 0, which is what git wants."""
    if args.git or len(args.file) in GIT_WORDS:
        return _for_git(args.file)
    if len(args.file) != 2:
        raise fail("cli.usage", f"weft diff needs two files, got {len(args.file)}", mend="weft diff a.json b.json")
    found = list(differences(*map(documents.open_workflow, args.file)))
    if args.json:
        console.out_json([change.to_json() for change in found])
    else:
        _show(found)
    return 1 if found else 0


def _for_git(words: list[str]) -> int:
    if len(words) not in GIT_WORDS:  # an unmerged path comes alone
        console.out(f"* {words[0]}: not merged yet")
        return 0
    name, old, new = words[0], words[1], words[4]
    console.out(console.style(f"weft diff {name}", "bold"))
    try:
        _show(list(differences(_of_git(old), _of_git(new))))
    except WeftError as error:
        console.out(f"  cannot be compared as workflows: {console.one_line(str(error))}")
    return 0


def _of_git(name: str) -> Workflow:
    return (
        Workflow()
        if name in (os.devnull, "/dev/null", "nul") or not Path(name).exists()
        else (documents.open_workflow(name))
    )


def _show(found: list[Change]) -> None:
    for change in found:
        if change.before is None:
            console.out(console.style(f"+ {change.what}: {_text(change.after)}", "green"))
        elif change.after is None:
            console.out(console.style(f"- {change.what}: {_text(change.before)}", "red"))
        else:
            console.out(f"  {change.what}: {_text(change.before)} -> {_text(change.after)}")


def _text(value: Any) -> str:
    if isinstance(value, dict) and set(value) == {"from"}:
        return str(value["from"])
    text = json.dumps(value, ensure_ascii=False)
    return console.one_line(text if len(text) <= 200 else text[:199] + "…")
