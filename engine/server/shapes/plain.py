"""Plain: data that is passed on as it is."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
Seeds = dict[str, int | str]
