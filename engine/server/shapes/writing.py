"""Writing: what is asked and told while a text is written."""

from __future__ import annotations

from dataclasses import dataclass

from engine.server.shapes.plain import Json


@dataclass(frozen=True)
class Words:
    """What an author may want to write: names that stand for files, by kind, and words of earlier prompts by use."""

    names: dict[str, list[str]]
    words: list[str]


@dataclass(frozen=True)
class TokensRequest:
    """A text input (`path.input`) of a workflow whose tokens are to be counted."""

    workflow: Json
    to: str


@dataclass(frozen=True)
class TokenCount:
    """What one encoder reads: the tokens of each window, and how many have room in one."""

    encoder: str
    windows: list[int]
    room: int


@dataclass(frozen=True)
class Tokens:
    """The tokens of a text, for every encoder that reads it; empty where it is not known which do."""

    counts: list[TokenCount]
