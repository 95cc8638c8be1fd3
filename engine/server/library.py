"""Library: workflows that can be opened – the templates that ship, and yours with their earlier versions.

A name is relative, uses `/` and has no ending: `portraits/soft light`. Saving never loses anything: what was there
before is kept under `.versions`, the newest twenty.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine import workflow as files
from engine.errors import WeftError, fail
from engine.places import check_name, write_atomic
from engine.server.shapes import SavedWorkflow, WorkflowRow
from engine.workflow import Workflow

TEMPLATE = "template:"
VERSIONS = ".versions"
KEPT = 20
_VERSION = re.compile(r"\d{8}-\d{6}-\d{6}")


def templates_folder() -> Path | None:
    """Where the workflows that ship lie: in a checkout beside `engine/`, in an installed one inside it."""
    inside = Path(__file__).resolve().parent.parent
    return next((f for f in (inside / "workflows", inside.parent / "workflows") if f.is_dir()), None)


class Library:
    """The workflows of one home. All methods may be called from any thread."""

    def __init__(self, folder: Path, templates: Path | None) -> None:
        """Nothing is made until the first workflow is saved."""
        self.folder = folder
        self.templates = templates
        self._parsed: dict[Path, tuple[int, Workflow]] = {}  # with the time of the file it was read from

    def rows(self) -> list[WorkflowRow]:
        """Every workflow: yours, newest first, then the templates. A damaged one is listed by its name."""
        yours = [self._row(path, self._name(path), "yours") for path in self._files()]
        shipped = sorted(self.templates.glob("*.json")) if self.templates is not None else []
        rows = [self._row(path, TEMPLATE + path.stem, "template") for path in shipped]
        return sorted(yours, key=lambda row: -row.modified) + rows

    def _files(self) -> Iterator[Path]:
        if self.folder.is_dir():
            for path in self.folder.rglob("*.json"):
                if not any(part.startswith(".") for part in path.relative_to(self.folder).parts) and path.is_file():
                    yield path

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).with_suffix("").as_posix()

    def _row(self, path: Path, name: str, origin: Any) -> WorkflowRow:
        title, about, types = path.stem.replace("_", " "), "", set[str]()
        try:
            found = self._read(path)
            title, about = found.title or title, found.about
            types = {node.type for net in (found, *found.graphs.values()) for node in net.nodes.values()}
        except WeftError as error:
            about = f"cannot be read: {error.problem.message}"
        thumbnail = f"/api/workflows/{name}/thumbnail" if self._picture(path) is not None else None
        return WorkflowRow(name, title, about, origin, path.stat().st_mtime, thumbnail, types=sorted(types))

    def parsed(self, name: str) -> Workflow:
        """A workflow as plain data; read once as long as its file stays the same."""
        return self._read(self.path(name))

    def _read(self, path: Path) -> Workflow:
        changed = path.stat().st_mtime_ns
        held = self._parsed.get(path)
        if held is None or held[0] != changed:
            held = self._parsed[path] = (changed, files.read(path))
        return held[1]

    def read(self, name: str, version: str | None = None) -> tuple[Workflow, SavedWorkflow]:
        """A workflow, or one of its earlier versions."""
        path = self.path(name, version)
        if not path.is_file():
            raise self._missing(name)
        found = files.read(path)
        versions = [] if name.startswith(TEMPLATE) else self.versions(name)
        return found, SavedWorkflow(name, files.to_json(found), path.stat().st_mtime, versions)

    def picture(self, name: str) -> Path | None:
        """What a workflow makes: the PNG beside it; of a template the one that its page shows."""
        return self._picture(self.path(name))

    def _picture(self, path: Path) -> Path | None:
        beside = [path.with_suffix(".png")]
        if self.templates is not None and path.parent == self.templates:
            beside.append(self.templates.parent / "docs" / "images" / f"{path.stem}.png")
        return next((one for one in beside if one.is_file() and not one.is_symlink()), None)

    def path(self, name: str, version: str | None = None) -> Path:
        """The file of a name; it need not be there. `place.outside` for a name that leaves its folder."""
        if name.startswith(TEMPLATE):
            if self.templates is None:
                raise self._missing(name)
            plain = check_name(name.removeprefix(TEMPLATE))
            return self._inside(self.templates, f"{plain}.json")
        plain = check_name(name)
        if any(part.startswith(".") for part in plain.split("/")):
            raise fail("place.outside", f"'{name[:80]}' has a part that begins with a dot", mend="choose another name")
        if version is not None:
            if not _VERSION.fullmatch(version):
                raise fail(
                    "server.missing", f"there is no version '{version[:40]}'", mend="GET the workflow lists them"
                )
            return self._inside(self.folder, f"{VERSIONS}/{plain}/{version}.json")
        return self._inside(self.folder, f"{plain}.json")

    def _inside(self, base: Path, name: str) -> Path:
        """Nothing that a name can say leaves the folder, not even a link that lies in it."""
        path = base / name
        if not path.resolve().is_relative_to(base.resolve()):
            raise fail("place.outside", f"'{name[:80]}' leads out of its folder", mend="choose another name")
        return path

    def versions(self, name: str) -> list[str]:
        """The times of what a workflow was before, newest first."""
        folder = self._inside(self.folder, f"{VERSIONS}/{check_name(name)}")
        return sorted((path.stem for path in folder.glob("*.json")), reverse=True) if folder.is_dir() else []

    def save(self, name: str, workflow: Workflow, modified: float | None = None) -> SavedWorkflow:
        """Write a workflow; what was there becomes a version. `server.conflict` when another saved since `modified`."""
        if name.startswith(TEMPLATE):
            raise fail("server.conflict", "a template cannot be changed", mend="save it under a name of your own")
        path = self.path(name)
        if path.is_file():
            if modified is not None and abs(path.stat().st_mtime - modified) > 1e-3:
                raise fail(
                    "server.conflict", f"'{name}' was saved elsewhere meanwhile", mend="save it under another name"
                )
            self._keep(name, path)
        elif path.is_dir():
            raise fail("server.conflict", f"'{name}' is a folder", mend="choose another name")
        files.write(workflow, path)
        return self.read(name)[1]

    def _keep(self, name: str, path: Path) -> None:
        """Put what is there among the versions."""
        now = time.time()
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now)) + f"-{int(now % 1 * 1e6):06}"
        write_atomic(self.path(name, stamp), path.read_bytes())
        for old in self.versions(name)[KEPT:]:
            self.path(name, old).unlink(missing_ok=True)

    def delete(self, name: str) -> None:
        """Take a workflow away; it stays among its versions."""
        if name.startswith(TEMPLATE):
            raise fail("server.conflict", "a template cannot be deleted", mend="there is nothing to do")
        path = self.path(name)
        if not path.is_file():
            raise self._missing(name)
        self._keep(name, path)
        path.unlink()

    def _missing(self, name: str) -> WeftError:
        return fail(
            "server.missing", f"there is no workflow '{name[:80]}'", mend="GET /api/workflows lists what there is"
        )
