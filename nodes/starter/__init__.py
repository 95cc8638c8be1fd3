"""The starter: a small text-to-image model made by this project, with the world it knows and the checker that looks."""

from __future__ import annotations

from pathlib import Path

MODEL = Path(__file__).parent / "model"
"""The shipped folder, in diffusers layout: half precision, to be computed in fp32."""

LORA = MODEL.with_name("loras") / "big.safetensors"
"""A slider of size: +1 makes every object big, −1 small."""

CONTROLNET = MODEL.with_name("controlnet") / "edges"
"""Holds a picture to edges, as `preprocess.canny` finds them."""
