"""How words are counted: a helper that nodes import."""


def count(line: str) -> int:
    """Words of a line."""
    return len(line.split())
