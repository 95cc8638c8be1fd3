"""Cli: the command line – serve, run, check, plan, why, nodes, models, new, diff, doctor, manifest, schema.

    weft run workflow.json --set seed=7        exit codes: 0 done · 1 failed · 2 the file or the arguments are wrong
    weft plan workflow.json                                3 partial · 130 cancelled

What is asked for goes to stdout (paths of saved files, tables, JSON), what is told on the way to stderr. A user's
mistake is one line – what, where, next step – and never a traceback. Each command imports what it needs when it is
called: help, `nodes` and `check` start without a tensor library.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from engine.cli import console
from engine.errors import WeftError, did_you_mean, fail

DONE, FAILED, USAGE, PARTIAL, CANCELLED = 0, 1, 2, 3, 130

# The commands in the order in which help lists them, and the module that answers.
COMMANDS = {
    "serve": ("serve", "open the editor: serve it and the API (plain `weft` does this too)"),
    "users": ("users", "let others use this machine: add, list, remove, renew, quota"),
    "token": ("users", "print the token that lets you in, make a new one, or print the secret of webhooks"),
    "run": ("run", "run a workflow, a saved picture's workflow, or many variants of one"),
    "cull": ("cull", "draw many variants a few steps far, look at them on one sheet, finish the chosen ones"),
    "warm": ("warm", "compile now what a workflow compiles, so that its runs do not wait for it"),
    "check": ("check", "say everything that is wrong with a workflow, without running it"),
    "plan": ("check", "say what would run now, why, and for how long"),
    "why": ("check", "say why one step would run"),
    "nodes": ("nodes", "list the nodes, or explain one"),
    "models": ("models", "list the models that are found; get, convert, missing"),
    "import": ("importing", "make a workflow of one that another program saved: a ComfyUI file, or a picture with one"),
    "new": ("make", "write a new workflow from a template or from nodes"),
    "diff": ("diff", "compare two workflows or pictures; works as a git diff driver"),
    "cache": ("cache", "look after the values kept on disk: ls, show, why, verify, clear"),
    "memory": ("memory", "say what a device has, what a workflow's models need there, and who holds what"),
    "doctor": ("doctor", "look at this machine and say what to mend"),
    "manifest": ("make", "write a pack's nodes.json"),
    "schema": ("make", "print the JSON Schema of a workflow file"),
}


class Parser(argparse.ArgumentParser):
    """Argument parsing whose errors are our own: one line, with a suggestion."""

    def error(self, message: str) -> NoReturn:
        """Raise `cli.usage` in place of printing the usage and leaving."""
        choice = re.match(r"argument (\S+): invalid choice: '(.*?)' \(choose from", message, re.S)
        if choice:
            action = next(a for a in self._actions if choice[1] in (*a.option_strings, a.dest, a.metavar))
            known = [str(one) for one in action.choices or ()]
            hint = did_you_mean(choice[2], known) or f" Known: {', '.join(known)}."
            name = f"{choice[1]} {choice[2]}" if action.option_strings else f"weft {choice[2]}"
            message = f"there is no '{name}'.{hint}"
        elif "unrecognized arguments: " in message:
            words = message.partition("unrecognized arguments: ")[2].split()
            wrong = next((word for word in words if word.startswith("-")), words[0]).partition("=")[0]
            hint = did_you_mean(wrong, self._option_string_actions)
            message = f"weft {self.command} does not know '{wrong}'.{hint}" if self.command else message
        raise fail("cli.usage", message, mend=f"{self.prog} --help")

    command = ""

    def parse_args(self, words: Any = None, namespace: Any = None) -> Any:
        """Parse; what is left over is the mistake of the command it was given to."""
        args, rest = self.parse_known_args(words, namespace)
        if rest:
            parser = self.of_commands.get(getattr(args, "command", None) or "", self)
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        return args

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.of_commands: dict[str, Parser] = {}


def build_parser(only: str = "") -> Parser:
    """The parser of every command; of one alone when `only` names it, which is quicker."""
    parser = Parser(prog="weft", description="Node-graph workflows for diffusion models.", allow_abbrev=False)
    parser.add_argument("--version", action="store_true", help="print the versions and leave")
    commands = parser.add_subparsers(dest="command", metavar="command", title="commands")
    for name, (module, about) in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=about,
            description=about[0].upper() + about[1:] + ".",
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.command = name
        parser.of_commands[name] = command
        if name == only:
            importlib.import_module(f"engine.cli.{module}").add(name, command)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one command; its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    # What is imported stays: to look through it again and again is a twentieth of a short command's time.
    gc.set_threshold(20_000, 10, 10)
    console.prepare()
    try:
        return _carry_out(words)
    except WeftError as error:
        console.problems(error.problems)
        _tell_programs(words, error)
        return USAGE
    except BrokenPipeError:
        # Whoever read us has gone (`weft nodes | head`); Python must not try to flush at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:  # before or after the work; while a job runs, Ctrl-C cancels it
        console.err("stopped")
        return CANCELLED
    except SystemExit as leaving:  # argparse, after --help
        return leaving.code if isinstance(leaving.code, int) else DONE


def _tell_programs(words: list[str], error: WeftError) -> None:
    """Who reads JSON is told in JSON too."""
    if "--json" in words:
        console.out_json({"state": "failed", "problems": [problem.to_json() for problem in error.problems]})
    elif "--events" in words:
        import json

        from engine.events import JobFinished

        console.out(json.dumps(JobFinished(state="failed", problems=error.problems).to_json(), default=str))


def _carry_out(words: list[str]) -> int:
    if not words:
        words = ["serve"]
    only = next((word for word in words if not word.startswith("-")), "")
    parser = build_parser(only)
    args = parser.parse_args(words)
    if args.version:
        console.out(_versions())
        return DONE
    if not args.command:
        parser.print_help()
        return DONE
    code: int = args.go(args)
    return code


def _versions() -> str:
    import importlib.metadata
    import platform

    from engine.numerics import versions

    try:
        own = importlib.metadata.version("weft")
    except importlib.metadata.PackageNotFoundError:
        own = "(not installed)"
    libraries = ", ".join(f"{name} {version or '(missing)'}" for name, version in versions())
    return f"weft {own} (Python {platform.python_version()}, {libraries})"
