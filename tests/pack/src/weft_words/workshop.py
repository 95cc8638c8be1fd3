"""Not read for nodes (`exclude`): it would fail to import."""

raise RuntimeError("only the author runs this")
