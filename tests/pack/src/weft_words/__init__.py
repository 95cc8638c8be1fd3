"""Words as nodes."""

__weft_pack__ = {
    "title": "Words",
    "about": "Verses, written and counted.",
    "models": {"words/small": "model"},
    "exclude": ["workshop"],
}
