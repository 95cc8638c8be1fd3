"""Weft's engine: typed graphs of nodes, planned, cached and run. It knows graphs, not diffusion."""

from __future__ import annotations

import os

# GNU OpenMP threads spin while they wait for each other, and on a busy machine two of them starve each other: a forward
# of the starter took 0.46-0.83 s on two contended cores, 0.03 s when waiting threads sleep. Read once, when torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
