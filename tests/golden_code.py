"""What a built-in node's function does, as a digest: its code, and the functions and classes of `nodes` it names.

Docstrings, comments, decorators and indentation are left out: they change no result. Names are followed through the
imports at a module's top and inside functions; what is reached only through an object (a family's method) is followed
where its class is named.
"""

import ast
import hashlib
import tokenize
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Module:
    """The definitions of one module, and what its names stand for."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.lines = path.read_text(encoding="utf-8").splitlines()
        tree = ast.parse("\n".join(self.lines))
        self.defined: dict[str, ast.AST] = {}
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                self.defined[node.name] = node
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                self.defined.update({target.id: node for target in targets if isinstance(target, ast.Name)})
        self.names = imports(tree)
        with path.open("rb") as stream:
            self.comments = {
                token.start[0]: token.start[1]
                for token in tokenize.tokenize(stream.readline)
                if token.type == tokenize.COMMENT
            }

    def code(self, node: ast.AST) -> str:
        """The node's lines without docstrings, comments and indentation."""
        left_out: set[int] = set()
        for inner in ast.walk(node):
            if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and ast.get_docstring(inner):
                left_out.update(range(inner.body[0].lineno, inner.body[0].end_lineno + 1))
        rows = []
        for number in range(node.lineno, node.end_lineno + 1):
            line = self.lines[number - 1]
            if number in self.comments:
                line = line[: self.comments[number]]
            if number not in left_out and line.strip():
                rows.append(line.strip())
        return "\n".join(rows)


def imports(tree: ast.AST) -> dict[str, str]:
    """Local name -> `module` or `module:name`, for imports anywhere in the tree."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update({alias.asname or alias.name: alias.name for alias in node.names})
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update({alias.asname or alias.name: f"{node.module}:{alias.name}" for alias in node.names})
    return found


@cache
def module(name: str) -> Module | None:
    if name.partition(".")[0] != "nodes":
        return None
    bare = ROOT.joinpath(*name.split("."))
    path = next((p for p in (bare.with_suffix(".py"), bare / "__init__.py") if p.is_file()), None)
    return Module(name, path) if path else None


def named(home: Module, node: ast.AST) -> set[tuple[str, str]]:
    """The definitions of `nodes` that a piece of code names."""
    found: set[tuple[str, str]] = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name):
            if inner.id in home.defined:
                found.add((home.name, inner.id))
            elif ":" in home.names.get(inner.id, ""):
                where, _, name = home.names[inner.id].partition(":")
                found.add((where, name))
        elif isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name):
            target = home.names.get(inner.value.id, "")
            found.add((target.replace(":", "."), inner.attr))
    return found


def digest(path: str) -> str:
    """The digest of `module:function`."""
    where, _, name = path.partition(":")
    seen: dict[tuple[str, str], str] = {}
    pending, met = [(where, name)], set()
    while pending:
        spot = pending.pop()
        home = module(spot[0])
        if spot in met or home is None:
            continue
        met.add(spot)  # a package that imports its own rooms hands their names to itself
        node = home.defined.get(spot[1])
        if node is None:
            # Handed on by a package's __init__.
            where, _, name = home.names.get(spot[1], "").partition(":")
            if name:
                pending.append((where, name))
            continue
        seen[spot] = home.code(node)
        pending.extend(named(home, node))
    text = "\n\n".join(f"{where}:{name}\n{seen[where, name]}" for where, name in sorted(seen))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
