"""Preprocess: what a ControlNet reads, made from a picture – edges, lines, tiles, colours, depth."""
