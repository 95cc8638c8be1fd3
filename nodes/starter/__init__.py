"""The starter: a small text-to-image model made by this project, with the world it knows and the checker that looks."""

from __future__ import annotations

from pathlib import Path

MODEL = Path(__file__).parent / "model"
"""The shipped folder, in diffusers layout: half precision, to be computed in fp32."""
