"""The committed editor is the one that the sources make, and is what a browser may load at once."""

import gzip
import hashlib
import json
import re
from pathlib import Path

WEB = Path(__file__).parent.parent / "web"
FIRST_LOAD = 450_000


def sources_digest() -> str:
    """As web/stamp.mjs computes it: the names and texts of all that dist is built from."""
    files = [f for folder in ("src", "public") for f in (WEB / folder).rglob("*") if f.is_file()]
    files += [WEB / name for name in ("index.html", "package-lock.json", "vite.config.ts")]
    digest = hashlib.sha256()
    for name, file in sorted((f.relative_to(WEB).as_posix(), f) for f in files):
        digest.update(name.encode() + b"\0" + file.read_text("utf-8").replace("\r\n", "\n").encode() + b"\0")
    return digest.hexdigest()


def test_the_committed_editor_is_built_from_the_sources_beside_it():
    built = json.loads((WEB / "dist" / "build.json").read_text())
    assert built["sources"] == sources_digest(), "web/dist is stale: run `make web` and commit it"


def test_the_first_load_is_small_and_asks_nothing_of_other_hosts():
    index = (WEB / "dist" / "index.html").read_text()
    loaded = re.findall(r'(?:src|href)="([^"]+)"', index)
    local = [name for name in loaded if not name.startswith("data:")]
    assert local and all(name.startswith(("./assets/", "./favicon.svg")) for name in local)
    assert sum(len(gzip.compress((WEB / "dist" / name).read_bytes())) for name in local) < FIRST_LOAD


def test_the_lock_file_names_no_registry():
    lock = json.loads((WEB / "package-lock.json").read_text())
    assert len(lock["packages"]) > 50
    assert not [name for name, entry in lock["packages"].items() if "resolved" in entry]


def test_the_licences_of_what_the_editor_ships_are_free():
    lock = json.loads((WEB / "package-lock.json").read_text())
    shipped = {name: entry.get("license") for name, entry in lock["packages"].items() if name and not entry.get("dev")}
    assert len(shipped) > 10
    assert {
        name: kind for name, kind in shipped.items() if kind not in ("MIT", "ISC", "Apache-2.0", "BSD-3-Clause", "0BSD")
    } == {}
