"""What the wheel carries besides the two packages: the built editor and the example workflows, where they exist.

Hatch's own `force-include` fails when a path is missing, and both are made by later steps than the first build.
An editable install needs neither: it reads them from the checkout.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Extras(BuildHookInterface):  # type: ignore[type-arg]
    """Adds `web/dist` as `engine/server/dist`, and in `engine` `workflows/` with what they start from and make."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name what to carry, before the files are collected."""
        if version == "editable" or self.target_name != "wheel":
            return
        root = Path(self.root)
        carry: dict[str, str] = build_data["force_include"]
        if (root / "web" / "dist").is_dir():
            carry[str(root / "web" / "dist")] = "engine/server/dist"
        for file in sorted([*(root / "workflows").glob("*.json"), *(root / "workflows" / "assets").glob("*.png")]):
            carry[str(file)] = f"engine/{file.relative_to(root).as_posix()}"
        for file in sorted((root / "workflows").glob("*.json")):  # what each makes, for the browser of templates
            if (shown := root / "docs" / "images" / f"{file.stem}.png").is_file():
                carry[str(shown)] = f"engine/workflows/{file.stem}.png"
