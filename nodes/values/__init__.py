"""Values: numbers, texts and lists as nodes, and the little arithmetic between them."""

from nodes.values.basic import (
    MAX_EXPRESSION,
    MAX_ITEMS,
    MAX_TEXT,
    Computed,
    compute,
    evaluate,
    format_text,
    join,
    lines,
    number,
    number_range,
    seed,
    seeds,
    text,
    truth,
    whole_number,
)

__all__ = [
    "MAX_EXPRESSION",
    "MAX_ITEMS",
    "MAX_TEXT",
    "Computed",
    "compute",
    "evaluate",
    "format_text",
    "join",
    "lines",
    "number",
    "number_range",
    "seed",
    "seeds",
    "text",
    "truth",
    "whole_number",
]
