"""Weft's engine: typed graphs of nodes, planned, cached and run. It knows graphs, not diffusion."""
