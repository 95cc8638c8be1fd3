"""What parity is measured on: tiny random models, and the starter where it is there."""

from pathlib import Path

import pytest

from tests.nodes.conftest import (
    home,
    models,
    tiny_controlnet,
    tiny_flux,
    tiny_schnell,
    tiny_sd1,
    tiny_sd3,
    tiny_sdxl,
    tiny_sdxl_controlnet,
)

__all__ = [
    "home",
    "models",
    "tiny_controlnet",
    "tiny_flux",
    "tiny_schnell",
    "tiny_sd1",
    "tiny_sd3",
    "tiny_sdxl",
    "tiny_sdxl_controlnet",
]

ROOT = Path(__file__).resolve().parents[2]
STARTERS = [ROOT / "nodes" / "starter" / "model", ROOT.parent / "shared" / "starter-prototype"]
STARTER = next((folder for folder in STARTERS if (folder / "unet").is_dir()), None)
SD1 = ["tiny-sd1", *(["starter"] if STARTER else [])]


@pytest.fixture(params=SD1)
def sd1(request: pytest.FixtureRequest, home, models: Path, tiny_sd1: Path) -> str:
    """The name of a model of the SD 1.x family, by which `load.model` finds it."""
    link = models / "checkpoints" / "starter"
    if request.param == "starter" and not link.exists():
        link.symlink_to(STARTER)
    return request.param
