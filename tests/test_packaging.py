"""The wheel: what a stranger gets is whole, and works away from the checkout."""

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built by way of the source distribution, so that both are proved whole."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    (found,) = out.glob("weft-*.whl")
    return found


def test_the_wheel_carries_all_it_needs(wheel):
    carried = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    for file in filter(None, tracked.split("\0")):
        path = Path(file)
        if path.parts[0] in ("engine", "nodes"):
            assert file in carried
        elif path.parts[0] == "workflows" and path.suffix in (".json", ".png"):
            assert f"engine/{file}" in carried
        elif path.parts[:2] == ("docs", "images") and path.suffix == ".png":
            is_template = (ROOT / "workflows" / f"{path.stem}.json").is_file()
            assert (f"engine/workflows/{path.name}" in carried) == is_template
        elif path.parts[:2] == ("web", "dist"):
            assert "/".join(("engine", "server", *path.parts[1:])) in carried


def test_the_wheel_carries_nothing_else(wheel):
    tops = {entry.split("/")[0] for entry in zipfile.ZipFile(wheel).namelist()}
    assert tops == {"engine", "nodes", "weft-0.1.0.dist-info"}


def test_the_command_works_in_a_clean_environment(wheel, tmp_path):
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    bin_ = tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    run(bin_ / "python", "-m", "pip", "install", "--no-deps", "--no-index", wheel, cwd=tmp_path)
    # The dependencies are this environment's, seen through a path file; theirs (to the checkout) is not read.
    site = run(bin_ / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip()
    Path(site, "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    where = run(bin_ / "python", "-c", "import engine; print(engine.__file__)", cwd=tmp_path).strip()
    assert Path(where).is_relative_to(tmp_path)
    assert "usage" in run(bin_ / "weft", "--help", cwd=tmp_path).lower()
